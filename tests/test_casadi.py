"""Exported files as CasADi externals: entry points, values, first and second derivatives.

Exact values are those of plain NumPy formulas (dense_oracle.py, second_oracle.py) and their complex step.
"""

import ctypes
import shutil
import subprocess
from itertools import combinations

import numpy as np
import pytest
from c_client import Numbers
from casadi_external import CASES, External, ca


@pytest.fixture(params=CASES)
def one(request, externals):
    return externals(request.param)


# What CasADi finds


def entry_points(argument, second=True):
    """The symbols of the four functions, or of three."""
    functions = ["net", "jac_net", "adj1_net", *["jac_adj1_net"] * second]
    behind = ["n_in", "n_out", "name_in", "name_out", "sparsity_in", "sparsity_out", "work"]
    return set(functions) | {f"{f}_{what}" for f in functions for what in behind}


def symbols(path):
    """What a library exports."""
    nm = shutil.which("nm") or pytest.skip("needs nm")
    listed = subprocess.run([nm, "-D", "--defined-only", path], capture_output=True, text=True)
    return {line.split()[-1] for line in listed.stdout.splitlines()}


@pytest.mark.parametrize("params", ["constant", "argument"])
def test_these_entry_points_and_no_others(params, tmp_path):
    one = External((*CASES["one"][:4], params, "float64"), tmp_path)
    own = {"net_eval", "net_vjp", "net_hess", "net_work_size"}
    assert symbols(one.compile("-O0")) == entry_points(params == "argument") | own
    assert symbols(one.compile("-O0", "-fvisibility=hidden")) == entry_points(params == "argument")


def traced(one):
    """The same net as an expression, which CasADi differentiates: its functions show the interface."""
    x, theta = ca.MX.sym("x", one.n_0), ca.MX.sym("theta", one.P)
    own, h, at = theta if one.argument else one.theta, x, 0
    for W, b in zip(one.net.weights, one.net.biases, strict=True):
        h = ca.reshape(own[at : at + W.size], *W.shape[::-1]).T @ h
        at += W.size
        if b is not None:
            h, at = h + own[at : at + b.size], at + b.size
        h = ca.tanh(h)
    names = list(one.arguments)
    return ca.Function("net", [x, theta][: len(names)], [h], names, ["y"])


def derivatives(f):
    """The four functions that belong to one."""
    reverse = f.reverse(1)
    return [f, f.jacobian(), reverse, reverse.jacobian()]


def sides(function):
    """[(name, shape, whether it is empty)] of arguments, and of results."""
    dims = ("in", function.n_in()), ("out", function.n_out())
    found = []
    for side, count in dims:
        name, sparsity = (getattr(function, f"{what}_{side}") for what in ("name", "sparsity"))
        found.append([(name(i), sparsity(i).shape, sparsity(i).nnz() == 0) for i in range(count)])
    return found


def test_interface_is_that_of_casadi_itself(one):
    for ours, theirs in zip(derivatives(one.f), derivatives(traced(one)), strict=True):
        assert ours.name() == theirs.name()
        assert ours.class_name() == "External"
        assert sides(ours) == sides(theirs)
        outputs = [ours.sparsity_out(i) for i in range(ours.n_out())]
        assert all(sparsity.is_dense() or sparsity.nnz() == 0 for sparsity in outputs)


def test_names_and_empty_blocks(externals):
    """The same, written out."""
    *_, jac_adj1 = derivatives(externals("tanh").f)
    assert sides(jac_adj1) == [
        [
            ("x", (4, 1), False),
            ("out_y", (2, 1), True),
            ("adj_y", (2, 1), False),
            ("out_adj_x", (4, 1), True),
        ],
        [
            ("jac_adj_x_x", (4, 4), False),
            ("jac_adj_x_out_y", (4, 2), True),
            ("jac_adj_x_adj_y", (4, 2), False),
        ],
    ]
    *_, jac_adj1 = derivatives(externals("theta, one").f)
    blocks = [
        f"jac_adj_{g}_{by}" for g in ("x", "theta") for by in ("x", "theta", "out_y", "adj_y")
    ]
    assert jac_adj1.name_out() == blocks


# Values


def test_first_derivatives(one):
    y, dx, rows, _ = one.exact
    one.close(one.f(*one.arguments.values()).full(), y)
    one.close(one.derived(lambda y, x, *_: ca.jacobian(y, x)), dx)
    one.close(one.derived(lambda y, x, *_: ca.gradient(ca.dot(one.u, y), x)), one.u @ dx)
    if one.argument:
        one.close(one.derived(lambda y, _, theta: ca.jacobian(y, theta)), rows)
        weighted = one.derived(lambda y, _, theta: ca.gradient(ca.dot(one.u, y), theta))
        one.close(weighted, one.u @ rows)


def hessian(one):
    return one.derived(lambda y, x, *_: ca.hessian(ca.dot(one.u, y), x)[0])


def test_hessian(one):
    one.close(hessian(one), one.exact[3][one.P :, one.P :])


@pytest.mark.parametrize("name", ["tanh", "scaled", "softmax", "theta, log_softmax"])
def test_hessian_by_complex_step(name, externals):
    """Im u^T dy/dx (x + i h e_j) / h"""
    one = externals(name)
    steps = one.x + 1e-30j * np.eye(one.n_0)
    one.close(hessian(one), np.imag(one.u @ one.plain.differentiate(steps)[2]).T / 1e-30)


def test_every_block(one):
    """The results of the four functions themselves, as they are stored."""
    *_, jac_adj1 = derivatives(one.f)
    _, dx, rows, second = one.exact
    of = {"x": slice(one.P, None), "theta": slice(None, one.P)}
    first = {"x": dx, "theta": rows}
    found = jac_adj1(adj_y=one.u, **one.arguments)
    for g in one.arguments:
        for by in one.arguments:
            one.close(found[f"jac_adj_{g}_{by}"].full(), second[of[g], of[by]])
        one.close(found[f"jac_adj_{g}_adj_y"].full(), first[g].T)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[4] == "argument"])
def test_hessian_in_theta_and_x_together(name, externals):
    one = externals(name)
    z = ca.MX.sym("z", one.P + one.n_0)
    second = ca.hessian(ca.dot(one.u, one.f(z[one.P :], z[: one.P])), z)[0]
    found = ca.Function("second", [z], [second])(np.concatenate([one.theta, one.x]))
    one.close(found.full(), one.exact[3])


def test_an_empty_block_would_be_seen(externals, tmp_path):
    """CasADi believes what a file says of its blocks: without jac_adj_x_adj_y a Hessian is silently wrong."""
    broken = External(CASES["tanh"], tmp_path)
    text = broken.source.read_text()
    dense = "net_shape_4_2[3] = {4, 2, 1}"
    assert text.count(dense) == 1
    broken.source.write_text(text.replace(dense, "net_shape_4_2[5] = {4, 2, 0, 0, 0}"))
    nested = broken.derived(lambda y, x: ca.hessian(ca.dot(ca.sin(y), broken.u), x)[0])
    one = externals("tanh")
    exact = one.derived(lambda y, x: ca.hessian(ca.dot(ca.sin(y), one.u), x)[0])
    assert abs(nested - exact).max() > 0.01 * abs(exact).max()
    with pytest.raises(AssertionError):
        test_interface_is_that_of_casadi_itself(broken)


def test_many_parameters_as_argument(tmp_path):
    case = ((20, 40, 5), ["tanh", "identity"], True, False, "argument", "float64")
    with pytest.warns(UserWarning, match=r"at most 1000 parameters, the net has 1045"):
        one = External(case, tmp_path)
    assert symbols(one.compile("-O1")) >= entry_points(True, second=False)
    assert not [name for name in symbols(one.path) if "jac_adj1" in name]
    one.close(
        one.derived(lambda y, _, theta: ca.jacobian(y, theta)),
        one.plain.differentiate(one.x[None])[1],
    )
    with pytest.raises(RuntimeError):
        hessian(one)


# What CasADi may leave out


class Entry:
    """One of the four functions, called as CasADi calls it: a workspace of exactly what it asked for."""

    def __init__(self, library, function):
        self.call, self.function = getattr(library, function.name()), function
        self.inputs = [function.nnz_in(i) for i in range(function.n_in())]
        self.outputs = [function.nnz_out(i) for i in range(function.n_out())]
        sizes = [ctypes.c_longlong() for _ in range(4)]
        assert getattr(library, f"{function.name()}_work")(*map(ctypes.byref, sizes)) == 0
        n_arg, n_res, n_iw, self.n_w = (size.value for size in sizes)
        assert (n_arg, n_res, n_iw) == (function.n_in(), function.n_out(), 0)

    def __call__(self, given, wanted):
        """{index: result}; arguments that are not given are NULL."""
        arguments = {i: Numbers(value, "float64") for i, value in given.items()}
        results = {i: Numbers(np.full(self.outputs[i], np.nan), "float64") for i in wanted}
        work = Numbers(np.full(self.n_w, np.nan), "float64")
        pointers = [
            (ctypes.c_void_p * count)(*(at[i].address if i in at else None for i in range(count)))
            for at, count in ((arguments, len(self.inputs)), (results, len(self.outputs)))
        ]
        assert self.call(*pointers, None, ctypes.c_void_p(work.address), 0) == 0
        for area in (*arguments.values(), *results.values(), work):
            area.check()
        assert all(area.unchanged() for area in arguments.values())
        return {i: area.array for i, area in results.items()}


def subsets(indices):
    return [some for n in range(len(indices) + 1) for some in combinations(indices, n)]


@pytest.mark.parametrize("name", ["scaled", "theta, log_softmax"])
def test_results_that_are_not_wanted(name, externals):
    one = externals(name)
    library = ctypes.CDLL(str(one.path))
    for function in derivatives(one.f):
        entry = Entry(library, function)
        values = {"adj_y": one.u, **one.arguments}
        given = {i: values[key] for i, key in enumerate(function.name_in()) if key in values}
        every = entry(given, range(len(entry.outputs)))
        exact = function(**{key: values[key] for key in function.name_in() if key in values})
        for i, key in enumerate(function.name_out()):
            np.testing.assert_array_equal(every[i], exact[key].nonzeros())
        for wanted in subsets(range(len(entry.outputs))):
            for i, found in entry(given, wanted).items():
                np.testing.assert_array_equal(found, every[i])


@pytest.mark.parametrize("name", ["scaled", "theta, log_softmax"])
def test_arguments_that_are_zero(name, externals):
    """NULL says so."""
    one = externals(name)
    library = ctypes.CDLL(str(one.path))
    for function in derivatives(one.f):
        entry, random = Entry(library, function), np.random.default_rng(0)
        given = {i: random.standard_normal(n) for i, n in enumerate(entry.inputs) if n}
        wanted = range(len(entry.outputs))
        for some in subsets(list(given)):
            zeros = {i: value if i in some else 0 * value for i, value in given.items()}
            exact = entry(zeros, wanted)
            for i, found in entry({i: given[i] for i in some}, wanted).items():
                np.testing.assert_array_equal(found, exact[i])
