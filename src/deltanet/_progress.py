"""Progress of a long call: the caller's function, a bar, or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

from deltanet._extras import package
from deltanet._types import Progress, Report


@contextmanager
def reporting(progress: Progress, total: int, unit: str = "samples") -> Iterator[Report]:
    """A function of what is done: the caller's callback (done, total), a bar, or None."""
    if callable(progress):
        yield lambda done: progress(done, total)
    elif not progress:
        yield None
    else:
        rich = package("rich.progress", "cli", "progress=True")
        with rich.progress.Progress(transient=True) as bar:
            task = bar.add_task(unit, total=total)
            yield lambda done: bar.update(task, completed=done)
