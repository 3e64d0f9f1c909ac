"""Every check of an argument and every message.

Each function returns its argument in the form that the rest relies on, or raises an error that names
the rule and the value.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise
from typing import Any, SupportsIndex, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from deltanet._activations import ALIASES, REGISTRY, similar
from deltanet._limits import WIDEST_LAYER
from deltanet._params import offsets
from deltanet._types import Array, DType, Pair, Scaling

Places = list[tuple[int, bool, bool]]  # (layer, whether W is kept, whether b is)
DTYPES = (np.dtype(np.float64), np.dtype(np.float32))


def sizes(value: Iterable[SupportsIndex]) -> tuple[int, ...]:
    """Layer widths n_0 .. n_L as a tuple of ints, L >= 1."""
    try:
        widths = tuple(operator.index(n) for n in value)
    except TypeError:
        raise TypeError(f"sizes must be a sequence of integers; got {value!r}") from None
    if len(widths) < 2:
        raise ValueError(f"sizes must name at least the inputs and the outputs; got {value!r}")
    for n in widths:
        if not 1 <= n <= WIDEST_LAYER:
            raise ValueError(f"each size must be between 1 and {WIDEST_LAYER}; got {n} in {widths}")
    return widths


def dtype(value: DTypeLike) -> DType:
    """float64 or float32, in native byte order."""
    try:
        kind: np.dtype[Any] = np.dtype(value)
    except TypeError:
        kind = np.dtype(object)  # not None, which equals float64
    if kind not in DTYPES:
        raise ValueError(f"dtype must be float64 or float32; got {value!r}")
    return kind


def activation(spec: object) -> Pair:
    """(name, parameters) of one activation, by the name that the registry has for it."""
    given, *values = (spec,) if isinstance(spec, str) else spec if _is_spec(spec) else (None,)
    if given is None:
        raise TypeError(f"an activation is a name or (name, parameter, ...); got {spec!r}")
    name, *preset = ALIASES.get(given, (given,))
    if name not in REGISTRY:
        close = " or ".join(map(repr, similar(given)))
        hint = f"; did you mean {close}?" if close else ""
        raise ValueError(f"unknown activation {given!r}; known are {', '.join(REGISTRY)}{hint}")
    known = REGISTRY[name].parameters
    if len(values) == 1 and values[0] is None:
        values = []
    if values and (preset or not known):
        raise ValueError(f"activation {given!r} takes no parameter; got {values[0]!r}")
    if len(values) > len(known):
        raise ValueError(
            f"activation {given!r} takes {len(known)} parameters at most ({', '.join(known)}); "
            f"got {len(values)}"
        )
    parameters = (*preset, *values, *REGISTRY[name].defaults[len(preset) + len(values) :])
    if None in parameters:
        raise ValueError(
            f"activation {given!r} needs its parameters: ({given!r}, {', '.join(known)}); got {spec!r}"
        )
    return name, _parameters(given, parameters, REGISTRY[name].rule)


def _parameters(
    name: str, values: tuple[Any, ...], rule: tuple[str, Callable[..., bool]]
) -> tuple[float, ...]:
    """The parameters of an activation as floats that obey its rule."""
    text, holds = rule
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        numbers = (math.nan,)
    if not (all(map(math.isfinite, numbers)) and holds(*numbers)):
        one = len(values) == 1
        what, got = ("parameter", values[0]) if one else ("parameters", values)
        raise ValueError(f"the {what} of {name!r} must be {text}; got {got!r}")
    return numbers


def _is_spec(spec: object) -> TypeGuard[Sequence[Any]]:
    """A name and parameters, as one sequence."""
    return isinstance(spec, (tuple, list)) and len(spec) > 1 and isinstance(spec[0], str)


def functions(
    name: Any, f: Any, fprime: Any, fsecond: Any, c_code: Any
) -> tuple[Any, Any, Any, Any, Any]:
    """The arguments of `register_activation`."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a string; got {name!r}")
    if not name.isidentifier():
        raise ValueError(f"name must be an identifier; got {name!r}")
    for what, function in (("f", f), ("fprime", fprime), ("fsecond", fsecond)):
        if not (callable(function) or (what == "fsecond" and function is None)):
            raise TypeError(f"{what} must be a function; got {function!r}")
    if not isinstance(c_code, (str, type(None))):
        raise TypeError(f"c_code must be a string; got {c_code!r}")
    for result in ("f", "slope", "second"):
        if c_code is not None and not re.search(rf"\b{result}\s*=[^=]", c_code):
            raise ValueError(
                f"c_code must set f, slope and second from v; {result} is not set in {c_code!r}"
            )
    return name, f, fprime, fsecond, c_code


def activations(specs: Iterable[object], layers: int) -> list[Pair]:
    """[(name, parameters)] for every layer."""
    if isinstance(specs, str) or not hasattr(specs, "__iter__"):
        raise TypeError(f"activations must be a sequence, one a layer; got {specs!r}")
    pairs = [activation(spec) for spec in specs]
    if len(pairs) != layers:
        raise ValueError(
            f"there must be one activation for each of {layers} layers; got {len(pairs)}"
        )
    for name, _ in pairs[:-1]:
        if REGISTRY[name].couples:
            raise ValueError(f"{name!r} couples the outputs: only the last layer may have it")
    return pairs


def hidden(spec: object, layers: int) -> list[Any]:
    """One specification for all hidden layers, or a sequence of one each, as a list."""
    if isinstance(spec, str) or (
        _is_spec(spec) and not any(isinstance(value, (str, tuple, list)) for value in spec[1:])
    ):
        activation(spec)  # also where there is no hidden layer
        return [spec] * layers
    specs = list(spec) if isinstance(spec, (tuple, list)) else [spec]
    if len(specs) != layers:
        raise ValueError(
            f"activation must be one for all or one for each of {layers} hidden layers; got {spec!r}"
        )
    return specs


def hidden_sizes(value: Iterable[SupportsIndex]) -> list[int]:
    """Widths of the hidden layers as a list of ints; `sizes` checks their range."""
    try:
        return [operator.index(n) for n in value]
    except TypeError:
        raise TypeError(f"hidden must be a sequence of integers; got {value!r}") from None


def layers(
    weights: Iterable[Any], biases: Iterable[Any], kind: DTypeLike | None
) -> tuple[list[NDArray[Any]], list[NDArray[Any] | None], tuple[int, ...], DType]:
    """([W], [b or None], sizes, dtype) from arrays whose shapes agree."""
    weights = [numbers(W, f"weights[{k}]") for k, W in enumerate(weights)]
    biases = list(biases)
    if not weights or len(weights) != len(biases):
        raise ValueError(
            f"there must be one bias a weight, and one layer at least; got {len(weights)} weights "
            f"and {len(biases)} biases"
        )
    widths: list[int] = []
    for k, W in enumerate(weights):
        if W.ndim != 2:
            hint = f"; give np.atleast_2d(weights[{k}]) if n_out is 1" if W.ndim < 2 else ""
            raise ValueError(f"weights[{k}] must have shape (n_out, n_in); got {W.shape}{hint}")
        if k and W.shape[1] != widths[-1]:
            raise ValueError(
                f"weights[{k}] must have shape (n_out, {widths[-1]}) to follow weights[{k - 1}] of "
                f"shape {weights[k - 1].shape}; got {W.shape}"
            )
        widths += [W.shape[0]] if k else [W.shape[1], W.shape[0]]
        if biases[k] is None:
            continue
        biases[k] = numbers(biases[k], f"biases[{k}]")
        if biases[k].shape != W.shape[:1]:
            name, wanted, got = f"biases[{k}]", W.shape[:1], biases[k].shape
            raise ValueError(
                f"{name} must have shape {wanted}; got {got}{remedy(name, got, wanted)}"
            )
    if kind is None:
        common = np.result_type(*weights, *(b for b in biases if b is not None))
        kind = np.float32 if common in (np.float32, np.float16) else np.float64
    return weights, biases, sizes(widths), dtype(kind)


def scaling(
    shift: ArrayLike | None, scale: ArrayLike | None, width: int, kind: DType, side: str
) -> Scaling | None:
    """(shift, scale) as read-only arrays of shape (width,), or None where neither is given."""
    if shift is None and scale is None:
        return None
    pair = []
    for name, value, default in (("shift", shift, 0), ("scale", scale, 1)):
        array = numbers(default if value is None else value, f"{side}_{name}").astype(kind)
        if array.shape not in ((), (1,), (width,)):
            hint = remedy(f"{side}_{name}", array.shape, (width,))
            raise ValueError(
                f"{side}_{name} must have shape () or ({width},); got {array.shape}{hint}"
            )
        if not np.isfinite(array).all() or (name == "scale" and not array.all()):
            rule = "finite and not zero" if name == "scale" else "finite"
            raise ValueError(f"{side}_{name} must be {rule}; got {value!r}")
        pair.append(np.broadcast_to(array, (width,)).copy())
        pair[-1].flags.writeable = False  # the core has a copy
    return pair[0], pair[1]


PLAIN = {float, int, bool, np.float64, np.float32, np.int64, np.ndarray}  # without a mask
CONVERSIONS = {"to_numpy": "to_numpy(float)", "toarray": "toarray()"}  # of a table, a sparse matrix


def numbers(value: Any, name: str) -> NDArray[Any]:
    """A plain array of real numbers, none of them masked."""
    unmasked(value, name)
    try:
        array: NDArray[Any] = np.asanyarray(value)
    except ValueError:
        raise ValueError(f"{name} must be a rectangular array of real numbers") from None
    except RuntimeError as error:  # torch's, of a tensor that requires a gradient
        raise TypeError(f"{name} must be an array that NumPy can read: {error}") from None
    if type(array) is not np.ndarray:
        unmasked(array, name)  # of an object that makes an array of itself
        array = np.asarray(array)
    if not np.can_cast(array.dtype, np.float32, "same_kind"):
        ways = [call for attribute, call in CONVERSIONS.items() if hasattr(value, attribute)]
        hint = f"; give {name}.{ways[0]}" if ways and array.dtype == object else ""
        raise TypeError(f"{name} must hold real numbers; got dtype {array.dtype}{hint}")
    return array


def unmasked(value: object, name: str) -> None:
    """Refuse masked entries: a plain array would show the numbers that lie under the mask."""
    if type(value) is not np.ndarray and is_masked(value):
        raise ValueError(
            f"{name} must have no masked entries: fill them, or leave these samples out"
        )


def is_masked(value: Any) -> bool:
    """Whether an entry is masked, of an array or in nested sequences of as many levels as NumPy has axes."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    for _ in range(64):
        kinds = set(map(type, parts))
        if kinds <= PLAIN:  # most often numbers: this is to cost less than to make an array of them
            return False
        if any(issubclass(kind, np.ndarray) for kind in kinds - PLAIN):
            if any(np.ma.is_masked(each) for each in parts if isinstance(each, np.ndarray)):
                return True
        inner = [each for each in parts if isinstance(each, (list, tuple))]
        parts = list(chain.from_iterable(inner))
    return False


def samples(X: ArrayLike, width: int, kind: DType) -> NDArray[Any]:
    """X as an array of shape (N, width) or (width,), whatever its memory: a memory map stays one."""
    array = numbers(X, "X")
    if array.ndim not in (1, 2) or array.shape[-1] != width:
        hint = rows(array.shape, width)
        raise ValueError(f"X must have shape (N, {width}) or ({width},); got {array.shape}{hint}")
    return array


def remedy(name: str, got: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """How to come to the wanted shape, if only axes of length 1 or the order of two axes are other."""
    if [n for n in got if n != 1] == [n for n in wanted if n != 1]:
        return f"; give np.reshape({name}, {wanted})"
    return f"; give {name}.T" if len(got) == 2 and got == wanted[::-1] else ""


def rows(got: tuple[int, ...], width: int) -> str:
    """How to come to samples in rows, (N, width), from a vector of them or from samples in columns."""
    if got == (width,) or (width == 1 and len(got) < 2):
        return f"; give np.reshape(X, (-1, {width}))"
    return "; samples are rows: give X.T" if len(got) == 2 and got[0] == width else ""


def is_ready(array: NDArray[Any], kind: DType) -> bool:
    """Whether the core can read an array of samples where it lies."""
    flags = array.flags
    return array.dtype == kind and flags.c_contiguous and flags.aligned


def ready(array: NDArray[Any], kind: DType) -> Array:
    """The same numbers where the core can read them: a copy, if they are not ready."""
    if type(array) is np.ndarray and is_ready(array, kind):
        return array
    return np.asarray(np.require(array, kind, ["C", "A"]))


def vector(v: ArrayLike, size: int, name: str) -> NDArray[Any]:
    """v as an array of shape (size,)."""
    array = numbers(v, name)
    if array.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},); got {array.shape}")
    return array


def out(array: object, shape: tuple[int, ...], kind: DType, *inputs: object) -> Array:
    """`array`, when a result of this shape may be written into it."""
    if type(array) is not np.ndarray and not isinstance(array, np.memmap):  # np.matrix, masked
        raise ValueError(f"out must be a plain NumPy array; got {type(array).__name__}")
    if array.shape != shape or array.dtype != kind:
        raise ValueError(
            f"out must have shape {shape} and dtype {kind}; got {array.shape} and {array.dtype}"
        )
    flags = array.flags
    if not (flags.c_contiguous and flags.writeable and flags.aligned):
        raise ValueError("out must be C-contiguous, aligned and writable")
    for other in inputs:
        if isinstance(other, np.ndarray) and np.shares_memory(array, other):
            raise ValueError("out must share no memory with an input or with the parameters")
    return array


def labels(value: Iterable[str] | None, count: int, name: str) -> tuple[str, ...] | None:
    """A tuple of `count` str, or None."""
    if value is None:
        return None
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must be None or a list of str; got {value!r}")
    texts = list(value)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{name} must be None or a list of str; got {text!r} in it")
        if "\n" in text:
            raise ValueError(f"{name} must be single lines; got {text!r}")
    if len(texts) != count:
        side = name.partition("_")[0]
        raise ValueError(
            f"{name} must have one entry for each of {count} {side}s; got {len(texts)}"
        )
    return tuple(str(text) for text in texts)


def flag(value: object, name: str) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False; got {value!r}")
    return bool(value)


def choice(value: object, choices: tuple[str, ...], name: str) -> str:
    """One of a few words."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str; got {value!r}")
    if value not in choices:
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}; got {value!r}")
    return value


def threads(value: SupportsIndex | str, name: str = "threads") -> int:
    """A count of threads, at least 1."""
    try:
        count = int(value) if isinstance(value, str) else operator.index(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a positive integer; got {value!r}") from None
    if count < 1:
        raise ValueError(f"{name} must be a positive integer; got {count}")
    return count


def count(value: SupportsIndex | None) -> int | None:
    """`threads` of a call: None, or a count."""
    return None if value is None else threads(value)


def like(value: ArrayLike, shape: tuple[int, ...], name: str, kind: DType) -> Array:
    """An array of this shape, converted to `kind`."""
    array = numbers(value, name)
    if array.shape != shape:
        hint = remedy(name, array.shape, shape)
        raise ValueError(f"{name} must have shape {shape}; got {array.shape}{hint}")
    return ready(array, kind)


COLUMNS_AT_ONCE = 8  # of 64 bits: a cache line


def block(value: ArrayLike | None, shape: tuple[int, ...], name: str) -> NDArray[Any]:
    """Numbers of this shape, for a W or a b that a layer has."""
    array = None if value is None else numbers(value, name)
    if array is None or array.shape != shape:
        got = None if array is None else array.shape
        raise ValueError(f"{name} must have shape {shape}; got {got}")
    return array


def columns(value: Any, shape: tuple[int, ...], name: str, kind: DType) -> Array:
    """An array of this shape, or of several columns with the axis of the columns brought to the front."""
    if hasattr(value, "to_dense") and hasattr(value, "gram"):  # a Jacobian; tensors have the first
        raise TypeError(
            f"{name} must be an array, for J J^T and J^T J use gram() and ggn(); got {value!r}"
        )
    array = numbers(value, name)
    if array.shape[: len(shape)] != shape or array.ndim > len(shape) + 1:
        several = f"({', '.join(map(str, shape))}, r)"
        raise ValueError(f"{name} must have shape {shape} or {several}; got {array.shape}")
    if array.ndim == len(shape):
        return ready(array, kind)
    front = np.empty((array.shape[-1], *shape), kind)
    for i in range(0, len(front), COLUMNS_AT_ONCE):  # between which Ctrl-C is heard
        some = array[..., i : i + COLUMNS_AT_ONCE]
        front[i : i + COLUMNS_AT_ONCE] = np.moveaxis(some, -1, 0)
    return front


def weights(H: ArrayLike, lead: tuple[int, ...], m: int, kind: DType) -> Array:
    """H (N,) or symmetric (N, m, m), as the core reads it; of a single sample () or (m, m)."""
    array = numbers(H, "H")
    if array.shape not in (lead, (*lead, m, m)):
        raise ValueError(f"H must have shape {lead} or {(*lead, m, m)}; got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"H must be finite; got {array[~np.isfinite(array)][0]}")
    array = array.reshape(-1, m, m) if array.ndim > len(lead) else array.reshape(-1)
    if array.ndim == 3:
        skew = abs(array - array.swapaxes(1, 2)).max(axis=(1, 2))
        wrong = skew > 1e-6 * abs(array).max(axis=(1, 2))
        if wrong.any():
            s = int(wrong.argmax())
            raise ValueError(
                f"H must be symmetric for each sample; H - H^T of sample {s} reaches {skew[s]:.3g}"
            )
    return ready(array, kind)


Chunks = tuple[float, ...]  # lengths along the samples; NaN is one that is not known


def chunked_samples(shape: tuple[float, ...], kind: np.dtype[Any], width: int) -> None:
    """X as an array in chunks of which only shape and dtype are known."""
    numbers(np.empty(0, kind), "X")
    if len(shape) != 2 or shape[1] != width:
        raise ValueError(f"X must have shape (N, {width}); got {shape}")


def with_known_chunks(H: object, rows: Chunks) -> None:
    """H as an array without chunks, beside samples in chunks of `rows`."""
    if any(map(math.isnan, rows)):
        raise TypeError(
            "H must be a Dask array, or a column of the same dataframe, where the lengths of X's chunks are "
            f"not known; got {type(H).__name__}. X.compute_chunk_sizes() makes them known"
        )


def chunked_weights(
    shape: tuple[float, ...], kind: np.dtype[Any], chunks: Chunks, rows: Chunks, m: int
) -> bool:
    """H (N,) or (N, m, m) in chunks, for samples in chunks of `rows`; whether all lengths are known."""
    numbers(np.empty(0, kind), "H")
    known = not any(map(math.isnan, chunks + rows))
    if shape[1:] not in ((), (m, m)) or (known and shape[0] != sum(rows)):
        N = int(sum(rows)) if known else "N"
        raise ValueError(f"H must have shape {spelled(N)} or {spelled(N, m, m)}; got {shape}")
    if not known and len(chunks) != len(rows):
        raise ValueError(
            f"H must have as many chunks as X, {len(rows)}, where their lengths are not known; got "
            f"{len(chunks)}"
        )
    return known


def columns_of_inputs(labels: list[Any], names: list[str] | None, width: int) -> list[Any] | None:
    """Which columns of a dataframe are the inputs of a net: those of their names; None is all of them."""
    if names is None:
        if len(labels) != width:
            raise ValueError(
                f"X must have {width} columns, one for each input, where the net has no input_names; got "
                f"{len(labels)}: {labels}"
            )
        return None
    wrong = [name for name in names if labels.count(name) != 1]
    if wrong:
        raise ValueError(
            f"X must have one column for each of the net's input_names; {wrong[0]!r} is there "
            f"{labels.count(wrong[0])} times in {labels}"
        )
    return names


def column(label: object, kind: Any) -> None:
    """A column of a dataframe, whose dtype may be one of pandas: it holds real numbers."""
    kind = getattr(kind, "numpy_dtype", kind)
    if not (isinstance(kind, np.dtype) and np.can_cast(kind, np.float32, "same_kind")):
        raise TypeError(f"column {label!r} of X must hold real numbers; got dtype {kind}")


NAMES_OF_WRT = "None, 'last', 'weights', 'biases', a list of layers, or a boolean vector"


def wrt(value: Any, sizes: Sequence[int], biases: Sequence[bool]) -> Places:
    """[(layer, whether W is kept, whether b is)] in the order of theta, of layers of which a part is kept."""
    layers = len(sizes) - 1
    if value is None or (isinstance(value, str) and value in ("weights", "biases", "last")):
        which = range(layers)[-1:] if value == "last" else range(layers)
        parts = [(k, value != "biases", value != "weights" and biases[k]) for k in which]
        return [(k, W, b) for k, W, b in parts if W or b]
    if isinstance(value, np.ndarray) and value.dtype == bool:
        return _mask(numbers(value, "wrt"), sizes, biases)
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise TypeError(f"wrt must be {NAMES_OF_WRT}; got {value!r}")
    found: dict[int, tuple[bool, bool]] = {}
    for each in value:
        is_pair = isinstance(each, (tuple, list)) and len(each) == 2
        named: list[Any] = list(each) if is_pair else [None, each]
        kind, k = named
        try:
            k = operator.index(k)
        except TypeError:
            raise TypeError(f"wrt must be {NAMES_OF_WRT}; got {value!r}") from None
        if kind not in (None, "weights", "biases"):
            raise TypeError(f"wrt must be {NAMES_OF_WRT}; got {kind!r} of a layer")
        if not -layers <= k < layers:
            raise ValueError(f"wrt must name layers between {-layers} and {layers - 1}; got {k}")
        if kind == "biases" and not biases[k]:
            raise ValueError(f"wrt must name biases that exist; layer {k % layers} has none")
        W, b = found.get(k % layers, (False, False))
        found[k % layers] = (W or kind != "biases", b or (kind != "weights" and biases[k]))
    return [(k, *found[k]) for k in sorted(found)]


def _mask(mask: NDArray[np.bool_], sizes: Sequence[int], biases: Sequence[bool]) -> Places:
    """wrt as a boolean vector that is constant on each W and each b."""
    total = offsets(sizes, biases)[-1]
    if mask.shape != (total,):
        raise ValueError(f"wrt must have shape ({total},) as a boolean vector; got {mask.shape}")
    kept: list[Any]
    kept, start = [], 0
    for k, (n_in, n_out) in enumerate(pairwise(sizes)):
        wanted = []
        for name, size in (("weights", n_in * n_out), ("biases", n_out * biases[k])):
            part = mask[start : start + size]
            if part.any() and not part.all():
                raise ValueError(
                    f"wrt must be constant on the {name} of each layer; those of layer {k} are mixed"
                )
            wanted.append(bool(part.any()))
            start += size
        if any(wanted):
            kept.append((k, *wanted))
    return kept


def dampings(value: ArrayLike) -> list[float]:
    """One damping or several, as a list of floats that are at least 0."""
    array = numbers(value, "damping")
    if array.ndim > 1 or array.size == 0 or not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(f"damping must be finite and at least 0; got {value!r}")
    return [float(each) for each in np.atleast_1d(array)]


def covariance(Sigma: Any, kept: Any, sizes: Sequence[int], kind: DType) -> tuple[str, Any]:
    """(form, Sigma): "scalar", "diagonal", "kronecker", "low rank" or "dense", of the kept parameters."""
    unmasked(Sigma, "Sigma")
    P, first = kept.size, Sigma[0] if isinstance(Sigma, (list, tuple)) and len(Sigma) else None
    if isinstance(first, (list, tuple)) and not (len(first) and np.isscalar(first[0])):
        return "kronecker", pairs(Sigma, kept, sizes, kind)
    array = numbers(Sigma, "Sigma")
    if array.shape == ():
        return "scalar", kind.type(array)
    name = {(P,): "diagonal", (P, P): "dense"}.get(array.shape)
    if name is None and array.ndim == 2 and array.shape[0] == P:
        name = "low rank"
    if name is None:
        raise ValueError(
            f"Sigma must be a scalar, ({P},), ({P}, {P}), ({P}, r) or pairs (A, B); got {array.shape}"
        )
    return name, np.require(array, kind, ["C", "A"])


def pairs(Sigma: Any, kept: Any, sizes: Sequence[int], kind: DType) -> list[tuple[Array, Array]]:
    """One Kronecker pair (A, B) for each kept layer."""
    shapes = kronecker_shapes(kept.layers, sizes)
    if len(Sigma) != len(shapes) or any(len(pair) != 2 for pair in Sigma):
        raise ValueError(f"Sigma must hold one pair (A, B) for each of {len(shapes)} layers")
    return [
        (
            like(A, (n_a, n_a), f"A of layer {k}", kind),
            like(B, (n_b, n_b), f"B of layer {k}", kind),
        )
        for (k, *_), (n_a, n_b), (A, B) in zip(kept.layers, shapes, Sigma, strict=True)
    ]


def kronecker_shapes(layers: Places, sizes: Sequence[int]) -> list[tuple[int, int]]:
    """(n_a, n_b), the sides of A and B, of each kept layer: A has rows for W and one for b, if kept."""
    return [(sizes[k] * W + b, sizes[k + 1]) for k, W, b in layers]


def kronecker(pairs: Any) -> tuple[list[tuple[NDArray[Any], NDArray[Any]]], np.dtype[Any]]:
    """(pairs (A, B) of symmetric matrices, their dtype)."""
    pairs = [tuple(pair) for pair in pairs]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("pairs must hold (A, B) of each layer")
    found = [
        (numbers(A, f"A of layer {k}"), numbers(B, f"B of layer {k}"))
        for k, (A, B) in enumerate(pairs)
    ]
    kind = common_dtype([array for pair in found for array in pair])
    for k, pair in enumerate(found):
        for name, C in zip("AB", pair, strict=True):
            if C.ndim != 2 or C.shape[0] != C.shape[1] or not len(C):
                raise ValueError(f"{name} of layer {k} must be a square matrix; got {C.shape}")
            with np.errstate(invalid="ignore"):
                skew = abs(C - C.T).max()
            if skew > 1e-6 * abs(C).max():
                raise ValueError(
                    f"{name} of layer {k} must be symmetric; {name} - {name}^T reaches {skew:.3g}"
                )
    return [
        (np.require(A, kind, ["C", "A"]), np.require(B, kind, ["C", "A"])) for A, B in found
    ], kind


def common_dtype(arrays: Iterable[NDArray[Any]]) -> np.dtype[Any]:
    """float32 of arrays that are all of it or of half precision, else float64."""
    kinds = {array.dtype for array in arrays}
    small = kinds and kinds <= {np.dtype(np.float32), np.dtype(np.float16)}
    return DTYPES[1 if small else 0]


def flags(value: Any, count: int, name: str) -> tuple[bool, ...]:
    """True or False of each of `count` layers, from one for all or one each."""
    several = isinstance(value, (list, tuple, np.ndarray))
    each = list(value) if several else [value] * count
    if len(each) != count or not all(isinstance(one, (bool, np.bool_)) for one in each):
        raise ValueError(
            f"{name} must be True or False, or one each of {count} layers; got {value!r}"
        )
    return tuple(bool(one) for one in each)


def spelled(*lengths: int | str) -> str:
    """A shape in which a letter may stand for a length: (3, n)."""
    return f"({', '.join(map(str, lengths))}{',' * (len(lengths) == 1)})"


def picked(index: Any, N: int) -> int | slice | NDArray[np.intp]:
    """An index of samples: an int of 0 .. N - 1, a slice, or an array of ints that are in range."""
    if isinstance(index, slice):
        return index
    rule = "J[...] takes one int, slice, boolean mask (N,) or list of ints, of samples"
    if isinstance(index, tuple):
        raise TypeError(f"{rule}; got {index!r}")
    array = numbers(index, "an index of samples")
    if array.dtype == bool and array.shape == (N,):
        return np.flatnonzero(array)
    if array.size == 0 and array.ndim == 1 and array.dtype != bool:
        return np.empty(0, np.intp)
    if array.dtype == bool:
        raise IndexError(f"a mask must have shape ({N},); got {array.shape}")
    if array.dtype.kind not in "iu" or array.ndim > 1:
        raise TypeError(f"{rule}; got {index!r}")
    outside = (array < -N) | (array >= N)
    if outside.any():
        raise IndexError(f"a sample must be between {-N} and {N - 1}; got {array[outside][0]}")
    return int(array) % N if array.ndim == 0 else array.astype(np.intp) % max(N, 1)


def sample(value: SupportsIndex, N: int) -> int:
    """The number of one sample of N, 0 .. N - 1."""
    try:
        s = operator.index(value)
    except TypeError:
        raise TypeError(f"sample must be an integer; got {value!r}") from None
    if not -N <= s < N:
        rule = f"sample must be between {-N} and {N - 1}" if N else "there is no sample"
        raise IndexError(f"{rule}; got {s}")
    return s % N


def row_weights(R: Any, rows: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    """R (N, q, m), or (N, m), of rows (N, m); without N of a single sample."""
    array = numbers(R, "R")
    *lead, m = rows
    full = array.ndim == len(lead) + 2 and array.shape[:-2] == tuple(lead)
    if array.shape != rows and not (full and array.shape[-1] == m and array.shape[-2] > 0):
        raise ValueError(
            f"R must have shape {spelled(*rows)} or {spelled(*lead, 'q', m)}, q > 0; got {array.shape}"
        )
    return np.require(array, kind, ["C", "A"])


def table(X: ArrayLike, width: int) -> NDArray[Any]:
    """X as (N, width) whatever its memory: a memory map stays one."""
    array = numbers(X, "X")
    if array.ndim != 2 or array.shape[1] != width:
        hint = rows(array.shape, width)
        raise ValueError(f"X must have shape (N, {width}); got {array.shape}{hint}")
    return array


def finite(array: NDArray[Any], name: str, start: int = 0) -> NDArray[Any]:
    """`array`, when no entry is NaN or infinite; its rows begin at `start` of what the caller gave."""
    with np.errstate(over="ignore", invalid="ignore"):
        # The sum, for less than a look at each; einsum's is twice as fast as NumPy's, which adds in pairs.
        if np.isfinite(np.einsum(array, list(range(array.ndim)), [])):
            return array
    good = np.isfinite(array)
    if not good.all():
        first = tuple(int(i) for i in np.argwhere(~good)[0])
        place = f" at {[start + first[0], *first[1:]]}" if first else ""
        raise ValueError(f"{name} must be finite; got {array[first]}{place}")
    return array


def pair_of_data(net: Any, X: ArrayLike, Y: ArrayLike) -> tuple[Array, Array]:
    """(X, Y) as finite float64 tables of N >= 1 rows and the net's widths."""
    kind = np.dtype(np.float64)
    X = np.require(table(X, net.sizes[0]), kind, ["C", "A"])
    if not len(X):
        raise ValueError("X must hold one sample at least; got none")
    return finite(X, "X"), finite(like(Y, (len(X), net.sizes[-1]), "Y", kind), "Y")


def at_least_zero(value: ArrayLike, shape: tuple[int, ...], name: str) -> Array:
    """Finite numbers of at least 0, as a float64 array of this shape."""
    array = finite(like(value, shape, name, np.dtype(np.float64)), name)
    if (array < 0).any():
        raise ValueError(f"{name} must be at least 0; got {array.min()}")
    return array


def data_to_scale(X: ArrayLike, Y: ArrayLike, kind: np.dtype[Any]) -> list[NDArray[Any]]:
    """(X, Y) as finite tables (N, n_0) and (N, m) of N >= 2 rows, in the dtype of the net they are for."""
    tables = []
    for value, name in ((X, "X"), (Y, "Y")):
        array = numbers(value, name)
        if array.ndim not in (1, 2) or 0 in array.shape[1:]:
            raise ValueError(f"{name} must have shape (N, features) or (N,); got {array.shape}")
        array = finite(array if array.ndim == 2 else array[:, None], name)
        with np.errstate(over="ignore", under="ignore"):
            array = array.astype(kind)
        tables.append(finite(array, f"{name} as {kind}"))
    if len(tables[0]) != len(tables[1]):
        raise ValueError(
            f"X and Y must hold as many samples; got {len(tables[0])} and {len(tables[1])}"
        )
    if len(tables[0]) < 2:
        raise ValueError(f"X must hold two samples at least; got {len(tables[0])}")
    return tables


def sample_weight(value: ArrayLike | None, N: int) -> Array | None:
    """(N,) weights of samples, or None."""
    return None if value is None else at_least_zero(value, (N,), "sample_weight")


def scale(value: object) -> None:
    """What `fit` may do to a net without scalings."""
    if value is not None and not (isinstance(value, str) and value == "auto"):
        raise ValueError(f"scale must be 'auto' or None; got {value!r}")


def some_kept(wrt: object, P: int) -> None:
    """`wrt` of a fit, which keeps P parameters."""
    if not P:
        raise ValueError(f"wrt must keep one parameter at least; got {wrt!r}")


def prior(value: ArrayLike, P: int) -> float | Array:
    """A precision as a float, or (P,) of them."""
    if numbers(value, "prior").ndim == 0:
        return float(at_least_zero(value, (), "prior"))
    return at_least_zero(value, (P,), "prior")


def repeatable(seed: object) -> int:
    """The seed of a share that the same call draws again."""
    try:
        return operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(
            "seed must be an integer if checkpoint is given and validation is a share, which the same "
            f"call draws again; got {seed!r}"
        ) from None


def held_out(net: Any, validation: Any, N: int) -> int | tuple[Array, Array]:
    """The (X, Y) to validate on, or how many of N samples to hold out."""
    if isinstance(validation, (tuple, list)):
        if len(validation) != 2:
            raise ValueError(f"validation must be a share or (X, Y); got {len(validation)} parts")
        return pair_of_data(net, *validation)
    share = number(validation, "validation", above=0, below=1)
    if N < 2:
        raise ValueError("validation must be (X, Y) where there is one sample only")
    return min(N - 1, max(1, round(share * N)))


def number(value: Any, name: str, above: float = -math.inf, below: float = math.inf) -> float:
    """A float above and below these bounds; an infinite bound may be met."""
    array = numbers(value, name)
    if array.shape != () or not (above < array < below or array == below == math.inf):
        rule = f"above {above}" if below == math.inf else f"between {above} and {below}"
        raise ValueError(f"{name} must be a number {rule}; got {value!r}")
    return float(array)


def whole(value: SupportsIndex, name: str, least: int) -> int:
    """An integer of at least `least`."""
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer; got {value!r}") from None
    if count < least:
        raise ValueError(f"{name} must be at least {least}; got {count}")
    return count


def start(value: float, name: str) -> float:
    """A loss to begin with."""
    if not math.isfinite(value):
        raise ValueError(f"{name} of the given net must be finite; got {value}")
    return value
