"""Every path through the core, on shapes at the edges of its loops: for .ci/valgrind to watch.

The tests say whether the numbers are right; this only visits, fast enough to be emulated.
"""

import sys

import numpy as np

import deltanet as dn

try:
    dn.show_config()
except ValueError as error:  # DELTANET_SIMD names what this processor lacks
    print("skipped:", error)
    sys.exit()

COUPLED = ("softmax", "log_softmax")
TYPES = ("float64", "float32")


def visit(net, N, threads=None):
    """Each call of the core, on N samples (None: on one, without its axis)."""
    random = np.random.default_rng(0)
    X = random.standard_normal(net.sizes[0] if N is None else (N, net.sizes[0])).astype(net.dtype)
    J = net.jacobian(X, threads=threads)
    results = [net(X, threads=threads), net.jacobian_dense(X, threads=threads)]
    results += [net.input_jacobian(X, threads=threads), J.to_dense(), J.input_jacobian()]
    results += [block for k in range(len(net.weights)) for block in (J.weight(k), J.bias(k))]
    results += [J.matvec(net.params, threads=threads), J.rmatvec(J.outputs, threads=threads)]
    results += [J.gram(threads=threads), J.gram(net.jacobian(X), threads=threads)]
    u, v = np.ones_like(results[0]), np.ones_like(net.params)
    results += [net.input_hessian(X, threads=threads), net.input_hessian(X, u, threads=threads)]
    results += [
        net.mixed_hessian(X, u, threads=threads).to_dense(),
        net.hvp(X, u, v, threads=threads),
    ]
    if N is None:
        results.append(net.jacobian_dense(X, out=np.empty(J.shape, net.dtype)))
    assert all(np.isfinite(result).all() for result in results)


def scaled(net):
    """The same net between affine scalings."""
    n, m = net.sizes[0], net.sizes[-1]
    scalings = (np.ones(n), np.full(n, 2.0), np.ones(m), np.full(m, 3.0))
    return dn.MLP.from_layers(net.weights, net.biases, net.activations, *scalings, dtype=net.dtype)


dn.register_activation(
    "own",
    np.tanh,
    lambda v: 1 - np.tanh(v) ** 2,
    lambda v: 2 * np.tanh(v) * (np.tanh(v) ** 2 - 1),
)
print("vector instructions:", dn.show_config(mode="dicts")["simd"])
for dtype in TYPES:
    for name in dn.testing.FORMULAS:
        spec = (name, 0.1, 0.2) if name == "threshold" else name
        net = dn.MLP((3, 19, 2), "tanh" if name in COUPLED else spec, spec, dtype=dtype, seed=0)
        visit(scaled(net), 5)
    for width in range(1, 18):  # every remainder of a vector loop
        visit(dn.MLP((width, width + 1, width), dtype=dtype, seed=0), 1)
    for sizes in ((4, 3), (1, 1), (2, 1, 6, 3, 1, 4), (70, 50, 60, 3), (1, 90, 40), (9, 80, 1)):
        for N in (None, 0, 1, 7):
            visit(dn.MLP(sizes, dtype=dtype, seed=0), N)
    visit(dn.MLP((4, 19, 2), "own", dtype=dtype, seed=0), None)
    visit(dn.MLP((4, 19, 2), "own", dtype=dtype, seed=0), 150, threads=2)
    for n_0 in (64, 67):  # inputs that stay in rows, in whole vectors and not
        net = dn.MLP((n_0, 9, 2), dtype=dtype, seed=0)
        X = np.ones((75, n_0), dtype)
        for wide in (net, scaled(net)):
            results = [wide.jvp(X, net.params), wide.vjp(X, wide(X)), wide.ggn_diagonal(X)]
            results += [factor for pair in wide.kfac(X) for factor in pair]
            assert all(np.isfinite(result).all() for result in results)
    net = dn.MLP((20, 60, 60, 4), dtype=dtype, seed=0)
    visit(net, 150, threads=2)  # several blocks
    row = net.num_params * 4 * net.dtype.itemsize
    X = np.ones((dn._machine.last_level_cache() // row + 1, 20), dtype)
    out = np.empty((len(X) * row + 64,), np.uint8)
    for shift in (0, 8):  # streaming stores, at an odd address too
        start = -out.ctypes.data % 64 + shift
        if start + len(X) * row <= out.size:
            J = out[start : start + len(X) * row].view(dtype).reshape(len(X), 4, -1)
            net.jacobian_dense(X, out=J)
            assert np.isfinite(J).all()
