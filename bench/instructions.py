"""python -m bench.instructions [--update]

Counts the instructions of three hot calls under valgrind, and fails where one takes over a tenth more than
instructions.json says; --update writes that file anew. The count is of calls through Python, so there is a
figure for each of its versions; instruction sets are pinned to AVX2, which valgrind knows. Needs gcc and
valgrind with its headers, on x86-64.
"""

import gc
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

STORED = Path(__file__).with_name("instructions.json")
MARGIN = 1.1
ROUNDS, REPEATS = 5, 10  # of which the best round counts: what is done once may fall into another
REQUESTS = """
#include <valgrind/callgrind.h>
void start(void) { CALLGRIND_START_INSTRUMENTATION; }
void zero(void) { CALLGRIND_ZERO_STATS; }
void dump(void) { CALLGRIND_DUMP_STATS; }
"""


def calls():
    """{name: call}: one sample from Python, a block of dense rows, a tile of a Gram matrix."""
    import numpy as np

    from bench.cases import Case

    tiny, small = Case("tiny"), Case("small", 64)
    x, row, rows = tiny.X[0], np.empty(tiny.shape[1:]), np.empty(small.shape)
    J = small.net.jacobian(small.X)
    return {
        "tiny [1] jacobian_dense": lambda: tiny.net.jacobian_dense(x, out=row),
        "small [64] jacobian_dense": lambda: small.net.jacobian_dense(small.X, out=rows, threads=1),
        "small [64] gram": lambda: J.gram(threads=1),
    }


def measured(folder):
    """Under valgrind: a dump of counts for each round of each call, in order."""
    from bench.floor import compile_c

    source = Path(folder, "requests.c")
    source.write_text(REQUESTS)
    library = compile_c([source])
    zero, dump = library.zero, library.dump
    gc.disable()  # a collection would be counted with the calls that it falls among
    library.start()
    for call in calls().values():
        call()
        for _ in range(ROUNDS):
            zero()
            for _ in range(REPEATS):
                call()
            dump()


def count():
    """{name: instructions of a call}"""
    with tempfile.TemporaryDirectory() as folder:
        valgrind = [
            "valgrind",
            "--tool=callgrind",
            "--instr-atstart=no",
            f"--callgrind-out-file={folder}/out",
        ]
        environment = os.environ | {
            "DELTANET_SIMD": "avx2",
            "OPENBLAS_CORETYPE": "Haswell",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
        }
        command = [*valgrind, sys.executable, "-m", "bench.instructions", "--measure", folder]
        run = subprocess.run(command, env=environment, capture_output=True, text=True)
        if run.returncode:
            sys.exit(run.stderr)
        totals = [
            int(re.search(r"^summary: (\d+)", Path(folder, f"out.{i}").read_text(), re.M)[1])
            for i in range(1, ROUNDS * len(calls()) + 1)
        ]
    return {name: min(totals[k * ROUNDS :][:ROUNDS]) // REPEATS for k, name in enumerate(calls())}


def main(update):
    version = ".".join(platform.python_version_tuple()[:2])
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    now = count()
    if update:
        STORED.write_text(json.dumps(stored | {version: now}, indent=2) + "\n")
    before = stored.get(version, {})
    slower = []
    for name, instructions in now.items():
        print(f"{name}: {instructions} instructions, stored {before.get(name, 'none')}")
        if instructions > MARGIN * before.get(name, instructions):
            slower.append(name)
    if slower and not update:
        sys.exit(f"more than {MARGIN} of what {STORED.name} says: {', '.join(slower)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measured(sys.argv[2])
    else:
        main("--update" in sys.argv[1:])
