"""out= of every verb: what does not fit or shares memory with what is read is refused; nothing is written."""

import math

import numpy as np
import pytest
from verb_table import WITH_OUT, Arguments, misaligned, read_only, without

import deltanet as dn

SIZES, N = (4, 7, 3), 5
X = np.random.default_rng(0).standard_normal((N, SIZES[0]))
# A single sample and arrays of the net's own type go by a shorter way than the rest.
PATHS = {"batch": X, "single": X[0], "no sample": X[:0]}
DTYPES = ("float64", "float32")
KEPT = {
    "to_dense": lambda J, **o: J.to_dense(**o),
    "restricted to_dense": lambda J, **o: J.restrict("last").to_dense(**o),
    "J.input_jacobian": lambda J, **o: J.input_jacobian(**o),
    "J.gram": lambda J, **o: J.gram(**o),
}
VERBS = WITH_OUT | {
    name: lambda net, a, call=call, **o: call(net.jacobian(a.X), **o) for name, call in KEPT.items()
}


def build(path, dtype, bare=()):
    net = without(dn.MLP(SIZES, seed=0, dtype=dtype), bare)
    return net, Arguments(net, PATHS[path])


@pytest.mark.parametrize("bare", [(), (0,), (0, 1)], ids=["biases", "one bias", "no bias"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", VERBS)
def test_poisoned_out_equals_a_fresh_one(name, path, dtype, bare):
    net, a = build(path, dtype, bare)
    fresh = VERBS[name](net, a)
    out = np.full(fresh.shape, np.nan, dtype)
    assert VERBS[name](net, a, out=out) is out
    np.testing.assert_array_equal(out, fresh)


def wrong_ones(shape, dtype):
    """[(out, a part of the message)]"""
    right = np.full(shape, 7, dtype)
    other = np.float32 if dtype == "float64" else np.float64
    wrong = [
        (right[:-1], "shape"),
        (right[None], "shape"),
        (right.reshape(-1, 1), "shape"),
        (right.astype(other), f"dtype {dtype}"),
        (right.astype(right.dtype.newbyteorder()), f"dtype {dtype}"),
        (right.astype(int), f"dtype {dtype}"),
        (np.repeat(right, 2, axis=-1)[..., ::2], "C-contiguous"),
        (right[::-1], "C-contiguous"),
        (read_only(right), "writable"),
        (misaligned(right), "aligned"),
        (right.tolist(), "NumPy array; got list"),
        (memoryview(right), "NumPy array; got memoryview"),
    ]
    if right.ndim > 1:
        wrong.append((np.asfortranarray(right), "C-contiguous"))
    return wrong


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("path", ["batch", "single"])
@pytest.mark.parametrize("name", VERBS)
def test_what_does_not_fit_is_refused(name, path, dtype):
    net, a = build(path, dtype)
    shape = VERBS[name](net, a).shape
    for out, message in wrong_ones(shape, dtype):
        with pytest.raises(ValueError, match=message):
            VERBS[name](net, a, out=out)
        assert (np.asarray(out) == 7).all(), f"written before the refusal: {message}"


@pytest.mark.parametrize("out", [np.empty((0, 7)), np.empty((1, 3)), np.empty((0, 3), "f4")])
def test_a_wrong_out_of_no_sample_is_refused(out):
    net = dn.MLP(SIZES, seed=0)
    with pytest.raises(ValueError, match="out must have shape"):
        net(X[:0], out=out)


# verb -> the arguments that it reads, by their names in Arguments
READS = {name: ["X"] for name in WITH_OUT}
for name, more in {
    "jvp": "v",
    "gram of two": "X2",
    "covariance, diagonal": "sigma",
    "covariance, low rank": "factor",
    "covariance, dense": "Sigma",
    "vjp": "u",
    "ggn, h": "h",
    "ggn, H": "H",
    "ggn_diagonal, h": "h",
    "ggn_diagonal, H": "H",
}.items():
    READS[name] = ["X", more]
SHARED = [(name, read) for name, reads in READS.items() for read in reads]


def overlapping(array, shape):
    """(a copy of the array, out of this shape, the memory of both), for out at its start and at its end."""
    size = math.prod(shape)
    for place in {0, array.size - 1}:
        memory = np.zeros(max(array.size, place + size), array.dtype)
        copy = memory[: array.size].reshape(array.shape)
        copy[...] = array
        yield copy, memory[place : place + size].reshape(shape), memory


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("path", ["batch", "single"])
@pytest.mark.parametrize("name, read", SHARED)
def test_memory_shared_with_an_argument_is_refused(name, read, path, dtype):
    net, a = build(path, dtype)
    shape = WITH_OUT[name](net, a).shape
    for copy, out, memory in overlapping(getattr(a, read), shape):
        setattr(a, read, copy)
        before = memory.copy()
        with pytest.raises(ValueError, match="share no memory"):
            WITH_OUT[name](net, a, out=out)
        np.testing.assert_array_equal(memory, before)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("path", ["batch", "single"])
def test_memory_shared_with_a_kronecker_pair_is_refused(path, side):
    net, a = build(path, "float64")
    shape = net.covariance(a.X, a.pairs).shape
    for copy, out, memory in overlapping(a.pairs[1][side], shape):
        pair = (copy, a.pairs[1][1]) if side == 0 else (a.pairs[1][0], copy)
        before = memory.copy()
        with pytest.raises(ValueError, match="share no memory"):
            net.covariance(a.X, [a.pairs[0], pair], out=out)
        np.testing.assert_array_equal(memory, before)


@pytest.mark.parametrize(
    "given",
    [
        lambda memory: memory.reshape(N, 8)[:, ::2],
        lambda memory: memory[: 4 * N].reshape(4, N).T,
        lambda memory: memoryview(memory[: 4 * N].reshape(N, 4)),
        lambda memory: memory.view(np.int64)[: 4 * N].reshape(N, 4),
    ],
    ids=["strided", "Fortran", "memoryview", "of another type"],
)
@pytest.mark.parametrize("name", ["call", "input_jacobian", "jvp", "row_norms_squared"])
def test_an_input_that_is_copied_is_still_an_input(name, given):
    """Whether X is read where it lies or through a copy, out= must not change it."""
    net, memory = dn.MLP(SIZES, seed=0), np.zeros(8 * N * 3)
    a = Arguments(net, X)
    shape = WITH_OUT[name](net, a).shape
    a.X = given(memory[: 8 * N])
    with pytest.raises(ValueError, match="share no memory"):
        WITH_OUT[name](net, a, out=memory[: math.prod(shape)].reshape(shape))
    assert not memory.any()


# With one output, a single sample and these parameters, theta is as large as the result of any verb.
THETA_WRT = {name: [("biases", 1)] for name in WITH_OUT if name.startswith(("ggn", "covariance"))}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("samples", ["single", "one", "converted"])
@pytest.mark.parametrize("name", WITH_OUT)
def test_memory_shared_with_the_parameters_is_refused(name, samples, dtype):
    net = dn.MLP((4, 7, 1), seed=0, dtype=dtype)
    a = Arguments(net, X[0] if samples == "single" else X[:1], THETA_WRT.get(name))
    if name.endswith("pairs"):
        a = Arguments(net, a.X, "last")
    a.X2 = a.X2[:1]
    if samples == "converted":
        a.X = a.X.tolist()
    shape, before = WITH_OUT[name](net, a).shape, net.params.copy()
    size = math.prod(shape)
    for start in {0, net.num_params - size}:
        with pytest.raises(ValueError, match="share no memory"):
            WITH_OUT[name](net, a, out=net.params[start : start + size].reshape(shape))
        np.testing.assert_array_equal(net.params, before)


@pytest.mark.parametrize("single", [False, True], ids=["batch", "single"])
def test_memory_shared_with_the_factors_is_refused(single):
    """Each out is a part of what the Jacobian holds."""
    net = dn.MLP((4, 7, 1), seed=0)
    x = X[0] if single else X[:1]
    J, other = net.jacobian(x), net.jacobian(x)

    def part(array, shape):
        return array.reshape(-1)[: math.prod(shape)].reshape(shape)

    lead = () if single else (1,)
    for call, shape, arrays in (
        (J.input_jacobian, (*lead, 1, 4), [J.deltas[0], J.inputs[0], J.inputs[1]]),
        (J.gram, (*lead, 1, *lead, 1), factors(J)),
        (lambda out: J.gram(other, out=out), (*lead, 1, *lead, 1), factors(J) + factors(other)),
        (J.restrict([("biases", 0)]).to_dense, (*lead, 1, 7), [J.deltas[0]]),
        (J.restrict([("biases", 1)]).to_dense, (*lead, 1, 1), [J.deltas[1], J.inputs[1]]),
    ):
        for array in arrays:
            before = array.copy()
            with pytest.raises(ValueError, match="share no memory"):
                call(out=part(array, shape))
            np.testing.assert_array_equal(array, before)


def factors(J):
    return [J.outputs, *J.deltas, *J.inputs]


def test_an_out_beside_an_input_is_taken():
    """In one allocation, and no number in common."""
    net, memory = dn.MLP(SIZES, seed=0), np.zeros(4 * N + 3 * N)
    given, out = memory[: 4 * N].reshape(N, 4), memory[4 * N :].reshape(N, 3)
    given[...] = X
    np.testing.assert_array_equal(net(given, out=out), net(X))
