"""The factored formulas of deltanet written in JAX and jitted: the strongest peer, not the usual one.

    h_k = tanh(h_{k-1} W_k^T + b_k)                      k = 1 .. L-1
    delta_{L-1} = W_L * f'_{L-1},   delta_{k-1} = (delta_k W_k) * f'_{k-1},   f' = 1 - h^2
    delta_L = I, which every formula below uses without forming it

How XLA is told matters, differently for each net: rows as (N, m, n) in products of (N m, n), in batched
products, or as (m, N, n); sums as einsum or as an element-wise product and a sum. `Jax.fastest` in
peers.py tries all and keeps the fastest. LAYOUTS gives the order of the axes of a delta: sample and output.
A formula that a layout or a variant does not concern returns None there.
"""

try:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
except ImportError:
    jax = None

LAYOUTS = {"flat": "so", "batched": "so", "outputs first": "os"}
VARIANTS = (0, 1)


def forward(theta, X):
    """[X, h_1, ..., h_{L-1}]"""
    h = [X]
    for W, b in theta[:-1]:
        h.append(jnp.tanh(h[-1] @ W.T + b))
    return h


def output(theta, X):
    W, b = theta[-1]
    return forward(theta, X)[-1] @ W.T + b


def chain(theta, h, layout):
    """[delta_1, ..., delta_{L-1}], each (N, m, n) or (m, N, n)"""
    across = (slice(None), None) if LAYOUTS[layout] == "so" else (None,)
    W = theta[-1][0]
    delta = [(W if LAYOUTS[layout] == "so" else W[:, None]) * (1 - h[-1] ** 2)[across]]
    for (W, _), hk in zip(theta[-2:0:-1], h[-2:0:-1], strict=True):
        d = delta[-1]
        g = d @ W if layout == "batched" else (d.reshape(-1, len(W)) @ W).reshape(*d.shape[:2], -1)
        delta.append(g * (1 - hk**2)[across])
    return delta[::-1]


def squares(delta, rows, to, variant):
    """sum of delta^2 over the axes that `to` does not name"""
    if variant:
        return jnp.einsum(f"{rows}i,{rows}i->{to}", delta, delta)
    return jnp.einsum(f"{rows}i->{to}", delta**2)


def sizes_plus_one(h):
    return [(x**2).sum(-1) + 1 for x in h]


def row_norms_squared(theta, X, layout, variant):
    """sum_k |delta_k|^2 (|h_{k-1}|^2 + 1)      (N, m)"""
    h = forward(theta, X)
    *below, last = sizes_plus_one(h)
    total = last[:, None]
    for d, s in zip(chain(theta, h, layout), below, strict=True):
        total += squares(d, LAYOUTS[layout], "so", variant) * s[:, None]
    return total


def ggn_diagonal(theta, X, layout, variant):
    """(sum_o delta_k^2)^T h_{k-1}^2      (P,)"""
    h, m = forward(theta, X), len(theta[-1][0])
    blocks = []
    for d, x in zip(chain(theta, h, layout), h, strict=False):
        s = squares(d, LAYOUTS[layout], "si", variant)
        blocks += [(s.T @ x**2).ravel(), s.sum(0)]
    last = (h[-1] ** 2).sum(0)
    return jnp.concatenate([*blocks, jnp.tile(last, m), jnp.full(m, len(X), X.dtype)])


def kfac(theta, X, layout, variant):
    """[h_{k-1} 1]^T [h_{k-1} 1] / N and delta_k^T delta_k of each layer"""
    h, m, N = forward(theta, X), len(theta[-1][0]), len(X)
    B = [d.reshape(-1, d.shape[-1]) for d in chain(theta, h, layout)]
    B = [d.T @ d for d in B] + [N * jnp.eye(m, dtype=X.dtype)]
    if variant:
        extended = [jnp.concatenate([x, jnp.ones((N, 1), X.dtype)], 1) for x in h]
        return [(x.T @ x / N, b) for x, b in zip(extended, B, strict=True)]
    one = jnp.ones((1, 1), X.dtype)
    means = [x.sum(0)[None] / N for x in h]
    A = [jnp.block([[x.T @ x / N, s.T], [s, one]]) for x, s in zip(h, means, strict=True)]
    return list(zip(A, B, strict=True))


def gram(theta, X, layout, variant):
    """sum_k (delta_k delta_k^T) * (h_{k-1} h_{k-1}^T + 1)      (N, m, N, m)"""
    h, m, N = forward(theta, X), len(theta[-1][0]), len(X)
    delta = chain(theta, h, layout)
    eye = jnp.eye(m, dtype=X.dtype)

    def against_all(h_block, delta_block):
        """Rows of some samples against all."""
        rows = LAYOUTS[layout]
        other = rows.translate(str.maketrans("so", "tp"))
        total = jnp.einsum(f"st,op->{rows}{other}", h_block[-1] @ h[-1].T + 1, eye)
        for hb, x, db, d in zip(h_block, h, delta_block, delta, strict=False):
            pairs = db.reshape(-1, d.shape[-1]) @ d.reshape(-1, d.shape[-1]).T
            x = hb @ x.T + 1
            x = x[:, None, :, None] if rows == "so" else x[None, :, None, :]
            total += pairs.reshape(*db.shape[:2], *d.shape[:2]) * x
        return total if rows == "so" else total.transpose(1, 0, 3, 2)

    if not variant:
        return against_all(h, delta)
    if LAYOUTS[layout] == "os" or N % 16:
        return None
    blocks = jax.tree.map(lambda a: a.reshape(-1, 16, *a.shape[1:]), (h, delta))
    return jax.lax.map(lambda block: against_all(*block), blocks).reshape(N, m, N, m)


def covariance(theta, X, layout, variant):
    """s sum_k delta_k delta_k^T (|h_{k-1}|^2 + 1), one matrix a sample, s = 0.01      (N, m, m)"""
    h, m = forward(theta, X), len(theta[-1][0])
    *below, last = [0.01 * s for s in sizes_plus_one(h)]
    total = jnp.eye(m, dtype=X.dtype) * last[:, None, None]
    for d, s in zip(chain(theta, h, layout), below, strict=True):
        d = d if LAYOUTS[layout] == "so" else d.transpose(1, 0, 2)
        pairs = d @ d.transpose(0, 2, 1) if variant else (d[:, :, None] * d[:, None]).sum(-1)
        total += pairs * s[:, None, None]
    return total


def jacobian(theta, X, layout, variant):
    """y, the h and the deltas      (N, m), (N, n), (N, m, n)"""
    if variant:
        return None
    h = forward(theta, X)
    W, b = theta[-1]
    delta = chain(theta, h, layout)
    if LAYOUTS[layout] == "os":
        delta = [d.transpose(1, 0, 2) for d in delta]
    return h[-1] @ W.T + b, h[1:], delta


def input_jacobian(theta, X, layout, variant):
    """delta_1 W_1      (N, m, n_0)"""
    if variant:
        return None
    d, W = chain(theta, forward(theta, X), layout)[0], theta[0][0]
    if layout == "batched":
        return d @ W
    g = (d.reshape(-1, len(W)) @ W).reshape(*d.shape[:2], -1)
    return g if LAYOUTS[layout] == "so" else g.transpose(1, 0, 2)


def jvp(theta, X, layout, variant, v):
    """J v by jax.jvp, or with tangents by hand      (N, m)"""
    if layout != "flat":
        return None
    if variant:
        return jax.jvp(lambda t: output(t, X), (theta,), (v,))[1]
    h = X
    tangent = h @ v[0][0].T + v[0][1]
    for (W, b), (W_next, _), (V, c) in zip(theta[:-1], theta[1:], v[1:], strict=True):
        h = jnp.tanh(h @ W.T + b)
        tangent = h @ V.T + ((1 - h**2) * tangent) @ W_next.T + c
    return tangent


def vjp(theta, X, layout, variant, u):
    """J^T u by jax.vjp, or by hand; a tree like theta"""
    if layout != "flat":
        return None
    if variant:
        return jax.vjp(lambda t: output(t, X), theta)[1](u)[0]
    h, blocks = forward(theta, X), []
    for k in reversed(range(len(theta))):
        blocks.append((u.T @ h[k], u.sum(0)))
        u = (u @ theta[k][0]) * (1 - h[k] ** 2) if k else None
    return blocks[::-1]
