"""A net fitted to data: what is asked of Levenberg-Marquardt, and what comes back.

All of it runs in double precision, also for a float32 net: J^T J squares the condition number of J, and the 7
digits of float32 would leave nothing of the small singular values that the last steps are about.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deltanet import _validate
from deltanet._fit.descent import Descent, Limits, Step
from deltanet._fit.problem import Problem, problem
from deltanet._fit.systems import blas_for
from deltanet._mlp import MLP
from deltanet._plots import Points, points
from deltanet._progress import reporting

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Fit:
    """What `fit` returns.

    Attributes
    ----------
    net : MLP
        The fitted net, of the given net's dtype: of lowest loss, or of lowest loss on the held-out samples.
    history : dict of (steps,) ndarray
        One entry a trial step: `loss` after it, its `damping` mu, `gradient` |g| where it began, `accepted`,
        `validation` (the loss of the held-out samples; NaN without any), `seconds` since the start,
        `iterations` of conjugate gradients that it took (0 of a direct step).
    reason : str
        Why it stopped. "gradient", "loss", "step": by `tol`. "stalled": no damping gives a lower loss.
        "validation": `patience` is over. "max_iter", "seconds", "callback": as asked.
    start, loss : float
        F of the given net and of `net`, on the samples that were fitted.
    """

    net: MLP
    history: dict
    reason: str
    start: float
    loss: float
    _points: Points | None = None  # for `plot`

    @property
    def converged(self):
        """Whether `tol` was met."""
        return self.reason in ("gradient", "loss", "step")

    def __repr__(self):
        steps = len(self.history["loss"])
        return f"Fit(loss={self.loss:.6g} from {self.start:.6g}, steps={steps}, reason={self.reason!r})"

    def _repr_html_(self) -> str:
        from deltanet import _html

        return _html.fit(self)

    def plot(self, axes: "Sequence[Axes] | None" = None) -> NDArray[Any]:
        """Three pictures of the fit: the loss, the damping and the gradient over the steps; the residuals.

        The residuals f(x) - y of the samples that were fitted are drawn over f(x), for each output; those of
        several outputs in units of their root mean square. Of more than 2000 samples, 2000 are drawn.

        Parameters
        ----------
        axes : sequence of three matplotlib.axes.Axes, optional
            Axes to draw into; by default those of a new figure, which no window and no other figure knows.

        Returns
        -------
        (3,) ndarray of matplotlib.axes.Axes
            Labelled by `MLP.output_names` and `output_units`, if the net has them.

        Raises
        ------
        ValueError
            If there are not three axes.
        ImportError
            If matplotlib is missing (extra: plot).

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> fit = dn.fit(dn.MLP([1, 4, 1], seed=0), [[0.0], [1.0]], [[0.0], [1.0]])
        >>> fit.plot()[0].figure.savefig("fit.png")  # doctest: +SKIP
        """
        from deltanet import _plots

        return _plots.fit(self, axes)


def fit(
    net,
    X,
    Y,
    *,
    weights=None,
    prior=0.0,
    solver="auto",
    validation=None,
    patience=20,
    max_iter=500,
    tol=1e-8,
    max_seconds=math.inf,
    damping=1e-3,
    seed=0,
    progress=None,
    callback=None,
):
    """A copy of the net, fitted to (X, Y) by least squares: Levenberg-Marquardt.

    ``F(theta) = (1/2) sum_s w_s |f(x_s) - y_s|^2 + (1/2) sum_p prior_p theta_p^2``

    The net that is returned is never worse than the one that was given, which stays as it is.

    Parameters
    ----------
    net : MLP
        Where to start. A float32 net is fitted in double precision and rounded at the end.
    X : (N, n_0) array_like
    Y : (N, m) array_like
    weights : (N,) array_like, optional
        w_s, at least 0: a weight of 2 counts a sample twice. One over the variance of its noise.
    prior : float or (P,) array_like
        The precision of a normal prior of mean zero on each parameter, at least 0: weight decay.
    solver : {"auto", "direct", "cg"}
        How a step is computed. "direct": a Cholesky factorisation of a matrix (P, P), or (N m, N m) if that
        is smaller. "cg": conjugate gradients on products J^T (J v), preconditioned by the diagonal and cut
        short by a tolerance that follows the gradient; there is no matrix, and memory is that of X and some
        vectors of P numbers. "auto": the one of less arithmetic, and "cg" if the matrices exceed the memory
        available.
    validation : float or (X, Y), optional
        Samples to stop by: a share of the given ones, drawn by `seed` and not fitted, or others. The net of
        the lowest (1/2) sum_s w_s |f(x_s) - y_s|^2 on them is returned.
    patience : int
        Steps without a new lowest validation loss after which to stop.
    max_iter : int
        Trial steps at most.
    tol : float
        Stop where the gradient falls below ``tol |J| |r|``, a step below ``tol |theta|``, or both the actual
        and the predicted reduction of the loss below ``tol F``.
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

    Returns
    -------
    Fit

    Raises
    ------
    ValueError, TypeError
        If an argument breaks one of these rules, holds NaN, or the loss of the given net is not finite.
    MemoryError
        If solver is "direct" and its matrices exceed the memory available.

    References
    ----------
    K. Madsen, H. B. Nielsen, O. Tingleff, "Methods for non-linear least squares problems" (2004);
    H. B. Nielsen, "Damping parameter in Marquardt's method" (1999);
    S. C. Eisenstat, H. F. Walker, "Choosing the forcing terms in an inexact Newton method" (1996).

    Examples
    --------
    >>> import deltanet as dn, numpy as np
    >>> X = np.linspace(-3, 3, 50)[:, None]
    >>> fit = dn.fit(dn.MLP([1, 8, 1], seed=0), X, np.sin(X))
    >>> bool(np.abs(fit.net(X) - np.sin(X)).max() < 1e-2)
    True
    """
    X, Y = _validate.pair_of_data(net, X, Y)
    weights = _validate.sample_weights(weights, len(X))
    prior = _validate.prior(prior, net.num_params)
    limits = Limits(
        _validate.whole(patience, "patience", 1),
        _validate.whole(max_iter, "max_iter", 0),
        _validate.number(tol, "tol", above=0),
        _validate.number(max_seconds, "max_seconds", above=0),
        _validate.number(damping, "damping", above=0),
    )
    (X, Y, weights), held = split(net, X, Y, weights, validation, seed)
    work = net.astype("float64")
    held = held and Problem(work, *held, 0.0)
    fitted = problem(work, X, Y, weights, prior, solver)
    with (
        blas_for(fitted.side),
        np.errstate(over="ignore", invalid="ignore"),  # of a step too far, which is refused
        reporting(progress, limits.max_iter, "steps") as report,
    ):
        descent = Descent(fitted, held, limits)
        reason = descent.run(report, callback)
        found = result(descent, net, reason)
        return replace(found, _points=points(found.net, X, Y))


def split(net, X, Y, weights, validation, seed):
    """((X, Y, weights) to fit, (X, Y, weights) held out or None)."""
    if validation is None:
        return (X, Y, weights), None
    held = _validate.held_out(net, validation, len(X))
    if isinstance(held, tuple):
        return (X, Y, weights), (*held, None)
    order = np.random.default_rng(seed).permutation(len(X))
    return tuple(
        (X[part], Y[part], None if weights is None else weights[part])
        for part in (np.sort(order[held:]), np.sort(order[:held]))
    )


def result(descent, given, reason):
    """The best parameters in the given net's dtype, if rounding left them the better ones."""
    columns = zip(*descent.history, strict=True) if descent.history else [()] * len(Step._fields)
    history = {
        name: np.array(values, bool if name == "accepted" else float)
        for name, values in zip(Step._fields, columns, strict=True)
    }
    fitted, loss = given.copy(), descent.best_loss
    fitted.params = descent.best
    if given.dtype != descent.net.dtype:
        judge = descent.held or descent.problem
        loss = loss_at(descent.problem, fitted.params)
        if not loss_at(judge, fitted.params) <= loss_at(judge, given.params):
            fitted, loss = given.copy(), descent.start
    return Fit(fitted, history, reason, descent.start, loss)


def loss_at(problem, theta):
    """F of other parameters."""
    problem.theta[:] = theta
    return problem.loss()
