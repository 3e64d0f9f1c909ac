"""register_activation: a user's own activation, of Python functions."""

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from deltanet import _validate
from deltanet._activations import Activation, Functions, register

Function = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def register_activation(
    name: str,
    f: Function,
    fprime: Function,
    fsecond: Function | None = None,
    c_code: str | None = None,
) -> None:
    """Make Python functions an activation, by a name like any other.

    ::

        h = f(v),    dh/dv = fprime(v),    d2h/dv2 = fsecond(v)

    Every verb of a net takes it, at any layer. The functions are called once for each layer of a block of
    samples, under the interpreter's lock, on whichever thread computes the block: with slow functions,
    threads wait for each other. What they raise ends the call and reaches the caller.

    Parameters
    ----------
    name : str
        An identifier that no activation has yet. It is known in this process only: register it again in
        others, before a pickled net is loaded there. It cannot be taken back.
    f, fprime : callable
        f and f' of local fields: from a read-only array (n,) of the net's dtype, float64 or float32, to an
        array of the same shape and dtype. Each element must depend on the same element of v alone; n and
        the order of the elements may be any. Several threads may call them in turn. Floating-point errors
        are ignored meanwhile, as the core's own activations ignore them.
    fsecond : callable, optional
        f'', in the same form. Only second derivatives call it: they need it of every registered activation
        of a net, and raise ValueError if one has none.
    c_code : str, optional
        The same in C, which `MLP.export_c` writes: statements that set ``f``, ``slope`` and ``second`` (f, f'
        and f'') from ``v``, all of type double, as in "f = v * v; slope = 2 * v; second = 2;".

    Raises
    ------
    ValueError
        If the name is not an identifier, or exists already.
    TypeError
        If an argument has another type.

    Notes
    -----
    A verb raises ValueError if a function returns another shape or dtype than it is given, and `save`
    raises ValueError for a net with such an activation: no file holds Python functions.
    `testing.check_jacobian` takes fprime as it is.

    Examples
    --------
    >>> import deltanet as dn
    >>> import numpy as np
    >>> dn.register_activation("cube", lambda v: v**3, lambda v: 3 * v**2)
    >>> net = dn.MLP.from_layers([[[2.0]]], [[0.0]], ["cube"])
    >>> net([1.0]), net.input_jacobian([1.0])
    (array([8.]), array([[24.]]))
    """
    functions = Functions(*_validate.functions(name, f, fprime, fsecond, c_code))
    register(name, Activation(functions.formula, functions=functions))
