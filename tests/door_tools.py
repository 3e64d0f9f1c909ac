"""What the tests of examples/doors share: nets, and commands in a scratch folder."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import deltanet as dn

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def as_net(case):
    names = ("input_shift", "input_scale", "output_shift", "output_scale")
    scalings = dict(zip(names, case.scalings, strict=True))
    return dn.MLP.from_layers(case.weights, case.biases, case.activations, **scalings)


def run(*command, cwd):
    """What it prints; the scripts of this environment are found first, and C is compiled quickly."""
    scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": scripts, "CFLAGS": "-O0", "CXXFLAGS": "-O0"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def need(*modules, compiler=False, programs=()):
    for name in modules:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}")
    beside = str(Path(sys.executable).parent)
    for name in programs:
        if not (shutil.which(name, path=beside) or shutil.which(name)):
            pytest.skip(f"needs {name}")
    if compiler and not all(map(shutil.which, ("cc", "c++"))):
        pytest.skip("needs a C and a C++ compiler named cc and c++")


def include():
    return f"-I{dn.get_include()}"


def copied(tmp_path):
    """A copy of the doors, and of the net that some use."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    return tmp_path / "examples" / "doors"
