"""The functions of one net in C, as text, from the pieces of kernels.h and of its activations (symbols: DESIGN).

    forward     h^(k), f'(v^(k)), f''(v^(k))
    rows        delta^(k-1) = delta^(k) W^(k) diag(f'(v^(k-1))), of r rows a sample: dy/dx, dy/dtheta, gradients
    hess        sum_k A^(k)T diag(curve^(k)) A^(k),    A^(k) = dv^(k)/dx,    curve^(k) = d(u^T y)/dh^(k) f''(v^(k))

Inputs are scaled in forward; derivatives in x are of the scaled ones until they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import ceil, prod
from typing import NamedTuple

from deltanet._activations import REGISTRY
from deltanet._export import numbers, pieces
from deltanet._types import Array, DType, Pair, Scaling

CORE, OURS = "deltanet._core", "deltanet._export"

LOOP = """\
/* {name}: h = f(h), and f' and f'' where orders say so */
DN_INLINE void F({f})(int orders, real *DN_RESTRICT h, real *DN_RESTRICT fprime, real *DN_RESTRICT second, int n)
{{
    const F(parameters) a = {{{values}}};
    int i, k;
    for (i = 0; i < n; i += DN_LANES) {{{far}
        for (k = i; k < i + DN_LANES; k++) {{
            const F(triple) t = F({element})(DN_FUSED, h[k], a);
            h[k] = t.f;
            if (orders > 0) fprime[k] = t.slope;
            if (orders > 1) second[k] = t.second;
        }}
    }}
}}

static void F({f}_0)(real *h, int n) {{ F({f})(0, h, NULL, NULL, n); }}
static void F({f}_1)(real *h, real *fprime, int n) {{ F({f})(1, h, fprime, NULL, n); }}
static void F({f}_2)(real *h, real *fprime, real *second, int n) {{ F({f})(2, h, fprime, second, n); }}
"""
FAR = """
        int far = 0;
        for (k = i; k < i + DN_LANES; k++) far |= !(fabs((double)h[k]) <= (double)F(last_sin));
        if (far) {{
            for (k = i; k < i + DN_LANES; k++) {{
                const F(triple) t = F(far_{name})(h[k]);
                h[k] = t.f;
                if (orders > 0) fprime[k] = t.slope;
                if (orders > 1) second[k] = t.second;
            }}
            continue;
        }}"""
OF_C_CODE = """\
/* By the C code that it was registered with */
DN_INLINE F(triple) F({element})(int fused DN_UNUSED, real local_field, F(parameters) a DN_UNUSED)
{{
    const double v = (double)local_field;
    double f = 0, slope = 0, second = 0;
    {code}
    F(triple) result = {{(real)f, (real)slope, (real)second}};
    return result;
}}
"""


class Layer(NamedTuple):
    """Counts, the places of W and b in theta (-1: no bias), the activation, and the name of its loop."""

    n_in: int
    n: int
    offset: int
    bias_offset: int
    activation: str
    parameters: tuple[float, ...]
    function: str

    @property
    def coupled(self) -> bool:
        return REGISTRY[self.activation].couples

    @property
    def log(self) -> int:
        return int(self.activation == "log_softmax")

    @property
    def half(self) -> str:
        """c of a coupled output's M."""
        return "1 / (real)2" if self.log else "1"

    @property
    def curved(self) -> bool:
        return self.activation != "identity"


class CNet:
    """What the text of a net is made from."""

    def __init__(
        self,
        sizes: tuple[int, ...],
        pairs: list[Pair],
        biases: tuple[bool, ...],
        theta: Array,
        scalings: tuple[Scaling | None, Scaling | None],
        dtype: DType,
    ) -> None:
        self.n_0, self.m, self.P, self.theta, self.dtype = (
            sizes[0],
            sizes[-1],
            theta.size,
            theta,
            dtype,
        )
        self.input, self.output = scalings
        self.lanes = 32 // dtype.itemsize
        self.columns, self.widest = self.padded(self.n_0), self.padded(max(sizes))
        self.units = max(sizes[1:])
        kinds = list(dict.fromkeys(pairs))
        self.layers: list[Layer] = []
        offset = 0
        for pair, bias, n_in, n in zip(pairs, biases, sizes, sizes[1:], strict=False):
            same = [kind for kind in kinds if kind[0] == pair[0]]
            function = pair[0] + (str(same.index(pair) + 1) if len(same) > 1 else "")
            end = offset + n_in * n
            self.layers.append(Layer(n_in, n, offset, end if bias else -1, *pair, function))
            offset = end + n * bias

    def padded(self, n: int) -> int:
        """So many numbers in whole lanes."""
        return ceil(n / self.lanes) * self.lanes

    def h(self, k: int) -> str:
        """Where h^(k) is."""
        return f"w->h{k}" if k or self.input else "x"

    @property
    def evaluation(self) -> list[str]:
        """The arrays of `work` that eval and vjp use."""
        fields = [f"h0[{self.columns}]"] if self.input else []
        for k, layer in enumerate(self.layers, 1):
            fields += [f"h{k}[{self.padded(layer.n)}]", f"fprime{k}[{self.padded(layer.n)}]"]
        return [*fields, f"rows[2][{self.m * self.widest}]"]

    @property
    def bends(self) -> list[str]:
        """Those that hess uses beside them."""
        wide = self.units * self.columns
        fields = [f"curve{k}[{self.padded(layer.n)}]" for k, layer in enumerate(self.layers, 1)]
        return [
            *fields,
            f"A[{wide}]",
            f"T[{wide}]",
            f"H[{self.n_0 * self.columns}]",
            f"ab[2][{self.columns}]",
        ]


def space(net: CNet) -> str:
    """The struct in `work`."""
    return (
        "typedef struct { /* in work; eval and vjp take its first line alone */\n"
        f"    real {', '.join(net.evaluation)};\n    real {', '.join(net.bends)};\n}} F(space);\n"
    )


def nbytes(net: CNet, fields: list[str]) -> int:
    """Of arrays in `work`."""
    lengths = [prod(map(int, re.findall(r"\[(\d+)\]", field))) for field in fields]
    return sum(lengths) * net.dtype.itemsize


def output(net: CNet) -> str:
    """y = h^(L) scale + shift"""
    h = f"w->h{len(net.layers)}"
    if net.output is None:
        return f"memcpy(y, {h}, sizeof(real) * {net.m});"
    loop = f"for (int j = 0; j < {net.m}; j++)"
    return f"{loop} y[j] = {h}[j] * F(output_scale)[j] + F(output_shift)[j];"


def constants(net: CNet, with_theta: bool) -> str:
    """theta and the scalings."""
    text = numbers.array("F(theta)", net.theta, net.dtype) if with_theta else ""
    for side, scaling in (("input", net.input), ("output", net.output)):
        for what, values in zip(("shift", "scale"), scaling or (), strict=False):
            text += numbers.array(f"F({side}_{what})", values, net.dtype)
    return text


def helpers(net: CNet, libm: bool) -> Iterator[str]:
    """The pieces that the functions below need, and the loops of the activations."""
    bits = 8 * net.dtype.itemsize
    found = {piece.name: piece for piece in pieces.read(CORE, "vecmath_type.h", bits)}
    for header in ("kernels.h", *["libm_math.h"] * libm):
        found |= {piece.name: piece for piece in pieces.read(OURS, header, bits)}
    wanted, loops = ["product", "affine", "outer", "scaled", "widened", "bend", "symmetric"], []
    for layer in {layer.function: layer for layer in net.layers}.values():
        name, element = layer.activation, f"element_{layer.activation}"
        if layer.coupled:
            wanted += ["softmax", "coupled", "coupled_part"]
        if layer.coupled or not layer.curved:
            continue
        functions = REGISTRY[name].functions
        far = name in ("sin", "cos") and not libm
        if functions is not None:
            wanted += ["triple", "parameters"]
            loops.append(OF_C_CODE.format(element=element, code=functions.c_code))
        else:
            wanted += [element, *[f"far_{name}"] * far]
        values = ", ".join(numbers.parameters(*(*layer.parameters, 0.0, 0.0)[:2], net.dtype))
        loops.append(
            LOOP.format(
                f=layer.function,
                element=element,
                name=name,
                values=values,
                far=FAR.format(name=name) if far else "",
            )
        )
    for piece in pieces.needed(found.values(), wanted):
        yield piece.text + "\n"
    yield from loops


def forward(net: CNet) -> str:
    lines = ["/* orders: 0 for h alone, 1 also f', 2 also f'' */"]
    lines += [
        "static void F(forward)(int orders, const real *theta, const real *x, F(space) *w)",
        "{",
    ]
    if net.input:
        lines += [
            "    int i;",
            f"    for (i = 0; i < {net.n_0}; i++) "
            "w->h0[i] = (x[i] - F(input_shift)[i]) / F(input_scale)[i];",
        ]
    for k, layer in enumerate(net.layers, 1):
        b = f"theta + {layer.bias_offset}" if layer.bias_offset >= 0 else "NULL"
        n = net.padded(layer.n)
        lines.append(
            f"    F(affine)(w->h{k}, theta + {layer.offset}, {b}, {net.h(k - 1)}, {layer.n_in}, {layer.n});"
        )
        if layer.coupled:
            lines.append(f"    F(softmax)(w->h{k}, w->fprime{k}, {layer.log}, {layer.n});")
        elif layer.curved:
            f = layer.function
            lines.append(f"    if (orders == 0) F({f}_0)(w->h{k}, {n});")
            lines.append(f"    else if (orders == 1) F({f}_1)(w->h{k}, w->fprime{k}, {n});")
            lines.append(f"    else F({f}_2)(w->h{k}, w->fprime{k}, w->curve{k}, {n});")
    return "\n".join([*lines, "}"]) + "\n"


def rows(net: CNet) -> str:
    """delta of r rows a sample down the layers: dy/dtheta and dy/dx, or the gradients of u^T y."""
    text = ""
    for r, name, seed in ((net.m, "rows", _identity(net)), (1, "gradients", _seed(net))):
        given = "const real *u, " if r == 1 else ""
        lines = [
            f"static void F({name})(const real *theta, const real *x, {given}F(space) *w, real *jtheta, real *jx)",
            "{",
        ]
        lines += ["    int j" + ", o" * (r > 1) + ";", *seed]
        for k in range(len(net.layers), 0, -1):
            layer, now, next_ = net.layers[k - 1], f"w->rows[{k % 2}]", f"w->rows[{1 - k % 2}]"
            bias = int(layer.bias_offset >= 0)
            lines.append(
                f"    if (jtheta) F(outer)(jtheta + {layer.offset}, {net.P}, {now}, {net.widest}, {net.h(k - 1)}, "
                f"{r}, {layer.n}, {layer.n_in}, {bias});"
            )
            if k > 1:
                slope = f"w->fprime{k - 1}" if net.layers[k - 2].curved else "NULL"
                lines.append(f"    {_product(next_, net.widest, now, net.widest, layer, slope, r)}")
        first, now = net.layers[0], "w->rows[1]"
        lines.append(
            f"    if (jx) {{\n        {_product('jx', net.n_0, now, net.widest, first, 'NULL', r)}"
        )
        if net.input:
            lines.append(
                f"        for (j = 0; j < {r * net.n_0}; j++) jx[j] /= F(input_scale)[j % {net.n_0}];"
            )
        text += "\n".join([*lines, "    }", "}"]) + "\n\n"
    return text


def _product(out: str, out_row: int, A: str, a_row: int, layer: Layer, slope: str, r: int) -> str:
    """out = A W diag(slope)"""
    return (
        f"{{ const F(sums) p = {{{out}, {out_row}, {A}, {a_row}, 1, theta + {layer.offset}, {layer.n_in}, {slope}, 0, "
        f"{layer.n}}}; F(product)(p, {r}, {layer.n_in}); }}"
    )


def _scale(net: CNet, j: str) -> str:
    return f"F(output_scale)[{j}]" if net.output else "1"


def _identity(net: CNet) -> list[str]:
    """delta^(L) of all outputs, into the rows of the last layer."""
    last, k, m = net.layers[-1], len(net.layers), net.m
    at = f"w->rows[{k % 2}]"
    lines = [f"    for (o = 0; o < {m}; o++) {{"]
    if last.coupled:
        lines += [
            f"        for (j = 0; j < {m}; j++) {at}[o * {net.widest} + j] = j == o ? {_scale(net, 'o')} : 0;",
            f"        F(coupled)({at} + o * {net.widest}, NULL, w->fprime{k}, {last.log}, {m});",
        ]
    else:
        slope = f"w->fprime{k}[o]" if last.curved else "1"
        value = " * ".join([part for part in (_scale(net, "o"), slope) if part != "1"]) or "1"
        lines.append(
            f"        for (j = 0; j < {m}; j++) {at}[o * {net.widest} + j] = j == o ? {value} : 0;"
        )
    return [*lines, "    }"]


def _seed(net: CNet, curve: bool = False) -> list[str]:
    """delta^(L) of u^T y, and curve^(L) where f'' is in its place."""
    last, k, m = net.layers[-1], len(net.layers), net.m
    at = f"w->rows[{k % 2}]"
    scaled = f"u[j] * {_scale(net, 'j')}" if net.output else "u[j]"
    lines = [f"    for (j = 0; j < {m}; j++) {at}[j] = {scaled};"]
    if last.coupled:
        given = f"w->curve{k}" if curve else "NULL"
        lines.append(f"    F(coupled)({at}, {given}, w->fprime{k}, {last.log}, {m});")
    elif last.curved and curve:
        lines.append(f"    F(bend)({at}, w->curve{k}, w->fprime{k}, {m});")
    elif last.curved:
        lines.append(f"    for (j = 0; j < {m}; j++) {at}[j] *= w->fprime{k}[j];")
    return lines


def bends(net: CNet) -> str:
    """d2(u^T y)/dx dx, from the forward pass with f'' on."""
    lines = [
        "static void F(bends)(const real *theta, const real *u, F(space) *w, real *hxx)",
        "{",
        "    int j;",
    ]
    lines += _seed(net, True)
    for k in range(len(net.layers), 1, -1):
        layer, below = net.layers[k - 1], net.layers[k - 2]
        now, next_ = f"w->rows[{k % 2}]", f"w->rows[{1 - k % 2}]"
        lines.append(f"    {_product(next_, net.widest, now, net.widest, layer, 'NULL', 1)}")
        if below.curved:
            lines.append(f"    F(bend)({next_}, w->curve{k - 1}, w->fprime{k - 1}, {below.n});")
    last = max((k for k, layer in enumerate(net.layers, 1) if layer.curved), default=0)
    C, added = net.columns, 0
    lines.append(f"    for (j = 0; j < {net.n_0 * C}; j++) w->H[j] = 0;")
    for k in range(1, last + 1):
        layer = net.layers[k - 1]
        W = f"theta + {layer.offset}"
        if k == 1:
            lines.append(f"    F(widened)(w->A, {W}, {layer.n}, {layer.n_in}, {C});")
        else:
            lines.append(
                f"    {{ const F(sums) p = {{w->A, {C}, {W}, {layer.n_in}, 1, w->T, {C}, NULL, 0, {layer.n_in}}}; "
                f"F(product)(p, {layer.n}, {C}); }}"
            )
        if layer.curved:
            lines.append(f"    F(scaled)(w->T, w->curve{k}, w->A, {layer.n}, {C});")
            lines.append(
                f"    {{ const F(sums) p = {{w->H, {C}, w->T, 1, {C}, w->A, {C}, NULL, 1, {layer.n}}}; "
                f"F(product)(p, {net.n_0}, {C}); }}"
            )
        if layer.coupled:
            for i, left in enumerate((f"w->curve{k}", f"w->fprime{k}")):
                lines.append(
                    f"    {{ const F(sums) p = {{w->ab[{i}], {C}, {left}, 1, 1, w->A, {C}, NULL, 0, {layer.n}}}; "
                    f"F(product)(p, 1, {C}); }}"
                )
            lines.append(
                f"    F(coupled_part)(w->H, w->ab[0], w->ab[1], {layer.half}, {net.n_0}, {C});"
            )
        if k < last:
            if layer.curved:
                lines.append(f"    F(scaled)(w->T, w->fprime{k}, w->A, {layer.n}, {C});")
            else:
                lines.append(f"    memcpy(w->T, w->A, sizeof w->A);")
    scale = "F(input_scale)" if net.input else "NULL"
    lines.append(f"    F(symmetric)(hxx, w->H, {scale}, {net.n_0}, {C});")
    return "\n".join([*lines, "}"]) + "\n"
