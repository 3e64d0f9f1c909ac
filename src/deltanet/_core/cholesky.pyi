"""Types of the compiled `cholesky`: see cholesky.pyx."""

from deltanet._types import Array

def solve_damped(A: Array, b: Array, damping: float | Array, factor: Array) -> Array | None: ...
