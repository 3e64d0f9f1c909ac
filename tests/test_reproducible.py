"""`reproducible=True`: the bits of a sample's part of a result depend on no other sample."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import deltanet as dn

SIZES = ((4, 32, 32, 2), (1, 10, 1), (3, 5, 2), (40, 17, 5), (8, 64, 64, 3), (67, 9, 2))
DTYPES = "float64", "float32"
OUTPUTS = "identity", "softmax"
SAMPLES = 300  # of the batch that all others are compared with
BATCHES = 1, 2, 3, 8, 17, 100
STARTS = 0, 5, 199


def parts(net, X, **options):
    """{name: what has one row a sample} of every call that takes `reproducible`."""
    J = net.jacobian(X, **options)
    y, Jx, linearized = net.linearize(X, **options)
    v = np.linspace(-1, 1, net.num_params)
    found = {
        "call": net(X, **options),
        "outputs": J.outputs,
        "dense": net.jacobian_dense(X, **options),
        "dense, last layer": net.jacobian_dense(X, wrt="last", **options),
        "input_jacobian": net.input_jacobian(X, **options),
        "linearize, y": y,
        "linearize, dy/dx": Jx,
        "jvp": net.jvp(X, v, **options),
        "row_norms_squared": net.row_norms_squared(X, **options),
        "covariance, number": net.covariance(X, 0.5, **options),
        "covariance, diagonal": net.covariance(X, v * v, **options),
    }
    kfac = net.kfac(np.linspace(-1, 1, 30 * net.sizes[0]).reshape(30, -1))
    for name, Sigma in (("", kfac), (", damped", kfac.damped(0.1).inverse())):
        found[f"covariance, Kronecker{name}"] = net.covariance(X, Sigma, **options)
    low_rank = np.stack([v, v * v], axis=1)
    found["covariance, low rank"] = net.covariance(X, low_rank, **options)
    if net.num_params < 300:
        Sigma = np.eye(net.num_params) + np.outer(v, v)
        found["covariance, dense"] = net.covariance(X, Sigma, **options)
    for k, arrays in enumerate(zip(J.deltas, J.inputs, linearized.deltas, strict=True)):
        names = f"delta{k}", f"input{k}", f"linearize, delta{k}"
        found |= dict(zip(names, arrays, strict=True))
    return found


def differing(sizes, dtype, output, **options):
    """{(name, samples beside it)} whose bits are not those of the same samples in the largest batch."""
    net = dn.MLP(sizes, output=output, seed=0, dtype=dtype)
    X = np.random.default_rng(0).standard_normal((SAMPLES, sizes[0]))
    expected, found = parts(net, X, **options), set()
    for N in BATCHES:
        for start in STARTS:
            some = slice(start, start + N)
            for name, part in parts(net, X[some], **options).items():
                if not np.array_equal(part, expected[name][some]):
                    found.add((name, N))
    alone = parts(net, X[7], **options)
    found |= {(name, "()") for name in alone if not np.array_equal(alone[name], expected[name][7])}
    return found


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_bits_do_not_depend_on_the_batch(sizes, dtype, output):
    assert not differing(sizes, dtype, output, reproducible=True)


def test_by_default_a_lone_sample_may_differ():
    # Else the option, and the sentences on it, could go
    found = differing((8, 64, 64, 3), "float64", "identity", reproducible=False)
    assert ("call", 1) in found


def test_it_is_the_same_function():
    net = dn.MLP((8, 64, 64, 3), seed=0)
    X = np.random.default_rng(0).standard_normal((5, 8))
    default, reproducible = parts(net, X), parts(net, X, reproducible=True)
    for name, value in default.items():
        np.testing.assert_allclose(reproducible[name], value, rtol=1e-12, atol=1e-12)


def test_without_register_tiles():
    # by BLAS, whose bits depend on how many columns a product has: seen with float32
    environment = os.environ | {"DELTANET_SIMD": "baseline"}
    folder = Path(__file__).parent
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); import test_reproducible as t; t.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["baseline", *["same"] * len(SIZES)]


def main():
    """What the last test runs with other vector instructions."""
    from deltanet._core.context import simd

    print(simd())
    for sizes in SIZES:
        found = differing(sizes, "float32", "identity", reproducible=True)
        print(f"{sizes}: {sorted(map(str, found))}" if found else "same")
