"""MLP as an object: construction, parameters, equality, copies, pickles and its messages."""

import pickle

import numpy as np
import pytest

import deltanet as dn


@pytest.fixture
def net():
    return dn.MLP.from_layers(
        [np.ones((3, 2)), np.full((4, 3), 2.0)],
        [None, np.arange(4)],
        [("leaky_relu", 0.1), "softmax"],
        input_shift=1,
        output_scale=[1, 2, 3, 4],
    )


def test_what_it_says_of_itself(net):
    assert net.sizes == (2, 3, 4) and net.num_params == 22 and net.dtype == np.float64
    assert net.activations == (("leaky_relu", 0.1), "softmax")
    np.testing.assert_array_equal(net.input_shift, [1, 1])
    np.testing.assert_array_equal(net.input_scale, [1, 1])
    np.testing.assert_array_equal(net.output_shift, [0, 0, 0, 0])
    assert repr(net) == (
        "MLP([2, 3, 4], activation=[('leaky_relu', 0.1)], output='softmax', dtype='float64', "
        "bias=[False, True], input scaled, output scaled)"
    )
    assert repr(dn.MLP([2, 1], bias=False)).endswith("dtype='float64', bias=False)")
    assert repr(dn.MLP([2, 1])).endswith("dtype='float64')")
    assert dn.MLP([2, 1]).input_shift is None


def test_params_are_in_the_order_of_torch(net):
    np.testing.assert_array_equal(net.params, [1] * 6 + [2] * 12 + [0, 1, 2, 3])
    net.weights[1][2, 1] = 9
    assert net.params[6 + 2 * 3 + 1] == 9
    net.params = np.arange(22)
    np.testing.assert_array_equal(net.biases[1], [18, 19, 20, 21])
    assert net.biases[0] is None
    with pytest.raises(ValueError, match=r"params must have shape \(22,\); got \(21,\)"):
        net.params = np.zeros(21)


def test_ravel_inverts_unravel(net):
    v = np.random.default_rng(0).standard_normal(22)
    blocks = net.unravel(v)
    assert np.shares_memory(blocks[0][0], v) and np.shares_memory(blocks[1][1], v)
    assert blocks[0][1] is None
    np.testing.assert_array_equal(net.ravel(blocks), v)
    for wrong, message in [
        (blocks[:1], "there must be 2 blocks"),
        ([blocks[0], (blocks[1][0].T, blocks[1][1])], r"W of block 1 must have shape \(4, 3\)"),
        ([(blocks[0][0], [1, 2])], "there must be 2 blocks"),
        ([(blocks[0][0], [1, 2, 3]), blocks[1]], "b of block 0 must be None.* has no bias"),
        ([blocks[0], (blocks[1][0], None)], r"b of block 1 must have shape \(4,\); got None"),
    ]:
        with pytest.raises(ValueError, match=message):
            net.ravel(wrong)


def test_equality_is_by_value(net):
    assert net == net.copy() and net != dn.MLP([2, 3, 4]) and net != "net"
    other = net.copy()
    other.params[0] += 1
    assert net != other and net.params[0] == 1
    assert net != net.astype("float32")
    plain = dn.MLP.from_layers(net.weights, net.biases, net.activations)
    assert plain != net
    assert dn.MLP.from_layers([[[1.0]], [[2.0]]], [None, [3.0]], ["tanh"] * 2) != (
        dn.MLP.from_layers([[[1.0]], [[2.0]]], [[3.0], None], ["tanh"] * 2)
    )
    with pytest.raises(TypeError, match="unhashable"):
        hash(net)


def test_copies_keep_everything(net):
    for other in (net.copy(), pickle.loads(pickle.dumps(net)), net.astype("float32")):
        assert other.activations == net.activations
        np.testing.assert_array_equal(other.params, net.params)
        assert [b is None for b in other.biases] == [True, False]
        np.testing.assert_array_equal(other.output_scale, net.output_scale)
        np.testing.assert_allclose(other([3, 4]), net([3, 4]), rtol=1e-6)
        assert not np.shares_memory(other.params, net.params)
    assert pickle.loads(pickle.dumps(net)) == net
    assert net.astype("float32").dtype == np.float32


def test_scalings_are_read_only(net):
    for array in (net.output_shift, net.output_scale):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7


def test_seed_fixes_the_weights():
    assert dn.MLP([3, 4, 2], seed=5) == dn.MLP([3, 4, 2], seed=5) != dn.MLP([3, 4, 2], seed=6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_bias_anywhere(dtype):
    """The weights are those of the same seed with biases, which begin at zero."""
    net, full = (dn.MLP([3, 4, 2], seed=5, dtype=dtype, bias=bias) for bias in (False, True))
    assert net.biases == (None, None) and net.num_params == 20
    np.testing.assert_array_equal(net([1, 2, 3]), full([1, 2, 3]))
    weights = np.repeat([True, False, True, False], [12, 4, 8, 2])
    J, whole = net.jacobian_dense([1, 2, 3]), full.jacobian_dense([1, 2, 3])
    np.testing.assert_array_equal(J, whole[:, weights])
    assert net.jacobian([1, 2, 3], wrt="biases").shape == (2, 0)


def test_one_activation_for_all_or_one_each():
    assert dn.MLP([2, 3, 3, 1], activation=("elu", 0.5)).activations[:2] == (("elu", 0.5),) * 2
    each = dn.MLP([2, 3, 3, 1], activation=["relu", ("elu", 0.5)])
    assert each.activations == ("relu", ("elu", 0.5), "identity")
    assert dn.MLP([2, 3, 3, 1], activation=("relu", "tanh")).activations[:2] == ("relu", "tanh")


@pytest.mark.parametrize(
    "build, error, message",
    [
        (lambda: dn.MLP([3]), ValueError, "at least the inputs and the outputs"),
        (lambda: dn.MLP(3), TypeError, "sizes must be a sequence of integers; got 3"),
        (lambda: dn.MLP([3, 2.5]), TypeError, "sizes must be a sequence of integers"),
        (lambda: dn.MLP([3, 0, 2]), ValueError, "between 1 and 2147483647; got 0"),
        (lambda: dn.MLP([3, 2**31]), ValueError, "got 2147483648"),
        (lambda: dn.MLP([2**20, 2**30, 2]), MemoryError, "the parameters would need 9.0 PB"),
        (lambda: dn.MLP([3, 2], bias=None), TypeError, "bias must be True or False; got None"),
        (lambda: dn.MLP([3, 2], bias=[0]), TypeError, r"bias must be True or False; got \[0\]"),
        (lambda: dn.MLP([3, 2], dtype="float16"), ValueError, "float64 or float32; got 'float16'"),
        (lambda: dn.MLP([3, 2], dtype=">f8"), ValueError, "float64 or float32; got '>f8'"),
        (lambda: dn.MLP([3, 2], dtype=3), ValueError, "float64 or float32; got 3"),
        (lambda: dn.MLP([3, 2], activation="tan"), ValueError, "unknown activation 'tan'"),
        (lambda: dn.MLP([3, 2], output="tan"), ValueError, "unknown activation 'tan'; known are"),
        (
            lambda: dn.MLP([3, 2], output=("tanh", 2)),
            ValueError,
            "'tanh' takes no parameter; got 2",
        ),
        (lambda: dn.MLP([3, 2], output=("elu", "x")), ValueError, "a finite number; got 'x'"),
        (lambda: dn.MLP([3, 2], output=("softplus", 0)), ValueError, "positive and finite; got 0"),
        (lambda: dn.MLP([3, 2], output=None), TypeError, "an activation is a name"),
        (lambda: dn.MLP([3, 4, 2], activation="softmax"), ValueError, "only the last layer"),
        (lambda: dn.MLP([3, 4, 4, 2], activation=["tanh"]), ValueError, "each of 2 hidden layers"),
    ],
)
def test_messages_of_the_constructor(build, error, message):
    with pytest.raises(error, match=message):
        build()


W = np.ones((3, 2))


@pytest.mark.parametrize(
    "args, scalings, error, message",
    [
        (([], [], []), {}, ValueError, "one layer at least"),
        (([W], [], ["tanh"]), {}, ValueError, "got 1 weights and 0 biases"),
        (([W], [[0] * 3], []), {}, ValueError, "each of 1 layers; got 0"),
        (([W], [[0] * 3], "tanh"), {}, TypeError, "must be a sequence, one a layer; got 'tanh'"),
        (
            ([[1, 2]], [[0]], ["tanh"]),
            {},
            ValueError,
            r"weights\[0\] must have shape \(n_out, n_in\)",
        ),
        (
            ([W, W], [None] * 2, ["tanh"] * 2),
            {},
            ValueError,
            r"weights\[1\] must have shape \(n_out, 3\)",
        ),
        (
            ([W], [[0] * 2], ["tanh"]),
            {},
            ValueError,
            r"biases\[0\] must have shape \(3,\); got \(2,\)",
        ),
        (([W + 1j], [None], ["tanh"]), {}, TypeError, "real numbers; got dtype complex128"),
        (([[[1, 2], [3]]], [None], ["tanh"]), {}, ValueError, "rectangular array"),
        (([np.ones((0, 2))], [None], ["tanh"]), {}, ValueError, "got 0"),
        (([W], [None], ["tanh"]), {"input_scale": [1, 0]}, ValueError, "finite and not zero"),
        (([W], [None], ["tanh"]), {"output_scale": [1, 2]}, ValueError, r"shape \(\) or \(3,\)"),
        (
            ([W], [None], ["tanh"]),
            {"input_shift": np.nan},
            ValueError,
            "input_shift must be finite",
        ),
    ],
)
def test_messages_of_from_layers(args, scalings, error, message):
    with pytest.raises(error, match=message):
        dn.MLP.from_layers(*args, **scalings)


@pytest.mark.parametrize(
    "dtypes, expected",
    [
        (("f4", "f4"), "float32"),
        (("f4", "f8"), "float64"),
        (("i8", "i8"), "float64"),
        (("f2", "f2"), "float32"),
        (("g", "g"), "float64"),
    ],
)
def test_dtype_follows_the_arrays(dtypes, expected):
    kind = [np.dtype(d) for d in dtypes]
    net = dn.MLP.from_layers([W.astype(kind[0])], [np.zeros(3, kind[1])], ["tanh"])
    assert net.dtype == expected
    assert dn.MLP.from_layers([W], [None], ["tanh"], dtype="float32").dtype == np.float32


def test_show_config(capsys):
    config = dn.show_config(mode="dicts")
    dn.show_config()
    printed = capsys.readouterr().out
    assert all(key in printed and value in printed for key, value in config.items())
    with pytest.raises(ValueError, match="got 'json'"):
        dn.show_config("json")
