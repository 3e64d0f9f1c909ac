"""Who computes: this process, processes on this machine, or the workers of a Dask scheduler."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from deltanet._cli.options import WorkerOptions
from deltanet._extras import package

CONNECT_SECONDS = 30  # to reach a scheduler


@contextmanager
def executor(options: WorkerOptions) -> Iterator[Any]:
    """What takes the tasks, or None for this process. None of its processes outlives the block."""
    if options.workers is not None and options.scheduler is not None:
        raise ValueError("--workers and --scheduler exclude each other: give one of them")
    if options.workers is not None:
        if options.workers < 1:
            raise ValueError(f"--workers must be at least 1; got {options.workers}")
        with _pool(options.workers) as pool:
            yield pool
    elif options.scheduler is not None:
        with _client(options.scheduler) as client:
            yield client.get_executor()
    else:
        yield None


@contextmanager
def _pool(count: int) -> Iterator[ProcessPoolExecutor]:
    others = multiprocessing.active_children()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, _begin)
    try:
        yield pool
    except BaseException:
        for process in multiprocessing.active_children():
            if process not in others:  # what it has not finished is of no use any more
                process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """In a worker: signals are for the command, which ends its workers, however it ends itself."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _client(address: str) -> Any:
    distributed = package("distributed", "dask", "--scheduler")
    logging.getLogger("distributed.client").setLevel(
        logging.CRITICAL
    )  # what is lost is said once, by us
    try:
        return distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OSError(f"no Dask scheduler answers at {address}: {error}") from error
