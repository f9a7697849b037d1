"""Whoever gives a call up frees its connection at once, wherever the call has got to."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from call_paths import BETA, acall, answer, call, delta
from fake_limiter import FakeLimiter
from langchain_core.output_parsers import StrOutputParser
from stages import ON_THE_WIRE, STAGES, Stage, open_sockets, staged, wait_for
from wire_server import Request, WireServer, chunk, stream_head

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.errors import FailedAttempt
from langchain_cerebras_ext.llms import CerebrasLLM
from langchain_cerebras_ext.retry import RetryPolicy

pytestmark = [
    BETA,
    pytest.mark.skipif(
        sys.platform != "linux", reason="reads the system's sockets as Linux shows them"
    ),
]

TESTS = Path(__file__).parents[2]
ASYNC_PATHS = ["ainvoke", "astream", "av3"]
SYNC_PATHS = ["invoke", "stream", "v3"]
SOON_S = 3.0
"""Far below every time limit, and enough for a busy machine."""


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No socket and no thread outlives its test."""
    sockets, threads = open_sockets(), set(threading.enumerate())
    yield
    ChatCerebras(base_url="http://127.0.0.1:1").close()  # the idle ones, of all models

    def is_clean() -> bool:
        return open_sockets() <= sockets and set(threading.enumerate()) <= threads

    assert wait_for(is_clean, SOON_S), (
        open_sockets() - sockets,
        set(threading.enumerate()) - threads,
    )


# --------------------------------------------------------------------- asyncio tasks


def model_at(stage: Stage, **fields: Any) -> ChatCerebras:
    """Return a model whose first call is held at a stage."""

    def reached(_: FailedAttempt) -> None:
        stage.reached.set()

    async def forever() -> None:
        stage.reached.set()
        await asyncio.sleep(60)

    if stage.name == "limiter":
        fields["rate_limiter"] = FakeLimiter(await_=forever).as_model_limiter()
    policy = RetryPolicy(initial_delay=60, max_delay=60, on_retry=reached)
    return ChatCerebras(
        base_url=stage.url, api_key="csk-given-up", retry_policy=policy, **fields
    )


async def one_call(path: str, model: ChatCerebras) -> None:
    if path == "av3":  # else LangChain's own task goes on
        async with await model.astream_events("hi", version="v3") as stream:
            await stream.output
    else:
        await acall(path, model)


async def cancelled(path: str, model: ChatCerebras, stage: Stage) -> None:
    task = asyncio.create_task(one_call(path, model))
    assert await asyncio.to_thread(stage.wait_reached)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def timed_out(path: str, model: ChatCerebras, stage: Stage) -> None:
    limits: list[asyncio.Timeout] = []

    async def limited() -> None:
        async with asyncio.timeout(None) as limit:
            limits.append(limit)
            await one_call(path, model)

    task = asyncio.create_task(limited())
    assert await asyncio.to_thread(stage.wait_reached)
    limits[0].reschedule(asyncio.get_running_loop().time())
    with pytest.raises(TimeoutError):
        await task


async def failed_beside(path: str, model: ChatCerebras, stage: Stage) -> None:
    async def fail() -> None:
        assert await asyncio.to_thread(stage.wait_reached)
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(one_call(path, model))
            group.create_task(fail())


@pytest.mark.parametrize("give_up", [cancelled, timed_out, failed_beside])
@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("path", ASYNC_PATHS)
def test_a_task_that_is_given_up_frees_its_connection(
    path: str, name: str, give_up: Callable[..., Any]
) -> None:
    async def main(stage: Stage, ok: WireServer) -> None:
        model = model_at(stage)
        await give_up(path, model, stage)
        began = time.monotonic()
        assert await asyncio.to_thread(stage.wait_gone)
        assert time.monotonic() - began < SOON_S
        assert asyncio.all_tasks() == {asyncio.current_task()}
        # The loop's pool serves the next call.
        assert (await acall(path, ChatCerebras(base_url=ok.url))).text == "Hello"
        if stage.wire is not None:
            assert len(stage.wire.requests) == (name != "limiter")

    with staged(name) as stage, WireServer(answer) as ok:
        asyncio.run(main(stage, ok))


@pytest.mark.parametrize("name", ["connect", "headers", "body"])
@pytest.mark.parametrize("path", ["ainvoke", "astream"])
def test_a_client_of_the_users_is_freed_too(path: str, name: str) -> None:
    async def main(stage: Stage) -> None:
        async with httpx.AsyncClient() as client:
            model = model_at(stage, http_async_client=client)
            await cancelled(path, model, stage)
            assert await asyncio.to_thread(stage.wait_gone)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    with staged(name) as stage:
        asyncio.run(main(stage))


@pytest.mark.parametrize("path", ["ainvoke", "astream"])
def test_cancelling_one_of_many_leaves_the_others_alone(path: str) -> None:
    begun = threading.Event()
    gone: list[bool] = []

    def some(request: Request) -> Iterator[bytes]:
        if request.json["messages"][-1]["content"] != "stay":
            begun.set()
            gone.append(request.wait_gone())
            return
        yield from answer(request)

    async def main(url: str) -> list[Any]:
        model = ChatCerebras(base_url=url)
        leaving = asyncio.create_task(acall(path, model, "leave"))
        assert await asyncio.to_thread(begun.wait, 5)
        staying = [acall(path, model, "stay") for _ in range(5)]
        leaving.cancel()
        found = await asyncio.gather(*staying)
        assert leaving.cancelled()
        assert await asyncio.to_thread(wait_for, lambda: gone == [True])
        return found

    with WireServer(some) as server:
        found = asyncio.run(main(server.url))
    assert [message.text for message in found] == ["Hello"] * 5


def test_a_loop_that_ends_frees_what_its_tasks_hold() -> None:
    async def main(stage: Stage) -> None:
        asyncio.create_task(one_call("astream", model_at(stage)))  # noqa: RUF006
        assert await asyncio.to_thread(stage.wait_reached)

    with staged("body") as stage:
        asyncio.run(main(stage))
        assert stage.wait_gone()


# ----------------------------------------------------------- generators that are left


class Endless(WireServer):
    """Sends one part of a stream, then nothing, and sees whether the client goes."""

    def __init__(self) -> None:
        self.left = threading.Event()
        super().__init__(self.hold)

    def hold(self, request: Request) -> Iterator[bytes]:
        yield stream_head()
        part = delta(content="He")
        if not request.path.endswith("/chat/completions"):
            part = part.replace(b'"delta":{"content":"He"}', b'"text":"He"')
        yield chunk(part)
        if request.wait_gone():
            self.left.set()


@pytest.fixture
def endless() -> Iterator[Endless]:
    with Endless() as server:
        yield server


# The collector may come to the socket before the stream that would close it.
of_the_collector = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


def closed(stream: Any) -> None:
    next(stream)
    stream.close()


def left_by_break(stream: Any) -> None:
    for _ in stream:
        break


def left_by_an_error(stream: Any) -> None:
    with suppress(ZeroDivisionError):
        for _ in stream:
            raise ZeroDivisionError


def left_by_closing(stream: Any) -> None:
    with closing(stream) as parts:
        next(parts)


def sliced(stream: Any) -> None:
    list(islice(stream, 1))


def dropped(stream: Any) -> None:
    next(stream)


LEAVE = [closed, left_by_break, left_by_an_error, left_by_closing, sliced, dropped]
STREAMS: dict[str, Callable[[str], Any]] = {
    "model": lambda url: ChatCerebras(base_url=url).stream("hi"),
    # Not a chain: whoever closes its stream waits until LangChain has read the model's
    # to its end.
    "bound": lambda url: ChatCerebras(base_url=url).bind(seed=1).stream("hi"),
    "own_client": lambda url: ChatCerebras(
        base_url=url, http_client=httpx.Client()
    ).stream("hi"),
    "text": lambda url: CerebrasLLM(base_url=url).stream("hi"),
}


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("leave", LEAVE)
def test_leaving_a_stream_frees_its_connection(
    endless: Endless, kind: str, leave: Callable[[Any], None]
) -> None:
    leave(STREAMS[kind](endless.url))
    assert endless.left.wait(SOON_S)


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_that_was_never_begun_sends_nothing(
    endless: Endless, kind: str
) -> None:
    stream = STREAMS[kind](endless.url)
    stream.close()
    assert list(stream) == []
    assert endless.requests == []


@of_the_collector
def test_a_v3_stream_that_is_dropped_frees_its_connection(endless: Endless) -> None:
    stream = ChatCerebras(base_url=endless.url).stream_events("hi", version="v3")
    assert next(iter(stream.text)) == "He"
    del stream
    gc.collect()  # LangChain's streams refer to themselves
    assert endless.left.wait(SOON_S)


@pytest.mark.parametrize("kind", STREAMS)
def test_a_thread_that_ends_frees_the_stream_that_it_had_open(
    endless: Endless, kind: str
) -> None:
    def work() -> None:
        stream = STREAMS[kind](endless.url)
        next(stream)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert endless.left.wait(SOON_S)


def test_another_thread_may_let_go_of_a_stream(endless: Endless) -> None:
    """As when a web framework's thread is done with a generator of another."""
    stream: Any = ChatCerebras(base_url=endless.url).stream("hi")
    next(stream)
    thread = threading.Thread(target=stream.close)
    thread.start()
    thread.join()
    assert endless.left.wait(SOON_S)


@of_the_collector
def test_a_stream_in_a_cycle_is_freed_by_the_collector(endless: Endless) -> None:
    held: list[Any] = [ChatCerebras(base_url=endless.url).stream("hi")]
    next(held[0])
    held.append(held)
    del held
    gc.collect()
    assert endless.left.wait(SOON_S)


async def aclosed(stream: Any) -> None:
    await anext(stream)
    await stream.aclose()


async def aleft_by_break(stream: Any) -> None:
    async for _ in stream:
        break


async def aleft_by_an_error(stream: Any) -> None:
    with suppress(ZeroDivisionError):
        async for _ in stream:
            raise ZeroDivisionError


async def aleft_by_closing(stream: Any) -> None:
    async with aclosing(stream) as parts:
        await anext(parts)


async def adropped(stream: Any) -> None:
    await anext(stream)


ASTREAMS: dict[str, Callable[[str], AsyncIterator[Any]]] = {
    "model": lambda url: ChatCerebras(base_url=url).astream("hi"),
    "chain": lambda url: (ChatCerebras(base_url=url) | StrOutputParser()).astream("hi"),
    "bound": lambda url: ChatCerebras(base_url=url).bind(seed=1).astream("hi"),
    "text": lambda url: CerebrasLLM(base_url=url).astream("hi"),
}


@pytest.mark.parametrize("kind", ASTREAMS)
@pytest.mark.parametrize(
    "leave", [aclosed, aleft_by_break, aleft_by_an_error, aleft_by_closing, adropped]
)
def test_leaving_an_async_stream_frees_its_connection(
    endless: Endless, kind: str, leave: Callable[[Any], Any]
) -> None:
    async def main() -> None:
        await leave(ASTREAMS[kind](endless.url))
        # The loop is still running, and the generators close as its tasks.
        assert await asyncio.to_thread(endless.left.wait, SOON_S)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


@pytest.mark.parametrize("kind", ASTREAMS)
def test_an_async_stream_that_was_never_begun_sends_nothing(
    endless: Endless, kind: str
) -> None:
    async def main() -> None:
        stream: Any = ASTREAMS[kind](endless.url)
        await stream.aclose()
        assert [part async for part in stream] == []

    asyncio.run(main())
    assert endless.requests == []


@pytest.mark.parametrize("kind", ASTREAMS)
def test_a_loop_that_ends_frees_the_streams_that_are_open(
    endless: Endless, kind: str
) -> None:
    held: list[Any] = []

    async def main() -> None:
        held.append(ASTREAMS[kind](endless.url))
        await anext(held[0])

    asyncio.run(main())
    assert endless.left.wait(SOON_S)


def test_a_whole_stream_leaves_no_task_behind() -> None:
    """Not even one that closes a generator: that would run once a call."""
    made: list[str] = []

    def factory(loop: Any, coroutine: Any, **kwargs: Any) -> asyncio.Task[Any]:
        made.append(type(coroutine).__name__)
        return asyncio.Task(coroutine, loop=loop, **kwargs)

    async def main(url: str) -> None:
        model = ChatCerebras(base_url=url)
        await acall("astream", model)  # connects
        asyncio.get_running_loop().set_task_factory(factory)
        for path in ASYNC_PATHS:
            await acall(path, model)
            await asyncio.sleep(0)
        assert "async_generator_athrow" not in made

    with WireServer(answer) as server:
        asyncio.run(main(server.url))


# ------------------------------------------------------------------------- Ctrl-C


class Child:
    """A program of its own that can be interrupted."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(TESTS), *sys.path])
        self.process = subprocess.Popen(
            [sys.executable, *_STRICTLY, _PROGRAM],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.read() == "ready"

    def tell(self, **order: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{json.dumps(order)}\n")
        self.process.stdin.flush()

    def read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate(timeout=10)[1]
        return json.loads(line)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> str:
        """End it, and return what it complained of."""
        _, said = self.process.communicate(timeout=30)
        return said


_PROGRAM = str(TESTS / "interruptible.py")
_BETA_WARNING = "ignore::langchain_core._api.beta_decorator.LangChainBetaWarning"
_STRICTLY = ["-W", "error", "-W", _BETA_WARNING]
if sys.version_info < (3, 12):
    # Its `ssl` leaves a socket to the collector if a handshake is interrupted.
    _OF_SSL = "unclosed <langchain_cerebras_ext._http._sync._TimedTLS"
    _STRICTLY += ["-W", f"ignore:{_OF_SSL}:ResourceWarning"]


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    made = Child()
    yield made
    assert made.end() == ""


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("path", [*SYNC_PATHS, *ASYNC_PATHS])
def test_ctrl_c_frees_the_connection(child: Child, path: str, name: str) -> None:
    with staged(name) as stage, WireServer(answer) as ok:
        child.tell(path=path, stage=name, url=stage.url, ok=ok.url)
        if name in ON_THE_WIRE:
            assert stage.wait_reached()
        else:
            assert child.read() == "reached"
        began = time.monotonic()
        child.interrupt()
        assert stage.wait_gone()
        assert time.monotonic() - began < SOON_S
        report = child.read()
    assert report.pop("took_s") < 60
    assert report == {
        "raised": "KeyboardInterrupt",
        "again": "Hello",
        "sockets": 0,
        "threads": 0,
    }


# ---------------------------------------------------------------------- the very end

LEAVES_ALL_OPEN = """
import asyncio, sys, threading
from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.llms import CerebrasLLM
endless, ok = sys.argv[1:]
held = []

def open_one():
    held.append(ChatCerebras(base_url=endless).stream("hi"))
    print(next(held[-1]).text)

async def open_async():
    held.append(ChatCerebras(base_url=endless).astream("hi"))
    print((await anext(held[-1])).text)
    print((await ChatCerebras(base_url=ok).ainvoke("hi")).text)

open_one()
thread = threading.Thread(target=open_one)
thread.start()
thread.join()
asyncio.run(open_async())
loop = asyncio.new_event_loop()  # which nobody closes
loop.run_until_complete(open_async())
held.append(CerebrasLLM(base_url=endless).stream("hi"))
print(next(held[-1]))
print(ChatCerebras(base_url=ok).invoke("hi").text)  # leaves an idle connection
held.append(ChatCerebras(base_url=endless).stream_events("hi", version="v3"))
print(next(iter(held[-1].text)))
"""


def test_a_program_that_ends_with_open_streams_ends_in_silence() -> None:
    with Endless() as endless, WireServer(answer) as ok:
        done = subprocess.run(
            [
                sys.executable,
                *_STRICTLY,
                *("-W", "ignore:unclosed event loop:ResourceWarning"),
                *("-c", LEAVES_ALL_OPEN, endless.url, ok.url),
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.split() == ["He", "He", *["He", "Hello"] * 2, "He", "Hello", "He"]  # fmt: skip
        assert wait_for(endless.left.is_set)


@pytest.mark.parametrize("path", SYNC_PATHS)
def test_what_ends_well_leaves_nothing_either(path: str) -> None:
    with WireServer(answer) as server:
        for _ in range(20):
            assert call(path, ChatCerebras(base_url=server.url)).text == "Hello"
        assert server.connections == 1
