"""One level of parallelism at a time: SciPy's BLAS at one thread while our own threads work.

threadpoolctl's limits do not serve for that: in its 3.8 only the thread that first set a limit may set one
again, and no other is told so: two calls which overlap can leave BLAS at one thread for good. Here the
library's own functions are called, found once. The count of users, and what an interrupt must not skip, are
in _core/hold.pyx.
"""

import _thread
import ctypes
import os
from itertools import product
from pathlib import Path
from typing import Any, SupportsIndex

import scipy
from scipy.linalg import cython_blas

from deltanet import _machine, _validate
from deltanet._core import context, hold

_AFFIXES = list(product(("scipy_", ""), ("", "64_", "_64")))  # of the names in builds of OpenBLAS
_NAMES = [
    *((f"{a}openblas_get_num_threads{z}", f"{a}openblas_set_num_threads{z}") for a, z in _AFFIXES),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
    ("flexiblas_get_num_threads", "flexiblas_set_num_threads"),
    ("bli_thread_get_num_threads", "bli_thread_set_num_threads"),
]
_LAYERS = [f"{a}openblas_get_parallel{z}" for a, z in _AFFIXES]
_OPENMP = 2  # what they return in a build with OpenMP, where each thread has a number of its own
_OPENMP_NAMES = ("omp_get_max_threads", "omp_set_num_threads")


Functions = tuple[int, int, bool]  # of a library: address of get, address of set, per thread
VARIABLE = "DELTANET_NUM_THREADS"
_number: int | None = None  # until it is set or asked for: a wrong variable does not fail an import


def set_num_threads(threads: SupportsIndex) -> None:
    """Set how many threads a call may use if it is not given `threads=`.

    At the start it is the environment variable DELTANET_NUM_THREADS, or else the count of cores.

    Parameters
    ----------
    threads : int
        At least 1. No result depends on it, to the last bit.

    Raises
    ------
    ValueError, TypeError
        If it is not a positive integer.

    Examples
    --------
    >>> import deltanet as dn
    >>> before = dn.get_num_threads()
    >>> dn.set_num_threads(1)
    >>> dn.get_num_threads()
    1
    >>> dn.set_num_threads(before)
    """
    global _number
    _number = _validate.threads(threads)


def get_num_threads() -> int:
    """How many threads a call may use if it is not given `threads=`.

    Raises
    ------
    ValueError
        If the environment variable DELTANET_NUM_THREADS is not a positive integer, and none was set. The
        first net that is made says so too.
    """
    global _number
    if _number is None:
        try:
            _number = _validate.threads(os.environ.get(VARIABLE) or _machine.cores(), VARIABLE)
        except TypeError as error:
            raise ValueError(str(error)) from None
    return _number


def check_environment() -> None:
    """Refuse a wrong environment variable, where an error of the first net would be taken for another."""
    context.simd()
    get_num_threads()


def held_blas() -> hold.Hold:
    """A context in which SciPy's BLAS uses one thread; the last to leave restores what the first has found.

    Contexts may be nested, and may overlap in any number of threads. What somebody else sets meanwhile is not
    undone. A BLAS that is not known (Accelerate, the reference one) is left alone.
    """
    if not hold.is_installed():
        hold.install(_linked() or _loaded())
    return hold.Hold()


def _linked() -> list[Functions]:
    """The functions of the library that SciPy's products are linked with.

    The system's loader says which that is: it looks for a name in a module, then in what the module needs.
    """
    try:
        return _functions(ctypes.CDLL(cython_blas.__file__))
    except OSError:
        return []


def _loaded() -> list[Functions]:
    """Those of SciPy's own folder, or else of all BLAS libraries in the process (Windows)."""
    controllers = search().select(user_api="blas").lib_controllers
    package = Path(scipy.__path__[0])
    folders = (package.with_name("scipy.libs"), package / ".libs")
    own = [c for c in controllers if Path(c.filepath).parent in folders]
    return [functions for c in own or controllers for functions in _functions(c.dynlib)]


def search() -> Any:
    """A ThreadpoolController, made in a thread, where no handler of a signal runs.

    It calls itself back through C: an exception in such a call is lost, and with it the library that it was
    about. The thread is a bare one, as the start of a threading.Thread does not stand an interrupt.
    """
    from threadpoolctl import ThreadpoolController

    found: list[Any] = []
    done = _thread.allocate_lock()
    done.acquire()

    def work() -> None:
        try:
            found.append(ThreadpoolController())
        except Exception as error:
            found.append(error)
        finally:
            done.release()

    _thread.start_new_thread(work, ())
    done.acquire()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _functions(library: ctypes.CDLL) -> list[Functions]:
    """[(address of get, address of set, per thread)] of a library, or [] where it has none that are known."""
    layers = [name for name in _LAYERS if hasattr(library, name)]
    per_thread = bool(layers) and library[layers[0]]() == _OPENMP
    for names in [_OPENMP_NAMES] if per_thread else _NAMES:
        if all(hasattr(library, name) for name in names):
            get: Any  # an address is not None
            set_: Any
            get, set_ = (ctypes.cast(library[name], ctypes.c_void_p).value for name in names)
            return [(get, set_, per_thread)]
    return []


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=hold.forked)
