"""The contracts of DESIGN: memory, errors, empty input; test_out.py has out=, test_inputs.py what is read."""

import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from verb_table import FUSED, Arguments

import deltanet as dn

N, SIZES = 5, (4, 7, 3)
X = np.random.default_rng(0).standard_normal((N, SIZES[0]))


@pytest.fixture
def net():
    return dn.MLP(SIZES, seed=0)


@pytest.mark.parametrize(
    "value, error, message",
    [
        (np.ones((5, 3)), ValueError, r"X must have shape \(N, 4\) or \(4,\); got \(5, 3\)"),
        (np.ones(5), ValueError, r"got \(5,\)"),
        (np.ones((2, 2, 4)), ValueError, r"got \(2, 2, 4\)"),
        (1.0, ValueError, r"got \(\)"),
        (np.ones((5, 4), complex), TypeError, "X must hold real numbers; got dtype complex128"),
        (np.ones((5, 4), object), TypeError, "got dtype object"),
        (np.full((5, 4), "1"), TypeError, "got dtype <U1"),
        (None, TypeError, "got dtype object"),
        ([[1, 2, 3, 4], [1, 2]], ValueError, "X must be a rectangular array"),
    ],
)
def test_messages_for_X(net, value, error, message):
    a = Arguments(net, X)
    a.X = value
    for call in FUSED.values():
        with pytest.raises(error, match=message):
            call(net, a)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_samples(net, dtype):
    net = net.astype(dtype)
    none = np.empty((0, 4))
    J = net.jacobian(none)
    assert net(none).shape == (0, 3) and J.shape == (0, 3, net.num_params)
    assert net.jacobian_dense(none).shape == J.to_dense().shape == J.shape
    assert net.input_jacobian(none).shape == J.input_jacobian().shape == (0, 3, 4)
    assert J.weight(0).shape == (0, 3, 7, 4) and J.bias(1).shape == (0, 3, 3)
    assert net.jacobian_dense(none, out=np.empty(J.shape, dtype)).size == 0


def test_what_exceeds_memory_is_refused_before_it_is_allocated(net, monkeypatch):
    wide = dn.MLP([4, 1000, 1000, 10], seed=0)
    many = np.zeros((300_000, 4))
    tracemalloc.start()
    try:
        message = r"jacobian_dense would need 24.\d TB \(300000 x 10 x 1016010 .*jacobian\(X\)"
        with pytest.raises(MemoryError, match=message):
            wide.jacobian_dense(many)
        with pytest.raises(MemoryError, match="the factors would need"):
            wide.jacobian(many)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1e6
    J = wide.jacobian(np.zeros((100, 4)))
    monkeypatch.setattr("deltanet._memory.available_memory", lambda: 10**8)
    with pytest.raises(
        MemoryError, match=r"to_dense would need 8.1 GB \(100 x 10 x .*100.0 MB are"
    ):
        J.to_dense()
    with pytest.raises(MemoryError, match=r"weight\(1\) would need 8.0 GB .*deltas"):
        J.weight(1)


def test_array_protocol(net):
    J = net.jacobian(X)
    assert np.asarray(J).dtype == np.float64
    assert np.asarray(J, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="copy=False cannot be met"):
        np.array(J, copy=False)
    assert J.ndim == 3 and J.dtype == np.float64 and len(repr(J)) < 100


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process there")
def test_ctrl_c_works_within_a_second():
    code = """
import numpy as np, deltanet as dn
net = dn.MLP([64, 256, 256, 64], seed=0)
X = np.zeros((4_000_000, 64))
print("ready", flush=True)
net(X)
print("done", flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(signal.SIGINT)
    process.wait(1)
    out, err = process.communicate()
    assert "done" not in out and err.rstrip().endswith("KeyboardInterrupt")
