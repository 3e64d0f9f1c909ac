"""The shared library of an FMU, by the C compiler of this machine."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

COMPILERS = ("cc", "gcc", "clang")
FUNCTIONS = ("eval", "vjp", "hess", "work_size")  # of NAME.c
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"} | {f"i{n}86": "x86" for n in "3456"}
SYSTEMS = {  # a word in the compiler's target: name in FMI 3.0, in FMI 2.0, suffix
    "linux": ("linux", "linux", ".so"),
    "darwin": ("darwin", "darwin", ".dylib"),
    "macos": ("darwin", "darwin", ".dylib"),
    "mingw": ("windows", "win", ".dll"),
    "windows": ("windows", "win", ".dll"),
}


def library(sources: Mapping[str, str], name: str, version: str) -> tuple[str, bytes]:
    """Its path in the FMU, and its bytes; RuntimeError with the reason if it cannot be built.

    For x86-64, NAME.c is compiled twice: it is several times as fast with AVX2 and FMA, which not all have.
    """
    compiler = _compiler()
    target = _run([*compiler, "-dumpmachine"]).strip()
    folder, suffix = _platform(target, version)
    common = [*compiler, "-std=c99", "-O3", f"-DFMI{version[0]}_OVERRIDE_FUNCTION_PREFIX"]
    if suffix != ".dll":
        common += ["-fPIC", "-fvisibility=hidden"]
    units = {file[:-2]: [file] for file in sources if file.endswith(".c")}
    if target.startswith(("x86_64", "amd64")):
        common.append("-DTWIN")
        renamed = [f"-D{name}_{function}={name}_avx2_{function}" for function in FUNCTIONS]
        units[f"{name}_avx2"] = [f"{name}.c", "-mavx2", "-mfma", *renamed]
    with TemporaryDirectory() as work:
        for file, text in sources.items():
            Path(work, file).write_text(text, encoding="utf-8", newline="\n")
        for unit, arguments in units.items():
            _run([*common, "-c", *arguments, "-o", f"{unit}.o"], work)
        objects = [f"{unit}.o" for unit in units]
        _run([*compiler, "-shared", *objects, "-o", name + suffix, "-lm"], work)
        return f"binaries/{folder}/{name}{suffix}", Path(work, name + suffix).read_bytes()


def _compiler() -> list[str]:
    given = shlex.split(os.environ.get("CC", ""), posix=os.name != "nt")
    if given:
        return given
    for name in COMPILERS:
        if shutil.which(name):
            return [name]
    raise RuntimeError(f"there is no C compiler ({', '.join(COMPILERS)}); CC can name one")


def _run(command: list[str], folder: str | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise RuntimeError(f"{command[0]} cannot be started: {error.strerror}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).splitlines()
        told = [line.strip() for line in lines if "error" in line.lower()] or lines
        raise RuntimeError(
            f"{shlex.join(command)} failed with {done.returncode}: {' '.join(told[:3])}"
        )
    return done.stdout


def _platform(target: str, version: str) -> tuple[str, str]:
    """The folder of binaries for what the compiler builds for, and the suffix of its libraries.

    Examples
    --------
    >>> _platform("x86_64-linux-gnu", "2.0"), _platform("arm64-apple-darwin23.1.0", "3.0")
    (('linux64', '.so'), ('aarch64-darwin', '.dylib'))
    >>> _platform("i686-w64-mingw32", "2.0")
    ('win32', '.dll')
    """
    architecture = target.partition("-")[0]
    if architecture.startswith("arm") and architecture != "arm64":
        architecture = "aarch32"
    architecture = ARCHITECTURES.get(architecture, architecture)
    for word, (system, old, suffix) in SYSTEMS.items():
        if word in target:
            if version == "2.0":
                return old + ("64" if architecture.endswith("64") else "32"), suffix
            return f"{architecture}-{system}", suffix
    raise RuntimeError(
        f"FMI has no name for the platform {target!r}, for which the compiler builds"
    )
