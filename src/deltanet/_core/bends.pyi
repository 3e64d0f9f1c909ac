"""Types of the compiled `bends`: see bends.pyx."""

from collections.abc import Callable, Sequence

from deltanet._core.engine import Columns, Engine
from deltanet._types import Array

Report = Callable[[int], object] | None
Layers = Sequence[Array | None]

def input_hessian(
    engine: Engine,
    X: Array,
    u: Array | None,
    out: Array,
    threads: int | None = None,
    progress: Report = None,
) -> None: ...
def mixed_hessian(
    engine: Engine,
    columns: Columns,
    X: Array,
    u: Array,
    deltas: Layers,
    slopes: Layers,
    inputs: Layers,
    tangents: Layers,
    threads: int | None = None,
    progress: Report = None,
) -> None: ...
def hvp(
    engine: Engine,
    columns: Columns,
    X: Array,
    u: Array,
    v: Array,
    out: Array,
    threads: int | None = None,
    progress: Report = None,
) -> None: ...
def dense_rows(
    out: Array,
    column: int,
    bias_column: int,
    delta: Array,
    slope: Array,
    h: Array,
    tangent: Array | None,
    scale: Array | None,
) -> None: ...
