"""Code in Markdown: fences, and inline code. Prose is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain_cerebras_ext._check._grammars import (
    climb,
    enclosing,
    node_at,
    node_text,
    parse,
    shorten,
)
from langchain_cerebras_ext._check._kinds import Kind, kind_of_language
from langchain_cerebras_ext._check._nested import Nested, Piece
from langchain_cerebras_ext._check._place import Found, Gathered, Mention, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tree_sitter import Node

    from langchain_cerebras_ext._check._hits import Watch

_FENCES: Final = frozenset({"fenced_code_block", "minus_metadata", "plus_metadata"})
_PROSE: Final = frozenset(
    {"paragraph", "pipe_table_row", "pipe_table_header", "atx_heading", "inline"}
)
_NEAR: Final = 300
_BLOCKS: Final = frozenset({"paragraph", "pipe_table", "list", "atx_heading"})


def find_markdown(
    source: bytes, watch: Watch, find: Callable[[Kind, bytes, Watch], Found]
) -> Found:
    """Return what the code in a text mentions.

    Args:
        source: The text.
        watch: What to look for.
        find: Finds in code of a kind.
    """
    root = parse(source, "markdown")
    gathered = Gathered()
    seen: set[int] = set()
    inlines: dict[int, Node] = {}
    spans = [*watch.spans(source), *watch.parameter_spans(source)]
    for start, end in spans:
        node = node_at(root, start, end)
        fence = enclosing(node, _FENCES)
        if fence is not None:
            if fence.start_byte not in seen:
                seen.add(fence.start_byte)
                _fence(fence, watch, find, gathered)
            continue
        prose = enclosing(node, _PROSE)
        if prose is not None and watch.names.match(source, start):
            offset = prose.start_byte
            if offset not in inlines:
                inlines[offset] = parse(
                    source[offset : prose.end_byte], "markdown-inline"
                )
            span = _code_span(inlines[offset], offset, start, end)
            if span is not None and span[0] not in seen:
                seen.add(span[0])
                gathered.mentions.append(_inline(source, prose, *span))
    return gathered.done()


# --------------------------------------------------------------------------- fences


def _fence(
    fence: Node,
    watch: Watch,
    find: Callable[[Kind, bytes, Watch], Found],
    gathered: Gathered,
) -> None:
    content, kind = _content(fence)
    if content is None:
        return
    nested = Nested(list(_metadata(content) if content is fence else _pieces(content)))
    found = find(kind, nested.data, watch)
    if found.problem is not None and kind != "lines":
        # Documentation leaves things out: what cannot be parsed is read as text.
        found = find("lines", nested.data, watch)
    lifted = nested.lift(found, tuple(_scopes(fence)))
    gathered.mentions += lifted.mentions
    gathered.parameters += lifted.parameters
    gathered.imports += lifted.imports


def _content(fence: Node) -> tuple[Node | None, Kind]:
    if fence.type == "minus_metadata":
        return fence, "yaml"
    if fence.type == "plus_metadata":
        return fence, "toml"
    children = {node.type: node for node in fence.named_children}
    info = children.get("info_string")
    language = node_text(info).split("{")[0].split()[:1] if info is not None else []
    kind = kind_of_language(language[0]) if language else None
    return children.get("code_fence_content"), kind or "lines"


def _metadata(block: Node) -> Iterator[Piece]:
    """Yield what stands at the head of a text, without the lines around it."""
    data = block.text or b""
    start, end = data.find(b"\n") + 1, data.rstrip().rfind(b"\n") + 1
    yield _piece(block, data, block.start_byte + start, block.start_byte + end)


def _pieces(content: Node) -> Iterator[Piece]:
    """Yield the code without the indentation of lists and the marks of quotes."""
    data = content.text or b""
    at = content.start_byte
    for node in content.named_children:
        if node.type == "block_continuation" and node.end_byte > node.start_byte:
            yield _piece(content, data, at, node.start_byte)
            at = node.end_byte
    yield _piece(content, data, at, content.end_byte)


def _piece(content: Node, data: bytes, start: int, end: int) -> Piece:
    offset = content.start_byte
    return Piece(start, end - start, data[start - offset : end - offset])


# ---------------------------------------------------------------------- inline code


def _code_span(
    inline: Node, offset: int, start: int, end: int
) -> tuple[int, int] | None:
    """Return the content of the inline code around a span, if it is in one."""
    code = enclosing(
        node_at(inline, start - offset, end - offset), frozenset({"code_span"})
    )
    if code is None:
        return None
    marks = [n for n in code.named_children if n.type == "code_span_delimiter"]
    return offset + marks[0].end_byte, offset + marks[-1].start_byte


def _inline(source: bytes, prose: Node, start: int, end: int) -> Mention:
    line_start = max(source.rfind(b"\n", 0, start) + 1, start - _NEAR)
    line_end = source.find(b"\n", end, end + _NEAR)
    line = source[line_start : line_end if line_end >= 0 else end + _NEAR]
    return Mention(
        text=source[start:end].decode(errors="replace"),
        start=start,
        end=end,
        role="code",
        scopes=(
            Scope(pairs=(("prose", line.decode(errors="replace")),), tight=False),
            *_scopes(prose),
        ),
    )


def _scopes(node: Node) -> Iterator[Scope]:
    """Yield the block before, or around, and the headings above."""
    near = _near(node)
    if near:
        yield Scope(pairs=(("prose", near),), tight=False)
    for section in climb(node.parent):
        if section.type == "section":
            heading = next(
                (n for n in section.named_children if n.type.endswith("_heading")), None
            )
            if heading is not None:
                yield Scope(
                    names=(shorten(node_text(heading).strip("# \n")),), tight=False
                )


def _near(node: Node) -> str:
    if node.type not in _FENCES:
        block = enclosing(node, _BLOCKS)
        return shorten(node_text(block), 1000) if block is not None else ""
    before = node.prev_named_sibling
    if before is None and node.parent is not None:
        before = node.parent.prev_named_sibling
    if before is None or before.type not in _BLOCKS:
        return ""
    return shorten(node_text(before), 1000)
