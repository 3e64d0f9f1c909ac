"""The passes through one net in C, as text; their steps are functions of kernels.h (symbols: DESIGN).

    forward            h^(k), f'(v^(k)), f''(v^(k))
    rows, gradients    delta^(k-1) = delta^(k) W^(k) diag(f'(v^(k-1))): dy/dtheta and dy/dx, or those of u^T y
    bends              sum_k A^(k)T diag(curve^(k)) A^(k),   A^(k) = dv^(k)/dx,   curve^(k) = d(u^T y)/dh^(k) f''(v^(k))
    bent, along        the Hessian of u^T y in theta and (theta, x), times a direction

Inputs are scaled in forward; derivatives in x are of scaled inputs until they are written. Rows take turns:
those of layer k are in w->rows[k % 2].
"""

from __future__ import annotations

from deltanet._export.table import Layer, Table


def function(signature: str, lines: list[str]) -> str:
    """One function; its lines are indented here."""
    return f"static void {signature}\n{{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def product(
    out: tuple[str, int],
    A: tuple[str, int, int],
    B: tuple[str, int],
    shape: tuple[int, int, int],
    slope: str = "NULL",
    add: int = 0,
) -> str:
    """out = A B of (rows, inner, columns): out and B with the distance of rows, A also with that of columns."""
    rows, inner, columns = shape
    parts = (*out, *A, *B, slope, add, inner, rows, columns)
    return f"F(product)({', '.join(map(str, parts))});"


def at(k: int) -> str:
    return f"w->rows[{k % 2}]"


def through(net: Table, layer: Layer, r: int, slope: str = "NULL") -> str:
    """The rows of layer k - 1: delta^(k) W^(k) diag(slope)"""
    return product(
        (at(layer.k - 1), net.widest),
        (at(layer.k), net.widest, 1),
        (layer.W, layer.n_in),
        (r, layer.n, layer.n_in),
        slope,
    )


def forward(net: Table) -> str:
    lines = []
    if net.input:
        lines += [
            "int i;",
            f"for (i = 0; i < {net.n_0}; i++) w->h0[i] = (x[i] - F(input_shift)[i]) / F(input_scale)[i];",
        ]
    for layer in net.layers:
        k, n, f = layer.k, net.padded(layer.n), layer.loop
        b = f"theta + {layer.bias_offset}" if layer.has_bias else "NULL"
        lines.append(
            f"F(affine)(w->h{k}, {layer.W}, {b}, {net.h(k - 1)}, {layer.n_in}, {layer.n});"
        )
        if layer.coupled:
            lines.append(f"F(softmax)(w->h{k}, w->fprime{k}, {layer.log}, {layer.n});")
        elif layer.curved:
            lines += [
                f"if (orders == 0) F({f}_0)(w->h{k}, {n});",
                f"else if (orders == 1) F({f}_1)(w->h{k}, w->fprime{k}, {n});",
                f"else F({f}_2)(w->h{k}, w->fprime{k}, w->curve{k}, {n});",
            ]
    signature = "F(forward)(int orders DN_UNUSED, const real *theta, const real *x, F(space) *w)"
    return "/* orders: 0 of h alone, 1 also of f', 2 also of f'' */\n" + function(signature, lines)


def output(net: Table) -> str:
    """y = h^(L) scale + shift"""
    h = f"w->h{net.last.k}"
    if net.output is None:
        return f"memcpy(y, {h}, sizeof(real) * {net.m});"
    return f"for (int j = 0; j < {net.m}; j++) y[j] = {h}[j] * F(output_scale)[j] + F(output_shift)[j];"


def rows(net: Table) -> str:
    """Of every output, and of u^T y."""
    given = (
        "const real *theta DN_UNUSED, const real *x DN_UNUSED, F(space) *w, real *jtheta, real *jx"
    )
    return (
        function(f"F(rows)({given})", ["int j, o;", *_identity(net), *_down(net, net.m)])
        + "\n"
        + function(f"F(gradients)({given}, const real *u)", ["int j;", *_seed(net), *_down(net, 1)])
    )


def _down(net: Table, r: int) -> list[str]:
    lines = []
    for layer in reversed(net.layers):
        k = layer.k
        lines.append(
            f"if (jtheta) F(outer)(jtheta + {layer.offset}, {net.P}, {at(k)}, {net.widest}, {net.h(k - 1)}, {r}, "
            f"{layer.n}, {layer.n_in}, {layer.has_bias});"
        )
        if k > 1:
            lines.append(through(net, layer, r, net.layers[k - 2].fprime))
    first = net.layers[0]
    to_x = product(
        ("jx", net.n_0), (at(1), net.widest, 1), (first.W, net.n_0), (r, first.n, net.n_0)
    )
    lines.append(f"if (jx) {to_x}")
    if net.input:
        lines.append(
            f"for (j = 0; jx && j < {r * net.n_0}; j++) jx[j] /= F(input_scale)[j % {net.n_0}];"
        )
    return lines


def _identity(net: Table) -> list[str]:
    """delta^(L) of every output."""
    last, m = net.last, net.m
    to = f"{at(last.k)}[o * {net.widest} + j]"
    factors = ["F(output_scale)[o]"] if net.output else []
    if not last.coupled and last.curved:
        factors.append(f"{last.fprime}[o]")
    each = f"{to} = j == o ? {' * '.join(factors) or '1'} : 0;"
    lines = [f"for (o = 0; o < {m}; o++) {{", f"    for (j = 0; j < {m}; j++) {each}"]
    if last.coupled:
        lines.append(
            f"    F(coupled)({at(last.k)} + o * {net.widest}, NULL, {last.fprime}, {last.log}, {m});"
        )
    return [*lines, "}"]


def _seed(net: Table, curve: bool = False) -> list[str]:
    """delta^(L) of u^T y, and curve^(L) where f'' is in its place."""
    last, m = net.last, net.m
    scaled = "u[j] * F(output_scale)[j]" if net.output else "u[j]"
    lines = [f"for (j = 0; j < {m}; j++) {at(last.k)}[j] = {scaled};"]
    if last.coupled:
        given = f"w->curve{last.k}" if curve else "NULL"
        lines.append(f"F(coupled)({at(last.k)}, {given}, {last.fprime}, {last.log}, {m});")
    elif last.curved and curve:
        lines.append(f"F(bend)({at(last.k)}, w->curve{last.k}, {last.fprime}, {m});")
    elif last.curved:
        lines.append(f"for (j = 0; j < {m}; j++) {at(last.k)}[j] *= {last.fprime}[j];")
    return lines


def _bend_down(net: Table, layer: Layer) -> list[str]:
    """delta and curve of the layer below."""
    below = net.layers[layer.k - 2]
    lines = [through(net, layer, 1)]
    if below.curved:
        lines.append(f"F(bend)({at(below.k)}, w->curve{below.k}, {below.fprime}, {below.n});")
    return lines


def bends(net: Table) -> str:
    """d2(u^T y)/dx dx, after forward with f''."""
    lines, C, n_0 = ["int j;", *_seed(net, True)], net.columns, net.n_0
    for layer in reversed(net.layers[1:]):
        lines += _bend_down(net, layer)
    lines.append(f"for (j = 0; j < {n_0 * C}; j++) w->H[j] = 0;")
    last = max((layer.k for layer in net.layers if layer.curved), default=0)
    for layer in net.layers[:last]:
        k, n = layer.k, layer.n
        if k == 1:
            lines.append(f"F(widened)(w->A, {layer.W}, {n}, {n_0}, {C});")
        else:
            lines.append(
                product(("w->A", C), (layer.W, layer.n_in, 1), ("w->T", C), (n, layer.n_in, C))
            )
        if layer.curved:
            lines.append(f"F(scaled)(w->T, w->curve{k}, w->A, {n}, {C});")
            lines.append(product(("w->H", C), ("w->T", 1, C), ("w->A", C), (n_0, n, C), add=1))
        if layer.coupled:
            for i, left in enumerate((f"w->curve{k}", layer.fprime)):
                lines.append(product((f"w->ab[{i}]", C), (left, 0, 1), ("w->A", C), (1, n, C)))
            lines.append(f"F(coupled_part)(w->H, w->ab[0], w->ab[1], {layer.half}, {n_0}, {C});")
        if k < last and layer.curved:
            lines.append(f"F(scaled)(w->T, {layer.fprime}, w->A, {n}, {C});")
        elif k < last:
            lines.append("memcpy(w->T, w->A, sizeof w->A);")
    scale = "F(input_scale)" if net.input else "NULL"
    lines.append(f"F(symmetric)(hxx, w->H, {scale}, {n_0}, {C});")
    return function(
        "F(bends)(const real *theta DN_UNUSED, const real *u, F(space) *w, real *hxx)", lines
    )


def directional(net: Table) -> str:
    """bent: delta and curve of all layers, once; along: for each direction (v, v_x), of which one may be NULL.

    ddelta^(k) = (W^(k+1)T ddelta^(k+1) + V^(k+1)T delta^(k+1)) f'(v^(k)) + curve^(k) dv^(k)
    dW^(k)     = ddelta^(k) h^(k-1)T + delta^(k) dh^(k-1)T,    db^(k) = ddelta^(k)
    """
    lines = ["int j;", "F(forward)(2, theta, x, w);", *_seed(net, True)]
    for layer in reversed(net.layers):
        lines.append(f"memcpy(w->delta{layer.k}, {at(layer.k)}, sizeof(real) * {layer.n});")
        if layer.k > 1:
            lines += _bend_down(net, layer)
    bent = function("F(bent)(const real *theta, const real *x, const real *u, F(space) *w)", lines)
    lines = ["real *up = w->rows[0], *t = w->rows[1];", "int j;", *_tangent(net)]
    for layer in reversed(net.layers):
        k = layer.k
        lines += _ddelta(net, layer)
        lines.append(
            f"F(outer_sum)(hv + {layer.offset}, up, {net.h(k - 1)}, w->delta{k}, w->dh{k - 1}, {layer.n}, {layer.n_in}, "
            f"{layer.has_bias});"
        )
    signature = "const real *theta, const real *x DN_UNUSED, F(space) *w, const real *v, const real *v_x, real *hv"
    return bent + "\n" + function(f"F(along)({signature})", lines)


def _tangent(net: Table) -> list[str]:
    """dv^(k) = W dh^(k-1) + V h^(k-1) + c,   dh^(k) = f'(v^(k)) dv^(k)"""
    scale = " / F(input_scale)[j]" if net.input else ""
    lines = [f"for (j = 0; j < {net.n_0}; j++) w->dh0[j] = v_x ? v_x[j]{scale} : 0;"]
    for layer in net.layers:
        k, n = layer.k, layer.n
        b = f"v + {layer.bias_offset}" if layer.has_bias else "NULL"
        slope = f"{layer.fprime}[j] * " if layer.curved else ""
        lines += [
            f"F(affine)(w->dv{k}, {layer.W}, NULL, w->dh{k - 1}, {layer.n_in}, {n});",
            f"if (v) F(affine)(t, v + {layer.offset}, {b}, {net.h(k - 1)}, {layer.n_in}, {n});",
            f"for (j = 0; v && j < {n}; j++) w->dv{k}[j] += t[j];",
            f"for (j = 0; j < {n}; j++) w->dh{k}[j] = {slope}w->dv{k}[j];",
        ]
    return lines[:-1]


def _ddelta(net: Table, layer: Layer) -> list[str]:
    """Into `up`, from that of the layer above."""
    k, n = layer.k, layer.n
    if layer.coupled:
        return [f"F(coupled_times)(up, w->dv{k}, w->curve{k}, {layer.fprime}, {layer.half}, {n});"]
    bend = f"w->curve{k}[j] * w->dv{k}[j]" if layer.curved else "0"
    if layer is net.last:
        return [f"for (j = 0; j < {n}; j++) up[j] = {bend};"]
    above = net.layers[k]
    shape = (1, above.n, n)
    slope = f" * {layer.fprime}[j] + {bend}" if layer.curved else ""
    return [
        product(("t", n), ("up", above.n, 1), (above.W, n), shape),
        "if (v) "
        + product(("up", n), (f"w->delta{above.k}", above.n, 1), (f"v + {above.offset}", n), shape),
        f"for (j = 0; j < {n}; j++) up[j] = (v ? t[j] + up[j] : t[j]){slope};",
    ]
