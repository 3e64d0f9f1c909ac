"""Files that are none, data beside a model, and exceptions of any kind."""

import os
import sys
import threading

import numpy as np
import pytest

import deltanet as dn
from deltanet import _io
from deltanet._io.table import read_table

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="devices and pipes of POSIX")
PACKAGES = {".onnx": "onnx", ".safetensors": "safetensors"}


@POSIX
@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".onnx", ".npy", ".csv", "table.npz"])
@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_what_never_ends_is_not_read(tmp_path, suffix, kind):
    if suffix in PACKAGES:
        pytest.importorskip(PACKAGES[suffix], reason="needs the extra of this format")
    path = tmp_path / f"endless{suffix}"
    if kind == "device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)
    is_table = suffix in (".npy", ".csv", "table.npz")
    errors = []

    def read():
        try:
            read_table(path, 3) if is_table else dn.load(path)
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=read, daemon=True)  # which an endless read would not end
    thread.start()
    thread.join(20)
    assert len(errors) == 1 and "must be a regular file" in errors[0] and str(path) in errors[0]


KINDS = [AttributeError, OverflowError, SystemError, KeyError, IndexError, ZeroDivisionError]
KINDS += [
    AssertionError,
    RecursionError,
    UnicodeDecodeError,
    StopIteration,
    Warning,
    ArithmeticError,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("read", ["load", "table"])
def test_no_other_exception_comes_out(tmp_path, monkeypatch, kind, read):
    """Whatever a parser raises over a file, it is a ValueError that names the file."""

    def fail(*args):
        raise kind("utf-8", b"", 0, 1, "why") if kind is UnicodeDecodeError else kind("why")

    path = tmp_path / "net.npz"
    dn.save(dn.MLP([3, 2], seed=0), path)
    if read == "load":
        monkeypatch.setitem(_io.READERS, ".npz", fail)
    else:
        monkeypatch.setattr(_io._npy, "check_directory", fail)
    with pytest.raises(ValueError, match=r"net\.npz: .*why"):
        dn.load(path) if read == "load" else read_table(path, 3)


@pytest.mark.parametrize("kind", [MemoryError, PermissionError, KeyboardInterrupt])
def test_what_the_file_is_not_to_blame_for_passes(tmp_path, monkeypatch, kind):
    def fail(*args):
        raise kind(13, "why", "a file") if kind is PermissionError else kind("why")

    monkeypatch.setitem(_io.READERS, ".npz", fail)
    with pytest.raises(kind):
        dn.load(tmp_path / "net.npz")


# Data beside an ONNX model


def split_model(folder, **change):
    """A net whose first weights lie in weights.bin behind 64 other bytes; the change is of where they lie."""
    onnx = pytest.importorskip("onnx", reason="needs the extra deltanet[onnx]")
    folder.mkdir(exist_ok=True)
    net = dn.MLP([3, 5, 2], seed=0)
    dn.save(net, folder / "net.onnx")
    model = onnx.load(folder / "net.onnx")
    tensor = model.graph.initializer[0]
    (folder / "weights.bin").write_bytes(bytes(64) + tensor.raw_data)
    where = {"location": "weights.bin", "offset": "64", "length": str(len(tensor.raw_data))}
    for key, value in (where | change).items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return net


@pytest.mark.parametrize(
    "change",
    [{}, {"length": None}, {"checksum": "abc"}, {"location": "./weights.bin"}],
    ids=str,
)
def test_reads_data_beside_the_model(tmp_path, monkeypatch, change):
    net = split_model(tmp_path / "model", **change)
    assert dn.load(tmp_path / "model" / "net.onnx") == net
    monkeypatch.chdir(tmp_path / "model")
    assert dn.load("net.onnx") == net
    monkeypatch.chdir(tmp_path)
    assert dn.load(os.path.join("model", "net.onnx")) == net


def test_reads_data_in_a_folder_below(tmp_path):
    net = split_model(tmp_path, location="data/weights.bin")
    (tmp_path / "data").mkdir()
    (tmp_path / "weights.bin").rename(tmp_path / "data" / "weights.bin")
    assert dn.load(tmp_path / "net.onnx") == net


OUTSIDE = {  # where the data are said to lie -> words
    "parent": ({"location": "../weights.bin"}, "must be in the folder"),
    "there and back": ({"location": "data/../../weights.bin"}, "must be in the folder"),
    "root": ({"location": "/etc/passwd"}, "must be in the folder"),
    "drive": ({"location": "C:weights.bin"}, "must be in the folder"),
    "Windows": ({"location": "..\\weights.bin"}, "must be in the folder"),
    "share": ({"location": "\\\\server\\weights.bin"}, "must be in the folder"),
    "nowhere": ({"location": ""}, "must be in the folder"),
    "the folder": ({"location": "."}, "must be in the folder"),
    "zero byte": ({"location": "weights.bin\0"}, "must be in the folder"),
    "absent": ({"location": "other.bin"}, "is not there"),
    "past the end": ({"offset": "65"}, "takes 120 bytes"),
    "far past the end": ({"offset": str(2**62)}, "takes 120 bytes"),
    "shorter": ({"length": "119"}, "takes 120 bytes"),
    "longer": ({"length": "121"}, "takes 120 bytes"),
    "negative": ({"offset": "-64"}, "no number"),
    "words": ({"offset": "0x40"}, "no number"),
    "long number": ({"length": "1" * 5000}, "no number"),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_refuses_data_elsewhere(tmp_path, case):
    change, words = OUTSIDE[case]
    folder = tmp_path / "model"
    split_model(folder, **change)
    (tmp_path / "weights.bin").write_bytes((folder / "weights.bin").read_bytes())
    with pytest.raises(ValueError, match=words) as caught:
        dn.load(folder / "net.onnx")
    assert str(folder / "net.onnx") in str(caught.value) and "layers.0.weight" in str(caught.value)


@POSIX
@pytest.mark.parametrize("kind", ["link outside", "pipe", "device", "folder"])
def test_refuses_what_is_no_file_beside(tmp_path, kind):
    folder = tmp_path / "model"
    split_model(folder)
    data = folder / "weights.bin"
    if kind == "link outside":
        data.rename(tmp_path / "weights.bin")
        data.symlink_to(tmp_path / "weights.bin")
    else:
        data.unlink()
        if kind == "pipe":
            os.mkfifo(data)
        elif kind == "device":
            data.symlink_to("/dev/zero")
        else:
            data.mkdir()
    with pytest.raises(ValueError, match=r"net\.onnx: .*layers\.0\.weight"):
        dn.load(folder / "net.onnx")


def test_a_link_within_the_folder_is_followed(tmp_path):
    net = split_model(tmp_path)
    (tmp_path / "weights.bin").rename(tmp_path / "blob")
    try:
        (tmp_path / "weights.bin").symlink_to("blob")
    except OSError:
        pytest.skip("this system makes no links")
    assert dn.load(tmp_path / "net.onnx") == net


def test_bfloat16_in_an_onnx_file(tmp_path):
    """The upper half of each float32, as raw bytes and one by one."""
    onnx = pytest.importorskip("onnx", reason="needs the extra deltanet[onnx]")
    net = dn.MLP([3, 5, 2], dtype="float32", seed=0)
    path = tmp_path / "net.onnx"
    for raw in (True, False):
        dn.save(net, path)
        model = onnx.load(path)
        for tensor in model.graph.initializer:
            upper = np.frombuffer(tensor.raw_data, "<u2")[1::2]
            tensor.data_type = onnx.TensorProto.BFLOAT16
            tensor.raw_data = upper.tobytes() if raw else b""
            if not raw:
                tensor.int32_data.extend(upper.tolist())
        path.write_bytes(model.SerializeToString())
        rounded = (net.params.view("<u4") & 0xFFFF0000).view("<f4")
        np.testing.assert_array_equal(dn.load(path).params, rounded)
