"""deltanet's C functions by ctypes, which needs no compiler: y and dy/dx of samples.

`net.c_functions` has the address of each function of deltanet.h, and `net.c_address` that of the net.
ctypes itself takes longer than the function; where that matters, call from Numba, Cython or C.

    python examples/doors/with_ctypes.py
"""

import ctypes

import numpy as np

import deltanet as dn

DN_Y, DN_JX = 1, 2  # of deltanet.h
pointer, count = ctypes.c_void_p, ctypes.c_ssize_t
# net, theta, x, N, y, jx, jtheta, work. CFUNCTYPE releases the interpreter's lock during a call
EVAL = ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer, pointer, count, *[pointer] * 4)
WORK_SIZE = ctypes.CFUNCTYPE(ctypes.c_size_t, pointer, count, ctypes.c_int)
STRERROR = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_int)


def linearize(net, X):
    """y (N, m) and dy/dx (N, m, n_0) at X (N, n_0), in the net's dtype."""
    functions, N, (n_0, *_, m) = net.c_functions, len(X), net.sizes
    X = np.ascontiguousarray(X, net.dtype)
    if X.shape != (N, n_0):  # C reads so many numbers, whatever there is
        raise ValueError(f"X must have shape (N, {n_0}); got {X.shape}")
    y, jx = np.empty((N, m), net.dtype), np.empty((N, m, n_0), net.dtype)
    work = np.empty(WORK_SIZE(functions["work_size"])(net.c_address, N, DN_Y | DN_JX), np.uint8)
    evaluate = EVAL(functions["eval" if net.dtype == np.float64 else "eval_f"])
    arrays = (a.ctypes.data for a in (y, jx))
    status = evaluate(net.c_address, None, X.ctypes.data, N, *arrays, None, work.ctypes.data)
    if status:
        raise ValueError(STRERROR(functions["strerror"])(status).decode())
    return y, jx


if __name__ == "__main__":
    net = dn.MLP([4, 32, 32, 2], activation="tanh", seed=0)
    y, jx = linearize(net, np.zeros((1, 4)))
    print("y", y[0], "dy/dx", jx[0], sep="\n")
