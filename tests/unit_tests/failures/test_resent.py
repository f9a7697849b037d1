"""A request that goes out again, as its kept connection was closed, is no secret.

Most likely nobody has read it; but if somebody has, it is billed twice, so that it is
listed like any other try.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from call_paths import BETA, PATHS, acall, answer, call, refusal
from wire_server import CUT, RESET, Request, WireServer, plain

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext._observe import CallRecord, add_observer, remove_observer
from langchain_cerebras_ext.errors import (
    CerebrasConnectionError,
    FailedAttempt,
    InternalServerError,
)
from langchain_cerebras_ext.retry import RetryPolicy

pytestmark = BETA
NOW = RetryPolicy(max_retries=1, initial_delay=0, max_delay=0)


class Closing(WireServer):
    """Closes the connection on the second request of all; then does as told."""

    def __init__(self, how: bytes = CUT, *then: Any) -> None:
        self.how = how
        self.then = list(then)
        super().__init__(self.next)

    def next(self, request: Request) -> Iterator[bytes]:
        number = len(self.requests)
        if number == 2:
            return iter([self.how])
        if number > 2 and self.then:
            return self.then.pop(0)(request)
        return answer(request)


class Observing:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def started(self, record: CallRecord) -> None:
        self.records.append(record)

    def retried(self, state: None, record: CallRecord, failed: FailedAttempt) -> None:
        pass

    def ended(self, state: None, record: CallRecord) -> None:
        pass


@pytest.fixture
def observed() -> Iterator[list[CallRecord]]:
    observer = Observing()
    add_observer(observer)
    yield observer.records
    remove_observer(observer)


def twice(path: str, model: ChatCerebras) -> Any:
    """Make two calls on one connection, and return the second one's message."""
    if not path.startswith("a"):
        call(path, model)
        return call(path, model)

    async def both() -> Any:
        await acall(path, model)
        return await acall(path, model)

    return asyncio.run(both())


@pytest.mark.parametrize("how", [CUT, RESET], ids=["closed", "reset"])
@pytest.mark.parametrize("path", PATHS)
def test_it_is_listed_as_a_try_of_which_nobody_knows_whether_it_was_billed(
    path: str,
    how: bytes,
    observed: list[CallRecord],
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[FailedAttempt] = []
    caplog.set_level(logging.INFO, "langchain_cerebras_ext.retry")
    with Closing(how) as server:
        policy = RetryPolicy(on_retry=told.append)
        model = ChatCerebras(base_url=server.url, retry_policy=policy)
        message = twice(path, model)
        model.close()
    assert len(server.requests) == 3
    metadata = message.response_metadata
    assert metadata["attempts"] == 2
    (failed,) = metadata["failed_attempts"]
    assert failed["error_type"] == "CerebrasConnectionError"
    assert (failed["billed"], failed["wait_s"]) == (None, 0.0)
    assert failed["elapsed_s"] > 0
    assert [(one.billed, one.wait_s) for one in told] == [(None, 0.0)]
    assert [(record.attempts, record.failed) for record in observed] == [
        (1, []),
        (2, told),
    ]
    assert "request failed (CerebrasConnectionError), attempt 1" in caplog.text


@pytest.mark.parametrize("path", PATHS)
def test_it_is_listed_on_the_error_of_a_call_that_fails_all_the_same(path: str) -> None:
    with Closing(CUT, lambda _: refusal(401)) as server:
        model = ChatCerebras(base_url=server.url, max_retries=0)
        with pytest.raises(Exception, match="401") as caught:
            twice(path, model)
        model.close()
    assert caught.value.attempts == len(server.requests) - 1 == 2
    assert [one.error_type for one in caught.value.failed_attempts] == [
        "CerebrasConnectionError"
    ]


@pytest.mark.parametrize("path", PATHS)
def test_it_counts_as_one_of_the_retries_that_the_policy_allows(path: str) -> None:
    with Closing(CUT, lambda _: refusal(500), answer) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=NOW)
        with pytest.raises(InternalServerError) as caught:
            twice(path, model)
        model.close()
    assert len(server.requests) == 3
    assert caught.value.attempts == 2
    assert caught.value.is_retryable is False


@pytest.mark.parametrize("path", PATHS)
def test_it_goes_out_again_once_not_more_often(path: str) -> None:
    def closed(_: Request) -> Iterator[bytes]:
        return iter([CUT])

    with Closing(CUT, closed, answer) as server:
        model = ChatCerebras(base_url=server.url, max_retries=0)
        with pytest.raises(CerebrasConnectionError) as caught:
            twice(path, model)
        model.close()
    assert len(server.requests) == 3
    assert caught.value.attempts == 2


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
def test_the_tokens_of_a_try_that_failed_are_told_where_they_are_known(
    path: str,
) -> None:
    """An answer without choices is billed; the next try's usage is not all there is."""
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}

    def empty(_: Request) -> Iterator[bytes]:
        return plain({"id": "chatcmpl-0", "choices": [], "usage": usage})

    ways = [empty, answer]
    with WireServer(lambda request: ways.pop(0)(request)) as server:
        message = call(path, ChatCerebras(base_url=server.url, retry_policy=NOW))
    (failed,) = message.response_metadata["failed_attempts"]
    assert failed["billed"] is True
    assert failed["usage"]["input_tokens"] == 7
    assert failed["usage"]["output_tokens"] == 2
    assert message.usage_metadata["total_tokens"] == 16
