"""Laplace approximations, three lines each, against laplace-torch: the posterior covariance of the outputs.

laplace-torch takes W and b of a layer for two Kronecker blocks, where `kfac` has one of [W b]: here they are
those of `restrict("weights")` and `restrict("biases")`. It averages A over a batch, so all samples are one.
"""

import numpy as np
import pytest

import deltanet as dn

SIZES, PRIOR, NOISE = (3, 6, 5, 2), 0.7, 0.3


def full(J, T, H):
    precision = J.ggn(H) + PRIOR * np.eye(J.shape[-1])
    return T.covariance(np.linalg.inv(precision)), np.linalg.slogdet(precision)[1]


def diagonal(J, T, H):
    precision = J.ggn_diagonal(H) + PRIOR
    return T.covariance(1 / precision), np.log(precision).sum()


def kronecker(J, T, H):
    parts = {wrt: J.restrict(wrt).kfac(H).damped(PRIOR) for wrt in ("weights", "biases")}
    covariances = [T.restrict(wrt).covariance(K.inverse()) for wrt, K in parts.items()]
    return sum(covariances), sum(K.logdet() for K in parts.values())


STRUCTURES = {"full": full, "diag": diagonal, "kron": kronecker}


class Peers:
    """torch and laplace-torch, and a model of the same numbers as the net."""

    def __init__(self, net, likelihood, X, targets):
        self.torch = torch = pytest.importorskip("torch", reason="needs torch")
        self.laplace = pytest.importorskip("laplace", reason="needs laplace-torch")
        layers = []
        for W, b in zip(net.weights, net.biases, strict=True):
            linear = torch.nn.Linear(*W.shape[::-1], dtype=torch.float64)
            linear.weight.data, linear.bias.data = torch.tensor(W), torch.tensor(b)
            layers += [linear, torch.nn.Tanh()]
        self.model, self.likelihood = torch.nn.Sequential(*layers[:-1]), likelihood
        data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(targets))
        self.data = torch.utils.data.DataLoader(data, batch_size=len(X))

    def posterior(self, subset, structure, Z):
        """(covariance of the outputs at Z (N, m, m), log determinant of the precision)"""
        la = self.laplace.Laplace(
            self.model,
            self.likelihood,
            subset_of_weights=subset,
            hessian_structure=structure,
            prior_precision=PRIOR,
            sigma_noise=NOISE if self.likelihood == "regression" else 1.0,
            backend=self.laplace.curvature.CurvlinopsGGN,
        )
        la.fit(self.data)
        _, covariance = la._glm_predictive_distribution(self.torch.tensor(Z))
        return covariance.detach().numpy(), float(la.log_det_posterior_precision)


@pytest.fixture
def doubles():
    """laplace-torch makes tensors of torch's default dtype."""
    torch = pytest.importorskip("torch", reason="needs torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("subset, wrt", [("all", None), ("last_layer", "last")])
@pytest.mark.parametrize("likelihood", ["regression", "classification"])
def test_predictive_covariance(likelihood, subset, wrt, structure, doubles):
    random = np.random.default_rng(0)
    net = dn.MLP(SIZES, seed=0)
    net.params += 0.2 * random.standard_normal(net.num_params)
    X, Z = random.standard_normal((50, SIZES[0])), random.standard_normal((7, SIZES[0]))
    if likelihood == "regression":
        targets, H = random.standard_normal((50, 2)), np.full(50, NOISE**-2)
    else:
        targets, p = random.integers(2, size=50), np.exp(net(X))
        p /= p.sum(axis=1, keepdims=True)
        H = p[:, :, None] * (np.eye(2) - p[:, None, :])
    peers = Peers(net, likelihood, X, targets)
    theirs, their_logdet = peers.posterior(subset, structure, Z)

    J, T = net.jacobian(X, wrt=wrt), net.jacobian(Z, wrt=wrt)
    ours, logdet = STRUCTURES[structure](J, T, H)

    np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-8 * abs(theirs).max())
    assert logdet == pytest.approx(their_logdet, rel=1e-8)
