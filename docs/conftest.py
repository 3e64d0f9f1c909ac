"""The examples of the pages, which pytest runs as doctests.

A page that needs other packages says so in its first line, ``.. needs: torch``; without them it is skipped.
"""

import re
import warnings

import pytest

collect_ignore = ["conf.py"]
collect_ignore_glob = ["api/generated/*"]


@pytest.fixture(autouse=True)
def packages(request):
    """Import what the page needs, so that warnings of its import do not fail an example."""
    with request.path.open(encoding="utf-8") as page:
        needs = re.match(r"\.\. needs: (.+)", page.readline())
    for name in needs[1].split(", ") if needs else ():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pytest.importorskip(name, reason=f"the examples of this page need {name}")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Examples write their files into a folder of their own."""
    monkeypatch.chdir(tmp_path)
