"""The traps that others fell into, one test each; strided input and the like are in test_contracts."""

import ctypes
import mmap
import multiprocessing
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from verb_table import FUSED, Arguments, arrays

import deltanet as dn

CORE = Path(__file__).parents[1] / "src/deltanet/_core"
LARGE = (96, 128, 64, 5)  # every product goes through BLAS


def large_case(dtype="float64"):
    net = dn.MLP(LARGE, seed=0, dtype=dtype)
    return net, np.random.default_rng(0).standard_normal((64, LARGE[0]))


def core_sources(*suffixes):
    files = [path for path in sorted(CORE.rglob("*")) if path.suffix in suffixes]
    if not files:
        pytest.skip("the sources of the core are not beside this test")
    return files


def test_every_function_of_the_core_keeps_the_gil_released():
    """A cdef function without noexcept takes the GIL back at each call."""
    for path in core_sources(".pxd", ".pyx"):
        text = re.sub(r"\s+", " ", path.read_text())
        for head in re.findall(
            r"cdef (?:inline )?(?:void|floating)\**? \w+\([^:\"]*?(?::|cdef )", text
        ):
            assert re.search(r"noexcept( nogil|:| cdef )", head), (path.name, head)


def test_vtables_are_shared_by_modules_of_one_build_alone():
    """A cdef class in a .pxd is ABI that nothing checks: these two are compiled together, and in no wheel."""
    shared = [path.name for path in core_sources(".pxd") if "cdef class" in path.read_text()]
    assert shared == ["engine.pxd", "work.pxd"]


@pytest.mark.parametrize("sizes", [(1, 1), (1, 1, 1), (5, 1, 1, 4)])
def test_widths_of_one_and_no_samples(sizes):
    """lda = 0, &a[0, 0] of an empty array."""
    net = dn.MLP(sizes, seed=0)
    for N in (0, 1, 3):
        X = np.ones((N, sizes[0]))
        assert np.isfinite(net.jacobian_dense(X)).all()
        assert net.jacobian(X).to_dense().shape == (N, sizes[-1], net.num_params)


def test_poisoned_workspace_leaves_no_trace():
    """beta = 0 with NaN in C: a workspace full of NaN gives what a fresh one gives."""
    for dtype in ("float64", "float32"):
        net, X = large_case(dtype)
        fresh = net.jacobian_dense(X), net.input_jacobian(X)
        net.jacobian_dense(np.full_like(X, np.nan))
        out = np.full(fresh[1].shape, np.nan, dtype)
        np.testing.assert_array_equal(net.jacobian_dense(X), fresh[0])
        np.testing.assert_array_equal(net.input_jacobian(X, out=out), fresh[1])


@pytest.mark.skipif(sys.platform != "linux", reason="maps one page many times, as only Linux can")
def test_counts_beyond_2_to_the_31():
    """2.2e9 entries: offsets must not wrap. The result's memory is one 64 MB file, mapped over and over."""
    net = dn.MLP([1, 4096, 1], seed=0, dtype="float32")
    N = 2**31 // net.num_params + 6000
    nbytes, piece = 4 * N * net.num_params, 2**26
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    file = os.memfd_create("window")
    os.ftruncate(file, piece)
    anonymous = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE
    pieces = -(-nbytes // piece)
    base = libc.mmap(None, pieces * piece, 0, anonymous, -1, 0)
    try:
        for i in range(pieces):
            fixed = mmap.MAP_SHARED | 0x10  # MAP_FIXED
            at = libc.mmap(base + i * piece, piece, 3, fixed, file, 0)
            assert at == base + i * piece
        window = (ctypes.c_char * nbytes).from_address(base)
        out = np.frombuffer(window, np.float32).reshape(N, 1, net.num_params)
        X = np.zeros((N, 1), np.float32)
        X[-3:, 0] = 1, 2, 3
        net.jacobian_dense(X, out=out)
        np.testing.assert_allclose(out[-3:], net.jacobian_dense(X[-3:]), rtol=1e-5, atol=1e-6)
    finally:
        libc.munmap(ctypes.c_void_p(base), ctypes.c_size_t(pieces * piece))
        os.close(file)


def test_concurrent_products_of_every_kind():
    """Concurrent gemm calls in a threaded OpenBLAS have given wrong numbers (its issue 5836)."""
    for dtype in ("float64", "float32"):
        net, X = large_case(dtype)

        a = Arguments(net, X, wrt="last")
        names = [name for name in FUSED if not name.startswith("covariance, dense")]

        def work(_, net=net, a=a, names=names):
            return [array for name in names for array in arrays(FUSED[name](net, a))]

        expected = work(0)
        with ThreadPoolExecutor(4) as pool:
            for results in pool.map(work, range(8)):
                for result, right in zip(results, expected, strict=True):
                    np.testing.assert_array_equal(result, right)


METHODS = [m for m in ("spawn", "fork") if m in multiprocessing.get_all_start_methods()]


CHILD = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import numpy as np
import deltanet as dn

np.ones((600, 600)) @ np.ones((600, 600))
net = dn.MLP((96, 128, 64, 5), seed=0)
X = np.random.default_rng(0).standard_normal((64, 96))
J = net.jacobian_dense(X)
with ProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])) as pool:
    try:
        result = pool.submit(net.jacobian_dense, X).result(60)  # a dead child raises at once
    except TimeoutError:
        for child in multiprocessing.active_children():
            child.kill()
        raise
np.testing.assert_array_equal(result, J)
"""


@pytest.mark.parametrize("method", METHODS)
def test_child_process_after_blas_threads_started(method):
    """In an interpreter of its own: other packages of this one (JAX) have threads that no fork survives."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", CHILD, method], check=True, timeout=120)
