"""What a row of a table of faults is, and how it is run: one call, then another.

A row says what the server does and exactly what must come of it: a whole answer, or one
typed error with all its data. What comes after is the same for every row: the model
still works, nothing that the server saw or the error shows holds the key, and no
connection stays open once the model is closed.
"""

from __future__ import annotations

import asyncio
import pickle
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import pytest
from fault_answers import KEY, RICH_ID, good
from fault_server import FaultServer, Step
from langchain_core.messages import AIMessage
from recordings import add
from wire_server import Request

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.errors import (
    CerebrasConnectionError,
    CerebrasError,
    CerebrasResponseError,
    CerebrasStatusError,
    CerebrasTimeoutError,
    EmptyResponseError,
    StreamInterruptedError,
)

PLAIN = ("invoke", "ainvoke")
STREAMED = ("stream", "astream", "v3", "av3")
FOUR = ("invoke", "ainvoke", "stream", "astream")
SIX = (*PLAIN, *STREAMED)
SYNC, ASYNC = ("invoke", "stream", "v3"), ("ainvoke", "astream", "av3")

PATIENT = {"connect": 10, "read": 10, "first_byte": 10, "total": 30}
"""Limits that no case reaches; one that hangs fails by them."""

# ----------------------------------------------------------------- what must come of it

Tool = tuple[str | None, Any]
"""Name and arguments of a call; of one that was cut off they are a text."""


@dataclass(frozen=True)
class Whole:
    """The answer that every path gives."""

    text: str = ""
    reasoning: str = ""
    tools: tuple[Tool, ...] = ()
    invalid_tools: tuple[Tool, ...] = ()
    usage: tuple[int, int, int] | None = None
    finish: str | None = "stop"


PLAIN_ANSWER = Whole(
    "The sky is blue because of Rayleigh scattering.", usage=(72, 11, 83)
)
RICH_ANSWER = Whole(
    "Let me look that up.",
    "I need the weather.",
    (("get_weather", {"city": "Paris"}),),
    usage=(140, 38, 178),
    finish="tool_calls",
)


@dataclass(frozen=True)
class Partial:
    """What had arrived of a stream."""

    text: str = ""
    reasoning: str = ""
    tools: tuple[Tool, ...] = ()
    usage: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Broken:
    """The one error that every path raises; what is not said is `None`.

    Attributes:
        says: Texts (regular expressions) of the message.
        retryable: What `is_retryable` says before anybody has tried again.
        billed: Whether the service has counted tokens, `None` if nobody knows.
    """

    error: type[CerebrasError]
    says: tuple[str, ...] = ()
    retryable: bool = False
    billed: bool | None = None
    kind: str | None = None
    timeout_s: float | None = None
    status_code: int | None = None
    code: str | None = None
    param: str | None = None
    error_type: str | None = None
    window: str | None = None
    retry_after_s: Any = None
    request_id: str | None = None
    partial: Partial | None = None


def refused(
    status: int, error: type[CerebrasStatusError], *says: str, **data: Any
) -> Broken:
    """Return the error for a status."""
    data.setdefault("retryable", error.is_retryable)
    data.setdefault("billed", None if status == 408 or status >= 500 else False)
    return Broken(error, (rf"answered {status}\b", *says), status_code=status, **data)


def lost(kind: str, *says: str, **data: Any) -> Broken:
    """Return the error for an answer that did not come."""
    reached = kind not in {"dns", "refused", "tls", "proxy"}
    data.setdefault("billed", None if reached else False)
    return Broken(CerebrasConnectionError, says, retryable=True, kind=kind, **data)


def late(kind: str, seconds: float, **data: Any) -> Broken:
    """Return the error for an answer that did not come in time."""
    says = (rf"limit of {seconds:g} s",)
    data.setdefault("billed", False if kind == "connect" else None)
    base = Broken(CerebrasTimeoutError, says, retryable=True, kind=kind)
    return replace(base, timeout_s=seconds, **data)


def cut(*says: str, partial: Partial | None, **data: Any) -> Broken:
    """Return the error for a stream that ended before its end."""
    data.setdefault("request_id", RICH_ID if partial else None)
    if partial is not None and partial.usage is not None:
        data.setdefault("billed", True)
    return Broken(StreamInterruptedError, says, retryable=True, partial=partial, **data)


def unreadable(*says: str, **data: Any) -> Broken:
    """Return the error for an answer that is none of the API's."""
    if data.get("partial") is not None:
        data.setdefault("request_id", RICH_ID)
    return Broken(CerebrasResponseError, says, **{"retryable": True, **data})


def empty(*says: str, **data: Any) -> Broken:
    """Return the error for a 200 without an answer."""
    return Broken(EmptyResponseError, says, retryable=True, **data)


Outcome = Whole | Broken

# -------------------------------------------------------------------------- the row

Script = Iterable[Step] | Callable[[Request], Iterable[Step]]


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        id: Its name.
        answers: What the server does with the first requests; after those it answers
            well.
        expect: What must come of it.
        paths: Which ways of calling it is for.
        differs: Where a path rightly has another outcome; `why` says why.
        kept: Whether the next call has the same connection; `None` where that depends
            on how far the server had come, and on the paths in `differs_kept`.
        requests: How many requests the server must have seen; `None` where it reads
            them after it has answered.
        options: Arguments of the model.
        on_connect: What the server does on the first connection before any request.
    """

    id: str
    answers: Sequence[Script]
    expect: Outcome
    paths: tuple[str, ...] = FOUR
    differs: Mapping[str, Outcome] = field(default_factory=dict)
    why: str = ""
    kept: bool | None = None
    requests: int | None = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    on_connect: Sequence[Step] = ()

    def expected(self, path: str) -> Outcome:
        return self.differs.get(path, self.expect)

    def script(self, request: Request, number: int) -> Iterable[Step]:
        """Return what the server does with the n-th request."""
        if number > len(self.answers):
            return good(request)
        steps = self.answers[number - 1]
        return steps(request) if callable(steps) else steps


def case(
    name: str, *steps: Step, expect: Outcome, paths: tuple[str, ...] = FOUR, **more: Any
) -> Case:
    """Return a row in which the first request is answered by some steps."""
    return Case(name, [steps], expect, paths, **more)


def parameters(cases: Iterable[Case]) -> list[Any]:
    """Return rows and paths for `parametrize`."""
    found = [
        pytest.param(row, path, id=f"{row.id}-{path}")
        for row in cases
        for path in row.paths
    ]
    names = [param.id for param in found]
    twice = {name for name in names if names.count(name) > 1}
    assert not twice, f"two rows have one name: {twice}"
    for row in {param.values[0].id: param.values[0] for param in found}.values():
        assert bool(row.differs) == bool(row.why), f"{row.id}: say why paths differ"
    return found


# ------------------------------------------------------------------------- the call


class Caller:
    """A model, called in one of the six ways; async calls share an event loop."""

    def __init__(self, path: str, base_url: str, server: Any, **options: Any) -> None:
        fields = {"max_retries": 0, "timeout": PATIENT, "api_key": KEY, **options}
        self.model = ChatCerebras(base_url=base_url, **fields)
        self.path = path
        self._server = server
        self._options: dict[str, Any] = {}
        self._runner = asyncio.Runner() if path in ASYNC else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is None:
            self.model.close()
            return
        self._runner.run(self.model.aclose())
        self._runner.close()

    def call(self, **options: Any) -> AIMessage | CerebrasError:
        """Return what a call gives: a message, or the error that it raises."""
        self._options = options
        try:
            return self._message()
        except CerebrasError as error:
            return error

    def _message(self) -> AIMessage:
        match self.path:
            case "invoke":
                return self.model.invoke("hi", **self._options)
            case "stream":
                parts = self.model.stream("hi", **self._options)
                return add(list(map(self._heard, parts)))
            case "v3":
                stream = self.model.stream_events("hi", version="v3", **self._options)
                for _ in map(self._heard, stream):
                    pass
                return stream.output
        assert self._runner is not None
        return self._runner.run(getattr(self, f"_{self.path}")())

    async def _ainvoke(self) -> AIMessage:
        return await self.model.ainvoke("hi", **self._options)

    async def _astream(self) -> AIMessage:
        parts = self.model.astream("hi", **self._options)
        return add([self._heard(part) async for part in parts])

    async def _av3(self) -> AIMessage:
        stream = await self.model.astream_events("hi", version="v3", **self._options)
        async for part in stream:
            self._heard(part)
        return await stream.output

    def _heard(self, part: Any) -> Any:
        """Tell the server that a part was handed on."""
        self._server.seen.set()
        return part

    def rest(self, seconds: float = 0.05) -> None:
        """Let the event loop see what came meanwhile, as it does between calls."""
        if self._runner is not None:
            self._runner.run(asyncio.sleep(seconds))

    def tasks(self) -> set[Any]:
        """Return the tasks that are left in the loop, other than one that just ends.

        LangChain's producer of v3 events ends a turn of the loop after its stream.
        """
        if self._runner is None:
            return set()
        self._runner.run(asyncio.sleep(0))
        return asyncio.all_tasks(self._runner.get_loop())


def run(row: Case, path: str, **server_options: Any) -> None:
    """Run a row: the call, then the next one, then the model's end."""

    def on_connect(number: int) -> Sequence[Step]:
        return row.on_connect if number == 1 else ()

    with FaultServer(row.script, on_connect=on_connect, **server_options) as server:
        with Caller(path, server.url, server, **row.options) as caller:
            check(caller.call(), row.expected(path))
            if row.requests is not None:
                assert len(server.requests) == row.requests
            before = len(server.connections)
            # A limit that is short on purpose is not for the machine's own pauses.
            check(caller.call(timeout=PATIENT), PLAIN_ANSWER)
            if row.requests is not None:
                assert len(server.requests) == row.requests + 1
            if row.kept is not None:
                assert (len(server.connections) == before) is row.kept
            assert not caller.tasks()
        left = server.open_connections()
        assert not left, f"{len(left)} connections are still open"


# ------------------------------------------------------------------------ the checks


def check(found: AIMessage | CerebrasError, expected: Outcome) -> None:
    """Compare what a call gave with what it must."""
    if isinstance(found, CerebrasError):
        assert isinstance(expected, Broken), f"{type(found).__name__}: {found}"
        check_error(found, expected)
    else:
        assert isinstance(expected, Whole), f"an answer came: {found!r}"
        assert as_whole(found) == expected, f"{as_whole(found)}"


def usage_of(found: Any) -> tuple[int, int, int] | None:
    if found is None:
        return None
    return found["input_tokens"], found["output_tokens"], found["total_tokens"]


def as_whole(message: AIMessage) -> Whole:
    """Return a message's content, in whichever form its path has it."""
    blocks = message.content_blocks
    thoughts = [b.get("reasoning", "") for b in blocks if b["type"] == "reasoning"]
    return Whole(
        str(message.text),
        "".join(thoughts),
        tuple((call["name"], call["args"]) for call in message.tool_calls),
        tuple((call["name"], call["args"]) for call in message.invalid_tool_calls),
        usage_of(message.usage_metadata),
        message.response_metadata.get("finish_reason"),
    )


_DATA = (
    "kind",
    "timeout_s",
    "status_code",
    "code",
    "param",
    "error_type",
    "window",
    "retry_after_s",
    "request_id",
    "billed",
)


def check_error(error: CerebrasError, expected: Broken) -> None:
    """Compare an error with the one that must come, whole."""
    # A class of the SDK's may have been mixed in; its name is that of ours.
    assert type(error).__name__ == expected.error.__name__, str(error)
    assert isinstance(error, expected.error)
    unsaid = [text for text in expected.says if not re.search(text, str(error))]
    assert not unsaid, str(error)
    names = [*_DATA, "is_retryable", "partial"]
    found = {name: getattr(error, name, None) for name in _DATA}
    found |= {"is_retryable": error.is_retryable, "partial": partial_of(error)}
    wanted = {name: getattr(expected, name) for name in names if name != "is_retryable"}
    wanted["is_retryable"] = expected.retryable
    wrong = [
        f"{name} is {found[name]!r}, not {wanted[name]!r}"
        for name in names
        if found[name] != wanted[name]
    ]
    assert not wrong, f"{wrong} in {error}"
    assert error.elapsed_s is not None
    assert error.elapsed_s >= 0
    check_shape(error)
    check_secrets(error)


def partial_of(error: CerebrasError) -> Partial | None:
    """Return what had arrived, as the error says it."""
    found = Partial(
        error.partial_text,
        error.partial_reasoning,
        tuple((call["name"], call["args"]) for call in error.partial_tool_calls),
        usage_of(error.partial_usage),
    )
    if error.partial_message is None:
        assert found == Partial()
        return None
    assert error.partial_message.tool_calls == []  # none of them may be run
    return found


def check_shape(error: CerebrasError) -> None:
    """An error's text is bounded and does nothing to a terminal, and it pickles."""
    text = str(error)
    assert len(text) < 4000
    assert not re.search(r"[^\S \n]|[\x00-\x09\x0b-\x1f\x7f-\x9f]", text), ascii(text)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == text
    assert vars(copy).keys() == vars(error).keys()


def check_secrets(error: CerebrasError) -> None:
    """Nothing that an error shows holds the key, whatever the server repeated."""
    shown = {
        "str": str(error),
        "repr": repr(error),
        "data": repr(vars(error)),
        "args": repr(error.args),
        "pickle": str(pickle.dumps(error)),
        "traceback": "".join(traceback.format_exception(error)),
    }
    response = getattr(error, "response", None)
    if response is not None:
        shown["response"] = f"{response!r} {response.text} {response.headers}"
    for place, text in shown.items():
        assert KEY not in text, place
        assert KEY[-16:] not in text, place
