"""python -m bench [NAME ...] [--seconds S] [--output DIR] [--baseline PYTHON]

Times deltanet beside its floors and its strongest peers, and writes results.md (the rows that are lost first)
and two plots. Names, all of them by default:

verbs         nine verbs from X on, beside the same formula jitted in JAX, and their floors
gauss-newton  J^T J and the normal equations, beside their shapes through SciPy alone
fit           one step of Levenberg-Marquardt, beside the same step in JAX
cg            a matrix-free step on 784-30-10 with 60,000 rows, and loss against time beside torch's Adam
nist          what fits converge to
c             one sample through the C interface, beside CasADi's generated C
export        one sample of a net exported as C, beside CasADi's generated C
second        second derivatives, beside those of JAX
tiny          one sample as a program calls it
dense         dense Jacobians beside the floor of the memory and the frameworks
sweep         time against N and P
usual         torch.func, vmap(jacrev) and neural-tangents
memory        what a verb takes beyond its result
batch         long tables: processes, executors, stores, beside the plain call and beside JAX
import        how long the import takes
"""

import argparse
import inspect
import time
from pathlib import Path

from bench import (
    batch,
    c_interface,
    cg,
    dense,
    exported,
    fit,
    gauss_newton,
    imports,
    memory,
    nist,
    second,
    sweep,
    tiny,
    usual,
    verbs,
)
from bench.report import Report

PARTS = {
    "verbs": verbs.verbs,
    "gauss-newton": gauss_newton.gauss_newton,
    "fit": fit.fit,
    "cg": cg.cg,
    "nist": nist.nist,
    "second": second.second,
    "c": c_interface.c_interface,
    "export": exported.exported,
    "tiny": tiny.tiny,
    "dense": dense.dense,
    "sweep": sweep.sweep,
    "usual": usual.usual,
    "memory": memory.memory,
    "batch": batch.batch,
    "import": imports.imports,
}


def main():
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__.split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seconds", type=float, default=3, help="for each table row, about")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="a folder")
    parser.add_argument("--baseline", help="an interpreter with an older deltanet: dense and tiny")
    options = parser.parse_args()
    if unknown := set(options.names) - set(PARTS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    options.output.mkdir(parents=True, exist_ok=True)
    report, more = Report(), {"output": options.output, "baseline": options.baseline}
    for name in options.names or PARTS:
        part, start = PARTS[name], time.perf_counter()
        wanted = inspect.signature(part).parameters
        part(report, options.seconds, **{k: v for k, v in more.items() if k in wanted})
        print(f"{name} took {time.perf_counter() - start:.0f} s", flush=True)
        report.write(options.output / "results.md")


if __name__ == "__main__":
    main()
