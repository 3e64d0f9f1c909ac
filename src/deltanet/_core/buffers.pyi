"""Types of the compiled `buffers`: see buffers.pyx."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

arenas: list[Any]

def lend(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]: ...
def held() -> tuple[int, int]: ...
def clear() -> None: ...
