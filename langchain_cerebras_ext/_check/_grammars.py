"""Parsed trees of everything but Python; the only module that knows `tree_sitter`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from langchain_cerebras_ext.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Language, Node, Parser

Grammar = Literal[
    "bash", "json", "markdown", "markdown-inline", "toml", "tsx", "typescript", "yaml"
]

EXTRA: Final = "cli"
_MAX_DEPTH: Final = 200
_MAX_CHILDREN: Final = 100
_LANGUAGES: Final[dict[Grammar, tuple[str, str]]] = {
    "bash": ("tree_sitter_bash", "language"),
    "json": ("tree_sitter_json", "language"),
    "markdown": ("tree_sitter_markdown", "language"),
    "markdown-inline": ("tree_sitter_markdown", "inline_language"),
    "toml": ("tree_sitter_toml", "language"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "yaml": ("tree_sitter_yaml", "language"),
}
_NEEDED: Final = (
    "pathspec",
    "tree_sitter",
    *sorted({module for module, _ in _LANGUAGES.values()}),
)


def require_grammars() -> None:
    """Check that what the check needs is installed.

    Raises:
        MissingExtraError: It is not; says the line that installs it.
    """
    import importlib.util

    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        msg = (
            f"The check needs {', '.join(missing)}. "
            f"Run: pip install 'langchain-cerebras-ext[{EXTRA}]'"
        )
        raise MissingExtraError(msg)


@cache
def _parser(grammar: Grammar) -> Parser:
    from tree_sitter import Parser

    return Parser(_language(grammar))


def _language(grammar: Grammar) -> Language:
    from importlib import import_module

    from tree_sitter import Language

    module, function = _LANGUAGES[grammar]
    grammar_pointer: object = getattr(import_module(module), function)()
    return Language(grammar_pointer)


def parse(source: bytes, grammar: Grammar) -> Node:
    """Return the root of a source's tree; a broken source has one too."""
    return _parser(grammar).parse(source).root_node


def problem_in(root: Node, what: str) -> str | None:
    """Say where a tree is broken; `None` where it is not."""
    node = next(_errors(root), None)
    return node and f"not {what}: cannot read line {node.start_point[0] + 1}"


def _errors(root: Node) -> Iterator[Node]:
    queue = [root]
    while queue:
        node = queue.pop()
        if node.is_error or node.is_missing:
            yield node
        elif node.has_error:
            queue += reversed(node.children)


def node_at(root: Node, start: int, end: int) -> Node | None:
    """Return the smallest node that covers a span."""
    return root.descendant_for_byte_range(start, end)


def node_text(node: Node) -> str:
    """Return a node's source."""
    return (node.text or b"").decode(errors="replace")


def climb(node: Node | None) -> Iterator[Node]:
    """Yield a node and those around it; of very deep ones only the nearest.

    A node's parent is found from the root down, so that a whole climb is quadratic.
    """
    for _ in range(_MAX_DEPTH):
        if node is None:
            return
        yield node
        node = node.parent


class Children:
    """The first children of nodes, each list made once."""

    def __init__(self) -> None:
        self._known: dict[int, list[Node]] = {}

    def of(self, node: Node) -> list[Node]:
        """Return a node's first named children."""
        if node.id not in self._known:
            self._known[node.id] = node.named_children[:_MAX_CHILDREN]
        return self._known[node.id]


def enclosing(node: Node | None, kinds: frozenset[str]) -> Node | None:
    """Return a node, or the nearest one around it, that is of one of some kinds."""
    return next((outer for outer in climb(node) if outer.type in kinds), None)


def shorten(text: str, limit: int = 300) -> str:
    """Cut a text off where it is long."""
    return text if len(text) <= limit else text[:limit]
