"""Floors: the least that the hardware, or BLAS, needs for the bytes and products of a case."""

import ctypes
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.linalg import blas, lapack


def compile_c(sources, *flags):
    """The shared library of some C files."""
    target = Path(tempfile.mkdtemp(prefix="deltanet-bench-")) / "library.so"
    command = [
        "cc",
        "-O3",
        "-shared",
        "-fPIC",
        *flags,
        *map(str, sources),
        "-o",
        str(target),
        "-lm",
    ]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(target))


class Stream:
    """Streaming stores into an array, from some threads."""

    def __init__(self):
        self.stream = compile_c([Path(__file__).with_name("floor.c")]).stream
        self.stream.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

    def __call__(self, out, threads):
        start = -(-out.ctypes.data // 64) * 64
        lines = (out.ctypes.data + out.nbytes - start) // 64
        cuts = [start + 64 * (lines * i // threads) for i in range(threads + 1)]
        pool = ThreadPoolExecutor(threads) if threads > 1 else None
        parts = [(a, b - a) for a, b in pairwise(cuts)]

        def call(kept=out):  # `out` lives as long as what writes into it
            for _ in (pool.map if pool else map)(lambda part: self.stream(*part), parts):
                pass

        return call


def normal_equations(P, rows, dtype="float64"):
    """dsyrk and dpotrf of one Levenberg-Marquardt step."""
    J = np.asfortranarray(np.random.default_rng(0).standard_normal((P, rows)).astype(dtype))
    C = array(P, P, dtype)
    eye = np.asfortranarray(np.eye(P, dtype=dtype))

    def step():
        blas.dsyrk(1, J, beta=0, c=C, overwrite_c=True)
        C[...] += eye
        lapack.dpotrf(C, overwrite_a=True)

    return step


def products(dtype):
    return (blas.dgemm, blas.dsyrk) if dtype == "float64" else (blas.sgemm, blas.ssyrk)


def array(rows, columns, dtype):
    return np.asfortranarray(np.ones((rows, columns), dtype))
