"""deltanet: the full, factored Jacobian of a multi-layer perceptron."""

from deltanet import testing
from deltanet.config import __version__, show_config
from deltanet.io import load, save
from deltanet.jacobian import Jacobian
from deltanet.mlp import MLP

__all__ = ["MLP", "Jacobian", "__version__", "load", "save", "show_config", "testing"]
