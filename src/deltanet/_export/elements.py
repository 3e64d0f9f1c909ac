"""The activations of one net in C, and the other pieces that its passes need."""

from __future__ import annotations

from collections.abc import Iterator

from deltanet._activations import REGISTRY
from deltanet._export import numbers, pieces
from deltanet._export.table import Layer, Table

LOOP = """\
/* {name}: h = f(h), and f' and f'' where orders say so */
DN_INLINE void F({loop})(int orders, real *DN_RESTRICT h, real *DN_RESTRICT fprime, real *DN_RESTRICT second, int n)
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

static void F({loop}_0)(real *h, int n) {{ F({loop})(0, h, NULL, NULL, n); }}
static void F({loop}_1)(real *h, real *fprime, int n) {{ F({loop})(1, h, fprime, NULL, n); }}
static void F({loop}_2)(real *h, real *fprime, real *second, int n) {{ F({loop})(2, h, fprime, second, n); }}
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


ALWAYS = ("affine", "product", "outer", "scaled", "widened", "bend", "symmetric")


def helpers(net: Table, libm: bool, along: bool) -> Iterator[str]:
    """Functions and constants that the passes need, then a loop for each activation."""
    bits = 8 * net.dtype.itemsize
    sources = [("deltanet._core", "vecmath_type.h"), (pieces.OURS, "kernels.h")]
    sources += [(pieces.OURS, "libm_math.h")] * libm  # in place of the core's
    found: dict[str, pieces.Piece] = {}
    for source in sources:
        for piece in pieces.read(*source, bits):
            found.pop(piece.name, None)  # what takes a place comes where its own needs are known
            found[piece.name] = piece
    wanted = [*ALWAYS, *["outer_sum"] * along]
    if net.last.coupled:
        wanted += ["softmax", "coupled", "coupled_part", *["coupled_times"] * along]
    loops = {layer.loop: layer for layer in net.layers if layer.curved and not layer.coupled}
    for layer in loops.values():
        wanted += _needs(layer, libm)
    for piece in pieces.needed(found.values(), wanted):
        yield piece.text + "\n"
    for layer in loops.values():
        yield _loop(net, layer, libm)


def _far(layer: Layer, libm: bool) -> bool:
    """Whether large arguments go to libm."""
    return layer.activation in ("sin", "cos") and not libm


def _needs(layer: Layer, libm: bool) -> list[str]:
    if REGISTRY[layer.activation].functions is not None:
        return ["triple", "parameters"]
    far = [f"far_{layer.activation}", "last_sin"] if _far(layer, libm) else []
    return [f"element_{layer.activation}", *far]


def _loop(net: Table, layer: Layer, libm: bool) -> str:
    name, functions = layer.activation, REGISTRY[layer.activation].functions
    element = f"element_{name}"
    text = "" if functions is None else OF_C_CODE.format(element=element, code=functions.c_code)
    values = numbers.parameters(layer.parameters, net.dtype)
    far = FAR.format(name=name) if _far(layer, libm) else ""
    return text + LOOP.format(
        loop=layer.loop, element=element, name=name, values=", ".join(values), far=far
    )
