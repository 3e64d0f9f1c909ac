"""neural-tangents' structured NTK in a process of its own: it needs jax==0.4.25, in its own environment.

    python -m venv build/ntk
    build/ntk/bin/pip install jax==0.4.25 jaxlib==0.4.25 neural-tangents==0.6.5 "numpy<2" "scipy<1.13"

`Peer` starts this file with that interpreter (or the one that DELTANET_BENCH_NTK names), and asks it for
times line by line.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


class Peer:
    """The kernel of one case; `batch` is the other process's own clock."""

    def __init__(self, case):
        python = os.environ.get("DELTANET_BENCH_NTK") or "build/ntk/bin/python"
        if not Path(python).exists():
            raise FileNotFoundError(f"there is no {python}: see the first lines of bench/ntk.py")
        self.folder = tempfile.TemporaryDirectory(prefix="deltanet-bench-")
        blocks = {f"W{k}": W for k, W in enumerate(case.net.weights)}
        blocks |= {f"b{k}": b for k, b in enumerate(case.net.biases)}
        np.savez(Path(self.folder.name, "case.npz"), X=case.X, **blocks)
        self.process = subprocess.Popen(
            [python, __file__, self.folder.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        json.loads(self.process.stdout.readline())

    def __call__(self):
        self.batch(0)
        return np.load(Path(self.folder.name, "kernel.npy"))

    def batch(self, seconds):
        """Median seconds of a call in a loop of its own, of which the second half counts."""
        print(seconds, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def serve(folder):
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    import neural_tangents as nt

    data = np.load(Path(folder, "case.npz"))
    layers = sum(name.startswith("W") for name in data.files)
    theta = [(jnp.asarray(data[f"W{k}"].T), jnp.asarray(data[f"b{k}"])) for k in range(layers)]

    def forward(theta, x):
        *hidden, (W, b) = theta
        for V, c in hidden:
            x = jnp.tanh(jnp.dot(x, V) + c)
        return jnp.dot(x, W) + b

    structured = nt.NtkImplementation.STRUCTURED_DERIVATIVES
    kernel = nt.empirical_ntk_fn(forward, trace_axes=(), vmap_axes=0, implementation=structured)
    kernel, X = jax.jit(kernel, static_argnums=1), jnp.asarray(data["X"])
    result = kernel(X, None, theta).block_until_ready()
    np.save(Path(folder, "kernel.npy"), np.asarray(result).transpose(0, 2, 1, 3))
    print(0, flush=True)
    for line in sys.stdin:
        times, start = [], time.perf_counter()
        while not times or time.perf_counter() < start + float(line):
            before = time.perf_counter()
            kernel(X, None, theta).block_until_ready()
            times.append(time.perf_counter() - before)
        print(np.median(times[len(times) // 2 :]), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
