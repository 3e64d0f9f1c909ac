"""from_torch and to_torch: the outputs and Jacobians of torch, or a refusal that names the module."""

import copy
from itertools import pairwise

import numpy as np
import pytest
from live_chains import assert_equal, check, seeds, widths

import deltanet as dn
from deltanet.testing import FORMULAS

torch = pytest.importorskip("torch", reason="compares with torch")
nn, F = torch.nn, torch.nn.functional
# of torch itself: TorchScript is deprecated, which policies are shipped in
pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit:DeprecationWarning", "ignore:.torch.jit:FutureWarning"
)

ACTIVATIONS = {
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "elu": lambda: nn.ELU(0.7),
    "celu": lambda: nn.CELU(1.5),
    "selu": nn.SELU,
    "softplus": lambda: nn.Softplus(2.0, 40),
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softsign": nn.Softsign,
    "softshrink": lambda: nn.Softshrink(0.1),
    "tanhshrink": nn.Tanhshrink,
    "logsigmoid": nn.LogSigmoid,
    "hardtanh": nn.Hardtanh,
    "hardsigmoid": nn.Hardsigmoid,
    "hardswish": nn.Hardswish,
}
COUPLED = {"softmax": lambda: nn.Softmax(dim=-1), "log_softmax": lambda: nn.LogSoftmax(dim=1)}
ALL = ACTIVATIONS | COUPLED


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def statistics(layer):
    """A BatchNorm1d as it is after training."""
    with torch.no_grad():
        for each, (low, high) in [
            (layer.running_mean, (-2, 2)),
            (layer.running_var, (0.2, 3)),
            (layer.weight, (-2, 2)),
            (layer.bias, (-1, 1)),
        ]:
            each.uniform_(low, high)
    return layer


def theta(module):
    """The parameters of its dense layers, by name, in the order of parameters_to_vector."""
    dense = [name for name, each in module.named_modules() if isinstance(each, nn.Linear)]
    found = dict(module.named_parameters())
    return {name: p for name, p in found.items() if name.rpartition(".")[0] in dense}


def derivatives(module, X):
    """(y, dy/dx, dy/dtheta) by torch."""
    parameters = theta(module)

    def output(p, x):
        return torch.func.functional_call(module, p, (x[None],))[0]

    y = module(X)
    Jx = torch.func.vmap(torch.func.jacrev(output, 1), (None, 0))(parameters, X)
    blocks = torch.func.vmap(torch.func.jacrev(output), (None, 0))(parameters, X)
    J = np.concatenate([b.detach().numpy().reshape(*y.shape, -1) for b in blocks.values()], -1)
    return y.detach().numpy(), Jx.detach().numpy(), J


def compare(module, net, folded=False):
    """A net with what torch says of a module; theta too, if nothing was folded."""
    X = torch.randn(7, net.sizes[0], dtype=getattr(torch, net.dtype.name)) * 2
    y, Jx, J = derivatives(module, X)
    # torch has 1/6 in single precision there
    tolerance = 1e-7 if "hardsigmoid" in net.activations and net.dtype == np.float64 else None
    check(net, X.numpy(), y, Jx, None if folded else J, tolerance)
    if not folded:
        vector = torch.nn.utils.parameters_to_vector(theta(module).values())
        assert (net.params == vector.detach().numpy()).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ALL)
def test_activation(name, dtype):
    hidden = ALL[name]() if name in ACTIVATIONS else nn.Tanh()
    module = nn.Sequential(nn.Linear(5, 7), hidden, nn.Linear(7, 3, bias=False), ALL[name]())
    module = module.to(getattr(torch, dtype))
    net = dn.from_torch(module)
    assert net.dtype == dtype and net.biases[1] is None
    assert [spec if isinstance(spec, str) else spec[0] for spec in net.activations][1] == name
    compare(module, net)


BOUNDED = {
    "Hardtanh": (lambda: nn.Hardtanh(-0.3, 0.4), ("hardtanh", -0.3, 0.4)),
    "Hardtanh of 6": (lambda: nn.Hardtanh(0.0, 6.0), "relu6"),
    "Threshold": (lambda: nn.Threshold(0.1, -0.2), ("threshold", 0.1, -0.2)),
    "Threshold of 0": (lambda: nn.Threshold(0.0, 0.0), "relu"),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_activation_of_two_parameters(name):
    make, spec = BOUNDED[name]
    module = nn.Sequential(nn.Linear(5, 7), make(), nn.Linear(7, 3)).double()
    net = dn.from_torch(module)
    assert net.activations[0] == spec
    compare(module, net)
    compare(module, dn.from_torch(torch.jit.script(module)))
    assert dn.from_torch(net.to_torch()) == net


@pytest.mark.parametrize("form", ["python", "scripted"])
@pytest.mark.parametrize("layer", [nn.RReLU(0.1, 0.3), nn.PReLU(init=0.25)])
def test_slopes(layer, form):
    module = nn.Sequential(nn.Linear(5, 7), layer, nn.Linear(7, 3)).eval()
    net = dn.from_torch(FORMS[form](module))
    (name, slope), _ = net.activations
    assert (
        name == "leaky_relu" and abs(slope - (0.2 if isinstance(layer, nn.RReLU) else 0.25)) < 1e-12
    )
    X = torch.randn(7, 5)
    assert_equal(net(X.numpy()), module(X).detach().numpy(), "outputs", 1e-5)


# Modules with a forward of their own


class Chain(nn.Module):
    """fc1 and fc2, of 5, 7 and 3 features, and what lies between."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(5, 7), nn.Linear(7, 3)
        self.act, self.drop = nn.Tanh(), nn.Dropout(0.3)
        self.register_buffer("mean", torch.randn(1, 5))
        self.register_buffer("std", torch.rand(1, 5) + 0.5)
        self.gain = nn.Parameter(torch.tensor(1.7))

    def forward(self, x):
        return self.fc2(self.drop(self.act(self.fc1(x))))


class Functions(Chain):
    def forward(self, x):
        x = x.view(x.size(0), -1)
        x = F.dropout(F.relu(self.fc1(x)), 0.5, self.training)
        return torch.sigmoid(self.fc2(torch.flatten(x, 1)))


class Methods(Chain):
    def forward(self, x):
        x = x.reshape((x.shape[0], -1))
        return self.fc2(self.fc1(x).relu()).tanh()


class InPlace(Chain):
    def forward(self, x):
        x = self.fc1(x)
        x = F.elu(x, 0.5, inplace=True)
        return torch.relu_(self.fc2(x))


class Twice(Chain):
    """One module of an activation used twice: it has no parameters."""

    def forward(self, x):
        return self.act(self.fc2(self.act(self.fc1(x))))


class Swish(Chain):
    def forward(self, x):
        h = self.fc1(x)
        return self.fc2(h * torch.sigmoid(h))


class SwishLast(Chain):
    def forward(self, x):
        y = self.fc2(self.act(self.fc1(x)))
        return y * torch.sigmoid(y)


class Bell(Chain):
    def forward(self, x):
        h = self.fc1(x)
        return self.fc2(torch.exp(-(h * h)))


class Matrices(Chain):
    def forward(self, x):
        h = torch.tanh(x @ self.fc1.weight.t() + self.fc1.bias)
        return torch.addmm(self.fc2.bias, h, self.fc2.weight.t())


class Squeezed(Chain):
    def __init__(self):
        super().__init__()
        self.fc2 = nn.Linear(7, 1)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x))).squeeze(-1)


class Scaled(Chain):
    """With arithmetic everywhere: folded."""

    def forward(self, x):
        h = self.act(2 * self.fc1((x - self.mean) / (self.std + 0.01)) - 1)
        return 3 - self.fc2((h + 1) / 2) * self.gain


class Sub(nn.Linear):
    """A subclass with the forward of its base."""


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(Sub(5, 7), nn.Sequential(nn.GELU(), nn.Identity()))
        self.head = nn.Linear(7, 3)

    def forward(self, x):
        return self.head(self.body(x))


CHAINS = [Chain, Functions, Methods, InPlace, Twice, Swish, SwishLast, Bell, Matrices, Block]


def scripted(module):
    return torch.jit.script(module)


def traced(module):
    return torch.jit.trace(module, torch.randn(2, 5, dtype=torch.float64))


def frozen(module):
    return torch.jit.freeze(torch.jit.script(module))


FORMS = {"python": lambda module: module, "scripted": scripted, "traced": traced, "frozen": frozen}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [*CHAINS, Squeezed, Scaled])
def test_forward_of_its_own(kind, form):
    module = kind().double().eval()
    net = dn.from_torch(FORMS[form](module))
    n_out = 1 if kind is Squeezed else 3
    assert net.sizes == (5, 7, n_out) and net.dtype == np.float64
    if kind is Squeezed:
        module = nn.Sequential(module.fc1, module.act, module.fc2)
    compare(module, net, folded=kind is Scaled)


def forward_of(function):
    """Chain with this forward: of the module, and of its first activation."""

    class Made(Chain):
        def forward(self, x):
            return function(self, self.act(self.fc1(x)))

    return Made().double().eval()


FOLDED = {
    "minus": lambda m, h: m.fc2(1 - h),
    "neg": lambda m, h: m.fc2(-h) / 2,
    "mm": lambda m, h: torch.mm(h.float().double(), m.fc2.weight.t()),
    "constant first": lambda m, h: 2 + 3 * m.fc2(h),
    "alpha": lambda m, h: torch.sub(torch.add(m.fc2(h), m.gain, alpha=2), m.gain, alpha=3),
    "alpha first": lambda m, h: torch.sub(m.gain, torch.add(m.gain, m.fc2(h), alpha=2), alpha=3),
    "to": lambda m, h: m.fc2(h.to("cpu").to(dtype=torch.float64)),
    "contiguous": lambda m, h: m.fc2(h.contiguous()).sigmoid(),
    "square": lambda m, h: m.fc2(h) ** 2,
    "held at 0": lambda m, h: m.fc2(h).clamp(min=0),
    "constants": lambda m, h: m.fc2(h) * torch.exp(m.gain).abs(),
}


@pytest.mark.parametrize("name", FOLDED)
def test_arithmetic(name):
    module = forward_of(FOLDED[name])
    net = dn.from_torch(module)
    tolerance = 1e-6 if name == "mm" else None  # it rounds h
    X = torch.randn(7, 5, dtype=torch.float64)
    y, Jx, _ = derivatives(module, X)
    check(net, X.numpy(), y, Jx, tolerance=tolerance)
    traced = torch.jit.trace(module, X)
    check(dn.from_torch(traced), X.numpy(), y, Jx, tolerance=tolerance)


REFUSED_FORWARDS = {
    "inverse": (lambda m, h: m.fc2(1 / h), "divides by the samples"),
    "floor": (
        lambda m, h: torch.div(h, 2, rounding_mode="floor"),
        "divides by the samples, or rounds",
    ),
    "zero": (lambda m, h: m.fc2(h / torch.zeros(7)), "divides by zero"),
    "cube": (lambda m, h: m.fc2(h**3), "'pow' is not a square"),
    "power": (lambda m, h: m.fc2(2**h), "'pow' is not a square"),
    "view": (lambda m, h: h.view(-1, 7, 1), "'view' must only flatten"),
    "columns": (lambda m, h: h.view(7, -1), "'view' must only flatten"),
    "squeeze": (lambda m, h: h.squeeze(0), "'squeeze' must take away"),
    "after squeeze": (
        lambda m, h: (h @ m.fc2.weight[:1].t()).squeeze(1) + 1,
        "'add' follows a squeeze",
    ),
    "factors": (
        lambda m, h: torch.addmm(m.fc2.bias, h, m.fc2.weight.t(), alpha=2),
        "has factors 1 and 2",
    ),
    "gains": (lambda m, h: m.fc2(h + torch.tanh(h) * torch.rand(7)), "several operations"),
    "gram": (lambda m, h: torch.ones(3, 7).double() @ h.t(), "'t' is not a dense layer"),
    "first": (lambda m, h: m.fc2.weight @ h, "takes its weights from the samples"),
    "clamp": (lambda m, h: m.fc2(h).clamp(max=1), "between None and 1: give both"),
    "slope": (lambda m, h: F.prelu(m.fc1.bias, h), "takes its input as a parameter"),
    "words": (lambda m, h: torch.tanh(h, out=m.mean), "has arguments that deltanet does not know"),
    "broadcast": (lambda m, h: m.fc2(h) + torch.ones(2, 3), r"constants of shape \(2, 3\)"),
    "complex": (lambda m, h: m.fc2(h) + torch.ones(3) * 1j, "dtype complex64"),
    "in place": (
        lambda m, h: m.fc2(h) + m.gain.data.add_(0),
        "changes a tensor in place|other outputs",
    ),
    "parameter": (lambda m, h: m.fc2(h) + m.gain.add_(0), "'add_' changes a tensor in place"),
    "constant": (lambda m, h: m.fc2(h) + m.gain.view(7), "'view' failed"),
    "user": (lambda m, h: wrapped(h), "function 'wrapped' is not one of torch"),
    "shape": (lambda m, h: m.fc2(h) if h.dim() == 2 else h, "cannot be followed|not used"),
    "meta": (lambda m, h: m.fc2(h) + torch.ones(3, device="meta"), "cannot be read"),
    "to": (lambda m, h: m.fc2(h.to(torch.int32)), "another kind than floats"),
    "elu": (lambda m, h: torch.ops.aten.elu(m.fc2(h), 1, 2), "'elu'"),
}


def wrapped(h):
    return h


torch.fx.wrap("wrapped")


@pytest.mark.parametrize("name", REFUSED_FORWARDS)
def test_forward_is_refused(name):
    function, message = REFUSED_FORWARDS[name]
    with pytest.raises(ValueError, match=message) as caught:
        dn.from_torch(forward_of(function))
    assert "\n" not in str(caught.value)


def test_scripted_integers():
    module = torch.jit.trace(
        forward_of(lambda m, h: m.fc2(h.to(torch.int32).double())), torch.ones(2, 5).double()
    )
    with pytest.raises(ValueError, match="another kind than floats"):
        dn.from_torch(module)


# Policies


class RunningNorm(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.eps = 0.01
        self.register_buffer("_mean", torch.randn(1, n) * 5)
        self.register_buffer("_std", torch.rand(1, n) + 0.3)

    def forward(self, x):
        if self.training:
            self.update(x)
        return (x - self._mean) / (self._std + self.eps)

    @torch.jit.unused
    def update(self, x):
        self._mean.add_(0)


class Policy(nn.Module):
    def __init__(self, normalizer):
        super().__init__()
        self.normalizer = normalizer
        self.actor = nn.Sequential(
            nn.Linear(6, 8), nn.ELU(), nn.Linear(8, 5), nn.ELU(), nn.Linear(5, 3)
        )
        self.critic = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 1))

    def forward(self, x):
        return self.actor(self.normalizer(x))

    @torch.jit.export
    def reset(self):
        pass


@pytest.mark.parametrize("normalizer", [nn.Identity, lambda: RunningNorm(6)])
def test_policy_file(normalizer, tmp_path):
    module = Policy(normalizer())
    module.normalizer.eval()  # the policy itself stays in training mode, on which nothing depends
    path = str(tmp_path / "policy.pt")
    torch.jit.script(module).save(path)
    policy = torch.jit.load(path)
    assert policy.training
    whole = dn.from_torch(policy)
    X = torch.randn(7, 6) * 3 + 1
    actor = torch.nn.Sequential(module.normalizer, *module.actor)
    check(whole, X.numpy(), *derivatives(actor, X))
    assert (whole.input_scale is None) == isinstance(module.normalizer, nn.Identity)
    part = dn.from_torch(policy.actor)
    assert part == dn.from_torch(module.actor)
    check(part, X.numpy(), *derivatives(module.actor, X))
    assert dn.from_torch(policy.critic).sizes == (6, 4, 1)


def test_mean_and_deviation_keep_their_digits():
    module = Policy(RunningNorm(6)).eval()
    net = dn.from_torch(module)
    assert (net.input_shift == module.normalizer._mean.numpy()[0]).all()
    assert (net.input_scale == (module.normalizer._std + 0.01).numpy()[0]).all()


# Where a BatchNorm1d goes


@pytest.mark.parametrize("form", ["python", "scripted"])
@pytest.mark.parametrize("place", range(6))
def test_batch_norm(place, form):
    layers = [nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4), nn.ReLU(), nn.Linear(4, 3)]
    width = [5, 7, 7, 4, 4, 3][place]
    layers.insert(place, statistics(nn.BatchNorm1d(width)))
    module = nn.Sequential(*layers).double().eval()
    net = dn.from_torch(FORMS[form](module))
    compare(module, net, folded=True)
    assert (net.input_scale is not None) == (place == 0)
    assert (net.output_scale is not None) == (place == 5)
    assert net.sizes == (5, 7, 4, 3)


def test_plain_batch_norm_and_no_bias():
    norm = nn.BatchNorm1d(7, affine=False)
    norm.running_mean.uniform_(-1, 1)
    module = nn.Sequential(nn.Linear(5, 7, bias=False), norm, nn.Tanh(), nn.Linear(7, 3)).eval()
    compare(module.double(), dn.from_torch(module), folded=True)


# Refusals


class Skip(Chain):
    def forward(self, x):
        h = self.fc1(x)
        return self.fc2(h + torch.tanh(h) * self.gain)


class Residual(Chain):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.fc2(x + torch.tanh(self.fc1(x)))


class Reused(Residual):
    def forward(self, x):
        return self.fc2(torch.tanh(self.fc1(torch.tanh(self.fc1(x)))))


class Joined(Chain):
    def forward(self, x):
        return self.fc2(torch.cat([self.fc1(x)[:, :3], self.fc1(x)[:, :4]], 1))


class Conditional(Chain):
    def forward(self, x):
        return self.fc2(self.fc1(x) if x.sum() > 0 else torch.tanh(self.fc1(x)))


class Norm(Chain):
    def forward(self, x):
        return self.fc2(F.layer_norm(self.fc1(x), (7,)))


class Pair(Chain):
    def forward(self, x):
        h = self.act(self.fc1(x))
        return self.fc2(h), h


class TwoInputs(Chain):
    def forward(self, x, z):
        return self.fc2(self.fc1(x) + z)


class AlwaysDropout(Chain):
    def forward(self, x):
        return self.fc2(F.dropout(self.fc1(x), 0.5))


class Batch(Chain):
    """Standardizes over the samples of the batch."""

    def forward(self, x):
        return self.fc2(self.fc1(x - x.mean(0)))


class OverSamples(Chain):
    def forward(self, x):
        return torch.softmax(self.fc2(x @ self.fc1.weight.t()), 0)


class Mixing(Chain):
    """The axis of the samples goes into the features."""

    def forward(self, x):
        return self.fc2(self.fc1(x.t()))


class Mutated(Chain):
    """An operation in place, whose result is not used."""

    def forward(self, x):
        h = self.fc2(self.fc1(x))
        torch.relu_(h)
        return h


class Clamped(Chain):
    """As policies of rl_games do: not a net whose input goes into a dense layer."""

    def forward(self, x):
        return self.fc2(self.fc1(torch.clamp((x - self.mean) / self.std, -5.0, 5.0)))


class ScaledELU(Chain):
    def forward(self, x):
        return self.fc2(torch._C._nn.elu(self.fc1(x), 1.0, 2.0))


REFUSED = {
    Skip: "several operations",
    ScaledELU: "elu.* has scales of its own|gives other outputs",
    Residual: "several operations",
    Reused: "module 'fc1'.* used before",
    Joined: "several operations|used before",
    Conditional: "forward of Conditional cannot be followed|'prim::If'",
    Norm: "layer_norm",
    Pair: "several operations|one tensor",
    TwoInputs: "missing 1 required|second input",
    AlwaysDropout: r"dropout.*module.eval\(\)",
    Batch: "several operations.*mean",
    OverSamples: "softmax.*dim=0",
    Mixing: "'t'|'aten::t'",
    Mutated: "comes after what Mutated returns|relu_",
    Clamped: "clamp.*does not follow a dense layer",
}


@pytest.mark.parametrize("form", ["python", "scripted"])
@pytest.mark.parametrize("kind", REFUSED)
def test_not_a_chain(kind, form):
    module = kind().eval()
    with pytest.raises(ValueError, match=REFUSED[kind]) as caught:
        dn.from_torch(FORMS[form](module))
    assert "\n" not in str(caught.value)


class Noisy(Chain):
    def forward(self, x):
        return self.fc2(self.fc1(x) + torch.randn(7))


class Counting(Chain):
    """It does something else in its first call than later."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return self.fc2(torch.tanh(self.fc1(x)) if self.calls == 1 else self.fc1(x))


class Twisted(nn.Linear):
    """A subclass of Linear with another forward."""

    def forward(self, x):
        return super().forward(x).flip(-1)


def hooked():
    module = Chain()
    module.fc1.register_forward_hook(lambda module, inputs, output: 2 * output)
    return module


def patched():
    module = nn.Sequential(nn.Linear(5, 3))
    module[0].forward = lambda x: F.linear(x, -module[0].weight)
    return module


@pytest.mark.parametrize("make", [Noisy, Counting, hooked])
def test_outputs_are_compared(make):
    with pytest.raises(ValueError, match="gives other outputs than its layers alone"):
        dn.from_torch(make().eval())


@pytest.mark.parametrize(
    "hook, message",
    [
        (
            lambda module, inputs, output: output[:, :2],
            r"gives \(16, 2\) .* where .* give \(16, 3\)",
        ),
        (
            lambda module, inputs, output: output.view(5, 5),
            r"cannot be called with X of shape \(16, 5\)",
        ),
    ],
)
def test_outputs_of_another_shape(hook, message):
    module = Chain().eval()
    module.fc2.register_forward_hook(hook)
    with pytest.raises(ValueError, match=message):
        dn.from_torch(module)


def test_other_forward_of_a_known_layer():
    with pytest.raises(ValueError, match="'flip'"):
        dn.from_torch(nn.Sequential(Twisted(5, 3)))
    with pytest.raises(ValueError, match=r"module '0' \(Linear\) is not a dense layer"):
        dn.from_torch(patched())


def sloped():
    module = nn.PReLU(2)
    module.weight.data[1] = 0.5
    return module


MODULES = {
    "LayerNorm": (nn.LayerNorm(7), r"module '1' \(LayerNorm\)"),
    "BatchNorm1d": (nn.BatchNorm1d(7), r"module '1' \(BatchNorm1d\) is in training mode.*eval\(\)"),
    "Dropout": (nn.Dropout(), r"module '1' \(Dropout\) is in training mode.*eval\(\)"),
    "no running mean": (nn.BatchNorm1d(7, track_running_stats=False).eval(), "no running mean"),
    "RReLU": (nn.RReLU(), "draws its slope at random"),
    "PReLU": (sloped(), "slope for each feature"),
    "Softplus": (nn.Softplus(threshold=1), "threshold of at least 20"),
    "Flatten": (nn.Flatten(0), "start_dim=1"),
    "Softmax": (nn.Softmax(dim=0), "dim=0"),
    "hidden softmax": (nn.Softmax(dim=1), "only the last layer"),
    "two activations": (nn.Sequential(nn.Tanh(), nn.ReLU()), r"module '1.1' \(ReLU\)"),
    "width": (nn.Linear(6, 7), r"module '1' \(Linear\) has weights of shape \(7, 6\)"),
    "constants": (nn.BatchNorm1d(6).eval(), r"module '1' \(BatchNorm1d\) has 6 constants"),
}


@pytest.mark.parametrize("name", MODULES)
def test_module_is_refused(name):
    module, message = MODULES[name]
    with pytest.raises(ValueError, match=message):
        dn.from_torch(nn.Sequential(nn.Linear(5, 7), module, nn.Linear(7, 3)))


def test_not_finite():
    module = nn.Linear(5, 3)
    module.weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"weights\[0\] of Linear must be finite"):
        dn.from_torch(module)


@pytest.mark.parametrize("module", [nn.Sequential(), nn.Identity(), nn.Tanh()])
def test_no_dense_layer(module):
    with pytest.raises(ValueError, match=r"has no dense layer|does not follow a dense layer"):
        dn.from_torch(module)


def test_tied_weights():
    module = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3))
    module[2].weight = module[0].weight
    with pytest.raises(
        ValueError, match=r"module '2' \(Linear\) uses weights that were used before"
    ):
        dn.from_torch(module)


def test_scripted_without_a_forward():
    class Silent(nn.Module):
        @torch.jit.export
        def reset(self):
            pass

    with pytest.raises(ValueError, match="Silent has no method forward"):
        dn.from_torch(torch.jit.script(Silent()))


def test_scripted_training_mode():
    for layer in (nn.BatchNorm1d(7), nn.Dropout()):
        module = torch.jit.script(nn.Sequential(nn.Linear(5, 7), layer))
        with pytest.raises(ValueError, match=r"training mode.*module.eval\(\)"):
            dn.from_torch(module)
        dn.from_torch(module.eval())
    with pytest.raises(ValueError, match=r"module 'normalizer' \(RunningNorm\).*module.eval\(\)"):
        dn.from_torch(torch.jit.script(Policy(RunningNorm(6))))


@pytest.mark.parametrize("value", ["policy.pt", {"0.weight": 1}, None, lambda x: x])
def test_not_a_module(value):
    with pytest.raises(TypeError, match=r"module must be a torch.nn.Module; got .*torch.jit.load"):
        dn.from_torch(value)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision(half):
    module = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).to(half)
    net = dn.from_torch(module)
    assert net.dtype == np.float32
    compare(module.float(), net)


def test_nothing_is_changed():
    module = Policy(RunningNorm(6)).eval()
    before = copy.deepcopy(module.state_dict()), sorted(vars(module)), torch.get_rng_state()
    net = dn.from_torch(module)
    net.params[:] = 0
    assert all((module.state_dict()[key] == each).all() for key, each in before[0].items())
    assert sorted(vars(module)) == before[1] and not module.training
    assert (torch.get_rng_state() == before[2]).all()


@pytest.mark.nightly  # torch.compile imports much
def test_compiled():
    module = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    assert dn.from_torch(torch.compile(module)) == dn.from_torch(module)


def test_weight_norm():
    layer = torch.nn.utils.parametrizations.weight_norm(nn.Linear(5, 7))
    module = nn.Sequential(layer, nn.Tanh(), nn.Linear(7, 3))
    X = torch.randn(6, 5)
    net = dn.from_torch(module)
    assert_equal(net(X.numpy()), module(X).detach().numpy(), "outputs", 1e-5)


# to_torch


def test_no_module_of_an_own_activation():
    dn.register_activation("cubic_of_a_test", lambda v: v**3, lambda v: 3 * v**2)
    with pytest.raises(ValueError, match="'cubic_of_a_test' has no module in torch"):
        dn.MLP([2, 1], output="cubic_of_a_test").to_torch()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_there_and_back(name, dtype):
    spec = ("threshold", 0.3, -0.5) if name == "threshold" else name
    hidden = "tanh" if name in COUPLED else spec
    net = dn.MLP([5, 7, 3], activation=hidden, output=spec, dtype=dtype, seed=0)
    rng = torch.get_rng_state()
    module = net.to_torch()
    assert (torch.get_rng_state() == rng).all()
    assert all(p.dtype is getattr(torch, dtype) for p in module.parameters())
    compare(module, net)
    assert dn.from_torch(module) == net


@pytest.mark.parametrize("name", ["lecun_tanh", "gaussian", "sin", ("leaky_relu", 0.3)])
def test_scalings_there_and_back(name, tmp_path):
    random = np.random.default_rng(0)
    net = dn.MLP.from_layers(
        [random.standard_normal(s) for s in ((7, 5), (3, 7))],
        [None, random.standard_normal(3)],
        [name, "identity"],
        *(random.uniform(0.5, 2, n) for n in (5, 5, 3, 3)),
    )
    module = net.to_torch()
    compare(module, net)
    assert dn.from_torch(module) == net
    assert len(list(module.parameters())) == 3  # the scalings are buffers
    torch.save(module, tmp_path / "net.pt")
    again = torch.load(tmp_path / "net.pt", weights_only=False)
    assert dn.from_torch(again) == net
    X = torch.randn(4, 5, dtype=torch.float64)
    script = torch.jit.script(module)
    assert torch.equal(script(X), module(X))
    with torch.no_grad():
        module[1].weight.zero_()
    assert np.any(net.weights[0])  # copies


# Random chains


def random_module(random):
    """(module, whether something is folded into weights)"""
    sizes = widths(random)
    folded, layers = False, []
    for k, (n_in, n_out) in enumerate(pairwise(sizes)):
        last = k == len(sizes) - 2
        if random.random() < 0.2:
            layers.append(random_idle(random))
        if random.random() < 0.2:
            layers.append(statistics(nn.BatchNorm1d(n_in)))
            folded |= k > 0
        layers.append(nn.Linear(n_in, n_out, bias=random.random() < 0.8))
        if random.random() < 0.2:
            layers.append(statistics(nn.BatchNorm1d(n_out)))
            folded = True
        table = ALL if last else ACTIVATIONS
        if random.random() < (0.5 if last else 0.9):
            layers.append(table[str(random.choice(list(table)))]())
    for _ in range(int(random.integers(0, 3))):  # some of them in a Sequential of their own
        start, end = sorted(random.integers(0, len(layers) + 1, 2))
        if start < end:
            layers[start:end] = [nn.Sequential(*layers[start:end])]
    module = nn.Sequential(*layers)
    return module.to(torch.float64 if random.random() < 0.7 else torch.float32).eval(), folded


def random_idle(random):
    return [nn.Dropout(), nn.Identity(), nn.Flatten(), nn.AlphaDropout()][int(random.integers(4))]


class Holder(nn.Module):
    """A module whose forward calls its parts one after the other."""

    def __init__(self, parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x):
        for part in self.parts:
            x = part(x)
        return x


@pytest.mark.parametrize("seed", seeds(12))
def test_random_chain(seed):
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    module, folded = random_module(random)
    net = dn.from_torch(module)
    form = ["holder", "scripted", "traced"][seed % 3]
    if form == "holder":
        given = Holder(module).eval()
    elif form == "scripted":
        given = torch.jit.script(module)
    else:
        X = torch.randn(2, net.sizes[0], dtype=getattr(torch, net.dtype.name))
        given = torch.jit.trace(module, X)
    assert dn.from_torch(given) == net, form
    compare(module, net, folded)
