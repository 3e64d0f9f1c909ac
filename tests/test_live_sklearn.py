"""from_sklearn: the outputs of scikit-learn, and their differences; or a refusal that names the step."""

import numpy as np
import pytest
from live_chains import assert_equal, seeds, widths

import deltanet as dn

pytest.importorskip("sklearn", reason="compares with scikit-learn")
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

# the networks need not be good
pytestmark = pytest.mark.filterwarnings(
    "ignore:lbfgs failed:Warning", "ignore:Stochastic Optimizer:Warning"
)
STEP = 1e-5  # of central differences, with an error of 1e-10
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
SCALERS = (
    StandardScaler,
    lambda: StandardScaler(with_mean=False),
    lambda: StandardScaler(with_std=False),
    lambda: MinMaxScaler((-1, 2)),
    MaxAbsScaler,
    RobustScaler,
    lambda: "passthrough",
    FunctionTransformer,
    lambda: make_pipeline(RobustScaler(), MinMaxScaler()),
)
TARGETS = (*SCALERS[:6], SCALERS[8])


def data(n, m, seed=0):
    random = np.random.default_rng(seed)
    X = random.standard_normal((40, n)) * 3 + 10
    return X, np.tanh((X - 10) @ random.standard_normal((n, m))) * 5 + 20


def network_of(estimator):
    """The MLPRegressor or MLPClassifier inside."""
    while not hasattr(estimator, "coefs_"):
        inside = hasattr(estimator, "steps")
        estimator = estimator.steps[-1][1] if inside else estimator.regressor_
    return estimator


def outputs(estimator, X):
    """(N, m): of a classifier of two classes the probability of the second."""
    if not hasattr(estimator, "predict_proba"):
        return estimator.predict(X).reshape(len(X), -1)
    probabilities = estimator.predict_proba(X)
    return probabilities[:, 1:] if network_of(estimator).coefs_[-1].shape[1] == 1 else probabilities


def differences(estimator, X):
    """(y, dy/dx, dy/dtheta) by central differences of the estimator itself, theta as in `MLP.params`."""

    def quotient(array, index):
        kept = np.copy(array[index])
        array[index] = kept + STEP
        up = outputs(estimator, X)
        array[index] = kept - STEP
        down = outputs(estimator, X)
        array[index] = kept
        return (up - down) / (2 * STEP)

    X = X.copy()
    Jx = [quotient(X, (slice(None), i)) for i in range(X.shape[1])]
    J = []
    network = network_of(estimator)
    for W, b in zip(network.coefs_, network.intercepts_, strict=True):
        J += [quotient(W, (i, j)) for j in range(W.shape[1]) for i in range(W.shape[0])]
        J += [quotient(b, j) for j in range(len(b))]
    return outputs(estimator, X), np.stack(Jx, -1), np.stack(J, -1)


def compare(estimator, X):
    net = dn.from_sklearn(estimator)
    assert net.dtype == np.float64
    X = X[:6] + 0.01
    y, Jx, J = differences(estimator, X)
    noise = 1e-14 / STEP * np.abs(y).max()
    assert_equal(net(X), y, "outputs", 1e-12)
    assert_equal(net.input_jacobian(X), Jx, "dy/dx", 1e-7, noise)
    assert_equal(net.jacobian_dense(X), J, "dy/dtheta", 1e-7, noise)
    return net


def regressor(activation="tanh", hidden=(7, 4), **options):
    return MLPRegressor(
        hidden_layer_sizes=hidden,
        activation=activation,
        solver="lbfgs",
        max_iter=15,
        random_state=0,
        **options,
    )


def classifier(activation="tanh"):
    return MLPClassifier((7, 4), activation=activation, solver="lbfgs", max_iter=15, random_state=0)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_regressor(activation, outputs):
    X, Y = data(5, outputs)
    estimator = regressor(activation).fit(X, Y[:, 0] if outputs == 1 else Y)
    net = compare(estimator, X)
    assert net.sizes == (5, 7, 4, outputs) and net.input_scale is None


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_classifier(activation, classes):
    X, Y = data(5, classes)
    ranks = Y[:, 0].argsort().argsort()
    labels = np.array(["a", "b", "c"])[ranks * classes // len(ranks)]
    net = compare(make_pipeline(StandardScaler(), classifier(activation)).fit(X, labels), X)
    assert net.sizes[-1] == (1 if classes == 2 else 3)
    assert net.activations[-1] == ("sigmoid" if classes == 2 else "softmax")


def test_two_classes_are_one_probability():
    X, Y = data(5, 2)
    estimator = classifier().fit(X, Y[:, 0] > Y[:, 1])
    p = dn.from_sklearn(estimator)(X)
    assert p.shape == (40, 1)
    assert_equal(np.hstack([1 - p, p]), estimator.predict_proba(X), "probabilities", 1e-12)


def test_two_labels_are_two_probabilities():
    X, Y = data(5, 2)
    estimator = classifier().fit(X, Y > Y.mean(axis=0))
    net = compare(estimator, X)
    assert net.sizes[-1] == 2 and net.activations[-1] == "sigmoid"


@pytest.mark.parametrize("scaler", SCALERS)
def test_scaler(scaler):
    X, Y = data(5, 3)
    net = compare(make_pipeline(scaler(), regressor()).fit(X, Y), X)
    assert net.num_params == 5 * 7 + 7 + 7 * 4 + 4 + 4 * 3 + 3  # scalings are no parameters


@pytest.mark.parametrize("scaler", TARGETS)
def test_scaler_of_targets(scaler):
    X, Y = data(5, 3)
    wrapped = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), regressor()), transformer=scaler()
    )
    net = compare(wrapped.fit(X, Y), X)
    assert net.output_scale is not None and net.input_scale is not None
    inside = make_pipeline(
        StandardScaler(), TransformedTargetRegressor(regressor(), transformer=scaler())
    )
    compare(inside.fit(X, Y[:, 0]), X)


def test_standard_scaler_keeps_its_digits():
    X, Y = data(5, 3)
    estimator = make_pipeline(StandardScaler(), regressor()).fit(X, Y)
    net = dn.from_sklearn(estimator)
    assert (net.input_shift == estimator[0].mean_).all()
    assert (net.input_scale == estimator[0].scale_).all()


def test_single_precision():
    X, Y = (each.astype(np.float32) for each in data(5, 3))
    network = MLPRegressor(hidden_layer_sizes=(7, 4), max_iter=15, random_state=0)
    estimator = make_pipeline(StandardScaler(), network).fit(X, Y)
    assert network.coefs_[0].dtype == np.float32
    net = dn.from_sklearn(estimator)
    assert net.dtype == np.float32
    assert_equal(net(X), estimator.predict(X), "outputs", 1e-5)


def test_names_of_columns():
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    X, Y = data(5, 3)
    frame = pandas.DataFrame(X, columns=list("abcde"))
    estimator = make_pipeline(StandardScaler(), regressor()).fit(frame, Y)
    net = dn.from_sklearn(estimator)
    assert_equal(net(X), estimator.predict(frame), "outputs", 1e-12)
    assert net.input_names == list("abcde")


def search():
    return GridSearchCV(regressor(), {"alpha": [1e-3, 1e-2]}, cv=2)


def squares():
    return TransformedTargetRegressor(regressor(), func=np.sqrt, inverse_func=np.square)


REFUSED = {
    "not fitted": (lambda X, Y: regressor(), "MLPRegressor is not fitted: call fit"),
    "wrapper not fitted": (lambda X, Y: squares(), "TransformedTargetRegressor is not fitted"),
    "scaler": (
        lambda X, Y: make_pipeline(PolynomialFeatures(), regressor()).fit(X, Y),
        r"step 'polynomialfeatures' \(PolynomialFeatures\) is not a scaler",
    ),
    "function": (
        lambda X, Y: make_pipeline(FunctionTransformer(np.log), regressor()).fit(X, Y),
        r"step 'functiontransformer' \(FunctionTransformer\) is not a scaler",
    ),
    "clip": (
        lambda X, Y: make_pipeline(MinMaxScaler(clip=True), regressor()).fit(X, Y),
        r"step 'minmaxscaler' \(MinMaxScaler\) clips",
    ),
    "targets": (lambda X, Y: squares().fit(X, Y), "transformer_ is not a scaler"),
    "search": (lambda X, Y: search().fit(X, Y), "GridSearchCV .*best_estimator_"),
    "linear": (lambda X, Y: LinearRegression().fit(X, Y), "LinearRegression is not a network"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, message = REFUSED[name]
    X, Y = data(5, 3)
    with pytest.raises(ValueError, match=message) as caught:
        dn.from_sklearn(make(X, Y))
    assert "\n" not in str(caught.value)


def test_subclass_is_refused():
    """It may predict something else."""

    class Doubled(MLPRegressor):
        pass

    X, Y = data(5, 3)
    with pytest.raises(ValueError, match="Doubled is not a network"):
        dn.from_sklearn(Doubled(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=5).fit(X, Y))


def test_changed_network_is_refused():
    X, Y = data(5, 3)
    estimator = regressor().fit(X, Y)
    estimator.predict = lambda X: Y[: len(X)]
    with pytest.raises(ValueError, match="gives other outputs than its layers alone"):
        dn.from_sklearn(estimator)


@pytest.mark.parametrize("value", [None, "model.pkl", MLPRegressor])
def test_not_an_estimator(value):
    with pytest.raises(
        TypeError, match="estimator must be a fitted estimator of scikit-learn; got"
    ):
        dn.from_sklearn(value)


@pytest.mark.parametrize("seed", seeds(10))
def test_random_chain(seed):
    random = np.random.default_rng(seed)
    sizes = widths(random)
    X, Y = data(sizes[0], sizes[-1], seed)
    estimator = MLPRegressor if random.random() < 0.6 else MLPClassifier
    if estimator is MLPClassifier and sizes[-1] < 2:
        Y = np.hstack([Y, 40 - Y])
    estimator = estimator(
        hidden_layer_sizes=sizes[1:-1],
        activation=str(random.choice(ACTIVATIONS)),
        solver=str(random.choice(["lbfgs", "adam"])),
        max_iter=8,
        random_state=seed,
    )
    if isinstance(estimator, MLPClassifier):
        Y = (Y - Y.mean(axis=0)).argmax(axis=1)
    elif Y.shape[1] == 1:
        Y = Y[:, 0]
    if isinstance(estimator, MLPRegressor) and random.random() < 0.5:
        scaler = TARGETS[int(random.integers(len(TARGETS)))]()
        estimator = TransformedTargetRegressor(estimator, transformer=scaler)
    count = int(random.integers(0, 3))
    scalers = [SCALERS[int(random.integers(len(SCALERS)))]() for _ in range(count)]
    compare(make_pipeline(*scalers, estimator).fit(X, Y), X)
