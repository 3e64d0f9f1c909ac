"""What the processor has, found once: the vector instructions to use (simd.h)."""

import os

from deltanet._core.net cimport Context
from deltanet._core.product cimport dn_has_tiles

cdef extern from "simd.h" nogil:
    int dn_simd_best() noexcept


def _simd():
    """The vector instructions to use: the best there are, or what DELTANET_SIMD says, if it is there."""
    names = ("baseline", "avx2", "avx512")[:dn_simd_best() + 1]
    name = os.environ.get("DELTANET_SIMD", names[-1])
    if name not in names:
        raise ImportError(f"DELTANET_SIMD must be one of {', '.join(names)} here; got {name!r}")
    return name, names.index(name)


SIMD, _level = _simd()
CONTEXT = Context(_level, dn_has_tiles(_level))
