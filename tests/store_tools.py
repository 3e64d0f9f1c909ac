"""What the tests of stores share: nets, a store's bytes, jobs in processes of their own."""

import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import numpy as np

import deltanet as dn

N = 203
ROWS = 16  # of a block: 13 blocks, the last of 11 samples


def inputs(net, count=N, seed=1):
    return np.random.default_rng(seed).standard_normal((count, net.sizes[0])).astype(net.dtype)


def masked():
    """Layers with and without a bias, scalings on both sides, an output that couples."""
    random = np.random.default_rng(3)
    sizes = [4, 6, 5, 3]
    weights = [random.standard_normal((b, a)) for a, b in pairwise(sizes)]
    biases = [random.standard_normal(6), None, random.standard_normal(3)]
    scales = {"input_shift": 0.5, "input_scale": [1, 2, 3, 4], "output_shift": [1, 2, 3]}
    return dn.MLP.from_layers(weights, biases, ["tanh", "relu", "softmax"], **scales)


NETS = {
    "plain": lambda: dn.MLP([3, 8, 2], seed=0),
    "float32": lambda: dn.MLP([5, 7, 6, 2], ["silu", ("elu", 0.5)], dtype="float32", seed=0),
    "masked": masked,
    "one layer": lambda: dn.MLP([2, 1], bias=False, seed=0),
}


def files(path):
    """The bytes of a store by key, without locks."""
    path = Path(path)
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and file.suffix != ".lock"
    }


class Stop(Exception):
    """What a test raises out of `progress` to end a job."""


def stopping(samples):
    """A `progress` that ends the job once so many samples are done."""

    def progress(done, _):
        if done >= samples:
            raise Stop

    return progress


JOB = """
import sys, os, time
import numpy as np
import deltanet as dn

net = dn.MLP([3, 8, 2], seed=0)
X = np.random.default_rng(1).standard_normal((203, 3))

def hold(done, total):
    # a line, then wait for the other side
    print(done, flush=True)
    sys.stdin.readline()
"""


def job(code, *arguments, **options):
    """A process that runs the code behind JOB."""
    return subprocess.Popen(
        [sys.executable, "-c", JOB + textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
