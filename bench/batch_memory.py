"""What parent and workers of a job take above what they hold when all is imported (Linux).

`python -m bench.batch_memory JOB N` measures in a process of its own.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import deltanet as dn
from bench.batch_cases import Job, pool
from bench.machine import child, field

MIB = 2**20
TITLE = "Memory above the import, MiB, two processes over a file"
JOBS = {  # the net, rows
    "ggn": ("small", (10**6, 10**7)),
    "ggn, 8 MB": ("8 MB", (10**5, 10**6)),
    "ggn_diagonal": ("surrogate", (10**6, 10**7)),
    "write, dy/dx": ("surrogate", (10**6, 10**7)),
}


def memory(report):
    for name, (_, lengths) in JOBS.items():
        cells, most = {}, 0.0
        for N in lengths:
            case, *numbers = child("-m", "bench.batch_memory", name, str(N)).splitlines()
            parent, *workers = [int(number) / MIB for number in numbers]
            cells[f"rows / {lengths[0]} = {N // lengths[0]}"] = (
                f"parent {parent:.0f}, workers {max(workers):.0f}"
            )
            most = max(most, parent, *workers)
        report.row(TITLE, f"{case}, {name}", {}, **cells)
        report.claim(f"{case}, {name}", "memory above the import", most, "<= 300", "MiB")


def measure(name, N):
    """Print the case, then the bytes of the parent and of each worker, a line each."""
    with tempfile.TemporaryDirectory(prefix="bench-batch-") as folder, pool(2) as executor:
        job = Job(JOBS[name][0], N, Path(folder))
        small = np.ones((9, job.sizes[0]))
        for i in range(4):  # both workers have imported Zarr
            dn.write(Path(folder, f"{i}.zarr"), job.net, small, executor=executor, rows=1)
        processes = ["self", *executor._processes]
        for each in processes:
            Path(f"/proc/{each}/clear_refs").write_text("5")  # VmHWM = VmRSS
        before = [field(f"/proc/{each}/status", "VmRSS") for each in processes]
        if name.startswith("write"):
            path = Path(folder, "sensitivities.zarr")
            dn.write(path, job.net, job.path, form="dense", wrt="inputs", executor=executor)
        else:
            getattr(job.net, name.partition(",")[0])(job.path, executor=executor)
        print(job)
        for each, start in zip(processes, before, strict=True):
            print(field(f"/proc/{each}/status", "VmHWM") - start)


if __name__ == "__main__":
    measure(sys.argv[1], int(sys.argv[2]))
