"""`dir()` of every public object: what is listed here is public and kept, the rest has an underscore."""

import inspect
from importlib.resources import files

import numpy as np
import pytest

import deltanet as dn

PACKAGE = """
    KFAC MLP Fit Jacobian MixedHessian fit residuals load save testing
    from_torch from_sklearn from_keras from_flax register_activation
    __version__ show_config get_include get_num_threads set_num_threads cache_info clear_cache
    write open
"""
MEMBERS = {
    "MLP": """
        from_layers standardized
        sizes activations dtype num_params params weights biases
        input_shift input_scale output_shift output_scale input_names output_names input_units output_units
        unravel ravel copy astype to_torch
        jacobian jacobian_dense input_jacobian linearize
        jvp vjp normal_equations ggn ggn_diagonal kfac row_norms_squared gram covariance
        input_hessian mixed_hessian hvp
        c_address c_net c_functions export_c export_fmu
    """,
    "Jacobian": """
        from_factors load save
        shape dtype ndim nbytes outputs deltas inputs weight bias to_dense restrict weighted
        T matvec rmatvec as_linear_operator
        gram gram_diagonal gram_per_output gram_trace row_norms_squared
        ggn ggn_diagonal kfac covariance solve input_jacobian plot
    """,
    "KFAC": "damped inverse logdet",
    "MixedHessian": "shape dtype deltas deltas_dx inputs inputs_dx to_dense",
    "Fit": "net history reason start loss explained scaled converged plot",
    "J.T": "T",
    "residuals": "fun jac count index",
    "a step": "loss damping gradient accepted validation seconds iterations count index",
    "testing": "Check check_jacobian",
    "testing.Check": "errors input_error tolerance oracle passed",
    "dask": "Factors jacobian input_jacobian ggn ggn_diagonal kfac covariance",
    "dask.Factors": "outputs deltas inputs",
}
PUBLIC_MODULES = {"testing", "dask"}


def objects():
    """One of each public kind."""
    X = np.linspace(-1, 1, 8).reshape(4, 2)
    net = dn.MLP([2, 3, 1], seed=0)
    J = net.jacobian(X)
    steps = []
    found = dn.fit(net, X, X[:, :1], max_iter=1, callback=lambda step, _: steps.append(step))
    return {
        "MLP": net,
        "Jacobian": J,
        "KFAC": J.kfac(),
        "MixedHessian": net.mixed_hessian(X, np.ones((4, 1))),
        "Fit": found,
        "J.T": J.T,
        "residuals": dn.residuals(net, X, X[:, :1]),
        "a step": steps[0],
        "testing": dn.testing,
        "testing.Check": dn.testing.check_jacobian(net, X),
        "dask": dn.dask,
        "dask.Factors": dn.dask.Factors(None, (), ()),
    }


OBJECTS = objects()


def public(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def test_of_the_package():
    assert set(dir(dn)) == set(PACKAGE.split())
    assert sorted([*dn.__all__, "open"]) == dir(dn)
    for name in dn.__all__:
        assert getattr(dn, name) is not None


def test_every_public_class_is_listed():
    classes = {name for name in dn.__all__ if inspect.isclass(getattr(dn, name))}
    assert classes <= set(MEMBERS)
    assert set(OBJECTS) == set(MEMBERS)


@pytest.mark.parametrize("name", MEMBERS)
def test_of_an_object(name):
    assert public(OBJECTS[name]) == set(MEMBERS[name].split())


@pytest.mark.parametrize("name", [name for name in MEMBERS if name not in ("J.T", *PUBLIC_MODULES)])
def test_of_its_class(name):
    """No more than the object has: no method that only some objects show, no constant of the class."""
    assert public(type(OBJECTS[name])) <= set(MEMBERS[name].split())


def test_a_public_name_is_imported_in_one_way():
    """No public module but two, which hold none of the package's names."""
    root = files("deltanet")
    modules = {
        path.name.removesuffix(".py") for path in root.iterdir() if path.name.endswith(".py")
    }
    packages = {path.name for path in root.iterdir() if path.joinpath("__init__.py").is_file()}
    assert {name for name in modules | packages if not name.startswith("_")} == PUBLIC_MODULES
    for name in PUBLIC_MODULES:
        assert not set(getattr(dn, name).__all__) & set(dn.__all__)


def test_what_is_bound_and_no_module_is_listed():
    """Nothing but the listed names and modules of the package: no `dn.np`, no `dn.Path`."""
    bound = {name for name in vars(dn) if not name.startswith("_")}
    assert bound <= set(PACKAGE.split()) | PUBLIC_MODULES


def test_the_types_are_in_the_package():
    """py.typed, and a stub beside each compiled module that Python imports; for C and Cython two headers."""
    root = files("deltanet")
    for name in ("py.typed", "__init__.pxd", "include/deltanet.h"):
        assert root.joinpath(name).is_file()
    stubs = {path.name for path in root.joinpath("_core").iterdir() if path.name.endswith(".pyi")}
    imported = (
        *("activation", "bends", "buffers", "capi", "cholesky", "context", "engine", "hold"),
        "tiles",
        "xxh64",
    )
    assert stubs == {f"{name}.pyi" for name in imported}
