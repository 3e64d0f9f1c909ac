"""The C interface: values and bits against Python's calls of a lone sample, statuses, what it leaves alone.

c_client.py calls it through ctypes. The programs in tests/c are compiled once; they skip without a compiler.
"""

import ctypes
import gc
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from c_client import EINVAL, ETYPE, HEADER, NUMBERS, OK, WANTED, Client, Numbers, function
from test_second import build

import deltanet as dn

C = Path(__file__).with_name("c")
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
NETS = {  # sizes, activations, which layers have a bias, scaled
    "tiny": ((4, 32, 32, 2), ["tanh", "tanh", "identity"], None, False),
    "scaled": ((5, 7, 3), ["silu", "sin"], None, True),
    "softmax": ((5, 9, 4), ["gelu", "softmax"], None, True),
    "log_softmax": ((3, 6, 5), ["softplus", "log_softmax"], None, True),
    "one layer": ((7, 3), ["tanh"], None, True),
    "width one": ((1, 1, 1), ["sigmoid", "identity"], None, False),
    "no bias": ((6, 5, 2), ["mish", "atan"], [False, False], True),
    "a bias here and there": (
        (3, 11, 6, 2),
        ["elu", "erf", "identity"],
        [True, False, True],
        False,
    ),
    "deep and narrow": (
        (2, 3, 1, 17, 2, 3),
        ["tanh", "cos", "relu", "selu", "softmax"],
        None,
        True,
    ),
    "wide": ((70, 33, 66, 9), ["tanh", "gaussian", "identity"], None, True),
}
DTYPES = {"float64": 1e-12, "float32": 1e-4}


def client(name, dtype="float64"):
    sizes, activations, biased, scaled = NETS[name]
    return Client(build(sizes, activations, biased, scaled, dtype)[1])


def arguments(c, N, seed=3):
    random = np.random.default_rng(seed)
    shapes = {"x": (N, c.n_0), "u": (N, c.m), "v": (c.P,), "v_x": (N, c.n_0)}
    return {key: random.standard_normal(shape).astype(c.dtype) for key, shape in shapes.items()}


def close(actual, exact, dtype):
    assert np.abs(actual - exact).max(initial=0) <= DTYPES[dtype] * np.abs(exact).max(initial=0)


def expected(net, name, given, s):
    """{result: Python's of sample s alone}, of what has the same bits."""
    x, u, v = given["x"][s], given["u"][s], given["v"]
    J = net.jacobian(x)
    return {
        "eval": lambda: {"y": net(x), "jx": net.input_jacobian(x), "jtheta": net.jacobian_dense(x)},
        "factors": lambda: (
            {"y": J.outputs}
            | {f"delta {k}": delta for k, delta in enumerate(J.deltas)}
            | {f"h {k}": h for k, h in enumerate(J.inputs)}
        ),
        "vjp": lambda: {"grad_theta": net.vjp(x, u)},
        "hess": lambda: {"hxx": net.input_hessian(x, u)},
        "mixed": lambda: {"hthetax": net.mixed_hessian(x, u).to_dense()},
        "hvp": lambda: {"hv": net.hvp(x, u, v)},
        "jvp": lambda: {},
    }[name]()


@pytest.mark.parametrize("theta", ["own", "given"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETS)
def test_the_bits_of_a_lone_sample(name, dtype, theta):
    c = client(name, dtype)
    like = c.net.copy()
    if theta == "given":
        like.params += np.random.default_rng(0).standard_normal(c.P) / 4
    passed = None if theta == "own" else like.params
    for call in WANTED:
        for N in (1,) if call in ("hess", "mixed") else (1, 7):
            given = arguments(c, N)
            status, results = c.call(call, given, N, passed)
            assert status == OK
            for s in range(N):
                for key, right in expected(like, call, given, s).items():
                    summed = len(results[key].shape) == 1
                    if N == 1 or not summed:
                        got = (
                            results[key] if call in ("hess", "mixed") or summed else results[key][s]
                        )
                        np.testing.assert_array_equal(got, right, err_msg=f"{call}: {key}")


@pytest.mark.parametrize("N", [0, 1, 7])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETS)
def test_sums_and_products(name, dtype, N):
    """Those that Python has not, and sums over samples."""
    c = client(name, dtype)
    given = arguments(c, N)
    x, u, v = given["x"], given["u"], given["v"]
    rows, dx = c.net.jacobian_dense(x), c.net.input_jacobian(x)
    status, results = c.call("vjp", given, N)
    assert status == OK
    close(results["grad_theta"], np.einsum("sop,so->p", rows, u), dtype)
    close(results["grad_x"], np.einsum("soi,so->si", dx, u), dtype)
    along = {"v": np.einsum("sop,p->so", rows, v), "v_x": np.einsum("soi,si->so", dx, given["v_x"])}
    for missing in ([], ["v"], ["v_x"], ["v", "v_x"]):
        status, results = c.call("jvp", {key: given[key] for key in given if key not in missing}, N)
        assert status == OK
        right = sum((each for key, each in along.items() if key not in missing), np.zeros((N, c.m)))
        close(results["yv"], right, dtype)
    status, results = c.call("hvp", given, N)
    assert status == OK
    close(results["hv"], c.net.hvp(x, u, v), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("N", [1, 3])
@pytest.mark.parametrize("name", NETS)
def test_each_result_may_be_left_out(name, N, dtype):
    c = client(name, dtype)
    given = arguments(c, N)
    for call, optional in (
        ("eval", ["y", "jx", "jtheta"]),
        ("factors", ["y"]),
        ("vjp", ["grad_theta", "grad_x"]),
    ):
        right = c.call(call, given, N)[1]
        for i in range(2 ** len(optional)):
            missing = [key for bit, key in enumerate(optional) if i >> bit & 1]
            status, results = c.call(call, given, N, leave_out=missing)
            assert status == OK
            assert len(results) == len(right) - len(missing)
            for key, result in results.items():
                np.testing.assert_array_equal(result, right[key])


@pytest.mark.parametrize("N", [0, -1])
@pytest.mark.parametrize("call", [call for call in WANTED if call not in ("hess", "mixed")])
def test_no_sample(call, N):
    """Sums are zero; nothing else is written, and nothing need be there. A negative count is an error."""
    c = client("tiny")
    given = arguments(c, 0)
    nothing = {"x": None, "u": None, "work": None, "count": N}
    status, results = c.call(call, given, 0, **nothing)
    assert status == (EINVAL if N < 0 else OK)
    for key, result in results.items():
        if key in ("grad_theta", "hv"):
            assert np.isnan(result).all() if N < 0 else not result.any()


# Statuses


def must_be_there(call, c):
    """Arguments that may not be NULL."""
    required = {
        "eval": [],
        "factors": ["delta", "h"],
        "vjp": ["u"],
        "jvp": ["yv"],
        "hess": ["u", "hxx"],
        "mixed": ["u", "hthetax"],
        "hvp": ["u", "v", "hv"],
    }[call]
    layers = (
        [f"{kind} {k}" for kind in ("delta", "h") for k in range(c.L)] if call == "factors" else []
    )
    return ["x", "work", *required, *layers]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("call", WANTED)
def test_what_may_not_be_null(call, dtype):
    c = client("softmax", dtype)
    N = 1 if call in ("hess", "mixed") else 2
    given = arguments(c, N)
    assert c.call(call, given, N)[0] == OK
    assert c.call(call, given, N, net=0)[0] == EINVAL
    for key in must_be_there(call, c):
        if key in ("delta", "h"):
            status = c.call(call, given, N, leave_out=[key])[0]
        else:
            status = c.call(call, given, N, **{key: None})[0]
        assert status == EINVAL, key


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("call", WANTED)
def test_a_result_that_overlaps_x(call, dtype):
    """By one number at either end; side by side is fine."""
    c = client("scaled", dtype)
    N = 1 if call in ("hess", "mixed") else 2
    given = arguments(c, N)
    itemsize = c.net.dtype.itemsize
    for key, shape in c.shapes(call, N).items():
        size = int(np.prod(shape))
        both = Numbers(np.zeros(2 * size + N * c.n_0), c.dtype)
        both.array[size : size + N * c.n_0] = given["x"].ravel()
        start = both.array.copy()
        x = both.address + size * itemsize
        for first in (1, size + N * c.n_0 - 1):
            moved = {key: both.address + first * itemsize, "x": x}
            assert c.call(call, given, N, **moved)[0] == EINVAL, key
            np.testing.assert_array_equal(both.array, start)
        for first in (0, size + N * c.n_0):
            status, _ = c.call(call, given, N, **{key: both.address + first * itemsize, "x": x})
            assert status == OK, key
            right = c.call(call, given, N)[1][key].ravel()
            np.testing.assert_array_equal(both.array[first : first + size], right)
        both.check()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("call", WANTED)
def test_a_function_of_the_other_type(call, dtype):
    c = client("scaled", dtype)
    given = arguments(c, 1)
    assert c.call(call, given, 1, suffix="_f" if dtype == "float64" else "")[0] == ETYPE


def test_the_message_of_each_status():
    text = function("strerror", ctypes.c_char_p, ctypes.c_int)
    statuses = [NUMBERS[f"DN_{name}"] for name in ("OK", "EINVAL", "ETYPE", "EUNSUPPORTED")]
    messages = [text(status).decode() for status in (*statuses, 99)]
    assert len(set(messages)) == 5 and all(messages)
    for status, part in zip(
        statuses, ("no error", "NULL", "type", "Python functions"), strict=True
    ):
        assert part in text(status).decode()


def test_sizes_of_nothing():
    size = function("work_size", ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
    c = client("wide")
    assert size(None, 1, 1) == 0
    whole = size(c.net.c_address, 3, sum(set(WANTED.values())))
    assert all(0 < size(c.net.c_address, 3, wanted) <= whole for wanted in WANTED.values())
    layer = function("layer", ctypes.c_int, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_void_p)
    room = ctypes.create_string_buffer(64)
    for net, k, info in ((None, 0, room), (c.net.c_address, -1, room), (c.net.c_address, 3, room)):
        assert layer(net, k, info) == EINVAL and not any(room.raw)
    assert layer(c.net.c_address, 0, None) == EINVAL


# The door


def test_a_net_of_python_functions_has_no_address():
    if "cube_for_c" not in dn.testing.FORMULAS:
        dn.register_activation(
            "cube_for_c", lambda v: v**3, lambda v: 3 * v**2, c_code="f = slope = second = v;"
        )
    net = dn.MLP([2, 3, 1], "cube_for_c", seed=0)
    for name in ("c_net", "c_address"):
        with pytest.raises(ValueError, match="'cube_for_c' is computed by Python functions"):
            getattr(net, name)


def test_a_capsule_keeps_the_net_alive():
    c = client("tiny")
    right = c.net(np.ones(4))
    capsule, functions = c.net.c_net, c.net.c_functions
    held = ctypes.pythonapi.PyCapsule_GetPointer
    held.restype, held.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address = held(capsule, b"deltanet.dn_net")
    assert address == c.net.c_address
    del c
    gc.collect()
    others = [dn.MLP([4, 32, 32, 2], seed=seed) for seed in range(5)]  # what takes freed memory
    x, y, work = np.ones(4), np.empty(2), np.empty(100_000, np.uint8)
    run = ctypes.CFUNCTYPE(
        ctypes.c_int, *[ctypes.c_void_p] * 3, ctypes.c_ssize_t, *[ctypes.c_void_p] * 4
    )
    pointers = x.ctypes.data, 1, y.ctypes.data, None, None, work.ctypes.data
    assert run(functions["eval"])(address, None, *pointers) == OK
    np.testing.assert_array_equal(y, right)
    assert len(others) == 5


def test_parameters_are_read_at_each_call():
    c = client("tiny")
    given = arguments(c, 1)
    before = c.call("eval", given, 1)[1]["y"]
    c.net.params = c.net.params * 2
    after = c.call("eval", given, 1)[1]["y"]
    np.testing.assert_array_equal(after[0], c.net(given["x"][0]))
    assert (before != after).any()


# Programs


def compiled(target, *command):
    done = subprocess.run([*map(str, command), "-o", str(target)], capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return target


def flags_of_the_environment():
    """CFLAGS: .ci/valgrind compiles these programs with a sanitizer, as it did the core."""
    return shlex.split(os.environ.get("CFLAGS", ""))


def compilers(*names):
    found = [name for name in names if shutil.which(name)]
    if not found:
        pytest.skip(f"needs {' or '.join(names)}")
    return found


def python_headers():
    folder = sysconfig.get_paths()["include"]
    if not Path(folder, "Python.h").is_file():
        pytest.skip("needs Python.h")
    return ["-isystem", folder]


STANDARDS = [
    ("gcc", "-std=c99"),
    ("clang", "-std=c99"),
    ("g++", "-std=c++11"),
    ("clang++", "-std=c++11"),
]


@pytest.mark.parametrize("after", ["alone", "after Python.h"])
@pytest.mark.parametrize("compiler, standard", STANDARDS)
def test_the_header_compiles_without_a_warning(compiler, standard, after, tmp_path):
    compilers(compiler)
    flags = [standard, "-Wconversion", *WARNINGS, "-I", dn.get_include(), "-c"]
    if after != "alone":
        flags += ["-DAFTER_PYTHON", *python_headers()]
    language = ["-x", "c++"] if "++" in compiler else []
    compiled(tmp_path / "header.o", compiler, *flags, *language, C / "header.c")


@pytest.fixture(scope="session")
def extension(tmp_path_factory):
    """tests/c/client.c, built and imported"""
    compiler = compilers("gcc", "clang", "cc")[0]
    target = tmp_path_factory.mktemp("c") / f"dn_client{sysconfig.get_config_var('EXT_SUFFIX')}"
    flags = ["-std=c99", *WARNINGS, "-shared", "-fPIC", "-I", dn.get_include(), *python_headers()]
    flags += flags_of_the_environment()
    spec = spec_from_file_location("dn_client", compiled(target, compiler, *flags, C / "client.c"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_an_extension_is_given(extension):
    major, minor, size, functions = extension.table()
    net = client("a bias here and there").net
    assert functions == net.c_functions
    assert (major, minor) == (1, 0) and size >= 8 * len(functions) + 16
    assert extension.address(net) == net.c_address
    assert extension.layers(net) == [
        (3, 11, 0, 33, "elu", 1.0, 0.0),
        (11, 6, 44, -1, "erf", 0.0, 0.0),
        (6, 2, 110, 122, "identity", 0.0, 0.0),
    ]
    numbers = [
        getter(functions, name)(net.c_address) for name in ("inputs", "outputs", "params", "layers")
    ]
    assert numbers == [3, 2, net.num_params, 3]
    for each, double in ((net, 1), (net.astype("float32"), 0)):
        assert (
            ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(functions["is_double"])(each.c_address)
            == double
        )
    with pytest.raises(AttributeError, match="c_net"):
        extension.address(3)
    with pytest.raises(ValueError, match="PyCapsule"):
        extension.address(type("Other", (), {"c_net": dn._C_API})())


def getter(functions, name):
    return ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p)(functions[f"num_{name}"])


def test_check_work(extension):
    c, wanted = client("tiny"), WANTED["hvp"] | WANTED["eval"]
    size, check = c.size(c.net.c_address, 3, wanted), extension.check_work
    assert check(c.net, 3, wanted, 1, size) == OK
    for refused in ((None, 3, wanted, 1, size), (c.net, -1, wanted, 1, size), (c.net, 3, wanted, 0, size),
                    (c.net, 3, wanted, 1, size - 1)):  # fmt: skip
        assert check(*refused) == EINVAL


PLANT = """if True:
    import ctypes, importlib.util, sys
    import deltanet as dn
    python = ctypes.pythonapi
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    python.PyCapsule_New.restype = ctypes.py_object
    python.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    spec = importlib.util.spec_from_file_location("dn_client", sys.argv[1])
    client = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(client)
    *_, size, functions = client.table()
    major, minor, more = map(int, sys.argv[2:])
    own = python.PyCapsule_GetPointer(dn._C_API, b"deltanet._C_API")
    other = ctypes.create_string_buffer(ctypes.string_at(own, size) + b"z" * max(0, more))
    ctypes.memmove(other, (ctypes.c_int * 2)(major, minor), 8)
    ctypes.memmove(ctypes.addressof(other) + 8, ctypes.byref(ctypes.c_size_t(size + more)), 8)
    name = b"deltanet._C_API"  # which a capsule does not copy
    dn._C_API = python.PyCapsule_New(ctypes.addressof(other), name, None)
    try:
        found = client.table()
        print("taken", found[0], found[1], found[2] - size, found[3] == functions)
    except ImportError as error:
        print("ImportError:", error)
"""


@pytest.mark.parametrize(
    "major, minor, more, output",
    [
        (1, 0, 0, "taken 1 0 0 True"),
        (1, 5, 240, "taken 1 5 240 True"),
        (
            2,
            0,
            0,
            "ImportError: .* deltanet.h 1.0; the installed deltanet has the C interface 2.0: compile",
        ),
        (0, 9, 240, "ImportError: .* the C interface 0.9: compile it again"),
        (1, 0, -8, "ImportError: .* the C interface 1.0: compile it again"),
    ],
)
def test_other_versions_of_the_table(extension, major, minor, more, output):
    """A longer one works; another major one, or one that lacks functions, is refused."""
    done = python(PLANT, extension.__file__, major, minor, more)
    assert done.returncode == 0, done.stderr
    assert re.match(output, done.stdout), done.stdout


def python(code, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="session")
def calls(tmp_path_factory):
    """{dtype: tests/c/calls.c for it}, and interpose.c: shared libraries"""
    if sys.platform != "linux":
        pytest.skip("these programs are written for Linux")
    compiler, folder = compilers("gcc", "clang", "cc")[0], tmp_path_factory.mktemp("c")
    flags = [
        "-std=gnu11",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
        "-pthread",
        "-I",
        dn.get_include(),
    ]
    own = flags_of_the_environment()
    libraries = {
        dtype: compiled(folder / f"{dtype}.so", compiler, *flags, *more, C / "calls.c")
        for dtype, more in (("float64", own), ("float32", ["-DFLOATS", *own]))
    }
    if platform.libc_ver()[0] == "glibc" and "LD_PRELOAD" not in os.environ:
        libraries["interpose"] = compiled(
            folder / "interpose.so", compiler, *flags, C / "interpose.c", "-ldl"
        )
    return libraries


class Calls:
    """The functions of calls.c at a net and three samples, called while Python's lock is held."""

    def __init__(self, library, net, X):
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        self.X, self.net = np.ascontiguousarray(X, net.dtype), net
        assert self.X.shape == (3, net.sizes[0])
        self.library = ctypes.PyDLL(str(library))
        self.api = pointer(dn._C_API, b"deltanet._C_API")

    def __call__(self, name, *arguments, result=ctypes.c_int):
        run = getattr(self.library, name)
        run.restype = result
        pointers = (ctypes.c_void_p(p) for p in (self.api, self.net.c_address, self.X.ctypes.data))
        return run(*pointers, *arguments)


def samples(net, scale=1.0):
    return scale * np.random.default_rng(0).standard_normal((3, net.sizes[0]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["tiny", "softmax", "deep and narrow", "wide"])
def test_eight_threads_while_python_holds_its_lock(calls, name, dtype):
    """They are C's own, and give one thread's bits. A call that wanted the lock would never return."""
    net = client(name, dtype).net
    run = Calls(calls[dtype], net, samples(net))
    count = 200 if name == "wide" else 2000
    assert run("differing", 8, ctypes.c_ssize_t(count), result=ctypes.c_ssize_t) == 0


HARD = {  # inputs whose functions overflow, underflow, or are not numbers
    "softmax far apart": (["identity", "softmax"], [[1e3, -1e3, 0], [1e5, 0, 0], [0, -800, -1e30]]),
    "log_softmax far apart": (
        ["identity", "log_softmax"],
        [[1e3, -1e3, 0], [1e5, 0, 0], [0, -800, -1e30]],
    ),
    "sin of huge": (
        ["sin", "identity"],
        [[1e22, 1e300, -1e17], [np.inf, 0, 1], [np.nan, -np.inf, 1e9]],
    ),
    "cos of huge": (["cos", "sin"], [[1e22, 1e30, -1e17], [np.inf, 0, 1], [np.nan, -np.inf, 1e9]]),
    "exp": (["exp", "exp"], [[800, 1, -800], [-1e4, 5, 6], [np.inf, 1, 2]]),
    "softmax of infinity": (
        ["identity", "softmax"],
        [[np.inf, 1, 2], [-np.inf, 0, 0], [np.nan, 0, 0]],
    ),
    "slopes that underflow": (["gaussian", "tanh"], [[30, -30, 1], [1e-310, 700, -700], [0, 0, 0]]),
}
HARD |= {
    f"{name}, ordinary": ([name, "identity"], [[0.1, -3, 7], [0, 40, -40], [1, 2, 3]])
    for name in dn.testing.FORMULAS
    if name not in ("softmax", "log_softmax", "threshold")
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", HARD)
def test_errno_and_the_floating_point_environment_are_left_alone(calls, case, dtype):
    activations, X = HARD[case]
    with np.errstate(over="ignore"):
        X = np.asarray(X, dtype)
    eye = np.eye(3)
    net = dn.MLP.from_layers([eye, eye], [np.zeros(3)] * 2, activations, dtype=dtype)
    assert Calls(calls[dtype], net, X)("changed") == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["tiny", "softmax", "deep and narrow", "wide"])
def test_no_system_call(calls, name, dtype):
    """Of calls in a process that the kernel would kill for it."""
    net = client(name, dtype).net
    run = Calls(calls[dtype], net, samples(net))
    status = run("sealed", ctypes.c_ssize_t(1), 1)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 99:
        pytest.skip("the system knows no seccomp")
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL  # it would be seen
    status = run("sealed", ctypes.c_ssize_t(100 if name == "wide" else 20_000), 0)
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0


COUNT = """if True:
    import ctypes, sys
    import numpy as np
    import deltanet as dn
    from test_c_interface import Calls, client, samples
    interpose = ctypes.CDLL(sys.argv[2])
    interpose.count.restype = ctypes.c_long
    interpose.count(1)
    interpose.some()
    assert interpose.count(0) >= 3
    for name in ("tiny", "softmax", "deep and narrow", "wide"):
        net = client(name, sys.argv[3]).net
        run = Calls(sys.argv[1], net, samples(net))
        count = ctypes.c_ssize_t(100 if name == "wide" else 100_000)
        address = ctypes.cast(interpose.count, ctypes.c_void_p)
        assert run("counted", count, address, result=ctypes.c_long) == 0, name
    print("none")
"""


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_memory_is_taken_and_no_lock(calls, dtype):
    if "interpose" not in calls:
        pytest.skip("counts calls into glibc, where nothing else is preloaded")
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    library = calls["interpose"]
    done = python(COUNT, calls[dtype], library, dtype, LD_PRELOAD=str(library), PYTHONPATH=paths)
    assert done.stdout == "none\n", done.stderr


def test_the_header_says_what_the_table_is():
    """Its numbers stay, its fields stay in their order: a client of today is compiled against them."""
    fields = re.findall(r"\(\*(\w+?)(?:##suffix)?\)\(", HEADER)
    assert fields == [
        *(
            "eval",
            "factors",
            "vjp",
            "jvp",
            "hess",
            "mixed",
            "hvp",
        ),  # of each type, behind the others
        *(
            "work_size",
            "num_inputs",
            "num_outputs",
            "num_params",
            "num_layers",
            "is_double",
            "layer",
            "strerror",
        ),
    ]
    assert NUMBERS == {
        **{"DN_OK": 0, "DN_EINVAL": 1, "DN_ETYPE": 2, "DN_EUNSUPPORTED": 3},
        **{"DN_Y": 1, "DN_JX": 2, "DN_JTHETA": 4, "DN_FACTORS": 8, "DN_VJP": 16, "DN_JVP": 32},
        **{"DN_HXX": 64, "DN_MIXED": 128, "DN_HVP": 256},
    }
