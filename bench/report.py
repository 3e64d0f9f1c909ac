"""bench/results.md: the machine, the rows that are lost, what must hold, and the tables."""

import platform
from pathlib import Path

import numpy as np
import scipy

import deltanet as dn
from bench.casadi_c import casadi
from bench.machine import cores, last_level_cache, processor, vector_instructions
from bench.peers import jax, torch

HEAD = """\
Each call stands in a loop of its own, without pauses, contenders one after the other in rotating order;
medians of the second half of each loop, and of the rounds. `mixed`: between two calls 16 MB are allocated,
written and freed, NumPy multiplies two matrices of 300 x 300, and another verb is called; only the call
is timed. Each result was checked before it was timed. `JAX` in the tables from X on is the same factored
formula, jitted, in whichever of several formulations is fastest; elsewhere `jit(vmap(jacrev))`. `-` is
absent.
"""


def duration(seconds):
    if seconds is None:
        return "-"
    for unit, size in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= 0.9995 * size:  # 1 ms, not 1e+03 us
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


class Report:
    """Tables of medians, and a list of claims: each a ratio, a bound, and whether it holds."""

    def __init__(self):
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

    def write(self, path):
        lost = [claim for claim in self.claims if claim[-1] is False]
        lines = ["# Measured by `python -m bench`", "", *(f"- {line}" for line in machine_lines())]
        lines += ["", HEAD]
        lines += [f"## Rows that are lost: {len(lost)} of {len(self.claims)}", ""]
        lines += [*claim_table(lost), ""] if lost else ["None.", ""]
        if self.claims:
            lines += ["## What must hold", "", *claim_table(self.claims), ""]
        for title, rows in self.tables.items():
            lines += [f"## {title}", "", *markdown(rows), ""]
        Path(path).write_text("\n".join(lines))


def machine_lines():
    versions = {"torch": torch, "JAX": jax, "CasADi": casadi}
    return [
        f"{cores()} cores of {processor()}, last-level cache {last_level_cache() >> 20} MiB, "
        f"vector instructions {vector_instructions()}",
        f"{platform.system()}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"SciPy {scipy.__version__}, "
        + ", ".join(
            f"{name} {module.__version__}" if module else f"{name} absent"
            for name, module in versions.items()
        ),
        f"deltanet {dn.__version__}, {dn.get_num_threads()} threads",
    ]


def claim_table(claims):
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
            for case, measure, bound, value, unit, holds in claims
        ]
    )


def markdown(rows):
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns)] + [[row.get(c, "-") for c in columns] for row in rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
