"""Progress of a long call: the caller's function, a bar, or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

from deltanet._extras import package
from deltanet._types import Progress, Report


@contextmanager
def reporting(progress: Progress, total: int, unit: str = "samples") -> Iterator[Report]:
    """A function of what is done: the caller's callback (done, total), a bar, or None."""
    if callable(progress):
        told = 0

        def tell(done: int) -> None:
            """More than before: the last block may be counted by the core already when the call ends."""
            nonlocal told
            if done > told:
                told = done
                progress(done, total)

        yield tell
    elif not progress:
        yield None
    else:
        rich = package("rich.progress", "cli", "progress=True")
        with rich.progress.Progress(transient=True) as bar:
            task = bar.add_task(unit, total=total)
            yield lambda done: bar.update(task, completed=done)
