"""Second derivatives against a plain net that goes forward twice (second_oracle.py), and what they refuse.

test_every_verb.py has them of random nets; test_bits.py, test_out.py, test_inputs.py, test_masked.py,
test_streaming.py and test_register.py what holds of every verb.
"""

import dense_oracle as plain
import numpy as np
import pytest
import second_oracle as oracle
from dense_oracle import PlainNet, assert_close
from oracle import Case

import deltanet as dn
from deltanet._activations import REGISTRY
from deltanet._core import bends
from deltanet._core.activation import NAMES
from deltanet._core.engine import Columns, Engine

TOLERANCE = {"float64": 1e-12, "float32": 1e-4}
OUTPUTS = ["identity", *plain.COUPLED]


def build(sizes, activations, biased=None, scaled=True, dtype="float64", seed=0):
    """(a plain net, the same of deltanet)"""
    biased = [True] * len(activations) if biased is None else biased
    random = np.random.default_rng(seed)
    net = PlainNet.random(random, sizes, activations, biased, scaled, dtype)
    return net, dn.MLP.from_layers(
        net.weights, net.biases, net.activations, *net.scalings, dtype=dtype
    )


def arguments(net, N, dtype="float64", wrt=None, seed=1):
    """(X, u, v) of a plain net, as numbers of dtype held in float64; N None: one sample."""
    random = np.random.default_rng(seed)
    count = 1 if N is None else N
    P = int(net.keep(wrt).sum())
    X = net.samples(random, count, dtype)
    u, v = (
        random.standard_normal(shape).astype(dtype).astype(float)
        for shape in ((count, net.sizes[-1]), P)
    )
    return X, u, v


def check(pair, N, dtype="float64", wrt=None, **options):
    """Each of the three, in every form of its result."""
    net, fast = pair
    X, u, v = arguments(net, N, dtype, wrt)
    kept = net.keep(wrt)
    some = (lambda a: a[0]) if N is None else (lambda a: a)
    Xg, ug = (some(a).astype(dtype) for a in (X, u))
    H, terms = (oracle.input_hessian(net, X, size) for size in (np.array, abs))
    mixed, mixed_terms = (
        fast.mixed_hessian(Xg, ug, wrt=wrt, **options),
        oracle.mixed_hessian(net, X, u, kept, abs),
    )
    for result, exact, most in (
        (fast.input_hessian(Xg, **options), some(H), terms),
        (
            fast.input_hessian(Xg, ug, **options),
            some(oracle.weighted(u, H)),
            oracle.weighted(abs(u), terms),
        ),
        (
            mixed.to_dense(),
            some(oracle.mixed_hessian(net, X, u, kept)),
            mixed_terms,
        ),
        (
            fast.hvp(Xg, ug, v.astype(dtype), wrt=wrt, **options),
            oracle.hvp(net, X, u, v, kept),
            oracle.hvp(net, X, u, v, kept, abs),
        ),
    ):
        assert result.dtype == dtype
        assert_close(result, exact, TOLERANCE[dtype], most.max(initial=0))
    check_factors(net, mixed, X, u, kept, some, dtype, mixed_terms.max(initial=0))


def check_factors(net, mixed, X, u, kept, some, dtype, terms):
    """e, E, h and T of each layer that is kept, None of the others."""
    layer = net.columns()[0]
    _, _, _, inputs, deltas = net.differentiate(X)
    tangents = input_tangents(net, X)
    for k, b in enumerate(net.biases):
        factors = [
            group[k] for group in (mixed.deltas, mixed.inputs, mixed.inputs_dx, mixed.deltas_dx)
        ]
        if not kept[layer == k].any():
            assert factors == [None] * 4
            continue
        e = np.einsum("so,soj->sj", u, deltas[k])
        exact = [e, inputs[k], tangents[k]]
        if b is not None:  # E is what moves with b
            bias = (layer == k) & ~net.columns()[1]
            exact.append(oracle.mixed_hessian(net, X, u, bias))
        for factor, right in zip(factors, exact, strict=False):
            assert factor.dtype == dtype and not factor.flags.writeable
            assert_close(factor, some(right), TOLERANCE[dtype], terms)


def input_tangents(net, X):
    """dh/dx of the input of each layer: [(N, n_in, n_0)]"""
    scale = 1 if net.scalings[1] is None else net.scalings[1]
    tangent = np.broadcast_to(np.eye(X.shape[1]) / scale, (len(X), X.shape[1], X.shape[1]))
    tangents = []
    for W, slope in zip(net.weights, net.forward(X)[3], strict=True):
        tangents.append(tangent)
        if slope.ndim == 2:  # a coupled output is the last
            tangent = slope[:, :, None] * (W @ tangent)
    return tangents


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("spec", [*plain.SPECS, ("threshold", 0.1, -0.4)], ids=str)
def test_every_activation_in_every_place(spec, dtype):
    first = (
        "tanh" if spec == "exp" else spec
    )  # an exp of an exp makes much of the rounding of the first
    for N, output in ((5, "identity"), (None, spec), (1, "softmax"), (9, "log_softmax")):
        output = "identity" if output == "exp" else output
        check(build((3, 5, 4, 2), [first, spec, output], dtype=dtype), N, dtype)
    check(build((3, 4), [spec], dtype=dtype), 3, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "scaled"])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("biased", [(True, True), (False, True), (True, False), (False, False)])
def test_outputs_scalings_and_biases(output, scaled, biased, dtype):
    for N in (None, 0, 1, 5, 70):
        check(build((3, 6, 4), ["silu", output], biased, scaled, dtype), N, dtype)


SHAPES = [*plain.SHAPES, (2, 33, 20, 2)]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
@pytest.mark.parametrize("output", ["sin", "softmax"])
def test_shapes(sizes, output, dtype):
    activations = ["tanh"] * (len(sizes) - 2) + [output]
    for N in (None, 0, 1, 2, 13):
        check(build(sizes, activations, dtype=dtype), N, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_lone_sample_has_the_bits_of_a_row(dtype):
    net, fast = build((4, 12, 8, 3), ["tanh", "gelu", "softmax"], dtype=dtype)
    X, u, _ = (a.astype(dtype) for a in arguments(net, 1, dtype))
    for weights in (None, u):
        row = fast.input_hessian(X, weights, threads=1)
        lone = fast.input_hessian(X[0], None if weights is None else weights[0])
        np.testing.assert_array_equal(lone, row[0])
        np.testing.assert_array_equal(fast.input_hessian(X, weights), row)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_several_blocks(dtype, threads):
    check(
        build((4, 12, 8, 3), ["tanh", "gelu", "softmax"], dtype=dtype), 300, dtype, threads=threads
    )


WRT = [
    None,
    "last",
    "weights",
    "biases",
    [0],
    [1, -1],
    [("weights", 1)],
    [("biases", 0), 2],
    [("biases", 2)],
    np.repeat([True, False, True, False, True], [15, 5, 20, 4, 8]),
    [],
]


@pytest.mark.parametrize("wrt", WRT, ids=str)
@pytest.mark.parametrize("N", [None, 0, 1, 40])
def test_every_wrt(wrt, N):
    biased = (True, True, not isinstance(wrt, np.ndarray))
    check(build((3, 5, 4, 2), ["tanh", "sin", "softplus"], biased), N, wrt=wrt)


def test_a_wide_net_whose_products_are_those_of_blocks():
    check(build((12, 40, 3), ["tanh", "sigmoid"]), 10)
    check(build((12, 40, 3), ["tanh", "log_softmax"], dtype="float32"), 10, "float32")


@pytest.mark.parametrize("activations", [["gelu", "softmax"], ["relu", "square"]], ids=str)
@pytest.mark.parametrize("sizes", [(3, 2), (7, 5, 3)], ids=str)
def test_symmetric_to_the_last_bit(sizes, activations):
    for dtype in TOLERANCE:
        net, fast = build(sizes, activations[3 - len(sizes) :], dtype=dtype)
        for N in (None, 1, 6, 300):
            X, u, _ = arguments(net, N, dtype)
            X, u = (a[0] if N is None else a for a in (X, u))
            for H in (fast.input_hessian(X), fast.input_hessian(X, u)):
                np.testing.assert_array_equal(H, H.swapaxes(-1, -2))


@pytest.mark.parametrize("name", [*plain.SPECS, *plain.COUPLED], ids=str)
def test_the_oracle_against_differences_of_a_complex_step(name):
    """They share no f'' and no chain rule: a difference of first derivatives is right to 1e-7."""
    inner = "sin" if name in plain.COUPLED else name
    case = Case((3, 5, 4), [inner, name], scaled=True)
    net = PlainNet(case.weights, case.biases, case.activations, case.scalings)
    X, step = case.inputs(4), 1e-5
    u = np.random.default_rng(0).standard_normal((4, 4))
    columns, mixed = [], []
    for e in np.eye(3) * step:
        columns.append((case.input_jacobian(X + e) - case.input_jacobian(X - e)) / (2 * step))
        rows = (case.jacobian(X + e) - case.jacobian(X - e)) / (2 * step)
        mixed.append(np.einsum("so,sop->sp", u, rows))
    assert_close(oracle.input_hessian(net, X), np.stack(columns, axis=-1), 1e-7)
    assert_close(oracle.mixed_hessian(net, X, u), np.stack(mixed, axis=-1), 1e-7)
    v = np.random.default_rng(1).standard_normal(net.P)
    exact = oracle.hvp(net, X, u, v)
    moved = [gradient(case, X, u, case.theta + sign * step * v) for sign in (1, -1)]
    assert_close(exact, (moved[0] - moved[1]) / (2 * step), 1e-6)


def gradient(case, X, u, theta):
    """Of sum_s u_s^T y_s, by a complex step."""
    step = 1e-30
    steps = (theta + 1j * step * e for e in np.eye(theta.size))
    return np.array([(u * case.evaluate(X, each)[0].imag).sum() / step for each in steps])


# What is read, and what is refused


def call(name, net, X, u, v, **options):
    if name == "hvp":
        return net.hvp(X, u, v, **options)
    if name == "mixed_hessian":
        return net.mixed_hessian(X, u, **options).to_dense()
    return net.input_hessian(X, u, **options)


VERBS = ("input_hessian", "mixed_hessian", "hvp")


@pytest.mark.parametrize("name", VERBS)
def test_float32_and_memory_maps_into_float64(name, tmp_path):
    net, fast = build((4, 6, 2), ["tanh", "softmax"])
    X, u, v = arguments(net, 70_000 if name == "hvp" else 500, "float32")
    right = call(name, fast, X, u, v)
    for part, array in (("X", X), ("u", u)):
        np.save(tmp_path / f"{part}.npy", array.astype("float32"))
    maps = (np.load(tmp_path / f"{part}.npy", mmap_mode="r") for part in ("X", "u"))
    result = call(name, fast, *maps, v.astype("float32"))
    if name == "hvp":  # in pieces, whose sums are added last
        assert_close(result, right, 1e-12)
    else:
        np.testing.assert_array_equal(result, right)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["X", "u"])
@pytest.mark.parametrize("output", ["identity", "softmax", "log_softmax"])
def test_a_bad_number_taints_only_its_own_sample(output, where, bad):
    net, fast = build((4, 6, 3), ["relu" if bad < 0 else "tanh", output])
    X, u, v = arguments(net, 150)
    for name in ("input_hessian", "mixed_hessian"):
        right = call(name, fast, X, u, v)
        dirty = {"X": X.copy(), "u": u.copy()}
        dirty[where][77, 1] = bad
        result = call(name, fast, dirty["X"], dirty["u"], v)
        others = np.arange(len(X)) != 77
        np.testing.assert_array_equal(result[others], right[others])
        if np.isnan(bad):  # infinity may be a limit, where a tanh is flat
            assert np.isnan(result[77]).any()
        np.testing.assert_array_equal(call(name, fast, X, u, v), right)


def test_floating_point_errors_raise_nothing():
    """Whatever NumPy's settings are: slopes underflow, and softmax's terms do."""
    for output in ("exp", *plain.COUPLED):
        _, fast = build((3, 5, 4), ["gaussian", output])
        X = np.array([[1e300, -1e300, 0], [800.0, 30, 1e-310], [0, 0, np.inf]])
        u, v = np.ones((3, 4)), np.full(fast.num_params, 1e200)
        strided = np.repeat(X, 2, axis=1)[:, ::2]
        with np.errstate(all="raise"):
            for name in VERBS:
                call(name, fast, X, u, v)
                call(name, fast, X[1], u[1], v)
                call(name, fast, strided, u, v, threads=2)
            fast.input_hessian(X)


REFUSED = {  # changed argument -> (verbs, error, message)
    "X: shape": (
        {"X": np.ones((5, 3))},
        VERBS,
        ValueError,
        r"X must have shape \(N, 4\) or \(4,\); got \(5, 3\)",
    ),
    "X: complex": ({"X": np.ones((5, 4), complex)}, VERBS, TypeError, "X must hold real numbers"),
    "u: shape": (
        {"u": np.ones((5, 3))},
        VERBS,
        ValueError,
        r"u must have shape \(5, 2\); got \(5, 3\)",
    ),
    "u: samples": ({"u": np.ones((4, 2))}, VERBS, ValueError, r"u must have .*5.* got .*\(4, 2\)"),
    "u: single": ({"u": np.ones(2)}, VERBS, ValueError, r"u must have .* got .*\(2,\)"),
    "u: missing": ({"u": None}, VERBS[1:], TypeError, "u must hold real numbers; got dtype object"),
    "u: masked": (
        {"u": np.ma.masked_less(np.arange(10.0).reshape(5, 2), 3)},
        VERBS,
        ValueError,
        "u must have no masked",
    ),
    "v: shape": ({"v": np.ones(3)}, ("hvp",), ValueError, r"v must have shape \(44,\); got \(3,\)"),
    "v: missing": ({"v": None}, ("hvp",), TypeError, "v must hold real numbers; got dtype object"),
    "wrt": ({"wrt": "first"}, VERBS[1:], TypeError, "wrt must be None, 'last'"),
    "threads": ({"threads": 0}, VERBS, ValueError, "threads must be"),
}


@pytest.mark.parametrize(
    "case, name", [(case, name) for case, (_, names, *_) in REFUSED.items() for name in names]
)
def test_messages(case, name):
    changed, _, error, message = REFUSED[case]
    fast = dn.MLP([4, 6, 2], seed=0)
    given = {"X": np.ones((5, 4)), "u": np.ones((5, 2)), "v": np.ones(44)} | changed
    with pytest.raises(error, match=f"^{message}"):
        call(name, fast, **given)


def test_u_must_be_given():
    fast = dn.MLP([4, 6, 2], seed=0)
    for verb in (fast.mixed_hessian, fast.hvp):
        with pytest.raises(TypeError, match=r"missing .* 'u'"):
            verb(np.ones(4))


def test_too_large_a_result_is_refused_before_it_is_allocated():
    fast = dn.MLP([4000, 3, 2], seed=0)
    X, u = np.broadcast_to(0.0, (300_000, 4000)), np.broadcast_to(0.0, (300_000, 2))
    with pytest.raises(MemoryError, match=r"input_hessian would need 76\.\d TB .*pass blocks of X"):
        fast.input_hessian(X)
    with pytest.raises(MemoryError, match="the factors of mixed_hessian would need"):
        fast.mixed_hessian(X, u)
    mixed = fast.mixed_hessian(X[:100], u[:100])
    with pytest.raises(MemoryError, match=r"to_dense would need .* out="):
        mixed.to_dense()


# MixedHessian


def test_out_of_to_dense():
    _, fast = build((3, 5, 2), ["tanh", "softmax"])
    for X, u in ((np.ones((4, 3)), np.ones((4, 2))), (np.ones(3), np.ones(2))):
        for wrt in (None, "biases", "last", []):
            mixed = fast.mixed_hessian(X, u, wrt=wrt)
            out = np.full(mixed.shape, np.nan)
            assert mixed.to_dense(out=out) is out
            np.testing.assert_array_equal(out, mixed.to_dense())


def test_out_of_to_dense_is_checked():
    _, fast = build((3, 5, 2), ["tanh", "softmax"])
    mixed = fast.mixed_hessian(np.ones((4, 3)), np.ones((4, 2)))
    shared = fast.mixed_hessian(np.ones((1, 3)), np.ones((1, 2)), wrt=[("biases", 0)])
    good = np.full(mixed.shape, 7.0)
    for out, error, message in (
        (good[:-1], ValueError, "shape"),
        (good.astype("float32"), ValueError, "dtype"),
        (np.asfortranarray(good), ValueError, "C-contiguous"),
        (good.tolist(), ValueError, "out must be a plain NumPy array; got list"),
    ):
        with pytest.raises(error, match=message):
            mixed.to_dense(out=out)
    assert (good == 7).all()
    inside = shared._factors[1][0].reshape(shared.shape)
    with pytest.raises(ValueError, match="share no memory"):
        shared.to_dense(out=inside)


def test_a_mixed_hessian_does_not_change_with_its_net():
    _, fast = build((3, 5, 2), ["tanh", "softmax"])
    mixed = fast.mixed_hessian(np.ones((4, 3)), np.ones((4, 2)))
    before = mixed.to_dense()
    fast.params[:] = 0
    np.testing.assert_array_equal(mixed.to_dense(), before)
    assert repr(mixed) == "<MixedHessian (4, 32, 3) of float64>"
    assert mixed.shape == before.shape and mixed.dtype == before.dtype
    with pytest.raises(ValueError, match="read-only"):
        mixed.inputs_dx[0][0] = 1


# Registered activations


def own(name, second=True):
    if name not in REGISTRY:
        dn.register_activation(
            name,
            lambda v: v**3,
            lambda v: 3 * v**2,
            (lambda v: SECONDS[name](v)) if second else None,
        )
    SECONDS[name] = lambda v: 6 * v
    return name


SECONDS = {}


@pytest.mark.parametrize("place", [0, 1])
def test_a_registered_activation_without_fsecond_is_refused(place):
    activations = ["tanh", "tanh"]
    activations[place] = own("cube_of_first_order", second=False)
    fast = dn.MLP([3, 5, 2], activations[0], activations[1], seed=0)
    X, u, v = np.ones((4, 3)), np.ones((4, 2)), np.ones(fast.num_params)
    message = "second derivatives need fsecond of activation 'cube_of_first_order': give it to"
    for name in VERBS:
        with pytest.raises(ValueError, match=message):
            call(name, fast, X, u, v)
    with pytest.raises(ValueError, match=message):
        fast.input_hessian(X)


@pytest.mark.parametrize("error", [ArithmeticError("mine"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("N", [None, 1, 3000])
@pytest.mark.parametrize("threads", [1, 3])
def test_what_fsecond_raises_reaches_the_caller(threads, N, error):
    fast = dn.MLP([3, 5, 2], own("own_cube"), seed=0)
    lead = () if N is None else (N,)
    X, u, v = np.ones((*lead, 3)), np.ones((*lead, 2)), np.ones(fast.num_params)
    right = [call(name, fast, X, u, v) for name in VERBS]

    def fail(v):
        raise error

    for name, expected in zip(VERBS, right, strict=True):
        SECONDS["own_cube"] = fail
        with pytest.raises(type(error)) as raised:
            call(name, fast, X, u, v, threads=threads)
        assert raised.value is error
        SECONDS["own_cube"] = lambda v: v[:-1]
        with pytest.raises(
            ValueError, match=r"^fsecond of activation 'own_cube' must return an array"
        ):
            call(name, fast, X, u, v, threads=threads)
        SECONDS["own_cube"] = lambda v: 6 * v
        np.testing.assert_array_equal(call(name, fast, X, u, v, threads=threads), expected)


# Layers without W, which the core knows and no door makes yet


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("N", [1, 5, 70])
@pytest.mark.parametrize("bare", [0, 1, 2])
@pytest.mark.parametrize("output", ["sin", "softmax"])
def test_layers_without_weights(output, bare, N, dtype):
    """Against the plain net that has the identity in their place, whose columns are dropped."""
    sizes = [3, 4, 4, 4]
    sizes[bare + 1] = sizes[bare]
    if bare == 0:
        sizes = [3, 3, 5, 4]
    net, _ = build(sizes, ["tanh", "softplus", output], dtype=dtype)
    net.weights[bare], net.biases[bare] = np.eye(sizes[bare]), None
    net = PlainNet(net.weights, net.biases, net.activations, net.scalings)
    engine, columns, kept = engine_without(net, bare, dtype)
    X, u, _ = arguments(net, N, dtype)
    v = np.random.default_rng(0).standard_normal(kept.sum()).astype(dtype).astype(float)
    Xg, ug, vg = (a.astype(dtype) for a in (X, u, v))
    H, P, n_0 = oracle.input_hessian(net, X), int(kept.sum()), sizes[0]
    out = np.full((N, 4, n_0, n_0), np.nan, dtype)
    bends.input_hessian(engine, Xg, None, out)
    assert_close(out, H, TOLERANCE[dtype])
    out = np.full((N, n_0, n_0), np.nan, dtype)
    bends.input_hessian(engine, Xg, ug, out)
    assert_close(out, oracle.weighted(u, H), TOLERANCE[dtype])
    out = np.full(P, np.nan, dtype)
    bends.hvp(engine, columns, Xg, ug, vg, out)
    assert_close(out, oracle.hvp(net, X, u, v, kept), TOLERANCE[dtype])
    layers = [k for k in range(3) if k != bare]
    shapes = [
        [(N, sizes[k + 1]), (N, sizes[k + 1], n_0), (N, sizes[k]), (N, sizes[k], n_0)]
        for k in layers
    ]
    groups = [[None] * 3 for _ in range(4)]
    for k, each in zip(layers, shapes, strict=True):
        for group, shape in zip(groups, each, strict=True):
            group[k] = np.full(shape, np.nan, dtype)
    bends.mixed_hessian(engine, columns, Xg, ug, *groups)
    e, E, h, T = groups
    if bare != 0:
        T[0] = np.broadcast_to(np.eye(n_0) / net.scalings[1], (N, n_0, n_0))
    rows = []
    for k in layers:
        W = np.einsum("sjp,si->sjip", E[k], h[k]) + np.einsum("sj,sip->sjip", e[k], T[k])
        rows += [W.reshape(N, -1, n_0), E[k]]
    assert_close(
        np.concatenate(rows, axis=1), oracle.mixed_hessian(net, X, u, kept), TOLERANCE[dtype]
    )


def engine_without(net, bare, dtype):
    """(engine, columns, which parameters of the plain net it has); layer `bare` has no W."""
    layer = net.columns()[0]
    rows, places, bias_places, at = [], [], [], 0
    for k, (W, spec) in enumerate(zip(net.weights, net.activations, strict=True)):
        code, (n_out, n_in) = NAMES.index(spec), W.shape
        alpha = 1.0 if spec == "softplus" else 0.0
        where = (-1, -1) if k == bare else (at, at + W.size)
        at += 0 if k == bare else W.size + n_out
        rows.append((k == bare, code, alpha, 0.0, n_in, n_out, *where))
        places.append(where[0])
        bias_places.append(where[1])
    theta = [
        part.ravel()
        for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True))
        if k != bare
        for part in (W, b)
    ]
    theta, affine = (np.concatenate(parts).astype(dtype) for parts in (theta, net.scalings))
    columns = Columns(places, bias_places, at)
    engine = Engine(theta, affine, rows, True, True, columns, [None] * len(rows))
    return engine, columns, layer != bare
