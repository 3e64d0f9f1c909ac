"""Medians of interleaved repetitions: the contenders take turns, so that noise strikes them alike."""

import statistics
import time


def once(call, repeats):
    """Seconds of a call, the mean of `repeats`; by its own clock where it has one."""
    if hasattr(call, "timed"):
        return call.timed(max(1, repeats))
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def interleave(contenders, seconds=8.0, least=15, most=301):
    """{name: median seconds of a call} of {name: call}; a call of None is absent.

    A turn is one call that is not counted, which finds the caches and the threads as the last contender
    left them, then as many as fill ten milliseconds. Before it, that one's threads get the time to stop
    spinning: OpenBLAS's take 0.1 s.
    """
    calls = {name: call for name, call in contenders.items() if call is not None}
    repeats = {}
    for name, call in calls.items():
        once(call, 1)
        repeats[name] = max(1, int(10e-3 / once(call, 1)))
    times = {name: [] for name in calls}
    start = time.perf_counter()
    for turn in range(most):
        if turn >= least and time.perf_counter() - start > seconds:
            break
        for name, call in calls.items():
            time.sleep(0.12)
            once(call, 1)
            times[name].append(once(call, repeats[name]))
    return {name: statistics.median(t) for name, t in times.items()}
