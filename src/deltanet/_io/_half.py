"""bfloat16: the upper half of a float32, which NumPy has no type for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def from_bfloat16(bits: NDArray[Any]) -> NDArray[np.float32]:
    """float32 of the same values, from 16-bit integers."""
    wide = np.zeros((*bits.shape, 2), "<u2")
    wide[..., 1] = bits
    return wide.view("<f4").reshape(bits.shape)
