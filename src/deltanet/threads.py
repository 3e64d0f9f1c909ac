"""One level of parallelism at a time: a pool of threads over blocks of samples, BLAS held to one.

The calling thread takes part; the pool holds the others. It is started when it is first used, forgotten
in a forked child, and its idle threads end with the interpreter.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext, suppress

from deltanet import _parallel, _validate, machine

FEW = 2**24  # multiplications, a third of a millisecond of one thread

VARIABLE = "DELTANET_NUM_THREADS"
_number = _validate.threads(os.environ.get(VARIABLE) or machine.cores(), VARIABLE)


def set_num_threads(threads):
    """Set how many threads a call may use where its `threads=` says nothing.

    At the start it is the environment variable DELTANET_NUM_THREADS, or else the count of cores.

    Parameters
    ----------
    threads : int
        At least 1. No result depends on it, to the last bit.

    Raises
    ------
    ValueError, TypeError
        Where it is not a positive integer.

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


def get_num_threads():
    """How many threads a call may use where its `threads=` says nothing."""
    return _number


class _Blas:
    """BLAS at one thread while any call needs that; then as the first of them found it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.users = 0
        self.controller = self.limit = None

    def __enter__(self):
        with self.lock:
            if self.users == 0:
                self.controller = self.controller or _parallel.search()
                self.limit = self.controller.limit(limits=1, user_api="blas")
            self.users += 1

    def __exit__(self, *exception):
        with self.lock:
            self.users -= 1
            if self.users == 0:
                self.limit.restore_original_limits()


class _Pool:
    """The threads beside the calling one."""

    def __init__(self):
        self.lock = threading.Lock()
        self.size, self.executor = 0, None
        self.ids, self.others = [], None

    def submit(self, futures, work, count):
        """Add those of `work` on `count` threads to `futures`; fewer where the system starts no more."""
        with self.lock:
            if count > self.size:
                if self.executor:
                    self.executor.shutdown(wait=False)
                self.size, self.ids = count, []
                self.executor = ThreadPoolExecutor(count, "deltanet", self.enter, (self.ids,))
            self.part()
            with suppress(RuntimeError):
                for _ in range(count):
                    futures.append(self.executor.submit(work))

    def enter(self, ids):
        """What a new thread does first: leave its name, and be parted from the caller next time."""
        ids.append(threading.get_native_id())
        self.others = None

    def part(self):
        """Keep the pool's threads off the core that this one runs on (Linux).

        In a virtual machine the kernel takes an idle core for one that the host has taken away, and wakes
        a thread beside its waker: there it would wait until the work is done.
        """
        if machine.current_core is None:
            return
        others = os.sched_getaffinity(0) - {machine.current_core()}
        if others and others != self.others:
            for thread in self.ids:
                with suppress(OSError):
                    os.sched_setaffinity(thread, others)
            self.others = others


def _start():
    global _blas, _pool
    _blas, _pool = _Blas(), _Pool()


_start()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start)


def for_products(multiplications):
    """A context for products by BLAS: of one thread where they are too few for a second to pay."""
    return _blas if multiplications < FEW else nullcontext()


def spread(call, threads):
    """`call.work()` in this thread and in threads - 1 others; all have ended when this returns.

    `work` takes blocks until none is left, so that a thread which never gets its turn is not missed;
    `call.stop()` leaves none.
    """
    with _blas:
        futures = []
        try:
            if threads > 1:
                _pool.submit(futures, call.work, threads - 1)
            call.work()
            for future in futures:
                if not future.cancel():
                    future.result()
        except BaseException:
            call.stop()
            wait([future for future in futures if not future.cancel()])
            raise
