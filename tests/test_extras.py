"""Without the package of an extra, what needs it says which extra to install, and touches nothing."""

import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import deltanet as dn
from deltanet._io.table import open_table

X = np.zeros((2, 3))


def net_of():
    return dn.MLP([3, 4, 2], seed=0)


def fitted():
    return dn.fit(net_of(), X, np.ones((2, 2)), max_iter=1)


# what is done, with the path of an empty file: the module that is hidden, the extra, the call
CASES = {
    "load .onnx": ("onnx", "onnx", dn.load),
    "load .onnx, half a package": ("onnx.numpy_helper", "onnx", dn.load),
    "save .onnx": ("onnx", "onnx", lambda path: dn.save(net_of(), path)),
    "load .safetensors": ("safetensors", "safetensors", dn.load),
    "save .safetensors": ("safetensors", "safetensors", lambda path: dn.save(net_of(), path)),
    "from_torch": ("torch", "torch", lambda _: dn.from_torch(None)),
    "to_torch": ("torch", "torch", lambda _: net_of().to_torch()),
    "from_sklearn": ("sklearn", "sklearn", lambda _: dn.from_sklearn(None)),
    "from_keras": ("keras", "keras", lambda _: dn.from_keras(None)),
    "Jacobian.plot": ("matplotlib", "plot", lambda _: net_of().jacobian(X).plot()),
    "Jacobian.plot, half a package": (
        "matplotlib.figure",
        "plot",
        lambda _: net_of().jacobian(X).plot(),
    ),
    "Fit.plot": ("matplotlib", "plot", lambda _: fitted().plot()),
    "dask.ggn": ("dask", "dask", lambda _: dn.dask.ggn(net_of(), X)),
    "dask.ggn, half a package": ("dask.array", "dask", lambda _: dn.dask.ggn(net_of(), X)),
    "write": ("zarr", "zarr", lambda path: dn.write(f"{path}.zarr", net_of(), X)),
    "open": ("zarr.buffer", "zarr", lambda path: dn.open(path)),
    "open a URL": ("fsspec", "remote", lambda _: dn.open("memory://store.zarr")),
    "a table of Parquet": ("pyarrow", "parquet", lambda path: open_table(path, 3)),
    "a table of Parquet, half a package": (
        "pyarrow.parquet",
        "parquet",
        lambda path: open_table(path, 3),
    ),
    "progress=True": ("rich", "cli", lambda _: net_of().gram(X, progress=True)),
}


def forget(monkeypatch, name):
    """As if a module, and what is in it, had not been imported."""
    for known in [known for known in sys.modules if f"{known}.".startswith(f"{name}.")]:
        monkeypatch.delitem(sys.modules, known)


@pytest.mark.parametrize("case", CASES)
def test_names_the_extra(case, tmp_path, monkeypatch):
    name, extra, call = CASES[case]
    path = tmp_path / f"net.{extra}"
    path.write_bytes(b"")
    forget(monkeypatch, name)
    monkeypatch.setitem(sys.modules, name, None)
    message = rf"needs the extra '{extra}': pip install \"deltanet\[{extra}\]\"$"
    with pytest.raises(ImportError, match=message):
        call(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b""


def test_every_extra_is_here():
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    extras = set(tomllib.loads(text)["project"]["optional-dependencies"])
    assert {extra for _, extra, _ in CASES.values()} == extras - {
        "test",
        "bench",
        "docs",
        "examples",
        "all",
    }


@pytest.mark.parametrize("call", ["from_torch(None)", "MLP([2, 2]).to_torch()"])
def test_torch_may_arrive_later(call):
    """As in a notebook, where it is installed after the message."""
    pytest.importorskip("torch")
    code = f"""
import sys
import deltanet as dn
sys.modules["torch"] = None
try:
    dn.{call}
except ImportError:
    del sys.modules["torch"]
print(dn.from_torch(dn.MLP([2, 3, 2], activation="sin", dtype="float64", seed=0).to_torch()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("MLP([2, 3, 2]"), done.stderr


def test_every_module_imports_without_extras():
    """As tools do that walk through a package (pydoc, doctest)."""
    code = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    sys.modules[name] = None
import deltanet
for module in pkgutil.walk_packages(deltanet.__path__, "deltanet."):
    if module.name != "deltanet.__main__":  # it runs the command line
        importlib.import_module(module.name)
print("all")
"""
    hidden = {name for name, _, _ in CASES.values()} | {"typer"}
    done = subprocess.run([sys.executable, "-c", code, *hidden], capture_output=True, text=True)
    assert done.stdout == "all\n", done.stderr


def test_a_package_without_what_it_needs(tmp_path, monkeypatch):
    """Keras is there, its backend is not: our extra would not help."""
    (tmp_path / "keras.py").write_text("import no_such_backend", encoding="utf-8")
    forget(monkeypatch, "keras")
    monkeypatch.syspath_prepend(tmp_path)
    message = "^keras cannot be imported: No module named 'no_such_backend'$"
    with pytest.raises(ImportError, match=message):
        dn.from_keras(None)
