"""from_keras: the outputs and Jacobians of Keras, or a refusal that names the layer."""

import numpy as np
import pytest
from live_chains import check, seeds, widths

import deltanet as dn

torch = pytest.importorskip("torch", reason="the backend of Keras here")
keras = pytest.importorskip("keras", reason="compares with Keras")
if keras.backend.backend() != "torch":
    pytest.skip("takes the derivatives of the torch backend", allow_module_level=True)
layers = keras.layers
TOLERANCE = 2e-5  # Keras multiplies float64 matrices as float32 on this backend
# of Keras and torch, about NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# activation of deltanet: that of Keras
ACTIVATIONS = {
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "relu": "relu",
    "relu6": "relu6",
    "leaky_relu": "leaky_relu",
    "elu": "elu",
    "celu": "celu",
    "selu": "selu",
    "softplus": "softplus",
    "gelu": "gelu",
    "silu": "swish",
    "softsign": "softsign",
    "mish": "mish",
    "logsigmoid": "log_sigmoid",
    "hardtanh": "hard_tanh",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_silu",
    "tanhshrink": "tanh_shrink",
    "softshrink": "soft_shrink",
}
LAST = {"softmax": "softmax", "log_softmax": "log_softmax", "exp": "exponential"}
LAYERS = {
    "relu": layers.ReLU,
    "leaky_relu": lambda **options: layers.LeakyReLU(negative_slope=0.15, **options),
    "slope of ReLU": lambda **options: layers.ReLU(negative_slope=0.25, **options),
    "elu": lambda **options: layers.ELU(alpha=0.6, **options),
    "prelu": lambda **options: layers.PReLU(
        alpha_initializer=keras.initializers.Constant(0.3), **options
    ),
}


def sequential(*parts, n=5, dtype="float64", trained=True):
    model = keras.Sequential([keras.Input((n,), dtype=dtype), *parts])
    if trained:
        random = np.random.default_rng(0)
        for layer in flattened(model):
            if isinstance(layer, layers.BatchNormalization):
                for each in layer.weights:
                    each.assign(random.uniform(0.3, 2, each.shape))
            elif isinstance(layer, layers.Dense) and layer.use_bias:
                layer.bias.assign(random.standard_normal(layer.bias.shape))
    return model


def flattened(model):
    for layer in model.layers:
        yield from flattened(layer) if isinstance(layer, keras.Sequential) else [layer]


def dense(n, activation=None, dtype="float64", **options):
    return layers.Dense(n, activation, dtype=dtype, **options)


def derivatives(model, X):
    """(y, dy/dx, dy/dtheta) by torch, theta as in `MLP.params`."""
    x = torch.tensor(X, requires_grad=True)
    y = model(x, training=False)
    weights = [layer for layer in flattened(model) if isinstance(layer, layers.Dense)]
    variables = [v.value for layer in weights for v in (layer.kernel, layer.bias) if v is not None]
    Jx, J = np.zeros((*y.shape, X.shape[1])), []
    for s, o in np.ndindex(*y.shape):
        of_x, *rest = torch.autograd.grad(y[s, o], [x, *variables], retain_graph=True)
        Jx[s, o] = of_x[s].numpy()
        J.append(np.concatenate([g.numpy().T.ravel() for g in rest]))
    return y.detach().numpy(), Jx, np.reshape(J, (*y.shape, -1))


def compare(model, folded=False):
    net = dn.from_keras(model)
    X = (np.random.default_rng(1).standard_normal((6, net.sizes[0])) * 2).astype(net.dtype)
    y, Jx, J = derivatives(model, X)
    check(net, X, y, Jx, None if folded else J, TOLERANCE)
    return net


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [*ACTIVATIONS, *LAST])
def test_activation(name, dtype):
    hidden = "tanh" if name in LAST else ACTIVATIONS[name]
    last = (ACTIVATIONS | LAST)[name]
    model = sequential(
        dense(7, hidden, dtype),
        dense(4, None, dtype, use_bias=False),
        layers.Activation(last, dtype=dtype),
        dtype=dtype,
    )
    net = compare(model)
    assert net.dtype == dtype and net.sizes == (5, 7, 4) and net.biases[1] is None
    spec = net.activations[-1]
    assert (spec if isinstance(spec, str) else spec[0]) == name


@pytest.mark.parametrize("name", LAYERS)
def test_layer_of_an_activation(name):
    compare(sequential(dense(7), LAYERS[name](dtype="float64"), dense(3)))
    inside = sequential(dense(7, LAYERS[name](dtype="float64")), dense(3))
    inside(np.zeros((1, 5)))  # it builds a PReLU
    compare(inside)


def normalization(**options):
    layer = layers.Normalization(dtype="float64", **options)
    layer.adapt(np.random.default_rng(0).standard_normal((50, 5)) * 3 + 100)
    return layer


def inverted():
    return layers.Normalization(
        mean=[1.0, 2, 3], variance=[4.0, 5, 6], invert=True, dtype="float64"
    )


def batch_norm(**options):
    return layers.BatchNormalization(dtype="float64", **options)


def rescaling():
    return layers.Rescaling(1 / 3, -0.5, dtype="float64")


@pytest.mark.parametrize(
    "make", [batch_norm, rescaling, lambda: batch_norm(center=False, scale=False)]
)
@pytest.mark.parametrize("place", range(5))
def test_scaling(make, place):
    parts = [dense(7), layers.Activation("tanh", dtype="float64"), dense(4, "relu"), dense(3)]
    parts.insert(place, make())
    net = compare(sequential(*parts), folded=place in (1, 2, 3))
    assert (net.input_scale is not None) == (place == 0)
    assert (net.output_scale is not None) == (place == 4)
    assert net.sizes == (5, 7, 4, 3)


def test_normalization():
    norm = normalization()
    model = sequential(norm, dense(7, "tanh"), dense(3), inverted())
    net = dn.from_keras(model)
    X = np.random.default_rng(0).standard_normal((6, 5)) * 3 + 100
    check(net, X, *derivatives(model, X), TOLERANCE)
    assert net.input_scale is not None and net.output_shift.tolist() == [1, 2, 3]
    assert (net.input_shift == keras.ops.convert_to_numpy(norm.mean)[0]).all()


def test_what_does_nothing():
    inner = keras.Sequential([keras.Input((7,)), layers.Dropout(0.5), dense(4, "tanh")])
    model = sequential(
        layers.GaussianNoise(0.1, dtype="float64"),
        layers.Flatten(dtype="float64"),
        dense(7, "elu"),
        inner,
        dense(3),
    )
    assert compare(model).sizes == (5, 7, 4, 3)


def test_images():
    model = keras.Sequential(
        [
            keras.Input((3, 4)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(5, "relu"),
            layers.Dense(2),
        ]
    )
    X = np.random.default_rng(0).uniform(0, 255, (6, 3, 4)).astype("f4")
    net = dn.from_keras(model)
    exact = keras.ops.convert_to_numpy(model(X))
    assert np.abs(net(X.reshape(6, 12)) - exact).max() < 1e-5 * np.abs(exact).max()


def functional():
    start = keras.Input((5,))
    return keras.Model(start, layers.Dense(3)(start))


def twice():
    layer = layers.Dense(5)
    return keras.Sequential([keras.Input((5,)), layer, keras.Sequential([layer]), layers.Dense(2)])


def pair():
    """PReLU with a slope for each feature."""
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3), layers.PReLU()])
    model.layers[1].alpha.assign([0.1, 0.2, 0.3])
    return model


class Negated(layers.Dense):
    def call(self, x):
        return -super().call(x)


class Doubled(keras.Sequential):
    def call(self, x, **options):
        return 2 * super().call(x, **options)


def doubled():
    return Doubled([keras.Input((5,)), layers.Dense(3)])


def small(*parts):
    return lambda: keras.Sequential([keras.Input((5,)), layers.Dense(4), *parts, layers.Dense(3)])


REFUSED = {
    "normalization": (
        small(layers.LayerNormalization()),
        r"layer '.*' \(LayerNormalization\) is not",
    ),
    "not built": (lambda: keras.Sequential([layers.Dense(3)]), r"model '.*' is not built"),
    "function": (
        small(layers.Activation(lambda x: x)),
        "activation '<lambda>', which is not one of Keras",
    ),
    "no own name": (
        small(layers.Activation("sparsemax")),
        "cannot be read: unknown activation 'sparsemax'",
    ),
    "axes": (
        lambda: keras.Sequential([keras.Input((4, 3)), layers.Dense(2)]),
        r"takes samples of shape \(4, 3\).*put a Flatten before",
    ),
    "functional": (functional, r"model '.*' is not a Sequential"),
    "twice": (twice, r"\(Dense\) is used twice"),
    "slopes": (pair, "slope for each feature"),
    "subclass": (small(Negated(4)), r"\(Negated\) is not a dense layer"),
    "largest": (small(layers.ReLU(max_value=3)), "max_value=3"),
    "threshold": (small(layers.ReLU(threshold=1)), "threshold=1"),
    "call": (doubled, "gives other outputs than its layers alone"),
    "softmax": (small(layers.Softmax(axis=0)), "axis=0"),
    "hidden softmax": (small(layers.Softmax()), "only the last layer"),
    "two activations": (small(layers.ReLU(), layers.ELU()), "does not follow a dense layer"),
    "axis of the samples": (
        lambda: keras.Sequential(
            [keras.Input(batch_shape=(5, 5)), layers.BatchNormalization(axis=0), layers.Dense(3)]
        ),
        r"\(BatchNormalization\) must be over the features, axis=-1; got axis=0",
    ),
    "not alone": (
        small(layers.Dense(4, keras.layers.PReLU())),
        r"\(PReLU\) is not built: call the model once",
    ),
    "reshape": (small(layers.Reshape((2, 2)), layers.Flatten()), r"\(Reshape\) is not"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        dn.from_keras(make())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, "model.keras", layers.Dense])
def test_not_a_model(value):
    with pytest.raises(TypeError, match=r"model must be a Sequential of Keras 3; got"):
        dn.from_keras(value)


def test_half_precision():
    model = keras.Sequential(
        [keras.Input((5,)), dense(7, "tanh", "bfloat16"), dense(3, None, "bfloat16")]
    )
    assert dn.from_keras(model).dtype == np.float32


@pytest.mark.parametrize("seed", seeds(10))
def test_random_chain(seed):
    random = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    n, *sizes = widths(random)
    dtype = str(random.choice(["float64", "float32"]))
    parts, folded = [], False
    for k, size in enumerate(sizes):
        last = k == len(sizes) - 1
        if random.random() < 0.2:
            parts.append(layers.Dropout(0.5, dtype=dtype))
        if random.random() < 0.2:
            parts.append(random_scaling(random, dtype))
            folded |= k > 0
        names = list((ACTIVATIONS | LAST) if last else ACTIVATIONS)
        name = (ACTIVATIONS | LAST)[str(random.choice(names))]
        bias = bool(random.random() < 0.8)
        form = int(random.integers(3))
        parts.append(dense(size, name if form == 0 else None, dtype, use_bias=bias))
        if random.random() < 0.2 and form:
            parts.append(random_scaling(random, dtype))
            folded = True
        if form == 1:
            parts.append(layers.Activation(name, dtype=dtype))
        elif form == 2:
            kinds = list(LAYERS)
            parts.append(LAYERS[str(random.choice(kinds))](dtype=dtype))
    if random.random() < 0.3:
        cut = int(random.integers(len(parts)))
        parts[cut:] = [keras.Sequential(parts[cut:])]
    compare(sequential(*parts, n=n, dtype=dtype), folded)


def random_scaling(random, dtype):
    if random.random() < 0.5:
        return layers.BatchNormalization(dtype=dtype)
    return layers.Rescaling(
        float(random.uniform(0.3, 2)), float(random.uniform(-1, 1)), dtype=dtype
    )
