"""How the tests run the scripts of examples/."""

import importlib.util
import time
from pathlib import Path

import pytest

Figure = pytest.importorskip("matplotlib.figure", reason="figures need the extra 'plot'").Figure
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PNG = b"\x89PNG\r\n\x1a\n"


def load(name):
    """The script examples/name/name.py as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / name / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(module, tmp_path, *options, within=20):
    """What main returns; the figure is written, in so many seconds, and every picture in it labelled."""
    figure, began, drawn = tmp_path / "figure.png", time.perf_counter(), []
    save = Figure.savefig

    def savefig(self, *args, **kwargs):
        drawn.append(self)
        return save(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        result = module.main(["--short", "--figure", str(figure), *map(str, options)])
    (one,) = drawn
    for ax in one.axes:
        assert ax.get_xlabel() and ax.get_ylabel() and ax.get_title(), ax
    assert figure.read_bytes()[:8] == PNG and figure.stat().st_size > 10_000
    assert time.perf_counter() - began < within
    return result
