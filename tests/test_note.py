"""The two-layer formulas of T. Ukkonen, "General Gradient of Neural Network" (2017).

As they stand there, with its slips corrected: the chain for the first layer is that of W^(1), where the
note writes W^(2); its last line is the bias gradient; and the first layer is given x itself, not f(x).
"""

import numpy as np

import deltanet as dn


def test_two_layers():
    net = dn.MLP([3, 5, 2], activation="tanh", output="sigmoid", seed=3)
    net.params += 0.1
    (W1, W2), (b1, b2) = net.weights, net.biases
    x = np.array([0.3, -0.7, 0.2])
    f, df = np.tanh, lambda v: 1 - np.tanh(v) ** 2
    g, dg = lambda v: 1 / (1 + np.exp(-v)), lambda v: np.exp(-v) / (1 + np.exp(-v)) ** 2

    v1 = W1 @ x + b1
    v2 = W2 @ f(v1) + b2
    delta2 = np.diag(dg(v2))
    delta1 = delta2 @ W2 @ np.diag(df(v1))
    J = net.jacobian(x)

    np.testing.assert_allclose(J.outputs, g(v2), rtol=1e-14)
    np.testing.assert_allclose(J.deltas[1], delta2, rtol=1e-13)
    np.testing.assert_allclose(J.deltas[0], delta1, rtol=1e-13)
    for j in range(2):  # dy/dw^(2)_ji = delta^(2) [0 .. f(v^(1)_i) .. 0]^T
        for i in range(5):
            np.testing.assert_allclose(J.weight(1)[:, j, i], delta2[:, j] * f(v1[i]), rtol=1e-13)
    for j in range(5):  # dy/dw^(1)_ji = delta^(2) W^(2) diag(f'(v^(1))) [0 .. x_i .. 0]^T
        for i in range(3):
            np.testing.assert_allclose(J.weight(0)[:, j, i], delta1[:, j] * x[i], rtol=1e-13)
    np.testing.assert_allclose(J.bias(1), delta2, rtol=1e-13)
    np.testing.assert_allclose(J.bias(0), delta1, rtol=1e-13)
    np.testing.assert_allclose(J.input_jacobian(), delta1 @ W1, rtol=1e-13)
