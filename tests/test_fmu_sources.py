"""The C of an FMU under compilers, sanitizers, the headers of the standard, and the build of FMPy."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from fmu_door import HEADERS, Door, build_platform_binary, fmpy
from fmu_nets import STATES, close, maker, pendulum, plain, samples

C99 = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
pytestmark = pytest.mark.of_c
both = pytest.mark.parametrize("version", ["2.0", "3.0"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return maker(tmp_path_factory.mktemp("fmu"))


def sources(path, folder):
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return sorted((folder / "sources").glob("*.c"))


@both
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("states", [None, STATES])
def test_sources_compile_without_a_warning(made, tmp_path, compiler, version, states):
    needs(compiler)
    for file in sources(made(pendulum, version, states)[1], tmp_path):
        run([compiler, *C99, "-c", file, "-o", tmp_path / "object.o"])


@both
def test_functions_are_those_of_the_standard(made, tmp_path, version):
    """All are there, and the linker compares their types with those of the standard's headers."""
    needs("gcc")
    header = f"fmi{version[0]}Functions.h"
    text = (HEADERS / header).read_text(encoding="utf-8")
    names = sorted(set(re.findall(rf"\b(fmi{version[0]}\w+)TYPE\b", text)))
    assert len(names) > 40
    table = "".join(f"    (void (*)(void)){name},\n" for name in names)
    main = tmp_path / "all.c"
    table = f"void (*table[])(void) = {{\n{table}}};\n"
    main.write_text(f'#include "{header}"\n{table}int main(void) {{ return !table[0]; }}\n')
    files = sources(made(plain, version)[1], tmp_path)
    command = ["gcc", "-flto", "-Wlto-type-mismatch", "-Werror", "-O1", "-I", HEADERS]
    command += [f"-DFMI{version[0]}_OVERRIDE_FUNCTION_PREFIX", main, *files, "-lm"]
    run([*command, "-o", tmp_path / "all"])


def test_a_walk_under_sanitizers(made, tmp_path):
    needs("gcc")
    files = sources(made(pendulum, "3.0", STATES)[1], tmp_path)
    net, functions = (file for file in files)
    program = tmp_path / "walk"
    command = [
        "gcc",
        "-std=c99",
        "-O1",
        "-g",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    ]
    command += [f'-DWALK="{functions}"', Path(__file__).parent / "c" / "fmu_walk.c", net, "-lm"]
    try:
        run([*command, "-o", program])
    except AssertionError as error:
        if "cannot find" in str(error):
            pytest.skip("gcc has no sanitizers here")
        raise
    assert run([program]) == "walked\n"


def test_sources_are_compiled_by_fmpy(tmp_path, monkeypatch):
    needs("cmake")
    monkeypatch.setenv("CC", "no-such-compiler")
    path, folder = tmp_path / "sent.fmu", tmp_path / "sent"
    with pytest.warns(UserWarning, match="has sources only"):
        plain().export_fmu(path)
    monkeypatch.delenv("CC")
    fmpy.extract(str(path), str(folder))
    build = tmp_path / "build"
    build.mkdir()
    build_platform_binary(folder, build)
    (x,) = samples(plain(), 1)
    door = Door(path, folder).run()
    door.set(["x0", "x1", "x2"], x)
    close(door.get(["y0", "y1"]), plain()(x))


def needs(tool):
    if sys.platform == "win32" or not shutil.which(tool):
        pytest.skip(f"no {tool}, or Windows")


def run(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
