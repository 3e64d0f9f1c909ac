"""Arrays of any names as layers: right, or refused with the way out. The oracle is the list of arrays."""

import numpy as np
import pytest

import deltanet as dn

RANDOM = np.random.default_rng(0)
W = [RANDOM.standard_normal(s) for s in ((5, 3), (4, 5), (2, 4))]
B = [RANDOM.standard_normal(len(w)) for w in W]
V = RANDOM.standard_normal((6, 6)), RANDOM.standard_normal((6, 6))  # whose order no shape tells


def of(*names, word="weight", between=".", bias="bias"):
    """The three layers under these names."""
    arrays = {}
    for name, w, b in zip(names, W, B, strict=False):
        arrays[f"{name}{between}{word}"] = w
        if bias:
            arrays[f"{name}{between}{bias}"] = b
    return arrays


def load(tmp_path, arrays, **arguments):
    path = tmp_path / "state.npz"
    np.savez(path, **arrays)
    return dn.load(path, activation="tanh", **arguments)


def assert_layers(net, weights, biases):
    assert len(net.weights) == len(weights)
    for actual, exact in zip((*net.weights, *net.biases), (*weights, *biases), strict=True):
        assert (actual is None) == (exact is None)
        if exact is not None:
            np.testing.assert_array_equal(actual, exact)


ACTOR = {f"actor.{key}": a for key, a in of("0", "2", "4").items()}
CRITIC = {f"critic.{key}": a for key, a in of("0", "2", "4").items()}
FLAX = {key: a.T for key, a in of("Dense_0", "Dense_1", "Dense_2", word="kernel").items()}
NUMBERED = {
    "W1": W[0], "b1": B[0], "W2": W[1], "b2": B[1], "W3": W[2], "b3": B[2]
}  # fmt: skip
ODD = {"first": W[0], "first_add": B[0], "second": W[1], "third": W[2], "third_add": B[2]}
READ = {  # arrays, arguments of load, biases
    "in a row": (of("fc1", "fc2", "fc3"), {}, B),
    "ten and more": (of("layer.8", "layer.9", "layer.10"), {}, B),
    "named by place": (of("input", "hidden", "output"), {}, B),
    "of the alphabet, the other way": (of("z", "m", "a"), {}, B),
    "underscores": (of("fc1", "fc2", "fc3", between="_"), {}, B),
    "numbers behind": (NUMBERED, {}, B),
    "of Flax": (FLAX, {}, B),
    "of Flax, in folders": ({f"params/{k}": a for k, a in FLAX.items()}, {}, B),
    "no bias": (of("0", "2", "4", bias=None), {}, [None] * 3),
    "prefix": (ACTOR | CRITIC, {"prefix": "actor."}, B),
    "two prefixes": (of("b.0", "a.0", "c"), {"prefix": ["b.", "a.", "c"]}, B),
    "keys of modules": (ACTOR | CRITIC, {"keys": ["actor.0", "actor.2", "actor.4"]}, B),
    "keys behind a prefix": (ACTOR | CRITIC, {"prefix": "actor.", "keys": ["0", "2", "4"]}, B),
    "keys of weights": (ACTOR, {"keys": [f"actor.{k}.weight" for k in (0, 2, 4)]}, B),
    "keys of all arrays": (ACTOR, {"keys": sorted(ACTOR, key=lambda k: (k[6], k[8] == "b"))}, B),
    "keys of pairs": (
        ODD,
        {"keys": [("first", "first_add"), ("second", None), ("third", "third_add")]},
        [B[0], None, B[2]],
    ),
    "pairs without a bias that is there": (
        ACTOR,
        {"keys": [(f"actor.{k}.weight", None) for k in (0, 2, 4)]},
        [None] * 3,
    ),
}


@pytest.mark.parametrize("case", READ)
def test_reads(tmp_path, case):
    arrays, arguments, biases = READ[case]
    assert_layers(load(tmp_path, arrays, **arguments), W, biases)


def test_numbers_tell_the_order_of_squares(tmp_path):
    net = load(tmp_path, {"net.10.weight": V[1], "net.9.weight": V[0]})
    assert_layers(net, V, [None] * 2)


def test_says_what_it_leaves_out(tmp_path):
    extra = {"log_std": np.zeros(2), "x_mean": np.zeros(3)}
    with pytest.warns(UserWarning, match=r"state\.npz: left out log_std, x_mean: no part of"):
        assert_layers(load(tmp_path, of("0", "2", "4") | extra), W, B)
    load(tmp_path, of("0", "2", "4") | extra, keys=["0", "2", "4"])  # as was asked: no warning


LSTM = {"rnn.weight_ih_l0": W[0], "rnn.weight_hh_l0": W[0]}
NORM = {"1.weight": np.ones(5), "1.bias": np.zeros(5)}
BATCH = {"1.running_mean": np.zeros(5), "1.running_var": np.ones(5)}
CHAINED = of("actor.0", "actor.2") | {"critic.0.weight": np.ones((4, 4)), "critic.2.weight": W[2]}
REFUSED = {  # arrays, arguments, words
    "two towers": (ACTOR | CRITIC, {}, r"no one order.*actor\.0 \(5, 3\).*prefix= or keys="),
    "two towers that would fit": (CHAINED, {}, "no one order"),
    "squares of other names": ({"a.weight": V[0], "b.weight": V[1]}, {}, "more than one order"),
    "nothing follows": (of("0", "2") | {"4.weight": np.ones((2, 3))}, {}, "no one order"),
    "a recurrent layer": (of("0", "2", "4") | LSTM, {}, r"'rnn\.weight_ih_l0' of shape \(5, 3\)"),
    "a norm": (of("0", "2", "4") | NORM, {}, r"'1\.weight' of shape \(5,\)"),
    "statistics": (of("0", "2", "4") | BATCH, {}, r"running_mean.*normalization.*ONNX"),
    "a weight in parts": (
        {"0.weight_g": np.ones((5, 1)), "0.weight_v": W[0]},
        {},
        r"'0\.weight_g' of shape",
    ),
    "an adapter": (of("0") | {"0.lora_A": np.ones((2, 3))}, {}, r"'0\.lora_A'"),
    "a bias that may be one": (
        of("0", bias=None) | {"shift": B[0]},
        {},
        r"'shift' of shape \(5,\) may be the bias of '0'.*keys=",
    ),
    "no such prefix": (ACTOR, {"prefix": "acter"}, r"begins with 'acter'.*actor\.0"),
    "no such key": (ACTOR, {"keys": ["actor.1"]}, r"'actor\.1'; there are actor\.0"),
    "a key that is no layer": (
        of("0") | {"log_std": B[2]},
        {"keys": ["log_std"]},
        r"'log_std' of shape \(2,\)",
    ),
    "keys as text": (ACTOR, {"keys": "actor.0"}, "sequence of names"),
    "keys of numbers": (ACTOR, {"keys": [1, 2]}, "names or pairs"),
    "layers that do not fit": (
        ACTOR,
        {"keys": ["actor.2", "actor.0"]},
        r"weights\[1\] must have shape \(n_out, 4\)",
    ),
    "nothing": ({"a": np.zeros(3)}, {}, "no layer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(tmp_path, case):
    arrays, arguments, words = REFUSED[case]
    with pytest.raises(ValueError, match=words) as caught:
        load(tmp_path, arrays, **arguments)
    assert "\n" not in str(caught.value)


def test_orders_are_not_tried_for_ever(tmp_path):
    """Names without an order, and a gap that only the last of many tries would show."""
    letters = [f"{a}{b}.weight" for a in "abcdef" for b in "ghijkl"]
    arrays = dict.fromkeys(letters, np.ones((3, 3))) | {"z.weight": np.ones((9, 4))}
    with pytest.raises(ValueError, match="too many ways"):
        load(tmp_path, arrays)


def test_own_files_take_no_choice(tmp_path):
    path = tmp_path / "net.npz"
    dn.save(dn.MLP([3, 4, 2], seed=0), path)
    for arguments in ({"prefix": "layers."}, {"keys": ["layers.0"]}):
        with pytest.raises(ValueError, match="names its activations and layers"):
            dn.load(path, **arguments)
