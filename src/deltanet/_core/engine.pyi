"""Types of the compiled `engine`: see engine.pyx."""

from collections.abc import Callable, Sequence
from typing import Any, Self, TypeGuard

from deltanet._activations import Functions
from deltanet._types import Array

FIRST_HALF: int
SECOND_HALF: int
FORMS: tuple[str, ...]

class Activations: ...

class Columns:
    @property
    def P(self) -> int: ...
    def __init__(self, column: Sequence[int], bias_column: Sequence[int], P: int) -> None: ...

class Engine:
    @property
    def affine(self) -> Array: ...
    @property
    def everything(self) -> Columns: ...
    def __new__(
        cls,
        theta: Array,
        affine: Array,
        layers: Sequence[tuple[float, ...]],  # numbers, see engine.pyx
        scaled_input: bool,
        scaled_output: bool,
        everything: Columns,
        functions: Sequence[Functions | None] = (),
    ) -> Self: ...
    def reads(self, X: object) -> TypeGuard[Array]: ...
    def writes(self, out: object, shape: tuple[int, ...], X: Array) -> bool: ...
    def run(
        self,
        N: int,
        columns: Columns | None = None,
        X: Array | None = None,
        y: Array | None = None,
        inputs: Sequence[Array | None] | None = None,
        deltas: Sequence[Array | None] | None = None,
        kept_inputs: Sequence[Array | None] | None = None,
        kept_deltas: Sequence[Array | None] | None = None,
        J: Array | None = None,
        Jx: Array | None = None,
        Jv: Array | None = None,
        v: Array | None = None,
        u: Array | None = None,
        H: Array | None = None,
        vjp: Array | None = None,
        diagonal: Array | None = None,
        ggn: Array | None = None,
        kfac: Array | None = None,
        norms: Array | None = None,
        covariance: Array | None = None,
        Sigma: tuple[int, Any] | None = None,
        HJ: Array | None = None,
        first_weight: Array | None = None,
        lanes_kept: Array | None = None,
        B: int | None = None,
        interleaved: bool = False,
        r: int = 0,
        add: bool = True,
        Y: Array | None = None,
        half: int = ...,
        activations: Activations | None = None,
        threads: int | None = None,
        progress: Callable[[int], object] | None = None,
        stream: bool | None = None,
        reproducible: bool = False,
    ) -> None: ...
    def outputs(self, X: object) -> Array | None: ...
    def rows(self, X: object, out: object, inputs: bool = False) -> Array | None: ...
    def factors(self, X: object) -> Array | None: ...
    def keeps_ggn(self, columns: Columns | None = None) -> bool: ...
