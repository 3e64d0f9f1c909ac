"""deltanet's C functions from Numba's compiled code: a simulation in a loop, with its sensitivity.

The net gives the next state of a system from its state and a control, x = (s_t, a_t), s_{t+1} = y. The
loop follows the state, and how it depends on the first one:

    S_{t+1} = dy/ds S_t      (m, m),  S_0 = 1

Numba calls a ctypes function by its address. Pointers are declared as integers here, so that NULL is 0 and
an array is `array.ctypes.data`. The net must live while compiled code may call it.

    python examples/doors/with_numba.py
"""

import ctypes
from pathlib import Path

import numpy as np
from numba import njit

import deltanet as dn

PENDULUM = Path(__file__).resolve().parents[1] / "pendulum" / "pendulum.npz"
DN_Y, DN_JX, NULL = 1, 2, 0  # of deltanet.h
address, count = ctypes.c_size_t, ctypes.c_ssize_t
EVAL = ctypes.CFUNCTYPE(ctypes.c_int, *[address] * 3, count, *[address] * 4)
WORK_SIZE = ctypes.CFUNCTYPE(ctypes.c_size_t, address, count, ctypes.c_int)


@njit(nogil=True)
def steps(evaluate, net, controls, states, S, jx, work):
    """Fill states (T + 1, m) from its first row on, and S (m, m); the status of the C function."""
    T, m = len(controls), states.shape[1]
    x = np.empty(m + controls.shape[1])
    S[:] = np.eye(m)
    for t in range(T):
        x[:m], x[m:] = states[t], controls[t]
        y = states[t + 1]
        status = evaluate(
            net, NULL, x.ctypes.data, 1, y.ctypes.data, jx.ctypes.data, NULL, work.ctypes.data
        )
        if status != 0:
            return status
        S[:] = np.ascontiguousarray(jx[:, :m]) @ S
    return 0


def simulate(net, start, controls):
    """States (T + 1, m) from start (m,) under controls (T, n_0 - m), and d(last state)/d(start)."""
    (n_0, *_, m), T = net.sizes, len(controls)
    start, controls = np.asarray(start, float), np.ascontiguousarray(controls, float)
    if start.shape != (m,) or controls.shape != (T, n_0 - m):
        raise ValueError(
            f"start must have shape ({m},) and controls (T, {n_0 - m}); "
            f"got {start.shape} and {controls.shape}"
        )
    states, S, jx = np.empty((T + 1, m)), np.empty((m, m)), np.empty((m, n_0))
    states[0] = start
    work_size = WORK_SIZE(net.c_functions["work_size"])
    work = np.empty(work_size(net.c_address, 1, DN_Y | DN_JX), np.uint8)
    status = steps(EVAL(net.c_functions["eval"]), net.c_address, controls, states, S, jx, work)
    if status:
        raise ValueError(f"deltanet's eval returned the status {status}")
    return states, S


if __name__ == "__main__":
    states, S = simulate(dn.load(PENDULUM), [1.0, 0.0], np.zeros((50, 1)))
    print("the pendulum after 10 s", states[-1], "its dependence on the start", S, sep="\n")
