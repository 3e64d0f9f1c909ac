"""Sums over data of any length, block by block: X may be a memory map.

Each block's factors are made, used and dropped, so the memory needed does not grow with N.
"""

from contextlib import contextmanager

import numpy as np

from deltanet import _validate, curvature, products

BLOCK = 2**23  # bytes of a block's factors


def blocks(net, X, progress, *companions):
    """(Jacobian, companion rows ...) of consecutive blocks of X."""
    X = _validate.table(X, net.sizes[0])
    for name, array in companions:
        if array is not None and np.shape(array)[:1] != X.shape[:1]:
            raise ValueError(
                f"{name} must have one row for each of {len(X)} samples; got shape {np.shape(array)}"
            )
    numbers = sum(net.sizes) + net.sizes[-1] * sum(net.sizes[1:])
    step = max(1, BLOCK // (numbers * net.dtype.itemsize))
    with reporting(progress, len(X)) as report:
        for start in range(0, len(X), step):
            part = slice(start, start + step)
            rows = [None if array is None else array[part] for _, array in companions]
            yield net.jacobian(X[part]), *rows
            report(min(start + step, len(X)))


@contextmanager
def reporting(progress, total, unit="samples"):
    """A function of what is done: the caller's callback (done, total), a bar, or nothing."""
    if callable(progress):
        yield lambda done: progress(done, total)
    elif not progress:
        yield lambda done: None
    else:
        try:
            from rich.progress import Progress
        except ModuleNotFoundError as error:
            raise ImportError(
                "progress=True needs the extra 'cli': pip install \"deltanet[cli]\""
            ) from error
        with Progress(transient=True) as bar:
            task = bar.add_task(unit, total=total)
            yield lambda done: bar.update(task, completed=done)


def ggn(net, X, R, H, wrt, progress):
    """J^T H J, and with R also J^T H R, in one pass."""
    upper = None
    gradient = np.zeros(net.num_params, net.dtype)
    for J, r, weights in blocks(net, X, progress, ("R", R), ("H", H)):
        weights = J.check_weights(weights)
        upper = curvature.ggn(J, weights, wrt, upper)
        if r is not None:
            r = J.like_outputs(r, "R")
            products.accumulate(J, r if weights is None else weigh(weights, r), gradient, None)
    if upper is None:
        upper = curvature.ggn(net.jacobian(np.empty((0, net.sizes[0]))), None, wrt)
    A = curvature.symmetric(upper)
    return A if R is None else (A, curvature.columns(gradient, net.sizes, wrt))


def weigh(H, r):
    """H r for each sample."""
    return H[:, None] * r if H.ndim == 1 else np.einsum("sop,sp->so", H, r)


def gradient(net, X, R, progress):
    """J^T R."""
    result = np.zeros(net.num_params, net.dtype)
    for J, r in blocks(net, X, progress, ("R", R)):
        products.accumulate(J, J.like_outputs(r, "R"), result, None)
    return result


def ggn_diagonal(net, X, H, wrt, progress):
    """The diagonal of J^T H J."""
    result = 0
    for J, weights in blocks(net, X, progress, ("H", H)):
        result = result + curvature.ggn_diagonal(J, J.check_weights(weights), wrt)
    if isinstance(result, int):
        return curvature.ggn_diagonal(net.jacobian(np.empty((0, net.sizes[0]))), None, wrt)
    return result
