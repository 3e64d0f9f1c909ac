"""export_c: one net as one file of C. Its parts are those of elements, table, passes, casadi and c_test."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from deltanet._activations import registered
from deltanet._config import __version__
from deltanet._export import casadi, names, passes, table
from deltanet._export.c_test import program
from deltanet._export.elements import helpers
from deltanet._export.numbers import finite
from deltanet._export.pieces import own_file
from deltanet._export.table import Table
from deltanet._io._files import replacing

if TYPE_CHECKING:
    from deltanet._mlp import MLP

MOST_PARAMS = 4_000_000
MOST_BYTES = 2**31  # of theta, and of the workspace: counts in C are int
MACROS = {
    "DN_TERMS": "(c_odd, c_even) odd = F(fma)(fused, odd, x2, c_odd), even = F(fma)(fused, even, x2, c_even);",
    "DN_RETURN": "(f, slope, second) do { F(triple) result_ = {f, slope, second}; return result_; } while (0)",
}
EXACT = """\
/* Activations: a product is added to a sum in one rounding only where the text says so, and selects are vectorised */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("no-fast-math", "no-math-errno", "no-trapping-math", "fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif
"""
CONTRACTED = """\
/* Sums of products */
#if defined(__clang__)
#pragma STDC FP_CONTRACT ON
#elif defined(__GNUC__)
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC optimize("fp-contract=fast")
#elif defined(_MSC_VER)
#pragma fp_contract(on)
#endif
"""
RESTORED = """\
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
"""
SIZES = """\
#define DN_INPUTS {n_0}
#define DN_OUTPUTS {m}
#define DN_PARAMS {P}
#define DN_WORK {work} /* bytes of `work` */
#define DN_EVAL_WORK {eval_work} /* bytes of it that eval and vjp use */

"""
PROTOTYPES = """\
#ifdef __cplusplus
extern "C" {{
#endif
void F(eval)({theta}const real *x, real *y, real *jx, real *jtheta, void *work);
void F(vjp)({theta}const real *x, const real *u, real *grad_theta, real *grad_x, void *work);
void F(hess)({theta}const real *x, const real *u, real *hxx, void *work);
size_t F(work_size)(void);
#ifdef __cplusplus
}}
#endif
"""
FUNCTIONS = """\
void F(eval)({theta}const real *x, real *y, real *jx, real *jtheta, void *work)
{{
    F(space) *w = (F(space) *)work;
    F(forward)(jx || jtheta, {own}, x, w);
    if (jx || jtheta) F(rows)({own}, x, w, jtheta, jx);
    if (y) {output}
}}

void F(vjp)({theta}const real *x, const real *u, real *grad_theta, real *grad_x, void *work)
{{
    F(space) *w = (F(space) *)work;
    F(forward)(1, {own}, x, w);
    F(gradients)({own}, x, w, grad_theta, grad_x, u);
}}

void F(hess)({theta}const real *x, const real *u, real *hxx, void *work)
{{
    F(space) *w = (F(space) *)work;
    F(forward)(2, {own}, x, w);
    F(bends)({own}, u, w, hxx);
}}

size_t F(work_size)(void) {{ return sizeof(F(space)); }}
"""
COMMENT = """\
/* {name}: a multi-layer perceptron and its derivatives, written by deltanet {version}.
 *
 * {sizes}, {activations}, in {type}
 *
 *   F(eval)({theta}x, y, jx, jtheta, work)         y (m,), dy/dx (m, n_0), dy/dtheta (m, P); NULL: not wanted
 *   F(vjp)({theta}x, u, grad_theta, grad_x, work)  gradients of u^T y: (P,), (n_0,); NULL: not wanted
 *   F(hess)({theta}x, u, hxx, work)                d2(u^T y)/dx dx (n_0, n_0)
 *   F(work_size)()                                 bytes of work, which is aligned as {type} is and keeps nothing
 *
 * n_0 = {n_0}, m = {m}, P = {P}. Arrays are C-contiguous; theta is W row by row and b of one layer after the other.
 * Results must not overlap arguments. No memory is allocated, no state kept: threads need a work each. The stack grows
 * by less than 8 kB. C99 or C++17; -lm; fastest with -O3 and the processor's own instructions, as by -march=native.
 * With -D{upper}_TEST it is a program that compares itself with results of deltanet.
 */
"""


def export_c(
    net: MLP,
    path: str | os.PathLike[str],
    name: str | None,
    argument: bool,
    libm: bool,
    header: bool,
    external: bool = False,
) -> None:
    path = Path(path)
    name = names.check(path.stem if name is None else name)
    if header and path.suffix == ".h":
        raise ValueError(
            f"path must not end in .h where a header is written beside it, got {str(path)!r}"
        )
    text, declared = c_text(net, name, argument, libm, external)
    with replacing(path) as partial:
        partial.write_text(text, encoding="ascii", newline="\n")
    if header:
        with replacing(path.with_suffix(".h")) as partial:
            partial.write_text(declared, encoding="ascii", newline="\n")
    if external and not casadi.second_derivatives(net.num_params, argument):
        warnings.warn(
            f"CasADi will find no second derivatives of {name!r}: with params='argument' they are written for at most "
            f"{casadi.MOST_PARAMS} parameters, the net has {net.num_params}",
            UserWarning,
            stacklevel=3,
        )


def c_text(
    net: MLP,
    name: str,
    argument: bool = False,
    libm: bool = False,
    external: bool = False,
    test: bool = True,
) -> tuple[str, str]:
    """The file, with or without its test, and its header."""
    if external and net.dtype.itemsize == 4:  # CasADi computes in double
        net = net.astype("float64")
    at = Table(net)
    checked(net, at, argument)
    along = external and argument and casadi.second_derivatives(at.P, argument)
    groups = [at.evaluation, at.bends, *[at.directions] * along]
    facts = {
        "name": name,
        "upper": name.upper(),
        "version": __version__,
        "sizes": "-".join(map(str, net.sizes)),
        "activations": ", ".join(map(str, net.activations)),
        "type": "double" if net.dtype.itemsize == 8 else "float",
        "n_0": at.n_0,
        "m": at.m,
        "P": at.P,
        "eval_work": at.nbytes(groups[:1]),
        "work": at.nbytes(groups),
        "output": passes.output(at),
    }
    theta, own = ("const real *theta, ", "theta") if argument else ("", "F(theta)")
    sizes, prototypes = SIZES.format(**facts), PROTOTYPES.format(theta=theta)
    pieces = "\n".join(helpers(at, libm, along)).replace("RETURN(", "DN_RETURN(")
    macros = [f"#define {macro}{text}\n" for macro, text in MACROS.items() if macro in pieces]
    parts = [
        COMMENT.format(theta="theta, " if argument else "", **facts),
        own_file("preamble.h"),
        sizes + prototypes,
        EXACT,
        *macros,
        pieces,
        CONTRACTED,
        table.constants(at, not argument),
        table.space(groups),
        passes.forward(at),
        passes.rows(at),
        passes.bends(at),
        FUNCTIONS.format(theta=theta, own=own, **facts),
        *[passes.directional(at)] * along,
        *[casadi.entries(at, name, argument)] * external,
        RESTORED,
        program(net, at, argument, name) if test else "",
    ]
    declared = HEADER.format(sizes=sizes, prototypes=prototypes)
    return named("\n".join(parts), name, at), named(declared, name, at)


HEADER = """\
#ifndef DN_H
#define DN_H

#include <stddef.h>

{sizes}{prototypes}
#endif
"""


def checked(net: MLP, at: Table, argument: bool) -> None:
    """Refuse what cannot be written."""
    for k, functions in registered(net.activations):
        if functions.c_code is None:
            raise ValueError(
                f"C needs c_code of activation {functions.name!r} of layer {k}: give it to register_activation"
            )
    if at.nbytes([at.bends]) + net.params.nbytes > MOST_BYTES:
        raise ValueError(
            f"the arrays of net {'-'.join(map(str, net.sizes))} would need more than {MOST_BYTES} bytes in C: use the "
            "C interface (deltanet.h)"
        )
    if argument:
        return
    if net.num_params > MOST_PARAMS:
        raise ValueError(
            f"a file holds at most {MOST_PARAMS} parameters as constants, the net has {net.num_params}: "
            "use params='argument', or the C interface (deltanet.h)"
        )
    finite(net.params, "params")


def named(text: str, name: str, net: Table) -> str:
    """With its own names, for one type."""
    double = net.dtype.itemsize == 8
    text = re.sub(r"\bF\((\w+)\)", rf"{name}_\1", text)
    text = re.sub(r"\bM\((\w+)\)", r"\1" if double else r"\1f", text)
    text = re.sub(r"\breal\b", "double" if double else "float", text)
    return re.sub(r"\bDN_(?=\w)", f"{name.upper()}_", text)
