"""Types that several modules share."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]
Known = Array | Any  # an array or None, where the caller knows which; a checker asks for no test
DType = np.dtype[np.floating[Any]]  # float64 or float32
Shape = tuple[int, ...]
Scaling = tuple[Array, Array]  # shift, scale

Activation = str | tuple[str, *tuple[float, ...]]
Pair = tuple[str, tuple[float, ...]]  # an activation and its parameters

Wrt = (  # which parameters: see `Jacobian.restrict`
    Literal["last", "weights", "biases"]
    | Iterable[int | tuple[Literal["weights", "biases"], int]]
    | NDArray[np.bool_]
    | None
)
Index = slice | Sequence[int] | Sequence[bool] | NDArray[np.integer[Any]] | NDArray[np.bool_]
Pairs = Sequence[tuple[ArrayLike, ArrayLike]]  # (A, B) of each layer
Seed = int | np.random.Generator | None

Progress = Callable[[int, int], object] | bool | None  # of a caller: (done, total), or a bar
Report = Callable[[int], object] | None  # what is made of it: done


class Executor(Protocol):
    """What runs the tasks of a job: an executor of `concurrent.futures`, or whatever has its `submit`."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any: ...
