"""The program that an exported file becomes under -DNAME_TEST."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deltanet._export import numbers
from deltanet._export.table import Table
from deltanet._types import Array

if TYPE_CHECKING:
    from deltanet._mlp import MLP

MOST_ROWS = 10_000_000  # numbers of dy/dtheta that are compared
PROGRAM = """\
#ifdef DN_TEST
#include <stdio.h>

/* Sums of the numbers times 1, 2, ..., 7, 1, ... stand for long arrays: (sum, sum of absolute values) */
static int F(differs)(const char *what, const real *a, size_t n, const double *expected)
{{
    double sum = 0, error;
    size_t i;
    for (i = 0; i < n; i++) sum += (double)(1 + i % 7) * (double)a[i];
    error = fabs(sum - expected[0]) / (expected[1] > 0 ? expected[1] : 1);
    printf("%-10s %s: error %.1e, at most {tolerance}\\n", what, error <= {tolerance} ? "right" : "WRONG", error);
    return !(error <= {tolerance});
}}

{arrays}
int main(void)
{{
    static real y[{m}], jx[{jx}], jtheta[{rows}], grad_theta[{P}], grad_x[{n_0}], hxx[{hxx}];
    static real work[(DN_WORK + sizeof(real) - 1) / sizeof(real)];
    int wrong = 0;
{fill}    F(eval)({theta}F(test_x), y, jx, {jtheta}, work);
    F(vjp)({theta}F(test_x), F(test_u), grad_theta, grad_x, work);
    F(hess)({theta}F(test_x), F(test_u), hxx, work);
{checks}
    printf("%s\\n", wrong ? "{name}: WRONG" : "{name}: all as deltanet has it");
    return wrong != 0;
}}
#endif
"""
FILL = """\
    static real theta[{P}];
    long long i;
    for (i = 0; i < {P}; i++) theta[i] = (real)((double)(i * 37 % 101 - 50) / {most});
"""


def program(net: MLP, table: Table, argument: bool, name: str) -> str:
    """main, which compares with what the net computes; with another theta, where that is an argument."""
    most = 10 * max(layer.n_in for layer in table.layers)
    if argument:
        net = net.copy()
        net.params = (np.arange(table.P) * 37 % 101 - 50.0) / most
    random = np.random.default_rng(0)
    z, u = random.standard_normal(table.n_0), random.standard_normal(table.m).astype(net.dtype)
    shift, scale = table.input or (0, 1)
    x = (z * scale + shift).astype(net.dtype)
    y, Jx, J = net.linearize(x)
    found = {
        "y": y,
        "jx": Jx,
        "grad_theta": net.vjp(x, u),
        "grad_x": u @ Jx,
        "hxx": net.input_hessian(x, u),
    }
    rows = table.m * table.P <= MOST_ROWS
    if rows:
        found["jtheta"] = J.to_dense()
    arrays = numbers.array("F(test_x)", x, table.dtype) + numbers.array("F(test_u)", u, table.dtype)
    checks = []
    for what, a in found.items():
        arrays += f"static const double F(test_{what})[2] = {{{', '.join(map(repr, _sums(a)))}}};\n"
        checks.append(f'    wrong += F(differs)("{what}", {what}, {a.size}, F(test_{what}));')
    return PROGRAM.format(
        arrays=arrays,
        checks="\n".join(checks),
        theta="theta, " if argument else "",
        fill=FILL.format(P=table.P, most=most) if argument else "",
        name=name,
        m=table.m,
        n_0=table.n_0,
        P=table.P,
        jx=table.m * table.n_0,
        hxx=table.n_0**2,
        rows=table.m * table.P if rows else 1,
        jtheta="jtheta" if rows else "NULL",
        tolerance="1e-13" if table.dtype.itemsize == 8 else "1e-5",
    )


def _sums(a: Array) -> tuple[float, float]:
    flat = a.ravel().astype(float)
    weights = 1.0 + np.arange(flat.size) % 7
    return float(weights @ flat), float(weights @ abs(flat))
