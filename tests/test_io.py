"""save and load: what was written comes back, equal by value, or the old file stays."""

import json
import os
import zipfile

import dense_oracle as plain
import numpy as np
import pytest

import deltanet as dn

SIZES = (3, 5, 4, 2)  # no two neighbours equal: a transposed weight cannot pass
SUFFIXES = (".npz", ".safetensors")
FORMATS = pytest.mark.parametrize("suffix", SUFFIXES)
ALL_FORMATS = pytest.mark.parametrize("suffix", [*SUFFIXES, ".onnx"])


@pytest.fixture(autouse=True)
def package(request):
    for name in ("safetensors", "onnx"):
        if name in request.node.name:
            pytest.importorskip(name, reason=f"needs the extra deltanet[{name}]")


def net_of(activations=("tanh", "sin", "identity"), dtype="float64", bare=(), **scaling):
    """A net of numbers that no short decimal holds, its biases too; the layers `bare` have none."""
    net = dn.MLP(SIZES, seed=0, dtype=dtype)
    net.params[:] = np.random.default_rng(1).standard_normal(net.num_params)
    biases = [None if k in bare else b for k, b in enumerate(net.biases)]
    return dn.MLP.from_layers(net.weights, biases, activations, **scaling)


SPECS = [*plain.SPECS, *plain.COUPLED]
NETS = {
    str(spec): (["tanh", "relu", spec] if "softmax" in spec else [spec, "identity", spec], {})
    for spec in SPECS
} | {
    "input scaled": (["tanh"] * 3, {"input_shift": [1, 2, 3], "input_scale": [0.1, 0.3, 0.7]}),
    "output scaled": (["tanh"] * 3, {"output_shift": [1, 2], "output_scale": [-0.1, 0.3]}),
    "one scale": (["tanh"] * 3, {"output_scale": 1 / 3}),
    "no bias": (["tanh"] * 3, {"bare": (0, 1, 2)}),
    "one bias": (["tanh"] * 3, {"bare": (0, 2), "input_scale": 3.0}),
}


@ALL_FORMATS
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", NETS)
def test_comes_back_equal(tmp_path, suffix, case, dtype):
    activations, scaling = NETS[case]
    net, path = net_of(activations, dtype, **scaling), tmp_path / f"net{suffix}"
    dn.save(net, path)
    back = dn.load(path)
    assert (back.sizes, back.activations, back.dtype) == (SIZES, net.activations, dtype)
    np.testing.assert_array_equal(back.params, net.params)
    assert [b is None for b in back.biases] == [b is None for b in net.biases]
    for name in ("input_shift", "input_scale", "output_shift", "output_scale"):
        np.testing.assert_array_equal(getattr(back, name), getattr(net, name))
    X = np.random.default_rng(2).standard_normal((4, 3))
    np.testing.assert_array_equal(back.jacobian_dense(X), net.jacobian_dense(X))


@ALL_FORMATS
def test_converts_and_shares_no_memory(tmp_path, suffix):
    net, path = net_of(), str(tmp_path / f"net{suffix}")  # a path may be a string
    dn.save(net, path)
    assert dn.load(path, dtype="float32") == net.astype("float32")
    one, other = dn.load(path), dn.load(path)
    one.params[:] = 0
    assert other == net


def header_of(path):
    """The header as another program finds it."""
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return json.loads(str(archive["deltanet"]))
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(json.loads(file.read(length))["__metadata__"]["deltanet"])


@FORMATS
def test_header_names_the_format_version(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    dn.save(net_of(["tanh", ("elu", 0.5), "softmax"]), path)
    assert header_of(path) == {
        "format_version": 1,
        "sizes": list(SIZES),
        "activations": ["tanh", ["elu", 0.5], "softmax"],
    }
    dn.save(net_of(bare=[1]), path)
    assert header_of(path)["biases"] == [True, False, True]


# A write that fails


class Broken(Exception):
    """Of the disk, halfway."""


def fail_after(function, count):
    def call(*args, **kwargs):
        nonlocal count
        count -= 1
        if count < 0:
            raise Broken
        return function(*args, **kwargs)

    return call


@ALL_FORMATS
@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("moment", ["while it writes", "before it renames"])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, suffix, old, moment):
    path = tmp_path / f"net{suffix}"
    if old:
        dn.save(net_of(), path)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    if moment == "before it renames":
        monkeypatch.setattr(os, "replace", fail_after(os.replace, 0))
    elif suffix == ".npz":
        monkeypatch.setattr(zipfile.ZipFile, "open", fail_after(zipfile.ZipFile.open, 3))
    else:

        def half(path, content):
            with open(path, "wb") as file:
                file.write(content[: len(content) // 2])
            raise Broken

        monkeypatch.setattr(type(path), "write_bytes", half)
    with pytest.raises(Broken):
        dn.save(net_of(["relu"] * 3), path)
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


@ALL_FORMATS
def test_saves_nothing_that_load_refuses(tmp_path, suffix):
    net = dn.MLP([3, 4, 2], seed=0)
    net.biases[1][0] = np.inf
    with pytest.raises(ValueError, match=r"biases\[1\] must be finite"):
        dn.save(net, tmp_path / f"net{suffix}")
    assert not list(tmp_path.iterdir())


def test_refuses_names_and_places(tmp_path):
    for name in ("net.pt", "net"):
        with pytest.raises(ValueError, match=r"must end in one of \.npz, \.safetensors, \.onnx"):
            dn.save(net_of(), tmp_path / name)
        assert not os.listdir(tmp_path)
    for name in ("net.npz", "net.safetensors"):
        with pytest.raises(FileNotFoundError) as refused:
            dn.save(net_of(), tmp_path / "none" / name)
        assert refused.value.filename == str(tmp_path / "none" / name)
    with pytest.raises(ValueError, match=r"net\.pt must end in one of"):
        dn.load(tmp_path / "net.pt")


# The state_dict of a torch Sequential


def state(net, prefix="", step=2):
    """0.weight, 0.bias, 2.weight, ...: an activation stands between two layers."""
    pairs = zip(net.weights, net.biases, strict=True)
    return {
        f"{prefix}{step * k}.{part}": np.array(array)
        for k, pair in enumerate(pairs)
        for part, array in zip(("weight", "bias"), pair, strict=True)
    }


def write_arrays(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        from safetensors.numpy import save_file

        save_file(arrays, path)


STATES = {  # prefix, step, arguments of load, activations
    "sequential": ("", 2, {"activation": "tanh"}, ["tanh", "tanh", "identity"]),
    "prefix": ("policy.net.", 2, {"activation": "relu"}, ["relu", "relu", "identity"]),
    "ten and more": ("", 6, {"activation": "relu"}, ["relu", "relu", "identity"]),
    "parameter": ("", 2, {"activation": ("elu", 0.5)}, [("elu", 0.5), ("elu", 0.5), "identity"]),
    "one each": ("", 2, {"activation": ["sin", "silu"]}, ["sin", "silu", "identity"]),
    "output": ("", 3, {"activation": "gelu", "output": "softmax"}, ["gelu", "gelu", "softmax"]),
}


@FORMATS
@pytest.mark.parametrize("case", STATES)
def test_reads_a_state_dict(tmp_path, suffix, case):
    prefix, step, arguments, activations = STATES[case]
    net, path = net_of(activations, "float32"), tmp_path / f"state{suffix}"
    write_arrays(path, state(net, prefix, step))
    assert dn.load(path, **arguments) == net


@FORMATS
def test_reads_a_state_dict_without_biases_or_in_half_precision(tmp_path, suffix):
    net, path = net_of(["tanh", "tanh", "identity"]), tmp_path / f"state{suffix}"
    write_arrays(path, {k: a for k, a in state(net).items() if k != "2.bias"})
    assert dn.load(path, "tanh") == net_of(["tanh", "tanh", "identity"], bare=[1])
    write_arrays(path, {k: a.astype("f2") for k, a in state(net).items()})
    half = dn.load(path, "tanh")
    assert half.dtype == np.float32
    np.testing.assert_array_equal(half.params, net.params.astype("f2"))


@FORMATS
def test_reads_what_torch_saves(tmp_path, suffix):
    torch = pytest.importorskip("torch", reason="compares with torch")
    sizes = [torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)]
    model, path = torch.nn.Sequential(*sizes), tmp_path / f"state{suffix}"
    if suffix == ".npz":
        np.savez(path, **{k: v.numpy() for k, v in model.state_dict().items()})
    else:
        pytest.importorskip("safetensors.torch").save_file(model.state_dict(), path)
    X = np.random.default_rng(3).standard_normal((4, 3)).astype("f4")
    y = model(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(dn.load(path, activation="tanh")(X), y, rtol=0, atol=1e-6)


WRONG = {  # change of the arrays, arguments of load, words of the message
    "no activation": (lambda a: a, {}, "give activation="),
    "a foreign array": (
        lambda a: a | {"1.running_mean": a["0.bias"]},
        {"activation": "tanh"},
        "running_mean",
    ),
    "two prefixes": (lambda a: a | {"x.9.weight": a["4.weight"]}, {"activation": "tanh"}, "prefix"),
    "a bias alone": (lambda a: a | {"6.bias": a["4.bias"]}, {"activation": "tanh"}, "no weight"),
    "too few activations": (lambda a: a, {"activation": ["tanh"]}, "one activation for each"),
    "unknown activation": (lambda a: a, {"activation": "tan"}, "unknown activation 'tan'"),
}


@FORMATS
@pytest.mark.parametrize("case", WRONG)
def test_refuses_a_state_dict(tmp_path, suffix, case):
    change, arguments, words = WRONG[case]
    path = tmp_path / f"state{suffix}"
    write_arrays(path, change(state(net_of())))
    with pytest.raises(ValueError, match=words) as caught:
        dn.load(path, **arguments)
    assert str(path) in str(caught.value)


@FORMATS
def test_a_file_that_names_its_activations_takes_no_others(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    dn.save(net_of(), path)
    for arguments in ({"activation": "tanh"}, {"output": "identity"}):
        with pytest.raises(ValueError, match="names its activations"):
            dn.load(path, **arguments)
