"""Wrong environment variables: one sentence that names the variable and the value."""

import os
import subprocess
import sys

import pytest

import deltanet as dn
from deltanet import _machine

RULES = {
    "DELTANET_NUM_THREADS": "DELTANET_NUM_THREADS must be a positive integer; got ",
    "DELTANET_SIMD": "DELTANET_SIMD must be one of baseline",
}
WRONG = [
    ("DELTANET_NUM_THREADS", value)
    for value in ("0", "-3", "two", "1.5", "4 threads", " ", "9" * 5000)
] + [("DELTANET_SIMD", value) for value in ("fast", "AVX2", " ", "avx2,fma")]


def run(*arguments, **variables):
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("name, value", WRONG, ids=lambda text: text[:12])
def test_the_first_net_names_it(name, value):
    """The import goes through; what depends on the variable raises ValueError, and goes on raising it."""
    code = f"""
import numpy as np, deltanet as dn
for call in (lambda: dn.MLP([2, 1]), lambda: dn.MLP.from_layers([[[1.0]]], [None], ["identity"]),
             lambda: dn.Jacobian.from_factors([np.ones((1, 2))], [np.ones(3)]), dn.{
        "get_num_threads" if name == "DELTANET_NUM_THREADS" else "show_config"
    }):
    try:
        call()
    except ValueError as error:
        print(error)
"""
    done = run("-c", code, **{name: value})
    assert done.returncode == 0 and not done.stderr, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4 and len(set(lines)) == 1
    assert lines[0].startswith(RULES[name]) and value[:100].strip() in lines[0]


@pytest.mark.parametrize("name, value", [WRONG[2], WRONG[-4]])
@pytest.mark.parametrize("command", ["info", "check", "jacobian"])
def test_the_command_line_says_it_in_one_line(name, value, command, tmp_path):
    pytest.importorskip("typer", reason="the command line needs the extra 'cli'")
    model = tmp_path / "net.npz"
    dn.save(dn.MLP([2, 3, 1], seed=0), model)
    (tmp_path / "x.csv").write_text("1.5,2\n")
    files = {"jacobian": ["x.csv", "-o", "J.npy"]}.get(command, [])
    done = subprocess.run(
        [sys.executable, "-m", "deltanet", command, "net.npz", *files],
        env=os.environ | {name: value},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith(f"deltanet: {RULES[name]}") and done.stderr.count("\n") == 1
    assert not (tmp_path / "J.npy").exists()


@pytest.mark.parametrize("name, value", [WRONG[2], WRONG[-4]])
def test_help_needs_no_variable(name, value):
    pytest.importorskip("typer", reason="the command line needs the extra 'cli'")
    done = run("-m", "deltanet", "--help", **{name: value})
    assert done.returncode == 0 and "jacobian" in done.stdout and not done.stderr


def test_a_number_that_is_set_stands_for_the_variable():
    code = (
        "import deltanet as dn; dn.set_num_threads(3); dn.MLP([2, 1]); print(dn.get_num_threads())"
    )
    assert run("-c", code, DELTANET_NUM_THREADS="two").stdout == "3\n"


def test_empty_ones_are_as_good_as_none():
    code = "import deltanet as dn; net = dn.MLP([2, 1]); print(dn.get_num_threads(), simd())"
    code = f"from deltanet._core.context import simd; {code}"
    done = run("-c", code, DELTANET_NUM_THREADS="", DELTANET_SIMD="")
    assert done.stdout.split() == [str(_machine.cores()), dn.show_config("dicts")["simd"]]
