"""Everything that can go wrong upstream, and what the proxy has to make of it.

A `Trouble` is scripted on a simulator. What is expected of it is data: the category
that log and metrics tell, and the status, where it does not depend on which of two
packets comes first.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext.simulator.faults import FAULT_CODES, named_fault
from langchain_cerebras_ext.simulator.network_faults import KINDS
from langchain_cerebras_ext.simulator.odd import ODD_FORMS, STREAM_FORMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from proxy_raw import RawAnswer
    from proxy_server import Proxy

    from langchain_cerebras_ext.proxy.exchange import Exchange
    from langchain_cerebras_ext.simulator import Simulator

TEXT = "Grüße aus dem Süden: naïve Café-Gäste hören das Meer."
SHORT = "Hi."
ARGUMENTS = '{"city": "Paris", "unit": "celsius"}'
THOUGHT = "Hm, so so."

INTERRUPTED = "upstream_interrupted"
INVALID = "upstream_invalid_answer"
TIMEOUT = "upstream_timeout"
SERVER = "upstream_server"


@dataclass(frozen=True)
class Trouble:
    """One fault, and what comes of it.

    Attributes:
        name: Of the fault, form, status or code.
        stream: Whether a stream is asked for.
        category: What the proxy calls it, `a|b` if that may differ; `None` where
            nothing is missing.
        status: What the client gets; `None` is 200, or 502 where the fault was seen
            before anything was sent.
        odd: The odd form, in place of a fault.
        settings: Of `fail_next`.
    """

    name: str
    stream: bool
    category: str | None
    status: int | None = 200
    odd: Any = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """As the test is called."""
        return f"{self.name}-{'stream' if self.stream else 'plain'}"

    @property
    def is_slow(self) -> bool:
        """Whether only a time limit ends it."""
        return "stall" in self.name or self.name == "drip_headers"

    @property
    def text(self) -> str:
        """What is to be answered: content, or a tool's arguments."""
        if "tool" in self.name:
            return ARGUMENTS
        return SHORT if self.name.startswith("drip") else TEXT

    def script(self, sim: Simulator) -> None:
        """Have a simulator answer so."""
        if self.text == ARGUMENTS:
            sim.reply_with_tool("look_up", ARGUMENTS)
        else:
            sim.reply(self.text, reasoning=None if self.text == SHORT else THOUGHT)
        if self.odd is not None:
            sim.odd_next(self.odd)
        else:
            sim.fail_next(**self.settings)


# What comes of a fault: category, status of a plain answer, status of a stream.
_FAULTS: dict[str, tuple[str | None, int | None, int | None]] = {
    "close_before_headers": (INTERRUPTED, 502, 502),
    "reset_before_headers": (INTERRUPTED, 502, 502),
    "stall_before_headers": (TIMEOUT, 504, 504),
    "garbage": (INVALID, 502, 502),
    "cut_headers": (INTERRUPTED, 502, 502),
    "drip_headers": (TIMEOUT, 504, 504),
    "cut_body": (INTERRUPTED, None, None),
    "reset_in_body": (INTERRUPTED, None, None),
    "stall_in_body": (TIMEOUT, None, None),
    "drip": (None, 200, 200),
    "cut_in_character": (INTERRUPTED, None, None),
    "cut_in_tool_arguments": (INTERRUPTED, None, None),
    "html": (SERVER, 502, 502),
    "redirect": (INVALID, 502, 502),
    "not_json": (INVALID, 502, 502),
    "error_in_200": (SERVER, 500, 500),
    "half_json": (INVALID, None, None),
    "wrong_content_type": (None, 200, 200),
    # Whole answers that say little: they are the client's to judge, byte for byte.
    "no_choices": (None, 200, 200),
    "null_message": (None, 200, 200),
    "malformed_event": (None, 200, 200),
    "no_finish_reason": (None, 200, 200),
    "cut_stream": (INTERRUPTED, None, None),
    "reset_stream": (INTERRUPTED, None, None),
    "stall_stream": (TIMEOUT, None, None),
    "error_event": (SERVER, 200, 200),
    "end_early": (INTERRUPTED, 200, 200),
}
_BARE = (401, 402, 404, 408, 409, 418, 422, 499, 502, 504, 520, 524, 599)
_CATEGORIES: dict[int, str] = {
    401: "upstream_auth",
    402: "upstream_auth",
    403: "upstream_auth",
    404: "upstream_not_found",
    408: TIMEOUT,
    429: "upstream_rate_limit",
    504: TIMEOUT,
    524: TIMEOUT,
}
_MORE: dict[str, tuple[str, dict[str, Any], str, int]] = {
    "html_200": ("html", {"status": 200}, INVALID, 502),
    "html_503": ("html", {"status": 503}, SERVER, 503),
    "redirect_308": ("redirect", {"status": 308}, INVALID, 502),
    "error_in_200_flat": (
        "error_in_200",
        {"code": "queue_exceeded", "error_shape": "flat"},
        "upstream_rate_limit",
        429,
    ),
    "error_cut": ("cut_body", {"status": 503}, SERVER, 503),
    "error_without_body": ("empty_body", {"status": 503}, SERVER, 503),
    "error_event_flat": ("error_event", {"error_shape": "flat"}, SERVER, 200),
    "error_event_named": ("error_event", {"named_event": True}, SERVER, 200),
    "error_event_first": ("error_event", {"after_events": 0}, SERVER, 200),
    "error_event_queue": (
        "error_event",
        {"code": "queue_exceeded"},
        "upstream_rate_limit",
        200,
    ),
    "nothing_of_the_stream": (
        "cut_stream",
        {"after_events": 0},
        INTERRUPTED,
        200,
    ),
}


def _category(status: int) -> str:
    return _CATEGORIES.get(status) or (
        "upstream_bad_request" if status < 500 else SERVER
    )


def _ways(fault: str) -> Iterator[bool]:
    kind = KINDS[fault].answers  # type: ignore[index]
    yield from (
        way for way in (False, True) if kind == "any" or way == (kind == "stream")
    )


def _network() -> Iterator[Trouble]:
    for name, (category, plain, streamed) in _FAULTS.items():
        more: dict[str, Any] = {}
        if name.startswith("drip"):
            more = {"pause_s": 0.0002}
        elif name.endswith("_before_headers"):
            more = {"times": None}  # on a kept connection it is sent once more
        for way in _ways(name):
            status = streamed if way else plain
            yield Trouble(name, way, category, status, settings={"fault": name, **more})
    yield Trouble("empty_body", False, INVALID, 502, settings={"fault": "empty_body"})
    # The end of what is empty may come with the head, or behind it.
    either = f"{INVALID}|{INTERRUPTED}"
    yield Trouble("empty_body", True, either, None, settings={"fault": "empty_body"})
    for name, (fault, settings, category, status) in _MORE.items():
        for way in _ways(fault):
            given = {"fault": fault, **settings}
            yield Trouble(name, way, category, status, settings=given)


def _service() -> Iterator[Trouble]:
    for way in (False, True):
        for code in FAULT_CODES:
            status = named_fault(code=code).status
            yield Trouble(code, way, _category(status), status, settings={"code": code})
        for status in _BARE:
            given = {"status": status}
            yield Trouble(str(status), way, _category(status), status, settings=given)


def _odd() -> Iterator[Trouble]:
    for form in ODD_FORMS:
        for way in (False, True):
            if way or form not in STREAM_FORMS:
                yield Trouble(form, way, None, odd=form)


TROUBLES: tuple[Trouble, ...] = (*_network(), *_service(), *_odd())


HASTY: dict[str, Any] = {"first_byte_timeout_s": 0.5, "idle_timeout_s": 0.3}
"""Limits for what is slow; nothing else is asked under them, for the machine may be
slow as well."""


def is_slow(request: pytest.FixtureRequest) -> bool:
    """Whether a test is about a trouble that is slow."""
    callspec = getattr(request.node, "callspec", None)
    trouble = callspec.params.get("trouble") if callspec else None
    return trouble is not None and bool(trouble.is_slow)


def settle(proxy: Proxy) -> None:
    """Wait until nothing is under way, and all that has ended was noted."""
    proxy.wait(lambda: not proxy.app.in_flight)
    noted = threading.Event()
    proxy.loop.call_soon_threadsafe(noted.set)  # behind what ends just now
    assert noted.wait(30)


def is_error(answer: RawAnswer) -> bool:
    """Whether an answer is one of an error, in the envelope that clients read."""
    error = json.loads(answer.body)["error"]
    return (
        answer.status >= 400
        and answer.is_whole
        and answer.headers["content-type"].startswith("application/json")
        and isinstance(error["message"], str)
        and error["message"] != ""
        and {"type", "param", "code"} <= error.keys()
    )


def check_failure(trouble: Trouble, answer: RawAnswer, exchange: Exchange) -> None:
    """Hold that a client cannot take a failure for an answer."""
    assert b"[DONE]" not in answer.body
    if trouble.status is None:
        assert answer.status in {200, 502, 504}
    else:
        assert answer.status == trouble.status
    if answer.status != 200:
        assert is_error(answer)
    elif trouble.stream:
        assert answer.is_whole
        told = answer.events
        assert told[-1]["error"]["message"]
        assert not any("error" in one for one in told[:-1])
    else:
        assert not answer.is_whole
    assert exchange.outcome == "failed"
    assert exchange.status == answer.status
    assert trouble.category is not None
    assert exchange.error_category in trouble.category.split("|")
    assert exchange.error_message
