"""from_flax: the outputs and Jacobians of Flax, or a refusal that names the layer."""

from itertools import pairwise

import numpy as np
import pytest
from live_chains import check, seeds, widths

import deltanet as dn

jax = pytest.importorskip("jax", reason="compares with jax")
linen = pytest.importorskip("flax.linen", reason="compares with flax")
nnx = pytest.importorskip("flax.nnx", reason="compares with flax")
jnp = jax.numpy

ACTIVATIONS = {
    "tanh": jnp.tanh,
    "sigmoid": linen.sigmoid,
    "relu": linen.relu,
    "elu": linen.elu,
    "selu": linen.selu,
    "gelu_tanh": linen.gelu,
    "silu": linen.silu,
    "softplus": linen.softplus,
    "softsign": linen.soft_sign,
    "leaky_relu": linen.leaky_relu,
    "celu": linen.celu,
    "hardtanh": linen.hard_tanh,
    "logsigmoid": linen.log_sigmoid,
}


class Net(linen.Module):
    """Dense layers of these widths, with or without biases."""

    sizes: tuple
    activations: tuple
    biases: tuple

    @linen.compact
    def __call__(self, x):
        for n, name, bias in zip(self.sizes[1:], self.activations, self.biases, strict=True):
            x = linen.Dense(n, use_bias=bias, param_dtype=jnp.float64)(x)
            x = ACTIVATIONS[name](x) if name else x
        return x


class Stack(nnx.Module):
    """The same of nnx, its layers in a list."""

    def __init__(self, sizes, activations, biases, rngs):
        self.layers = nnx.List(
            nnx.Linear(*pair, use_bias=bias, rngs=rngs, param_dtype=jnp.float64)
            for pair, bias in zip(pairwise(sizes), biases, strict=True)
        )
        self.names = activations

    def __call__(self, x):
        for layer, name in zip(self.layers, self.names, strict=True):
            x = layer(x)
            x = ACTIVATIONS[name](x) if name else x
        return x


@pytest.fixture(autouse=True)
def doubles():
    with jax.enable_x64(True):
        yield


def compare(net, apply, tree, X):
    """`apply(tree, x)` gives the outputs; its layers are in the order of `layers`."""

    def all_of_it(tree, X):
        Jx = jax.vmap(jax.jacrev(lambda x: apply(tree, x)))(X)
        return apply(tree, X), Jx, jax.vmap(jax.jacrev(apply), (None, 0))(tree, X)

    y, Jx, blocks = jax.jit(all_of_it)(tree, X)
    check(net, X, y, Jx, flat(blocks, y.shape))


def flat(tree, shape):
    """(N, m, P) of a tree of layers named ..._k, in the order of theta."""
    parts = []
    for layer in sorted(tree, key=lambda name: int(str(name).rpartition("_")[2])):
        kernel = np.moveaxis(np.asarray(tree[layer]["kernel"]), -1, -2)
        parts.append(kernel.reshape(*shape, -1))
        if tree[layer].get("bias") is not None:
            parts.append(np.asarray(tree[layer]["bias"]).reshape(*shape, -1))
    return np.concatenate(parts, axis=-1)


def check_linen(sizes, activations, biases, seed=0):
    module = Net(tuple(sizes), tuple(activations), tuple(biases))
    X = np.random.default_rng(seed).standard_normal((6, sizes[0]))
    variables = random_biases(module.init(jax.random.key(seed), X), seed)
    *hidden, output = activations
    net = dn.from_flax(variables, list(hidden), output or "identity")
    assert net.sizes == tuple(sizes) and [b is not None for b in net.biases] == list(biases)
    compare(net, lambda p, x: module.apply({"params": p}, x), variables["params"], X)
    assert dn.from_flax(variables["params"], list(hidden), output or "identity") == net


def check_nnx(sizes, activations, biases, seed=0):
    module = Stack(sizes, tuple(activations), biases, nnx.Rngs(seed))
    graph, state = nnx.split(module)
    X = np.random.default_rng(seed).standard_normal((6, sizes[0]))
    pure = random_biases(nnx.to_pure_dict(state), seed)
    nnx.replace_by_pure_dict(state, pure)
    *hidden, output = activations
    net = dn.from_flax(state, list(hidden), output or "identity")

    def apply(layers, x):
        nnx.replace_by_pure_dict(state, {"layers": layers})
        return nnx.merge(graph, state)(x)

    compare(net, apply, pure["layers"], X)
    assert dn.from_flax(pure, list(hidden), output or "identity") == net


def random_biases(tree, seed):
    """Flax begins with zeros, of which nobody would notice that they are missing."""
    random = np.random.default_rng(seed)

    def change(path, leaf):
        return jnp.asarray(random.standard_normal(leaf.shape)) if leaf.ndim == 1 else leaf

    return jax.tree_util.tree_map_with_path(change, tree)


@pytest.mark.parametrize("check", [check_linen, check_nnx])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name, check):
    check([5, 7, 3, 2], [name, "tanh", name], [True, False, True])


@pytest.mark.parametrize("check", [check_linen, check_nnx])
def test_twelve_layers(check):
    """jax sorts names: Dense_10 before Dense_2."""
    check([2, *range(3, 15)], ["tanh"] * 11 + [""], [True] * 12)


def test_one_layer_and_one_activation_for_all():
    kernel, bias = np.arange(6.0).reshape(3, 2), np.ones(2)
    layer = {"kernel": kernel, "bias": bias}
    net = dn.from_flax({"head": layer}, "tanh")
    assert net.sizes == (3, 2) and (net.weights[0] == kernel.T).all()
    assert dn.from_flax({"params": {"net": {"head": layer}}}, "relu") == net


@pytest.mark.parametrize("kind", [np.float32, jnp.bfloat16, np.float16])
def test_precision(kind):
    kernel = jnp.asarray(np.ones((3, 2)), kind)
    assert dn.from_flax({"head": {"kernel": kernel}}, "tanh").dtype == np.float32


def named(*names):
    """Layers of these names, of the widths 2, 3, 4, ..."""
    return {name: {"kernel": np.ones((k + 2, k + 3))} for k, name in enumerate(names)}


def test_layers_in_order():
    params = {"body": named("first", "second"), "head": {"kernel": np.ones((4, 1))}}
    with pytest.raises(
        ValueError, match=r"body.first, body.second, head do not tell their order.*layers="
    ):
        dn.from_flax(params, "tanh")
    net = dn.from_flax(params, "tanh", layers=["body.first", "body.second", "head"])
    assert net.sizes == (2, 3, 4, 1)
    with pytest.raises(ValueError, match=r"layers must name each of .* once; got head"):
        dn.from_flax(params, "tanh", layers=["head"])


ONE = np.ones((2, 3))
REFUSED = {
    "batch norm": (
        {"BatchNorm_0": {"scale": np.ones(3), "bias": np.ones(3)}},
        "'BatchNorm_0' holds",
    ),
    "embedding": ({"Embed_0": {"embedding": ONE}}, "'Embed_0' holds embedding"),
    "collections": ({"params": named("Dense_0"), "batch_stats": {}}, "params hold batch_stats too"),
    "convolution": ({"Conv_0": {"kernel": np.ones((3, 3, 1, 2))}}, r"'Conv_0' must have a kernel"),
    "two kinds": (named("Dense_0", "Head_0"), "do not tell their order"),
    "no number": (named("Dense_0", "Dense"), "do not tell their order"),
    "widths": ({"a_0": {"kernel": ONE}, "a_1": {"kernel": ONE}}, r"'a_1' has weights.*do not fit"),
    "empty": ({}, "params hold no layer"),
    "no kernel": ({"Dense_0": {"bias": np.ones(3)}}, "'Dense_0' holds bias"),
    "text": ({"Dense_0": {"kernel": np.array([["a"]])}}, "'Dense_0' must hold arrays of numbers"),
    "not finite": ({"Dense_0": {"kernel": ONE * np.nan}}, r"weights\[0\] of params must be finite"),
    "bias": ({"Dense_0": {"kernel": ONE, "bias": np.ones(2)}}, "'Dense_0' has 2 constants"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    params, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        dn.from_flax(params, "tanh")


def test_arguments():
    with pytest.raises(TypeError, match=r"params must be a mapping of layers.*got ndarray"):
        dn.from_flax(ONE, "tanh")
    with pytest.raises(ValueError, match="unknown activation 'tang'"):
        dn.from_flax(named("Dense_0", "Dense_1"), "tang")
    with pytest.raises(ValueError, match="one for each of 1 hidden layers"):
        dn.from_flax(named("Dense_0", "Dense_1"), ["tanh", "tanh"])
    with pytest.raises(ValueError, match="unknown activation 'tang'"):
        dn.from_flax(named("Dense_0"), "tanh", output="tang")


@pytest.mark.parametrize("seed", seeds(10))
def test_random_chain(seed):
    random = np.random.default_rng(seed)
    sizes = widths(random)
    layers = len(sizes) - 1
    names = [str(random.choice(list(ACTIVATIONS))) for _ in range(layers)]
    names[-1] = names[-1] if random.random() < 0.5 else ""
    biases = [bool(random.random() < 0.8) for _ in range(layers)]
    (check_linen if seed % 2 else check_nnx)(sizes, names, biases, seed)
