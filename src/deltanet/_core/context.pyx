"""What the processor has, found once: the vector instructions to use (simd.h)."""

import os

from deltanet._core.net cimport Context
from deltanet._core.product cimport dn_has_tiles

cdef extern from "simd.h" nogil:
    int dn_simd_best() noexcept


VARIABLE = "DELTANET_SIMD"
NAMES = ("baseline", "avx2", "avx512")[:dn_simd_best() + 1]
_asked = os.environ.get(VARIABLE) or NAMES[-1]
SIMD = _asked if _asked in NAMES else NAMES[-1]
CONTEXT = Context(NAMES.index(SIMD), dn_has_tiles(NAMES.index(SIMD)), True)
REPRODUCIBLE = Context(CONTEXT.simd, CONTEXT.tiles, False)
cdef bint REFUSED = SIMD != _asked


cdef int check() except -1:
    """Refuse a wrong DELTANET_SIMD: here and not in the import, which the command line could not answer."""
    if REFUSED:
        raise ValueError(f"{VARIABLE} must be one of {', '.join(NAMES)} here; got {_asked!r}")
    return 0


def simd():
    """The vector instructions in use: the best there are, or what DELTANET_SIMD says, if they are there."""
    check()
    return SIMD
