"""Request bodies that are written as text, as in a shell's `curl -d`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from langchain_cerebras_ext._check._place import ParameterMention, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_cerebras_ext._check._hits import Watch

_MEMBER: Final = re.compile(
    r"""\\?(["'])(?P<key>[A-Za-z_]\w*)\\?\1\s*:\s*(?P<value>\\?"[^"\\]*\\?"|[^,\s{}\[\]]+)?"""
)
_MAX_TEXT: Final = 20_000


def body_parameters(
    text: str,
    start: int,
    watch: Watch,
    *,
    scopes: tuple[Scope, ...] = (),
    uses: tuple[tuple[Scope, ...], ...] = (),
    is_raw: bool = True,
) -> Iterator[ParameterMention]:
    """Yield the parameters in a JSON body that is part of a text.

    Args:
        text: The text.
        start: Where it starts: bytes of the source.
        watch: What to look for.
        scopes: What stands around the text.
        uses: The same for variables that hold it.
        is_raw: Whether the source has exactly the text there.
    """
    if len(text) > _MAX_TEXT or watch.parameters_text.search(text) is None:
        return
    members = list(_MEMBER.finditer(text))
    for member in members:
        if watch.parameters_text.fullmatch(member["key"]) is None:
            continue
        beside = [
            (other["key"], (other["value"] or "").strip("\\\"'"))
            for other in members
            if other is not member
        ]
        mention = ParameterMention(
            name=member["key"],
            start=start,
            end=start,
            value=member["value"] or "",
            beside=tuple(beside),
            scopes=(Scope(pairs=(("text", text),)), *scopes),
            uses=uses,
            is_raw=is_raw,
        )
        yield _placed(mention, text, member) if is_raw else mention


def _placed(
    mention: ParameterMention, text: str, member: re.Match[str]
) -> ParameterMention:
    """Return a mention with its place in the source."""

    def place(at: int) -> int:
        return mention.start + len(text[:at].encode())

    return replace(
        mention,
        start=place(member.start("key")),
        end=place(member.end("key")),
    )
