"""Fitted estimators of scikit-learn (extra: sklearn)."""

import importlib
import warnings
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deltanet._extras import package
from deltanet._io._live import Builder, Refused, Spec
from deltanet._mlp import MLP

ACTIVATIONS: dict[str, Spec] = {"logistic": "sigmoid"}  # that are called otherwise here
REMEDY = (
    "a Pipeline may have StandardScaler, MinMaxScaler, MaxAbsScaler and RobustScaler before the network, a "
    "TransformedTargetRegressor behind it"
)
PARTS = (
    "Apply other steps to X yourself, and pass those behind them, as pipeline[1:]; pass the regressor_ "
    "without its targets' transformer"
)


class SklearnEstimator(Protocol):
    """An estimator of scikit-learn, as far as it is needed here."""

    @property  # a Pipeline makes the method when it is asked for
    def predict(self) -> Any: ...

    def get_params(self, deep: bool = ...) -> Mapping[str, Any]: ...


def from_sklearn(estimator: SklearnEstimator) -> MLP:
    """A net with the layers of a fitted scikit-learn network, and copies of their weights.

    Parameters
    ----------
    estimator : MLPRegressor, MLPClassifier, Pipeline or TransformedTargetRegressor
        Fitted. A Pipeline ends in one of the others, and has StandardScaler, MinMaxScaler, MaxAbsScaler or
        RobustScaler before it; a TransformedTargetRegressor has one of these as its transformer.

    Returns
    -------
    MLP
        Outputs are those of ``predict`` for a regressor, and of ``predict_proba`` for a classifier of three
        classes and more or of several labels. **A classifier of two classes has one output**, the
        probability of ``classes_[1]``: the network of scikit-learn has one output there too, whose
        complement is the probability of ``classes_[0]``.

        Scalers of the inputs become the input scaling, those of the targets the output scaling. The dtype is
        that of ``coefs_``. W is the transpose of ``coefs_[k]``. If the estimator was fitted on columns with
        names, these are `input_names`.

    Raises
    ------
    ValueError
        If a step is something else. The message names it.
    TypeError
        If `estimator` is not an estimator of scikit-learn.
    ImportError
        If scikit-learn is not installed.

    Notes
    -----
    The outputs of the net are compared with those of the estimator on a few random inputs: a net that differs
    is not returned.

    Examples
    --------
    >>> import deltanet as dn
    >>> from sklearn.neural_network import MLPRegressor
    >>> X, Y = [[0.0, 1.0, 2.0], [1.0, 0.0, 1.0]], [[1.0, 2.0], [2.0, 1.0]]
    >>> network = MLPRegressor(hidden_layer_sizes=[8], solver="lbfgs", random_state=0).fit(X, Y)
    >>> dn.from_sklearn(network)
    MLP([3, 8, 2], activation=['relu'], output='identity', dtype='float64')
    """
    package("sklearn", "sklearn", "from_sklearn")
    if not isinstance(estimator, _module("base").BaseEstimator):
        raise TypeError(
            f"estimator must be a fitted estimator of scikit-learn; got {type(estimator).__name__}"
        )
    builder = Builder()
    _read(builder, estimator)
    name = type(estimator).__name__

    def outputs(X: NDArray[Any]) -> NDArray[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names of columns, which an array has not
            return _outputs(estimator, X)

    net = builder.net(name, outputs)
    columns = getattr(estimator, "feature_names_in_", None)
    if columns is not None:
        net.input_names = [str(column) for column in columns]
    return net


def _module(name: str) -> Any:
    return importlib.import_module(f"sklearn.{name}")


def _outputs(estimator: Any, X: NDArray[Any]) -> NDArray[Any]:
    if hasattr(estimator, "predict_proba"):
        probabilities = np.asarray(estimator.predict_proba(X))
        network = estimator
        while hasattr(network, "steps"):
            network = network.steps[-1][1]
        return probabilities[:, 1:] if network.n_outputs_ == 1 else probabilities
    y = np.asarray(estimator.predict(X))
    return y.reshape(-1, 1) if y.ndim == 1 else y


def _read(builder: Builder, estimator: Any) -> None:
    """What an estimator does to the chain."""
    networks = _module("neural_network")
    kind = type(estimator)
    if kind is _module("pipeline").Pipeline:
        *before, (_, last) = estimator.steps
        for name, step in before:
            _scale(builder, step, f"step {name!r} ({type(step).__name__})")
        _read(builder, last)
    elif kind is _module("compose").TransformedTargetRegressor:
        _fitted(estimator, "regressor_")
        _read(builder, estimator.regressor_)
        _scale(builder, estimator.transformer_, "transformer_", inverse=True)
    elif kind in (networks.MLPRegressor, networks.MLPClassifier):
        _network(builder, estimator)
    else:
        best = ": pass its best_estimator_" if hasattr(estimator, "best_estimator_") else ""
        raise Refused(f"{kind.__name__} is not a network of scikit-learn{best or '; ' + REMEDY}")


def _fitted(estimator: Any, attribute: str) -> None:
    if not hasattr(estimator, attribute):
        raise Refused(f"{type(estimator).__name__} is not fitted: call fit before")


def _network(builder: Builder, estimator: Any) -> None:
    _fitted(estimator, "coefs_")
    part = type(estimator).__name__
    last = len(estimator.coefs_) - 1
    for k, (W, b) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True)):
        builder.dense(f"layer {k} of {part}", W.T, b)
        name = estimator.activation if k < last else estimator.out_activation_
        builder.activate(f"layer {k} of {part}", ACTIVATIONS.get(name, str(name)))


def _scale(builder: Builder, scaler: Any, part: str, inverse: bool = False) -> None:
    """x -> (x - shift) / divisor, or its inverse."""
    kind = type(scaler)
    if isinstance(scaler, str) or scaler is None:
        return  # passthrough
    functions = _module("preprocessing").FunctionTransformer
    if kind is functions and (scaler.func, scaler.inverse_func) == (None, None):
        return
    if kind is _module("pipeline").Pipeline:
        for name, step in scaler.steps[:: -1 if inverse else 1]:
            _scale(builder, step, f"step {name!r} ({type(step).__name__})", inverse)
        return
    shift, divisor = (
        np.float64(default) if each is None else each
        for each, default in zip(_shift_and_divisor(scaler, part), (0, 1), strict=True)
    )
    if inverse:
        builder.multiply(part, divisor)
        builder.add(part, shift)
    else:
        builder.normalize(part, shift, divisor)


def _shift_and_divisor(scaler: Any, part: str) -> tuple[Any, Any]:
    """Of a fitted scaler; None if it has none."""
    kind = type(scaler)
    scalers = "StandardScaler", "RobustScaler", "MaxAbsScaler", "MinMaxScaler"
    if kind not in [getattr(_module("preprocessing"), name) for name in scalers]:
        raise Refused(f"{part} is not a scaler of numbers: {REMEDY}. {PARTS}")
    _fitted(scaler, "scale_")
    match kind.__name__:
        case "StandardScaler":
            return scaler.mean_ if scaler.with_mean else None, scaler.scale_
        case "RobustScaler":
            return scaler.center_, scaler.scale_
        case "MaxAbsScaler":
            return None, scaler.scale_
    if scaler.clip:
        raise Refused(f"{part} clips its output: {REMEDY}")
    # x scale + min = (x - (-min / scale)) / (1 / scale)
    return -scaler.min_ / scaler.scale_, 1 / scaler.scale_
