"""What this run stands on, and what a call takes of its memory."""

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import deltanet as dn

try:
    from deltanet._machine import available_memory, cores, last_level_cache
except ModuleNotFoundError:  # an older one, of `--baseline`
    from deltanet.machine import available_memory, cores, last_level_cache

__all__ = ["available_memory", "cores", "last_level_cache"]  # as deltanet itself sees them

LINUX = sys.platform.startswith("linux")


def processor():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def vector_instructions():
    return dn.show_config(mode="dicts")["simd"]


def resident():
    return field("/proc/self/status", "VmRSS")


def peak(call):
    """Bytes by which the resident memory grew over `call()`, at its peak (Linux)."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident()
    call()
    return field("/proc/self/status", "VmHWM") - before


def field(file, name):
    line = next(line for line in Path(file).read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) << 10


def child(*arguments, python=sys.executable):
    """The output of `python ...` in a process of its own, which keeps what it compiles."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    run = subprocess.run([python, *arguments], capture_output=True, text=True, env=environment)
    if run.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{run.stderr}")
    return run.stdout
