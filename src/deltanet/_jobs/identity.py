"""What tells one job from another: a hash of its net, and the machine that its last bits depend on."""

from typing import TYPE_CHECKING

import numpy as np

from deltanet._config import show_config
from deltanet._rows import digest

if TYPE_CHECKING:
    from deltanet._mlp import MLP


def net_hash(net: "MLP") -> str:
    """A hash of theta, of the table of layers and of the scalings."""
    total = digest()
    table = net.sizes, net._pairs, net._kept.biases, net.dtype.str
    total.update(repr(table).encode())
    for pair in net._scaling:
        total.update(b"scaled" if pair else b"plain")
        for array in pair or ():
            total.update(array)
    total.update(np.ascontiguousarray(net.params))
    return str(total.hexdigest())


def environment() -> dict[str, str]:
    """The vector instructions and the BLAS: the last bits of a result depend on them, and on nothing else."""
    config = show_config(mode="dicts")
    return {name: config[name] for name in ("simd", "blas")}
