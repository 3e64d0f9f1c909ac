"""The formulas of the second derivatives in JAX, as structured.py has those of the first.

A_1 = W_1,   A_k = W_k diag(f'_{k-1}) A_{k-1}                             (N, n_k, n_0)
H_o = sum_k A_k^T diag(f''_k q_ko) A_k,   f'' = -2 h f',   q f' = delta     (N, m, n_0, n_0)
"""

from bench.structured import LAYOUTS, chain, forward, jax, jnp, output


def input_hessian(theta, X, layout, variant):
    """Of each output, the diagonals folded into one A, or as one product of three."""
    h = forward(theta, X)
    total, A = 0, None
    for k, d in enumerate(chain(theta, h, layout)):
        W, _ = theta[k]
        A = (
            jnp.broadcast_to(W, (len(X), *W.shape))
            if A is None
            else jnp.einsum("ji,sip->sjp", W, A)
        )
        curve = -2 * d * (h[k + 1][:, None] if LAYOUTS[layout] == "so" else h[k + 1][None])
        curve = curve if LAYOUTS[layout] == "so" else curve.transpose(1, 0, 2)
        if variant:
            scaled = curve[:, :, :, None] * A[:, None]  # (N, m, n, n_0)
            total += jnp.einsum("sonp,snq->sopq", scaled, A)
        else:
            pairs = A[:, :, :, None] * A[:, :, None, :]  # (N, n, n_0, n_0)
            flat = pairs.reshape(len(X), W.shape[0], -1)
            total += (curve @ flat).reshape(*curve.shape[:2], *pairs.shape[2:])
        A = (1 - h[k + 1] ** 2)[:, :, None] * A
    return total


def usual_hessian(theta, X, layout, variant):
    """jit(vmap(hessian))"""
    if layout != "flat" or variant:
        return None
    return jax.vmap(jax.hessian(lambda x: output(theta, x[None])[0]))(X)


def hvp(theta, X, layout, variant, u, v):
    """jax.jvp of jax.grad, or of a backward pass by hand"""
    if layout != "flat" or variant:
        return None
    return jax.jvp(jax.grad(lambda t: (u * output(t, X)).sum()), (theta,), (v,))[1]
