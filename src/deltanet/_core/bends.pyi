"""Types of the compiled `bends`: see bends.pyx."""

from collections.abc import Sequence

from deltanet._core.engine import Columns, Engine
from deltanet._types import Array, Report

_Layers = Sequence[Array | None]

def input_hessian(
    engine: Engine,
    X: Array,
    u: Array | None,
    out: Array,
    threads: int | None = None,
    progress: Report = None,
) -> None: ...
def lone_input_hessian(engine: Engine, X: object, u: object) -> Array | None: ...
def mixed_hessian(
    engine: Engine,
    columns: Columns,
    X: Array,
    u: Array,
    deltas: _Layers,
    slopes: _Layers,
    inputs: _Layers,
    tangents: _Layers,
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
