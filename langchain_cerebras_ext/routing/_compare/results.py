"""One result of a comparison, and the file of JSON lines that results are kept in."""

from __future__ import annotations

import os
from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from decimal import Decimal  # noqa: TC003
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeAlias, cast

import msgspec

from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Journal", "Kept", "Key", "Result", "read_journal"]

VERSION: Final = 1
_BEGIN: Final = b'{"comparison":'

Key: TypeAlias = "tuple[str, str, int]"


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of one call.

    Times are seconds. `None` is not known or does not apply.

    Attributes:
        model: Whom.
        prompt: The prompt's id.
        repeat: Which time, from 0.
        digest: Of the prompt's messages.
        host: Whose answer it is, where the model says where it asks.
        started_at: When the call began (UTC).
        kind: What went wrong, as in `routing.policy.Kind`; `None` where nothing did.
        error_type: Name of the error's class.
        error: What it said.
        text: The answer, as far as it came.
        finish_reason: Why it ended.
        agreement: From 0 to 1, how well the answer is what was expected.
        total_s: From asking to the answer's end, as the caller waits for it: earlier
            tries, waits between them and for a rate limiter included.
        latency_s: The same without those: of the try that answered. What a router lost
            with its other legs is part of it.
        ttft_s: Until the first content of that try, reasoning included; only where the
            model streams.
        output_tokens_per_s: After the first token.
        attempts: How many requests were sent, as far as the model tells.
        input_tokens: Prompt tokens.
        output_tokens: Completion tokens, reasoning included.
        cost_usd: As far as it is known.
        unpriced: Requests whose price is not known.
        uncounted: Requests whose tokens the service did not count.
        estimated: Requests whose tokens were counted here.
        half_counted: Of them, those of which the service counted a part.
        is_cached: LangChain's cache answered; that has no times.
        run: Which run asked.
    """

    model: str
    prompt: str
    repeat: int
    digest: str
    started_at: datetime
    kind: str | None = None
    error_type: str | None = None
    error: str | None = None
    text: str = ""
    finish_reason: str | None = None
    agreement: float | None = None
    total_s: float | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    output_tokens_per_s: float | None = None
    attempts: int = 1
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    unpriced: int = 0
    uncounted: int = 0
    estimated: int = 0
    half_counted: int = 0
    is_cached: bool = False
    run: str = ""
    host: str | None = None

    @property
    def key(self) -> Key:
        """What tells a result from all others."""
        return (self.model, self.prompt, self.repeat)

    @property
    def is_ok(self) -> bool:
        """Whether there is an answer."""
        return self.kind is None

    @property
    def says_nothing(self) -> bool:
        """Whether it tells of the caller's account or setting, and not of the model.

        Such a call is made again when a comparison is resumed.
        """
        return self.kind in _CALLERS

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON has them."""
        named = {name: getattr(self, name) for name in self.__struct_fields__}
        return cast("dict[str, Any]", msgspec.to_builtins(named))

    def replace(self, **changes: Any) -> Self:
        """Return the result with other values in some fields."""
        return msgspec.structs.replace(self, **changes)


_CALLERS: Final = frozenset({"auth", "budget", "configuration", "quota"})


class Kept(NamedTuple):
    """What a file holds.

    Attributes:
        settings: What the results depend on, as the first line says.
        results: The newest of each key.
        good: How many bytes are whole lines.
        ends_well: Whether the last line is ended.
    """

    settings: Mapping[str, Any] | None
    results: dict[Key, Result]
    good: int
    ends_well: bool


def read_journal(path: Path) -> Kept:
    """Return what a file of results holds; a torn last line is left out.

    Raises:
        CerebrasConfigurationError: It cannot be read, or is something else.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Kept(None, {}, 0, ends_well=True)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}."
        raise CerebrasConfigurationError(msg) from error
    lines = data.split(b"\n")
    settings: Mapping[str, Any] | None = None
    results: dict[Key, Result] = {}
    good = 0
    for number, line in enumerate(lines, 1):
        is_last = number == len(lines)
        try:
            if number == 1 and line:
                settings = _settings(line, path)
            elif line.strip():
                result = msgspec.json.decode(line, type=Result)
                results[result.key] = result
        except msgspec.MsgspecError as error:
            # Nobody else's file is cut short.
            is_ours = settings is not None or line[: len(_BEGIN)] in _BEGIN
            if is_last and is_ours:  # the process was killed while it wrote
                return Kept(settings, results, good, ends_well=True)
            msg = f"{path}, line {number} is no result of a comparison: {error}."
            raise CerebrasConfigurationError(msg) from error
        good += len(line) + (not is_last)
    return Kept(settings, results, good, ends_well=not lines[-1])


def _settings(line: bytes, path: Path) -> Mapping[str, Any]:
    found = msgspec.json.decode(line)
    if not isinstance(found, dict) or found.get("comparison") != VERSION:
        msg = (
            f"{path} does not begin as a file of results does. Name another file, or "
            "none."
        )
        raise CerebrasConfigurationError(msg)
    return cast("Mapping[str, Any]", found.get("settings") or {})


class Journal:
    """A file of results that is only ever added to.

    Args:
        path: The file; made if there is none.
        kept: What it holds.
        settings: For its first line.

    Raises:
        CerebrasConfigurationError: It cannot be written.
    """

    def __init__(self, path: Path, kept: Kept, settings: Mapping[str, Any]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not for append alone: what a killed process left half is taken off.
            self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        except OSError as error:
            msg = f"{path} cannot be written: {error.strerror or error}."
            raise CerebrasConfigurationError(msg) from error
        self._file.truncate(kept.good)
        self._file.seek(0, os.SEEK_END)
        if not kept.ends_well:
            self._file.write(b"\n")
        if kept.settings is None:
            self._write({"comparison": VERSION, "settings": settings})

    def add(self, result: Result) -> None:
        """Keep a result; it is with the operating system when this returns."""
        self._write(result)

    def _write(self, value: Any) -> None:
        self._file.write(msgspec.json.encode(value) + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
