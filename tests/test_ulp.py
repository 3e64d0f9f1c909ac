"""Activations and slopes within 4 ulp of the exact value, second derivatives within 8, all the same wherever
they stand in a row.

ulp.c evaluates the definitions with libquadmath, each night at a million points each; floats also against
doubles, at 17 million.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
from dense_oracle import ELEMENTWISE

HERE = Path(__file__).parent
CORE = HERE.parent / "src/deltanet/_core"
FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
NAMES = list(ELEMENTWISE)
POINTS = [100_000, pytest.param(1_000_000, marks=pytest.mark.nightly)]
LIMITS = (4, 4, 8)  # of f, f' and f''


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if not (CORE / "vecmath.h").exists():
        pytest.skip("the sources of the core are not beside this test")
    compiler = shutil.which("gcc")
    target = tmp_path_factory.mktemp("ulp") / "ulp"
    command = [compiler, *FLAGS, f"-I{CORE}", HERE / "ulp.c", "-o", target, "-lquadmath", "-lm"]
    if compiler is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs gcc with libquadmath")
    return target


@pytest.mark.parametrize("points", POINTS)
@pytest.mark.parametrize("code", range(len(NAMES)), ids=NAMES)
def test_within_a_few_ulp(program, code, points):
    done = subprocess.run(
        [program, str(points), str(code)], capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {line[1] for line in lines} == {"f64", "f32", "dense", "place"}
    for name, kind, level, *errors in lines:
        assert name == NAMES[code]
        limits = (0, 0, 0) if kind == "place" else LIMITS
        within = [float(e) <= limit for e, limit in zip(errors, limits, strict=True)]
        assert all(within), (name, kind, level, errors)
