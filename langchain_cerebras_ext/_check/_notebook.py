"""Code cells of Jupyter notebooks; outputs and text cells are left alone."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from langchain_cerebras_ext._check._grammars import node_text, parse, problem_in
from langchain_cerebras_ext._check._kinds import Kind, kind_of_language
from langchain_cerebras_ext._check._nested import Nested, Piece
from langchain_cerebras_ext._check._place import Found, Gathered
from langchain_cerebras_ext._check._python import parse_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tree_sitter import Node

    from langchain_cerebras_ext._check._hits import Watch

    Find = Callable[[Kind, bytes, Watch], Found]

_ESCAPES: Final = re.compile(rb"(?:\\(?:u[0-9a-fA-F]{4}|.))+", re.DOTALL)
# What IPython reads and Python cannot: `%pip install x`, `!ls`, `x = !ls`, `dict?`.
_LINE_MAGIC: Final = re.compile(
    rb"(?m)^([ \t]*)(?:([\w, ]+=[ \t]*)[%!]|[%!?]|(?=[\w.]+\?\??[ \t]*$)).*$"
)
_CELL_MAGIC: Final = re.compile(rb"\s*%%(\w+)[^\n]*")
_SAME_LANGUAGE: Final = frozenset({b"capture", b"prun", b"time", b"timeit"})


def find_notebook(source: bytes, watch: Watch, find: Find) -> Found:
    """Return what a notebook's code cells mention.

    Args:
        source: The notebook.
        watch: What to look for.
        find: Finds in code of a kind.
    """
    root = parse(source, "json")
    problem = problem_in(root, "a notebook")
    book = _members(next(iter(root.named_children), None))
    if "cells" not in book:
        return Found(problem=problem or "not a notebook: it has no cells")
    kind = kind_of_language(_language(book)) or "lines"
    cells = [_members(cell) for cell in book["cells"].named_children]
    codes = [list(_pieces(cell["source"])) for cell in cells if _is_code(cell)]
    return _find_in(codes, kind, watch, find, problem)


def _find_in(
    codes: list[list[Piece]], kind: Kind, watch: Watch, find: Find, problem: str | None
) -> Found:
    """Look through the cells that can be read together, and each other one by itself.

    Together, since a cell uses the names of those before it.
    """
    # A broken cell is looked through by itself; outputs never are.
    gathered = Gathered(problem=problem, is_complete=True)
    together: list[Piece] = []
    for pieces in codes:
        code = Nested(pieces)
        cell_kind, data = _magic(code.data, kind)
        if cell_kind == kind == "python":
            data = _without_magics(data)
            broken = parse_problem(data)
            if broken is None:
                together += [*_overlaid(pieces, data), Piece(0, 0, b"\n")]
                continue
            gathered.problem = gathered.problem or f"a cell is {broken}"
            cell_kind = "lines"
        _add(gathered, code, find(cell_kind, data, watch))
    if together:
        code = Nested(together)
        _add(gathered, code, find("python", code.data, watch))
    return gathered.done()


def _add(gathered: Gathered, code: Nested, found: Found) -> None:
    lifted = code.lift(found)
    gathered.mentions += lifted.mentions
    gathered.parameters += lifted.parameters
    gathered.imports += lifted.imports


def _magic(data: bytes, kind: Kind) -> tuple[Kind, bytes]:
    """Return the language of a cell, and its code without the line that says so."""
    magic = _CELL_MAGIC.match(data)
    if magic is None:
        return kind, data
    rest = b" " * magic.end() + data[magic.end() :]
    if magic[1] in _SAME_LANGUAGE:
        return kind, rest
    return kind_of_language(magic[1].decode()) or "lines", rest


def _without_magics(data: bytes) -> bytes:
    """Put a statement of the same length where Python could not read on."""

    def stand_in(match: re.Match[bytes]) -> bytes:
        indent, target = match[1], match[2] or b""
        length = len(match[0]) - len(indent)
        statement = target + b"0" if target else b"0"
        return indent + statement + b" " * (length - len(statement))

    return _LINE_MAGIC.sub(stand_in, data)


def _overlaid(pieces: list[Piece], data: bytes) -> Iterator[Piece]:
    """Yield pieces with other code of the same length in them."""
    at = 0
    for piece in pieces:
        end = at + len(piece.data)
        yield Piece(piece.outer, piece.length, data[at:end])
        at = end


def _pieces(source: Node) -> Iterator[Piece]:
    """Yield the code of a cell: a string, or a list of them."""
    strings = [source] if source.type == "string" else source.named_children
    for string in strings:
        if string.type == "string":
            yield from _unescaped(string)


def _unescaped(string: Node) -> Iterator[Piece]:
    data = (string.text or b"")[1:-1]
    start, at = string.start_byte + 1, 0
    for escapes in _ESCAPES.finditer(data):
        if escapes.start() > at:
            yield Piece(start + at, escapes.start() - at, data[at : escapes.start()])
        inner = _decoded(escapes[0])
        yield Piece(start + escapes.start(), len(escapes[0]), inner)
        at = escapes.end()
    if at < len(data):
        yield Piece(start + at, len(data) - at, data[at:])


def _decoded(escapes: bytes) -> bytes:
    try:
        text = str(json.loads(b'"' + escapes + b'"'))
    except ValueError:
        return b"?"
    return text.encode(errors="replace")


def _language(book: dict[str, Node]) -> str:
    metadata = _members(book.get("metadata"))
    for part, key in (("language_info", "name"), ("kernelspec", "language")):
        found = _members(metadata.get(part)).get(key)
        if found is not None:
            return node_text(found).strip('"')
    return "python"


def _is_code(cell: dict[str, Node]) -> bool:
    kind = cell.get("cell_type")
    return kind is not None and node_text(kind) == '"code"' and "source" in cell


def _members(node: Node | None) -> dict[str, Node]:
    """Return the members of an object of JSON; none of anything else."""
    if node is None or node.type != "object":
        return {}
    found: dict[str, Node] = {}
    for pair in node.named_children:
        key, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
        if key is not None and value is not None:
            found[node_text(key).strip('"')] = value
    return found
