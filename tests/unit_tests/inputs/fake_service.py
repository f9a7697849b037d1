"""A service in memory: answers with the API's bytes, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from langchain_cerebras_ext import ChatCerebras

KEY = "csk-fake-0123456789abcdef"
URL = "https://api.cerebras.ai/v1"

USAGE = {
    "total_tokens": 12,
    "completion_tokens": 5,
    "completion_tokens_details": {"reasoning_tokens": 2},
    "prompt_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 0},
}
WAYS = ["invoke", "ainvoke", "stream", "astream"]


def tool_call(name: str, arguments: str, call_id: str = "049d9b129") -> dict[str, Any]:
    return {
        "function": {"name": name, "arguments": arguments},
        "type": "function",
        "id": call_id,
    }


def plain(content: str | None = "Hello", *, n: int = 1, **more: Any) -> dict[str, Any]:
    """A whole answer; `more` is of the message, `finish_reason` of the choice."""
    finish = more.pop("finish_reason", "tool_calls" if "tool_calls" in more else "stop")
    message = {**({"content": content} if content is not None else {}), **more}
    return {
        "id": "chatcmpl-1",
        "choices": [
            {
                "finish_reason": finish,
                "index": index,
                "message": {**message, "role": "assistant"},
            }
            for index in range(n)
        ],
        "created": 1_790_000_000,
        "model": "gpt-oss-120b",
        "system_fingerprint": "fp_fake",
        "object": "chat.completion",
        "usage": USAGE,
        "time_info": {"total_time": 0.01},
    }


def sse(*deltas: dict[str, Any], finish_reason: str = "stop") -> list[bytes]:
    """A stream, an event a piece."""
    base = {
        "created": 1_790_000_000,
        "model": "gpt-oss-120b",
        "system_fingerprint": "fp_fake",
        "object": "chat.completion.chunk",
    }
    events: list[dict[str, Any]] = [
        {"id": "chatcmpl-1", "choices": [{"delta": delta, "index": 0}], **base}
        for delta in ({"role": "assistant"}, *deltas)
    ]
    last = {"delta": {}, "finish_reason": finish_reason, "index": 0}
    events.append({"id": "chatcmpl-1", "choices": [last], **base, "usage": USAGE})
    lines = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    return [*lines, b"data: [DONE]\n\n"]


def text_deltas(text: str, size: int = 3) -> list[dict[str, Any]]:
    return [{"content": text[at : at + size]} for at in range(0, len(text), size)]


def tool_deltas(name: str, arguments: str, size: int = 3) -> list[dict[str, Any]]:
    pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    first = {**tool_call(name, ""), "index": 0}
    rest = [
        {"function": {"arguments": piece}, "type": "function", "index": 0}
        for piece in pieces
    ]
    return [{"tool_calls": [call]} for call in (first, *rest)]


def as_stream(answer: dict[str, Any]) -> list[bytes]:
    """The same answer as `plain` gave, streamed."""
    choice = answer["choices"][0]
    message = choice["message"]
    deltas: list[dict[str, Any]] = []
    if message.get("reasoning"):
        deltas.append({"reasoning": message["reasoning"]})
    if message.get("content"):
        deltas += text_deltas(message["content"], 7)
    for index, call in enumerate(message.get("tool_calls", ())):
        deltas.append({"tool_calls": [{**call, "index": index}]})
    if message.get("refusal"):
        deltas.append({"refusal": message["refusal"]})
    return sse(*deltas, finish_reason=choice["finish_reason"])


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def __iter__(self):
        yield from self.pieces

    async def __aiter__(self):
        for piece in self.pieces:
            yield piece


class FakeService:
    """Answers in order; once they are used up, with a greeting."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: deque[Any] = deque()

    def answer(self, *answers: Any) -> FakeService:
        """Queue answers: a dict is JSON (streamed if asked so), a list is SSE."""
        self.answers.extend(answers)
        return self

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        is_json = request.headers.get("content-type") == "application/json"
        is_plain = is_json and "content-encoding" not in request.headers
        asked = json.loads(request.content) if request.content and is_plain else {}
        answer = self.answers.popleft() if self.answers else plain()
        if isinstance(answer, httpx.Response):
            return answer
        if isinstance(answer, dict) and asked.get("stream"):
            answer = as_stream(answer)
        if isinstance(answer, dict):
            return httpx.Response(200, json=answer)
        kind = {"content-type": "text/event-stream; charset=utf-8"}
        return httpx.Response(200, headers=kind, stream=Pieces(answer))

    @property
    def body(self) -> dict[str, Any]:
        """The last request's body."""
        return json.loads(self.requests[-1].content)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests]

    @property
    def headers(self) -> httpx.Headers:
        return self.requests[-1].headers

    def model(self, **kwargs: Any) -> ChatCerebras:
        """A model that talks to this service."""
        transport = httpx.MockTransport(self.handle)
        given = {
            "api_key": KEY,
            "base_url": URL,
            "max_retries": 0,
            "http_client": httpx.Client(transport=transport),
            "http_async_client": httpx.AsyncClient(transport=transport),
            **kwargs,
        }
        return ChatCerebras(**given)


class LoopbackServer:
    """Serves a fake service on a real socket."""

    def __init__(self, service: FakeService) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                url = f"http://{self.headers['host']}{self.path}"
                headers = list(self.headers.items())
                asked = httpx.Request("POST", url, headers=headers, content=body)
                answer = service.handle(asked)
                sent = answer.read()
                self.send_response(answer.status_code)
                self.send_header("content-type", answer.headers["content-type"])
                self.send_header("content-length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


def run(way: str, runnable: Any, value: Any = "hi", **kwargs: Any) -> Any:
    """Run it one of four ways; a stream is summed."""
    if way == "invoke":
        return runnable.invoke(value, **kwargs)
    if way == "ainvoke":
        return asyncio.run(runnable.ainvoke(value, **kwargs))
    parts = pieces(way, runnable, value, **kwargs)
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    return whole


def pieces(way: str, runnable: Any, value: Any = "hi", **kwargs: Any) -> list[Any]:
    """Everything a stream yields."""
    if way == "stream":
        return list(runnable.stream(value, **kwargs))

    async def collect() -> list[Any]:
        return [part async for part in runnable.astream(value, **kwargs)]

    return asyncio.run(collect())
