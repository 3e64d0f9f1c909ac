"""Dense rows and what least squares makes of them, in JAX, jitted whole (see structured.py)."""

from bench.structured import LAYOUTS, chain, forward, jax, output

if jax:
    import jax.numpy as jnp
    from jax.scipy.linalg import cho_factor, cho_solve


def blocks_of_rows(theta, h, layout):
    """delta_k (x) h_{k-1}, delta_k of each layer      (N, m, n_k, n_{k-1}), (N, m, n_k)"""
    N, m = len(h[0]), len(theta[-1][0])
    delta = chain(theta, h, layout)
    if LAYOUTS[layout] == "os":
        delta = [d.transpose(1, 0, 2) for d in delta]
    delta.append(jnp.broadcast_to(jnp.eye(m, dtype=h[0].dtype), (N, m, m)))
    pairs = zip(delta, h, strict=True)
    return [(d[..., None] * x[:, None, None, :], d) for d, x in pairs]


def dense_of(theta, h, layout):
    """The blocks side by side      (N, m, P)"""
    blocks = jax.tree.leaves(blocks_of_rows(theta, h, layout))
    return jnp.concatenate([D.reshape(*D.shape[:2], -1) for D in blocks], -1)


def jacobian_dense(theta, X, layout, variant):
    """Dense rows, as one array or as a tree of blocks like that of jax.jacrev"""
    return (blocks_of_rows if variant else dense_of)(theta, forward(theta, X), layout)


def squared(J, variant):
    """J^T J of rows (N m, P)"""
    return J.T @ J if variant else jnp.einsum("ri,rj->ij", J, J)


def ggn(theta, X, layout, variant):
    """J^T J      (P, P); the products take all the time, the layout of the chain none"""
    if layout != "flat":
        return None
    J = dense_of(theta, forward(theta, X), layout)
    return squared(J.reshape(-1, J.shape[-1]), variant)


def normal_equations(theta, X, layout, variant, R):
    """J^T J and J^T r"""
    if layout != "flat":
        return None
    J = dense_of(theta, forward(theta, X), layout)
    J = J.reshape(-1, J.shape[-1])
    return squared(J, variant), J.T @ R.ravel()


def blocks_of(vector, theta):
    """A vector of P numbers as a tree like theta."""
    blocks, start = [], 0
    for W, b in theta:
        pair = []
        for a in (W, b):
            pair.append(vector[start : start + a.size].reshape(a.shape))
            start += a.size
        blocks.append(tuple(pair))
    return blocks


def loss_of(theta, X, Y):
    return 0.5 * ((output(theta, X) - Y) ** 2).sum()


def levenberg_marquardt(theta, X, layout, variant, Y, mu):
    """One step: residual, dense J, J^T J + mu I, Cholesky, the new loss, and mu by the usual rule."""
    h = forward(theta, X)
    W, b = theta[-1]
    r = h[-1] @ W.T + b - Y
    J = dense_of(theta, h, layout)
    J = J.reshape(-1, J.shape[-1])
    A = squared(J, variant) + mu * jnp.eye(J.shape[-1], dtype=X.dtype)
    step = blocks_of(cho_solve(cho_factor(A, lower=True), -(J.T @ r.ravel())), theta)
    new = jax.tree.map(jnp.add, theta, step)
    before, after = 0.5 * (r**2).sum(), loss_of(new, X, Y)
    better = after < before
    theta = jax.tree.map(lambda a, b: jnp.where(better, a, b), new, theta)
    return theta, jnp.where(better, mu / 3, 2 * mu), jnp.where(better, after, before)


def conjugate_gradients(theta, X, layout, variant, Y, mu, iterations):
    """One step of truncated CG on (J^T J + mu I) p = -J^T r; J v and J^T u linearised once."""
    if layout != "flat":
        return None
    f = lambda t: output(t, X)  # noqa: E731
    if variant:
        y, push = jax.linearize(f, theta)
        transposed = jax.linear_transpose(push, theta)
    else:
        y, transposed = jax.vjp(f, theta)
        push = lambda v: jax.jvp(f, (theta,), (v,))[1]  # noqa: E731
    pull = lambda u: transposed(u)[0]  # noqa: E731
    add = lambda a, x, y: jax.tree.map(lambda x, y: a * x + y, x, y)  # noqa: E731
    dot = lambda x, y: sum(jnp.vdot(a, b) for a, b in zip(*map(jax.tree.leaves, (x, y))))  # noqa: B905, E731
    residual = jax.tree.map(jnp.negative, pull(y - Y))

    def iterate(_, state):
        p, residual, direction, rho = state
        image = add(mu, direction, pull(push(direction)))
        alpha = rho / dot(direction, image)
        p, residual = add(alpha, direction, p), add(-alpha, image, residual)
        new = dot(residual, residual)
        return p, residual, add(new / rho, direction, residual), new

    start = jax.tree.map(jnp.zeros_like, theta), residual, residual, dot(residual, residual)
    p = jax.lax.fori_loop(0, iterations, iterate, start)[0]
    theta = jax.tree.map(jnp.add, theta, p)
    return theta, loss_of(theta, X, Y)
