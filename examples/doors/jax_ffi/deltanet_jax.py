"""A deltanet net as a function of JAX on the CPU, f(theta, x), under jit and vmap and with its derivatives.

XLA calls deltanet's C functions: handlers.cc says how it is compiled. JAX cannot look into such a call,
and so cannot transpose its derivative. Each direction of differentiation is a function of its own:

    forward(net)   for jvp, jacfwd, linearize     jax.custom_jvp with deltanet's jvp
    reverse(net)   for grad, vjp, jacrev          jax.custom_vjp with deltanet's vjp

Derivatives are of first order: JAX raises an error for a derivative of these, and for the other direction.
x is (n_0,), or (N, n_0), which is one call and faster than vmap. theta and x have the net's dtype: for a
float64 net, set jax_enable_x64. JAX may still be computing when a call has returned: keep the net until its
results are there (jax.block_until_ready).

    python deltanet_jax.py handlers.so
"""

import ctypes
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np

import deltanet as dn


def register(library):
    """Tell XLA of the handlers in a compiled library; once."""
    handlers = ctypes.CDLL(library)
    for name in ("eval", "jvp", "vjp", "eval_f", "jvp_f", "vjp_f"):
        capsule = jax.ffi.pycapsule(getattr(handlers, f"handle_{name}"))
        jax.ffi.register_ffi_target(f"deltanet_{name}", capsule, platform="cpu")


def call(net, name, results, *arrays):
    """A C function of the net by name, as a call of XLA whose results are like those arrays."""
    name += "" if net.dtype == np.float64 else "_f"
    functions = net.c_functions
    return jax.ffi.ffi_call(f"deltanet_{name}", results, vmap_method="broadcast_all")(
        *arrays,
        net=np.int64(net.c_address),
        function=np.int64(functions[name]),
        work_size=np.int64(functions["work_size"]),
    )


def evaluate(net, theta, x):
    """y (..., m) at theta (P,) and x (..., n_0)."""
    n_0, *_, m = net.sizes
    if theta.shape != (net.num_params,) or x.ndim not in (1, 2) or x.shape[-1] != n_0:
        raise ValueError(
            f"theta must have shape ({net.num_params},) and x (N, {n_0}) or ({n_0},); "
            f"got {theta.shape} and {x.shape}"
        )
    if theta.dtype != net.dtype or x.dtype != net.dtype:
        raise TypeError(f"theta and x must be {net.dtype}; got {theta.dtype} and {x.dtype}")
    return call(net, "eval", jax.ShapeDtypeStruct((*x.shape[:-1], m), net.dtype), theta, x)


def forward(net):
    """f(theta, x) with derivatives in the forward direction: a change of y for a change of theta and x."""
    f = jax.custom_jvp(functools.partial(evaluate, net))

    @f.defjvp
    def jvp(at, along):
        y = f(*at)
        return y, call(net, "jvp", y, *at, *along)

    return f


def reverse(net):
    """f(theta, x) with derivatives in the reverse direction: gradients by theta and x for one by y."""
    f = jax.custom_vjp(functools.partial(evaluate, net))
    f.defvjp(
        lambda theta, x: (f(theta, x), (theta, x)),
        lambda at, u: tuple(call(net, "vjp", at, *at, u)),
    )
    return f


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    register(sys.argv[1])
    net = dn.MLP([4, 32, 32, 2], activation="tanh", seed=0)
    theta, X = jnp.asarray(net.params), jnp.ones((5, 4))

    @jax.jit
    def loss(theta):
        return jnp.sum(reverse(net)(theta, X) ** 2)

    print("dloss/dtheta", jax.grad(loss)(theta)[:3], "...")
    print("dy/dx", jax.vmap(jax.jacfwd(forward(net), argnums=1), (None, 0))(theta, X)[0], sep="\n")
