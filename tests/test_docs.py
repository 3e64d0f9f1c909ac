"""The reference lists every public name; pages are reached, and say which packages their examples need."""

import inspect
import re
import sys
from pathlib import Path

import pytest

import deltanet as dn

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.rst") if "generated" not in path.parts)
LISTED = re.compile(
    r"^ *(?:\.\. (?:auto\w+|data):: )?(?:deltanet\.)?(\w+(?:\.\w+)*)$", re.MULTILINE
)


def listed():
    """Names in the tables and directives of the reference."""
    return {
        name for page in (DOCS / "api").glob("*.rst") for name in LISTED.findall(page.read_text())
    }


def public(owner, prefix=""):
    """Names of a class or module that have no underscore in front."""
    return {prefix + name for name in vars(owner) if name[0] != "_"}


def everything():
    names = set(dn.__all__) - {"testing"}
    for name in dn.__all__:
        if inspect.isclass(getattr(dn, name)):
            names |= public(getattr(dn, name), f"{name}.")
    made = {name for name, each in vars(dn.testing).items() if is_own(name, each)}
    names |= {f"testing.{name}" for name in made}
    return names | {f"dask.{name}" for name in dn.dask.__all__}


def is_own(name, each):
    """Whether deltanet.testing defines it for others."""
    return (
        name[0] != "_"
        and (inspect.isclass(each) or inspect.isfunction(each))
        and each.__module__ == dn.testing.__name__
    )


def test_reference_lists_every_public_name():
    assert sorted(everything() - listed()) == []


def test_reference_lists_nothing_private():
    assert not [name for name in listed() if re.search(r"(^|\.)_(?!_)", name)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_packages_of_a_page(page):
    """What the examples import is in the line that lets them be skipped."""
    text = page.read_text(encoding="utf-8")
    imported = set(re.findall(r"^>>> (?:import|from) (\w+)", text, re.MULTILINE))
    needs = re.match(r"\.\. needs: (.+)", text)
    declared = set(needs[1].split(", ")) if needs else set()
    assert imported - {"deltanet", "numpy", "scipy"} - sys.stdlib_module_names <= declared
