"""Nets as files of C against their own results, whose oracles are in test_second.py and test_verbs.py."""

import re
import subprocess
from pathlib import Path

import dense_oracle as plain
import numpy as np
import pytest
from dense_oracle import PlainNet
from exported_net import C99, WARNINGS, Exported, check, compiled, compiler, library

import deltanet as dn

# of the largest entry. In float32 the core's own results on these nets are up to 3.0e-6 from those in float64
TOLERANCE = {"float64": 1e-14, "float32": 4e-6}
pytestmark = pytest.mark.of_c
LATER = pytest.param("float32", "libm", marks=pytest.mark.nightly)
KINDS = [("float64", "own"), ("float32", "own"), ("float64", "libm"), LATER]
CUBE = "f = v * v * v; slope = 3 * v * v; second = 6 * v;"
dn.register_activation(
    "exported_cube", lambda v: v**3, lambda v: 3 * v**2, lambda v: 6 * v, c_code=CUBE
)
SPECS = [*plain.SPECS, ("threshold", 0.1, -0.4), *plain.COUPLED]
SHAPES = [*plain.SHAPES, (3, 33, 20, 8)]


def as_net(net, dtype):
    return dn.MLP.from_layers(net.weights, net.biases, net.activations, *net.scalings, dtype=dtype)


def random_net(seed, dtype, specs=None):
    """(a plain net, the same of deltanet), with these activations or some of every kind."""
    random = np.random.default_rng(seed)
    if specs is None:
        sizes = random.integers(1, 20, random.integers(2, 6))
        pool = [spec for spec in SPECS if spec not in ("exp", "square", *plain.COUPLED)]
        specs = [pool[i] for i in random.integers(len(pool), size=len(sizes) - 1)]
        if random.random() < 0.3:
            specs[-1] = plain.COUPLED[random.integers(2)]
    else:
        sizes = (5, 9, 6, 3)[: len(specs) + 1]
    biased = random.random(len(specs)) < 0.7
    net = PlainNet.random(random, sizes, specs, biased, random.random() < 0.7, dtype)
    return net, as_net(net, dtype)


def exported(nets, folder, flags=(), **options):
    """All of them in one library: a list of Exported."""
    folder.mkdir(exist_ok=True)
    for i, net in enumerate(nets):
        net.export_c(folder / f"net{i}.c", **options)
    sources = [folder / f"net{i}.c" for i in range(len(nets))]
    built = library(folder / "nets.so", sources, *flags)
    argument = options.get("params") == "argument"
    return [
        Exported(net, f"net{i}", built, net.params if argument else None)
        for i, net in enumerate(nets)
    ]


@pytest.mark.parametrize("dtype, math", KINDS)
def test_every_activation(dtype, math, tmp_path):
    alone = [spec for spec in SPECS if spec not in plain.COUPLED]
    triples = [alone[i : i + 3] for i in range(0, len(alone), 3)]
    triples += [["tanh", "gelu", output] for output in plain.COUPLED]
    pairs = [random_net(i, dtype, triple) for i, triple in enumerate(triples)]
    for (net, _), found in zip(
        pairs, exported([fast for _, fast in pairs], tmp_path, math=math), strict=True
    ):
        random = np.random.default_rng(1)
        for x in net.samples(random, 3, dtype).astype(dtype):
            check(found, x, random.standard_normal(net.sizes[-1]).astype(dtype), TOLERANCE[dtype])


FAR = [
    0.0,
    -0.0,
    1e-300,
    -1e-300,
    1e-30,
    0.5,
    -0.5,
    3,
    -3,
    20,
    -20,
    700,
    -700,
    1e5,
    -1e5,
    2e7,
    1e30,
    -1e30,
    1e300,
]
FAR = np.array([*FAR, -1e300, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("dtype, math", KINDS)
def test_local_fields_of_every_size(dtype, math, tmp_path):
    # the slope of an identity is written as 1, also where v is NaN
    specs = [spec for spec in SPECS if spec not in ("identity", *plain.COUPLED)]
    nets = [dn.MLP.from_layers([np.ones((1, 1), dtype)], [None], [spec]) for spec in specs]
    with np.errstate(over="ignore"):
        fields = FAR.astype(dtype)
    for net, found in zip(nets, exported(nets, tmp_path, math=math), strict=True):
        for v in fields[:, None]:
            y, jx, _ = found.eval(v)
            results = y[0], jx[0, 0], found.hess(v, np.ones(1, dtype))[0, 0]
            exact = (
                net(v)[0],
                net.input_jacobian(v)[0, 0],
                net.input_hessian(v, np.ones(1, dtype))[0, 0],
            )
            for order, (a, b) in enumerate(zip(results, exact, strict=True)):
                what = f"{net.activations[0]}, order {order} at {v[0]}: {a}, not {b}"
                eps = np.finfo(dtype).eps
                least = np.finfo(dtype).tiny if math == "own" else 16 * eps
                np.testing.assert_allclose(a, b, 16 * eps, least, err_msg=what)


@pytest.mark.parametrize("dtype, params", [("float64", "constant"), ("float32", "argument")])
def test_shapes(dtype, params, tmp_path):
    nets = []
    for i, sizes in enumerate(SHAPES):
        random = np.random.default_rng(i)
        activations = ["tanh"] * (len(sizes) - 2) + ["softmax" if i % 3 == 2 else "identity"]
        biased = [k % 2 == i % 2 for k in range(len(activations))]
        nets.append(
            as_net(PlainNet.random(random, sizes, activations, biased, i % 2, dtype), dtype)
        )
    for net, found in zip(nets, exported(nets, tmp_path, params=params), strict=True):
        x, u = (np.linspace(-1, 1, n).astype(dtype) for n in (net.sizes[0], net.sizes[-1]))
        check(found, x, u, TOLERANCE[dtype])


def random_nets(seeds, dtype, tmp_path):
    for seed in seeds:
        net, fast = random_net(seed, dtype)
        random = np.random.default_rng(seed)
        try:
            X = net.samples(random, 2, dtype).astype(dtype)
        except plain.AtKink:
            continue
        folder = tmp_path / f"{dtype}{seed}"
        options = {
            "params": "argument" if seed % 3 == 0 else "constant",
            "math": "libm" if seed % 5 == 0 else "own",
        }
        found = exported([fast], folder, **options)[0]
        for x in X:
            u = random.standard_normal(net.sizes[-1]).astype(dtype)
            check(found, x, u, 4 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_random_nets(dtype, tmp_path):
    random_nets(range(6), dtype, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_random_nets_in_number(dtype, tmp_path):
    random_nets(range(100, 200), dtype, tmp_path)


# The text


def everything(dtype="float64", every=1):
    """A net with every activation that can stand anywhere, or one of `every` so many."""
    specs = [spec for spec in SPECS if spec not in plain.COUPLED and spec != "exp"][::every]
    net = dn.MLP([3] + [4] * len(specs) + [2], [*specs], "softmax", dtype=dtype, seed=0)
    scale = [1.0, 2.0, 3.0]
    return dn.MLP.from_layers(net.weights, net.biases, net.activations, scale, scale, dtype=dtype)


CPP = ("-std=c++17", "-x", "c++", *WARNINGS)
BUILDS = [
    ("gcc", C99, "float64", {"params": "argument", "casadi": True}, 1),
    ("g++", CPP, "float32", {}, 5),
    ("gcc", C99, "float32", {"math": "libm"}, 5),
    ("clang", C99, "float64", {"casadi": True}, 1),
    ("clang++", CPP, "float32", {}, 1),
    ("aarch64-linux-gnu-gcc", C99, "float32", {}, 7),
    ("arm-linux-gnueabihf-gcc", C99, "float64", {"casadi": True}, 7),
    pytest.param("gcc", C99, "float32", {}, 1, marks=pytest.mark.nightly),
    pytest.param("g++", CPP, "float64", {"casadi": True}, 1, marks=pytest.mark.nightly),
    pytest.param("gcc", C99, "float64", {"math": "libm"}, 1, marks=pytest.mark.nightly),
]


@pytest.mark.parametrize("name, flags, dtype, options, every", BUILDS)
def test_compiles_without_a_warning(name, flags, dtype, options, every, tmp_path):
    cc = compiler(name)
    everything(dtype, every).export_c(tmp_path / "all.c", header=True, **options)
    compiled(tmp_path / "all.o", [tmp_path / "all.c"], *flags, "-O3", "-c", "-DALL_TEST", cc=cc)
    language = [] if flags is CPP else ["-x", "c"]
    flags = [*flags, *language, "-fsyntax-only"]
    compiled(tmp_path / "all.h.o", [tmp_path / "all.h"], *flags, cc=cc)


ZIG = ["x86_64-windows-gnu", "aarch64-linux-musl", "arm-linux-musleabihf", "x86_64-macos"]
OPTIONS = [
    ("float64", {"params": "argument", "casadi": True}),
    ("float32", {}),
    ("float32", {"math": "libm"}),
]


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("target", ZIG)
def test_zig_compiles_it_for_other_machines(target, every, tmp_path):
    zig = pytest.importorskip("ziglang", reason="needs ziglang")
    everything(every=every).export_c(tmp_path / "all.c", casadi=True)
    command = [Path(zig.__file__).with_name("zig"), "cc", "-target", target, *C99, "-O3", "-c"]
    files = [tmp_path / "all.c", "-o", tmp_path / "all.o"]
    done = subprocess.run([*command, *files], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


SANITIZE = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.mark.parametrize(
    "dtype, params, flags, every",
    [
        ("float64", "argument", SANITIZE, 7),
        ("float64", "constant", ["-O3", "-march=native"], 3),
        # a library linked so would flush denormal numbers in all of this process: gcc's crtfastmath
        ("float64", "constant", ["-Ofast", "-march=native"], 8),
        pytest.param("float32", "argument", SANITIZE, 1, marks=pytest.mark.nightly),
        pytest.param("float64", "constant", SANITIZE, 1, marks=pytest.mark.nightly),
    ],
)
def test_the_program_that_tests_it(dtype, params, flags, every, tmp_path):
    everything(dtype, every).export_c(tmp_path / "all.c", params=params)
    sources = [tmp_path / "all.c"]
    program = compiled(tmp_path / "all", sources, *C99, "-DALL_TEST", *flags, cc=compiler("gcc"))
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all as deltanet has it" in done.stdout


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_without_the_extensions_of_gnu(dtype, tmp_path):
    """As a compiler that has no vectors and no attributes reads it."""
    dn.MLP([5, 9, 6, 3], ["gelu", "sin"], "softmax", dtype=dtype, seed=0).export_c(
        tmp_path / "net.c"
    )
    text = (tmp_path / "net.c").read_text()
    (tmp_path / "net.c").write_text(re.sub(r"defined\(__(GNUC|clang)__\)", "0", text))
    flags = [*C99, "-Wno-unused-parameter", "-Wno-unknown-pragmas", "-O1", "-DNET_TEST"]
    program = compiled(tmp_path / "net", [tmp_path / "net.c"], *flags)
    assert (
        "all as deltanet has it" in subprocess.run([program], capture_output=True, text=True).stdout
    )


@pytest.mark.nightly
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("machine", ["aarch64-linux-gnu", "arm-linux-gnueabihf"])
def test_the_program_on_other_machines(machine, dtype, tmp_path):
    cc, emulator = compiler(f"{machine}-gcc"), f"qemu-{machine.partition('-')[0]}"
    emulator = compiler(f"{emulator}-static", emulator)
    everything(dtype).export_c(tmp_path / "all.c")
    flags = [*C99, "-O2", "-static", "-DALL_TEST"]
    program = compiled(tmp_path / "all", [tmp_path / "all.c"], *flags, cc=cc)
    done = subprocess.run([emulator, program], capture_output=True, text=True)
    assert done.returncode == 0 and "all as deltanet has it" in done.stdout, done.stdout


def test_the_program_sees_a_wrong_number(tmp_path):
    dn.MLP([3, 4, 2], seed=0).export_c(tmp_path / "net.c")
    text = (tmp_path / "net.c").read_text()
    right, number = text.rsplit("net_theta[26] = {\n", 1)
    (tmp_path / "net.c").write_text(f"{right}net_theta[26] = {{\n0.5+{number}")
    program = compiled(tmp_path / "net", [tmp_path / "net.c"], *C99, "-DNET_TEST")
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 1 and "WRONG" in done.stdout


@pytest.mark.nightly
def test_cppcheck_finds_nothing(tmp_path):
    cppcheck = compiler("cppcheck")
    everything().export_c(tmp_path / "all.c", casadi=True)
    command = [
        cppcheck,
        "--enable=warning,portability",
        "--error-exitcode=1",
        "--quiet",
        "--std=c99",
    ]
    done = subprocess.run([*command, tmp_path / "all.c"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_stack_is_as_small_as_it_says(tmp_path):
    everything().export_c(tmp_path / "all.c", casadi=True, params="argument")
    compiled(
        tmp_path / "all.o",
        [tmp_path / "all.c"],
        *C99,
        "-O3",
        "-c",
        "-fstack-usage",
        cc=compiler("gcc"),
    )
    usage = next(tmp_path.glob("*.su")).read_text()
    sizes = [line.split("\t") for line in usage.splitlines()]
    assert all(kind.startswith("static") for *_, kind in sizes)
    assert sum(sorted(int(size) for _, size, _ in sizes)[-3:]) < 8000


def test_two_files_in_one_unit(tmp_path):
    nets = [dn.MLP([2, 3, 1], act, seed=0) for act in ("tanh", "sin")]
    for name, net in zip("ab", nets, strict=True):
        net.export_c(tmp_path / f"{name}.c")
    (tmp_path / "both.c").write_text('#include "a.c"\n#include "b.c"\n')
    built = library(tmp_path / "both.so", [tmp_path / "both.c"])
    for name, net in zip("ab", nets, strict=True):
        check(Exported(net, name, built), np.array([0.3, 0.7]), np.ones(1), 1e-14)


def test_vector_instructions_change_nothing(tmp_path):
    """Other instructions, other compilers: rounding alone."""
    fast = random_net(3, "float64", ["gelu"] * 3)[1]
    for i, flags in enumerate((("-O0",), ("-O3", "-march=native"), ("-Os", "-std=gnu17"))):
        found = exported([fast], tmp_path / str(i), (*WARNINGS, *flags))[0]
        check(found, np.linspace(-1, 1, 5), np.ones(3), 1e-14)


def test_the_same_bytes(tmp_path):
    for name in "ab":
        dn.MLP([3, 5, 2], seed=0).export_c(
            tmp_path / f"{name}.c", name="net", header=True, casadi=True
        )
    for suffix in ".c", ".h":
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_characters_a_parameter(tmp_path):
    net = dn.MLP([10, 64, 64, 6], seed=0)
    net.export_c(tmp_path / "net.c", casadi=True, math="libm")
    assert (tmp_path / "net.c").stat().st_size <= 32 * net.num_params


def test_c_code_of_a_registered_activation(tmp_path):
    net = dn.MLP.from_layers(
        [np.ones((2, 2)) / 3, np.ones((1, 2))], [None, [0.5]], ["exported_cube", "identity"]
    )
    check(exported([net], tmp_path)[0], np.array([0.5, -1.5]), np.ones(1), 1e-14)


# Refusals


NAMES = [
    "2net",
    "a-b",
    "a__b",
    "a_",
    "",
    "int",
    "class",
    "sin",
    "main",
    "null",
    "jac",
    "hess",
    "n\u00e9t",
    "x" * 201,
    "_net",
    "a b",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_c_or_casadi_forbid(name, tmp_path):
    with pytest.raises(ValueError, match="^name must.*" + re.escape(repr(name))):
        dn.MLP([1, 1]).export_c(tmp_path / "net.c", name=name)
    assert not list(tmp_path.iterdir())


def test_no_placeholder_is_left(tmp_path):
    everything().export_c(tmp_path / "net.c", header=True, casadi=True)
    for path in tmp_path.iterdir():
        assert not re.search(r"DN_|F\(\w|M\(\w|\breal\b|[^ -~\n]", path.read_text())


def test_the_stem_is_the_name(tmp_path):
    dn.MLP([1, 1]).export_c(tmp_path / "policy.c")
    assert "void policy_eval(" in (tmp_path / "policy.c").read_text()
    with pytest.raises(ValueError, match=r"'my-net'; give another by name="):
        dn.MLP([1, 1]).export_c(tmp_path / "my-net.c")


def broken():
    net = dn.MLP([2, 1], seed=0)
    net.params[1] = np.nan
    return net


dn.register_activation("exported_without", lambda v: v, lambda v: np.ones_like(v))
REFUSED = {
    "params": (
        dn.MLP([1, 1]),
        {"params": "none"},
        ValueError,
        "params must be 'constant' or 'argument'; got 'none'",
    ),
    "params, type": (dn.MLP([1, 1]), {"params": 1}, TypeError, "params must be a str; got 1"),
    "math": (
        dn.MLP([1, 1]),
        {"math": "fast"},
        ValueError,
        "math must be 'own' or 'libm'; got 'fast'",
    ),
    "casadi": (dn.MLP([1, 1]), {"casadi": 1}, TypeError, "casadi must be True or False; got 1"),
    "header": (
        dn.MLP([1, 1]),
        {"header": None},
        TypeError,
        "header must be True or False; got None",
    ),
    "name": (dn.MLP([1, 1]), {"name": 3}, TypeError, "name must be a str, got 3"),
    "NaN": (
        broken(),
        {},
        ValueError,
        r"params must be finite to be written as constants; \[1\] is nan",
    ),
    "registered": (
        dn.MLP([1, 2, 1], "exported_without"),
        {},
        ValueError,
        "C needs c_code of activation 'exported_without' of layer 0",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case, tmp_path):
    net, options, error, message = REFUSED[case]
    target = tmp_path / "net.c"
    target.write_text("before")
    with pytest.raises(error, match=message):
        net.export_c(target, **options)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_a_header_beside_a_header(tmp_path):
    with pytest.raises(ValueError, match=r"path must not end in \.h"):
        dn.MLP([1, 1]).export_c(tmp_path / "net.h", header=True)


def test_too_large_a_workspace(tmp_path):
    net = dn.MLP([20_000, 1, 20_000])  # A = dv/dx of the last layer
    with pytest.raises(
        ValueError, match=r"net 20000-1-20000 would need more than 2147483648 bytes"
    ):
        net.export_c(tmp_path / "net.c", params="argument")


def test_too_many_constants(tmp_path):
    net = dn.MLP([2000, 2000, 1], dtype="float32")
    with pytest.raises(
        ValueError,
        match=r"at most 4000000 parameters as constants, the net has 4004001: use params=",
    ):
        net.export_c(tmp_path / "net.c")
    net.export_c(tmp_path / "net.c", params="argument")
