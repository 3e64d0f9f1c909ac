"""A first layer of many inputs, whose samples stay in rows, against dense algebra, and against few samples.

How many samples that takes stands in _core/plan.pxd: 8 times as many as units of the layer, at least.
"""

from functools import partial

import numpy as np
import pytest
from dense_oracle import PlainNet, absolute, assert_close

import deltanet as dn

TOLERANCE = {"float64": 1e-12, "float32": 1e-4}
# sizes, samples: inputs in whole vectors and not; packs of W that are full, or with a vector or less over
SHAPES = [
    ((64, 8, 3), 64),
    ((80, 16, 4, 2), 200),
    ((67, 9, 2), 149),
    ((101, 3), 25),
    ((66, 13, 5), 1000),
    ((784, 16, 10), 140),  # whose blocks the threads share
    ((784, 30, 10), 241),
]
FEW = 5  # samples, whose inputs go through the vector lanes


def build(sizes, N, dtype, biases, scaled):
    """(the plain net, ours, X)"""
    random = np.random.default_rng(sum(sizes) + N)
    names = ["tanh"] * (len(sizes) - 2) + ["identity"]
    plain = PlainNet.random(random, sizes, names, np.full(len(sizes) - 1, biases), scaled, dtype)
    net = dn.MLP.from_layers(
        plain.weights, plain.biases, plain.activations, *plain.scalings, dtype=dtype
    )
    return plain, net, plain.samples(random, N, dtype)


def equal(result, formula, *arrays, dtype):
    most = formula(*[absolute(a) for a in arrays]).max()
    assert_close(result, formula(*arrays), TOLERANCE[dtype], most)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("biases, scaled", [(True, False), (False, False), (True, True)])
@pytest.mark.parametrize("sizes, N", SHAPES)
def test_verbs(sizes, N, biases, scaled, dtype):
    plain, net, X = build(sizes, N, dtype, biases, scaled)
    y, rows, *_ = plain.differentiate(X)
    random = np.random.default_rng(0)
    v, u, w = (random.standard_normal(n).astype(dtype) for n in (rows.shape[2], y.shape, N))
    X = X.astype(dtype)
    equal(net(X), lambda y: y, y, dtype=dtype)
    equal(net.jvp(X, v), lambda D, v: D @ v, rows, v, dtype=dtype)
    equal(net.vjp(X, u), lambda D, u: np.einsum("sop,so->p", D, u), rows, u, dtype=dtype)
    diagonal = net.ggn_diagonal(X, w)
    equal(diagonal, lambda D, w: np.einsum("sop,s->p", D**2, w), rows, w, dtype=dtype)
    for k, pair in enumerate(net.kfac(X)):
        kept = net.jacobian(X, wrt=[k]).kfac()[0]
        for ours, theirs in zip(pair, kept, strict=True):
            assert_close(ours, theirs, TOLERANCE[dtype], abs(theirs).max())


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sizes, N", SHAPES)
def test_the_bits_are_those_of_few_samples(sizes, N, dtype, scaled):
    _, net, X = build(sizes, N, dtype, True, scaled)
    X, v = X.astype(dtype), net.params[::-1].copy()
    for call in (net, partial(net.jvp, v=v)):
        parts = [call(X[s : s + FEW], reproducible=True) for s in range(0, N, FEW)]
        assert call(X, reproducible=True).tobytes() == np.concatenate(parts).tobytes()


@pytest.mark.parametrize("wrt", ["weights", "biases", [0], [1], ("weights", 0), ("biases", 0)])
def test_some_columns(wrt):
    plain, net, X = build((67, 9, 2), 149, "float64", True, True)
    wrt = [wrt] if isinstance(wrt, tuple) else wrt
    D = plain.differentiate(X)[1][..., plain.keep(wrt)]
    u = np.random.default_rng(0).standard_normal(D.shape[:2])
    gradient, diagonal = net.vjp(X, u, wrt=wrt), net.ggn_diagonal(X, wrt=wrt)
    equal(gradient, lambda D, u: np.einsum("sop,so->p", D, u), D, u, dtype="float64")
    equal(diagonal, lambda D: np.einsum("sop,sop->p", D, D), D, dtype="float64")


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_nan_taints_its_own_sample(threads):
    _, net, X = build((80, 16, 4, 2), 200, "float64", True, False)
    clean = net(X)
    X[77, 3] = np.nan
    X[199, 79] = np.inf
    y = net(X, threads=threads)
    good = np.isin(np.arange(200), [77, 199], invert=True)
    assert np.isnan(y[77]).all() and y[good].tobytes() == clean[good].tobytes()


@pytest.mark.parametrize("N", [47, 48, 49, 97, 240])
def test_a_step_of_conjugate_gradients(N):
    """J^T W J p + mu p = g of the weighted samples: solved by products, and by dense algebra."""
    plain, net, X = build((64, 5, 2), N, "float64", True, False)
    random = np.random.default_rng(1)
    Y, w = random.standard_normal((N, 2)), random.uniform(0.5, 2, N)
    y, D, *_ = plain.differentiate(X)
    A = np.einsum("sop,s,soq->pq", D, w, D)
    g = np.einsum("sop,so->p", D, w[:, None] * (y - Y))
    fit = dn.fit(net, X, Y, sample_weight=w, solver="cg", max_iter=1, scale=None, damping=1e3)
    p = net.params - fit.net.params
    residual = g - A @ p - fit.history["damping"][0] * p
    assert fit.history["accepted"][0]
    assert np.linalg.norm(residual) <= 0.3 * np.linalg.norm(g)
    assert abs(p @ residual) <= 1e-9 * abs(p @ g)  # of conjugate gradients, whenever they end
