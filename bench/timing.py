"""How a call is timed: in a loop of its own, with other work between, or as a statement of a program."""

import statistics
import time
import timeit

import numpy as np

ROUNDS = 5
BATCH_SECONDS = (
    0.24  # the threads of the contender before spin for up to 0.1 s: the first half is not counted
)
CLOCK_SECONDS = 1e-4  # a reading of the clock shall cost nothing beside this


def once(call):
    """Seconds of one call; by a clock of its own where it has one."""
    if hasattr(call, "once"):
        return call.once()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def batch(call, seconds=BATCH_SECONDS):
    """The median of the second half of a loop of `seconds`, and of one call at least.

    A call that has a method `batch` is timed by a clock of its own, in another process say.
    """
    if hasattr(call, "batch"):
        return call.batch(seconds)
    repeats = max(1, int(CLOCK_SECONDS / once(call)))
    times, now = [], time.perf_counter()
    end, half = now + seconds, now + seconds / 2
    while now < end or not times:
        before = now
        for _ in range(repeats):
            call()
        now = time.perf_counter()
        if before >= half or now >= end:
            times.append((now - before) / repeats)
    return statistics.median(times)


def rotate(contenders, seconds=BATCH_SECONDS, rounds=ROUNDS):
    """{name: median seconds of a call}: each in a loop of its own, the order rotating from round to round."""
    names = [name for name, call in contenders.items() if call is not None]
    times = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            times[name].append(batch(contenders[name], seconds))
    return {name: statistics.median(t) for name, t in times.items()}


class OtherWork:
    """What a program does between two calls: 16 MB come and go, a NumPy product, another verb."""

    def __init__(self, verb):
        self.verb = verb
        self.A = np.random.default_rng(0).standard_normal((300, 300))

    def __call__(self):
        np.empty(16 << 20, np.uint8).fill(1)
        self.A @ self.A
        self.verb()


def mixed(contenders, verb, seconds=0.5, least=11):
    """{name: median seconds of a call} with other work before each, which is not counted."""
    work, times = OtherWork(verb), {}
    for name, call in contenders.items():
        call()
        times[name], end = [], time.perf_counter() + seconds
        while time.perf_counter() < end or len(times[name]) < least:
            work()
            times[name].append(once(call))
    return {name: statistics.median(t) for name, t in times.items()}


class Statement:
    """A statement as a program has it, in a loop without a function around it."""

    def __init__(self, text, **names):
        self.timer = timeit.Timer(text, globals=names)

    def __call__(self):
        self.timer.timeit(1)

    def once(self):
        return self.timer.timeit(1)

    def batch(self, seconds):
        repeats = max(1, int(1e-3 / self.timer.timeit(10) * 10))
        times = self.timer.repeat(max(4, int(seconds / 1e-3)), repeats)
        return statistics.median(times[len(times) // 2 :]) / repeats
