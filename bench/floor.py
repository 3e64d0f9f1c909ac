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
        if threads == 1:
            return lambda: self.stream(start, 64 * lines)
        pool = ThreadPoolExecutor(threads)
        parts = [(a, b - a) for a, b in pairwise(cuts)]
        return lambda: list(pool.map(lambda part: self.stream(*part), parts))


def factors(net, N):
    """The gemm shapes of `jacobian`, one after the other, whole batch at once, BLAS's own threads."""
    m, gemm = net.sizes[-1], products(net.dtype)[0]
    jobs = [(N, net.sizes[k + 1], net.sizes[k]) for k in range(len(net.sizes) - 1)]
    jobs += [(N * m, net.sizes[k], net.sizes[k + 1]) for k in range(len(net.sizes) - 2)][1:]
    jobs = [operands(*job, net.dtype) for job in jobs]
    return lambda: [gemm(1, a, b, beta=0, c=c, overwrite_c=True) for a, b, c in jobs]


def gram(net, N):
    """syrk of delta delta^T and h h^T of every layer, upper half, whole batch at once."""
    m, syrk = net.sizes[-1], products(net.dtype)[1]
    shapes = [(N * m, n) for n in net.sizes[1:]] + [(N, n) for n in net.sizes[:-1]]
    jobs = [(array(r, k, net.dtype), array(r, r, net.dtype)) for r, k in shapes]
    return lambda: [syrk(1, a, beta=0, c=c, overwrite_c=True) for a, c in jobs]


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


def operands(M, N, K, dtype):
    """Fortran-ordered operands of a row-major C (M, N) = A (M, K) B (K, N)."""
    return array(N, K, dtype), array(K, M, dtype), array(N, M, dtype)


def array(rows, columns, dtype):
    return np.asfortranarray(np.ones((rows, columns), dtype))
