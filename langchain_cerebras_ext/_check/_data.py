"""Literals and keys of JSON, YAML and TOML."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, Literal

from langchain_cerebras_ext._check._grammars import (
    Children,
    climb,
    enclosing,
    node_at,
    node_text,
    parse,
    problem_in,
    shorten,
)
from langchain_cerebras_ext._check._place import (
    Found,
    Gathered,
    Mention,
    ParameterMention,
    Role,
    Scope,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from langchain_cerebras_ext._check._hits import Watch

_SCALARS: Final = frozenset(
    {
        "string",
        "plain_scalar",
        "double_quote_scalar",
        "single_quote_scalar",
        "block_scalar",
        "bare_key",
        "quoted_key",
    }
)
_PAIRS: Final = frozenset({"pair", "block_mapping_pair", "flow_pair"})
_MAPPINGS: Final = frozenset(
    {
        "object",
        "block_mapping",
        "flow_mapping",
        "inline_table",
        "table",
        "table_array_element",
    }
)
_LISTS: Final = frozenset({"array", "block_sequence", "flow_sequence"})
_WRAPPERS: Final = frozenset({"block_node", "flow_node", "block_sequence_item"})
_KEYS: Final = frozenset({"bare_key", "quoted_key", "dotted_key"})
_LATE_COMMA: Final = re.compile(
    rb""""(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/"""
    rb"""|,(?=(?:\s|//[^\n]*\n|/\*.*?\*/)*[\]}])""",
    re.DOTALL,
)
_QUOTES: Final = ('"""', "'''", '"', "'")
_NOT_CONTENT: Final = frozenset({"comment", "[", "]", "[[", "]]", "=", ",", ":"})
_MAX_PAIRS: Final = 60
_LONGEST_WORD: Final = 40


def find_data(
    source: bytes, watch: Watch, grammar: Literal["json", "yaml", "toml"]
) -> Found:
    """Return what a file of data mentions; what is broken is left out."""
    root = parse(_without_late_commas(source) if grammar == "json" else source, grammar)
    gathered = Gathered(problem=problem_in(root, grammar.upper()))
    children = Children()
    seen: set[int] = set()
    for start, end in watch.spans(source):
        scalar = enclosing(node_at(root, start, end), _SCALARS)
        if scalar is not None and scalar.start_byte not in seen:
            seen.add(scalar.start_byte)
            gathered.mentions.append(_mention(scalar, children))
    for start, end in watch.parameter_spans(source):
        scalar = enclosing(node_at(root, start, end), _SCALARS)
        parameter = _parameter(scalar, children) if scalar is not None else None
        if parameter is not None and parameter.end - parameter.start == end - start:
            gathered.parameters.append(parameter)
    return gathered.done()


def _without_late_commas(source: bytes) -> bytes:
    """Blank the commas at the end of lists, which editors' settings may have."""
    return _LATE_COMMA.sub(lambda match: b" " if match[0] == b"," else match[0], source)


def _mention(scalar: Node, children: Children) -> Mention:
    text, start, is_raw = scalar_content(scalar)
    end = start + len(text.encode()) if is_raw else scalar.end_byte
    return Mention(
        text=text,
        start=start,
        end=end,
        is_raw=is_raw,
        role=_role(scalar),
        scopes=tuple(_scopes(scalar, children)),
        items=_items(scalar, children),
    )


def scalar_content(scalar: Node) -> tuple[str, int, bool]:
    """Return a scalar's text, where it starts, and whether it stands there as it is."""
    raw = node_text(scalar)
    quote = next((mark for mark in _QUOTES if raw.startswith(mark)), "")
    if scalar.type in {"plain_scalar", "block_scalar", "bare_key"} or not quote:
        return raw, scalar.start_byte, True
    inner = raw[len(quote) : -len(quote)]
    start = scalar.start_byte + len(quote)
    if quote[0] == "'":
        # A doubled quote is YAML's; in TOML nothing is escaped.
        return inner, start, True
    if "\\" not in inner:
        return inner, start, True
    try:
        return str(json.loads(f'"{inner}"', strict=False)), start, False
    except ValueError:
        return inner, start, True


def _role(scalar: Node) -> Role:
    child = scalar
    for parent in climb(scalar.parent):
        if parent.type in _PAIRS:
            return "key" if _is_key(parent, child) else "value"
        if parent.type in _KEYS or parent.type in {"table", "table_array_element"}:
            return "key"
        if parent.type in _LISTS:
            return "item"
        child = parent
    return "value"


def _is_key(pair: Node, child: Node) -> bool:
    key = _key_node(pair)
    return key is not None and key.start_byte <= child.start_byte < key.end_byte


def _key_node(pair: Node) -> Node | None:
    return pair.child_by_field_name("key") or (
        pair.named_children[0] if pair.named_children else None
    )


def _value_node(pair: Node) -> Node | None:
    value = pair.child_by_field_name("value")
    if value is not None:
        return value
    named = [node for node in pair.named_children if node.type not in _NOT_CONTENT]
    return named[1] if len(named) > 1 else None


def _plain(node: Node | None) -> str:
    """Return a scalar's text, or the source of anything else, cut off."""
    while node is not None and node.type in _WRAPPERS and len(node.named_children) == 1:
        node = node.named_children[0]
    if node is None:
        return ""
    if node.type in _SCALARS:
        return shorten(scalar_content(node)[0])
    if node.type == "dotted_key":
        return ".".join(_plain(part) for part in node.named_children)
    return shorten(node_text(node).strip("\"'"))


def _scopes(scalar: Node, children: Children) -> Iterator[Scope]:
    """Yield the keys above a scalar, and what stands beside each."""
    child = scalar
    is_nearest = True
    for parent in climb(scalar.parent):
        if parent.type in _PAIRS:
            if _is_key(parent, child):
                yield Scope(pairs=tuple(_inner_pairs(_value_node(parent), children)))
            else:
                yield Scope(names=(_plain(_key_node(parent)),))
        elif parent.type in _MAPPINGS or parent.type == "document":
            header = _header(parent)
            pairs = _sibling_pairs(parent, child, children, deep=is_nearest)
            if header is not None and child is not header:
                yield Scope(pairs=tuple(pairs))
                yield Scope(names=(_plain(header),))
            elif header is None:
                yield Scope(pairs=tuple(pairs), tight=is_nearest)
            is_nearest = False
        elif parent.type in _LISTS:
            yield Scope(pairs=tuple(_named_items(parent, child, children)))
        child = parent


def _header(mapping: Node) -> Node | None:
    """Return the name of a table of TOML."""
    if mapping.type not in {"table", "table_array_element"}:
        return None
    return next((node for node in mapping.named_children if node.type in _KEYS), None)


def _sibling_pairs(
    mapping: Node, child: Node, children: Children, *, deep: bool
) -> Iterator[tuple[str, str]]:
    """Yield what stands beside a pair; of outer mappings only plain values."""
    count = 0
    for pair in _pairs_of(mapping, children):
        if pair.start_byte == child.start_byte:
            continue
        count += 1
        if count > _MAX_PAIRS:
            return
        key, value = _plain(_key_node(pair)), _value_node(pair)
        if not _is_nested(value):
            yield key, _plain(value)
        elif deep:
            yield key, ""
            for inner_key, text in _inner_pairs(value, children):
                yield f"{key}.{inner_key}", text


def _pairs_of(mapping: Node, children: Children) -> list[Node]:
    return [node for node in children.of(mapping) if node.type in _PAIRS]


def _inner_pairs(value: Node | None, children: Children) -> Iterator[tuple[str, str]]:
    """Yield the plain pairs within a value; the value itself, if it is plain."""
    mapping = _mapping_in(value)
    if mapping is None:
        if not _is_nested(value):
            yield "", _plain(value)
        return
    for pair in _pairs_of(mapping, children)[:_MAX_PAIRS]:
        inner = _value_node(pair)
        text = "" if _is_nested(inner) else _plain(inner)
        yield _plain(_key_node(pair)), text


def _mapping_in(value: Node | None) -> Node | None:
    while value is not None and value.type in _WRAPPERS:
        inner = [node for node in value.named_children if node.type != "anchor"]
        value = inner[0] if inner else None
    return value if value is not None and value.type in _MAPPINGS else None


def _is_nested(value: Node | None) -> bool:
    while value is not None and value.type in _WRAPPERS:
        inner = [node for node in value.named_children if node.type != "anchor"]
        value = inner[0] if inner else None
    return value is not None and value.type in _MAPPINGS | _LISTS


def _named_items(
    items: Node, child: Node, children: Children
) -> Iterator[tuple[str, str]]:
    """Yield the items of a list that are plain words, not ids of models."""
    for item in children.of(items):
        if item.start_byte == child.start_byte or _is_nested(item):
            continue
        text = _plain(item)
        is_word = 0 < len(text) <= _LONGEST_WORD
        if is_word and not any(map(str.isdigit, text)):
            yield "", text


def _items(scalar: Node, children: Children) -> tuple[str, ...]:
    for parent in climb(scalar.parent):
        if parent.type in _LISTS:
            return tuple(_plain(item) for item in children.of(parent))
        if parent.type not in _WRAPPERS:
            break
    return ()


def _parameter(scalar: Node, children: Children) -> ParameterMention | None:
    """Return a key with its value and neighbours; `None` if it is no key."""
    child = scalar
    for parent in climb(scalar.parent):
        if parent.type in _PAIRS:
            if not _is_key(parent, child):
                return None
            return _parameter_of(parent, scalar, children)
        child = parent
    return None


def _parameter_of(
    pair: Node, scalar: Node, children: Children
) -> ParameterMention | None:
    name, start, is_raw = scalar_content(scalar)
    value = _value_node(pair)
    mapping = next((n for n in climb(pair.parent) if n.type in _MAPPINGS), pair.parent)
    if value is None or mapping is None:
        return None
    beside = [
        (_plain(_key_node(other)), _plain(_value_node(other)))
        for other in _pairs_of(mapping, children)
        if other.start_byte != pair.start_byte
    ]
    return ParameterMention(
        name=name,
        start=start,
        end=start + len(name.encode()),
        value=node_text(value),
        value_start=value.start_byte,
        value_end=value.end_byte,
        beside=tuple(beside),
        scopes=tuple(_scopes(value, children)),
        is_raw=is_raw,
    )
