"""A net fitted to data: what is asked of Levenberg-Marquardt, and what comes back.

All of it runs in double precision, also for a float32 net: J^T J squares the condition number of J, and the 7
digits of float32 would leave nothing of the small singular values that the last steps are about.
"""

import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from deltanet import _validate
from deltanet._fit.descent import Baseline, Descent, Limits, Step
from deltanet._fit.outcome import Fit
from deltanet._fit.problem import Problem
from deltanet._fit.samples import Samples, Workers, samples
from deltanet._fit.scale import Units
from deltanet._fit.systems import blas_for
from deltanet._mlp import MLP
from deltanet._progress import reporting
from deltanet._types import Array, Executor, Progress, Seed, Wrt

if TYPE_CHECKING:
    from deltanet._fit.kept import Kept

# What a minimum explains at least of the variance of Y: a net that tells one sample apart from all others,
# which are the same to it, explains one over their number.
LEAST_EXPLAINED, MOST_ASKED, SAMPLES_APART = 1e-3, 0.05, 2

# After a worker has died
LOST = "what was fitted so far is lost: with checkpoint= the same call goes on from there"
KEPT = "the same call goes on from the last step that was kept"


def fit(
    net: MLP,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    wrt: Wrt = None,
    scale: Literal["auto"] | None = "auto",
    solver: Literal["auto", "direct", "cg"] = "auto",
    prior: ArrayLike = 0.0,
    validation: float | tuple[ArrayLike, ArrayLike] | None = None,
    patience: int = 20,
    max_iter: int = 500,
    tol: float = 1e-8,
    max_seconds: float = math.inf,
    damping: float = 1e-3,
    seed: Seed = 0,
    progress: Progress = None,
    callback: Callable[[Step, MLP], object] | None = None,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    retries: int = 0,
) -> Fit:
    """A copy of the net, fitted to (X, Y) by least squares: Levenberg-Marquardt.

    ``F(theta) = (1/2) sum_s w_s |f(x_s) - y_s|^2 + (1/2) sum_p prior_p theta_p^2``

    The net that is returned is never worse than the one that was given, which stays as it is.

    Parameters
    ----------
    net : MLP
        Where to start. A float32 net is fitted in double precision and rounded at the end.
    X : (N, n_0) array_like
    Y : (N, m) array_like
    sample_weight : (N,) array_like, optional
        w_s, at least 0: a weight of 2 counts a sample twice. One over the variance of its noise.
    wrt : optional
        The parameters to fit, all by default: see `Jacobian.restrict`. The others stay as they are.
    scale : {"auto", None}
        "auto": a net without scalings that does not beat the best constant gets them from the data before
        the first step: inputs, and outputs if the last activation is the identity, have mean 0 and standard
        deviation 1 inside of it, as with `MLP.standardized`. A side that is so already gets none. A net that
        explains some of the variance of Y, and half of what its outputs explain after the best shift and
        factor, was fitted before and is left as it is (if all its biases are zero, as those of a new net
        are, it has to explain 0.7); so is one of which `wrt` keeps some parameters only.
        `Fit.scaled` says what was done. F, `prior` and the history are in units of Y. None: no scalings.
    solver : {"auto", "direct", "cg"}
        How a step is computed. "direct": a Cholesky factorization of a matrix (P, P), or (N m, N m) if that
        is smaller. "cg": conjugate gradients on products J^T (J v), preconditioned by the diagonal and cut
        short by a tolerance that follows the gradient; there is no matrix, and memory is that of X, of some
        vectors of P numbers, and up to 256 MiB for what the passes share. "auto": the one of less
        arithmetic, and "cg" if the matrices exceed the memory available.
    prior : float or (P,) array_like
        The precision of a normal prior of mean zero on each parameter of the net, at least 0: weight decay.
    validation : float or (X, Y), optional
        Samples to stop by: a share of the given ones, drawn by `seed` and not fitted, or others. The net of
        the lowest ``(1/2) sum_s w_s |f(x_s) - y_s|^2`` on them is returned.
    patience : int
        Steps without a new lowest validation loss after which to stop.
    max_iter : int
        Trial steps at most.
    tol : float
        Stop where the gradient falls below ``tol |J| |r|``, a step below ``tol |theta|``, or both the actual
        and the predicted reduction of the loss below ``tol F``; and if that is no minimum, where they do so
        once more with each parameter damped in its own scale (see `Fit.converged`).
    max_seconds : float
        Begin no step after this time.
    damping : float
        mu of the first step, in units of the mean squared singular value of J.
    seed : int, numpy.random.Generator or None
        Draws the validation samples.
    progress : callable or bool, optional
        Called with (steps done, max_iter); True for a bar (extra: cli).
    callback : callable, optional
        Called with (step, net) after each trial step: a row of the history, and the net that runs, to read.
        A true value stops.
    executor : concurrent.futures.Executor or another object with `submit`, optional
        Its workers sum over ranges of the samples, one thread each, as in `MLP.ggn`. X, Y, `sample_weight`
        and the pair of `validation` may then be memory maps, Zarr or Dask arrays, and X and Y paths or lists
        of paths. The result is the same, to the last bit, for any executor, number of workers and kind of
        rows. A step takes some passes over the data, and each product of "cg" one. N m must be at least P
        for "direct"; a share for validation is drawn of arrays in memory only.
    checkpoint : str or os.PathLike, optional
        A folder that keeps where the fit is: the same call goes on from there after whatever has stopped it,
        to the same bits. It is written after a step if a second has passed, and a hundred times what the
        last writing took; and at the end, from when on the same call returns the same fit without a step.
        `max_iter`, `max_seconds`, `patience` and `tol` may be others then: `max_iter` and `max_seconds` count
        from the first start, and a fit that they have ended, or that ended by another `patience` or `tol`,
        goes on. All else must be as before, and also whether there is an executor; which one may change.
    retries : int
        How often a range is submitted again whose worker has died.

    Returns
    -------
    Fit

    Warns
    -----
    RuntimeWarning
        If it stopped at a plateau: `Fit.reason` is "plateau", and the message says what to try.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks one of these rules, holds NaN, or the loss of the net to start from is not
        finite; if the checkpoint is damaged, or that of another fit; if it is given where a share for
        validation is drawn by a seed that is not an integer.
    MemoryError
        If solver is "direct" and its matrices exceed the memory available.
    BlockingIOError
        If another job uses the checkpoint.
    RuntimeError
        If a worker dies, and `retries` is over.

    References
    ----------
    K. Madsen, H. B. Nielsen, O. Tingleff, "Methods for non-linear least squares problems" (2004);
    H. B. Nielsen, "Damping parameter in Marquardt's method" (1999);
    J. J. More, "The Levenberg-Marquardt algorithm: implementation and theory" (1978);
    S. C. Eisenstat, H. F. Walker, "Choosing the forcing terms in an inexact Newton method" (1996).

    Examples
    --------
    >>> import deltanet as dn, numpy as np
    >>> X = np.linspace(2000, 2024, 50)[:, None]
    >>> fit = dn.fit(dn.MLP([1, 8, 1], seed=0), X, 1e6 * np.sin(X / 4))
    >>> fit.scaled, bool(np.abs(fit.net(X) - 1e6 * np.sin(X / 4)).max() < 1e4)
    (('input', 'output'), True)
    """
    precision = _validate.prior(prior, net.num_params)
    _validate.scale(scale)
    if isinstance(wrt, Iterator):
        wrt = list[Any](wrt)  # it is read more than once
    limits = Limits(
        _validate.whole(patience, "patience", 1),
        _validate.whole(max_iter, "max_iter", 0),
        _validate.number(tol, "tol", above=0),
        _validate.number(max_seconds, "max_seconds", above=0),
        _validate.number(damping, "damping", above=0),
    )
    retries = _validate.whole(retries, "retries", 0)
    workers = Workers(executor, retries, LOST if checkpoint is None else KEPT)
    with (
        samples(net, X, Y, sample_weight, validation, seed, workers) as (data, held),
        np.errstate(over="ignore", invalid="ignore"),  # of a step too far, which is refused
    ):
        keeping = None
        if checkpoint is not None:
            from deltanet._fit import kept  # which few need

            more = {"scale": scale, "prior": precision, "damping": limits.damping}
            more["executor"] = executor is not None
            told = kept.asked(net, data, held, wrt, validation, seed, **more)
            keeping = partial(kept.opened, checkpoint, told)
        begin, sides = net, tuple[str, ...]()
        if scale and wrt is None and is_plain(net) and not data.beats_a_constant(net):
            begin, sides = data.scaled(net)
        found = descend(
            begin, data, held, precision, solver, wrt, limits, progress, callback, keeping
        )
        if sides:
            found = better(found, net, data, held, precision, sides)
        found = replace(found, _points=data.points(found.net))
    if found.reason == "plateau":
        warnings.warn(advice(found, scale), RuntimeWarning, stacklevel=2)
    return found


def is_plain(net: MLP) -> bool:
    """Whether the net has no scalings."""
    return net.input_scale is None and net.output_scale is None


def descend(
    begin: MLP,
    data: Samples,
    held: Samples | None,
    prior: float | Array,
    solver: str,
    wrt: Wrt,
    limits: Limits,
    progress: Progress,
    callback: Callable[[Step, MLP], object] | None,
    keeping: "Callable[[Problem], AbstractContextManager[Kept]] | None",
) -> Fit:
    """From this net down, in its own units."""
    units = Units(begin)
    out = held.judge(units) if held else None
    fitted = data.problem(units, prior / units.square, solver, wrt)
    with (
        blas_for(fitted.side),
        reporting(progress, limits.max_iter, "steps") as report,
        keeping(fitted) if keeping else nullcontext() as kept,
    ):
        descent = Descent(fitted, out, limits, baseline(data, units), units.square)
        if kept and kept.restore(descent):
            descent.go_on()
        else:
            descent.begin()
        reason = descent.run(report, callback, units.shown, kept.keep if kept else None)
        if kept and not descent.ended:
            kept.write(descent, reason)
        return result(descent, fitted, out or fitted, begin, reason, units)


def baseline(data: Samples, units: Units) -> Baseline:
    """The best constant, and what explains more than a constant, in the units of the fit."""
    share = max(LEAST_EXPLAINED, min(MOST_ASKED, SAMPLES_APART / max(data.counted(), 1)))
    constant = data.constant_loss(units)
    return Baseline(constant, (1 - share) * constant)


def result(
    descent: Descent, problem: Problem, judge: Problem, given: MLP, reason: str, units: Units
) -> Fit:
    """The best parameters in the given net's dtype, if rounding left them the better ones."""
    columns = zip(*descent.history, strict=True) if descent.history else [()] * len(Step._fields)
    history = {
        name: np.array(values, bool if name == "accepted" else float)
        for name, values in zip(Step._fields, columns, strict=True)
    }
    fitted = given.copy()
    problem.theta[:] = descent.best
    problem.put()
    loss = descent.best_loss
    fitted.params = problem.net.params
    if given.dtype != problem.net.dtype:
        loss = loss_at(problem, problem, fitted)
        if not loss_at(problem, judge, fitted) <= loss_at(problem, judge, given):
            fitted, loss = given.copy(), loss_at(problem, problem, given)
    constant = descent.baseline.constant
    explained = 1 - (loss - problem.penalty()) / constant if constant else math.nan
    return Fit(fitted, history, reason, descent.start, loss * units.square, explained, ())


def loss_at(problem: Problem, judge: Problem, net: MLP) -> float:
    """F of the judge, with this net's parameters."""
    problem.net.params[:] = net.params
    problem.theta[:] = problem.some(problem.net.params)
    return float(judge.loss())


def better(
    found: Fit,
    given: MLP,
    data: Samples,
    held: Samples | None,
    prior: float | Array,
    sides: tuple[str, ...],
) -> Fit:
    """What was found from a net that got scalings, if that is not worse than the given net is."""
    start = plain_loss(given, data, prior)
    new, old = found.loss, start
    if held is not None:
        new, old = (plain_loss(net, held, 0.0) for net in (found.net, given))
    if new <= old:
        return replace(found, start=start, scaled=sides)
    constant = data.constant_loss()
    explained = 1 - plain_loss(given, data, 0.0) / constant if constant else math.nan
    reason = "plateau" if found.converged else found.reason
    return Fit(given.copy(), found.history, reason, start, start, explained, ())


def plain_loss(net: MLP, data: Samples, prior: float | Array) -> float:
    """F of a net in units of Y; infinity if it is NaN."""
    F = 0.5 * (data.misfit(net) + float(np.sum(prior * net.params.astype(float) ** 2)))
    return math.inf if math.isnan(F) else F


def advice(found: Fit, scale: str | None) -> str:
    """What to say of a plateau."""
    net, tries = found.net, ["another seed"]
    if is_plain(net) and scale is None:
        tries.insert(0, "scale='auto'")
    elif net.input_scale is None:
        tries.insert(0, "inputs of mean 0 and deviation 1 (MLP.standardized)")
    if net.activations[-1] != "identity":
        tries.append(f"Y in the range of the last activation ({net.activations[-1]})")
    tries.append("a smaller prior, or more hidden units")
    rest = 1 - found.explained
    share = f"all but {rest:.1g}" if 0 < rest < 0.005 else f"{found.explained:.3g}"  # not "1"
    return (
        f"fit stopped at a plateau, not at a minimum: the net explains {share} of the variance "
        f"of Y. Try {', '.join(tries)}."
    )
