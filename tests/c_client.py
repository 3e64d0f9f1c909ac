"""The C interface through ctypes: buffers that see each byte written beside them, and calls with a work area
of exactly the size asked for, at an odd address.
"""

import ctypes
import re
from pathlib import Path

import numpy as np

import deltanet as dn

HEADER = Path(dn.get_include(), "deltanet.h").read_text(encoding="utf-8")
NUMBERS = {name: int(value) for name, value in re.findall(r"\b(DN_\w+) = (\d+)", HEADER)}
OK, EINVAL, ETYPE = (NUMBERS[f"DN_{name}"] for name in ("OK", "EINVAL", "ETYPE"))
WANTED = {  # function -> what its work area is for
    "eval": NUMBERS["DN_Y"] | NUMBERS["DN_JX"] | NUMBERS["DN_JTHETA"],
    "factors": NUMBERS["DN_FACTORS"],
    "vjp": NUMBERS["DN_VJP"],
    "jvp": NUMBERS["DN_JVP"],
    "hess": NUMBERS["DN_HXX"],
    "mixed": NUMBERS["DN_MIXED"],
    "hvp": NUMBERS["DN_HVP"],
}
POINTER, SIZE = ctypes.c_void_p, ctypes.c_ssize_t
GUARD, CANARY = 96, 0xA5


class Area:
    """`nbytes` bytes at an address that is `shift` past a multiple of 64, between bytes that must stay."""

    def __init__(self, nbytes, shift):
        self.room = np.full(nbytes + 2 * GUARD + 64, CANARY, np.uint8)
        start = GUARD - (self.room.ctypes.data + GUARD) % 64
        self.start = start + shift + (64 if start < GUARD else 0) - (64 if shift >= 64 else 0)
        self.bytes = self.room[self.start : self.start + nbytes]
        self.address = self.room.ctypes.data + self.start

    def check(self):
        end = self.start + len(self.bytes)
        assert (self.room[: self.start] == CANARY).all(), "written before an array"
        assert (self.room[end:] == CANARY).all(), "written behind an array"


class Numbers(Area):
    """An array of the net's dtype, of NaN if it has no value; aligned to its numbers only."""

    def __init__(self, value, dtype):
        value = np.asarray(value, dtype)
        super().__init__(value.nbytes, value.itemsize)
        self.array = self.bytes.view(dtype).reshape(value.shape)
        self.array[...] = value
        self.before = value.copy()

    def unchanged(self):
        return self.array.tobytes() == self.before.tobytes()


class Client:
    """A net and the functions of its type."""

    def __init__(self, net):
        self.net, self.dtype = net, net.dtype
        self.n_0, self.m, self.P, self.L = (
            net.sizes[0],
            net.sizes[-1],
            net.num_params,
            len(net.sizes) - 1,
        )
        self.suffix = "" if net.dtype == np.float64 else "_f"
        self.size = function("work_size", SIZE, POINTER, SIZE, ctypes.c_int)

    def shapes(self, name, N):
        """{result: shape}, in the order of the arguments"""
        m, n_0, P = self.m, self.n_0, self.P
        widths = self.net.sizes
        return {
            "eval": {"y": (N, m), "jx": (N, m, n_0), "jtheta": (N, m, P)},
            "factors": {"y": (N, m)}
            | {f"delta {k}": (N, m, widths[k + 1]) for k in range(self.L)}
            | {f"h {k}": (N, widths[k]) for k in range(self.L)},
            "vjp": {"grad_theta": (P,), "grad_x": (N, n_0)},
            "jvp": {"yv": (N, m)},
            "hess": {"hxx": (n_0, n_0)},
            "mixed": {"hthetax": (P, n_0)},
            "hvp": {"hv": (P,)},
        }[name]

    def inputs(self, name):
        """Arguments between N and the results, of given(...)."""
        return {"vjp": "u", "jvp": "v v_x", "hess": "u", "mixed": "u", "hvp": "u v"}.get(
            name, ""
        ).split()

    def call(self, name, given, N, theta=None, leave_out=(), net=None, suffix=None, **replaced):
        """(status, {result: array}); `given` holds x, u, v and v_x, `replaced` pointers, or `count` for N."""
        one = name in ("hess", "mixed")
        rows = {"x": (N, self.n_0), "u": (N, self.m), "v": (self.P,), "v_x": (N, self.n_0)}
        inputs = {
            key: Numbers(np.reshape(given[key], rows[key]), self.dtype)
            for key in ("x", *self.inputs(name))
            if given.get(key) is not None
        }
        if theta is not None:
            inputs["theta"] = Numbers(theta, self.dtype)
        results = {
            key: Numbers(np.full(shape, np.nan), self.dtype)
            for key, shape in self.shapes(name, N).items()
            if key not in leave_out
        }
        address = self.net.c_address
        work = Area(self.size(address, N, WANTED[name]), 1)
        at = (
            {key: area.address for key, area in (inputs | results).items()}
            | {"work": work.address}
            | replaced
        )
        pointers = [at.get(key) for key in self.order(name)]
        kinds = [SIZE if key == "N" else POINTER for key in self.order(name)]
        keep = []
        if name == "factors":
            arrays = [[at.get(f"{kind} {k}") for k in range(self.L)] for kind in ("delta", "h")]
            keep = [(POINTER * self.L)(*each) for each in arrays]
            for key, each in zip(("delta", "h"), keep, strict=True):
                if key not in leave_out:
                    pointers[self.order(name).index(key)] = ctypes.addressof(each)
        if not one:
            pointers[self.order(name).index("N")] = replaced.get("count", N)
        run = function(
            name + (self.suffix if suffix is None else suffix), ctypes.c_int, POINTER, *kinds
        )
        status = run(address if net is None else net, *pointers)
        for area in (*inputs.values(), *results.values(), work):
            area.check()
        assert all(area.unchanged() for area in inputs.values()), "an input was written"
        if status != OK:
            assert all(area.unchanged() for area in results.values()), (
                "written in spite of the status"
            )
        return status, {key: area.array for key, area in results.items()}

    def order(self, name):
        """The arguments behind the net."""
        results = ["y", "delta", "h"] if name == "factors" else list(self.shapes(name, 1))
        count = [] if name in ("hess", "mixed") else ["N"]
        return ["theta", "x", *count, *self.inputs(name), *results, "work"]


def function(name, result, *arguments):
    address = dn.MLP([1, 1]).c_functions[name]
    return ctypes.CFUNCTYPE(result, *arguments)(address)
