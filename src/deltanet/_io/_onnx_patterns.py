"""Activations that exporters write as several nodes, told by their values.

Between the value that branches and the one where its branches join, the nodes are evaluated on a grid of
numbers and compared with the activations that have no operator of their own in every opset.
"""

import numpy as np
from scipy import special

GRID = np.linspace(-24, 24, 961)  # beyond 20, where torch's softplus becomes the identity
GRID.flags.writeable = False
ZERO = 480  # its place
OPERATORS = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Erf": special.erf,
    "Tanh": np.tanh,
    "Sigmoid": special.expit,
    "Exp": np.exp,
    "Neg": np.negative,
    "Abs": np.abs,
    "Identity": np.positive,
    "Softplus": lambda v: np.logaddexp(0, v),
    "Greater": np.greater,
    "Where": np.where,
}
KNOWN = {
    "silu": GRID * special.expit(GRID),
    "gelu": GRID * special.ndtr(GRID),
    "gelu_tanh": GRID * special.expit(np.sqrt(8 / np.pi) * (GRID + 0.044715 * GRID**3)),
    "softsign": GRID / (1 + np.abs(GRID)),
    "gaussian": np.exp(-(GRID**2)),
}
TOLERANCE = {"rtol": 0, "atol": 1e-5}  # constants in a file are float32
LONGEST = 20  # nodes of one activation


def match(value, users, constants):
    """(activation, value behind it) of what begins where `value` branches, or None.

    `users` maps each value to the nodes that take it.
    """
    values, done = {value: GRID}, []
    for _ in range(LONGEST):
        node = next((n for n in pending(values, users, done) if ready(n, values, constants)), None)
        if node is None or node.op_type not in OPERATORS:
            return None
        end = node.output[0]
        values[end] = evaluate(node, values, constants)
        done.append(node)
        before = {name: v for name, v in values.items() if name != end}
        if not pending(before, users, done):  # the branches have joined
            name = recognised(values[end])
            if name is not None:
                return name, end
    return None


def recognised(values):
    """The activation that has these values on the grid, or None."""
    if values.shape != GRID.shape:
        return None
    known = dict(KNOWN)
    if 0 < values[ZERO] < np.inf:
        beta = np.log(2) / values[ZERO]  # softplus(v) = log(1 + exp(beta v)) / beta
        known["softplus", float(beta)] = np.logaddexp(0, beta * GRID) / beta
    return next((k for k, exact in known.items() if np.allclose(values, exact, **TOLERANCE)), None)


def pending(values, users, done):
    """The nodes that take one of these values and are not evaluated yet."""
    return [node for name in values for node in users.get(name, []) if node not in done]


def ready(node, values, constants):
    return all(name in values or name in constants for name in node.input)


def evaluate(node, values, constants):
    """One node on the grid; a constant must be a single number."""
    operands = [values[n] if n in values else constants[n].reshape(-1) for n in node.input]
    if any(o.shape != GRID.shape and o.size != 1 for o in operands):
        return np.empty(0)
    return OPERATORS[node.op_type](
        *(o if o.shape == GRID.shape else o.astype(np.float64).reshape(()) for o in operands)
    )
