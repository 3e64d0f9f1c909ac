"""The examples of the pages, which pytest runs as doctests.

A page that needs other packages says so in its first line, ``.. needs: torch``; without them it is skipped.
"""

import os
import re
import warnings
from pathlib import Path

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")  # its default, tensorflow, nothing here needs
collect_ignore = ["conf.py"]
collect_ignore_glob = ["api/generated/*"]


def needs(page):
    """The packages that the examples of a page import beside ours."""
    with page.open(encoding="utf-8") as lines:
        found = re.match(r"\.\. needs: (.+)", lines.readline())
    return found[1].split(", ") if found else []


def pytest_collection_modifyitems(items):
    """Warnings of other packages about each other do not fail an example."""
    for item in items:
        if Path(__file__).parent in item.path.parents and needs(item.path):
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(autouse=True)
def packages(request):
    """Skip a page that needs what is not installed."""
    for name in needs(request.path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pytest.importorskip(name, reason=f"the examples of this page need {name}")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Examples write their files into a folder of their own."""
    monkeypatch.chdir(tmp_path)
