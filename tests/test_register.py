"""register_activation: Python functions in every verb, what they raise, and what is refused."""

import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from verb_table import FUSED, KEPT, Arguments

import deltanet as dn
from deltanet._activations import REGISTRY

TOLERANCE = {"float64": 1e-11, "float32": 2e-4}


def tanh_slope(v):
    return 1 - np.tanh(v) ** 2


def tanh_second(v):
    return -2 * np.tanh(v) * tanh_slope(v)


dn.register_activation("own_tanh", np.tanh, tanh_slope, tanh_second)
SQUARE = "f = v * v; slope = 2 * v; second = 2;"
dn.register_activation(
    "own_square", lambda v: v * v, lambda v: 2 * v, lambda v: np.full_like(v, 2), SQUARE
)


class Watched:
    """f = v^2 of an activation, through `watch`, which the test sets."""

    def __init__(self, name):
        self.watch = lambda v: v * v
        dn.register_activation(name, lambda v: self.watch(v), lambda v: 2 * v)


WATCHED = Watched("watched")


@pytest.fixture(autouse=True)
def square():
    yield
    WATCHED.watch = lambda v: v * v


def pair(sizes, dtype="float64", name="own_tanh", like="tanh", output="identity"):
    """A net of a registered activation, and the same with the core's own."""
    nets = [dn.MLP(sizes, each, output, dtype=dtype, seed=0) for each in (name, like)]
    nets[0].params[:] = nets[1].params
    return nets


CASES = {  # sizes, N
    "one sample": ((3, 8, 8, 2), None),
    "no sample": ((3, 8, 8, 2), 0),
    "one row": ((3, 8, 8, 2), 1),
    "a block that is not full": ((3, 8, 8, 2), 5),
    "many blocks": ((5, 20, 3), 1500),
    "a block that threads share": ((40, 220, 210, 2), 7),
}


@pytest.mark.parametrize("threads", [None, 1, 3])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", CASES)
def test_every_verb_equals_that_of_the_same_activation_in_the_core(case, dtype, threads):
    sizes, N = CASES[case]
    X = np.random.default_rng(1).standard_normal(sizes[0] if N is None else (N, sizes[0]))
    large = N == 1500 or "share" in case
    nets = pair(sizes, dtype)
    sides = [Arguments(net, X, wrt="last" if large else None) for net in nets]
    rows = [
        net.jacobian(a.X, wrt=a.wrt, threads=threads) for net, a in zip(nets, sides, strict=True)
    ]
    others = [net.jacobian(a.X2, wrt=a.wrt) for net, a in zip(nets, sides, strict=True)]
    heavy = ("gram", "covariance") if N == 1500 else ()
    for name, verb in FUSED.items():
        if not name.startswith(heavy or ("-",)):
            got, expected = (
                verb(net, a, threads=threads) for net, a in zip(nets, sides, strict=True)
            )
            assert_same(got, expected, TOLERANCE[dtype], name)
    for name in () if large else KEPT:
        got, expected = (KEPT[name](J, J2, a) for J, J2, a in zip(rows, others, sides, strict=True))
        assert_same(got, expected, TOLERANCE[dtype], name)


def assert_same(got, expected, tolerance, name):
    if isinstance(expected, (list, tuple, dn.KFAC)):
        for one, other in zip(got, expected, strict=True):
            assert_same(one, other, tolerance, name)
        return
    largest = np.abs(expected).max(initial=0)
    assert np.abs(got - expected).max(initial=0) <= tolerance * largest, name


@pytest.mark.parametrize("sizes, N", [((5, 20, 3), 1500), ((40, 220, 210, 2), 7)])
def test_bits_do_not_depend_on_threads(sizes, N):
    net = pair(sizes)[0]
    X = np.random.default_rng(0).standard_normal((N, sizes[0]))
    u = np.ones((N, sizes[-1]))
    for verb in (lambda t: net.jacobian_dense(X, threads=t), lambda t: net.vjp(X, u, threads=t)):
        np.testing.assert_array_equal(verb(1), verb(3))


def test_as_output_between_scalings_and_in_a_fit():
    X = np.random.default_rng(0).standard_normal((60, 2))
    nets = [
        dn.MLP.from_layers([np.eye(2)], [np.zeros(2)], [name], [1, 2], [3, 4], [5, 6], [7, -8])
        for name in ("own_square", "square")
    ]
    np.testing.assert_allclose(nets[0](X), nets[1](X), rtol=1e-14)
    np.testing.assert_allclose(nets[0].input_jacobian(X), nets[1].input_jacobian(X), rtol=1e-14)
    fits = [dn.fit(net, X, X[:, :1] ** 2, max_iter=5) for net in pair((2, 6, 1))]
    assert fits[0].loss == pytest.approx(fits[1].loss, rel=1e-6)
    assert dn.testing.check_jacobian(nets[0], X).passed


def test_the_functions_are_called_once_a_block_and_layer():
    calls = []
    WATCHED.watch = lambda v: calls.append(v) or v * v
    net = dn.MLP([3, 4, 5, 2], "watched", seed=0)
    x = np.ones(3)
    net.jacobian_dense(x)
    assert [len(v) for v in calls] == [4, 5]
    before = [v.copy() for v in calls]
    net.jacobian_dense(np.random.default_rng(0).standard_normal((400, 3)))
    for kept, v in zip(before, calls, strict=False):  # what f keeps is its own
        np.testing.assert_array_equal(kept, v)


ERRORS = [ArithmeticError("mine"), KeyboardInterrupt(), SystemExit(3), Warning("w")]


@pytest.mark.parametrize("N", [None, 1, 9, 3000])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_what_f_raises_reaches_the_caller(error, threads, N):
    net = dn.MLP([3, 30, 2], "watched", seed=0)
    X = np.random.default_rng(0).standard_normal(3 if N is None else (N, 3))
    good = net.jacobian_dense(X) if N != 3000 else None
    count = 0

    def fail(v):
        nonlocal count
        count += 1
        raise error

    verbs = [
        lambda: net(X, threads=threads),
        lambda: net(X),
        lambda: net.jacobian_dense(X, threads=threads),
        lambda: net.input_jacobian(X),
        lambda: net.jacobian(X, threads=threads),
        lambda: net.jacobian(X),
        lambda: net.ggn(X, threads=threads),
        lambda: net.gram(X[..., :9, :] if X.ndim == 2 else X, threads=threads),
    ]
    for verb in verbs:
        WATCHED.watch, count = fail, 0
        with pytest.raises(type(error)) as raised:
            verb()
        assert raised.value is error
        assert 1 <= count <= max(threads, dn.get_num_threads())
        assert any(entry.name == "fail" for entry in raised.traceback)
        WATCHED.watch = lambda v: v * v
    if good is not None:
        np.testing.assert_array_equal(net.jacobian_dense(X), good)


def test_an_error_in_the_middle_ends_the_call_early():
    count = 0

    def fail(v):
        nonlocal count
        count += 1
        if count == 3:
            raise LookupError("third block")
        return v * v

    net = dn.MLP([3, 30, 2], "watched", seed=0)
    X = np.zeros((20_000, 3))
    for threads in (1, 3):
        WATCHED.watch, count = fail, 0
        with pytest.raises(LookupError, match="third block"):
            net.jacobian_dense(X, threads=threads)
        assert 3 <= count <= 2 + threads  # each other thread may be in a block already


RESULTS = {  # what f returns instead -> the end of the message
    "other shape": (lambda v: v[:-1] * 1, r"got shape \(29,\) and dtype float32"),
    "more axes": (lambda v: v[None] * 1, r"got shape \(1, 30\) and dtype float32"),
    "double": (lambda v: v.astype(float), r"got shape \(30,\) and dtype float64"),
    "integers": (lambda v: v.astype(np.int32), "dtype int32"),
    "complex": (lambda v: v.astype(complex), "dtype complex128"),
    "other byte order": (lambda v: v.astype(v.dtype.newbyteorder()), "dtype [<>]f4"),
    "a number": (lambda v: 1.0, "got a float"),
    "a list": (lambda v: list(v), "got a list"),
    "nothing": (lambda v: None, "got a NoneType"),
    "masked": (lambda v: np.ma.masked_array(v), "got a MaskedArray"),
}


@pytest.mark.parametrize("case", RESULTS)
def test_another_result_than_an_array_like_v_is_refused(case):
    WATCHED.watch, message = RESULTS[case]
    net = dn.MLP([3, 30, 2], "watched", seed=0, dtype="float32")
    with pytest.raises(ValueError, match=rf"^f of activation 'watched' must .*\(30,\).*{message}"):
        net(np.ones(3))


def test_strided_results_and_views_of_v_are_taken_and_v_is_read_only():
    net = dn.MLP.from_layers([np.eye(3)], [np.zeros(3)], ["watched"])
    X = np.random.default_rng(0).standard_normal((40, 3))
    WATCHED.watch = lambda v: v
    np.testing.assert_array_equal(net(X), X)
    WATCHED.watch = lambda v: np.repeat(v, 2)[::2]
    np.testing.assert_array_equal(net(X), X)
    WATCHED.watch = lambda v: np.tanh(v, out=v)
    with pytest.raises(ValueError, match="read-only"):
        net(X)


def test_floating_point_errors_are_those_of_the_core():
    """None, whatever the caller's settings are: a built-in activation raises none either."""
    WATCHED.watch = np.exp
    net = dn.MLP.from_layers([[[1.0]]], [[0.0]], ["watched"])
    with np.errstate(all="raise"):
        assert net([1000.0])[0] == np.inf and net([-1000.0])[0] == 0
        assert np.isinf(net(np.full((3000, 1), 1000.0), threads=3)).all()


def test_f_may_call_a_net():
    inner = dn.MLP([1, 4, 1], seed=3)
    WATCHED.watch = lambda v: inner(v[:, None])[:, 0]
    net = dn.MLP.from_layers([np.eye(3)], [np.zeros(3)], ["watched"])
    X = np.random.default_rng(0).standard_normal((700, 3))
    expected = inner(X.reshape(-1, 1)).reshape(X.shape)
    for threads in (None, 1, 3):
        np.testing.assert_allclose(net(X, threads=threads), expected, rtol=1e-14)


def test_several_python_threads_at_once():
    net, _ = pair((3, 30, 2))
    X = np.random.default_rng(0).standard_normal((500, 3))
    expected, results = net.jacobian_dense(X), {}

    def work(k):
        results[k] = [net.jacobian_dense(X, threads=2) for _ in range(5)]

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 4
    for J in (J for Js in results.values() for J in Js):
        np.testing.assert_array_equal(J, expected)


BAD = {
    "exists": (("tanh", np.tanh, tanh_slope), ValueError, "'tanh' exists already"),
    "an alias": (("ReLU", np.tanh, tanh_slope), ValueError, "'ReLU' exists already"),
    "registered": (("own_tanh", np.tanh, tanh_slope), ValueError, "'own_tanh' exists already"),
    "no identifier": (("a b", np.tanh, tanh_slope), ValueError, "identifier; got 'a b'"),
    "empty": (("", np.tanh, tanh_slope), ValueError, "identifier; got ''"),
    "no string": ((1, np.tanh, tanh_slope), TypeError, "name must be a string; got 1"),
    "f": (("mine", 1, tanh_slope), TypeError, "f must be a function; got 1"),
    "fprime": (("mine", np.tanh, None), TypeError, "fprime must be a function; got None"),
    "fsecond": (("mine", np.tanh, tanh_slope, 2), TypeError, "fsecond must be a function; got 2"),
    "c_code": (("mine", np.tanh, tanh_slope, None, b"v"), TypeError, "c_code must be a string"),
    "c_code, no f": (
        ("mine", np.tanh, tanh_slope, None, "slope = v; second == v; second = 1;"),
        ValueError,
        "c_code must set f, slope and second from v; f is not set in 'slope",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_argument_is_refused_and_registers_nothing(case):
    arguments, error, message = BAD[case]
    before = dict(REGISTRY)
    with pytest.raises(error, match=message):
        dn.register_activation(*arguments)
    assert before == REGISTRY


def test_one_of_many_threads_gets_a_name():
    won, start = [], threading.Barrier(8)

    def work():
        start.wait()
        try:
            dn.register_activation("contested", np.tanh, tanh_slope)
            won.append(1)
        except ValueError:
            pass

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(won) == 1


def test_it_takes_no_parameter():
    with pytest.raises(ValueError, match="'own_tanh' takes no parameter; got 2"):
        dn.MLP([1, 1], output=("own_tanh", 2))


def test_what_later_steps_need_is_kept():
    functions = REGISTRY["own_square"].functions
    assert functions.c_code == SQUARE and functions.fsecond(np.ones(2)).tolist() == [2, 2]
    assert REGISTRY["watched"].functions.fsecond is None


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_refuse_it(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    with pytest.raises(ValueError, match="layer 1 has the registered activation 'own_square'"):
        dn.save(dn.MLP([2, 3, 1], output="own_square"), path)
    assert not path.exists()


def test_pickles_hold_the_name():
    net = dn.MLP([2, 3, 1], "own_tanh", seed=0)
    data = pickle.dumps(net)
    assert pickle.loads(data) == net == net.copy()
    code = f"import pickle; pickle.loads({data!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ValueError: unknown activation 'own_tanh'" in done.stderr


def test_an_exception_that_is_kept_to_the_end_leaves_no_message():
    """Its traceback holds results, which die after the modules."""
    code = """if True:
        import numpy as np, deltanet as dn
        error = ArithmeticError("mine")
        def f(v):
            raise error
        dn.register_activation("failing", f, f)
        try:
            dn.MLP([3, 30, 2], "failing").jacobian_dense(np.ones((300, 3)))
        except ArithmeticError:
            print("raised")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("raised\n", "")
