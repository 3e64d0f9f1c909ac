"""The files that once were read wrongly, or refused though others read them."""

import numpy as np
import pytest

import deltanet as dn
from deltanet._io.table import read_table

GRAPHS = {  # file -> output, words of a refusal
    "act_abs": (None, None),
    "act_atan": (None, None),
    "act_cos": (None, None),
    "act_erf": (None, None),
    "act_exp": (None, None),
    "act_hardsigmoid": (None, None),
    "act_mish": (None, None),
    "act_neg": (None, None),
    "act_tansig": (None, None),
    "act_thresholdedrelu": (None, None),
    "affine_after_hidden": (None, None),
    "batchnorm": (None, None),
    "clip_output": (None, None),
    "relu6": (None, None),
    "sk_binary_classifier": (None, None),
    "slice_output": (None, None),
    "softmax_axis1_rank3": (None, r"node '#2' \(Softmax\).*axis=-1"),
    "squeeze_output": (None, None),
    "two_outputs": (None, "'y', 'v'"),
    "two_outputs: y": ("y", None),
    "two_outputs: v": ("v", None),
    "two_outputs: w": ("w", "no output 'w'; it has 'y', 'v'"),
    "view_dynamic_batch": (None, None),
    "zero_output_scale": (None, None),
}


@pytest.mark.parametrize("case", GRAPHS)
def test_graphs(shared, case):
    pytest.importorskip("onnx", reason="needs the extra deltanet[onnx]")
    output, words = GRAPHS[case]
    path = shared / "cases" / f"{case.partition(':')[0]}.onnx"
    if words is not None:
        with pytest.raises(ValueError, match=words):
            dn.load(path, output=output)
        return
    net = dn.load(path, output=output)
    runtime = pytest.importorskip("onnxruntime", reason="compares with onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (start,) = session.get_inputs()
    names = [each.name for each in session.get_outputs()]
    X = np.random.default_rng(0).standard_normal((20, 4)).astype("f4")
    results = dict(zip(names, session.run(names, {start.name: X}), strict=True))
    y = results[output] if output else next(y for y in results.values() if y.dtype.kind == "f")
    np.testing.assert_allclose(net(X), y.reshape(20, -1), rtol=1e-6, atol=2e-6)


def test_the_bias_behind_a_folded_scale_is_a_bias(shared):
    onnx = pytest.importorskip("onnx", reason="needs the extra deltanet[onnx]")
    path = shared / "cases" / "affine_after_hidden.onnx"
    net = dn.load(path)
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    np.testing.assert_array_equal(net.biases[-1], constants["b2"])
    np.testing.assert_array_equal(net.weights[-1], constants["W2"])
    assert net.output_shift is None and net.output_scale is None
    assert net.activations[0] == ("softplus", 2.0)


ACTOR = ["mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2", "action_net"]
STATES = {  # file -> names of the layers, arguments of load, words of a warning
    "sd_fc123": (["fc1", "fc2", "fc3"], {}, None),
    "sd_layers_k_linear": ([f"layers.{k}.linear" for k in range(3)], {}, None),
    "sd_named_layers": (["input_layer", "hidden_layers.0", "output_layer"], {}, None),
    "sd_sb3_ppo": (ACTOR, {"keys": ACTOR}, None),
    "sd_sb3_ppo: prefixes": (
        ACTOR,
        {"prefix": ["mlp_extractor.policy_net.", "action_net"]},
        None,
    ),
    "sd_with_buffers": ([f"net.{k}" for k in (0, 2, 4)], {}, "left out x_mean, x_std"),
}


@pytest.mark.parametrize("case", STATES)
def test_state_dicts(shared, case):
    numpy = pytest.importorskip("safetensors.numpy", reason="needs deltanet[safetensors]")
    names, arguments, words = STATES[case]
    path = shared / "cases" / f"{case.partition(':')[0]}.safetensors"
    arrays = numpy.load_file(path)
    if words is None:
        net = dn.load(path, activation="tanh", **arguments)
    else:
        with pytest.warns(UserWarning, match=words):
            net = dn.load(path, activation="tanh", **arguments)
    X = np.random.default_rng(0).standard_normal((9, 4)).astype("f4")
    h = X.astype(float)
    for k, name in enumerate(names):
        h = h @ arrays[f"{name}.weight"].T.astype(float) + arrays[f"{name}.bias"]
        h = np.tanh(h) if k < len(names) - 1 else h
    np.testing.assert_allclose(net(X), h, rtol=1e-6, atol=1e-6)


def test_two_towers_must_be_chosen_from(shared):
    pytest.importorskip("safetensors", reason="needs the extra deltanet[safetensors]")
    with pytest.raises(ValueError, match=r"action_net \(3, 6\).*value_net.*prefix= or keys="):
        dn.load(shared / "cases" / "sd_sb3_ppo.safetensors", activation="tanh")


def test_bfloat16(shared):
    pytest.importorskip("safetensors", reason="needs the extra deltanet[safetensors]")
    path = shared / "cases" / "weights_bf16.safetensors"
    content = path.read_bytes()
    net = dn.load(path, activation="tanh")
    assert net.sizes == (4, 8, 3) and net.dtype == np.float32
    raw = content[8 + int.from_bytes(content[:8], "little") :]
    values = sorted(  # the upper halves of float32, in the order of the file
        np.frombuffer(b"".join(b"\0\0" + raw[k : k + 2] for k in range(0, len(raw), 2)), "<f4")
    )
    assert sorted(net.params) == values


def test_8_bit_floats(shared):
    pytest.importorskip("safetensors", reason="needs the extra deltanet[safetensors]")
    with pytest.raises(ValueError, match=r"weights_fp8.*'0\.bias'.*F8_E4M3.*F32"):
        dn.load(shared / "cases" / "weights_fp8.safetensors", activation="tanh")


def test_a_header_of_numbers(shared):
    path = shared / "cases" / "pandas_default_header.csv"
    with pytest.raises(ValueError, match=r"0,1,2,3, may be a header.*--header.*--no-header"):
        read_table(path, 4)
    lines = path.read_text().splitlines()
    rows = [[float(field) for field in line.split(",")] for line in lines]
    np.testing.assert_array_equal(read_table(path, 4, header=True), rows[1:])
    np.testing.assert_array_equal(read_table(path, 4, header=False), rows)
