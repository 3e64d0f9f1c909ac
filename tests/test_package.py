"""The package as a user meets it: metadata, imports, every command and example of the README."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import deltanet as dn

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    """The README's fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands():
    """Every command of the README's shell blocks, without the part that installs."""
    lines = [line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    parts = [part.strip() for line in lines for part in re.split(r"&&|\s#\s.*", line)]
    return [part for part in parts if part and not part.startswith(("#", "pip ", "git ", "cd "))]


def run(args, cwd, **kwargs):
    """Run to the end; what was printed is the message of a failure."""
    scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        args, cwd=cwd, env=os.environ | {"PATH": scripts}, capture_output=True, text=True, **kwargs
    )
    assert done.returncode == 0, f"{args}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def folder(tmp_path):
    """A scratch folder in which the README's relative paths hold."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


def test_version_is_one_everywhere():
    version = importlib.metadata.version("deltanet")
    assert dn.__version__ == version
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == version
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_run_time_requirements():
    lines = importlib.metadata.requires("deltanet")
    always = {re.match(r"[\w-]+", line)[0] for line in lines if "extra ==" not in line}
    assert always <= {"numpy", "scipy", "threadpoolctl"}
    extras = set(importlib.metadata.metadata("deltanet").get_all("Provides-Extra"))
    assert {"cli", "onnx", "safetensors", "test", "bench", "all"} <= extras


def test_import_brings_in_no_extra(tmp_path):
    """Nor scipy.special, which would double the time that the import takes."""
    code = "import sys, deltanet; print(*sys.modules)"
    loaded = set(run([sys.executable, "-c", code], cwd=tmp_path).split())
    extras = {"typer", "rich", "onnx", "safetensors", "torch", "jax", "matplotlib", "pytest"}
    extras |= {"zarr", "fsspec", "dask", "distributed", "pyarrow"}
    assert "deltanet._mlp" in loaded
    assert not loaded & (extras | {"scipy.special"})


def test_no_generated_file_is_tracked():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: .ci/run looks through the sdist instead")
    tracked = run(["git", "ls-files"], cwd=ROOT).split("\n")
    assert "pyproject.toml" in tracked
    generated = re.compile(r"(src|build)/.*\.(c|cpp|html)|.*\.(o|so|pyd|dll|pyc|whl)")
    assert not [name for name in tracked if generated.fullmatch(name)]


def test_readme_opens_with_two_commands():
    first, second = blocks("sh")[:2]
    assert README.index(first) < README.index(second) < 2000
    for block in (first, second):
        assert len(block.strip().splitlines()) == 1
        extras = set(re.search(r'pip install .*"\.\[(.+?)\]"', block)[1].split(","))
        assert extras <= set(importlib.metadata.metadata("deltanet").get_all("Provides-Extra"))
    assert "deltanet jacobian examples/pendulum/" in first
    assert second.strip().endswith("pytest")


@pytest.mark.parametrize("command", commands())
def test_readme_command(command, folder):
    if command.startswith("pytest"):
        pytest.skip("this is the command that .ci/run takes from the README and runs")
    if "deltanet" in command:
        pytest.importorskip("typer", reason="the command line needs the extra 'cli'")
    if ".zarr" in command:
        pytest.importorskip("zarr", reason="a store needs the extra 'zarr'")
    if command.startswith(("bash ", "python bench/", "ruff ", "cython-lint ")):
        pytest.skip("a developer's command, not the installed package's")
    run(command, cwd=folder, shell=True)


def test_readme_examples(folder):
    """All of them as one script: each goes on where the last one ended."""
    run([sys.executable, "-W", "error", "-c", "\n".join(blocks("python"))], cwd=folder)
