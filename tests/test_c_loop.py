"""The example c_loop: a controller in a bare C loop, built here and for ARM, and the same in Python."""

import importlib.util
import re
import shutil
import subprocess

import numpy as np
import pytest
from door_tools import EXAMPLES
from exported_net import WARNINGS, compiler

STEPS = 600  # on the way up, where a difference would grow
# name -> (compiler, its flags, emulator)
MACHINES = {
    "here": ("cc", ["-march=native"], None),
    "aarch64": ("aarch64-linux-gnu-gcc", ["-static"], "qemu-aarch64"),
    "arm": ("arm-linux-gnueabihf-gcc", ["-static"], "qemu-arm"),
    "aarch64 by zig": ("zig", ["cc", "-target", "aarch64-linux-musl"], "qemu-aarch64"),
    "arm by zig": ("zig", ["cc", "-target", "arm-linux-musleabihf"], "qemu-arm"),
}
LATER = [pytest.param(name, marks=pytest.mark.nightly) for name in MACHINES if "zig" in name]


def load():
    path = EXAMPLES / "c_loop" / "c_loop.py"
    spec = importlib.util.spec_from_file_location("c_loop", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The example with its controller, and where the loop ends in Python."""
    module, copy = load(), tmp_path_factory.mktemp("c_loop") / "example"
    shutil.copytree(EXAMPLES / "c_loop", copy, ignore=shutil.ignore_patterns("controller.*"))
    net = module.main([str(copy), "--short"])
    return copy, module.simulated(net, STEPS), module.simulated(net, 2500)


def cross(machine):
    """(the compiler's command, the emulator's) of a machine; skips where one is missing."""
    name, flags, emulator = MACHINES[machine]
    if name == "zig":
        zig = pytest.importorskip("ziglang", reason="needs ziglang")
        command = f"{next(iter(zig.__path__))}/zig"
    else:
        command = compiler(name)
    run = [compiler(f"{emulator}-static", emulator)] if emulator else []
    return " ".join([command, *flags]), run


@pytest.mark.parametrize("machine", [*(name for name in MACHINES if "zig" not in name), *LATER])
def test_the_loop_is_that_of_python(machine, folder, tmp_path):
    make, (cc, emulator) = compiler("make"), cross(machine)
    example, state, _ = folder
    copy = shutil.copytree(example, tmp_path / "copy")
    flags = f"CFLAGS=-std=c99 -O3 {' '.join(WARNINGS)}"
    built = [make, "-C", copy, f"CC={cc}", flags, "loop", "check"]
    done = subprocess.run(built, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    checked = subprocess.run([*emulator, copy / "check"], capture_output=True, text=True)
    assert checked.returncode == 0 and "controller: all as deltanet has it" in checked.stdout
    ran = subprocess.run([*emulator, copy / "loop", str(STEPS)], capture_output=True, text=True)
    found = re.search(r"angle (\S+) rad, rate (\S+) rad/s\n[0-9.]+ us a step", ran.stdout)
    np.testing.assert_allclose(np.array(found.groups(), float), state, atol=1e-10)


def test_the_pendulum_is_held_upright(folder):
    _, _, (angle, rate) = folder
    assert np.cos(angle) < -0.99 and abs(rate) < 0.01
