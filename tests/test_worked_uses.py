"""The worked uses in examples/, run as a user runs them, in their short form: what they claim holds."""

import numpy as np
import pytest
from worked_uses import load, run


def test_policy_gradient_raises_the_return(tmp_path, capsys):
    learned, random = run(load("policy_gradient"), tmp_path)
    assert random < -0.5
    assert len(learned) == 2 and min(learned) > 0.5
    assert capsys.readouterr().out.count("of highest value") == 2


def test_policy_gradient_is_the_gradient_of_the_value(tmp_path):
    """J^T dQ/da / N against central differences of mean(Q(s, pi(s))) by the policy's parameters."""
    module = load("policy_gradient")
    policy, critic = module.networks(4, seed=0)
    states = module.starts(np.random.default_rng(0), 6)
    S, seen = module.features(states), []

    def value(theta):
        moved = policy.copy()
        moved.params = theta
        return critic(np.column_stack([S, moved(S)])).mean()

    start = policy.params.copy()
    numeric = [
        (value(start + e) - value(start - e)) / 2e-5 for e in 1e-5 * np.eye(policy.num_params)
    ]
    module.improve_policy(policy, critic, states, lambda g: seen.append(g) or 0 * g, steps=1)
    np.testing.assert_allclose(seen[0], numeric, atol=1e-8)


def test_best_input_is_a_maximum():
    module = load("policy_gradient")
    critic = module.networks(6, seed=0)[1]
    z, Q = module.best_input(critic, np.array([0.5, 0.5, 0.0]))
    for near in z + 0.05 * np.random.default_rng(0).standard_normal((200, 3)):
        near = np.clip(near, [-np.pi, -3, -module.TORQUE], [np.pi, 3, module.TORQUE])
        assert critic([np.cos(near[0]), np.sin(near[0]), near[1], near[2]])[0] <= Q + 1e-6


def test_the_pendulum_keeps_its_energy_balance():
    """Upright it rests; a fall from there gains 1 - cos in speed, less what the damping takes."""
    module = load("policy_gradient")
    assert np.allclose(module.simulate(np.zeros((1, 2)), np.zeros(1)), 0, atol=1e-6)
    states, lost = np.array([[1.0, 0.0]]), 0.0
    for _ in range(5):
        after = module.simulate(states, np.zeros(1))
        lost += module.DAMPING * module.STEP * np.mean([states[0, 1] ** 2, after[0, 1] ** 2])
        states = after
    theta, omega = states[0]
    assert omega**2 / 2 == pytest.approx(np.cos(1.0) - np.cos(theta) - lost, rel=0.02)


def test_error_bars_cover_certified_data(tmp_path, shared, capsys):
    coverage = run(load("uncertainty"), tmp_path, "--data", shared / "nist_strd")
    assert set(coverage) == {"Thurber", "Hahn1", "ENSO", "Gauss3", "all"}
    assert 0.88 <= coverage["all"] <= 0.99
    assert min(coverage.values()) > 0.75
    noise = {line.split()[0]: line.split()[2] for line in capsys.readouterr().out.splitlines()[:4]}
    certified = {
        "Thurber": 13.7,
        "Hahn1": 0.0818,
        "ENSO": 2.23,
        "Gauss3": 2.27,
    }  # residual deviation
    for name, deviation in certified.items():
        assert float(noise[name].rstrip(":")) == pytest.approx(deviation, rel=0.3)


def test_error_bars_cover_simulated_data(tmp_path):
    coverage = run(load("uncertainty"), tmp_path, "--data", tmp_path / "nowhere")
    assert set(coverage) == {"simulated", "all"}
    assert 0.85 <= coverage["simulated"] <= 1


def test_error_bars_of_a_linear_net():
    """No hidden layer, hardly a prior: the prediction interval of linear regression, in closed form."""
    import deltanet as dn

    module, random = load("uncertainty"), np.random.default_rng(0)
    x = random.standard_normal(40)
    y = 2 * x + 1 + 0.3 * random.standard_normal(40)
    net, Sigma, s = module.laplace(dn.MLP([1, 1], seed=0), x[:, None], y[:, None], 1e-9, 1)
    A = np.column_stack([x, np.ones(40)])
    theta, (rss,), *_ = np.linalg.lstsq(A, y)
    grid = np.column_stack([np.linspace(-4, 4, 9), np.ones(9)])
    variance = rss / 38 * (1 + np.einsum("ip,pq,iq->i", grid, np.linalg.inv(A.T @ A), grid))
    mean, deviation = module.error_bars(net, grid[:, :1], Sigma, s)
    np.testing.assert_allclose(mean, grid @ theta, rtol=1e-6)
    np.testing.assert_allclose(deviation, np.sqrt(variance), rtol=1e-6)
