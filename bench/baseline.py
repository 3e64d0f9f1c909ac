"""An older deltanet in an interpreter of its own, timed in turn with ours: `--baseline PYTHON`.

`python -m bench.baseline PART CASE`, run by that interpreter, reads lines "name seconds" and answers with
the median seconds of that call in a loop of its own. It uses names that both versions have.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np


class Baseline:
    """The calls of one part and one case there."""

    def __init__(self, python, part, case):
        command = [python, "-m", "bench.baseline", part, case]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        self.process.stdout.readline()

    def call(self, name):
        return Call(self, name)

    def ask(self, name, seconds):
        print(json.dumps([name, seconds]), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Call:
    def __init__(self, baseline, name):
        self.baseline, self.name = baseline, name

    def batch(self, seconds):
        return self.baseline.ask(self.name, seconds)


def serve(part, name):
    from bench import dense, tiny
    from bench.cases import Case
    from bench.timing import batch

    case = Case(name)
    if part == "dense":
        calls = dense.ours(case, np.full(case.shape, np.nan, case.dtype))
    else:
        calls = tiny.statements(case)
    print("ready", flush=True)
    for line in sys.stdin:
        wanted, seconds = json.loads(line)
        print(json.dumps(batch(calls[wanted], seconds)), flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])
