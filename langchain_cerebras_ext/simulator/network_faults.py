"""Faults of the connection and the protocol: what breaks, and where.

`FAULTS` names them, each with what a client gets to see. They are scripted with
`Simulator.fail_next(fault=...)`, left to chance with `Simulator.fail_randomly`, or
written into a scenario file. A fault breaks the next answer that it fits, whatever
that answer is: one that was scripted with `reply`, or the simulator's own. Faults of
streams wait for a streamed request, those of plain bodies for one that is not.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from langchain_cerebras_ext.simulator.faults import (
    FAULT_CODES,
    ErrorShape,
    Fault,
    named_fault,
    server_error,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_cerebras_ext.simulator._json import JsonObject

FaultName: TypeAlias = Literal[
    "close_before_headers",
    "reset_before_headers",
    "stall_before_headers",
    "garbage",
    "cut_headers",
    "drip_headers",
    "cut_body",
    "reset_in_body",
    "stall_in_body",
    "drip",
    "cut_in_character",
    "cut_in_tool_arguments",
    "html",
    "redirect",
    "not_json",
    "error_in_200",
    "empty_body",
    "half_json",
    "wrong_content_type",
    "no_choices",
    "null_message",
    "cut_stream",
    "reset_stream",
    "stall_stream",
    "error_event",
    "malformed_event",
    "no_finish_reason",
    "end_early",
]
Answers: TypeAlias = Literal["any", "plain", "stream"]
Stage: TypeAlias = Literal["head", "body", "content", "stead"]

DRIP_S: Final = 0.01
"""The pause between two bytes of a drip, unless another is given."""

GARBAGE: Final = b"\x16\x03\x01\x02\x00\x01 this is no HTTP \xff\xfe\r\n\r\n"
NOT_JSON: Final = b"upstream connect error or disconnect/reset before headers"
_PAGE: Final = (
    "<!DOCTYPE html><html><head><title>{status} {reason}</title></head>"
    "<body><center><h1>{status} {reason}</h1></center><hr>"
    "<center>gateway of the simulator</center></body></html>\n"
)
_ELSEWHERE: Final = "https://elsewhere.invalid/v1/chat/completions"
_REDIRECTS: Final = (301, 302, 303, 307, 308)

_ERROR: Final = frozenset({"status", "code", "body", "headers"})
_BYTES: Final = frozenset({"after_bytes"})
_PLACE: Final = frozenset({"after_events", "after_bytes"})
_PAUSE: Final = frozenset({"pause_s"})
_BILLED: Final = frozenset({"billed"})


@dataclass(frozen=True, slots=True)
class FaultKind:
    """What a fault is like.

    Attributes:
        note: What a client gets to see.
        stage: `head`: before the body, on the connection itself. `body`: in the
            body, on the connection. `content`: the answer's own bytes are changed,
            and sent properly. `stead`: something else is sent in its place.
        answers: Which answers it fits.
        takes: The parameters that it takes.
        billed: Whether the answer had been generated, unless told otherwise.
        whole: Whether all bytes of the answer arrive nevertheless.
        chat_only: Whether it needs the shape of a completion.
    """

    note: str
    stage: Stage
    answers: Answers = "any"
    takes: frozenset[str] = frozenset()
    billed: bool = True
    whole: bool = False
    chat_only: bool = False


def _kinds() -> dict[FaultName, FaultKind]:
    kind = FaultKind
    return {
        # Before the body.
        "close_before_headers": kind(
            "The connection is closed before the first byte.", "head", takes=_BILLED
        ),
        "reset_before_headers": kind(
            "The connection is reset before the first byte.", "head", takes=_BILLED
        ),
        "stall_before_headers": kind(
            "Nothing comes, until the client gives up or for `pause_s`.",
            "head",
            takes=_ERROR | _PAUSE | _BILLED,
            whole=True,
        ),
        "garbage": kind(
            "Bytes that are no HTTP, then the connection is closed.",
            "head",
            takes=_BILLED,
            billed=False,
        ),
        "cut_headers": kind(
            "The connection is closed within the headers, after `after_bytes`.",
            "head",
            takes=_ERROR | _BYTES | _BILLED,
        ),
        "drip_headers": kind(
            "The headers come byte by byte, `pause_s` apart; the body is whole.",
            "head",
            takes=_ERROR | _PAUSE,
            whole=True,
        ),
        # Within the body.
        "cut_body": kind(
            "The connection is closed before as many bytes came as were announced.",
            "body",
            "plain",
            _ERROR | _BYTES,
        ),
        "reset_in_body": kind(
            "The connection is reset within the body.",
            "body",
            "plain",
            _ERROR | _BYTES,
        ),
        "stall_in_body": kind(
            "The body stops, until the client gives up or for `pause_s`.",
            "body",
            "plain",
            _ERROR | _BYTES | _PAUSE,
            whole=True,
        ),
        "drip": kind(
            "The body or the stream comes byte by byte, `pause_s` apart.",
            "body",
            takes=_ERROR | _PAUSE,
            whole=True,
        ),
        "cut_in_character": kind(
            "The connection is closed within a character of several bytes.", "body"
        ),
        "cut_in_tool_arguments": kind(
            "The connection is closed within the arguments of a tool call.",
            "body",
            chat_only=True,
        ),
        # Something else in its place.
        "html": kind(
            "A gateway's page, `text/html`; `status` is 502 or what is given.",
            "stead",
            takes=frozenset({"status", "body", "headers", "billed"}),
            billed=False,
        ),
        "redirect": kind(
            "A redirect to another host; `headers` may name another `location`.",
            "stead",
            takes=frozenset({"status", "headers", "billed"}),
            billed=False,
        ),
        "not_json": kind(
            "A 200 that says `application/json` and is plain text.",
            "stead",
            takes=frozenset({"body", "billed"}),
            billed=False,
        ),
        "error_in_200": kind(
            "An error's body in a 200, flat or wrapped with its status.",
            "stead",
            takes=frozenset({"status", "code", "body", "error_shape", "billed"}),
            billed=False,
        ),
        # The answer's own bytes, changed.
        "empty_body": kind("A 200 without a body.", "content", takes=_ERROR),
        "half_json": kind(
            "The JSON ends too early, properly sent.",
            "content",
            "plain",
            _ERROR | _BYTES,
        ),
        "wrong_content_type": kind(
            "The answer, but `content-type: text/plain`.", "content", whole=True
        ),
        "no_choices": kind(
            "An answer whose `choices` are empty.", "content", "plain", chat_only=True
        ),
        "null_message": kind(
            "An answer whose `message` (or `text`) is null.",
            "content",
            "plain",
            chat_only=True,
        ),
        # Streams.
        "cut_stream": kind(
            "The connection is closed within the stream.", "body", "stream", _PLACE
        ),
        "reset_stream": kind(
            "The connection is reset within the stream.", "body", "stream", _PLACE
        ),
        "stall_stream": kind(
            "The stream stops, until the client gives up or for `pause_s`.",
            "body",
            "stream",
            _PLACE | _PAUSE,
            whole=True,
        ),
        "error_event": kind(
            "An error as an event, which ends the stream; the status stays 200.",
            "content",
            "stream",
            frozenset(
                {"status", "code", "body", "after_events", "error_shape", "named_event"}
            ),
        ),
        "malformed_event": kind(
            "An event whose JSON ends too early, among good ones.",
            "content",
            "stream",
            frozenset({"after_events"}),
        ),
        "no_finish_reason": kind(
            "A stream with `[DONE]`, but without a finish reason.", "content", "stream"
        ),
        "end_early": kind(
            "A stream that ends properly, without finish reason and `[DONE]`.",
            "content",
            "stream",
            frozenset({"after_events"}),
        ),
    }


KINDS: Final[Mapping[FaultName, FaultKind]] = MappingProxyType(_kinds())

_FITS: Final[Mapping[Answers, str]] = MappingProxyType(
    {"any": "", "plain": " Plain answers only.", "stream": " Streams only."}
)

FAULTS: Final[Mapping[FaultName, str]] = MappingProxyType(
    {name: kind.note + _FITS[kind.answers] for name, kind in KINDS.items()}
)
"""The names that `fail_next(fault=...)` takes, each with what a client gets to see."""

RANDOM_FAULTS: Final[tuple[str | int, ...]] = (
    500,
    503,
    "queue_exceeded",
    *(
        name
        for name, kind in KINDS.items()
        # Those that end quickly, and need nothing special in the answer.
        if "pause_s" not in kind.takes and not name.startswith("cut_in_")
    ),
)
"""What `fail_randomly` chooses from, if it is not told."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One fault, and where exactly it strikes.

    Attributes:
        name: One of `FAULTS`.
        after_events: So many events of a stream come before it.
        after_bytes: So many bytes come before it.
        at: The same as a share from 0 to 1, where neither is given; None is the
            middle, or where the fault shows best.
        pause_s: How long a stall lasts, None without end; or between bytes of a drip.
        answer: What is answered in place of an answer.
        error: What an error event tells.
        error_shape: How.
        named_event: Whether the event has a line `event: error`.
        billed: Whether the answer had been generated.
    """

    name: FaultName
    after_events: int | None = None
    after_bytes: int | None = None
    at: float | None = None
    pause_s: float | None = None
    answer: Fault | None = None
    error: Fault = field(default_factory=server_error)
    error_shape: ErrorShape = "wrapped"
    named_event: bool = False
    billed: bool = True

    @property
    def kind(self) -> FaultKind:
        """What the fault is like."""
        return KINDS[self.name]

    def fits(self, path: str, body: JsonObject, chat_paths: tuple[str, ...]) -> bool:
        """Say whether the fault can break the answer to a request."""
        kind = self.kind
        streamed = body.get("stream") is True
        if kind.answers != "any" and streamed != (kind.answers == "stream"):
            return False
        return path in chat_paths or not kind.chat_only


def check_fault_name(name: str) -> FaultName:
    """Return the name, if there is such a fault.

    Raises:
        ValueError: There is none; the text says which there are.
    """
    found: FaultName | None = next((one for one in KINDS if one == name), None)
    if found is not None:
        return found
    if name in {"refuse", "refused", "connection_refused"}:
        msg = (
            f"fault='{name}' is no fault of a request: a connection is refused before "
            "there is one. Use `with simulator.refuse_connections():`."
        )
        raise ValueError(msg)
    if name in FAULT_CODES:
        msg = f"'{name}' is an error's code: give code='{name}', not fault=."
        raise ValueError(msg)
    near = difflib.get_close_matches(name, get_args(FaultName), n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    msg = f"Unknown fault '{name}'.{hint} Known: {', '.join(KINDS)}."
    raise ValueError(msg)


def make_failure(
    status: int | None = None,
    *,
    code: str | None = None,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    fault: str | None = None,
    after_events: int | None = None,
    after_bytes: int | None = None,
    pause_s: float | None = None,
    error_shape: str | None = None,
    named_event: bool = False,
    billed: bool | None = None,
) -> Fault | Damage:
    """Return a documented error, or a fault of the connection or the protocol.

    Args:
        status: HTTP status of an error; see `named_fault`.
        code: Code of an error.
        body: In place of the documented body.
        headers: Added to the documented headers.
        fault: One of `FAULTS`. With a status or a code it is that error's answer
            which breaks.
        after_events: Where a stream breaks; without `fault`, after how many events
            the error comes as one.
        after_bytes: Where a head, a body or a stream breaks.
        pause_s: How long a stall lasts, or the pause between bytes of a drip.
        error_shape: `wrapped` or `flat`.
        named_event: Whether an error event has a line `event: error`.
        billed: Whether the answer had been generated when its delivery broke.

    Raises:
        ValueError: A name or a value is wrong, or they do not go together.
    """
    given = {
        name: value
        for name, value in {
            "status": status,
            "code": code,
            "body": body,
            "headers": headers,
            "after_events": after_events,
            "after_bytes": after_bytes,
            "pause_s": pause_s,
            "error_shape": error_shape,
            "named_event": named_event or None,
            "billed": billed,
        }.items()
        if value is not None
    }
    if code in KINDS:
        msg = f"'{code}' is a fault: give fault='{code}', not code=."
        raise ValueError(msg)
    if fault is None and after_events is not None:
        # An error in the middle of a stream: it can only come as an event.
        named_fault(status, code=code, body=body)
        fault = "error_event"
    if fault is None:
        _check_without_fault(given)
        return named_fault(status, code=code, body=body, headers=headers)
    name = check_fault_name(fault)
    _check_parameters(name, given)
    _check_values(given)
    damage = Damage(
        name,
        after_events=after_events,
        after_bytes=after_bytes,
        pause_s=DRIP_S if pause_s is None and name.startswith("drip") else pause_s,
        error_shape="flat" if error_shape == "flat" else "wrapped",
        named_event=named_event,
        billed=KINDS[name].billed if billed is None else billed,
    )
    return _with_error(damage, given)


def _check_without_fault(given: Mapping[str, Any]) -> None:
    extra = [name for name in given if name not in _ERROR]
    if extra:
        fitting = [name for name, kind in KINDS.items() if extra[0] in kind.takes]
        msg = f"{extra[0]} needs a fault; give fault= one of: {', '.join(fitting)}."
        raise ValueError(msg)


def _check_parameters(name: FaultName, given: Mapping[str, Any]) -> None:
    takes = KINDS[name].takes
    for parameter in given:
        if parameter not in takes:
            taken = f"it takes {', '.join(sorted(takes))}" if takes else "it takes none"
            msg = f"fault='{name}' does not take {parameter}; {taken}."
            raise ValueError(msg)
    if {"after_events", "after_bytes"} <= given.keys():
        msg = "Give after_events or after_bytes, not both."
        raise ValueError(msg)
    if given.get("billed") is False and "pause_s" in given:
        msg = "What comes after a pause was generated: leave out billed or pause_s."
        raise ValueError(msg)
    if given.get("billed") and given.keys() & {"status", "code"} and takes >= _ERROR:
        msg = "An error is never billed: leave out billed, or the status and the code."
        raise ValueError(msg)


def _check_values(given: Mapping[str, Any]) -> None:
    for name in ("after_events", "after_bytes"):
        value = given.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            msg = f"{name}={value!r} is not valid; give 0 or more."
            raise ValueError(msg)
    pause = given.get("pause_s", 1.0)
    number = isinstance(pause, (int, float)) and not isinstance(pause, bool)
    if not number or not 0 < pause < math.inf:
        msg = f"pause_s={pause!r} is not valid; give seconds above 0."
        raise ValueError(msg)
    shape = given.get("error_shape", "flat")
    if shape not in get_args(ErrorShape):
        allowed = " or ".join(f"'{one}'" for one in get_args(ErrorShape))
        msg = f"error_shape={shape!r} is not valid; give {allowed}."
        raise ValueError(msg)


def _with_error(damage: Damage, given: Mapping[str, Any]) -> Damage:
    """Return the damage with the error or the page that belongs to it."""
    name = damage.name
    parts = {key: given.get(key) for key in ("code", "body", "headers")}
    status: int | None = given.get("status")
    if name in {"error_event", "error_in_200"}:
        error = named_fault(
            500 if status is None and not parts["code"] else status, **parts
        )
        if name == "error_event":
            return _changed(damage, error=error)
        return _changed(
            damage, answer=Fault(200, error.told_in_200(damage.error_shape))
        )
    if name == "html":
        return _changed(
            damage, answer=_page(502 if status is None else status, **parts)
        )
    if name == "redirect":
        return _changed(damage, answer=_redirect(status or 307, parts["headers"]))
    if name == "not_json":
        text = NOT_JSON if parts["body"] is None else parts["body"]
        data = text.encode() if isinstance(text, str) else text
        told = {"content-type": "application/json"}
        return _changed(damage, answer=Fault(200, data, told))
    if given.keys() & {"status", "code"}:
        answer = named_fault(status, **parts)
        return _changed(damage, answer=answer, billed=False)
    if parts["body"] is not None or parts["headers"] is not None:
        msg = "body and headers are those of an error: give a status or a code too."
        raise ValueError(msg)
    return damage


def _changed(damage: Damage, **changes: Any) -> Damage:
    return dataclasses.replace(damage, **changes)


def _page(status: int, *, body: Any, headers: Any, code: None) -> Fault:  # noqa: ARG001 - `html` takes no code
    if status != HTTPStatus.OK and status not in range(400, 600):
        msg = f"status={status} is not valid for a page; give 200, or 400 to 599."
        raise ValueError(msg)
    reasons = {one.value: one.phrase for one in HTTPStatus}
    page = _PAGE.format(status=status, reason=reasons.get(status, "Error"))
    text = page if body is None else body
    data = text.encode() if isinstance(text, str) else text
    return Fault(status, data, {"content-type": "text/html", **(headers or {})})


def _redirect(status: int, headers: Mapping[str, str] | None) -> Fault:
    if status not in _REDIRECTS:
        allowed = ", ".join(map(str, _REDIRECTS))
        msg = f"status={status} is no redirect; give one of {allowed}."
        raise ValueError(msg)
    given = {name.lower(): value for name, value in (headers or {}).items()}
    told = {"location": _ELSEWHERE, "content-type": "text/html", **given}
    return Fault(status, b"", told)
