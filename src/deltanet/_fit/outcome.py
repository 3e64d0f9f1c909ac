"""What a fit returns: the net, how it got there, and why it stopped."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet._fit.descent import TOLERANCES
from deltanet._mlp import MLP


@dataclass(frozen=True, eq=False)
class Fit:
    """What `fit` returns.

    Attributes
    ----------
    net : MLP
        The fitted net, of the given net's dtype: of lowest loss, or of lowest loss on the held-out samples.
    history : dict of (steps,) ndarray
        One entry a trial step: `loss` after it, its `damping` mu, `gradient` ``|g|`` where it began,
        `accepted`, `validation` (the loss of the held-out samples; NaN without any), `seconds` since the
        start, `iterations` of conjugate gradients that it took (0 of a direct step).
    reason : str
        Why it stopped. "gradient", "loss", "step": by `tol`. "plateau": by `tol`, but this is not a minimum
        (see `converged`). "stalled": no damping gives a lower loss. "validation": `patience` is over.
        "max_iter", "seconds", "callback": as asked.
    start, loss : float
        F of the given net and of `net`, on the samples that were fitted.
    explained : float
        The share of the variance of Y that `net` explains, on these samples:
        ``1 - sum_s w_s |f(x_s) - y_s|^2`` over that of the best constant. NaN where Y is constant.
    scaled : tuple of str
        The sides that `scale="auto"` gave a scaling: of "input" and "output". Empty: the net had the scalings
        that it has now.
    """

    net: MLP
    history: dict[str, NDArray[Any]]
    reason: str
    start: float
    loss: float
    explained: float
    scaled: tuple[str, ...]

    @property
    def converged(self) -> bool:
        """Whether `tol` was met, at a minimum.

        A step of one parameter alone, ``g_p^2 / (2 A_pp)`` with A = J^T W J + Lambda, promises no more than
        ``100 tol F`` there; and the net explains more of the variance of Y than a constant does: more than
        ``max(0.001, min(0.05, 2 / N))``, as telling one sample of N apart from all others is worth 1 / N.
        Where Y itself is constant, `tol` alone decides.
        """
        return self.reason in TOLERANCES

    def __repr__(self) -> str:
        steps = len(self.history["loss"])
        sides = f", scaled={' and '.join(self.scaled)}" if self.scaled else ""
        return (
            f"Fit(loss={self.loss:.6g} from {self.start:.6g}, steps={steps}, "
            f"reason={self.reason!r}{sides})"
        )

    def plot(self, ax: Any = None) -> Any:
        """Loss, gradient and damping over the steps, on a logarithmic scale.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw into; by default those of a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is missing (extra: plot).

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> fit = dn.fit(dn.MLP([1, 4, 1], seed=0), [[0.0], [1.0]], [[0.0], [1.0]])
        >>> fit.plot().figure.savefig("fit.png")  # doctest: +SKIP
        """
        if ax is None:
            try:
                from matplotlib.figure import Figure
            except ModuleNotFoundError as error:
                raise ImportError(
                    "plot() needs the extra 'plot': pip install \"deltanet[plot]\""
                ) from error
            ax = Figure(layout="constrained").subplots()
        steps = np.arange(1, 1 + len(self.history["loss"]))
        ax.plot([0, *steps], [self.start, *self.history["loss"]], label="loss")
        if np.isfinite(self.history["validation"]).any():
            ax.plot(steps, self.history["validation"], label="validation loss")
        ax.plot(steps, self.history["gradient"], label="gradient", linewidth=1)
        ax.plot(steps, self.history["damping"], label="damping", linewidth=1, linestyle=":")
        refused = ~self.history["accepted"]
        ax.plot(steps[refused], self.history["loss"][refused], "x", color="C0", label="refused")
        ax.set(xlabel="step", yscale="log", title=f"stopped by: {self.reason}")
        ax.legend()
        return ax
