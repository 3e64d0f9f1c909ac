"""dn.write: the plan of a store, what is finished of it, and the way of the other blocks into it."""

import errno
import os
import secrets
import shutil
import warnings
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

from deltanet import _io, _limits, _validate
from deltanet._config import __version__
from deltanet._jobs.identity import environment, net_hash
from deltanet._jobs.run import Run
from deltanet._memory import human
from deltanet._progress import reporting
from deltanet._rows import Rows, rows as rows_of
from deltanet._store import hold, tasks
from deltanet._store.create import create
from deltanet._store.layout import DOCUMENT, FORMS, WRT, Layout, done_key, planned
from deltanet._store.place import Place
from deltanet._store.read import Stored, finished, opened
from deltanet._types import Progress, Report

if TYPE_CHECKING:
    from deltanet._mlp import MLP
