"""The same Jacobians from torch.func, where torch is installed."""

import numpy as np
import pytest

import deltanet as dn

torch = pytest.importorskip("torch", reason="torch (extra: bench) is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

MODULES = {
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "relu": torch.nn.ReLU,
    "leaky_relu": torch.nn.LeakyReLU,
    "elu": torch.nn.ELU,
    "selu": torch.nn.SELU,
    "softplus": lambda: torch.nn.Softplus(threshold=1e9),
    "gelu": torch.nn.GELU,
    "gelu_tanh": lambda: torch.nn.GELU(approximate="tanh"),
    "silu": torch.nn.SiLU,
    "softsign": torch.nn.Softsign,
    "relu6": torch.nn.ReLU6,
    "hardtanh": torch.nn.Hardtanh,
    "hardswish": torch.nn.Hardswish,
    "celu": torch.nn.CELU,
    "mish": torch.nn.Mish,
    "logsigmoid": torch.nn.LogSigmoid,
    "tanhshrink": torch.nn.Tanhshrink,
    "softshrink": torch.nn.Softshrink,
    "softmax": lambda: torch.nn.Softmax(dim=-1),
    "log_softmax": lambda: torch.nn.LogSoftmax(dim=-1),
}


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-4)])
@pytest.mark.parametrize("name", MODULES)
def test_equals_torch(name, dtype, tolerance):
    hidden = "tanh" if "softmax" in name else name
    kind = getattr(torch, dtype)
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(5, 7), MODULES[hidden](), torch.nn.Linear(7, 4), MODULES[name]()
    ).to(kind)
    net = dn.MLP([5, 7, 4], activation=hidden, output=name, dtype=dtype)
    net.params = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    X = torch.randn(9, 5, dtype=kind)
    parameters = dict(model.named_parameters())

    def output(p, x):
        return torch.func.functional_call(model, p, (x,))

    blocks = torch.func.vmap(torch.func.jacrev(output), (None, 0))(parameters, X)
    J = np.concatenate([b.detach().reshape(9, 4, -1).numpy() for b in blocks.values()], axis=-1)
    Jx = torch.func.vmap(torch.func.jacrev(output, 1), (None, 0))(parameters, X).detach().numpy()
    for actual, exact in [
        (net(X.numpy()), model(X).detach().numpy()),
        (net.jacobian_dense(X.numpy()), J),
        (net.jacobian(X.numpy()).to_dense(), J),
        (net.input_jacobian(X.numpy()), Jx),
    ]:
        assert np.abs(actual - exact).max() <= tolerance * np.abs(exact).max()
