"""The official SDK on our transport: it sees its own errors, caused by ours.

Statuses and bodies are the SDK's to judge; what happens on the connection is told by the
transport beneath, in the same way as to the model. Each fault must be an error that
users of the SDK catch, its cause must say what happened, the next call must work, and
no connection may stay open.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
from fault_answers import (
    CHUNKED,
    JSON_TYPE,
    KEY,
    PLAIN_BODY,
    RICH_BODY,
    RICH_STREAM,
    ROLE,
    TEXT,
    THINK,
    answer,
    begun,
    chunk,
    flat,
    good,
    head,
    length,
    streamed,
)
from fault_case import PATIENT
from fault_server import FIN, HOLD, RST, FaultServer, Step
from wire_server import Request

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext._http._errors import causes
from langchain_cerebras_ext.errors import CerebrasConnectionError

PLAIN, STREAMED = ("sdk", "asdk"), ("sdk_stream", "asdk_stream")
ALL = (*PLAIN, *STREAMED)
LENGTH = length(RICH_BODY)


@dataclass(frozen=True)
class Fault:
    """What the server does, which error of the SDK it is, and which of ours is under it."""

    id: str
    steps: tuple[Step, ...]
    error: type[openai.OpenAIError]
    kind: str | None = None
    paths: tuple[str, ...] = ALL
    brief: dict[str, float] = field(default_factory=dict)


def fault(name: str, *steps: Step, error: Any, **more: Any) -> Fault:
    return Fault(name, steps, error, **more)


def faults() -> Iterator[Fault]:
    lost = openai.APIConnectionError
    statuses: list[tuple[int, type[openai.APIStatusError]]] = [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (402, openai.APIStatusError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ]
    for status, error in statuses:
        yield fault(f"{status}", answer(flat("So and so"), status), error=error)
    yield fault("closed_before_the_headers", FIN, error=lost, kind="closed")
    yield fault("reset_before_the_headers", RST, error=lost, kind="reset")
    yield fault("cut_in_the_headers", b"HTTP/1.1 200", FIN, error=lost, kind="closed")
    yield fault("no_http", b"220 x\r\n", HOLD, error=lost, kind="protocol")
    ambiguous = head(JSON_TYPE, LENGTH, CHUNKED) + RICH_BODY
    yield fault("length_and_chunks", ambiguous, HOLD, error=lost, kind="protocol")
    half = head(JSON_TYPE, LENGTH) + RICH_BODY[:99]
    yield fault("cut_in_the_body", half, FIN, error=lost, kind="closed", paths=PLAIN)
    yield fault(
        "gzip_cut",
        answer(b"\x1f\x8b\x08\x00", 200, "Content-Encoding: gzip"),
        error=lost,
        kind="closed",
        paths=PLAIN,
    )
    sent = begun(ROLE, THINK, TEXT)
    yield fault("cut_in_a_stream", sent, FIN, error=lost, kind="closed", paths=STREAMED)
    yield fault(
        "wrong_chunk_in_a_stream",
        sent + b"zz\r\n",
        HOLD,
        error=lost,
        kind="protocol",
        paths=("sdk_stream",),
    )
    late = openai.APITimeoutError
    brief = {"read": 0.2}
    yield fault("stall_before_the_headers", HOLD, error=late, kind="idle", brief=brief)
    yield fault("stall_after_hints", head(status=103), HOLD, error=late, kind="idle", brief=brief)  # fmt: skip
    yield fault("stall_in_the_body", half, HOLD, error=late, kind="idle", paths=PLAIN, brief=brief)  # fmt: skip
    yield fault("stall_in_a_stream", sent, HOLD, error=late, kind="idle", paths=STREAMED, brief=brief)  # fmt: skip


class Sdk:
    """The four ways of the SDK, on one model's connections."""

    def __init__(self, path: str, url: str, brief: dict[str, float]) -> None:
        self.model = ChatCerebras(base_url=url, api_key=KEY, max_retries=0)
        self.path = path
        self.limits = openai.Timeout(10, **brief)
        self.runner = asyncio.Runner() if path.startswith("asdk") else None

    def call(self, limits: Any = None) -> str:
        given: dict[str, Any] = {
            "model": "gpt-oss-120b",
            "messages": [{"role": "user", "content": "hi"}],
            "timeout": limits or self.limits,
        }
        if self.runner is not None:
            return self.runner.run(self.acall(given))
        if self.path == "sdk":
            return self.model.client.create(**given).choices[0].message.content
        with self.model.client.create(**given, stream=True) as parts:
            return "".join(part.choices[0].delta.content or "" for part in parts)

    async def acall(self, given: dict[str, Any]) -> str:
        client = self.model.async_client
        if self.path == "asdk":
            return (await client.create(**given)).choices[0].message.content
        async with await client.create(**given, stream=True) as parts:
            return "".join([p.choices[0].delta.content or "" async for p in parts])

    def close(self) -> None:
        if self.runner is None:
            self.model.close()
            return
        self.runner.run(self.model.aclose())
        self.runner.close()


FAULTS = [
    pytest.param(found, path, id=f"{found.id}-{path}")
    for found in faults()
    for path in found.paths
]


@pytest.mark.parametrize(("found", "path"), FAULTS)
def test_a_fault_is_an_error_of_the_sdk_that_is_caused_by_ours(
    found: Fault, path: str
) -> None:
    def script(request: Request, number: int) -> Any:
        return found.steps if number == 1 else good(request)

    with FaultServer(script) as server:
        sdk = Sdk(path, server.url, found.brief)
        try:
            with pytest.raises(found.error) as caught:
                sdk.call()
            error = caught.value
            assert type(error) is found.error
            check_cause(error, found.kind)
            assert KEY not in "".join(traceback.format_exception(error))
            assert len(server.requests) == 1
            assert sdk.call(PATIENT["read"]).startswith("The sky is blue")
        finally:
            sdk.close()
        assert not server.open_connections()


def check_cause(error: BaseException, kind: str | None) -> None:
    """Find our error in the chain, and what it says happened."""
    ours = [c for c in causes(error) if isinstance(c, CerebrasConnectionError)]
    assert [cause.kind for cause in ours] == ([] if kind is None else [kind])


@pytest.mark.parametrize("path", ALL)
def test_the_sdk_reads_odd_but_legal_answers(path: str) -> None:
    plain = head(JSON_TYPE, CHUNKED) + chunk(PLAIN_BODY) + b"0;x\r\nX-A: 1\r\n\r\n"

    def script(request: Request, number: int) -> list[Step]:
        if request.is_stream:
            return [head(status=103), streamed(RICH_STREAM.replace(b"\n", b"\r\n"))]
        return [head(status=103), plain]

    with FaultServer(script) as server:
        sdk = Sdk(path, server.url, {})
        try:
            said = "Let me look that up." if "stream" in path else "The sky is blue"
            assert [sdk.call().startswith(said) for _ in range(2)] == [True, True]
        finally:
            sdk.close()
        assert len(server.connections) == 1
