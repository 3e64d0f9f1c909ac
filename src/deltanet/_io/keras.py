"""Live models of Keras 3 (extra: keras)."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deltanet._extras import package
from deltanet._io._live import Builder, Refused, Spec
from deltanet._mlp import MLP

# Functions of keras.activations, each with the parameters that it has there by default
ACTIVATIONS: dict[str, Spec] = {
    "linear": "identity",
    "leaky_relu": ("leaky_relu", 0.2),
    "log_sigmoid": "logsigmoid",
    "hard_sigmoid": "hardsigmoid",
    "hard_silu": "hardswish",
    "hard_tanh": "hardtanh",
    "tanh_shrink": "tanhshrink",
    "soft_shrink": ("softshrink", 0.5),
    "exponential": "exp",
    **{
        name: name
        for name in (
            *(
                "tanh",
                "sigmoid",
                "relu",
                "relu6",
                "elu",
                "celu",
                "selu",
                "softplus",
                "gelu",
                "silu",
            ),
            *("softsign", "mish", "softmax", "log_softmax"),
        )
    },
}
# Layers that do nothing when the model is not being trained
IDLE = (
    *("InputLayer", "Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise", "Identity"),
    *("ActivityRegularization", "Flatten"),
)


class KerasModel(Protocol):
    """A `keras.Sequential`, as far as it is needed here."""

    @property
    def name(self) -> str: ...

    @property
    def layers(self) -> Sequence[Any]: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


def from_keras(model: KerasModel) -> MLP:
    """A net with the layers of a Keras model, and copies of their weights.

    Parameters
    ----------
    model : keras.Sequential
        Of Dense, Activation and the layers of one activation (ReLU, LeakyReLU, ELU, PReLU, Softmax),
        Normalization, BatchNormalization, Rescaling, Flatten, Dropout and other layers that do nothing
        outside training; a Sequential may stand inside another. It must have been built: give it an Input,
        or call it once.

    Returns
    -------
    MLP
        Its dtype is that of the weights (float32 for half precision). W is the transpose of a kernel.

    Raises
    ------
    ValueError
        If the model is not such a chain. The message names the layer.
    TypeError
        If `model` is not a model of Keras 3.
    ImportError
        If Keras is not installed.

    Notes
    -----
    The model is read as it predicts: BatchNormalization by its moving mean and variance. What scales the
    features becomes the input scaling in front of the first layer, the output scaling behind the last
    activation, and is folded into the weights elsewhere. Its numbers, and the slope of a PReLU, are not
    parameters of the net.

    The outputs of the net are compared with those of the model on a few random inputs: a net that differs
    is not returned.

    Examples
    --------
    >>> import deltanet as dn, keras
    >>> layers = [keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(2)]
    >>> dn.from_keras(keras.Sequential(layers))
    MLP([4, 8, 2], activation=['tanh'], output='identity', dtype='float32')
    """
    keras = package("keras", "keras", "from_keras")
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a Sequential of Keras 3; got {type(model).__name__}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Keras and torch about NumPy
        return _net(keras, model)


def _net(keras: Any, model: KerasModel) -> MLP:
    reader = _Reader(keras)
    reader.sequential(model, "model")
    shape = reader.shape(model)

    def outputs(X: NDArray[Any]) -> NDArray[Any]:
        return _array(keras, model(X.reshape(-1, *shape), training=False)).astype(reader.precision)

    return reader.builder.net(f"model {model.name!r}", outputs)


def _array(keras: Any, tensor: Any) -> NDArray[Any]:
    """A tensor or variable; half precision as single."""
    array: NDArray[Any] = keras.ops.convert_to_numpy(tensor)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


class _Reader:
    """What each layer does to the chain."""

    def __init__(self, keras: Any) -> None:
        self.keras = keras
        self.builder = Builder()
        self.part = ""
        self.inputs: int | None = None  # numbers that the first layer takes
        self.seen: set[int] = set()  # layers
        # the coarsest that a layer computes in; Keras multiplies float64 matrices as float32 on some backends
        self.precision = np.dtype(np.float32)

    def sequential(self, model: Any, place: str) -> None:
        if not isinstance(model, self.keras.Sequential):
            raise Refused(
                f"{place} {model.name!r} is not a Sequential: pass one, or make one of the layers of a chain"
            )
        if not model.built:
            raise Refused(f"{place} {model.name!r} is not built: give it an Input, or call it once")
        self.computes_in(model)
        for layer in model.layers:
            self.computes_in(layer)
            self.layer(layer)

    def computes_in(self, layer: Any) -> None:
        kind = np.dtype({"bfloat16": "float16"}.get(layer.compute_dtype, layer.compute_dtype))
        self.precision = min(self.precision, kind, key=lambda each: each.itemsize)

    def shape(self, model: Any) -> tuple[int, ...]:
        """Of one sample, as the model takes it: several axes, where it begins with a Flatten."""
        _, *axes = model.input_shape
        if None not in axes and math.prod(axes) != (self.inputs or math.prod(axes)):
            raise Refused(
                f"model {model.name!r} takes samples of shape {tuple(axes)}, of which the first layer takes "
                f"{self.inputs} numbers: put a Flatten before it"
            )
        return tuple(axes)

    def layer(self, layer: Any) -> None:
        kind = type(layer)
        self.part = f"layer {layer.name!r} ({kind.__name__})"
        if isinstance(layer, self.keras.Model):
            self.sequential(layer, "layer")
            return
        handler = getattr(self, f"on_{kind.__name__}", None)
        if getattr(self.keras.layers, kind.__name__, None) is not kind:
            handler = None  # a layer of somebody else, that has the same name
        elif kind.__name__ in IDLE:
            return
        if handler is None:
            raise Refused(
                f"{self.part} is not a dense layer or an activation of deltanet: take it out, or pass a "
                "Sequential without it"
            )
        if not layer.built:
            raise Refused(f"{self.part} is not built: call the model once")
        if layer.weights and id(layer) in self.seen:
            raise Refused(f"{self.part} is used twice: each layer must have weights of its own")
        self.seen.add(id(layer))
        handler(layer)

    def on_Dense(self, layer: Any) -> None:
        bias = None if layer.bias is None else self.array(layer.bias)
        W = self.array(layer.kernel).T
        self.inputs = W.shape[1] if self.builder.width is None else self.inputs
        self.builder.dense(self.part, W, bias)
        self.function(layer.activation)

    def on_Activation(self, layer: Any) -> None:
        self.function(layer.activation)

    def function(self, f: Callable[..., Any]) -> None:
        """An activation that is a function of keras.activations."""
        if isinstance(f, self.keras.layers.Layer):
            self.layer(f)
            return
        name = getattr(f, "__name__", repr(f))
        if f is None or getattr(self.keras.activations, name, None) is not f:
            raise Refused(f"{self.part} has the activation {name!r}, which is not one of Keras")
        self.builder.activate(self.part, ACTIVATIONS.get(name, name))

    def on_ReLU(self, layer: Any) -> None:
        slope, largest, threshold = (
            float(each or 0) for each in (layer.negative_slope, layer.max_value, layer.threshold)
        )
        if threshold or (largest and (slope or largest != 6)):
            raise Refused(
                f"{self.part} has negative_slope={slope}, max_value={layer.max_value}, threshold={threshold}"
                ": deltanet has a slope alone, or a largest value of 6 alone"
            )
        self.builder.activate(
            self.part, "relu6" if largest else ("leaky_relu", slope) if slope else "relu"
        )

    def on_LeakyReLU(self, layer: Any) -> None:
        self.builder.activate(self.part, ("leaky_relu", float(layer.negative_slope)))

    def on_PReLU(self, layer: Any) -> None:
        slopes = self.array(layer.alpha).ravel()
        if np.ptp(slopes):
            raise Refused(f"{self.part} has a slope for each feature: deltanet has one for all")
        self.builder.activate(self.part, ("leaky_relu", float(slopes[0])))

    def on_ELU(self, layer: Any) -> None:
        self.builder.activate(self.part, ("elu", float(layer.alpha)))

    def on_Softmax(self, layer: Any) -> None:
        if layer.axis not in (-1, 1):
            raise Refused(f"{self.part} must be over the features, axis=-1; got axis={layer.axis}")
        self.builder.activate(self.part, "softmax")

    def on_Rescaling(self, layer: Any) -> None:
        self.builder.multiply(self.part, layer.scale)
        self.builder.add(self.part, layer.offset)

    def on_Normalization(self, layer: Any) -> None:
        mean, variance = self.array(layer.mean), self.array(layer.variance)
        deviation = np.maximum(np.sqrt(variance), np.float32(self.keras.config.epsilon()))
        if layer.invert:
            self.builder.multiply(self.part, deviation)
            self.builder.add(self.part, mean)
        else:
            self.builder.normalize(self.part, mean, deviation)

    def on_BatchNormalization(self, layer: Any) -> None:
        if layer.axis not in (-1, 1):
            raise Refused(f"{self.part} must be over the features, axis=-1; got axis={layer.axis}")
        variance = self.array(layer.moving_variance).astype(np.float64)
        gamma, beta = (
            np.float64(default) if each is None else self.array(each)
            for each, default in ((layer.gamma, 1), (layer.beta, 0))
        )
        deviation = np.sqrt(variance + layer.epsilon)
        self.builder.normalize(self.part, self.array(layer.moving_mean), deviation, gamma, beta)

    def array(self, tensor: Any) -> NDArray[Any]:
        return _array(self.keras, tensor)
