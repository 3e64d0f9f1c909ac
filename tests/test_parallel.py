"""SciPy's BLAS at one thread while it is held, and at its own number afterwards, whatever comes between."""

import os
import random
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

from deltanet import _parallel
from deltanet._core import hold
from deltanet._parallel import held_blas


def numbers():
    """Of SciPy's BLAS: all of those loaded, where it has no folder of its own."""
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    own = [library for library in blas if "scipy.libs" in library["filepath"]]
    return {library["num_threads"] for library in own or blas}


def run(code, *flags):
    """The code in a process where BLAS begins with two threads; what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *flags, "-c", START + code],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.split()


START = """
import ctypes, os, signal, sys, threading, time, _thread
from deltanet import _parallel
from deltanet._parallel import held_blas
from deltanet._core import hold
def numbers():
    from threadpoolctl import threadpool_info
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    own = [library for library in blas if "scipy.libs" in library["filepath"]]
    return {library["num_threads"] for library in own or blas}
"""


@pytest.fixture
def two():
    """BLAS at two threads, without threadpoolctl's owner of the number being in the way afterwards."""
    if not numbers():
        pytest.skip("no BLAS that threadpoolctl knows")
    with threadpool_limits(2, user_api="blas"):
        yield
        assert numbers() == {2}
        assert hold.state()[0] == 0


@pytest.mark.parametrize("fail", [False, True])
def test_nested(two, fail):
    try:
        with held_blas():
            assert numbers() == {1}
            with held_blas(), held_blas():
                assert numbers() == {1}
            assert numbers() == {1}
            if fail:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fail


def test_no_other_library_is_touched(two):
    blas = ThreadpoolController().select(user_api="blas").lib_controllers
    others = [c for c in blas if "numpy.libs" in c.filepath]
    if not others:
        pytest.skip("NumPy has no BLAS of its own here")
    with held_blas():
        assert [c.num_threads for c in others] == [2] * len(others)


@pytest.mark.parametrize("first_to_leave", ["first to enter", "last to enter"])
def test_the_last_to_leave_need_not_be_the_first_to_enter(two, first_to_leave):
    inside, leave = threading.Event(), threading.Event()

    def other():
        with held_blas():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    if first_to_leave == "first to enter":
        thread.start()
        inside.wait(60)
        with held_blas():
            leave.set()
            thread.join()
            assert numbers() == {1}
    else:
        with held_blas():
            thread.start()
            inside.wait(60)
        assert numbers() == {1}
        leave.set()
        thread.join()


def test_many_threads(two):
    def hammer(seed):
        choose = random.Random(seed)
        for _ in range(1000):
            with held_blas():
                assert set(hold.state()[1]) == {1}
                if choose.random() < 0.3:
                    with held_blas():
                        assert set(hold.state()[1]) == {1}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hammer, range(8)))


def test_a_hold_that_was_not_left_is_left_when_it_dies(two):
    context = held_blas()
    context.__enter__()
    with pytest.raises(RuntimeError, match="one `with`"):
        context.__enter__()
    assert numbers() == {1}
    del context


INTERRUPTS = """
class Interrupt(Exception):
    pass
def interrupt(*_):
    global armed
    if armed:
        armed = False
        raise Interrupt
def by_timer():
    signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
def by_thread():
    def work():
        while not finished:
            _thread.interrupt_main(signal.SIGINT)
            time.sleep(5e-5)
    sys.setswitchinterval(1e-5)
    threading.Thread(target=work).start()
armed = finished = False
held_blas()
assert numbers() == {2}
seen = 0
for number in (signal.SIGINT, getattr(signal, "SIGALRM", signal.SIGINT)):
    signal.signal(number, interrupt)
START()
end = time.monotonic() + 30
while seen < 2000 and time.monotonic() < end:
    try:
        armed = True
        while True:
            CALL
    except Interrupt:
        seen += 1
finished = True
armed = False
if hasattr(signal, "setitimer"):
    signal.setitimer(signal.ITIMER_REAL, 0)
time.sleep(0.01)
assert seen > 100, seen
"""

needs_timer = pytest.mark.skipif(sys.platform == "win32", reason="the system has no such timer")


@pytest.mark.parametrize("start", [pytest.param("by_timer", marks=needs_timer), "by_thread"])
def test_interrupts(start):
    """Thousands of them, between any two bytecodes: each is the only one that could set it right again."""
    call = """
            with held_blas():
                with held_blas():
                    pass
            assert hold.state() == (0, [2]), hold.state()"""
    code = INTERRUPTS.replace("START", start).replace("            CALL", call)
    assert run(code + "print(*hold.state()[1], hold.state()[0], *numbers())") == ["2", "0", "2"]


@needs_timer
def test_interrupts_do_not_hide_a_library():
    """threadpoolctl calls itself back through C, where an exception from a handler is lost."""
    code = INTERRUPTS.replace("START", "by_timer").replace("2000", "101")
    code = code.replace(
        "CALL", "found = _parallel._loaded(); assert set(_parallel._linked()) <= set(found)"
    )
    assert run(code + "print('same')") == ["same"]


VERBS = {
    "fit": "dn.fit(net, X, Y, max_iter=3)",
    "solve": "J.solve(Y, 0.1)",
    "kfac": "J.kfac().damped(0.1).inverse().logdet()",
    "covariance": "J.covariance(S)",
}


@needs_timer
@pytest.mark.parametrize("verb", VERBS)
def test_interrupts_of_verbs(verb):
    """At any moment of calls that hold BLAS: none is lost, and BLAS is left as it was found."""
    begin = """
import numpy as np, deltanet as dn
net = dn.MLP([3, 9, 9, 2], seed=0)
X, Y = np.random.default_rng(0).standard_normal((2, 40, 3))
Y = Y[:, :2]
J, S = net.jacobian(X), np.eye(net.num_params)
def by_timer_of_verbs():
    VERB  # imports what it needs
    signal.setitimer(signal.ITIMER_REAL, 1.37e-3, 1.37e-3)
"""
    begin = begin.replace("VERB", VERBS[verb])
    held = "assert hold.state() == (0, [2]), hold.state()"
    code = INTERRUPTS.replace("START", "by_timer_of_verbs").replace("2000", "1000")
    code = code.replace("CALL", f"{VERBS[verb]}; {held}").replace("seen += 1", f"seen += 1; {held}")
    # a file that an interrupt leaves open is closed with a warning: code that would lose the next one
    flags = "-W", "ignore::ResourceWarning"
    assert run(begin + code + "print(*numbers())", *flags) == ["2"]


SCAN = """
import threadpoolctl
from threadpoolctl import ThreadpoolController
from deltanet._cli.failures import ending_on_signals
threadpoolctl._HAS_PROCFS, threadpoolctl.dllist = False, None  # as versions before 3.8 do it
signature = ctypes.CFUNCTYPE
def slow(function, first=[True]):
    def call(*arguments):
        if first.pop() if first else False:
            print("inside", flush=True)
            time.sleep(0.5)
        return function(*arguments)
    return call
ctypes.CFUNCTYPE = lambda *types: lambda function: signature(*types)(slow(function))
with ending_on_signals():
    _parallel.search()
    time.sleep(15)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="libraries are found without a call from C")
def test_sigterm_ends_a_search_for_libraries():
    """An exception in a call from C to Python would be lost, and with it the request to end."""
    pytest.importorskip("typer", reason="the command line needs the extra 'cli'")
    code = START + SCAN
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "inside\n"
        process.terminate()
        try:
            assert process.wait(30) == 128 + signal.SIGTERM
        finally:
            process.kill()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.parametrize("holder", ["this thread", "another thread"])
def test_a_forked_child_begins_with_no_user(holder):
    code = """
inside, leave = threading.Event(), threading.Event()
def work():
    with held_blas():
        inside.set()
        leave.wait(60)
def fork():
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert hold.state() == (0, [2]), hold.state()
            with held_blas():
                assert hold.state() == (1, [1]), hold.state()
            status = 0
        finally:
            if status:
                os._exit(status)
        return
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert hold.state() == (1, [1]), hold.state()
    leave.set()
main = os.getpid()
if THIS:
    with held_blas():
        fork()
else:
    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(60)
    fork()
    if os.getpid() == main:
        thread.join()
assert hold.state() == (0, [2]), hold.state()
assert numbers() == {2}
if os.getpid() != main:
    os._exit(0)
print("as before")
"""
    # Python 3.12 and newer warn of a fork of several threads
    code = code.replace("THIS", str(holder == "this thread"))
    assert run(code, "-W", "ignore::DeprecationWarning") == ["as", "before"]


def test_a_spawned_child(two):
    with held_blas():
        assert run("print(*hold.state()[1], *numbers())") == [
            "2"
        ]  # it is not found before it is used
        code = "held_blas(); print(hold.state()[0], *numbers())"
        assert run(code) == ["0", "2"]


def test_the_search_through_all_libraries_finds_it_too(two):
    assert set(_parallel._linked()) <= set(_parallel._loaded())


def test_an_unknown_library_is_left_alone():
    code = """
_parallel._linked = _parallel._loaded = lambda: []
with held_blas():
    assert hold.state() == (1, [])
print(*hold.state(), *numbers())
"""
    assert run(code) == ["0", "[]", "2"]


LIBRARY = """
class Number(threading.local if PER_THREAD else object):
    value = 2
number = Number()
get = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: number.value)
set_ = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda n: setattr(number, "value", n))
addresses = [ctypes.cast(function, ctypes.c_void_p).value for function in (get, set_)]
hold.install([(*addresses, PER_THREAD)])
"""


def test_a_number_that_another_sets_meanwhile_stands():
    code = """
number.value = 1
with held_blas():
    number.value = 3    # as the end of another's limit does
assert number.value == 3, number.value
with held_blas():
    number.value = 4
    with held_blas():
        assert number.value == 1
    assert number.value == 1
print(number.value)
"""
    assert run(LIBRARY.replace("PER_THREAD", "False") + code) == ["4"]


def test_a_number_of_each_thread_is_held_in_each():
    """OpenBLAS with OpenMP: one thread's number says nothing about another's."""
    code = """
def work():
    number.value = 3
    with held_blas():
        assert number.value == 1
        with held_blas():
            assert number.value == 1
        assert number.value == 1
    assert number.value == 3
with held_blas():
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert number.value == 1
print(*hold.state())
"""
    assert run(LIBRARY.replace("PER_THREAD", "True") + code) == ["0", "[2]"]
