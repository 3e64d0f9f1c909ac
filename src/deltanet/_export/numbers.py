"""Numbers and arrays as C writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from deltanet._types import Array, DType

PER_LINE = 5


def literal(value: float, dtype: DType) -> str:
    """A hexadecimal constant that is exactly this number."""
    if value == 0:
        return "-0.0" if np.signbit(value) else "0"
    mantissa, _, exponent = float(value).hex().partition("p")
    whole, _, fraction = mantissa.partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}{'.' * bool(fraction)}{fraction}p{int(exponent)}{'f' * (dtype.itemsize == 4)}"


def array(name: str, values: Iterable[Any], dtype: DType) -> str:
    """static const real name[] = {...};"""
    numbers = [literal(value, dtype) for value in values]
    lines = [",".join(numbers[i : i + PER_LINE]) for i in range(0, len(numbers), PER_LINE)]
    return f"static const real {name}[{len(numbers)}] = {{\n" + ",\n".join(lines) + "};\n"


def parameters(values: Sequence[float], dtype: DType) -> list[str]:
    """Of an activation, at most two, as the core splits them: vecmath_body.h, `parameters`."""
    alpha, beta = (*values, 0.0, 0.0)[:2]

    def split(exact: Fraction) -> tuple[float, float]:
        value = float(dtype.type(float(exact)))
        return value, float(exact - Fraction(value))

    inverse = split(1 / Fraction(alpha)) if alpha else (0.0, 0.0)
    parts = (*split(Fraction(alpha)), *inverse, *split(Fraction(beta)))
    return [literal(float(dtype.type(part)), dtype) for part in parts]


def finite(values: Array, what: str) -> None:
    if not np.isfinite(values).all():
        where = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(
            f"{what} must be finite to be written as constants; [{where}] is {values[where]}"
        )
