"""Literals of shell scripts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

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
from langchain_cerebras_ext._check._place import Found, Gathered, Mention, Role, Scope
from langchain_cerebras_ext._check._text import body_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from langchain_cerebras_ext._check._hits import Watch

_LITERALS: Final = frozenset(
    {"string", "raw_string", "ansi_c_string", "word", "heredoc_body", "concatenation"}
)
_QUOTED: Final = {"string": 1, "raw_string": 1, "ansi_c_string": 2}
_OPTION: Final = re.compile(r"-m|--?[\w-]*(?:model|llm|engine)[\w-]*")
# A prompt of a console session, which no shell can read.
_PROMPT: Final = re.compile(rb"(?m)^[ \t]*(?:[\w@:~/.-]*[$%] |> )")


def find_shell(source: bytes, watch: Watch) -> Found:
    """Return what a script mentions; what is broken is left out."""
    root = parse(_without_prompts(source), "bash")
    gathered = Gathered(problem=problem_in(root, "shell script"))
    children = Children()
    seen: set[int] = set()
    spans = [*watch.spans(source), *watch.parameter_spans(source)]
    for start, end in spans:
        literal = _literal(node_at(root, start, end))
        if literal is None or literal.start_byte in seen:
            continue
        seen.add(literal.start_byte)
        mention = _mention(literal, children)
        gathered.mentions.append(mention)
        gathered.parameters += body_parameters(
            mention.text, mention.start, watch, scopes=mention.scopes
        )
    return gathered.done()


def _without_prompts(source: bytes) -> bytes:
    return _PROMPT.sub(lambda match: b" " * len(match[0]), source)


def _literal(node: Node | None) -> Node | None:
    """Return the literal around a node, the outermost of those put together."""
    literal = enclosing(node, _LITERALS)
    outer = literal.parent if literal is not None else None
    return outer if outer is not None and outer.type == "concatenation" else literal


def _mention(literal: Node, children: Children) -> Mention:
    text, start = _content(literal)
    return Mention(
        text=text,
        start=start,
        end=start + len(text.encode()),
        role=_role(literal),
        scopes=tuple(_scopes(literal, children)),
        items=_items(literal, children),
    )


def _content(literal: Node) -> tuple[str, int]:
    text, start = node_text(literal), literal.start_byte
    before = _QUOTED.get(literal.type, 0)
    return (text[before:-1], start + before) if before else (text, start)


def _role(literal: Node) -> Role:
    for parent in climb(literal.parent):
        if parent.type in {"test_command", "binary_expression"}:
            return "operand"
        if parent.type == "case_item":
            value = parent.child_by_field_name("value")
            return "label" if value is not None and value.id == literal.id else "value"
        if parent.type == "array":
            return "item"
        if parent.type in {"command", "variable_assignment"}:
            return "value"
    return "value"


def _scopes(literal: Node, children: Children) -> Iterator[Scope]:
    """Yield the variable, the command and the function that a literal stands in."""
    child = literal
    for parent in climb(literal.parent):
        if parent.type == "variable_assignment":
            yield Scope(names=(_field(parent, "name"),))
        elif parent.type == "expansion":
            names = [n for n in parent.named_children if n.type == "variable_name"]
            yield Scope(names=tuple(map(node_text, names)))
        elif parent.type == "command":
            yield from _command_scopes(parent, child, children)
        elif parent.type in {"redirected_statement", "heredoc_redirect"}:
            yield Scope(names=tuple(_commands(parent)))
        elif parent.type in {"test_command", "binary_expression"}:
            text = shorten(node_text(parent).replace(node_text(literal), ""))
            yield Scope(pairs=(("", text),))
        elif parent.type == "function_definition":
            yield Scope(names=(_field(parent, "name"),), tight=False)
        child = parent


def _command_scopes(command: Node, child: Node, children: Children) -> Iterator[Scope]:
    """Yield the option before an argument; then the command and its other words."""
    option = child.prev_named_sibling
    if option is not None and _OPTION.fullmatch(node_text(option)):
        yield Scope(names=(node_text(option),))
    pairs = [
        pair
        for node in children.of(command)
        if node.id != child.id and node.type != "command_name"
        for pair in _argument(node)
    ]
    name = command.child_by_field_name("name")
    names = (node_text(name),) if name is not None else ()
    yield Scope(names, tuple(pairs))


def _argument(node: Node) -> Iterator[tuple[str, str]]:
    """Yield a word of a command, after the option that it belongs to."""
    if node.type == "variable_assignment":
        yield _field(node, "name"), _field(node, "value")
        return
    before = node.prev_named_sibling
    option = node_text(before) if before is not None else ""
    key = option.lstrip("-") if option.startswith("--") else ""
    text = shorten(node_text(node).strip("'\""), 2000)
    name, equals, value = text.partition("=")
    if equals and name.startswith("--"):
        yield name.lstrip("-"), value
    else:
        yield key, text


def _commands(node: Node) -> Iterator[str]:
    """Yield the commands that read a document written in place."""
    queue = [node]
    while queue:
        inner = queue.pop()
        if inner.type == "command":
            yield shorten(node_text(inner), 2000)
        elif inner.type != "heredoc_body":
            queue += inner.named_children


def _items(literal: Node, children: Children) -> tuple[str, ...]:
    parent = literal.parent
    if parent is None or parent.type != "array":
        return ()
    return tuple(_content(item)[0] for item in children.of(parent))


def _field(node: Node, name: str) -> str:
    found = node.child_by_field_name(name)
    return shorten(node_text(found).strip("'\"")) if found is not None else ""
