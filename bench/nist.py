"""What fits converge to: the residual of 1-8-1 on standardised NIST sets, to the certified one."""

import os
import time
from pathlib import Path

import numpy as np

import deltanet as dn


def nist(report, seconds):
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("DELTANET_SHARED") or beside) / "data" / "nist_strd"
    if not folder.is_dir():
        return
    ratios, start = {}, time.perf_counter()
    for name in ("Thurber", "Hahn1", "Gauss3", "ENSO"):
        x, y, certified = read(folder / f"{name}.dat")
        X, Y = ((a - a.mean()) / a.std() for a in (x, y))
        best = min(
            dn.fit(dn.MLP([1, 8, 1], seed=s), X[:, None], Y[:, None]).loss for s in range(10)
        )
        ratios[name] = np.sqrt(2 * best * y.var() / certified)
    total = time.perf_counter() - start
    report.row(
        "Residual of `fit` to the certified one",
        "1-8-1, best of ten seeds",
        {"forty fits": total},
        **{name: f"{ratio:.2f}" for name, ratio in ratios.items()},
    )
    for name, ratio in ratios.items():
        bound = "<= 1.3" if name == "ENSO" else "<= 1.1"
        report.claim(name, "residual of fit to the certified one", ratio, bound)
    report.claim("all four", "forty fits", total, "<= 10", "s")


def read(file):
    """(x, y, certified residual sum of squares) of a NIST file, whose data begin at line 61."""
    lines = file.read_text().splitlines()
    certified = next(float(line.split()[-1]) for line in lines if "Residual Sum of Squares" in line)
    y, x = np.loadtxt(lines[60:], usecols=(0, 1), unpack=True)
    return x, y, certified
