"""How long `import deltanet` takes beyond what it stands on."""

import statistics

from bench.machine import child

STATEMENTS = {
    "numpy, scipy.linalg.cython_blas": "import numpy, scipy.linalg.cython_blas",
    "deltanet": "import deltanet",
}
CLOCK = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
REPEATS = 15


def imports(report, seconds):
    """Each in a new interpreter, in turns; the first turn fills the file cache."""
    times = {name: [] for name in STATEMENTS}
    for _ in range(1 + REPEATS):
        for name, statement in STATEMENTS.items():
            times[name].append(float(child("-c", CLOCK.format(statement))))
    times = {name: statistics.median(t[1:]) for name, t in times.items()}
    base, ours = times.values()
    report.row("Import", "a new interpreter", times | {"difference": ours - base})
    report.claim(
        "import deltanet", "beyond numpy and cython_blas", 1e3 * (ours - base), "<= 30", "ms"
    )
