"""The contracts of DESIGN: memory, errors, empty and non-finite input, out=."""

import math
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import deltanet as dn

N, SIZES = 5, (4, 7, 3)
X = np.random.default_rng(0).standard_normal((N, SIZES[0]))


@pytest.fixture
def net():
    return dn.MLP(SIZES, seed=0)


def calls(net):
    """name -> (call with out, shape of its result)."""
    J = net.jacobian(X)
    P, m = net.num_params, SIZES[-1]
    return {
        "jacobian_dense": (lambda out=None: net.jacobian_dense(X, out=out), (N, m, P)),
        "input_jacobian": (lambda out=None: net.input_jacobian(X, out=out), (N, m, SIZES[0])),
        "to_dense": (lambda out=None: J.to_dense(out=out), (N, m, P)),
        "J.input_jacobian": (lambda out=None: J.input_jacobian(out=out), (N, m, SIZES[0])),
        "gram": (lambda out=None: J.gram(out=out), (N, m, N, m)),
    }


NAMES = ("jacobian_dense", "input_jacobian", "to_dense", "J.input_jacobian", "gram")


@pytest.mark.parametrize("name", NAMES)
def test_poisoned_out_equals_a_fresh_one(net, name):
    call, shape = calls(net)[name]
    out = np.full(shape, np.nan)
    assert call(out) is out
    np.testing.assert_array_equal(out, call())


@pytest.mark.parametrize("name", NAMES)
def test_out_must_fit(net, name):
    call, shape = calls(net)[name]
    poisoned = np.full(shape, 7.0)
    read_only = poisoned.copy()
    read_only.flags.writeable = False
    room = np.zeros(8 * math.prod(shape) + 1, np.uint8)
    wrong = [
        (poisoned[:-1], "out must have shape"),
        (poisoned[None], "out must have shape"),
        (poisoned.astype(np.float32), "dtype float64"),
        (poisoned.astype(">f8"), "dtype float64"),
        (np.asfortranarray(poisoned), "C-contiguous"),
        (poisoned[:, ::-1], "C-contiguous"),
        (room[1:].view(np.float64).reshape(shape), "aligned"),
        (read_only, "writable"),
        (poisoned.tolist(), "NumPy array; got list"),
    ]
    for out, message in wrong:
        with pytest.raises(ValueError, match=message):
            call(out)
        assert (np.asarray(out) == 7).all() or not np.any(out), "nothing is written"


def test_out_shares_no_memory_with_an_input(net):
    P, m = net.num_params, SIZES[-1]
    buffer = np.zeros(N * m * P)
    buffer[: X.size] = X.ravel()
    for name in ("jacobian_dense", "input_jacobian"):
        shape = (N, m, P if name == "jacobian_dense" else SIZES[0])
        out = buffer[: math.prod(shape)].reshape(shape)
        with pytest.raises(ValueError, match="share no memory"):
            getattr(net, name)(buffer[: X.size].reshape(X.shape), out=out)
    strided = buffer[: 2 * X.size].reshape(N, 8)[:, ::2]  # read through a copy, and still an input
    with pytest.raises(ValueError, match="share no memory"):
        net.input_jacobian(strided, out=buffer[: N * m * 4].reshape(N, m, 4))
    view = memoryview(buffer[: X.size].reshape(X.shape))  # no array, and still read where it lies
    with pytest.raises(ValueError, match="share no memory"):
        net.input_jacobian(view, out=buffer[: N * m * 4].reshape(N, m, 4))
    np.testing.assert_array_equal(buffer[: X.size], X.ravel())
    small = dn.MLP([2, 1], seed=0)
    with pytest.raises(ValueError, match="share no memory"):
        small.input_jacobian([[1, 2]], out=small.params[:2].reshape(1, 1, 2))
    J = net.jacobian(X)
    with pytest.raises(ValueError, match="share no memory"):
        J.input_jacobian(out=J.deltas[0].reshape(-1)[: N * m * 4].reshape(N, m, 4))


def misaligned(a):
    room = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    room[...] = a
    return room


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


FORMS = {
    "list": lambda a: a.tolist(),
    "Fortran": np.asfortranarray,
    "negative strides": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "every other": lambda a: np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2],
    "read-only": read_only,
    "misaligned": misaligned,
    "byte-swapped": lambda a: a.astype(">f8"),
    "long double": lambda a: a.astype(np.longdouble),
    "matrix subclass": lambda a: a.view(type("Sub", (np.ndarray,), {})),
}


@pytest.mark.parametrize("form", FORMS)
def test_any_form_of_X(net, form):
    value = FORMS[form](X)
    np.testing.assert_array_equal(net.jacobian_dense(value), net.jacobian_dense(X))
    np.testing.assert_array_equal(net.input_jacobian(value), net.input_jacobian(X))
    np.testing.assert_array_equal(net(value), net(X))


def test_zero_strides_and_integers(net):
    same = np.broadcast_to([1, 2, 3, 4], (3, 4))
    expected = net.jacobian_dense([[1.0, 2.0, 3.0, 4.0]] * 3)
    np.testing.assert_array_equal(net.jacobian_dense(same), expected)
    np.testing.assert_array_equal(net.jacobian_dense(same.astype(np.int8)), expected)
    single = net.astype("float32")
    np.testing.assert_array_equal(single.jacobian_dense(X), single.jacobian_dense(X.astype("f4")))


@pytest.mark.parametrize(
    "value, error, message",
    [
        (np.ones((5, 3)), ValueError, r"X must have shape \(N, 4\) or \(4,\); got \(5, 3\)"),
        (np.ones(5), ValueError, r"got \(5,\)"),
        (np.ones((2, 2, 4)), ValueError, r"got \(2, 2, 4\)"),
        (1.0, ValueError, r"got \(\)"),
        (np.ones((5, 4), complex), TypeError, "X must hold real numbers; got dtype complex128"),
        (np.ones((5, 4), object), TypeError, "got dtype object"),
        (np.full((5, 4), "1"), TypeError, "got dtype <U1"),
        (None, TypeError, "got dtype object"),
        ([[1, 2, 3, 4], [1, 2]], ValueError, "X must be a rectangular array"),
    ],
)
def test_messages_for_X(net, value, error, message):
    for call in (net, net.jacobian, net.jacobian_dense, net.input_jacobian):
        with pytest.raises(error, match=message):
            call(value)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_samples(net, dtype):
    net = net.astype(dtype)
    none = np.empty((0, 4))
    J = net.jacobian(none)
    assert net(none).shape == (0, 3) and J.shape == (0, 3, net.num_params)
    assert net.jacobian_dense(none).shape == J.to_dense().shape == J.shape
    assert net.input_jacobian(none).shape == J.input_jacobian().shape == (0, 3, 4)
    assert J.weight(0).shape == (0, 3, 7, 4) and J.bias(1).shape == (0, 3, 3)
    assert net.jacobian_dense(none, out=np.empty(J.shape, dtype)).size == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sizes", [(4, 7, 3), (40, 60, 3)])
def test_a_bad_sample_taints_only_itself(sizes, bad):
    net = dn.MLP(sizes, seed=0)
    clean = np.random.default_rng(0).standard_normal((90, sizes[0]))
    dirty = clean.copy()
    dirty[17, 1] = bad
    others = np.arange(90) != 17
    for call in (net, net.jacobian_dense, net.input_jacobian, lambda X: net.jacobian(X).to_dense()):
        expected = call(clean)
        with np.errstate(all="raise"):
            result = call(dirty)
        np.testing.assert_array_equal(result[others], expected[others])
        assert np.isnan(bad) <= np.isnan(result[17]).any()
        np.testing.assert_array_equal(call(clean), expected)  # no NaN stays in a workspace


def test_what_exceeds_memory_is_refused_before_it_is_allocated(net, monkeypatch):
    wide = dn.MLP([4, 1000, 1000, 10], seed=0)
    many = np.zeros((300_000, 4))
    tracemalloc.start()
    try:
        message = r"jacobian_dense would need 24.\d TB \(300000 x 10 x 1016010 .*jacobian\(X\)"
        with pytest.raises(MemoryError, match=message):
            wide.jacobian_dense(many)
        with pytest.raises(MemoryError, match="the factors would need"):
            wide.jacobian(many)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1e6
    J = wide.jacobian(np.zeros((100, 4)))
    monkeypatch.setattr("deltanet._validate.available_memory", lambda: 10**8)
    with pytest.raises(
        MemoryError, match=r"to_dense would need 8.1 GB \(100 x 10 x .*100.0 MB are"
    ):
        J.to_dense()
    with pytest.raises(MemoryError, match=r"weight\(1\) would need 8.0 GB .*deltas"):
        J.weight(1)


def test_array_protocol(net):
    J = net.jacobian(X)
    assert np.asarray(J).dtype == np.float64
    assert np.asarray(J, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="copy=False cannot be met"):
        np.array(J, copy=False)
    assert J.ndim == 3 and J.dtype == np.float64 and len(repr(J)) < 100


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process there")
def test_ctrl_c_works_within_a_second():
    code = """
import numpy as np, deltanet as dn
net = dn.MLP([64, 256, 256, 64], seed=0)
X = np.zeros((4_000_000, 64))
print("ready", flush=True)
net(X)
print("done", flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(signal.SIGINT)
    process.wait(1)
    out, err = process.communicate()
    assert "done" not in out and err.rstrip().endswith("KeyboardInterrupt")
