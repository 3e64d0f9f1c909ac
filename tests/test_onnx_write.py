"""save to .onnx: onnxruntime computes what the net does. That load reads the same bits is in test_io."""

import numpy as np
import pytest
from dense_oracle import COUPLED, SPECS
from onnx_graphs import onnx, run

import deltanet as dn

EVERY = [*SPECS, *COUPLED]
SINGLE = ("gelu", "erf", "atan")  # onnxruntime has their operators for float32 only
TOLERANCE = {"float32": 3e-6, "float64": 1e-12}


def net_of(spec, dtype, m=3, **scaling):
    """Layers with and without a bias, of numbers that no short decimal holds."""
    random = np.random.default_rng(1)
    weights = [random.standard_normal(s) / 3 for s in ((5, 4), (6, 5), (m, 6))]
    hidden = "tanh" if spec in COUPLED else spec
    biases = [random.standard_normal(5), None, random.standard_normal(m)]
    return dn.MLP.from_layers(weights, biases, [hidden, "identity", spec], **scaling, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", EVERY, ids=str)
def test_onnxruntime_computes_the_same(tmp_path, spec, dtype):
    path = tmp_path / "net.onnx"
    scaling = {"input_shift": [1, 2, 3, 4], "output_scale": 1 / 3, "output_shift": [1, 2, 3]}
    X = np.random.default_rng(2).standard_normal((7, 4)).astype(dtype)
    for more in ({}, scaling):
        net = net_of(spec, dtype, **more)
        dn.save(net, path)
        single = spec in SINGLE or (isinstance(spec, tuple) and spec[0] in SINGLE)
        tolerance = 1e-7 if single and dtype == "float64" else TOLERANCE[dtype]
        np.testing.assert_allclose(
            run(path.read_bytes(), X), net(X), rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("spec", EVERY, ids=str)
def test_one_output_whose_scaling_is_a_single_number(tmp_path, spec):
    """It must not be taken for a part of the activation."""
    path = tmp_path / "net.onnx"
    for scale, shift in ((1, 0), (2, -1), (-1, 0)):
        net = net_of(spec, "float64", m=1, output_scale=scale, output_shift=shift)
        dn.save(net, path)
        assert dn.load(path) == net


def test_names_and_units_come_back(tmp_path):
    net, path = net_of("tanh", "float32"), tmp_path / "net.onnx"
    net.input_names, net.output_units = ["a", "b\u00e4", "c", ""], ["m", "s", "1/s"]
    dn.save(net, path)
    back = dn.load(path)
    assert back.input_names == net.input_names and back.output_units == net.output_units
    assert back.output_names is None


def test_the_graph_decides_over_what_is_written_beside_it(tmp_path):
    net, path = net_of(("elu", 0.7), "float64"), tmp_path / "net.onnx"
    dn.save(net, path)
    model = onnx.load(path)
    (entry,) = model.metadata_props
    for text in (
        entry.value.replace("elu", "celu"),
        entry.value.replace("0.7", "0.8"),
        entry.value.replace('"sizes": [4', '"sizes": [5'),
        "[]",
    ):
        entry.value = text
        onnx.save(model, path)
        back = dn.load(path)
        assert [np.shape(W) for W in back.weights] == [(5, 4), (6, 5), (3, 6)]
        assert back.activations[0] == ("elu", pytest.approx(0.7, rel=1e-6))
