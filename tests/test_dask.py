"""deltanet.dask: every verb at samples in chunks, against dense algebra on rows that NumPy makes."""

import os
import pickle
import re
import subprocess
import sys

import dense_oracle as plain
import numpy as np
import pytest
from dense_oracle import PlainNet, absolute, assert_close

import deltanet as dn

pytestmark = pytest.mark.of_jobs

dask = pytest.importorskip("dask", reason="deltanet.dask needs Dask")
da = pytest.importorskip("dask.array", reason="deltanet.dask needs Dask's arrays")

TOLERANCE = {"float64": 1e-12, "float32": 1e-4}
RAGGED = (1, 7, 0, 30, 2)
# name -> (sizes, activations, which layers have a bias, scalings, dtype, wrt, chunks of samples)
CASES = {
    "one chunk": ((4, 8, 2), ["tanh", "identity"], (1, 1), False, "float64", None, (40,)),
    "ragged": ((4, 8, 6, 3), ["silu", "relu", "softmax"], (1, 1, 1), True, "float64", None, RAGGED),
    "float32": ((5, 9, 3), ["gelu", "identity"], (1, 1), True, "float32", None, RAGGED),
    "last": ((3, 7, 7, 2), ["tanh", "elu", "atan"], (1, 1, 1), False, "float64", "last", RAGGED),
    "weights": ((3, 7, 2), ["sin", "identity"], (0, 1), False, "float32", "weights", (20, 20)),
    "biases": ((3, 7, 2), ["sin", "log_softmax"], (1, 1), True, "float64", "biases", (39, 1)),
    "pairs": (
        (1, 5, 4, 1),
        ["mish", "tanh", "identity"],
        (1, 1, 0),
        False,
        "float64",
        [("biases", 0), ("weights", -1)],
        (1,) * 5 + (35,),
    ),
    "no bias": ((6, 4), ["sigmoid"], (0,), False, "float64", [0], RAGGED),
    "nothing kept": ((3, 4, 2), ["tanh", "identity"], (1, 1), False, "float64", [], (30, 10)),
    "no sample": ((3, 4, 2), ["tanh", "identity"], (1, 1), False, "float64", None, (0,)),
    "empty chunks": ((3, 4, 2), ["tanh", "identity"], (1, 1), False, "float32", "last", (0, 0)),
}
CHUNKS = ("known", "unknown", "columns apart")


def unknown(array):
    """The same array, without the lengths of its chunks."""
    lengths = (np.nan,) * len(array.chunks[0]), *array.chunks[1:]
    return array.map_blocks(np.copy, chunks=lengths, dtype=array.dtype, meta=array._meta)


class Problem:
    """A net and samples in chunks, with rows, H and Sigma of each kind in NumPy."""

    def __init__(self, name, chunks="known"):
        sizes, activations, biased, scaled, self.dtype, self.wrt, self.rows = CASES[name]
        random = np.random.default_rng(0)
        self.plain = PlainNet.random(random, sizes, activations, biased, scaled, self.dtype)
        weights, biases = self.plain.weights, self.plain.biases
        self.net = dn.MLP.from_layers(
            weights, biases, activations, *self.plain.scalings, dtype=self.dtype
        )
        self.N, self.m = sum(self.rows), sizes[-1]
        self.samples = self.plain.samples(random, self.N, self.dtype)
        self.y, D, self.dx, self.inputs, self.deltas = self.plain.differentiate(self.samples)
        self.D = D[:, :, self.plain.keep(self.wrt)]
        self.P = self.D.shape[-1]
        self.kept = self.net._keep(self.wrt).layers
        self.place, self.random = chunks, random
        columns = (1, sizes[0] - 1) if chunks == "columns apart" and sizes[0] > 1 else sizes[:1]
        self.X = self.chunked(self.samples.astype(self.dtype), columns)
        h, H = self.draw(self.N), self.draw(self.N, self.m, self.m)
        self.weights = {"none": None, "h": h, "H": H + H.swapaxes(1, 2)}

    def chunked(self, array, *others):
        """An array in the chunks of X."""
        whole = others or [(n,) for n in array.shape[1:]]
        lazy = da.from_array(array, chunks=(self.rows, *whole))
        return unknown(lazy) if self.place == "unknown" else lazy

    def draw(self, *shape):
        return self.random.standard_normal(shape).astype(self.dtype).astype(float)

    def matrices(self, kind):
        """H (N, m, m) of a kind."""
        H = self.weights[kind]
        eye = np.broadcast_to(np.eye(self.m), (self.N, self.m, self.m))
        return eye if H is None else H[:, None, None] * eye if H.ndim == 1 else H

    def lazy(self, kind):
        """The same as it is given: in chunks, if it must be."""
        H = self.weights[kind]
        if H is None:
            return None
        H = H.astype(self.dtype)
        return self.chunked(H) if self.place == "unknown" else H

    def equal(self, actual, formula, *arrays):
        """What is computed is formula(*arrays), and of the shape and chunks that were told before."""
        exact, terms = formula(*arrays), formula(*[absolute(each) for each in arrays])
        blocks = dask.compute(*actual.to_delayed().flat, scheduler="sync")
        lengths = np.array([len(block) if block.ndim else 1 for block in blocks])
        told = actual.chunks[0] if actual.ndim else (1,)
        assert actual.dtype == self.dtype and actual._meta.dtype == self.dtype
        assert type(actual._meta) is np.ndarray and actual._meta.ndim == exact.ndim == actual.ndim
        assert all(np.isnan(n) or n == m for n, m in zip(told, lengths, strict=True))
        assert {block.dtype for block in blocks} == {np.dtype(self.dtype)}
        found = actual.compute(scheduler="sync")
        assert found.dtype == self.dtype
        assert_close(found, exact, TOLERANCE[self.dtype], terms.max(initial=0))
        assert all(np.isnan(n) or n == k for n, k in zip(actual.shape, found.shape, strict=True))


@pytest.fixture(params=[(name, chunks) for name in CASES for chunks in CHUNKS], ids="-".join)
def problem(request):
    return Problem(*request.param)


def test_factors(problem):
    p = problem
    J = dn.dask.jacobian(p.net, p.X, p.wrt)
    assert len(J.deltas) == len(J.inputs) == len(p.deltas)
    p.equal(J.outputs, lambda y: y, p.y)
    layers = [k for k, *_ in p.kept]
    for k in range(len(p.deltas)):
        if k in layers:
            p.equal(J.deltas[k], lambda delta: delta, p.deltas[k])
            p.equal(J.inputs[k], lambda h: h, p.inputs[k])
        else:
            assert J.deltas[k] is None and J.inputs[k] is None
    lazy = [each for each in (J.outputs, *J.deltas, *J.inputs) if each is not None]
    for each in lazy:
        assert each.numblocks == (len(p.rows),) + (1,) * (each.ndim - 1)
        assert p.place == "unknown" or each.chunks[0] == p.rows


def test_input_jacobian(problem):
    p = problem
    found = dn.dask.input_jacobian(p.net, p.X)
    p.equal(found, lambda dx: dx, p.dx)
    assert found.numblocks == (len(p.rows), 1, 1)


@pytest.mark.parametrize("kind", ["none", "h", "H"])
def test_sums(problem, kind):
    p = problem
    arguments = p.net, p.X, p.lazy(kind), p.wrt
    G = dn.dask.ggn(*arguments)
    assert (G.shape, G.chunks) == ((p.P, p.P), ((p.P,), (p.P,)))
    p.equal(G, plain.ggn, p.D, p.matrices(kind))
    found = G.compute(scheduler="sync")
    assert (found == found.T).all()
    d = dn.dask.ggn_diagonal(*arguments)
    assert (d.shape, d.chunks) == ((p.P,), ((p.P,),))
    p.equal(d, plain.ggn_diagonal, p.D, p.matrices(kind))


@pytest.mark.parametrize("kind", ["none", "h", "H"])
def test_kfac(problem, kind):
    p, tolerance = problem, TOLERANCE[problem.dtype]
    K = dn.dask.kfac(p.net, p.X, p.lazy(kind), p.wrt).compute(scheduler="sync")
    assert type(K) is dn.KFAC and len(K) == len(p.kept)
    for (A, B), (k, W, bias) in zip(K, p.kept, strict=True):
        h = p.inputs[k] if W else p.inputs[k][:, :0]
        assert_close(A, plain.input_factor(h, bias), tolerance)
        delta, H = p.deltas[k], p.matrices(kind)
        terms = plain.ggn(abs(delta), abs(H)).max(initial=0)
        assert_close(B, plain.ggn(delta, H), tolerance, terms)
        assert A.dtype == B.dtype == p.dtype and (A == A.T).all() and (B == B.T).all()


def sigmas(p):
    """Sigma of each kind, and the parts of the kept columns."""
    sides = [(p.plain.sizes[k] * W + bias, p.plain.sizes[k + 1]) for k, W, bias in p.kept]
    halves = [[p.draw(n, n) for n in pair] for pair in sides]
    half = p.draw(p.P, p.P)
    return {
        "scalar": np.array(0.3),
        "diagonal": p.draw(p.P),
        "low rank": p.draw(p.P, p.P + 2),
        "dense": half + half.T,
        "pairs": [tuple(half @ half.T for half in pair) for pair in halves],
    }


@pytest.mark.parametrize("kind", ["scalar", "diagonal", "low rank", "dense", "pairs"])
@pytest.mark.parametrize("lazy", [False, True], ids=["known", "lazy"])
def test_covariance(problem, kind, lazy):
    p = problem
    Sigma = sigmas(p)[kind]
    parts = [(p.plain.sizes[k] * W, p.plain.sizes[k + 1], b) for k, W, b in p.kept]
    given = dask.delayed(Sigma) if lazy else Sigma
    found = dn.dask.covariance(p.net, p.X, given, p.wrt)
    assert found.numblocks == (len(p.rows), 1, 1)
    p.equal(found, lambda D, S: plain.covariance(D, S, parts), p.D, Sigma)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_covariance_by_a_kfac_that_is_not_there_yet(chunks):
    """The Laplace posterior of the samples, from nothing but lazy objects."""
    p = Problem("ragged", chunks)
    Sigma = dn.dask.kfac(p.net, p.X).damped(1.0).inverse()
    S = np.zeros((p.P, p.P))
    start = 0
    for (n_in, n_out), (h, delta) in zip(
        zip(p.plain.sizes, p.plain.sizes[1:], strict=False),
        zip(p.inputs, p.deltas, strict=True),
        strict=True,
    ):
        A, B = plain.input_factor(h, True), plain.ggn(delta, np.eye(p.m)[None])
        # from [W b] row by row to W row by row, then b
        places = np.arange(n_out * (n_in + 1)).reshape(n_out, n_in + 1)
        order = np.concatenate([places[:, :-1].ravel(), places[:, -1]])
        block = np.linalg.inv(np.kron(B, A) + np.eye(len(order)))[np.ix_(order, order)]
        S[start : start + len(order), start : start + len(order)] = block
        start += len(order)
    found = dn.dask.covariance(p.net, p.X, Sigma).compute(scheduler="sync")
    assert_close(found, plain.covariance(p.D, S), 1e-9)


# What a graph is


def everything(net, X, H=None):
    """Every verb at the same samples."""
    J = dn.dask.jacobian(net, X)
    return {
        "jacobian": [J.outputs, *J.deltas, *J.inputs],
        "input_jacobian": [dn.dask.input_jacobian(net, X)],
        "ggn": [dn.dask.ggn(net, X, H)],
        "ggn_diagonal": [dn.dask.ggn_diagonal(net, X, H)],
        "kfac": [dn.dask.kfac(net, X, H)],
        "covariance": [
            dn.dask.covariance(net, X, 0.5),
            dn.dask.covariance(net, X, dn.dask.kfac(net, X).damped(1.0)),
        ],
    }


def keys(net, X, H=None):
    """Of all tasks of every verb, without those of the user's own Delayed."""
    made = everything(net, X, H)
    made["covariance"].pop()
    return {str(key) for verb in made.values() for each in verb for key in each.__dask_graph__()}


def lazy_samples(N=10, n=3, chunks=4):
    random = np.random.default_rng(0)
    return da.from_array(random.standard_normal((N, n)), chunks=(chunks, n))


def test_nothing_is_computed_while_a_graph_is_built():
    def refuse(*args, **kwargs):
        raise AssertionError("computed")

    net, X = dn.MLP([3, 5, 2], seed=0), lazy_samples()
    H = X[:, 0] ** 2
    pairs = [(da.ones((4, 4)), da.ones((5, 5))), (da.ones((6, 6)), da.ones((2, 2)))]
    with dask.config.set(scheduler=refuse):
        for samples, weights in ((X, H), (X.rechunk((4, 1)), H), (X[H > 0.1], H[H > 0.1])):
            everything(net, samples, weights)
        dn.dask.covariance(net, X, pairs)
        dn.dask.covariance(net, X, da.ones(net.num_params))
        with pytest.raises(AssertionError, match="computed"):
            dn.dask.ggn(net, X).compute()
    assert dn.dask.covariance(net, X, pairs).compute(scheduler="sync").shape == (10, 2, 2)


def test_factors_are_made_once_a_chunk(monkeypatch):
    calls, jacobian = [], dn.MLP.jacobian

    def counted(self, X, **options):
        calls.append(len(X))
        return jacobian(self, X, **options)

    J = dn.dask.jacobian(dn.MLP([3, 5, 2], seed=0), lazy_samples())
    monkeypatch.setattr(dn.MLP, "jacobian", counted)
    product = (J.deltas[0] * J.inputs[1][:, None, :]).sum()
    for asked in ([J], [J.outputs], [*J.deltas, *J.inputs], [product, J.outputs.mean()]):
        calls.clear()
        dask.compute(*asked, scheduler="sync")
        assert sorted(calls) == [2, 4, 4]


def test_a_factor_keeps_no_other():
    """They are made in one buffer."""
    J = dn.dask.jacobian(dn.MLP([3, 5, 2], seed=0), lazy_samples(chunks=10))
    found = J.outputs.compute(scheduler="sync")
    assert found.base is None and found.shape == (10, 2)


@pytest.mark.parametrize("verb", ["ggn", "kfac", "covariance", "jacobian"])
def test_the_net_is_in_the_graph_once(verb):
    net, X = dn.MLP([3, 200, 30, 2], seed=0), lazy_samples(N=60, chunks=2)
    graph = {}
    for each in everything(net, X)[verb]:
        graph |= dict(each.__dask_graph__())
    assert 1 <= len(pickle.dumps(graph)) / net.params.nbytes < 2.5


def test_tasks_take_one_thread(monkeypatch):
    """The scheduler owns the others."""
    names = ("jacobian", "input_jacobian", "ggn", "ggn_diagonal", "covariance")
    made, found = everything(dn.MLP([3, 5, 2], seed=0), lazy_samples()), set()
    verbs = {name: getattr(dn.MLP, name) for name in names}
    for name, verb in verbs.items():

        def recorded(self, *args, name=name, verb=verb, **options):
            found.add((name, options.get("threads")))
            return verb(self, *args, **options)

        monkeypatch.setattr(dn.MLP, name, recorded)
    dask.compute(made, scheduler="sync")
    assert found == {(name, 1) for name in names}


def test_the_net_is_the_one_when_the_graph_was_built():
    net, X = dn.MLP([3, 5, 2], seed=0), lazy_samples()
    before, expected = dn.dask.ggn(net, X), net.ggn(X.compute())
    net.params[:] = 0
    found = before.compute(scheduler="sync")
    assert_close(found, expected, 1e-12)
    assert not dn.dask.jacobian(net, X).outputs.compute(scheduler="sync").any()


def test_sums_are_added_in_pairs():
    """Neighbors, then neighbors of these: the bits are those of this tree, whatever runs it."""
    net, X = dn.MLP([3, 5, 2], seed=0), lazy_samples(N=23, chunks=3)
    parts = [net.ggn(X.blocks[i].compute(scheduler="sync"), threads=1) for i in range(8)]
    while len(parts) > 1:
        parts = [sum(parts[i + 1 : i + 2], parts[i]) for i in range(0, len(parts), 2)]
    assert (dn.dask.ggn(net, X).compute(scheduler="sync") == parts[0]).all()


@pytest.mark.parametrize("chunks", [(40,), RAGGED, (1,) * 40])
def test_rows_do_not_depend_on_chunks(chunks):
    """Their bits: a sample that is alone in its chunk takes no shorter way."""
    net = dn.MLP([4, 50, 50, 3], seed=0)
    X = da.from_array(np.random.default_rng(0).standard_normal((40, 4)), chunks=(chunks, 4))
    whole = X.compute(scheduler="sync")
    J, K = dn.dask.jacobian(net, X), net.kfac(whole)
    expected = net.jacobian(whole, reproducible=True)
    lazy = [J.outputs, *J.deltas, *J.inputs, dn.dask.input_jacobian(net, X)]
    eager = [expected.outputs, *expected.deltas, *expected.inputs]
    eager += [net.input_jacobian(whole, reproducible=True)]
    for Sigma in (0.5, net.params**2, K, K.damped(0.1).inverse()):
        lazy.append(dn.dask.covariance(net, X, Sigma))
        eager.append(net.covariance(whole, Sigma, reproducible=True))
    for a, b in zip(dask.compute(*lazy, scheduler="sync"), eager, strict=True):
        assert (a == b).all()


def test_infinite_sums_are_silent():
    X = da.from_array(np.array([[np.inf], [-np.inf], [np.nan], [1.0]]), chunks=(1, 1))
    net = dn.MLP.from_layers([[[1e300]]], [[0.0]], ["identity"])
    assert np.isnan(dn.dask.ggn(net, X).compute(scheduler="sync")[0, 0])


# Keys


def test_equal_nets_have_equal_keys():
    net, X = dn.MLP([3, 5, 2], seed=0), lazy_samples()
    assert keys(net, X) == keys(net.copy(), X) == keys(pickle.loads(pickle.dumps(net)), X)
    assert dask.base.tokenize(net) == dask.base.tokenize(net.copy())


def test_all_ways_to_say_wrt_have_equal_keys():
    net, X = dn.MLP([3, 5, 2], seed=0), lazy_samples()
    mask = np.arange(net.num_params) >= 20
    ways = ["last", [1], [-1], [("weights", 1), ("biases", 1)], (1,), mask]
    assert len({dn.dask.ggn(net, X, wrt=wrt).name for wrt in [*ways, iter([1])]}) == 1
    Sigma = np.ones(12)
    names = {dn.dask.covariance(net, X, Sigma, wrt).name for wrt in [*ways, iter([1])]}
    assert len(names) == 1


def changed():
    """Nets that differ from MLP([3, 5, 2], seed=0) in one thing."""
    net = dn.MLP([3, 5, 2], seed=0)
    other = net.copy()
    other.params[-1] += 1e-300
    named = net.copy()
    named.input_names = ["a", "b", "c"]
    layers = net.weights, net.biases
    return {
        "params": other,
        "names": named,
        "activation": dn.MLP.from_layers(*layers, ["sin", "identity"]),
        "parameter": dn.MLP.from_layers(*layers, [("swish", 2.0), "identity"]),
        "another": dn.MLP.from_layers(*layers, [("swish", 2.5), "identity"]),
        "bias": dn.MLP.from_layers(net.weights, [net.biases[0], None], net.activations),
        "dtype": net.astype("float32"),
        "input": dn.MLP.from_layers(*layers, net.activations, input_shift=0),
        "output": dn.MLP.from_layers(*layers, net.activations, output_shift=0),
        "sizes": dn.MLP([3, 2, 5], seed=0),
    }


def test_other_nets_have_other_keys():
    nets = [dn.MLP([3, 5, 2], seed=0), *changed().values()]
    X = lazy_samples()
    assert len({dask.base.tokenize(net) for net in nets}) == len(nets)
    assert len({dn.dask.input_jacobian(net, X).name for net in nets}) == len(nets)


def test_other_arguments_have_other_keys():
    net, X = dn.MLP([3, 5, 2], seed=0), lazy_samples()
    arguments = [(X,), (X + 1,), (X, np.ones(10)), (X, np.zeros(10)), (X, None, "last")]
    assert len({dn.dask.ggn(net, *each).name for each in arguments}) == len(arguments)
    assert len({dn.dask.covariance(net, X, Sigma).name for Sigma in (1, 2, np.ones(32))}) == 3


def test_keys_are_those_of_another_process():
    code = """
import numpy as np, test_dask, deltanet as dn
print(test_dask.lazy_samples().sum().name)
print(*sorted(test_dask.keys(dn.MLP([3, 5, 2], seed=0), test_dask.lazy_samples(), np.ones(10))))
"""
    path = os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "7"},
    )
    own, *theirs = done.stdout.splitlines()
    if own != lazy_samples().sum().name:
        pytest.skip("this version of Dask gives its own sums other keys in each process")
    ours = keys(dn.MLP([3, 5, 2], seed=0), lazy_samples(), np.ones(10))
    assert theirs == [" ".join(sorted(ours))]


def test_keys_of_kfac():
    net, X = dn.MLP([3, 5, 2], seed=0), np.ones((4, 3))
    K, same = net.kfac(X), net.kfac(X)
    token = dask.base.tokenize(K)
    K.damped(1.0)  # its eigenvalues are known now
    others = [
        K.damped(1.0),
        K.damped(2.0),
        net.kfac(2 * X),
        net.kfac(X, wrt="weights"),
        K.damped(1.0).inverse(),
    ]
    assert token == dask.base.tokenize(K) == dask.base.tokenize(same)
    assert dask.base.tokenize(K.damped(1.0)) == dask.base.tokenize(same.damped(1.0))
    assert len({token, *map(dask.base.tokenize, others)}) == 6


# Schedulers


def job():
    """(lazy results, as dask.compute takes them)"""
    net = dn.MLP([10, 20, 20, 1], seed=0)
    X = da.random.default_rng(0).standard_normal((2000, 10), chunks=((1, 699, 600, 600, 100), 10))
    return everything(net, X, X[:, 0] ** 2)


def bits(results):
    """The arrays of results of `job`."""
    for verb in results.values():
        for each in verb:
            yield from (
                [array for pair in each for array in pair] if isinstance(each, dn.KFAC) else [each]
            )


def assert_same_bits(one, other):
    for a, b in zip(bits(one), bits(other), strict=True):
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()


@pytest.fixture(scope="module")
def expected():
    (found,) = dask.compute(job(), scheduler="sync")
    return found


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_threads(expected, workers):
    (found,) = dask.compute(job(), scheduler="threads", num_workers=workers)
    assert_same_bits(found, expected)


def test_processes(expected):
    (found,) = dask.compute(job(), scheduler="processes", num_workers=2)
    assert_same_bits(found, expected)


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed", reason="needs dask.distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with cluster.get_client() as client:
        yield client


def test_cluster(expected, client):
    (found,) = dask.compute(job())
    assert_same_bits(found, expected)


def test_kept_on_a_cluster(expected, client):
    kept = dask.persist(job())[0]
    assert_same_bits(dask.compute(kept)[0], expected)
    (J,) = dask.persist(dn.dask.jacobian(dn.MLP([3, 5, 2], seed=0), lazy_samples()))
    assert type(J) is dn.dask.Factors and J.deltas[0].shape == (10, 2, 5)


def test_an_activation_that_workers_do_not_know(client):
    """The task fails with a message, and no worker is lost."""

    def register():
        dn.register_activation("cube_on_workers", lambda v: v**3, lambda v: 3 * v**2)

    register()
    net = dn.MLP([3, 4, 2], activation="cube_on_workers", seed=0)
    X, workers = lazy_samples(), client.run(os.getpid)
    with pytest.raises(ValueError, match="unknown activation 'cube_on_workers'"):
        dn.dask.ggn(net, X).compute()
    client.run(register)
    expected = net.ggn(np.random.default_rng(0).standard_normal((10, 3)))
    assert_close(dn.dask.ggn(net, X, da.ones(10, chunks=4)).compute(), expected, 1e-12)
    assert client.run(os.getpid) == workers


# Dataframes


@pytest.fixture
def frames():
    """(pandas', the same of Dask): a column that is no input, one of text."""
    frame_of = pytest.importorskip("dask.dataframe", reason="needs Dask's dataframes").from_pandas
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    random = np.random.default_rng(0)
    frame = pandas.DataFrame(random.standard_normal((21, 3)), columns=["speed", "angle", "weight"])
    frame["count"], frame["who"] = np.arange(21), "x"
    return frame, frame_of(frame, npartitions=4)


def test_columns_by_name(frames):
    eager, lazy = frames
    net = dn.MLP([3, 5, 2], seed=0)
    net.input_names = ["count", "speed", "angle"]
    X, w = eager[["count", "speed", "angle"]].to_numpy(), eager["weight"].to_numpy()
    for weight in (lazy["weight"], lazy["weight"].values):
        found = dn.dask.ggn(net, lazy, weight).compute(scheduler="sync")
        assert_close(found, net.ggn(X, w), 1e-12)
    J = dn.dask.jacobian(net, lazy)
    assert np.isnan(J.outputs.shape[0]) and J.outputs.numblocks == (lazy.npartitions, 1)
    assert_close(J.outputs.compute(scheduler="sync"), net(X), 1e-12)
    (A, _), _ = dn.dask.kfac(net, lazy).compute(scheduler="sync")
    assert_close(A, net.kfac(X)[0][0], 1e-12)


def test_columns_in_their_order(frames):
    eager, lazy = frames
    net, names = dn.MLP([3, 5, 2], seed=0, dtype="float32"), ["angle", "count", "speed"]
    X = eager[names].to_numpy().astype("float32")
    for samples in (lazy[names], lazy[names].values):
        found = dn.dask.input_jacobian(net, samples).compute(scheduler="sync")
        assert found.dtype == "float32"
        assert_close(found, net.input_jacobian(X), 1e-6)


def test_columns_with_missing_numbers(frames):
    """Columns of pandas' own dtypes: what is missing is NaN."""
    eager, _ = frames
    from dask.dataframe import from_pandas

    eager["count"] = eager["count"].astype("Int64").where(eager["count"] != 5)
    net = dn.MLP([2, 3, 1], seed=0)
    samples = from_pandas(eager[["speed", "count"]], npartitions=2)
    found = dn.dask.jacobian(net, samples).outputs.compute(scheduler="sync")
    assert (np.isnan(found[:, 0]) == (np.arange(21) == 5)).all()


def named(names):
    net = dn.MLP([3, 5, 2], seed=0)
    net.input_names = names
    return net


COLUMNS = {
    "too many": (
        None,
        ValueError,
        "X must have 3 columns, one for each input, where the net has no ",
    ),
    "missing": (
        ["speed", "mass", "angle"],
        ValueError,
        "X must have one column for each of the net's input_names; 'mass' is there 0 times in ",
    ),
    "text": (
        ["speed", "who", "angle"],
        TypeError,
        "column 'who' of X must hold real numbers; got ",
    ),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_columns_that_do_not_fit(case, frames):
    names, kind, message = COLUMNS[case]
    with pytest.raises(kind, match=re.escape(message)):
        dn.dask.ggn(named(names), frames[1])


# Refusals

NET = dn.MLP([3, 5, 2], seed=0)
SAMPLES = lazy_samples()
REFUSED = {
    "net": (
        lambda: dn.dask.input_jacobian(None, SAMPLES),
        TypeError,
        "net must be a deltanet.MLP; ",
    ),
    "array": (
        lambda: dn.dask.ggn(NET, np.ones((4, 3))),
        TypeError,
        "X must be a Dask array or dataframe; got ndarray. ",
    ),
    "delayed": (
        lambda: dn.dask.ggn(NET, dask.delayed(np.ones)((4, 3))),
        TypeError,
        "X must be a Dask array or dataframe; got Delayed. ",
    ),
    "width": (
        lambda: dn.dask.kfac(NET, da.ones((4, 2))),
        ValueError,
        "X must have shape (N, 3); got (4, 2)",
    ),
    "one sample": (
        lambda: dn.dask.jacobian(NET, da.ones(3)),
        ValueError,
        "X must have shape (N, 3); got (3,)",
    ),
    "dtype": (
        lambda: dn.dask.jacobian(NET, da.ones((4, 3), dtype=complex)),
        TypeError,
        "X must hold real numbers; got dtype complex128",
    ),
    "wrt": (
        lambda: dn.dask.jacobian(NET, SAMPLES, wrt=[2]),
        ValueError,
        "wrt must name layers between -2 and 1; got 2",
    ),
    "H, shape": (
        lambda: dn.dask.ggn(NET, SAMPLES, np.ones((10, 3, 3))),
        ValueError,
        "H must have shape (10,) or (10, 2, 2); got (10, 3, 3)",
    ),
    "H, length": (
        lambda: dn.dask.ggn_diagonal(NET, SAMPLES, da.ones(9)),
        ValueError,
        "H must have shape (10,) or (10, 2, 2); got (9,)",
    ),
    "H, dtype": (
        lambda: dn.dask.ggn(NET, SAMPLES, da.ones(10, dtype=complex)),
        TypeError,
        "H must hold real numbers; got dtype complex128",
    ),
    "H, delayed": (
        lambda: dn.dask.ggn(NET, SAMPLES, dask.delayed(np.ones)(10)),
        TypeError,
        "H must be a Dask array or array_like; got Delayed",
    ),
    "H, in memory": (
        lambda: dn.dask.ggn(NET, unknown(SAMPLES), np.ones(10)),
        TypeError,
        "H must be a Dask array, or a column of the same dataframe, where the lengths of X's chunks",
    ),
    "H, chunks": (
        lambda: dn.dask.ggn(NET, unknown(SAMPLES), da.ones(10, chunks=5)),
        ValueError,
        "H must have as many chunks as X, 3, where their lengths are not known; got 2",
    ),
    "Sigma": (
        lambda: dn.dask.covariance(NET, SAMPLES, np.ones(4)),
        ValueError,
        "Sigma must be a scalar, (32,), (32, 32), (32, r) or pairs (A, B); got (4,)",
    ),
}
WHILE_IT_RUNS = {
    "H, numbers": (
        lambda: dn.dask.ggn(NET, SAMPLES, np.full(10, np.inf)),
        "H must be finite; got inf",
    ),
    "H, other lengths": (
        lambda: dn.dask.ggn(NET, unknown(SAMPLES), da.ones(10, chunks=((3, 4, 3),))),
        "H must have shape (4,) or (4, 2, 2); got (3,)",
    ),
    "Sigma": (
        lambda: dn.dask.covariance(NET, SAMPLES, da.ones(4)),
        "Sigma must be a scalar, (32,), (32, 32), (32, r) or pairs (A, B); got (4,)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    call, kind, message = REFUSED[case]
    with pytest.raises(kind, match=f"^{re.escape(message)}"):
        call()


@pytest.mark.parametrize("case", WHILE_IT_RUNS)
def test_refused_in_a_task(case):
    call, message = WHILE_IT_RUNS[case]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call().compute(scheduler="sync")
