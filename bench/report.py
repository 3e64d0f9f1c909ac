"""bench/results.md and its plot: what was measured, and what must hold of it."""

import platform
from pathlib import Path

import numpy as np
import scipy

import deltanet as dn
from deltanet import machine


def duration(seconds):
    if seconds is None:
        return "-"
    for unit, size in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


class Report:
    """Tables of medians, and a list of claims: each a ratio, a bound, and whether it holds."""

    def __init__(self, modules):
        self.modules = modules
        self.tables, self.claims = {}, []

    def row(self, table, case, times, **more):
        """Add the medians of one case to a table, and print them."""
        cells = {name: duration(t) for name, t in times.items()} | more
        self.tables.setdefault(table, []).append({"case": str(case)} | cells)
        print(f"{table} | {case}: " + ", ".join(f"{k} {v}" for k, v in cells.items()), flush=True)

    def claim(self, case, measure, value, bound, unit="x"):
        """`bound` is a number with its sense: "<= 1.35" or ">= 7". A value of None was not measured."""
        sense, limit = bound.split()
        holds = None if value is None else (value <= float(limit)) == (sense == "<=")
        self.claims.append((str(case), measure, f"{bound} {unit}", value, unit, holds))

    def machine(self):
        cpu = platform.processor() or platform.machine()
        info = Path("/proc/cpuinfo")
        if info.exists():
            names = [
                line for line in info.read_text().splitlines() if line.startswith("model name")
            ]
            cpu = names[0].split(":")[1].strip() if names else cpu
        return [
            f"{machine.cores()} cores of {cpu}, last-level cache {machine.last_level_cache() >> 20} MiB, "
            f"vector instructions {dn.core.engine.SIMD}",
            f"{platform.system()}, Python {platform.python_version()}, NumPy {np.__version__}, "
            f"SciPy {scipy.__version__}, "
            + ", ".join(
                f"{name} {module.__version__}" if module else f"{name} absent"
                for name, module in self.modules.items()
            ),
        ]

    def write(self, path):
        lines = [
            "# Measured by `python -m bench`",
            "",
            *(f"- {line}" for line in self.machine()),
            "",
        ]
        lines += [
            "Medians of interleaved repetitions in one run; each result was checked against a complex",
            "step before it was timed. T1 and T2 are one thread and all of them, `-` is absent; what a",
            "contender takes is its peak of memory beyond what was there before the call.",
            "",
        ]
        if self.claims:
            lines += ["## What must hold", "", *self.claim_table(), ""]
        for title, rows in self.tables.items():
            lines += [f"## {title}", "", *markdown(rows), ""]
        Path(path).write_text("\n".join(lines))

    def claim_table(self):
        words = {True: "yes", False: "**no**", None: "not measured"}
        return markdown(
            [
                {
                    "case": case,
                    "measure": measure,
                    "must be": bound,
                    "is": "-" if value is None else f"{value:.3g} {unit}",
                    "holds": words[holds],
                }
                for case, measure, bound, value, unit, holds in self.claims
            ]
        )


def markdown(rows):
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns)] + [[row.get(c, "-") for c in columns] for row in rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def plot(series, path):
    """Time against N and against P, on logarithmic axes: lines of slope one, no jumps."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "deltanet"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(series), figsize=(5 * len(series), 4), layout="constrained")
    for ax, (label, lines) in zip(axes, series.items(), strict=True):
        for name, (x, y) in lines.items():
            ax.loglog(x, y, "o-", label=name, markersize=3)
        ax.loglog(x, y[-1] * np.array(x) / x[-1], "k:", linewidth=1, label="slope one")
        ax.set_xlabel(label)
        ax.set_ylabel("seconds")
        ax.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
