"""What a finder hands to the judge: a literal, and what stands around it.

Finders know a file's syntax and nothing of models; the judge knows models and nothing
of syntax.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Role = Literal["value", "item", "key", "operand", "label", "code"]
"""How a literal is used: as a value; as an item of a list; as a key; compared with
something; as a type or case label; as inline code of a text."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What stands around a literal at one distance.

    Attributes:
        names: What it is called or belongs to: keys on the way up, a function that it
            is given to, a variable that it is assigned to, a section.
        pairs: What stands beside it: key and text; the key is empty where there is
            none.
        tight: Whether it surely speaks about the literal; a file, or the name of the
            function that it stands in, only may.
    """

    names: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    tight: bool = True


@dataclass(frozen=True, slots=True)
class Mention:
    """A literal that has an id in it.

    Attributes:
        text: Its value.
        start: Where its content starts: bytes of the source.
        end: Where it ends.
        is_raw: Whether the source has exactly the value there, without escapes.
        role: How it is used.
        scopes: What stands around it, nearest first.
        uses: The same for each place where a variable that holds it is used.
        items: The items of the list that it is one of.
    """

    text: str
    start: int
    end: int
    is_raw: bool = True
    role: Role = "value"
    scopes: tuple[Scope, ...] = ()
    uses: tuple[tuple[Scope, ...], ...] = ()
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParameterMention:
    """A key that may be a deprecated parameter.

    Attributes:
        name: The key.
        start: Where it starts, without quotes: bytes of the source.
        end: Where it ends.
        value: The value as it is written.
        value_start: Where that starts.
        value_end: Where it ends; 0 where it cannot be rewritten.
        beside: Keys beside it, with the text of their values.
        callee: The function whose argument it is, if it is one.
        scopes: What stands around it, nearest first.
        uses: The same for each place where a variable that holds it is used.
        is_raw: Whether it can be rewritten where it stands.
    """

    name: str
    start: int
    end: int
    value: str = ""
    value_start: int = 0
    value_end: int = 0
    beside: tuple[tuple[str, str], ...] = ()
    callee: str | None = None
    scopes: tuple[Scope, ...] = ()
    uses: tuple[tuple[Scope, ...], ...] = ()
    is_raw: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """What a finder found in one file.

    Attributes:
        mentions: Literals.
        parameters: Keys.
        imports: Modules that the file imports.
        problem: Why the file could not be read as what it is, if so.
        is_complete: Whether it was looked through as a whole in spite of that.
    """

    mentions: tuple[Mention, ...] = ()
    parameters: tuple[ParameterMention, ...] = ()
    imports: tuple[str, ...] = ()
    problem: str | None = None
    is_complete: bool = False


@dataclass(slots=True)
class Gathered:
    """A `Found` in the making."""

    mentions: list[Mention] = field(default_factory=list[Mention])
    parameters: list[ParameterMention] = field(default_factory=list[ParameterMention])
    imports: list[str] = field(default_factory=list[str])
    problem: str | None = None
    is_complete: bool = False

    def done(self) -> Found:
        """Return what was gathered."""
        return Found(
            tuple(self.mentions),
            tuple(self.parameters),
            tuple(self.imports),
            self.problem,
            self.is_complete,
        )
