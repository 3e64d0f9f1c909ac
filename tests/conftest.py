"""What several test files use."""

import functools
import importlib.util
import os
import shutil
import signal
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell starts jobs in the background so, and what the tests start would be deaf to Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.setdefault("KERAS_BACKEND", "torch")  # its default, tensorflow, nothing here needs
# Examples in docstrings that need another package: the end of their name, what they need
EXAMPLES = {
    "from_torch": ["torch"],
    "to_torch": ["torch"],
    "from_sklearn": ["sklearn"],
    "from_keras": ["keras", "torch"],
    "write": ["zarr"],
    "open": ["zarr"],
}
MODULES = {"deltanet.dask": ["dask.array"]}  # the same of all examples in a module


def is_there(name):
    """Whether a module can be imported, of which the package may be missing."""
    root = name.partition(".")[0]
    return all(importlib.util.find_spec(each) is not None for each in (root, name))


def pytest_collection_modifyitems(items):
    for item in items:
        owner, _, name = item.name.rpartition(".")
        needed = MODULES.get(owner) or EXAMPLES.get(name, [])
        missing = [name for name in needed if not is_there(name)]
        if missing and isinstance(item, pytest.DoctestItem):
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)}"))
        if item.name.endswith(".export_fmu") and not any(map(shutil.which, ("cc", "gcc", "clang"))):
            item.add_marker(pytest.mark.skip(reason="needs a C compiler"))


@pytest.fixture(scope="session")
def shared():
    """The folder of reference data: $DELTANET_SHARED/data, or ../shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    data = Path(os.environ.get("DELTANET_SHARED") or beside) / "data"
    if not data.is_dir():
        pytest.skip(f"there is no reference data in {data}: see CONTRIBUTING.md")
    return data


@pytest.fixture(scope="session")
def externals(tmp_path_factory):
    """name -> a net of casadi_external.py, each of which is compiled once."""
    from casadi_external import CASES, External

    return functools.cache(lambda name: External(CASES[name], tmp_path_factory.mktemp("external")))
