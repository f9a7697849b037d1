"""Literals and keys of JavaScript and TypeScript, with JSX or without."""

from __future__ import annotations

import re
from itertools import islice
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
from langchain_cerebras_ext._check._text import body_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from langchain_cerebras_ext._check._hits import Watch

_STRINGS: Final = frozenset({"string", "template_string"})
_KEYS: Final = frozenset({"property_identifier", "shorthand_property_identifier"})
_CALLS: Final = frozenset({"call_expression", "new_expression"})
_FUNCTIONS: Final = frozenset(
    {
        "function_declaration",
        "generator_function_declaration",
        "method_definition",
        "class_declaration",
        "abstract_class_declaration",
    }
)
# Which field of a node names the literal in it.
_NAMED_BY: Final = {
    "assignment_expression": "left",
    "assignment_pattern": "left",
    "enum_assignment": "name",
    "enum_declaration": "name",
    "interface_declaration": "name",
    "object_assignment_pattern": "left",
    "optional_parameter": "pattern",
    "public_field_definition": "name",
    "required_parameter": "pattern",
    "subscript_expression": "object",
    "type_alias_declaration": "name",
    "variable_declarator": "name",
}
_HELD_THROUGH: Final = frozenset(
    {
        "array",
        "as_expression",
        "binary_expression",
        "parenthesized_expression",
        "satisfies_expression",
    }
)
_COMPARED: Final = frozenset({"==", "===", "!=", "!=="})
_NESTED: Final = frozenset({"object", "array"})
_STATEMENT_END: Final = re.compile(r"statement|program|_declaration$|statement_block")
_IMPORT: Final = re.compile(rb"""(?:from|import|require\()\s*['"]([^'"\n]+)['"]""")
_MAX_PAIRS: Final = 60
_MAX_USES: Final = 12
_MAX_DEPTH: Final = 3
# As a depth: so deep that names no longer stand for their values.
_AS_WRITTEN: Final = _MAX_DEPTH
_MAX_SPANS: Final = 200
_LONGEST_WORD: Final = 40


def find_javascript(
    source: bytes, watch: Watch, grammar: Literal["tsx", "typescript"]
) -> Found:
    """Return what a script mentions; what is broken is left out."""
    root = parse(source, grammar)
    problem = problem_in(root, "JavaScript" if grammar == "tsx" else "TypeScript")
    return _Script(source, root, watch).find(problem)


class _Script:
    """One parsed script, with what its names are bound to."""

    def __init__(self, source: bytes, root: Node, watch: Watch) -> None:
        self._source = source
        self._root = root
        self._watch = watch
        self._bound: dict[str, Node | None] = {}
        self._spans: dict[str, list[tuple[int, int]]] = {}
        self._children = Children()

    def find(self, problem: str | None) -> Found:
        """Return all mentions."""
        gathered = Gathered(problem=problem)
        gathered.imports = [
            match[1].decode(errors="replace")
            for match in _IMPORT.finditer(self._source)
        ]
        seen: set[int] = set()
        for start, end in self._watch.spans(self._source):
            string = enclosing(node_at(self._root, start, end), _STRINGS)
            if string is None or string.start_byte in seen or self._is_import(string):
                continue
            seen.add(string.start_byte)
            gathered.mentions.append(self._mention(string))
        for start, end in self._watch.parameter_spans(self._source):
            gathered.parameters += self._parameters(node_at(self._root, start, end))
        return gathered.done()

    @staticmethod
    def _is_import(string: Node) -> bool:
        return string.parent is not None and string.parent.type == "import_statement"

    def _mention(self, string: Node) -> Mention:
        text, start = _content(string)
        return Mention(
            text=text,
            start=start,
            end=start + len(text.encode()),
            role=_role(string),
            scopes=tuple(self._scopes(string)),
            uses=tuple(self._uses(string)),
            items=_items(string, self._children),
        )

    # ---------------------------------------------------------------------- context

    def _scopes(self, node: Node) -> Iterator[Scope]:
        """Yield what stands around a node, from the inside out."""
        if node.type == "template_string":
            parts = [
                n for n in node.named_children if n.type == "template_substitution"
            ]
            yield Scope(pairs=tuple(("", self._words(part)) for part in parts))
        inner = child = node
        for parent in climb(node.parent):
            yield from self._scope(parent, child, inner)
            inner, child = child, parent

    def _scope(self, parent: Node, child: Node, inner: Node) -> Iterator[Scope]:
        """Yield what one node says; `inner` is where we came from before `child`."""
        kind = parent.type
        if kind == "pair":
            key = parent.child_by_field_name("key")
            if key is not None and key.id == child.id:
                value = parent.child_by_field_name("value")
                yield Scope(pairs=tuple(self._object_pairs(value)))
            else:
                yield Scope(names=(_plain(key),))
        elif kind == "object":
            yield Scope(pairs=tuple(self._siblings(parent, child)))
        elif kind == "array":
            yield Scope(pairs=tuple(_named_items(parent, child, self._children)))
        elif kind in _CALLS:
            yield self._call_scope(parent, child, inner)
        elif kind == "binary_expression":
            yield self._binary_scope(parent, child)
        elif kind == "ternary_expression":
            yield from self._ternary_scope(parent, child)
        elif kind == "if_statement":
            if parent.child_by_field_name("alternative") != child:
                condition = parent.child_by_field_name("condition")
                yield Scope(pairs=(("provider", self._words(condition, _AS_WRITTEN)),))
        elif kind == "switch_case":
            value = parent.child_by_field_name("value")
            if value != child:
                yield Scope(pairs=(("provider", self._words(value)),))
        else:
            yield from self._named_scope(parent, child)

    def _named_scope(self, parent: Node, child: Node) -> Iterator[Scope]:
        kind = parent.type
        if kind in _NAMED_BY:
            yield Scope(names=(_field(parent, _NAMED_BY[kind]),))
        elif kind == "jsx_attribute":
            name = parent.named_children[0] if parent.named_children else None
            yield Scope(names=(_plain(name),))
        elif kind in {"jsx_opening_element", "jsx_self_closing_element"}:
            yield self._element_scope(parent, child)
        elif kind in _FUNCTIONS:
            heritage = [n for n in parent.named_children if n.type == "class_heritage"]
            names = (_field(parent, "name"), *map(node_text, heritage))
            yield Scope(names=names, tight=False)

    def _element_scope(self, element: Node, child: Node) -> Scope:
        pairs = [
            (_plain(attribute.named_children[0]), self._words(attribute))
            for attribute in element.named_children
            if attribute.type == "jsx_attribute" and attribute.id != child.id
        ]
        return Scope((_field(element, "name"),), tuple(pairs))

    def _call_scope(self, call: Node, child: Node, inner: Node) -> Scope:
        function = call.child_by_field_name("function")
        function = function or call.child_by_field_name("constructor")
        if function is None or function.id == child.id:
            return Scope()
        pairs = [
            pair
            for argument in self._children.of(child)
            if argument.id != inner.id
            for pair in self._object_pairs(argument)
        ]
        client = self._client(function)
        if client:
            pairs.append(("client", client))
        return Scope((shorten(node_text(function)),), tuple(pairs[:_MAX_PAIRS]))

    def _client(self, function: Node) -> str:
        """Return what the object of a method, or a function of ours, was made from."""
        root = function
        while root.type in {
            "member_expression",
            "await_expression",
            "non_null_expression",
        }:
            inner = root.child_by_field_name("object") or root.named_children[0]
            if inner.type == "this":
                break
            root = inner
        if root.type in _CALLS:
            return self._words(root)
        value = self._value_of(node_text(root))
        return self._words(value) if value is not None else ""

    def _binary_scope(self, parent: Node, child: Node) -> Scope:
        others = [
            side
            for side in (
                parent.child_by_field_name("left"),
                parent.child_by_field_name("right"),
            )
            if side is not None and side.id != child.id
        ]
        return Scope(pairs=tuple(("", self._words(side)) for side in others))

    def _ternary_scope(self, parent: Node, child: Node) -> Iterator[Scope]:
        condition = parent.child_by_field_name("condition")
        consequence = parent.child_by_field_name("consequence")
        if consequence is not None and consequence.id == child.id:
            yield Scope(pairs=(("provider", self._words(condition, _AS_WRITTEN)),))

    def _siblings(self, parent: Node, child: Node) -> Iterator[tuple[str, str]]:
        for member in self._children.of(parent):
            if member.id == child.id:
                continue
            if member.type == "pair":
                yield from self._pair(member)
            elif member.type in {"shorthand_property_identifier", "spread_element"}:
                yield _plain(member), self._words(member)

    def _pair(self, pair: Node) -> Iterator[tuple[str, str]]:
        key = _plain(pair.child_by_field_name("key"))
        value = pair.child_by_field_name("value")
        if value is not None and value.type == "object":
            yield key, ""
            for inner in value.named_children[:_MAX_PAIRS]:
                if inner.type == "pair":
                    name = _plain(inner.child_by_field_name("key"))
                    nested = inner.child_by_field_name("value")
                    yield f"{key}.{name}", self._words(nested)
        else:
            yield key, self._words(value)

    def _object_pairs(self, value: Node | None) -> list[tuple[str, str]]:
        if value is None:
            return []
        if value.type != "object":
            return [("", self._words(value))]
        return [
            pair
            for member in self._children.of(value)
            if member.type == "pair"
            for pair in self._pair(member)
        ]

    # ------------------------------------------------------------------------ names

    def _words(self, node: Node | None, depth: int = 0) -> str:
        """Return a node's source, with what its names were made from."""
        if node is None or node.type == "array":
            return ""
        words = [shorten(node_text(node).strip("'\"`"))]
        if depth < _MAX_DEPTH:
            for name in _identifiers(node):
                value = self._value_of(name)
                if value is not None and value.type not in _NESTED:
                    words.append(self._words(value, depth + 1))
        return " ".join(words)

    def _value_of(self, name: str) -> Node | None:
        """Return what a name is bound to in this file, where that is one thing."""
        if name not in self._bound:
            self._bound[name] = self._find_value(name)
        return self._bound[name]

    def _find_value(self, name: str) -> Node | None:
        spans = self._spans_of(name)
        if name.startswith("this."):
            spans += self._spans_of(name.removeprefix("this."))
        values = [_bound_value(node_at(self._root, *span), name) for span in spans]
        known = [value for value in values if value is not None]
        return known[0] if len(known) == 1 else None

    def _spans_of(self, name: str) -> list[tuple[int, int]]:
        if name not in self._spans:
            pattern = rb"(?<![\w.$])" + re.escape(name.encode()) + rb"(?![\w$])"
            found = re.finditer(pattern, self._source)
            self._spans[name] = [match.span() for match in islice(found, _MAX_SPANS)]
        return self._spans[name]

    def _uses(self, node: Node) -> Iterator[tuple[Scope, ...]]:
        """Yield what stands around each use of the variable that holds a literal."""
        holder = _holder(node)
        if holder is None:
            return
        count = 0
        for span in self._spans_of(holder):
            use = node_at(self._root, *span)
            if use is None or use.type not in {"identifier", "member_expression"}:
                continue
            count += 1
            if count > _MAX_USES:
                return
            yield tuple(self._scopes_of_use(use))

    def _scopes_of_use(self, use: Node) -> Iterator[Scope]:
        """Yield the scopes of one use, up to its statement."""
        inner = child = use
        for parent in climb(use.parent):
            if _STATEMENT_END.search(parent.type):
                return
            yield from self._scope(parent, child, inner)
            inner, child = child, parent

    # ------------------------------------------------------------------- parameters

    def _parameters(self, node: Node | None) -> Iterator[ParameterMention]:
        if node is None:
            return
        string = enclosing(node, _STRINGS)
        pair = node.parent if node.type in _KEYS else None
        if string is not None and string.parent is not None:
            key = string.parent.child_by_field_name("key")
            if string.parent.type == "pair" and key is not None and key.id == string.id:
                pair = string.parent
            else:
                text, start = _content(string)
                yield from body_parameters(
                    text, start, self._watch, scopes=tuple(self._scopes(string))
                )
                return
        if pair is not None and pair.type == "pair":
            yield self._parameter(pair)

    def _parameter(self, pair: Node) -> ParameterMention:
        key = pair.child_by_field_name("key")
        value = pair.child_by_field_name("value")
        assert key is not None  # noqa: S101 - whoever calls came from it
        assert value is not None  # noqa: S101 - the grammar has it so
        name, start = (
            _content(key)
            if key.type == "string"
            else (
                node_text(key),
                key.start_byte,
            )
        )
        beside = self._siblings(pair.parent, pair) if pair.parent is not None else ()
        return ParameterMention(
            name=name,
            start=start,
            end=start + len(name.encode()),
            value=node_text(value),
            value_start=value.start_byte,
            value_end=value.end_byte,
            beside=tuple(beside),
            scopes=tuple(self._scopes(value)),
        )


def _content(string: Node) -> tuple[str, int]:
    """Return what stands between the quotes, and where."""
    return node_text(string)[1:-1], string.start_byte + 1


def _field(node: Node, name: str) -> str:
    found = node.child_by_field_name(name)
    return shorten(node_text(found)) if found is not None else ""


def _plain(node: Node | None) -> str:
    return shorten(node_text(node).strip("'\"`")) if node is not None else ""


def _role(string: Node) -> Role:
    parent = string.parent
    if parent is None:
        return "value"
    if parent.type == "pair":
        key = parent.child_by_field_name("key")
        return "key" if key is not None and key.id == string.id else "value"
    if parent.type == "binary_expression":
        operator = parent.child_by_field_name("operator")
        compared = operator is not None and node_text(operator) in _COMPARED
        return "operand" if compared else "value"
    if parent.type in {"literal_type", "switch_case"}:
        return "label"
    if parent.type == "subscript_expression":
        return "key"
    return "item" if parent.type == "array" else "value"


def _items(string: Node, children: Children) -> tuple[str, ...]:
    parent = string.parent
    if parent is None or parent.type != "array":
        return ()
    return tuple(_plain(item) for item in children.of(parent))


def _named_items(
    array: Node, child: Node, children: Children
) -> Iterator[tuple[str, str]]:
    """Yield the items of an array that are plain words, not ids of models."""
    for item in children.of(array)[:_MAX_PAIRS]:
        text = _plain(item)
        is_word = item.type == "string" and len(text) <= _LONGEST_WORD
        if item.id != child.id and is_word and not any(map(str.isdigit, text)):
            yield "", text


def _identifiers(node: Node) -> Iterator[str]:
    """Yield the names in an expression, `this.client` as one."""
    queue = [node]
    count = 0
    while queue and count < _MAX_PAIRS:
        inner = queue.pop(0)
        count += 1
        if inner.type in {"identifier", "shorthand_property_identifier"} or (
            inner.type == "member_expression" and node_text(inner).startswith("this.")
        ):
            yield node_text(inner)
        else:
            queue += inner.named_children


def _bound_value(node: Node | None, name: str) -> Node | None:
    """Return the value, where a node is the name that something is bound to."""
    for outer in climb(node):
        if outer.type == "variable_declarator":
            same = _field(outer, "name") == name
            return outer.child_by_field_name("value") if same else None
        if outer.type == "assignment_expression":
            same = _field(outer, "left") == name
            return outer.child_by_field_name("right") if same else None
        if outer.type == "public_field_definition":
            same = f"this.{_field(outer, 'name')}" == name
            return outer.child_by_field_name("value") if same else None
        if outer.type not in {
            "identifier",
            "member_expression",
            "property_identifier",
            "this",
        }:
            return None
    return None


def _holder(node: Node) -> str | None:
    """Return the variable that holds a literal, or an array with it."""
    for outer in climb(node.parent):
        if outer.type == "variable_declarator":
            return _field(outer, "name")
        if outer.type == "assignment_expression":
            return _field(outer, "left")
        if outer.type == "public_field_definition":
            return f"this.{_field(outer, 'name')}"
        if outer.type in {"required_parameter", "optional_parameter"}:
            return _field(outer, "pattern")
        if outer.type not in _HELD_THROUGH:
            return None
    return None
