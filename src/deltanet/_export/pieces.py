"""Pieces of C for exported files, out of headers that are written once for two types: those that are asked for, and
what they need.

A header uses ``real``, ``F(name)`` for a name of ours, ``M(name)`` for one of libm, and conditions on DN_BITS.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple

OURS = "deltanet._export"
NAMED = re.compile(r"F\((\w+)\)")
DEFINED = re.compile(r"F\((\w+)\)\s*(?=[([=;])")


class Piece(NamedTuple):
    """A function, a constant or a type of a header, with the comment before it."""

    name: str
    text: str
    needs: frozenset[str]


def own_file(name: str, package: str = OURS) -> str:
    """The text of a file that lies in a package."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def needed(pieces: Iterable[Piece], names: Iterable[str]) -> list[Piece]:
    """The pieces of these names and of all that they need of each other, in their order."""
    pieces = list(pieces)
    known = {piece.name: piece for piece in pieces}
    wanted: set[str] = set()
    open_ = set(names)
    while open_:
        name = open_.pop()
        wanted.add(name)
        open_ |= (known[name].needs & known.keys()) - wanted
    return [piece for piece in pieces if piece.name in wanted]


@cache
def read(package: str, header: str, bits: int) -> tuple[Piece, ...]:
    """All pieces of a header and of those that it includes, for the type of so many bits."""
    text = "\n".join(_lines(package, header, bits))
    text = re.sub(
        r"^ACTIVATION\((\w+)\)",
        r"DN_INLINE F(triple) F(element_\1)(int fused DN_UNUSED, real v, F(parameters) a DN_UNUSED)",
        text,
        flags=re.MULTILINE,
    )
    return tuple(_split(text))


def _lines(package: str, header: str, bits: int) -> Iterator[str]:
    """Its lines, after conditions, includes and the words that it defines for itself."""
    words: dict[str, str] = {}
    taken = [True]
    for line in own_file(header, package).splitlines():
        directive, _, rest = line.partition(" ")
        if directive == "#if":
            taken.append(rest == f"DN_BITS == {bits}")
        elif directive == "#else":
            taken[-1] = not taken[-1]
        elif directive == "#endif":
            taken.pop()
        elif not all(taken) or directive == "#undef":
            continue
        elif directive == "#include":
            yield from _lines(package, rest.strip('"'), bits)
        elif directive == "#define":
            word, _, value = rest.partition(" ")
            words[word] = value
        else:
            yield re.sub(r"\w+", lambda found: words.get(found[0], found[0]), line)


TOKEN = re.compile(r"/\*.*?\*/|[{};]", re.DOTALL)


def _split(text: str) -> Iterator[Piece]:
    """Cut at the ends of declarations and functions."""
    start = depth = 0
    function = False
    for token in TOKEN.finditer(text):
        if token[0] == "{":
            if depth == 0:
                function = text[start : token.start()].rstrip().endswith(")")
            depth += 1
        elif token[0] == "}":
            depth -= 1
        ended = token[0] == ";" or (token[0] == "}" and function)
        if depth > 0 or not ended or token[0].startswith("/*"):
            continue
        behind = re.compile(r"[ \t]*/\*.*?\*/").match(text, token.end())
        end = behind.end() if behind else token.end()
        yield _piece(text[start:end])
        start = end


def _piece(text: str) -> Piece:
    """Its comment is the one that ends on the line before."""
    code = re.sub(r"/\*.*?\*/", lambda found: " " * len(found[0]), text, flags=re.DOTALL)
    begin = len(code) - len(code.lstrip())
    comment = re.search(r"/\*(?:(?!\*/).)*\*/\n\Z", text[:begin], re.DOTALL)
    name = DEFINED.search(code)
    assert name is not None, text
    named = set(NAMED.findall(code)) - {name[1]}
    return Piece(name[1], text[comment.start() if comment else begin :].strip(), frozenset(named))
