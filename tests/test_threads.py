"""Threads: nothing left behind, nothing started in vain. The same bits for any number: test_bits.py."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.linalg.blas  # the BLAS that threadpool_info is to find  # noqa: F401
from threadpoolctl import threadpool_info, threadpool_limits

import deltanet as dn
from deltanet import _machine


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def run(code, timeout=60, **env):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shift", [0, 1, 2, 3])
def test_streaming_stores_write_the_same_bits(dtype, shift):
    """A result beyond the last-level cache, its rows at any alignment, against plain products."""
    net = dn.MLP([7, 31, 5, 3], seed=0, dtype=dtype)
    row = 3 * net.num_params
    N = _machine.last_level_cache() // (row * net.dtype.itemsize) + 50
    X = np.random.default_rng(0).standard_normal((N, 7))
    buffer = np.full(N * row + 8, np.nan, dtype)
    out = buffer[shift : shift + N * row].reshape(N, 3, -1)
    J = net.jacobian(X)
    J.to_dense(out=out)
    blocks = [block.reshape(N, 3, -1) for k in range(3) for block in (J.weight(k), J.bias(k))]
    np.testing.assert_array_equal(out, np.concatenate(blocks, axis=-1))
    assert np.isnan(buffer[:shift]).all() and np.isnan(buffer[shift + N * row :]).all()
    np.testing.assert_array_equal(net.jacobian_dense(X, out=out), J.to_dense())


@pytest.mark.parametrize("before", [1, 2])
def test_blas_is_left_as_it_was_found(before):
    """Whichever thread ends last, and after an interrupt: BLAS was once left at one thread for good."""
    net = dn.MLP([20, 60, 60, 3], seed=0)
    X, short = np.random.default_rng(0).standard_normal((20_000, 20)), np.ones((300, 20))

    def interrupt(done, total):
        raise KeyboardInterrupt

    with threadpool_limits(before, user_api="blas"):
        for first, last in ((X, short), (short, X)):
            with ThreadPoolExecutor(2) as pool:
                for call in (net, net.kfac, net.ggn_diagonal):
                    ends = [pool.submit(call, each, threads=2) for each in (first, last)]
                    for end in ends:
                        end.result()
            assert set(blas_threads()) == {before}
        for call in (net.kfac, net.ggn_diagonal, net.row_norms_squared):
            with pytest.raises(KeyboardInterrupt):
                call(X, progress=interrupt)
            assert set(blas_threads()) == {before}


def test_overlapping_calls_restore_blas():
    before = blas_threads()
    net = dn.MLP([20, 60, 60, 3], seed=0)
    X = np.random.default_rng(0).standard_normal((400, 20))
    expected = net.jacobian_dense(X)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: net.jacobian_dense(X, threads=2), range(24)):
            np.testing.assert_array_equal(result, expected)
    assert blas_threads() == before


def worker_affinities(code):
    """What the kernel says of the threads of a process that runs `code`."""
    return run(
        f"""
import os, numpy as np, deltanet as dn
net, X = dn.MLP([20, 60, 3], seed=0), np.ones((4000, 20))
{code}
here = os.getpid()
for each in os.listdir("/proc/self/task"):
    if int(each) != here:
        print(len(os.sched_getaffinity(int(each))))
""",
        OPENBLAS_NUM_THREADS="1",
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the system has no affinities")
@pytest.mark.skipif(_machine.cores() < 2, reason="there is one core")
def test_workers_leave_the_caller_its_core():
    calls = "for _ in range(3): net.jacobian_dense(X, threads=2)"
    assert worker_affinities(calls) == [str(_machine.cores() - 1)]


def test_number_of_threads():
    before = dn.get_num_threads()
    try:
        dn.set_num_threads(3)
        assert dn.get_num_threads() == 3
    finally:
        dn.set_num_threads(before)
    code = "import deltanet as dn; print(dn.get_num_threads())"
    assert run(code, DELTANET_NUM_THREADS="5") == ["5"]
    assert run(code, DELTANET_NUM_THREADS="") == [str(_machine.cores())]


@pytest.mark.parametrize(
    "value, error", [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("x", TypeError)]
)
def test_messages(value, error):
    net = dn.MLP([3, 2], seed=0)
    for call in (dn.set_num_threads, lambda n: net([1, 2, 3], threads=n)):
        with pytest.raises(error, match="threads must be a positive integer; got"):
            call(value)


@pytest.mark.skipif(sys.platform != "linux", reason="counts the entries of /proc/self/task")
def test_no_thread_is_started_in_vain():
    code = """
import os, numpy as np, deltanet as dn
count = lambda: len(os.listdir("/proc/self/task"))
start, net = count(), dn.MLP([4, 8, 2], seed=0)
net.jacobian_dense(np.zeros((3, 4)))
print(count() - start)
dn.MLP([20, 60, 3], seed=0).jacobian_dense(np.zeros((4000, 20)), threads=2)
print(count() - start)
"""
    assert run(code) == ["0", "1"]


def test_more_threads_than_cores_end():
    """Threads that wait for each other, on fewer cores: a wide net's team, and blocks of a narrow one."""
    for sizes, N in (([300, 400, 300, 5], 16), ([20, 60, 3], 3000)):
        net, X = dn.MLP(sizes, seed=0), np.ones((N, sizes[0]))
        expected = net.vjp(X, np.ones((N, sizes[-1])), threads=1)
        for threads in (2, 8, 40):
            np.testing.assert_array_equal(
                net.vjp(X, np.ones((N, sizes[-1])), threads=threads), expected
            )


def test_kept_layers_that_skip_one_are_not_mixed():
    """Threads that share a block take turns of two buffers: layers 4 and 2 have the same one."""
    net = dn.MLP([21, 25, 24, 27, 33, 20], "sin", seed=0)
    J = net.jacobian(np.random.default_rng(0).standard_normal((8, 21))).restrict([0, 1, 2, 4])
    expected = J.gram_diagonal(threads=1)
    for _ in range(300):
        np.testing.assert_array_equal(J.gram_diagonal(threads=2), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_fork_after_the_pool_was_started():
    code = """
import os, warnings, numpy as np, deltanet as dn
warnings.simplefilter("ignore", DeprecationWarning)
net, X = dn.MLP([20, 60, 3], seed=0), np.ones((4000, 20))
expected = net.jacobian_dense(X, threads=2)
child = os.fork()
if child == 0:
    same = np.array_equal(net.jacobian_dense(X, threads=2), expected)
    os._exit(0 if same else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(code) == ["0"]


def test_calls_at_exit():
    code = """
import atexit, numpy as np, deltanet as dn
net, X = dn.MLP([20, 60, 3], seed=0), np.ones((4000, 20))
expected = net.jacobian_dense(X, threads=2)
atexit.register(lambda: print(np.array_equal(net.jacobian_dense(X, threads=2), expected)))
"""
    assert run(code) == ["True"]


def test_a_result_that_lives_until_the_end():
    """Its memory comes back when the names of the modules are gone: an error in that was printed."""
    code = """
import builtins, numpy as np, deltanet as dn
class Last:
    pass
last = Last()
last.J, last.numpy, last.self = dn.MLP([3, 50, 40], seed=0).jacobian(np.zeros((30, 3))), np, last
assert last.J.nbytes > 2**17
np.last = builtins.last = last
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize("level", ["baseline", "avx2", "avx512"])
def test_vector_instructions_can_be_chosen(level):
    code = "import deltanet as dn; print(dn.show_config('dicts')['simd'])"
    names = ("baseline", "avx2", "avx512")
    if names.index(level) > names.index(dn.show_config("dicts")["simd"]):
        pytest.skip(f"this processor has no {level}")
    assert run(code, DELTANET_SIMD=level) == [level]


WIDTHS = """
import hashlib
import numpy as np
import deltanet as dn

random = np.random.default_rng(0)
NETS = ((3, 50, 21, 4), 1000), ((37, 67, 33, 1), 211), ((130, 9, 3), 500), ((20, 70, 70, 6), 24)
for dtype in "float64", "float32":
    for sizes, N in NETS:
        net = dn.MLP(sizes, activation="relu", seed=0, dtype=dtype)
        X, R = random.standard_normal((N, sizes[0])), random.standard_normal((N, sizes[-1]))
        found = [net(X), net.jacobian_dense(X[:50]), net.input_jacobian(X), net.vjp(X, R)]
        found += [net.jvp(X, net.params), net.ggn_diagonal(X), *net.jacobian(X).deltas[:-1]]
        found += [net.gram(X[:90]), net.gram(X[:90], X[90:103])]
        found += [factor for pair in net.kfac(X) for factor in pair]
        print(hashlib.sha256(b"".join(f.tobytes() for f in found)).hexdigest())
"""


def test_products_do_not_depend_on_the_width_of_the_vectors():
    """Each number is one chain of multiply-adds (tile.h); f and f' of relu have no rounding."""
    if dn.show_config("dicts")["simd"] != "avx512":
        pytest.skip("this processor has no avx512")
    assert run(WIDTHS, DELTANET_SIMD="avx2") == run(WIDTHS, DELTANET_SIMD="avx512")
