"""The JAX example of examples/doors: values and derivatives of a net in both directions, jit and vmap."""

import shutil
import sys

import numpy as np
import pytest
from door_tools import EXAMPLES, as_net, copied, include, need, run
from oracle import Case, assert_close

import deltanet as dn

SCRIPT = """
import runpy, sys, types
import jax, jax.numpy as jnp, numpy as np, deltanet as dn
sys.argv[1:] = ["./handlers.so"]  # the script registers them
door = types.SimpleNamespace(**runpy.run_path("deltanet_jax.py", run_name="__main__"))
net = dn.load("net.npz")
X, thetas, u = (jnp.asarray(np.load(name + ".npy"), net.dtype) for name in ("X", "thetas", "u"))
theta = thetas[0]
f, g = door.forward(net), door.reverse(net)
dx, dtheta = jax.jacfwd(f, argnums=1), jax.jacfwd(f, argnums=0)
loss = lambda f: lambda theta, x: jnp.sum(u * f(theta, x))
results = {
    "y": f(theta, X),
    "y jit": jax.jit(f)(theta, X),
    "y vmap": jax.vmap(f, (None, 0))(theta, X),
    "y vmap vmap": jax.vmap(lambda t: jax.vmap(lambda x: f(t, x))(X))(thetas),
    "y thetas": jax.jit(jax.vmap(g, (0, None)))(thetas, X),
    "y thetas x": jax.vmap(f)(thetas, X[:2]),
    "jx": jax.jit(jax.vmap(dx, (None, 0)))(theta, X),
    "jx rev": jax.vmap(jax.jacrev(g, argnums=1), (None, 0))(theta, X),
    "J": dtheta(theta, X),
    "J rev": jax.jacrev(g, argnums=0)(theta, X),
    "gradient": jax.jit(jax.grad(loss(g)))(theta, X),
    "gradients": jax.vmap(jax.grad(loss(g)), (0, None))(thetas, X),
    "empty": f(theta, X[:0]),
}
np.savez("done.npz", **results)
for derivative in (jax.grad(loss(f)), jax.jacfwd(jax.grad(loss(g))), jax.jacfwd(dx, argnums=1)):
    try:
        derivative(theta, X)
    except (TypeError, ValueError) as error:
        assert "autodiff" in str(error) or "differentiated" in str(error), error
    else:
        raise AssertionError("JAX has differentiated what it cannot")
for wrong in ((theta[1:], X), (theta, X[:, 1:]), (theta, X.astype("float16"))):
    try:
        jax.jit(f)(*wrong)
    except (ValueError, TypeError) as error:
        assert "theta" in str(error)
    else:
        raise AssertionError("a wrong argument was taken")
"""


@pytest.fixture(scope="module")
def handlers(tmp_path_factory):
    """The compiled handlers for XLA."""
    need("jax", compiler=True)
    folder = tmp_path_factory.mktemp("handlers")
    headers = run(sys.executable, "-c", "import jax; print(jax.ffi.include_dir())", cwd=folder)
    command = ["c++", "-std=c++17", "-shared", "-fPIC", "-O0", include(), f"-I{headers.strip()}"]
    source = str(EXAMPLES / "doors" / "jax_ffi" / "handlers.cc")
    run(*command, source, "-o", "handlers.so", cwd=folder)
    return folder / "handlers.so"


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-4)])
def test_derivatives(dtype, tolerance, handlers, tmp_path):
    folder = copied(tmp_path) / "jax_ffi"
    shutil.copy(handlers, folder)
    case, random = Case([3, 6, 2], ["tanh", "identity"], scaled=True), np.random.default_rng(5)
    case.rounded(np.float32)
    X, u = case.inputs(4), random.standard_normal((4, 2)).astype(np.float32).astype(float)
    thetas = np.stack([case.theta, np.roll(case.theta, 1)])
    dn.save(as_net(case).astype(dtype), folder / "net.npz")
    for name, array in {"X": X, "u": u, "thetas": thetas}.items():
        np.save(folder / f"{name}.npy", array)
    run(sys.executable, "-c", SCRIPT, cwd=folder)
    done = np.load(folder / "done.npz")
    y = np.stack([case.evaluate(X, theta)[0].real for theta in thetas])
    jx, J = case.input_jacobian(X), case.jacobian(X)
    gradient = np.einsum("nm,nmp->p", u, J)
    exact = {
        **dict.fromkeys(("y", "y jit", "y vmap"), y[0]),
        **dict.fromkeys(("y vmap vmap", "y thetas"), y),
        "y thetas x": np.stack([y[0, 0], y[1, 1]]),
        **dict.fromkeys(("jx", "jx rev"), jx),
        **dict.fromkeys(("J", "J rev"), J),
        "gradient": gradient,
        "empty": y[0, :0],
    }
    for name, value in exact.items():
        assert done[name].dtype == dtype
        assert_close(done[name], value, tolerance)
    assert_close(done["gradients"][0], gradient, tolerance)
    assert done["gradients"].shape == thetas.shape
