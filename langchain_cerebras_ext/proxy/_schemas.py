"""The wire's typed dictionaries as JSON schemas, with the texts below their keys."""

from __future__ import annotations

import ast
import inspect
import types
from importlib import import_module
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin
from typing import get_type_hints as hints_of

from typing_extensions import is_typeddict

__all__ = ["schemas_of"]

_PLAIN = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}
_REF = "#/components/schemas/"


def schemas_of(*roots: type) -> dict[str, dict[str, Any]]:
    """Return the schemas of typed dictionaries and of all that they hold, by name."""
    found: dict[str, dict[str, Any]] = {}
    texts: dict[str, dict[str, str]] = {}
    for module in {root.__module__ for root in roots}:
        texts |= _texts(module)
    waiting: list[Any] = list(roots)
    while waiting:
        one = waiting.pop(0)
        if one.__name__ not in found:
            found[one.__name__] = _object(one, texts.get(one.__name__, {}), waiting)
    return dict(sorted(found.items()))


def _object(one: Any, texts: dict[str, str], waiting: list[Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, hint in hints_of(one).items():
        schema = _schema(hint, waiting)
        properties[name] = (
            {**schema, "description": texts[name]} if name in texts else schema
        )
    schema = {"type": "object", "properties": properties}
    if one.__doc__:
        schema["description"] = inspect.cleandoc(one.__doc__)
    required = sorted(one.__required_keys__)
    return {**schema, "required": required} if required else schema


def _schema(hint: Any, waiting: list[Any]) -> dict[str, Any]:
    """Return a hint's schema; typed dictionaries in it wait for their turn."""
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if is_typeddict(hint):
        waiting.append(hint)
        return {"$ref": f"{_REF}{hint.__name__}"}
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in {Union, types.UnionType}:
        return _union([_schema(one, waiting) for one in arguments])
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0], waiting)}
    if origin is dict:
        return {
            "type": "object",
            "additionalProperties": _schema(arguments[1], waiting),
        }
    if origin in {Required, NotRequired}:
        return _schema(arguments[0], waiting)
    return {}  # anything


def _union(parts: list[dict[str, Any]]) -> dict[str, Any]:
    if {} in parts:
        return {}
    if all(set(part) == {"type"} for part in parts):
        return {"type": [part["type"] for part in parts]}
    return {"anyOf": parts}


def _texts(module: str) -> dict[str, dict[str, str]]:
    """Return what a module's source says below each key of its classes."""
    try:
        tree = ast.parse(inspect.getsource(import_module(module)))
    except (OSError, SyntaxError):
        return {}
    return {
        node.name: _texts_of(node)
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }


def _texts_of(node: ast.ClassDef) -> dict[str, str]:
    texts: dict[str, str] = {}
    for before, after in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(before, ast.AnnAssign)
            and isinstance(before.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            texts[before.target.id] = " ".join(after.value.value.split())
    return texts
