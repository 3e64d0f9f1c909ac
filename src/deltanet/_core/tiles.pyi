"""Types of the compiled `tiles`: see tiles.pyx."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from deltanet._core.engine import Columns, Engine
from deltanet._types import Array

ALL: int
EACH: int
TRACED: int

# X, or the factors (inputs, deltas)
_Side: TypeAlias = Array | tuple[Sequence[Array | None], Sequence[Array | None]]

def add_ggn(C: Array, J: Array, HJ: Array | None = None, threads: int | None = None) -> None: ...
def multiply(
    C: Array, A: Array, B: Array, threads: int | None = None, rows: int | None = None
) -> None: ...
def multiply_each(C: Array, A: Array, B: Array, threads: int | None = None) -> None: ...
def mirror(
    matrices: Sequence[Array],
    scales: Sequence[float] | None = None,
    threads: int | None = None,
) -> None: ...
def gram(
    engine: Engine,
    K: Array,
    left: _Side,
    right: _Side | None = None,
    outputs: int = ...,
    columns: Columns | None = None,
    one: Sequence[Array | None] | None = None,
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
    r: int = 0,
    r2: int = 0,
) -> None: ...
