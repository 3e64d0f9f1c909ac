"""Types of the compiled `context`: see context.pyx."""

SIMD: str
