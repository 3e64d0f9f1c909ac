"""What the machine offers: cores, cache, memory, as the system tells."""

import ctypes
import os
import sys
from pathlib import Path
from typing import Any


def cores() -> int:
    """Processors that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def last_level_cache() -> int:
    """Bytes of the largest cache that core 0 writes through; 32 MiB where the system does not tell."""
    sizes = []
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = file.read_text().strip()
        sizes.append(int(text[:-1]) * {"K": 2**10, "M": 2**20}.get(text[-1], 0))
    return max(sizes, default=2**25)


def available_memory() -> int:
    """Bytes that a new array may take; sys.maxsize where the system does not tell."""
    try:
        return min(_free(), _allowance())
    except (OSError, ValueError, AttributeError):
        return sys.maxsize


def _free() -> int:
    """Bytes that the system could give."""
    if sys.platform == "win32":
        return _free_windows()
    if sys.platform == "linux":
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _free_windows() -> int:

    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_uint32), ("load", ctypes.c_uint32)] + [
            (name, ctypes.c_uint64) for name in ("total", "free", "a", "b", "c", "d", "e")
        ]

    status = Status(length=ctypes.sizeof(Status))
    kernel: Any = ctypes.windll.kernel32  # type: ignore[attr-defined, unused-ignore]  # Windows only
    kernel.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.free)


def _allowance() -> int:
    """Bytes left of what the control group of this process allows it."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        return int(limit) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return sys.maxsize
