"""The rates that a floor is made of, measured in the run that uses them: the best of what there is.

multiply_adds : a second, of one large product through SciPy, on all threads
activation : seconds an element of tanh, by the fastest of deltanet, NumPy and JAX, on all threads
bytes_stored : a second, by streaming stores, on all threads
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

import deltanet as dn
from bench import floor
from bench.structured import jax
from bench.timing import batch

THREADS = dn.get_num_threads()
REPEATS = 3


def best(call, seconds=0.2):
    return min(batch(call, seconds) for _ in range(REPEATS))


class Rates:
    """Of one dtype. `update` measures once more and keeps the better of each."""

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)
        self.tanh = {}
        self.seconds = {}
        self.calls = {"product": self.product(2048), "stores": self.stores(64 << 20)}
        self.update()

    def update(self):
        for name, call in self.calls.items():
            self.seconds[name] = min(best(call), self.seconds.get(name, np.inf))
        for rows in (512, 2048, 8192):
            for name, call in self.activations(rows).items():
                seconds = best(call, 0.1) / (64 * rows)
                self.tanh[name] = min(seconds, self.tanh.get(name, np.inf))
        self.multiply_adds = 2048**3 / self.seconds["product"]
        self.bytes_stored = (64 << 20) / self.seconds["stores"]
        self.activation = min(self.tanh.values())

    def product(self, n):
        gemm, a = floor.products(self.dtype)[0], floor.array(n, n, self.dtype)
        b, c = a.copy(order="F"), a.copy(order="F")
        return lambda: gemm(1, a, b, beta=0, c=c, overwrite_c=True)

    def stores(self, nbytes):
        return floor.Stream()(np.ones(nbytes, np.uint8), THREADS)

    def activations(self, rows):
        """tanh of (rows, 64) numbers. deltanet's stands between two layers of one product an element each."""
        x = np.random.default_rng(0).standard_normal((rows, 64)).astype(self.dtype)
        y, first = np.empty_like(x), np.ascontiguousarray(x[:, :1])
        pool = ThreadPoolExecutor(THREADS)
        parts = list(zip(np.array_split(x, THREADS), np.array_split(y, THREADS), strict=True))
        net = dn.MLP([1, 64, 1], dtype=str(self.dtype), seed=0)
        calls = {
            "deltanet": lambda: net(first),
            "NumPy": lambda: list(pool.map(lambda part: np.tanh(part[0], out=part[1]), parts)),
        }
        if jax:
            f, jx = jax.jit(jax.numpy.tanh), jax.numpy.array(x)
            calls["JAX"] = lambda: f(jx).block_until_ready()
        return calls

    def row(self):
        return {
            "one large product": f"{2e-9 * self.multiply_adds:.3g} GFLOP/s",
            "stores": f"{1e-9 * self.bytes_stored:.3g} GB/s",
        } | {f"tanh, {name}": f"{1e9 * t:.3g} ns" for name, t in self.tanh.items()}
