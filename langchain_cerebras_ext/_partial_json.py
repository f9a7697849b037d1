"""JSON that is still arriving: the value so far, without reading anything twice.

Core's `parse_partial_json` reads the whole text again for each piece, which is
quadratic. This parser keeps its place. What could still turn out differently is held
back: a number, `true`, `false` and `null` until they end, a key until its value begins,
half an escape, half a surrogate pair. So no value that was shown is ever taken back,
and strings, lists and objects only grow.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_DEPTH", "PartialJson", "PartialJsonError"]

MAX_DEPTH: Final = 512
"""Containers inside one another; about where `json.loads` gives up, too."""

_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_PLAIN_OR_CONTROL = re.compile(r'[^"\\]*')
_NUMBER_CHARS = re.compile(r"[-+.0-9eE]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_HEX = re.compile(r"[0-9a-fA-F]+")
_ESCAPES: Final = {
    '"': '"',
    "/": "/",
    "\\": "\\",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}
_WORDS: Final[dict[str, Any]] = {"t": True, "f": False, "n": None}
_SPELLING: Final = {"t": "true", "f": "false", "n": "null"}

_Container: TypeAlias = "dict[str, Any] | list[Any]"


class PartialJsonError(ValueError):
    """The text is no JSON.

    Attributes:
        offset: Where, in characters from the first one fed.
    """

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"Malformed JSON at offset {offset}: {reason}")
        self.reason = reason
        self.offset = offset

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by what the initialiser takes."""
        return (type(self), (self.reason, self.offset))


class _State(Enum):
    """What may come next."""

    LEAD = auto()
    FENCE = auto()
    PROSE = auto()
    VALUE = auto()
    FIRST_VALUE = auto()
    FIRST_KEY = auto()
    KEY = auto()
    COLON = auto()
    NEXT = auto()
    STRING = auto()
    ESCAPE = auto()
    UNICODE = auto()
    NUMBER = auto()
    WORD = auto()
    DONE = auto()


class PartialJson:
    r"""Reads JSON piece by piece and shows the value so far.

    The time is linear in the text, however it is cut. A duplicate key takes the last
    value, and lone surrogates stay, as with `json.loads`; `NaN` and the infinities are
    refused, as they are no JSON.

    Args:
        lenient: Skip a byte order mark, a Markdown fence or prose before the first `{`,
            ignore whatever follows the value, and take control characters in strings.

    Example:
        ```python
        parser = PartialJson()
        parser.feed('{"name": "A')  # True
        parser.snapshot()  # {"name": "A"}
        parser.feed('da", "age": 3')  # True
        parser.snapshot()  # {"name": "Ada"}
        parser.feed("6}")  # True
        parser.finish()  # {"name": "Ada", "age": 36}
        ```
    """

    def __init__(self, *, lenient: bool = False) -> None:
        self._lenient = lenient
        self._plain = _PLAIN_OR_CONTROL if lenient else _PLAIN
        self._state = _State.LEAD if lenient else _State.VALUE
        self._steps: dict[_State, Callable[[str, int], int]] = {
            _State.LEAD: self._lead,
            _State.FENCE: self._fence,
            _State.PROSE: self._prose,
            _State.VALUE: self._begin_value,
            _State.FIRST_VALUE: self._begin_value,
            _State.FIRST_KEY: self._begin_key,
            _State.KEY: self._begin_key,
            _State.COLON: self._colon,
            _State.NEXT: self._next,
            _State.STRING: self._string,
            _State.ESCAPE: self._escape,
            _State.UNICODE: self._unicode,
            _State.NUMBER: self._number,
            _State.WORD: self._word,
            _State.DONE: self._done,
        }
        self._consumed = 0
        """Characters of earlier feeds."""
        self._root: Any = None
        self._started = False
        self._open: list[_Container] = []
        """Containers that are not closed yet, outermost first."""
        self._keys: list[str] = []
        """Where in each open object the present value belongs; empty for lists."""
        self._known_keys: dict[str, str] = {}
        self._reading_key = False
        self._pieces: list[str] = []
        """What was read of a string, number or word."""
        self._stale = False
        """Whether the string in the value lacks some of the pieces."""
        self._high = ""
        """A high surrogate that waits for its low one."""
        self._hex = ""
        self._changed = False
        self._snapshot: Any = None
        self._fresh = False
        """Whether the snapshot shows the present value."""
        self._error: PartialJsonError | None = None

    # -- what came of it

    @property
    def started(self) -> bool:
        """Whether there is a value yet; tells none from `null`."""
        return self._started

    @property
    def complete(self) -> bool:
        """Whether the value is whole; a bare number is so after `finish` only."""
        return self._state is _State.DONE

    @property
    def value(self) -> Any:
        """The value so far, or `None` before there is any.

        Later feeds change it; `snapshot` gives one that stays.
        """
        self._settle()
        return self._root

    def snapshot(self) -> Any:
        """Return the value so far as later feeds leave it.

        Closed parts are shared between snapshots, so treat them as read-only; only the
        lists and objects that are still open are copied, by reference.
        """
        if self._fresh:
            return self._snapshot
        self._settle()
        if not self._open:
            self._snapshot = self._root
        else:
            self._snapshot = last = self._open[0].copy()
            for key, container in zip(self._keys, self._open[1:], strict=False):
                inner = container.copy()
                if isinstance(last, dict):
                    last[key] = inner
                else:
                    last[-1] = inner
                last = inner
        self._fresh = True
        return self._snapshot

    # -- the text

    def feed(self, text: str) -> bool:
        """Read on.

        Args:
            text: The next piece, of any length.

        Returns:
            Whether the value changed.

        Raises:
            PartialJsonError: The text is no JSON. The value so far stays readable.
        """
        if self._error is not None:
            raise self._error
        self._changed = False
        at, end = 0, len(text)
        try:
            while at < end:
                at = self._steps[self._state](text, at)
        finally:
            if self._changed:
                self._fresh = False
        self._consumed += end
        return self._changed

    def finish(self) -> Any:
        """Return the value; there is no more text.

        Raises:
            PartialJsonError: The text ends before the value does.
        """
        if self._error is not None:
            raise self._error
        if self._state is _State.NUMBER:
            self._end_number(0)
            self._fresh = False
        if not self.complete:
            self._fail("the text ends too early", 0)
        return self._root

    def _fail(self, reason: str, at: int) -> NoReturn:
        self._error = PartialJsonError(reason, self._consumed + at)
        raise self._error

    # -- steps: each reads from a place and returns the next

    def _lead(self, text: str, at: int) -> int:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if at == len(text):
            return at
        if text[at] == "\ufeff":
            return at + 1
        if text[at] == "`":
            self._state = _State.FENCE
        else:
            self._state = _State.VALUE if text[at] in "{[" else _State.PROSE
        return at

    def _fence(self, text: str, at: int) -> int:
        """Skip the rest of a fence's line."""
        while at < len(text):
            if text[at] in "{[\n":
                self._state = _State.LEAD
                return at
            at += 1
        return at

    def _prose(self, text: str, at: int) -> int:
        found = text.find("{", at)
        if found < 0:
            return len(text)
        self._state = _State.VALUE
        return found

    def _begin_value(self, text: str, at: int) -> int:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if at == len(text):
            return at
        char = text[at]
        if char == '"':
            self._place("")
            self._begin_string(key=False)
        elif char == "{":
            self._enter({}, at)
            self._state = _State.FIRST_KEY
        elif char == "[":
            self._enter([], at)
            self._state = _State.FIRST_VALUE
        elif char == "]" and self._state is _State.FIRST_VALUE:
            self._leave()
        elif char in _WORDS:
            self._pieces = [char]
            self._state = _State.WORD
        elif char == "-" or "0" <= char <= "9":
            self._pieces = []
            self._state = _State.NUMBER
            return at
        else:
            self._fail(f"a value was due, not {char!r}", at)
        return at + 1

    def _begin_key(self, text: str, at: int) -> int:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if at == len(text):
            return at
        if text[at] == '"':
            self._begin_string(key=True)
        elif text[at] == "}" and self._state is _State.FIRST_KEY:
            self._leave()
        else:
            self._fail(f"a key was due, not {text[at]!r}", at)
        return at + 1

    def _colon(self, text: str, at: int) -> int:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if at == len(text):
            return at
        if text[at] != ":":
            self._fail(f"':' was due, not {text[at]!r}", at)
        self._state = _State.VALUE
        return at + 1

    def _next(self, text: str, at: int) -> int:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if at == len(text):
            return at
        in_object = isinstance(self._open[-1], dict)
        if text[at] == ",":
            self._state = _State.KEY if in_object else _State.VALUE
        elif text[at] == ("}" if in_object else "]"):
            self._leave()
        else:
            due = "'}'" if in_object else "']'"
            self._fail(f"',' or {due} was due, not {text[at]!r}", at)
        return at + 1

    def _done(self, text: str, at: int) -> int:
        if self._lenient:
            return len(text)
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if at < len(text):
            self._fail(f"nothing was due after the value, not {text[at]!r}", at)
        return at

    # -- strings

    def _begin_string(self, *, key: bool) -> None:
        self._reading_key = key
        self._pieces = []
        self._stale = False
        self._state = _State.STRING

    def _string(self, text: str, at: int) -> int:
        end = self._plain.match(text, at).end()  # type: ignore[union-attr]
        if end > at:
            self._grow(text[at:end])
        if end == len(text):
            return end
        if text[end] == "\\":
            self._state = _State.ESCAPE
        elif text[end] == '"':
            self._end_string()
        else:
            self._fail(f"{text[end]!r} in a string must be escaped", end)
        return end + 1

    def _escape(self, text: str, at: int) -> int:
        char = text[at]
        if char == "u":
            self._hex = ""
            self._state = _State.UNICODE
            return at + 1
        if char not in _ESCAPES:
            self._fail(f"{char!r} cannot be escaped", at)
        self._grow(_ESCAPES[char])
        self._state = _State.STRING
        return at + 1

    def _unicode(self, text: str, at: int) -> int:
        taken = text[at : at + 4 - len(self._hex)]
        if not _HEX.fullmatch(taken):
            self._fail("four hexadecimal digits were due", at - len(self._hex))
        self._hex += taken
        if len(self._hex) == 4:  # noqa: PLR2004
            self._state = _State.STRING
            self._code_unit(chr(int(self._hex, 16)))
        return at + len(taken)

    def _code_unit(self, char: str) -> None:
        if "\udc00" <= char <= "\udfff" and self._high:
            pair = (ord(self._high) - 0xD800 << 10) + ord(char) - 0xDC00 + 0x10000
            self._high = ""
            self._grow(chr(pair))
        elif "\ud800" <= char <= "\udbff":
            self._flush_high()
            self._high = char
        else:
            self._grow(char)

    def _flush_high(self) -> None:
        """Keep a surrogate that turned out to be alone, as `json.loads` does."""
        if self._high:
            alone, self._high = self._high, ""
            self._grow(alone)

    def _grow(self, piece: str) -> None:
        self._flush_high()
        self._pieces.append(piece)
        if not self._reading_key:
            self._stale = self._changed = True

    def _end_string(self) -> None:
        self._flush_high()
        if self._reading_key:
            key = "".join(self._pieces)
            # Equal keys of many objects are kept once.
            self._keys[-1] = self._known_keys.setdefault(key, key)
            self._state = _State.COLON
        else:
            self._settle()
            self._after_value()

    def _settle(self) -> None:
        """Put what was read of an open string into the value."""
        if not self._stale:
            return
        whole = "".join(self._pieces)
        self._pieces = [whole]
        self._stale = False
        if not self._open:
            self._root = whole
            return
        last = self._open[-1]
        if isinstance(last, dict):
            last[self._keys[-1]] = whole
        else:
            last[-1] = whole

    # -- numbers and words

    def _number(self, text: str, at: int) -> int:
        end = _NUMBER_CHARS.match(text, at).end()  # type: ignore[union-attr]
        self._pieces.append(text[at:end])
        if end < len(text):
            self._end_number(end)
        return end

    def _end_number(self, at: int) -> None:
        digits = "".join(self._pieces)
        found = _NUMBER.fullmatch(digits)
        shown = digits if len(digits) < 40 else digits[:40] + "..."  # noqa: PLR2004
        if found is None:
            self._fail(f"{shown!r} is no number", at)
        try:
            number = float(digits) if found[1] or found[2] else int(digits)
        except ValueError:  # more digits than Python turns into an integer
            self._fail(f"the number {shown} is too long", at)
        else:
            self._place(number)
            self._after_value()

    def _word(self, text: str, at: int) -> int:
        begun = "".join(self._pieces)
        spelling = _SPELLING[begun[0]]
        taken = text[at : at + len(spelling) - len(begun)]
        if not spelling.startswith(begun + taken):
            self._fail(
                f"{begun + taken!r} is no value; {spelling} was due", at - len(begun)
            )
        self._pieces.append(taken)
        if begun + taken == spelling:
            self._place(_WORDS[begun[0]])
            self._after_value()
        return at + len(taken)

    # -- places

    def _place(self, value: Any) -> None:
        """Put a value where the next one belongs."""
        self._changed = True
        if not self._open:
            self._root = value
            self._started = True
            return
        last = self._open[-1]
        if isinstance(last, dict):
            last[self._keys[-1]] = value
        else:
            last.append(value)

    def _enter(self, container: _Container, at: int) -> None:
        if len(self._open) >= MAX_DEPTH:
            self._fail(f"nested more than {MAX_DEPTH} deep", at)
        self._place(container)
        self._open.append(container)
        self._keys.append("")

    def _leave(self) -> None:
        self._open.pop()
        self._keys.pop()
        self._after_value()

    def _after_value(self) -> None:
        self._pieces = []
        self._state = _State.NEXT if self._open else _State.DONE
