"""python -m bench [NAME ...] [--seconds S] [--output DIR]

Times deltanet beside its floors and its peers, and writes results.md and results.svg. Names: dense, tiny,
factors, inputs, sweep, memory, gram, norms, products, fit; all of them by default. `python -m bench
crossover` shows where BLAS overtakes the plain loops, and writes nothing.
"""

import argparse
from pathlib import Path

from bench import dense, fit, peers, report, verbs


def main():
    parts = {
        "dense": dense.dense,
        "tiny": dense.tiny,
        "factors": dense.factors,
        "inputs": dense.inputs,
        "sweep": dense.sweep,
        "memory": dense.memory,
        "gram": verbs.gram,
        "norms": verbs.norms,
        "products": verbs.products,
        "fit": fit.fit,
    }
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n\n")[1])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*parts, "crossover"]))
    parser.add_argument("--seconds", type=float, default=8, help="for each table row")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="a folder")
    options = parser.parse_args()
    if unknown := set(options.names) - {*parts, "crossover"}:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    if options.names == ["crossover"]:
        return dense.crossover()
    result = report.Report({"torch": peers.torch, "JAX": peers.jax, "CasADi": peers.casadi})
    for name in options.names or parts:
        series = parts[name](result, options.seconds)
        if series:
            report.plot(series, options.output / "results.svg")
        result.write(options.output / "results.md")


if __name__ == "__main__":
    main()
