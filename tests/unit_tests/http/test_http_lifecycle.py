"""Event loops, threads, forks, interruptions and the end of the process."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from langchain_cerebras_ext._http import (
    AsyncTransport,
    SyncTransport,
    Timeouts,
    TransportOptions,
    shared_async_transport,
    shared_sync_transport,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Peer, Server

STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NO_ENV = TransportOptions(trust_env=False)
ROOT = Path(__file__).parents[3]
HAS_FORK = hasattr(os, "fork")


def echo(peer: Peer, server: Server) -> None:
    while request := peer.read_request():
        server.requests.append(request)
        peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
            % (len(request.body), request.body)
        )


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def ask(transport: Any, url: str, body: bytes) -> bytes:
    return await (await transport.send("POST", url, {}, body, Timeouts())).read()


def test_many_event_loops_leak_nothing(serve: Callable[..., Server]) -> None:
    server = serve(echo)
    transport = shared_async_transport(NO_ENV)
    asyncio.run(ask(transport, server.url, b"0"))
    time.sleep(0.05)
    gc.collect()
    before = open_files() if sys.platform == "linux" else 0
    for number in range(50):
        assert asyncio.run(ask(transport, server.url, b"%d" % number)) == b"%d" % number
    time.sleep(0.1)  # the server's ends close
    assert not transport._sessions
    if sys.platform == "linux":
        assert open_files() <= before + 3


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_loop_that_was_closed_without_a_word_is_dropped(
    serve: Callable[..., Server],
) -> None:
    """It leaves nothing behind; that asyncio complains of such a loop is its right."""
    server = serve(echo)
    transport = AsyncTransport(NO_ENV)
    for _ in range(3):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(ask(transport, server.url, b"x"))
        loop.close()
    assert len(transport._sessions) == 1
    assert asyncio.run(ask(transport, server.url, b"y")) == b"y"
    assert not transport._sessions
    gc.collect()


def test_loops_in_threads_have_pools_of_their_own(serve: Callable[..., Server]) -> None:
    server = serve(echo)
    transport = shared_async_transport(NO_ENV)

    async def some(name: int) -> list[bytes]:
        return await asyncio.gather(
            *(ask(transport, server.url, b"%d/%d" % (name, n)) for n in range(20))
        )

    with ThreadPoolExecutor(8) as pool:
        for name, found in enumerate(
            pool.map(lambda name: asyncio.run(some(name)), range(8))
        ):
            assert found == [b"%d/%d" % (name, n) for n in range(20)]


def test_one_pool_serves_32_threads(serve: Callable[..., Server]) -> None:
    server = serve(echo)
    transport = shared_sync_transport(NO_ENV)

    def work(number: int) -> bool:
        body = b"%d " % number * 500
        return transport.send("POST", server.url, {}, body, Timeouts()).read() == body

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(work, range(800)))
    assert server.connections <= 32
    transport.close()


def test_500_streams_at_once(serve: Callable[..., Server]) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(STREAM)
        server.event("go").wait(30)
        peer.send(b"2\r\nok\r\n0\r\n\r\n")

    server = serve(handler)

    async def run() -> list[bytes]:
        transport = AsyncTransport(NO_ENV)
        answers = await asyncio.gather(
            *(
                transport.send("POST", server.url, {}, b"", Timeouts(connect_s=30))
                for _ in range(500)
            )
        )
        server.event("go").set()
        return await asyncio.gather(*(answer.read() for answer in answers))

    assert asyncio.run(run()) == [b"ok"] * 500
    assert server.connections == 500


def test_closing_by_one_user_does_not_end_the_answers_of_another(
    serve: Callable[..., Server],
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(STREAM + b"1\r\na\r\n")
        server.event("go").wait(5)
        peer.send(b"1\r\nb\r\n0\r\n\r\n")

    server = serve(handler)
    transport = SyncTransport(NO_ENV)
    parts = transport.send("POST", server.url, {}, b"", Timeouts()).iter_raw()
    assert next(parts) == b"a"
    transport.close()
    server.event("go").set()
    assert b"".join(parts) == b"b"
    transport.send("POST", server.url, {}, b"", Timeouts()).close()
    assert server.connections == 2, "what was in use at the closing is not kept"


# ------------------------------------------------------------------------ interruption

PHASES = {
    "before the head": b"",
    "inside the head": b"HTTP/1.1 200 OK\r\nA: ",
    "before the body": STREAM,
    "inside the body": STREAM + b"3\r\nabc\r\n",
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_cancelled_call_lets_go_at_once(
    serve: Callable[..., Server], phase: str
) -> None:
    gone = threading.Event()
    waiting = threading.Event()

    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(PHASES[phase])
        waiting.set()
        if peer.wait_gone():
            gone.set()

    server = serve(handler)

    async def run() -> None:
        transport = AsyncTransport(NO_ENV)
        task = asyncio.create_task(ask(transport, server.url, b""))
        await asyncio.to_thread(waiting.wait, 5)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(gone.wait, 2), "while the loop runs on"

    asyncio.run(run())


def test_a_call_cancelled_while_it_connects_lets_go(
    serve: Callable[..., Server],
) -> None:
    gone = threading.Event()

    def handler(peer: Peer, server: Server) -> None:
        peer.sock.recv(1000)  # the client's first words of TLS
        server.event("waiting").set()
        if peer.wait_gone():
            gone.set()

    server = serve(handler)

    async def run() -> None:
        task = asyncio.create_task(
            ask(AsyncTransport(NO_ENV), server.url.replace("http:", "https:"), b"")
        )
        await asyncio.to_thread(server.event("waiting").wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(gone.wait, 2)

    asyncio.run(run())


INTERRUPTED = """
import sys, threading, os, signal, time
from langchain_cerebras_ext._http import SyncTransport, TransportOptions, Timeouts
transport = SyncTransport(TransportOptions(trust_env=False))
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    transport.send("POST", sys.argv[1], {}, b"", Timeouts()).read()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.read()  # the process lives on
"""


@pytest.mark.skipif(
    sys.platform == "win32",
    reason="no SIGINT to oneself: docs.python.org/3/library/os.html#os.kill",
)
@pytest.mark.parametrize("phase", ["before the head", "inside the body"])
def test_ctrl_c_lets_go_at_once(serve: Callable[..., Server], phase: str) -> None:
    gone = threading.Event()

    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(PHASES[phase])
        if peer.wait_gone(20):
            gone.set()

    server = serve(handler)
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", INTERRUPTED, server.url],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "interrupted\n"
        assert gone.wait(2), "while the process lives on"
        _, errors = process.communicate("", timeout=20)
    assert errors == ""


# ------------------------------------------------------------------------------- forks


@pytest.mark.skipif(
    not HAS_FORK, reason="no fork here: docs.python.org/3/library/os.html#os.fork"
)
def test_a_forked_child_uses_connections_of_its_own(
    serve: Callable[..., Server],
) -> None:
    server = serve(echo)
    transport = shared_sync_transport(NO_ENV)
    assert (
        transport.send("POST", server.url, {}, b"parent", Timeouts()).read()
        == b"parent"
    )
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, in 3.12
        child = context.Process(target=_in_child, args=(server.url,))
        child.start()
    child.join(20)
    assert child.exitcode == 0
    connections = server.connections
    assert connections >= 3, "one of the parent's, two of the child's"
    assert (
        transport.send("POST", server.url, {}, b"again", Timeouts()).read() == b"again"
    )
    assert server.connections == connections, "the parent's is still good"


@pytest.mark.skipif(
    not HAS_FORK, reason="no fork here: docs.python.org/3/library/os.html#os.fork"
)
def test_a_child_forked_during_a_stream_leaves_it_to_the_parent(
    serve: Callable[..., Server],
) -> None:
    gone = threading.Event()

    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(STREAM + b"1\r\na\r\n")
        server.event("go").wait(10)
        peer.send(b"1\r\nb\r\n")
        if peer.wait_gone():
            gone.set()

    server = serve(handler)
    answer = SyncTransport(NO_ENV).send("POST", server.url, {}, b"", Timeouts())
    parts = answer.iter_raw()
    assert next(parts) == b"a"
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of threads, in the parent only: an error here would send the
        # child on through the rest of the tests.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        try:
            os.close(write_end)  # so that it ends with the parent, whatever happens
            parts.close()  # closes the child's copy, and nothing else
            answer.close()
            os.read(read_end, 1)
        finally:
            os._exit(0)
    server.event("go").set()
    assert next(parts) == b"b"
    answer.close()
    assert gone.wait(2), "although the child lives on"
    os.write(write_end, b"x")
    os.waitpid(child, 0)
    os.close(read_end)
    os.close(write_end)


def test_a_spawned_process_starts_on_its_own(serve: Callable[..., Server]) -> None:
    server = serve(echo)
    code = "import sys; sys.path.insert(0, sys.argv[2]); from test_http_lifecycle import _in_child; _in_child(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, server.url, str(Path(__file__).parent)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def _in_child(url: str) -> None:
    sync = shared_sync_transport(NO_ENV)
    for body in (b"child", b"again"):
        if sync.send("POST", url, {}, body, Timeouts()).read() != body:
            raise SystemExit(1)
    if asyncio.run(ask(shared_async_transport(NO_ENV), url, b"async")) != b"async":
        raise SystemExit(2)


# ------------------------------------------------------------------ the process's end

ENDS = {
    "idle connections": """
        asyncio.run(ask(shared_async_transport(options)))
        shared_sync_transport(options).send("POST", url, {}, b"x", Timeouts()).read()
        SyncTransport(options).send("POST", url, {}, b"x", Timeouts()).read()
    """,
    "answers never read": """
        kept = shared_sync_transport(options).send("POST", url, {}, b"x", Timeouts())
        async def leave():
            global left
            left = await shared_async_transport(options).send("POST", url, {}, b"x", Timeouts())
        asyncio.run(leave())
    """,
    "a stream left in the middle": """
        async def leave():
            answer = await shared_async_transport(options).send("POST", url, {}, b"x", Timeouts())
            async for part in answer.iter_raw():
                break
        asyncio.run(leave())
        for part in shared_sync_transport(options).send("POST", url, {}, b"x", Timeouts()).iter_raw():
            break
    """,
}  # fmt: skip

PREAMBLE = """
import aiohttp, asyncio, sys  # asyncio complains of slow imports in its loop
from langchain_cerebras_ext._http import *
url = sys.argv[1]
options = TransportOptions(trust_env=False)
async def ask(transport):
    return await (await transport.send("POST", url, {}, b"x", Timeouts())).read()
"""


@pytest.mark.parametrize("end", ENDS)
def test_a_process_ends_without_a_warning(
    serve: Callable[..., Server], end: str
) -> None:
    import textwrap

    server = serve(echo)
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "always", "-c", PREAMBLE + textwrap.dedent(ENDS[end]), server.url],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; import langchain_cerebras_ext._http;"
        "print(*sorted({'openai', 'aiohttp', 'httpx', 'certifi'} & set(sys.modules)))"
    )
    bare = "import sys; import langchain_core.exceptions; print(*sorted({'openai', 'aiohttp', 'httpx', 'certifi'} & set(sys.modules)))"
    run = [
        subprocess.run(
            [sys.executable, "-c", each],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        for each in (code, bare)
    ]
    assert run[0].stdout == run[1].stdout
    assert "aiohttp" not in run[0].stdout
    assert "openai" not in run[0].stdout
