"""What a command says of its work: progress, one line at the end, and what is kept if it is stopped."""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from deltanet._cli.failures import Kept, message, status
from deltanet._cli.options import SayOptions
from deltanet._extras import package

LINE_SECONDS = 30.0  # from one line of progress to the next, where there is no terminal


class Report:
    """The work of a command, from its beginning to its end.

    Attributes
    ----------
    facts : dict
        What the line of JSON says.
    text : str
        What the line says otherwise.
    kept : function or None
        Whether a run that is stopped now can be resumed.
    """

    def __init__(self, command: str, say: SayOptions, **facts: Any) -> None:
        self.command, self.say = command, say
        self.facts: dict[str, Any] = {"command": command, **facts}
        self.text = ""
        self.kept: Callable[[], bool] | None = None
        self.before: int | None = 0  # rows that were done; None: as the first call of progress says
        self.began = 0.0  # time of that call
        self.last = 0.0  # time of the last line
        self.done = self.total = 0
        self.bar: Any = None

    def __enter__(self) -> Self:
        self.started = self.computing = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
        self.facts["seconds"] = time.perf_counter() - self.started
        if error is not None:
            self.facts |= {"status": status(error), "error": message(error)}
            if self.is_kept(error):
                what = f": {self.done} of {self.total} rows" if self.total else ""
                error.add_note(Kept(f"what is finished is kept{what}; to resume:"))
        else:
            self.facts.setdefault("status", 0)
            if self.text and not (self.say.quiet or self.say.as_json):
                print(self.text)
        if self.say.as_json:
            print(json.dumps(self.facts, default=str))

    def is_kept(self, error: BaseException) -> bool:
        """Whether what was refused at once, such as the store of another job, is not the reason to stop."""
        begun = self.began or isinstance(error, (SystemExit, RuntimeError))
        return bool(begun and self.kept is not None and self.kept())

    @property
    def seconds(self) -> float:
        """Since the rows are known: of the work itself."""
        return time.perf_counter() - self.computing

    def rows(self, rows: int, skipped: int) -> None:
        """How many rows there are, and were left out: the work begins."""
        self.facts |= {"rows": rows, "rows_skipped": skipped}
        self.computing = self.last = time.perf_counter()

    def finish(self, shape: tuple[int, ...], dtype: Any, nbytes: int, text: str) -> None:
        """What was written, and the line that says so."""
        skipped = self.facts["rows_skipped"]
        self.facts |= {
            "shape": list(shape),
            "dtype": str(dtype),
            "bytes": nbytes,
            "rows_per_second": (self.done - (self.before or 0)) / self.seconds,
        }
        self.text = text + (f"; {skipped} bad rows skipped" if skipped else "")

    def progress(self, done: int, total: int) -> None:
        """Called on the way: a bar on a terminal, else a line now and then."""
        now = time.perf_counter()
        if not self.began:
            self.began = now
            self.before = done if self.before is None else self.before
        self.done, self.total = done, total
        if self.say.quiet:
            return
        if sys.stderr.isatty():
            if self.bar is None:
                self.bar = _bar(self.command, total)
            self.bar.update(self.bar.task_ids[0], completed=done, told=self.told(now))
        elif now - self.last >= LINE_SECONDS:
            self.last = now
            print(f"deltanet: {self.told(now)}", file=sys.stderr, flush=True)

    def told(self, now: float) -> str:
        """Rows, rate, time left."""
        text, done = f"{self.done} of {self.total} rows", self.done - (self.before or 0)
        if not done:
            return text
        rate = done / (now - self.computing)
        left = datetime.timedelta(seconds=round((self.total - self.done) / rate))
        return f"{text}, {rate:.3g} rows/s, {left} left"


def _bar(command: str, total: int) -> Any:
    package("rich.progress", "cli", "progress")
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = [
        TextColumn(command),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[told]}"),
    ]
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(command, total=total, told="")
    bar.start()
    return bar
