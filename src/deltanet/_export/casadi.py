"""The entry points by which `casadi.external` finds a net and its derivatives in the library of an exported file.

    f           (x) -> (y)                                            (x, theta) with theta as an argument
    jac_f       (x, out_y) -> (jac_y_x)
    adj1_f      (x, out_y, adj_y) -> (adj_x)
    jac_adj1_f  (x, out_y, adj_y, out_adj_x) -> (jac_adj_x_x, jac_adj_x_out_y, jac_adj_x_adj_y)

Matrices are stored column by column there. All are dense, but those with respect to an output (`out_`), which nothing
depends on: they are empty, as CasADi's own generator has them. There must be no forward derivative: CasADi would prefer
it, and its Hessians would cost a call a column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from deltanet._export.table import Table

MOST_PARAMS = 1000  # of theta as an argument: each has a Hessian-vector product

DECLARATIONS = """\
/* CasADi */
#if defined(_WIN32)
#define DN_EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define DN_EXPORT __attribute__((visibility("default")))
#else
#define DN_EXPORT
#endif

static void F(transposed)(double *out, const double *in, int rows, int columns)
{
    int i, o;
    for (o = 0; o < rows; o++)
        for (i = 0; i < columns; i++) out[i * rows + o] = in[o * columns + i];
}

#ifdef __cplusplus
extern "C" {
#endif
"""
END = """\
#ifdef __cplusplus
}
#endif
"""
LIST = """\
DN_EXPORT const {kind} *{f}_{what}_{side}(long long i)
{{
    static const {kind} *const blocks[] = {{{entries}}};
    return i < 0 || i >= {count} ? NULL : blocks[i];
}}
"""
ENTRY = """\
DN_EXPORT long long {f}_n_in(void) {{ return {n_in}; }}
DN_EXPORT long long {f}_n_out(void) {{ return {n_out}; }}
{lists}DN_EXPORT int {f}_work(long long *sz_arg, long long *sz_res, long long *sz_iw, long long *sz_w)
{{
    if (sz_arg) *sz_arg = {n_in};
    if (sz_res) *sz_res = {n_out};
    if (sz_iw) *sz_iw = 0;
    if (sz_w) *sz_w = {work};
    return 0;
}}
DN_EXPORT int {f}(const double **arg, double **res, long long *iw DN_UNUSED, double *w, int mem DN_UNUSED)
{{
    const double *x = arg[0] ? arg[0] : F(zeros){given};
{body}
    return 0;
}}
"""


class Block(NamedTuple):
    """An argument or a result: its name and shape. An empty one has no numbers."""

    name: str
    rows: int
    columns: int
    empty: bool = False

    @property
    def shape(self) -> str:
        return f"F(shape_{self.rows}_{self.columns}{'_empty' * self.empty})"

    @property
    def pattern(self) -> str:
        """CasADi's compressed columns, or 1 of a dense matrix."""
        behind = ["0"] * (self.columns + 1) if self.empty else ["1"]
        return ", ".join([str(self.rows), str(self.columns), *behind])


def entries(net: Table, name: str, argument: bool) -> str:
    """All of them, as text."""
    y = Block("y", net.m, 1)
    inputs = [Block("x", net.n_0, 1), *[Block("theta", net.P, 1)] * argument]
    out_y, adj_y = Block("out_y", net.m, 1, True), Block("adj_y", net.m, 1)
    adjoints = [Block(f"adj_{a.name}", a.rows, 1) for a in inputs]
    out_adjoints = [Block(f"out_{a.name}", a.rows, 1, True) for a in adjoints]
    below = [*inputs, out_y, adj_y]
    functions = [
        (name, inputs, [y]),
        (f"jac_{name}", [*inputs, out_y], [_jacobian(y, a) for a in inputs]),
        (f"adj1_{name}", below, adjoints),
    ]
    if second_derivatives(net.P, argument):
        blocks = [_jacobian(g, a) for g in adjoints for a in below]
        functions.append((f"jac_adj1_{name}", [*below, *out_adjoints], blocks))
    kinds = {block.shape: block for _, *sides in functions for side in sides for block in side}
    text = DECLARATIONS
    for shape, block in kinds.items():
        pattern = block.pattern
        text += f"static const long long {shape}[{pattern.count(',') + 1}] = {{{pattern}}};\n"
    zeros = max(block.rows for block in below if not block.empty)
    text += f"static const double F(zeros)[{zeros}] = {{0}};\n"
    space = (
        f"(long long)((DN_WORK + sizeof(double) - 1) / sizeof(double)) + {_scratch(net, argument)}"
    )
    for (f, ins, outs), body in zip(functions, _bodies(net, argument), strict=False):
        text += "\n" + _entry(f, ins, outs, space, argument, body)
    return text + END


def second_derivatives(P: int, argument: bool) -> bool:
    """Whether there is a jac_adj1."""
    return not argument or P <= MOST_PARAMS


def _jacobian(of: Block, by: Block) -> Block:
    return Block(f"jac_{of.name}_{by.name}", of.rows, by.rows, by.empty)


def _scratch(net: Table, argument: bool) -> int:
    """Numbers behind the workspace: a matrix that is stored by rows, or a direction."""
    return net.m * net.n_0 + (net.m * net.P + 2 * net.P + net.n_0) * argument


def _entry(
    f: str, ins: Sequence[Block], outs: Sequence[Block], work: str, argument: bool, body: str
) -> str:
    lists = ""
    for what, kind in (("name", "char"), ("sparsity", "long long")):
        for side, blocks in (("in", ins), ("out", outs)):
            listed = [f'"{each.name}"' if what == "name" else each.shape for each in blocks]
            lists += LIST.format(
                f=f, what=what, kind=kind, side=side, entries=", ".join(listed), count=len(blocks)
            )
    return ENTRY.format(
        f=f,
        n_in=len(ins),
        n_out=len(outs),
        lists=lists,
        work=work,
        given=",\n                 *theta = arg[1] ? arg[1] : F(zeros)" if argument else "",
        body=body,
    )


def _bodies(net: Table, argument: bool) -> Iterator[str]:
    """What each function does, from x, and theta, on."""
    theta = "theta, " if argument else ""
    behind = "w + (DN_WORK + sizeof(double) - 1) / sizeof(double)"
    at = 2 + argument  # where adj_y is among the arguments
    u = f"    const double *u = arg[{at}] ? arg[{at}] : F(zeros);\n"
    m, n_0, P = net.m, net.n_0, net.P
    yield f"    if (res[0]) F(eval)({theta}x, res[0], NULL, NULL, w);"
    rows = f"    double *jx = {behind};\n"
    if argument:
        rows += f"    double *jtheta = jx + {m * n_0};\n"
        rows += "    if (res[0] || res[1]) F(eval)(theta, x, NULL, res[0] ? jx : NULL, res[1] ? jtheta : NULL, w);\n"
        rows += f"    if (res[1]) F(transposed)(res[1], jtheta, {m}, {P});\n"
    else:
        rows += "    if (res[0]) F(eval)(x, NULL, jx, NULL, w);\n"
    yield rows + f"    if (res[0]) F(transposed)(res[0], jx, {m}, {n_0});"
    yield u + f"    F(vjp)({theta}x, u, {'res[1]' if argument else 'NULL'}, res[0], w);"
    if not argument:
        yield u + (
            "    if (res[0]) F(hess)(x, u, res[0], w);\n"
            "    if (res[2]) F(eval)(x, NULL, res[2], NULL, w);"
        )
        return
    yield (
        u
        + f"""\
    double *v = {behind}, *column = v + {P + n_0};
    int i, p;
    if (res[0]) F(hess)(theta, x, u, res[0], w);
    if (res[3] || res[7]) F(eval)(theta, x, NULL, res[3], res[7], w);
    if (!res[1] && !res[4] && !res[5]) return 0;
    F(bent)(theta, x, u, (F(space) *)(void *)w);
    for (p = 0; p < {P + n_0}; p++) v[p] = 0;
    for (i = 0; (res[1] || res[4]) && i < {n_0}; i++) {{ /* a column of d adj_theta / dx, a row of d adj_x / dtheta */
        double *to = res[4] ? res[4] + i * {P} : column;
        v[{P} + i] = 1;
        F(along)(theta, x, (F(space) *)(void *)w, NULL, v + {P}, to);
        v[{P} + i] = 0;
        for (p = 0; res[1] && p < {P}; p++) res[1][p * {n_0} + i] = to[p];
    }}
    for (p = 0; res[5] && p < {P}; p++) {{
        v[p] = 1;
        F(along)(theta, x, (F(space) *)(void *)w, v, NULL, res[5] + p * {P});
        v[p] = 0;
    }}"""
    )
