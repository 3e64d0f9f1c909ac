"""A net fitted to data by least squares.

`systems` has the damped linear systems, which `Jacobian.solve` shares; `problem` the sum of squares of a
net and its damped step; `descent` the walk downhill; `fit` and `residuals` what is called from outside.
"""

from deltanet._fit.fit import fit
from deltanet._fit.outcome import Fit
from deltanet._fit.residuals import residuals

__all__ = ["Fit", "fit", "residuals"]
