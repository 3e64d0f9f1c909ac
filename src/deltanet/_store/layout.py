"""What lies where in a store: arrays, blocks, chunks, and the words that tell a stranger what they are.

::

    zarr.json                     a group: its attributes say what the store is, and of which job
    outputs/                      (N, m)
    delta0/, input0/, delta1/...  (N, m, n_1), (N, n_0), ...: the factors of each layer
    jacobian/                     (N, m, P) or (N, m, n_0), in place of the factors
    done/                         (blocks,): 0, or a hash of the rows of X of a block that is finished
    net/                          the net: what `save` writes, as arrays and attributes

Only the first axis is cut: a chunk of an array holds one block of samples, in its bytes as they are. The last
block is filled up with NaN. `done` has a chunk for each block, written behind all others of the block.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any

from deltanet import _limits
from deltanet._params import offsets
from deltanet._types import DType, Shape

FORMAT_VERSION = 1
FORMS, WRT = ("factors", "dense", "outputs"), ("params", "inputs")
DONE, NET, DOCUMENT = "done", "net", "zarr.json"
SAMPLE = "sample"  # the name of the first axis

ABOUT = (
    "Written by deltanet {version} (Python). A neural network, a multi-layer perceptron, was evaluated at "
    "{samples} samples. {holds} Axis 0 of each array is the sample. The network itself lies in the group "
    "net. The samples are computed in blocks of {rows}: `done` has an entry for each block, which is 0 as "
    "long as the block is not finished; until then its rows are NaN or must not be used."
)
HOLDS = {
    "factors": (
        "The derivatives of its outputs by its parameters are kept in factors: of output o of sample s by "
        "W[j, i] of layer k it is delta<k>[s, o, j] * input<k>[s, i], and by b[j] it is delta<k>[s, o, j]."
    ),
    "dense": "The derivatives of its outputs are in the array jacobian, (sample, output, variable).",
    "outputs": "Its outputs are kept.",
}


@dataclass(frozen=True)
class Member:
    """One array: of a sample it has this shape."""

    shape: Shape
    axes: tuple[str, ...]
    about: str


@dataclass(frozen=True)
class Layout:
    """The arrays of a store, and how the samples are cut into blocks."""

    form: str
    wrt: str
    sizes: tuple[int, ...]
    biases: tuple[bool, ...]
    dtype: DType
    samples: int
    rows: int  # of a block

    @property
    def members(self) -> dict[str, Member]:
        """The arrays that have a row for each sample, by name."""
        n, m = self.sizes, self.sizes[-1]
        found = {"outputs": Member((m,), ("output",), "y, the outputs")}
        if self.form == "factors":
            for k, (n_in, n_out) in enumerate(pairwise(n)):
                about = f"dy/dv of layer {k}, v being what its activation is given"
                found[f"delta{k}"] = Member((m, n_out), ("output", f"unit{k + 1}"), about)
                about = f"what layer {k} is given" + " (x after the input scaling)" * (k == 0)
                found[f"input{k}"] = Member((n_in,), (f"unit{k}",), about)
        elif self.form == "dense" and self.wrt == "inputs":
            found["jacobian"] = Member((m, n[0]), ("output", "input"), "dy/dx")
        elif self.form == "dense":
            P, about = (
                offsets(n, self.biases)[-1],
                "dy/dtheta; theta: W row by row, b, layer by layer",
            )
            found["jacobian"] = Member((m, P), ("output", "parameter"), about)
        return found

    @property
    def blocks(self) -> int:
        """How many."""
        return -(-self.samples // self.rows)

    @property
    def block_bytes(self) -> int:
        """Bytes of one block in all arrays."""
        return self.rows * sample_bytes(self.members, self.dtype)

    @property
    def piece_rows(self) -> int:
        """Rows of a block that are computed and written at once, as they stay in the cache then."""
        one = _limits.PIECE_MULTIPLE * sample_bytes(self.members, self.dtype)
        return min(self.rows, max(1, _limits.STORED_PIECE_BYTES // one) * _limits.PIECE_MULTIPLE)

    def span(self, block: int) -> slice:
        """The samples of a block."""
        return slice(block * self.rows, min((block + 1) * self.rows, self.samples))

    def keys(self, block: int) -> dict[str, str]:
        """Where the chunks of a block lie, by the name of the array."""
        return {name: chunk(name, block, len(m.shape)) for name, m in self.members.items()}


def chunk(name: str, block: int, more: int) -> str:
    """The key of a chunk, as Zarr v3 has them by default: of a block, and the only one of `more` axes."""
    return "/".join([name, "c", str(block), *["0"] * more])


def done_key(block: int) -> str:
    """The key of the entry of a block in `done`."""
    return chunk(DONE, block, 0)


def sample_bytes(members: dict[str, Member], dtype: DType) -> int:
    """Bytes of one sample in all arrays."""
    return sum(prod(member.shape) for member in members.values()) * dtype.itemsize


def planned(
    form: str,
    wrt: str,
    sizes: Sequence[int],
    biases: Sequence[bool],
    dtype: DType,
    samples: int,
    rows: int | None,
) -> Layout:
    """The layout; if `rows` is None, blocks of one length that `_limits.STORED_BLOCK_BYTES` bounds."""
    layout = Layout(form, wrt, tuple(sizes), tuple(biases), dtype, samples, rows or 1)
    if rows is not None:
        return layout
    one = sample_bytes(layout.members, dtype) + sizes[0] * dtype.itemsize
    most = max(2, _limits.STORED_BLOCK_BYTES // one)
    blocks = -(-samples // most) or 1
    return replace(layout, rows=max(2, -(-samples // blocks)))


def attributes(layout: Layout, version: str, net: str, machine: dict[str, str]) -> dict[str, Any]:
    """The attributes of the group. They hold no time: a store that was resumed has the same bytes."""
    return {
        "about": ABOUT.format(
            version=version,
            samples=layout.samples,
            rows=layout.rows,
            holds=HOLDS[layout.form],
        ),
        "deltanet": {
            "format_version": FORMAT_VERSION,
            "version": version,
            "form": layout.form,
            "wrt": layout.wrt,
            "sizes": list(layout.sizes),
            "biases": list(layout.biases),
            "dtype": layout.dtype.name,
            "samples": layout.samples,
            "rows": layout.rows,
            "net": net,
            "machine": machine,
        },
    }
