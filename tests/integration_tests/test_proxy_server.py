"""The proxy as a process: how it starts, serves, reloads and ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from free_ports import free_port
from proxy_process import (
    CLIENT_KEY,
    MODULE,
    SHELL,
    UPSTREAM_KEY,
    ProxyProcess,
    ask,
    chat_body,
    fails,
    proxy_environment,
)

from langchain_cerebras_ext.proxy.keys import key_line
from langchain_cerebras_ext.simulator import Simulator

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the signals of Unix end it and reload it"
)

ALICE, BOB = "alice-key-0123456789", "bob-key-0123456789"
WORDS = [f"word{number} " for number in range(12)]


@pytest.fixture(scope="module")
def upstream():
    with Simulator(key=UPSTREAM_KEY) as simulator:
        yield simulator


@pytest.fixture
def env(upstream):
    upstream.reset()

    def make(**more):
        return proxy_environment(upstream.base_url, **more)

    return make


@contextlib.contextmanager
def streaming(proxy, key=CLIENT_KEY):
    """Begin a stream, and give its answer when the first event has come."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    url = f"{proxy.url}/v1/chat/completions"
    request = Request(url, chat_body(stream=True), headers)
    with urlopen(request, timeout=60) as answer:
        assert answer.readline().startswith(b"data: ")
        yield answer


def slow_answer(upstream, delay_s=0.05):
    upstream.reply(chunks=WORDS, event_delay_s=delay_s)


# ------------------------------------------------------------------- start and end


@pytest.mark.parametrize(
    ("command", "sig"),
    [(MODULE, signal.SIGTERM), (SHELL, signal.SIGINT)],
    ids=["module", "shell"],
)
def test_it_serves_until_it_is_told_to_end_and_says_so_in_json(env, command, sig):
    with ProxyProcess(env(), command) as proxy:
        assert proxy.get("/health")[0] == 200
        assert proxy.get("/health/ready")[0] == 200
        status, body = proxy.chat()
        assert status == 200
        assert json.loads(body)["usage"]["total_tokens"] > 0
        assert proxy.chat(key=None)[0] == 401
        assert proxy.end(sig) == 0
        records = proxy.records()
        assert records[-1]["message"] == "The proxy has ended."
        requests = [one for one in records if "total_time_seconds" in one]
        assert [(one["status"], one["key_id"]) for one in requests] == [
            (200, "default"),
            (401, None),
        ]
        assert {one["level"] for one in records} == {"info", "warning"}


def test_a_stream_finishes_while_the_proxy_ends(env, upstream):
    slow_answer(upstream, 0.3)
    with ProxyProcess(env(APE_DRAIN_S="3")) as proxy:
        with streaming(proxy) as answer:
            proxy.process.send_signal(signal.SIGTERM)
            proxy.said("Ending;")
            # The port is open for a while, so that load balancers can see this.
            assert proxy.get("/health/ready")[0] == 503
            assert proxy.get("/health/live")[0] == 200
            assert proxy.chat()[0] == 200
            text = answer.read()
        assert text.rstrip().endswith(b"data: [DONE]")
        assert all(word.strip().encode() in text for word in WORDS[1:])
        assert proxy.ended() == 0
        with pytest.raises(OSError, match="refused"):
            proxy.raw()
        assert "broken off" not in proxy.text


def test_a_stream_that_outlasts_the_deadline_is_cut_with_an_error(env, upstream):
    upstream.fail_next(fault="stall_stream", after_events=3)
    with ProxyProcess(env(APE_SHUTDOWN_S="0.2")) as proxy:
        with streaming(proxy) as answer:
            proxy.process.send_signal(signal.SIGTERM)
            text = answer.read()
        assert b"[DONE]" not in text
        events = [line for line in text.splitlines() if line.startswith(b"data: ")]
        assert "error" in json.loads(events[-1][6:])
        assert proxy.ended() == 0
        (request,) = [one for one in proxy.records() if "total_time_seconds" in one]
        assert request["error_category"] == "shutting_down"


def test_a_second_ctrl_c_ends_it_at_once(env, upstream):
    upstream.fail_next(fault="stall_stream", after_events=3)
    with ProxyProcess(env(APE_SHUTDOWN_S="60")) as proxy:
        with streaming(proxy) as answer:
            proxy.process.send_signal(signal.SIGINT)
            proxy.said("Ending;")
            assert proxy.end(signal.SIGINT) == 0
            text = answer.read()
        events = [line for line in text.splitlines() if line.startswith(b"data: ")]
        assert json.loads(events[-1][6:])["error"]["code"] == "shutting_down"
        assert "1 requests are broken off." in proxy.text
        assert "Traceback" not in proxy.text
        (request,) = [one for one in proxy.records() if "total_time_seconds" in one]
        assert request["error_category"] == "shutting_down"


# -------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"PORT": "x"}, "PORT='x' must be a whole number from 0 (any free port) to"),
        (
            {"HOST": "0.0.0.0", "APE_API_KEY": ""},
            "HOST='0.0.0.0' lets other machines in, and no key is asked for.",
        ),
        (
            {"CEREBRAS_BASE_URL": "", "CEREBRAS_API_KEY": ""},
            "CEREBRAS_API_KEY (or CEREBRAS_API_KEY_FILE) is not set",
        ),
        ({"APE_KEYS_FILE": "/nowhere"}, "APE_KEYS_FILE='/nowhere' cannot be read"),
        (
            {"APE_KEYS_FILE": "/nowhere", "APE_WORKERS": "2"},
            "APE_KEYS_FILE='/nowhere' cannot be read",
        ),
    ],
    ids=["rule", "open", "no-key", "keys", "keys-of-workers"],
)
def test_a_wrong_setting_stops_the_start_with_its_name_and_rule(env, more, told):
    code, text = fails(env(**more))
    assert code == 2
    assert told in text
    assert "Traceback" not in text
    assert UPSTREAM_KEY not in text


def test_the_shell_tells_all_that_is_wrong_at_once(env):
    code, text = fails(env(PORT="x", APE_WORKERS="0"), SHELL)
    assert code == 2
    assert text.splitlines()[0] == "Error: 2 settings of the proxy are wrong:"
    assert [line.split("=")[0] for line in text.splitlines()[1:]] == [
        "- PORT",
        "- APE_WORKERS",
    ]


def test_a_port_that_is_taken_is_told(env):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, text = fails(env(PORT=port))
    assert code == 2
    assert f"cannot listen at 127.0.0.1:{port}: Address already in use" in text


# ---------------------------------------------------------------------------- reload


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hangup_changes_the_keys_and_no_stream(env, upstream, tmp_path, workers):
    file = tmp_path / "keys"
    file.write_text(key_line("alice", ALICE))
    slow_answer(upstream, 0.1)
    more = {"APE_API_KEY": "", "APE_KEYS_FILE": file, "APE_WORKERS": workers}
    with ProxyProcess(env(**more)) as proxy:
        proxy.said("Listening at", workers)
        with streaming(proxy, ALICE) as answer:
            file.write_text(key_line("bob", BOB))
            proxy.hang_up()
            proxy.said("Keys were read again: 1", workers)
            for _ in range(2 * workers):
                assert proxy.chat(key=ALICE)[0] == 401
                assert proxy.chat(key=BOB)[0] == 200
            file.write_text("nonsense")
            proxy.hang_up()
            proxy.said("The keys stay as they were.", workers)
            assert proxy.chat(key=BOB)[0] == 200
            assert answer.read().rstrip().endswith(b"[DONE]")
        assert proxy.end() == 0
        assert ALICE not in proxy.text
        assert BOB not in proxy.text


def test_a_hangup_without_a_file_of_keys_ends_nothing(env):
    with ProxyProcess(env()) as proxy:
        proxy.hang_up()
        assert proxy.chat()[0] == 200
        assert proxy.end() == 0


def test_it_starts_anew_when_a_file_changes(env, tmp_path):
    source = tmp_path / "mine.py"
    source.write_text("a = 1\n")
    command = (*SHELL, "--reload")
    root = str(Path(__file__).parents[2])
    with ProxyProcess(env(PYTHONPATH=root), command, cwd=tmp_path) as proxy:
        assert proxy.chat()[0] == 200
        stat = source.stat()
        source.write_text("a = 2\n")
        os.utime(source, (stat.st_atime, stat.st_mtime + 10))
        proxy.said("Listening at", 2)
        assert proxy.chat()[0] == 200
        started = children(proxy.process.pid)
        proxy.process.kill()
        proxy.process.wait(60)
        # Nobody else would end it.
        proxy.wait(lambda: not any(is_running(pid) for pid in started))


# ------------------------------------------------------------------ workers, metrics


def total(page: bytes, name: str) -> float:
    """Return the sum of a metric's samples."""
    rows = re.findall(rb"^%s(?:\{[^}]*\})? (\S+)" % name.encode(), page, re.MULTILINE)
    return sum(float(row) for row in rows)


def children(pid: int) -> list[int]:
    """Return the workers of a process."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            command = (entry / "cmdline").read_bytes()
            if int(stat[1]) == pid and b"spawn_main" in command:
                found.append(int(entry.name))
    return found


def is_running(pid: int) -> bool:
    """Whether a process is there, and not only waits for who started it."""
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_workers_share_the_port_count_together_and_are_replaced(env, tmp_path):
    file = tmp_path / "keys"
    file.write_text(key_line("alice", ALICE))
    more = {"APE_WORKERS": 2, "APE_METRICS_PORT": 0, "APE_KEYS_FILE": file}
    with ProxyProcess(env(**more)) as proxy:
        proxy.said("Listening at", 2)
        metrics = proxy.said("Metrics at ").split("Metrics at ")[1].split("/metrics")[0]
        for _ in range(20):
            assert proxy.chat()[0] == 200

        def counted() -> float:
            status, page = proxy.get("/metrics", url=metrics)
            assert status == 200
            return total(page, "cerebras_proxy_requests_total")

        # They tell each other once a second.
        proxy.wait(lambda: counted() == 20)
        assert proxy.get("/metrics")[0] == 404
        workers = children(proxy.process.pid)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        proxy.said("A worker has died with exit code -9; another one starts.")
        proxy.said("Listening at", 3)
        assert proxy.chat()[0] == 200
        proxy.wait(lambda: counted() == 21)
        # A file of keys that was broken since keeps nobody from serving.
        file.write_text("nonsense")
        os.kill(children(proxy.process.pid)[0], signal.SIGKILL)
        proxy.said("A worker has died with exit code 3; another one starts.")
        assert proxy.chat()[0] == 200
        file.write_text(key_line("alice", ALICE))
        proxy.said("Listening at", 4)
        assert proxy.end() == 0
        assert children(proxy.process.pid) == []


def test_metrics_have_a_port_of_their_own_if_asked(env):
    with ProxyProcess(env(APE_METRICS_PORT=0)) as proxy:
        metrics = proxy.said("Metrics at ").split("Metrics at ")[1].split("/metrics")[0]
        assert proxy.chat()[0] == 200
        status, page = proxy.get("/metrics?x=1", url=metrics)
        assert status == 200
        assert total(page, "cerebras_proxy_requests_total") == 1
        assert proxy.get("/metrics")[0] == 404
        assert proxy.get("/v1/models", url=metrics)[0] == 404
        with urlopen(Request(f"{metrics}/metrics", method="HEAD")) as answer:
            assert int(answer.headers["content-length"]) > 0
            assert answer.read() == b""
        assert proxy.end() == 0


# -------------------------------------------------------------- clients and their ways


@pytest.fixture(scope="module")
def strict(upstream):
    """A proxy that waits for nobody long."""
    more = {"APE_HEADER_TIMEOUT_S": 1, "APE_BODY_TIMEOUT_S": 1}
    yield from served(upstream, APE_KEEP_ALIVE_S=30, **more)


@pytest.fixture(scope="module")
def bounded(upstream):
    """A proxy that takes no long bodies, and is as patient as any."""
    yield from served(upstream, APE_MAX_BODY_BYTES=100_000)


def served(upstream, **more):
    """Run a proxy until its tests have ended; all that it says must be JSON."""
    with ProxyProcess(proxy_environment(upstream.base_url, **more)) as proxy:
        yield proxy
        assert proxy.end() == 0
        assert "Traceback" not in proxy.text
        assert proxy.records()


def head(*lines, path="/v1/chat/completions", version="1.1"):
    given = [f"POST {path} HTTP/{version}", "Host: x", "Connection: close", *lines]
    given.append(f"Authorization: Bearer {CLIENT_KEY}")
    given.append("Content-Type: application/json")
    return ("\r\n".join(given) + "\r\n\r\n").encode()


def read_all(sock):
    """Return what comes until the other end closes, and whether it did so well."""
    got = bytearray()
    try:
        while part := sock.recv(65_536):
            got += part
    except ConnectionResetError:
        return bytes(got), False
    return bytes(got), True


def read_page(sock):
    """Return an answer that has a length, from a connection that stays."""
    got = b""
    while b"\r\n\r\n" not in got or not got.endswith(b"}"):
        part = sock.recv(65_536)
        assert part, got
        got += part
    return got


def error_of(answer):
    """Return the status and the error of an answer."""
    top, _, body = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(body)["error"]


def test_a_client_that_sends_nothing_is_not_waited_for(strict):
    with strict.raw() as sock:
        assert read_all(sock) == (b"", True)


@pytest.mark.parametrize(
    "start", [b"POST /v1/chat", b"\r\n", b"GET / HTTP/1.1\r\nA: b\r\n"]
)
def test_a_client_that_sends_its_headers_drop_by_drop_is_not_waited_for(strict, start):
    with strict.raw() as sock:
        sock.sendall(start)
        sock.settimeout(0.05)
        answer, end = b"", time.monotonic() + 30
        while not answer and time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                answer = sock.recv(65_536)
                break
            with contextlib.suppress(OSError):
                sock.send(b"\r\n" if start == b"\r\n" else b"x")
    status, error = error_of(answer)
    assert (status, error["code"]) == (408, "request_timeout")
    assert "within 1 s" in error["message"]
    line = strict.said(error["message"])
    assert json.loads(line)["status"] == 408
    assert json.loads(line)["error_category"] == "client_timeout"


def test_a_client_that_is_slow_with_its_second_request_is_cut_off(strict):
    with strict.raw() as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_page(sock).startswith(b"HTTP/1.1 200")
        sock.sendall(b"GET /heal")
        assert read_all(sock) == (b"", True)


def test_a_kept_connection_may_be_idle_longer_than_headers_may_take(strict):
    with strict.raw() as sock:
        for _ in range(2):
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_page(sock).startswith(b"HTTP/1.1 200")
            time.sleep(1.3)


def test_a_client_that_is_slow_with_its_body_is_told_so(strict):
    with strict.raw() as sock:
        sock.sendall(head("Content-Length: 100") + b'{"model"')
        status, error = error_of(read_all(sock)[0])
    assert (status, error["code"]) == (408, "request_timeout")


def test_headers_without_end_are_refused(bounded):
    with bounded.raw() as sock:
        answer = b""
        with contextlib.suppress(OSError):
            sock.sendall(b"GET / HTTP/1.1\r\n")
            for _ in range(400):
                sock.sendall(b"X-A: " + b"a" * 1000 + b"\r\n")
        answer, _ = read_all(sock)
    if answer:  # the kernel may have thrown it away with what was not read
        status, error = error_of(answer)
        assert (status, error["code"]) == (431, "headers_too_large")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELLO\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nA B: c\r\n\r\n",
    ],
    ids=["tls", "words", "version", "path", "length", "two-lengths", "header"],
)
def test_what_is_no_http_is_answered_in_openais_envelope(bounded, garbage):
    with bounded.raw() as sock:
        sock.sendall(garbage)
        status, error = error_of(read_all(sock)[0])
    assert (status, error["code"]) == (400, "invalid_http")
    assert error["type"] == "invalid_request_error"


def test_what_reaches_no_application_is_counted_and_logged(env):
    with ProxyProcess(env()) as proxy:
        for _ in range(2):
            with proxy.raw() as sock:
                sock.sendall(b"HELLO\r\n\r\n")
                read_all(sock)
        page = proxy.get("/metrics")[1]
        assert total(page, "cerebras_proxy_requests_total") == 2
        assert total(page, "cerebras_proxy_refused_requests_total") == 2
        assert total(page, "cerebras_proxy_in_flight_requests") == 0
        assert proxy.end() == 0
        lines = [one for one in proxy.records() if "total_time_seconds" in one]
        assert [(one["status"], one["error_category"]) for one in lines] == [
            (400, "bad_request"),
            (400, "bad_request"),
        ]
        # Each is told once, by its own line.
        assert proxy.text.count("Invalid HTTP request received.") == 2


EARLY = """
import warnings
from langchain_cerebras_ext.proxy import app, server, settings

make = app.create_app

def create_app(given):
    warnings.warn("told early", stacklevel=1)
    return make(given)

app.create_app = create_app
server.serve(settings.Settings.load())
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_warning_of_python_that_comes_early_is_a_line_as_well(env, workers):
    environ = env(APE_WORKERS=workers)
    with ProxyProcess(environ, (sys.executable, "-c", EARLY)) as proxy:
        proxy.said("Listening at", workers)
        assert proxy.end() == 0
        (line,) = [one for one in proxy.records() if "told early" in one["message"]]
        assert (line["level"], line["logger"]) == ("warning", "py.warnings")


def test_garbage_behind_a_request_does_not_get_into_its_answer(bounded, upstream):
    slow_answer(upstream, 0.02)
    body = chat_body(stream=True)
    lines = head(f"Content-Length: {len(body)}").replace(b"Connection: close\r\n", b"")
    with bounded.raw() as sock:
        sock.sendall(lines + body)
        first = sock.recv(65_536)
        sock.sendall(b"\x00garbage\r\n\r\n")
        rest, is_whole = read_all(sock)
    assert is_whole
    assert b"400 Bad Request" not in rest
    assert b"[DONE]" in (first + rest)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_client_that_goes_on_sending_reads_why_it_was_refused(bounded, chunked):
    """Closed at once, the connection would be reset and the answer lost."""
    size = 3_000_000
    line = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    piece = b"x" * 50_000
    part = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
    with bounded.raw() as sock:
        sock.sendall(head(line))
        for _ in range(size // len(piece)):
            sock.sendall(part)
        if chunked:
            sock.sendall(b"0\r\n\r\n")
        answer, is_whole = read_all(sock)
    status, error = error_of(answer)
    assert (status, error["code"]) == (413, "request_too_large")
    assert is_whole


def test_a_client_that_never_stops_sending_is_cut_off_in_the_end(bounded):
    """It closes when the client does, or resets; it does not stay."""
    with bounded.raw() as sock:
        sock.sendall(head("Content-Length: 1000000000"))
        top = sock.recv(65_536)
        assert top.startswith(b"HTTP/1.1 413")
        assert read_all(sock)[1]
        # Its own end tells the proxy; nothing of it is left there.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert bounded.get("/health")[0] == 200


@pytest.mark.parametrize("stream", [False, True])
def test_http_1_0_is_answered_without_chunks(bounded, stream):
    body = chat_body(stream=stream)
    with bounded.raw() as sock:
        sock.sendall(head(f"Content-Length: {len(body)}", version="1.0") + body)
        answer, is_whole = read_all(sock)
    assert is_whole
    top, _, content = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in top.lower()
    assert b"connection: close" in top.lower()
    if stream:
        assert content.startswith(b"data: {")
        assert content.endswith(b"data: [DONE]\n\n")
    else:
        assert json.loads(content)["choices"]


def test_an_offer_of_http_2_is_passed_over(bounded):
    """Java's client makes it with each request; the body must not be lost."""
    body = chat_body()
    offer = ["Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"]
    lines = head(*offer, f"Content-Length: {len(body)}").replace(
        b"Connection: close", b"Connection: Upgrade, HTTP2-Settings"
    )
    with bounded.raw() as sock:
        sock.sendall(lines + body)
        answer = sock.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200")


# --------------------------------------------------------------------- other servers


UVICORN = (
    *(sys.executable, "-m", "uvicorn", "--factory"),
    "langchain_cerebras_ext.proxy:create_app",
    *("--port", "0"),
)


def test_uvicorn_runs_the_factory(env):
    with ProxyProcess(env(), UVICORN, started="running on ") as proxy:
        assert proxy.get("/health/ready")[0] == 200
        assert proxy.chat()[0] == 200
        assert ask(f"{proxy.url}/v1/models")[0] == 200
        proxy.end()
        assert "Traceback" not in proxy.text
        assert all(line.startswith("{") for line in proxy.lines[4:])


def test_uvicorns_workers_have_one_port_of_metrics_that_tells_of_all(env, tmp_path):
    """One of them takes the port; the folder tells it of the other's requests."""
    more = {
        "PROMETHEUS_MULTIPROC_DIR": tmp_path,
        "APE_METRICS_PORT": free_port(),
        "APE_KEY_REQUESTS_PER_MINUTE": 1000,
    }
    command = (*UVICORN, "--workers", "2")
    with ProxyProcess(env(**more), command, started="running on ") as proxy:
        proxy.said("This process serves no metrics.")
        proxy.said("counts for itself: APE_KEY_REQUESTS_PER_MINUTE.", 2)
        proxy.said("Application startup complete.", 2)
        metrics = proxy.said("Metrics at ").split("Metrics at ")[1].split("/metrics")[0]
        for _ in range(8):
            assert proxy.chat()[0] == 200

        def counted() -> float:
            page = proxy.get("/metrics", url=metrics)[1]
            return total(page, "cerebras_proxy_requests_total")

        proxy.wait(lambda: counted() == 8)
        assert proxy.get("/metrics")[0] == 404
        assert proxy.end() == 0


def test_uvicorn_stops_at_a_wrong_setting(env):
    code, text = fails(env(APE_WORKERS="none"), UVICORN)
    assert code != 0
    assert "APE_WORKERS='none' must be a whole number from 1 to 512." in text
