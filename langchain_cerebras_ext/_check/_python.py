"""Literals and keys of Python code, by its syntax tree."""

from __future__ import annotations

import ast
import re
import warnings
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from langchain_cerebras_ext._check._place import (
    Found,
    Gathered,
    Mention,
    ParameterMention,
    Role,
    Scope,
)
from langchain_cerebras_ext._check._source import line_starts
from langchain_cerebras_ext._check._text import body_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_cerebras_ext._check._hits import Watch

_LINE_ENDS: Final = ("\n", "\r\n", "\r")
_MAX_USES: Final = 12
_MAX_WORDS: Final = 60
_MAX_DEPTH: Final = 3
# As a depth: so deep that names no longer stand for their values.
_AS_WRITTEN: Final = _MAX_DEPTH
_MAX_TEXT: Final = 300
_MAX_CLIMB: Final = 100
_ITEM_WORD: Final = re.compile(r"[A-Za-z][\w. -]{1,30}")

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_Collection = (ast.List, ast.Tuple, ast.Set)


def find_python(source: bytes, watch: Watch) -> Found:
    """Return what Python code mentions; `problem` where it cannot be parsed."""
    tree = _parse(source)
    if isinstance(tree, str):
        return Found(problem=tree)
    return _Module(tree, source, watch).find()


def parse_problem(source: bytes) -> str | None:
    """Say why Python code cannot be parsed; `None` if it can."""
    tree = _parse(source)
    return tree if isinstance(tree, str) else None


def _parse(source: bytes) -> ast.Module | str:
    """Return the tree, or why there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source.decode(errors="replace"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return _told(error)


def _told(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        where = f" in line {error.lineno}" if error.lineno else ""
        return f"not Python: {error.msg}{where}"
    return f"not Python: {type(error).__name__}"


class _Module:
    """One parsed module: its nodes' parents, its names, and what they are bound to."""

    def __init__(self, tree: ast.Module, source: bytes, watch: Watch) -> None:
        self._tree = tree
        self._source = source
        self._watch = watch
        self._starts = line_starts(source)
        self._parents: dict[ast.AST, ast.AST] = {}
        self._bound: dict[str, list[ast.expr]] = defaultdict(list)
        self._loads: dict[str, list[ast.expr]] = defaultdict(list)
        self._imported: dict[str, str] = {}
        self._nodes: list[ast.AST] = []
        self._gathered = Gathered()
        self._index()

    def find(self) -> Found:
        """Return all mentions."""
        for node in self._nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                self._constant(node, node.value)
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
                self._sum(node)
            elif isinstance(node, ast.Call):
                self._call_parameters(node)
            elif isinstance(node, ast.Dict):
                self._dict_parameters(node)
            elif isinstance(node, ast.Subscript):
                self._item_parameter(node)
        return self._gathered.done()

    # ------------------------------------------------------------------------ index

    def _index(self) -> None:
        queue: list[ast.AST] = [self._tree]
        for node in queue:  # grows while it is read
            self._nodes.append(node)
            for child in ast.iter_child_nodes(node):
                self._parents[child] = node
                queue.append(child)
            self._index_node(node)

    def _index_node(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._bind(target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            self._bind(node.target, node.value)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            self._bind(node.optional_vars, node.context_expr)
        elif isinstance(node, ast.Return) and node.value is not None:
            function = self._function_of(node)
            if function is not None:
                self._bound[function.name].append(node.value)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._index_import(node)
        elif isinstance(node, ast.Name | ast.Attribute):
            name = _dotted(node)
            if isinstance(node.ctx, ast.Load):
                if name is not None:
                    self._loads[name].append(node)
                if isinstance(node, ast.Attribute):
                    self._loads[f".{node.attr}"].append(node)

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        name = _dotted(target)
        if name is not None:
            self._bound[name].append(value)

    def _index_import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            whole = f"{module}.{alias.name}".strip(".")
            local = alias.asname or alias.name.partition(".")[0]
            self._imported[local] = whole
            self._gathered.imports.append(whole)

    def _function_of(self, node: ast.AST) -> _Function | None:
        parent = self._parents.get(node)
        while parent is not None:
            if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
                return parent
            parent = self._parents.get(parent)
        return None

    # --------------------------------------------------------------------- literals

    def _constant(self, node: ast.Constant, value: str) -> None:
        if self._is_docstring(node):
            return
        if self._watch.text.search(value) is not None:
            # A name that goes on with what is filled in is another name.
            text = f"{value}-" if self._goes_on(node) else value
            if self._watch.text.search(text) is not None:
                self._gathered.mentions.append(self._mention(node, value))
        if self._watch.parameters_text.search(value) is not None:
            self._text_parameters(node, value)

    def _goes_on(self, node: ast.AST) -> bool:
        """Tell whether a part of an f-string is followed by an expression."""
        parent = self._parents.get(node)
        if not isinstance(parent, ast.JoinedStr):
            return False
        after = parent.values[parent.values.index(node) + 1 :]  # type: ignore[arg-type]
        return bool(after)

    def _is_docstring(self, node: ast.AST) -> bool:
        return isinstance(self._parents.get(node), ast.Expr)

    def _mention(self, node: ast.expr, value: str) -> Mention:
        start, end, is_raw = self._locate(node, value)
        if is_raw:  # line ends are those of the file, not Python's
            value = self._source[start:end].decode(errors="replace")
        return Mention(
            text=value,
            start=start,
            end=end,
            is_raw=is_raw,
            role=self._role(node),
            scopes=tuple(self._scopes(node)),
            uses=tuple(self._uses(node)),
            items=self._items(node),
        )

    def _sum(self, node: ast.BinOp) -> None:
        """Find an id that is put together from literals and known names."""
        if isinstance(self._parents.get(node), ast.BinOp):
            return
        whole = self._folded(node)
        if whole is None or self._watch.text.search(whole) is None:
            return
        parts = [
            part.value
            for part in ast.walk(node)
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
        ]
        if any(self._watch.text.search(part) for part in parts):
            return  # found in the part itself
        mention = self._mention(node, whole)
        start, end = self._span(node)
        self._gathered.mentions.append(
            replace(mention, start=start, end=end, is_raw=False)
        )

    def _folded(self, node: ast.expr, depth: int = 0) -> str | None:
        """Return the text of an expression where it can be known."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if depth > _MAX_DEPTH * 4:
            return None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left = self._folded(node.left, depth + 1)
            right = self._folded(node.right, depth + 1)
            return None if left is None or right is None else left + right
        if isinstance(node, ast.Name) and len(self._bound.get(node.id, ())) == 1:
            return self._folded(self._bound[node.id][0], depth + 4)
        return None

    # -------------------------------------------------------------------- positions

    def _span(self, node: ast.expr) -> tuple[int, int]:
        """Return where a node stands; columns of the tree count bytes."""
        start = self._starts[node.lineno - 1] + node.col_offset
        last = node.end_lineno or node.lineno
        end = self._starts[last - 1] + (node.end_col_offset or 0)
        return start, max(start, end)

    def _locate(self, node: ast.expr, value: str) -> tuple[int, int, bool]:
        """Return where a literal's content stands, and whether it does as it is."""
        outer: ast.AST | None = node
        wanted = {
            value.replace("\n", end).encode(errors="replace") for end in _LINE_ENDS
        }
        while isinstance(outer, ast.expr):
            start, end = self._span(outer)
            raw = self._source[start:end]
            # Before Python 3.12 the parts of an f-string have the whole one's place.
            for content in wanted:
                if content and raw.count(content) == 1:
                    at = start + raw.index(content)
                    return at, at + len(content), True
            if not isinstance(self._parents.get(outer), ast.JoinedStr):
                break
            outer = self._parents.get(outer)
        start, end = self._span(node)
        return start, end, False

    # ---------------------------------------------------------------------- context

    def _role(self, node: ast.AST) -> Role:
        parent = self._parents.get(node)
        if isinstance(parent, ast.Dict):
            return "key" if any(key is node for key in parent.keys) else "value"
        if isinstance(parent, ast.Subscript) and parent.slice is node:
            return "key" if not _is_annotation(parent) else "label"
        if isinstance(parent, ast.Compare):
            return "operand"
        if isinstance(parent, ast.MatchValue):
            return "label"
        if isinstance(parent, _Collection):
            return self._role_of_item(parent)
        return "value"

    def _role_of_item(self, collection: ast.expr) -> Role:
        parent = self._parents.get(collection)
        if isinstance(parent, ast.Compare):
            return "operand"
        if isinstance(parent, ast.Subscript) and _is_annotation(parent):
            return "label"
        return "item"

    def _items(self, node: ast.AST) -> tuple[str, ...]:
        parent = self._parents.get(node)
        if not isinstance(parent, _Collection):
            return ()
        return tuple(
            item.value
            for item in parent.elts
            if isinstance(item, ast.Constant) and isinstance(item.value, str)
        )

    def _scopes(self, node: ast.AST) -> Iterator[Scope]:
        """Yield what stands around a node, from the inside out."""
        child = node
        parent = self._parents.get(child)
        for _ in range(_MAX_CLIMB):
            if parent is None:
                return
            yield from self._scope(parent, child)
            child, parent = parent, self._parents.get(parent)

    def _scope(self, parent: ast.AST, child: ast.AST) -> Iterator[Scope]:
        if isinstance(parent, ast.expr):
            yield from self._expression_scope(parent, child)
        elif isinstance(parent, ast.keyword):
            yield Scope(names=(parent.arg or "",))
        elif isinstance(parent, ast.stmt):
            yield from self._statement_scope(parent, child)
        elif isinstance(parent, ast.arguments):
            yield Scope(names=_defaulted(parent, child))
        elif isinstance(parent, ast.match_case):
            yield Scope(pairs=(("provider", self._pattern_words(parent.pattern)),))

    def _expression_scope(self, parent: ast.expr, child: ast.AST) -> Iterator[Scope]:
        if isinstance(parent, ast.Call):
            if child is not parent.func:
                yield self._call_scope(parent, child)
            else:
                texts = [self._words(arg) for arg in parent.args]
                yield Scope(pairs=tuple(("", text) for text in texts))
        elif isinstance(parent, ast.Dict):
            yield from self._dict_scopes(parent, child)
        elif isinstance(parent, _Collection):
            yield Scope(pairs=tuple(_named_items(parent.elts, child)))
        elif isinstance(parent, ast.Subscript) and child is parent.slice:
            yield Scope(names=(self._words(parent.value),))
        elif isinstance(parent, ast.IfExp):
            if child is parent.body:
                yield Scope(
                    pairs=(("provider", self._words(parent.test, _AS_WRITTEN)),)
                )
            elif child is parent.orelse:
                yield Scope(pairs=(("", self._words(parent.body)),))
        elif isinstance(
            parent,
            ast.BinOp | ast.BoolOp | ast.JoinedStr | ast.FormattedValue | ast.Compare,
        ):
            others = [
                self._words(part)
                for part in ast.iter_child_nodes(parent)
                if part is not child and isinstance(part, ast.expr)
            ]
            yield Scope(pairs=tuple(("", text) for text in others))
        elif isinstance(parent, ast.NamedExpr):
            yield Scope(names=(parent.target.id,))

    def _call_scope(self, call: ast.Call, child: ast.AST) -> Scope:
        pairs = [("", self._words(arg)) for arg in call.args if arg is not child] + [
            (keyword.arg or "", self._words(keyword.value))
            for keyword in call.keywords
            if keyword is not child
        ]
        names = [self._callee(call)]
        client = self._client(call.func)
        if client:
            pairs.append(("client", client))
        return Scope(tuple(names), tuple(pairs))

    def _callee(self, call: ast.Call) -> str:
        name = _dotted(call.func)
        if name is None:
            return self._words(call.func)
        root, _, rest = name.partition(".")
        whole = self._imported.get(root, root)
        return f"{whole}.{rest}" if rest else f"{whole}"

    def _client(self, function: ast.expr) -> str:
        """Return what the object of a method, or a function of ours, was made from."""
        name = _dotted(function)
        if name is None:
            inner = function
            while isinstance(inner, ast.Attribute | ast.Await):
                inner = inner.value
            return self._words(inner) if isinstance(inner, ast.Call) else ""
        while name:
            values = self._bound.get(name)
            if values:
                return " ".join(self._words(value) for value in values[:_MAX_DEPTH])
            name = name.rpartition(".")[0]
        return ""

    def _dict_scopes(self, parent: ast.Dict, child: ast.AST) -> Iterator[Scope]:
        own: str | None = None
        pairs: list[tuple[str, str]] = []
        for key, value in zip(parent.keys, parent.values, strict=True):
            name = self._words(key) if key is not None else ""
            if value is child:
                own = name
            elif key is child:
                yield Scope(pairs=tuple(self._flat(value)))
                return
            else:
                pairs.append((name, self._words(value)))
        if own:
            yield Scope((own,), tuple(pairs))

    def _flat(self, value: ast.expr) -> Iterator[tuple[str, str]]:
        if not isinstance(value, ast.Dict):
            yield "", self._words(value)
            return
        for key, inner in zip(value.keys, value.values, strict=True):
            yield (self._words(key) if key is not None else ""), self._words(inner)

    def _statement_scope(self, parent: ast.stmt, child: ast.AST) -> Iterator[Scope]:
        if isinstance(parent, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = (
                parent.targets if isinstance(parent, ast.Assign) else [parent.target]
            )
            yield Scope(names=tuple(self._target_words(target) for target in targets))
        elif isinstance(parent, ast.If | ast.While):
            if child in parent.body:
                yield Scope(
                    pairs=(("provider", self._words(parent.test, _AS_WRITTEN)),)
                )
        elif isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Scope(names=(parent.name,), tight=False)
        elif isinstance(parent, ast.ClassDef):
            bases = tuple(_dotted(base) or "" for base in parent.bases)
            yield Scope(names=(parent.name, *bases), tight=False)

    def _target_words(self, target: ast.expr) -> str:
        if isinstance(target, ast.Subscript):
            return f"{self._words(target.value)} {self._words(target.slice)}"
        return _dotted(target) or ""

    def _pattern_words(self, pattern: ast.pattern) -> str:
        values = [
            node.value for node in ast.walk(pattern) if isinstance(node, ast.MatchValue)
        ]
        return " ".join(self._words(value) for value in values)

    # ------------------------------------------------------------------------ words

    def _words(self, node: ast.AST, depth: int = 0) -> str:
        """Return the names and texts of an expression; names stand for their values."""
        words: list[str] = []
        for part in self._parts(node, depth):
            words.append(part)
            if len(words) >= _MAX_WORDS:
                break
        return " ".join(words)

    def _parts(self, node: ast.AST, depth: int) -> Iterator[str]:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                yield node.value[:_MAX_TEXT]
            elif node.value is not None:
                yield str(node.value)[:_MAX_TEXT]
        elif isinstance(node, ast.Name | ast.Attribute):
            yield from self._name_parts(node, depth)
        elif isinstance(node, ast.keyword):
            yield node.arg or ""
            yield from self._parts(node.value, depth)
        elif isinstance(node, ast.expr) and depth < _MAX_DEPTH * 3:
            for child in ast.iter_child_nodes(node):
                yield from self._parts(child, depth + 1)

    def _name_parts(self, node: ast.Name | ast.Attribute, depth: int) -> Iterator[str]:
        name = _dotted(node)
        if name is None:
            assert isinstance(node, ast.Attribute)  # noqa: S101 - a bare name has one
            yield from self._parts(node.value, depth)
            yield node.attr
            return
        yield name
        root = name.partition(".")[0]
        if root in self._imported:
            yield self._imported[root]
        values = self._bound.get(name, ())
        if len(values) == 1 and depth < _MAX_DEPTH and _is_simple(values[0]):
            yield from self._parts(values[0], depth + _MAX_DEPTH)

    # ------------------------------------------------------------------------- uses

    def _uses(self, node: ast.AST) -> Iterator[tuple[Scope, ...]]:
        """Yield what stands around each use of the variables that hold a literal."""
        seen: set[str] = set()
        queue = [(name, 0) for name in self._holders(node)]
        count = 0
        for name, depth in queue:  # grows while it is read
            if name in seen:
                continue
            seen.add(name)
            for load in self._loads.get(name, ()):
                count += 1
                if count > _MAX_USES:
                    return
                yield tuple(self._scopes_of_use(load))
                if depth < _MAX_DEPTH:
                    queue += [(holder, depth + 1) for holder in self._holders(load)]

    def _scopes_of_use(self, load: ast.expr) -> Iterator[Scope]:
        """Yield the scopes of one use, up to its statement."""
        child: ast.AST = load
        parent = self._parents.get(child)
        for _ in range(_MAX_CLIMB):
            if not isinstance(parent, ast.expr | ast.keyword):
                return
            yield from self._scope(parent, child)
            child, parent = parent, self._parents.get(parent)

    def _holders(self, node: ast.AST) -> Iterator[str]:
        """Yield the variables that hold a value, or a collection with it."""
        child = node
        parent = self._parents.get(child)
        while isinstance(
            parent,
            (*_Collection, ast.Dict, ast.BoolOp, ast.IfExp, ast.Call, ast.keyword),
        ):
            if isinstance(parent, ast.Call):
                yield from _option_attributes(parent)
                if not _hands_back(parent, child):
                    return
            child, parent = parent, self._parents.get(parent)
        in_class = isinstance(self._parents.get(parent or child), ast.ClassDef)
        if isinstance(parent, ast.Assign | ast.AnnAssign):
            targets = (
                parent.targets if isinstance(parent, ast.Assign) else [parent.target]
            )
            for name in filter(None, map(_dotted, targets)):
                yield name
                if in_class:
                    yield f"self.{name}"
        elif isinstance(parent, ast.NamedExpr):
            yield parent.target.id
        elif isinstance(parent, ast.For | ast.AsyncFor | ast.comprehension):
            if child is parent.iter:
                yield from _names_in(parent.target)
        elif isinstance(parent, ast.arguments):
            yield from _defaulted(parent, child)

    # ------------------------------------------------------------------- parameters

    def _call_parameters(self, call: ast.Call) -> None:
        for keyword in call.keywords:
            if keyword.arg is None or not self._is_parameter(keyword.arg):
                continue
            start = self._starts[keyword.lineno - 1] + keyword.col_offset
            beside = tuple(
                (other.arg or "", self._words(other.value))
                for other in call.keywords
                if other is not keyword
            )
            self._parameter(
                keyword.arg,
                start,
                keyword.value,
                beside,
                node=keyword,
                callee=_dotted(call.func) or self._words(call.func),
            )

    def _dict_parameters(self, node: ast.Dict) -> None:
        entries = list(zip(node.keys, node.values, strict=True))
        for key, value in entries:
            if not isinstance(key, ast.Constant) or not self._is_parameter(key.value):
                continue
            name = str(key.value)
            start, _, is_raw = self._locate(key, name)
            beside = tuple(
                (self._words(other), self._words(inner))
                for other, inner in entries
                if other is not None and other is not key
            )
            self._parameter(name, start, value, beside, node=value, is_raw=is_raw)

    def _item_parameter(self, node: ast.Subscript) -> None:
        """Find `body["disable_reasoning"] = ...`."""
        key = node.slice
        if not isinstance(node.ctx, ast.Store) or not isinstance(key, ast.Constant):
            return
        assign = self._parents.get(node)
        if self._is_parameter(key.value) and isinstance(assign, ast.Assign):
            start, _, is_raw = self._locate(key, str(key.value))
            self._parameter(
                str(key.value), start, assign.value, (), node=key, is_raw=is_raw
            )

    def _is_parameter(self, name: object) -> bool:
        return (
            isinstance(name, str)
            and self._watch.parameters_text.fullmatch(name) is not None
        )

    def _parameter(
        self,
        name: str,
        start: int,
        value: ast.expr,
        beside: tuple[tuple[str, str], ...],
        *,
        node: ast.AST,
        callee: str | None = None,
        is_raw: bool = True,
    ) -> None:
        value_start, value_end = self._span(value)
        end = start + len(name)
        self._gathered.parameters.append(
            ParameterMention(
                name=name,
                start=start,
                end=end,
                value=self._source[value_start:value_end].decode(errors="replace"),
                value_start=value_start,
                value_end=value_end,
                beside=beside,
                callee=callee,
                scopes=tuple(self._scopes(node)),
                uses=tuple(self._uses(self._parents.get(node) or node)),
                is_raw=is_raw and self._source[start:end] == name.encode(),
            )
        )

    def _text_parameters(self, node: ast.Constant, value: str) -> None:
        """Find parameters in a request body that is written as text."""
        start, end, is_raw = self._locate(node, value)
        self._gathered.parameters += body_parameters(
            self._source[start:end].decode(errors="replace") if is_raw else value,
            start,
            self._watch,
            scopes=tuple(self._scopes(node)),
            uses=tuple(self._uses(node)),
            is_raw=is_raw,
        )


def _dotted(node: ast.AST) -> str | None:
    """Return a name as `self.client.chat`; `None` if it is no such name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def _is_simple(value: ast.expr) -> bool:
    """Tell whether a name may stand for its value; a table of providers may not."""
    return not isinstance(
        value, (*_Collection, ast.Dict, ast.ListComp, ast.DictComp, ast.Lambda)
    )


def _is_annotation(node: ast.Subscript) -> bool:
    return _dotted(node.value) in {"Literal", "typing.Literal", "t.Literal"}


def _named_items(items: list[ast.expr], child: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the items of a collection that are plain names, not ids of models."""
    for item in items[:_MAX_WORDS]:
        if item is child or not isinstance(item, ast.Constant):
            continue
        text = item.value if isinstance(item.value, str) else ""
        if _ITEM_WORD.fullmatch(text) and not any(map(str.isdigit, text)):
            yield "", text


def _names_in(target: ast.expr) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name):
            yield node.id


def _defaulted(arguments: ast.arguments, default: ast.AST) -> tuple[str, ...]:
    """Return the name of the argument whose default a node is."""
    positional = [*arguments.posonlyargs, *arguments.args]
    late = positional[len(positional) - len(arguments.defaults) :]
    pairs = [
        *zip(late, arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return tuple(argument.arg for argument, value in pairs if value is default)


def _hands_back(call: ast.Call, child: ast.AST) -> bool:
    """Tell whether a call may give one of its arguments back, as `os.getenv` does."""
    if child is call.func:
        return False
    name = (_dotted(call.func) or "").rpartition(".")[2]
    return name in {"Field", "environ", "field", "get", "getenv", "list", "set", "str",
                    "tuple", "Option", "Argument", "config"}  # fmt: skip


def _option_attributes(call: ast.Call) -> Iterator[str]:
    """Yield `.reasoning_model` for `add_argument("--reasoning-model", ...)`."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr != "add_argument":
        return
    for arg in call.args:
        text = arg.value if isinstance(arg, ast.Constant) else None
        if isinstance(text, str) and text.startswith("--"):
            yield f".{text.lstrip('-').replace('-', '_')}"
