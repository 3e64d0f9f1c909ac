"""What a fit returns: the net, how it got there, and why it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deltanet._fit.descent import TOLERANCES
from deltanet._mlp import MLP
from deltanet._plots import Points

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
        One entry a trial step: `loss` after it, its `damping` mu, `gradient` ``|g|`` where it began,
        `accepted`, `validation` (the loss of the held-out samples; NaN without any), `seconds` since the
        start (those in which it ran, with `checkpoint`), `iterations` of conjugate gradients that it took (0
        of a direct step).
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
    _points: Points | None = None  # for `plot`

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

    def _repr_html_(self) -> str:
        from deltanet import _html

        return _html.fit(self)

    def plot(self, axes: Sequence[Axes] | None = None) -> NDArray[np.object_]:
        """Three pictures of the fit: the loss, the damping and the gradient over the steps; the residuals.

        The residuals f(x) - y of the samples that were fitted are drawn over f(x), for each output; those of
        several outputs in units of their root mean square. At most 2000 samples are drawn, and at most 20000
        points: the fit keeps no others.

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
