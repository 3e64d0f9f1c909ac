"""export_fmu: the file that it writes, with and without a compiler, and what it refuses."""

import os
import sys
import warnings
import zipfile
from xml.etree import ElementTree

import numpy as np
import pytest
from fmu_nets import plain

import deltanet as dn
from deltanet._export.fmu_build import _platform

pytestmark = pytest.mark.of_c
both = pytest.mark.parametrize("version", ["2.0", "3.0"])


def description(path):
    with zipfile.ZipFile(path) as archive:
        return ElementTree.fromstring(archive.read("modelDescription.xml"))


def without_compiler(net, path, monkeypatch, **options):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.warns(UserWarning, match="no-such-compiler cannot be started"):
        net.export_fmu(path, **options)


@both
def test_same_bytes_for_the_same_net(tmp_path, monkeypatch, version):
    paths = [tmp_path / folder / "net.fmu" for folder in "abc"]
    for path, net in zip(paths, (plain(), plain(), plain()), strict=True):
        path.parent.mkdir()
        if path is paths[2]:
            net.params[0] += 1e-15
        without_compiler(net, path, monkeypatch, version=version)
    one, same, other = (path.read_bytes() for path in paths)
    assert one == same != other
    tokens = set()
    for path in paths:
        root = description(path)
        tokens.add(root.get("guid") or root.get("instantiationToken"))
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            names = archive.namelist()
            assert not [name for name in names if name.startswith("binaries")]
            assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_DEFLATED}
            assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert len(tokens) == 2
    expected = {"modelDescription.xml", "sources/net.c", "sources/net.h", "sources/net_fmu.c"}
    assert set(names) == expected | (
        {"sources/buildDescription.xml"} if version == "3.0" else set()
    )


def test_a_compiler_that_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", f"{sys.executable} -c 1/0")
    with pytest.warns(UserWarning, match="failed with 1"):
        plain().export_fmu(tmp_path / "net.fmu")
    assert description(tmp_path / "net.fmu").get("modelName") == "net"


@pytest.mark.parametrize(
    "target, version, expected",
    [
        ("x86_64-linux-gnu", "3.0", ("x86_64-linux", ".so")),
        ("x86_64-pc-linux-gnu", "2.0", ("linux64", ".so")),
        ("aarch64-linux-gnu", "3.0", ("aarch64-linux", ".so")),
        ("arm-linux-gnueabihf", "3.0", ("aarch32-linux", ".so")),
        ("i686-linux-gnu", "3.0", ("x86-linux", ".so")),
        ("i686-linux-gnu", "2.0", ("linux32", ".so")),
        ("arm64-apple-darwin23.1.0", "3.0", ("aarch64-darwin", ".dylib")),
        ("x86_64-apple-darwin20", "2.0", ("darwin64", ".dylib")),
        ("aarch64-unknown-macos", "3.0", ("aarch64-darwin", ".dylib")),  # as zig says
        ("x86_64-w64-mingw32", "3.0", ("x86_64-windows", ".dll")),
        ("x86_64-w64-windows-gnu", "2.0", ("win64", ".dll")),
    ],
)
def test_names_of_platforms(target, version, expected):
    assert _platform(target, version) == expected


def named(**labels):
    net = plain()
    for attribute, value in labels.items():
        setattr(net, attribute, value)
    return net


def with_nan():
    net = plain()
    net.params[3] = np.nan
    return net


REFUSED = [
    (plain, {"version": "1.0"}, ValueError, "version must be '2.0' or '3.0', got '1.0'"),
    (plain, {"version": 3.0}, ValueError, "version must be '2.0' or '3.0', got 3.0"),
    (plain, {"name": "my net"}, ValueError, "name must begin with a letter"),
    (plain, {"name": "double"}, ValueError, "keyword"),
    (plain, {"states": [("x0", "y0")]}, TypeError, "states must be a dict"),
    (plain, {"states": {"x9": "y0"}}, ValueError, "inputs of the net, .* 'x2'; got 'x9'"),
    (plain, {"states": {"x0": "y9"}}, ValueError, "outputs of the net, .* got 'y9'"),
    (plain, {"states": {3: 0}}, ValueError, "inputs from 0 to 2; got 3"),
    (plain, {"states": {0: -1}}, ValueError, "outputs from 0 to 1; got -1"),
    (plain, {"states": {True: 0}}, TypeError, "got True"),
    (plain, {"states": {"x0": None}}, TypeError, "got None"),
    (plain, {"states": {"x0": 1, "x1": "y1"}}, ValueError, "each output once; 'y1' is used twice"),
    (plain, {"states": {"x0": 1, 0: 0}}, ValueError, "each input once; 'x0' is used twice"),
    (lambda: named(input_names=["a", "b", "a"]), {}, ValueError, r"'a' is that of input_names\[0\]"),
    (lambda: named(output_names=["x1", "b"]), {}, ValueError, r"'x1' .* output_names\[0\]"),
    (lambda: named(input_names=["a", "", "c"]), {}, ValueError, r"input_names\[1\] must not be empty"),
    (lambda: named(input_names=["a", "b\tc", "d"]), {}, ValueError, r"'\\t' in 'b\\tc'"),
    (lambda: named(output_names=["a\0", "b"]), {}, ValueError, r"output_names\[0\].*x00"),
    (lambda: named(output_units=["m", "\x1b"]), {}, ValueError, r"output_units\[1\]"),
    (with_nan, {}, ValueError, r"params must be finite .* \[3\] is nan"),
    (with_nan, {"version": "2.0"}, ValueError, r"params must be finite"),
    (lambda: dn.MLP([700, 600, 10]), {}, ValueError, "at most 400000 parameters, the net has 426610"),
]  # fmt: skip


@pytest.mark.parametrize("make, options, error, message", REFUSED)
def test_refusals_leave_the_file(tmp_path, make, options, error, message):
    path = tmp_path / "net.fmu"
    path.write_bytes(b"old")
    with pytest.raises(error, match=message):
        make().export_fmu(path, **options)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["net.fmu"]


@pytest.mark.parametrize("file", ["net.zip", "net"])
def test_suffix(tmp_path, file):
    with pytest.raises(ValueError, match=r"path must end in \.fmu; got"):
        plain().export_fmu(tmp_path / file)
    assert not os.listdir(tmp_path)


def test_name_is_that_of_the_file(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="'7net'; give another by name="):
        plain().export_fmu(tmp_path / "7net.fmu")
    without_compiler(plain(), tmp_path / "7net.fmu", monkeypatch, name="seven")
    assert description(tmp_path / "7net.fmu").get("modelName") == "seven"


def test_registered_activation_needs_c_code(tmp_path):
    name = "fmu_cube"
    dn.register_activation(name, lambda v: v**3, lambda v: 3 * v**2)
    with pytest.raises(ValueError, match=f"c_code of activation '{name}'"):
        dn.MLP([2, 3, 1], activation=name, seed=0).export_fmu(tmp_path / "net.fmu")
    assert not os.listdir(tmp_path)


def test_a_stopped_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net.fmu"
    path.write_bytes(b"old")

    def stop(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", stop)
    monkeypatch.setenv("CC", "no-such-compiler")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(OSError, match="No space left"):
            plain().export_fmu(path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["net.fmu"]
