"""What holds for a whole call: its time over all tries, and one answer per stream."""

from __future__ import annotations

import time

import pytest

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext._config import Headers
from langchain_cerebras_ext._stream_reader import StreamReader
from langchain_cerebras_ext.errors import CerebrasTimeoutError, InternalServerError
from langchain_cerebras_ext.retry import Retrier, RetryPolicy


def test_a_total_is_for_all_tries_together() -> None:
    """Each try gets what is left, and none is started that could not end in time."""
    now = [0.0]
    waits: list[float] = []
    left: list[float | None] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    policy = RetryPolicy(max_retries=5, initial_delay=2.0, jitter=0.0)
    retrier = Retrier(policy, total_s=10.0, clock=lambda: now[0], sleep=sleep)

    def once() -> None:
        left.append(retrier.left_s())
        now[0] += 1.0
        msg = "no"
        raise InternalServerError(msg)

    with pytest.raises(InternalServerError) as caught:
        retrier.call(once)
    assert left == [10.0, 7.0, 2.0]
    assert waits == [2.0, 4.0]
    assert caught.value.attempts == 3


def test_a_silent_server_is_left_after_the_total_not_after_three() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        model = ChatCerebras(base_url=f"http://127.0.0.1:{port}", total_timeout=0.6)
        started = time.monotonic()
        with pytest.raises(CerebrasTimeoutError) as caught:
            model.invoke("Hi")
    assert caught.value.kind == "total"
    assert caught.value.attempts == 1
    assert time.monotonic() - started < 30


def test_the_same_id_under_a_new_index_is_another_call() -> None:
    reader = StreamReader()
    pieces = [
        b'{"function":{"name":"f","arguments":"{\\"x\\":1}"},"id":"a","index":0}',
        b'{"function":{"name":"f","arguments":"{\\"x\\":2}"},"id":"a","index":1}',
    ]
    deltas = [
        delta
        for piece in pieces
        for delta in reader.feed(
            b'data: {"choices":[{"delta":{"tool_calls":[%s]},"index":0}]}\n\n' % piece
        )
    ]
    assert [tool.number for delta in deltas for tool in delta.tools] == [0, 1]


def test_a_second_answer_is_never_spliced_in() -> None:
    reader = StreamReader()
    deltas = reader.feed(
        b'data: {"choices":[{"delta":{"content":"a"},"index":0}]}\n\n'
        b'data: {"choices":[{"delta":{"content":"B"},"index":1}]}\n\n'
    )
    assert [delta.text for delta in deltas] == ["a"]


def test_headers_hide_secrets_from_whoever_prints_variables() -> None:
    headers = Headers({"authorization": "Bearer csk-secret", "accept": "a/b"})
    assert repr(headers) == "{'authorization': '***', 'accept': 'a/b'}"
    assert headers["authorization"] == "Bearer csk-secret"


def test_secret_headers_are_not_in_a_dump() -> None:
    from langchain_core.load import dumps

    model = ChatCerebras(
        base_url="http://127.0.0.1:1",
        default_headers={"Authorization": "Bearer csk-secret", "X-Team": "blue"},
    )
    text = dumps(model)
    assert "csk-secret" not in text
    assert "blue" in text


def test_what_a_bound_model_can_do_counts() -> None:
    """`zai-glm-4.7` takes tools and a format together, `gpt-oss-120b` does not."""

    def look_up(word: str) -> str:
        """Look a word up."""
        return word

    model = ChatCerebras(base_url="http://127.0.0.1:1", model="gpt-oss-120b")
    schema = {"title": "A", "type": "object", "properties": {"b": {"type": "string"}}}
    bound = model.bind(model="zai-glm-4.7").bind_tools([look_up])
    assert bound.with_structured_output(schema) is not None


def test_two_names_of_one_parameter_in_a_call_are_refused() -> None:
    model = ChatCerebras(base_url="http://127.0.0.1:1")
    with pytest.raises(ValueError, match="both given"):
        model.invoke("Hi", max_tokens=1, max_completion_tokens=2)


def test_no_model_is_the_default_one() -> None:
    model = ChatCerebras(base_url="http://127.0.0.1:1", model=None)
    assert model.model_name == "gpt-oss-120b"


@pytest.mark.parametrize("name", ["http_client", "http_async_client"])
def test_a_client_that_is_none_is_refused_when_it_is_given(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is of type int; pass an httpx"):
        ChatCerebras(base_url="http://127.0.0.1:1", **{name: 5})
