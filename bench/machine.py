"""What this run stands on, and what a call takes of its memory. No private name of deltanet is used."""

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import deltanet as dn

LINUX = sys.platform.startswith("linux")


def cores():
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def processor():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def last_level_cache():
    """Bytes; 32 MiB where the system does not tell."""
    sizes = []
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = file.read_text().strip()
        sizes.append(int(text[:-1]) * {"K": 2**10, "M": 2**20}.get(text[-1], 0))
    return max(sizes, default=2**25)


def vector_instructions():
    return dn.show_config(mode="dicts")["simd"]


def available_memory():
    """Bytes that the system could give; none is known elsewhere than on Linux."""
    return field("/proc/meminfo", "MemAvailable") if LINUX else sys.maxsize


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
    """The output of `python -m ...` in a process of its own."""
    run = subprocess.run([python, *arguments], capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{run.stderr}")
    return run.stdout
