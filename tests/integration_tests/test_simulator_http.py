"""The simulator over HTTP: headers, bodies in every encoding, pace, faults, batches."""

import asyncio
import gzip
import http.client
import json
import threading
import time

import httpx
import msgspec
import pytest

from langchain_cerebras_ext.simulator import Simulator, create_simulator_app

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Say 'hi'"}]}
KEY = {"Authorization": "Bearer csk-test"}


@pytest.fixture
def sim():
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def client(sim):
    with httpx.Client(base_url=sim.root_url, headers=KEY, timeout=10) as made:
        yield made


def flat(answer):
    body = answer.json()
    return answer.status_code, body.get("code"), body.get("param")


# ------------------------------------------------------------------------------- access


def test_without_a_key_the_answer_is_403():
    with Simulator(key="csk-right") as sim:
        answer = httpx.post(sim.base_url + "/chat/completions", json=BODY)
    assert answer.status_code == 403
    assert answer.text == '{"detail":"Not authenticated"}'


def test_a_simulator_without_a_key_is_open(sim):
    """`ChatCerebras(base_url=sim.base_url)` needs no key: the URL is on loopback."""
    answer = httpx.post(sim.base_url + "/chat/completions", json=BODY)
    assert answer.status_code == 200


@pytest.mark.parametrize("value", ["Bearer", "Basic abc", "csk-test"])
def test_a_header_without_a_bearer_key_is_no_key(value):
    with Simulator(key="csk-right") as sim:
        answer = httpx.get(sim.base_url + "/models", headers={"Authorization": value})
    assert (answer.status_code, answer.json()) == (403, {"detail": "Not authenticated"})


def test_a_wrong_key_is_401_and_the_right_one_is_not():
    with Simulator(key="csk-right") as sim:
        wrong = httpx.get(sim.base_url + "/models", headers=KEY)
        assert flat(wrong) == (401, "wrong_api_key", "api_key")
        right = httpx.get(
            sim.base_url + "/models", headers={"Authorization": "bearer csk-right"}
        )
        assert right.status_code == 200


@pytest.mark.parametrize("path", ["/public/v1/models", "/v1/tcp_warming"])
def test_public_paths_need_no_key(sim, path):
    assert httpx.get(sim.root_url + path).status_code == 200


def test_a_wrong_method_and_an_unknown_path_are_told(client):
    answer = client.get(CHAT)
    assert (answer.status_code, answer.json()) == (
        405,
        {"detail": "Method Not Allowed"},
    )
    assert answer.headers["allow"] == "POST"
    for answer in (client.post("/v1/embeddings", json={}), client.get("/v1/nope")):
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


# ------------------------------------------------------------------------------- models


def test_models_are_listed_in_three_formats(client):
    for base in ("/v1/models", "/public/v1/models"):
        assert client.get(base).json()["object"] == "list"
        openrouter = client.get(base, params={"format": "openrouter"}).json()
        assert openrouter["data"][0]["id"] == "cerebras/gpt-oss-120b"
        huggingface = client.get(base, params={"format": "huggingface"}).json()
        assert huggingface["data"][0]["pricing"] == {"input": 0.35, "output": 0.75}
        wrong = client.get(base, params={"format": "x"})
        assert wrong.status_code == 400
        one = client.get(f"{base}/qwen-3.8-27b").json()
        assert one["id"] == "qwen-3.8-27b"
        assert flat(client.get(f"{base}/nope")) == (404, "model_not_found", "model")
    assert "pricing" in client.get("/public/v1/models/gpt-oss-120b").json()
    assert "pricing" not in client.get("/v1/models/gpt-oss-120b").json()


def test_models_can_fail_on_demand(sim, client):
    sim.fail_next(503, path="/v1/models")
    assert client.get("/v1/models").status_code == 503
    assert client.get("/v1/models").status_code == 200


# ------------------------------------------------------------------------------- bodies


def test_a_plain_answer_has_the_observed_headers(client):
    answer = client.post(CHAT, json=BODY)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["inference-id"] == answer.json()["id"]
    assert answer.headers["x-ratelimit-limit-requests-day"] == "1440000"
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    "kind", ["application/vnd.msgpack", "application/msgpack", "application/x-msgpack"]
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_bodies_may_be_msgpack_and_gzipped(sim, client, kind, packed):
    data = msgspec.msgpack.encode(BODY)
    headers = {"Content-Type": kind}
    if packed:
        data, headers["Content-Encoding"] = gzip.compress(data), "gzip"
    answer = client.post(CHAT, content=data, headers=headers)
    assert answer.json()["choices"][0]["message"]["content"] == "hi"
    record = sim.requests[-1]
    assert record.body == BODY
    assert (record.raw, record.raw_size) == (data, len(data))
    assert record.content_type == kind
    assert record.content_encoding == ("gzip" if packed else None)


def test_json_may_be_gzipped_and_name_its_charset(client):
    data = gzip.compress(json.dumps(BODY).encode())
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Content-Encoding": "GZIP",
    }
    assert client.post(CHAT, content=data, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("data", "headers", "status", "said"),
    [
        (b"{", {}, 400, "not valid JSON"),
        (b"", {}, 400, "not valid JSON"),
        (b"\xff", {}, 400, "not valid JSON"),
        (b'{"a": NaN}', {}, 400, "not valid JSON"),
        (b"[" * 200_000, {}, 400, "not valid JSON"),
        (b"[]", {}, 400, "must be an object"),
        (b"\xc1", {"Content-Type": "application/msgpack"}, 400, "not valid msgpack"),
        (b"x", {"Content-Encoding": "gzip"}, 400, "not valid gzip"),
        (
            gzip.compress(b"{}", mtime=0)[:-4],
            {"Content-Encoding": "gzip"},
            400,
            "not valid gzip",
        ),
        (
            b"x",
            {"Content-Encoding": "br"},
            415,
            "Content-Encoding 'br' is not supported",
        ),
        (b"x", {"Content-Type": "text/plain"}, 415, "Content-Type 'text/plain'"),
    ],
    ids=[
        "cut JSON",
        "empty",
        "no UTF-8",
        "NaN",
        "deep",
        "array",
        "msgpack",
        "gzip",
        "cut gzip",
        "brotli",
        "text",
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused(
    client, data, headers, status, said
):
    sent = {"Content-Type": "application/json", **headers}
    answer = client.post(CHAT, content=data, headers=sent)
    assert answer.status_code == status
    assert said in answer.json()["message"]


def test_a_body_without_a_type_is_taken_for_json(sim):
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=5)
    connection.request("POST", CHAT, json.dumps(BODY), KEY)
    assert connection.getresponse().status == 200
    connection.close()


def test_a_body_that_is_too_large_is_413(client, monkeypatch):
    from langchain_cerebras_ext.simulator import http as wire

    monkeypatch.setattr(wire, "BODY_BYTES_MAX", 1_000)
    bomb = gzip.compress(json.dumps({"a": "x" * 5_000}).encode())
    answer = client.post(CHAT, content=bomb, headers={"Content-Encoding": "gzip"})
    assert flat(answer)[:2] == (413, "payload_too_large")


async def test_a_request_larger_than_the_limit_is_413():
    from langchain_cerebras_ext.simulator.faults import RefusedError
    from langchain_cerebras_ext.simulator.http import read_body

    async def receive():
        return {"type": "http.request", "body": b"x" * 60, "more_body": True}

    with pytest.raises(RefusedError) as caught:
        await read_body(receive, 100)
    assert caught.value.fault.status == 413


def test_text_completions_are_served(client):
    body = {"model": "gpt-oss-120b", "prompt": "Say 'hi'"}
    assert (
        client.post("/v1/completions", json=body).json()["choices"][0]["text"] == "hi"
    )


# ------------------------------------------------------------------------------ streams


def raw_stream(sim, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=5)
    connection.request(
        "POST",
        CHAT,
        json.dumps({**BODY, "stream": True, **(body or {})}),
        {**KEY, "Content-Type": "application/json"},
    )
    return connection, connection.getresponse()


def test_each_event_is_one_http_chunk(sim):
    connection, answer = raw_stream(sim)
    assert answer.getheader("content-type") == "text/event-stream; charset=utf-8"
    assert answer.getheader("transfer-encoding") == "chunked"
    raw = answer.fp.read1(100_000)
    while b"0\r\n\r\n" not in raw:
        raw += answer.fp.read1(100_000)
    chunks = []
    while raw:
        size, _, rest = raw.partition(b"\r\n")
        length = int(size, 16)
        chunks.append(rest[:length])
        raw = rest[length + 2 :]
    assert chunks.pop() == b""
    assert chunks[-1] == b"data: [DONE]\n\n"
    assert all(c.startswith(b"data: ") and c.count(b"\n\n") == 1 for c in chunks)
    connection.close()
    record = sim.requests[-1]
    assert wait_for(lambda: record.completed)
    assert record.events_sent == len(chunks)
    assert not record.was_cancelled
    assert record.finished_at >= record.started_at


def test_exact_bytes_are_sent_as_they_are(sim, client):
    sim.reply_raw([b"data: 1\r\n", b"\r\n: note\n\n"], times=1)
    answer = client.post(CHAT, json=BODY)
    assert answer.content == b"data: 1\r\n\r\n: note\n\n"
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    sim.reply_raw(b"{}", "application/json", status=500, headers={"x-a": "b"})
    answer = client.post(CHAT, json=BODY)
    assert (answer.status_code, answer.content, answer.headers["x-a"]) == (
        500,
        b"{}",
        "b",
    )
    assert answer.headers["content-type"] == "application/json"


def test_a_stream_can_be_cut(sim, client):
    sim.reply(chunks=["a", "b", "c"], cut_after=2)
    got = b""
    with (
        pytest.raises(httpx.RemoteProtocolError),
        client.stream("POST", CHAT, json={**BODY, "stream": True}) as answer,
    ):
        for part in answer.iter_bytes():
            got += part
    assert got.count(b"data: ") == 2
    assert client.post(CHAT, json=BODY).status_code == 200


def test_a_plain_body_can_be_cut(sim, client):
    sim.reply("hello", cut_after=0)
    with pytest.raises(httpx.RemoteProtocolError):
        client.post(CHAT, json=BODY)


def test_an_error_can_come_in_the_middle_of_a_stream(sim, client):
    sim.fail_next(code="queue_exceeded", after_events=2, named_event=True)
    answer = client.post(CHAT, json={**BODY, "stream": True})
    assert answer.status_code == 200
    events = answer.text.split("\n\n")
    assert events[2].startswith("event: error\ndata: {")
    assert json.loads(events[2].partition("data: ")[2])["status_code"] == 429
    assert "[DONE]" not in answer.text


def test_failures_have_their_headers(sim, client):
    sim.fail_next(code="token_quota_exceeded_day", headers={"X-Extra": "1"})
    answer = client.post(CHAT, json=BODY)
    assert flat(answer) == (429, "token_quota_exceeded", "quota")
    assert answer.headers["retry-after"] == "86399"
    assert answer.headers["x-extra"] == "1"


def test_a_failure_can_wait_for_a_prompt(sim, client):
    sim.fail_next(500, when="bad")
    assert client.post(CHAT, json=BODY).status_code == 200
    bad = {**BODY, "messages": [{"role": "user", "content": "bad"}]}
    assert client.post(CHAT, json=bad).status_code == 500


def test_text_completions_can_fail(sim, client):
    sim.fail_next(500)
    body = {"model": "gpt-oss-120b", "prompt": "x"}
    assert client.post("/v1/completions", json=body).status_code == 500


def test_a_broken_function_of_a_test_is_told(sim, client, caplog):
    sim.reply(lambda body: body["nope"])
    answer = client.post(CHAT, json=BODY)
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "The simulator failed: KeyError: 'nope'"
    assert "could not answer /v1/chat/completions" in caplog.text


# -------------------------------------------------------------------------- who went away


def wait_for(condition, seconds=5):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def test_a_client_that_leaves_a_stream_is_noticed(sim):
    sim.reply(chunks=["x"] * 500, event_delay_s=0.01)
    connection, answer = raw_stream(sim)
    answer.fp.read1(10)
    connection.sock.close() if connection.sock else None
    answer.close()
    connection.close()
    record = sim.requests[-1]
    assert wait_for(lambda: record.was_cancelled)
    assert not record.completed
    assert record.events_sent < 100


def test_a_client_that_leaves_before_the_answer_is_noticed(sim):
    sim.reply("late", delay_s=30)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(sim.root_url + CHAT, json=BODY, headers=KEY, timeout=0.1)
    assert wait_for(lambda: sim.requests[-1].was_cancelled)


def test_a_client_that_leaves_while_sending_is_noticed(sim):
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=5)
    connection.putrequest("POST", CHAT)
    connection.putheader("Authorization", "Bearer x")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"{")
    assert wait_for(lambda: bool(sim.requests))
    connection.close()
    assert wait_for(lambda: sim.requests[-1].was_cancelled)


# ---------------------------------------------------------------------------------- pace


def test_real_speed_paces_the_stream_like_the_model():
    with Simulator(speed="real", tokens_per_chunk=10) as sim:
        sim.reply("word " * 300)
        started = time.monotonic()
        with httpx.Client(headers=KEY) as client:
            answer = client.post(sim.root_url + CHAT, json={**BODY, "stream": True})
        took = time.monotonic() - started
    final = json.loads(answer.text.split("\n\n")[-3].removeprefix("data: "))
    assert final["usage"]["completion_tokens"] == 301
    assert final["time_info"]["completion_time"] == pytest.approx(301 / 3000)
    assert took > 0.09


def test_a_factor_slows_down_and_the_figures_follow():
    with Simulator(speed=0.5) as sim:
        sim.reply("word " * 150)
        started = time.monotonic()
        answer = httpx.post(sim.root_url + CHAT, json=BODY, headers=KEY).json()
        took = time.monotonic() - started
    assert answer["time_info"]["completion_time"] == pytest.approx(151 / 1500)
    assert took > 0.095


# ----------------------------------------------------------------------------- what is kept


def test_requests_are_recorded_with_the_key_masked(sim, client):
    client.post(CHAT, json=BODY, params={"a": "b"}, headers={"X-Api-Key": "k"})
    record = sim.requests[0]
    assert (record.method, record.path, record.query) == ("POST", CHAT, "a=b")
    assert record.headers["authorization"] == "Bearer ***"
    assert record.headers["x-api-key"] == "***"
    assert "csk-test" not in repr(record)
    assert record.body == BODY
    assert record.status == 200
    assert sim.chat_requests == sim.requests_to(CHAT) == [record]
    httpx.get(sim.base_url + "/models", headers={"Authorization": "csk-bare"})
    assert sim.requests[1].headers["authorization"] == "***"


def test_a_hundred_streams_at_once_are_answered(sim):
    async def run():
        async with httpx.AsyncClient(
            base_url=sim.root_url, headers=KEY, timeout=30
        ) as client:
            body = {**BODY, "stream": True}
            answers = await asyncio.gather(
                *(client.post(CHAT, json=body) for _ in range(100))
            )
        return [answer.text.endswith("data: [DONE]\n\n") for answer in answers]

    assert all(asyncio.run(run()))


def test_replies_can_be_added_from_other_threads(sim, client):
    threads = [threading.Thread(target=sim.reply, args=(str(n),)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = {
        client.post(CHAT, json=BODY).json()["choices"][0]["message"]["content"]
        for _ in range(20)
    }
    assert texts == {str(n) for n in range(20)}


# ------------------------------------------------------------------------- any ASGI server


async def test_the_application_runs_on_any_asgi_server():
    transport = httpx.ASGITransport(create_simulator_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://sim", headers=KEY) as client:  # fmt: skip
        answer = await client.post(CHAT, json={**BODY, "stream": True})
        assert answer.text.endswith("data: [DONE]\n\n")
        assert (await client.get("/nope")).status_code == 404


async def test_elsewhere_a_cut_is_an_early_end():
    from langchain_cerebras_ext.simulator.engine import Engine
    from langchain_cerebras_ext.simulator.scenarios import Delivery, Rule

    engine = Engine(rules=[Rule(delivery=Delivery(cut_after=1))])
    sent = []

    async def send(message):
        sent.append(message)

    left = asyncio.Event()
    parts = [
        {"type": "http.request", "body": json.dumps({**BODY, "stream": True}).encode()}
    ]

    async def receive():
        if parts:
            return parts.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer x")],
    }
    await create_simulator_app(engine)(scope, receive, send)
    assert [message["type"] for message in sent] == [
        "http.response.start",
        "http.response.body",
    ]
    assert sent[-1]["more_body"]


async def test_websockets_and_the_like_are_not_served():
    from langchain_cerebras_ext.simulator.app import _Service
    from langchain_cerebras_ext.simulator.engine import Engine

    service = _Service(Engine())
    await service.unknown({"type": "websocket"}, None, None)
    assert service.engine.requests == []


# ------------------------------------------------------------------------------- batches


def lines(count=10, **changes):
    rows = []
    for number in range(count):
        row = {"custom_id": f"r{number}", "method": "POST", "url": CHAT, "body": {**BODY, "stream": True}}  # fmt: skip
        rows.append({**row, **changes})
    return "\n".join(json.dumps(row) for row in rows).encode()


def upload(client, data, name="in.jsonl", purpose="batch"):
    return client.post(
        "/v1/files", files={"file": (name, data)}, data={"purpose": purpose}
    )


def create(client, file_id, **changes):
    body = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"}
    return client.post("/v1/batches", json={**body, **changes})


def finished(client, batch_id):
    for _ in range(500):
        batch = client.get(f"/v1/batches/{batch_id}").json()
        if batch["status"] in ("completed", "failed", "cancelled", "expired"):
            return batch
        time.sleep(0.01)
    return batch


def test_a_file_is_stored_shown_and_deleted(client):
    made = upload(client, b"abc").json()
    assert list(made) == ["id", "object", "bytes", "created_at", "filename", "purpose"]
    assert (made["object"], made["bytes"], made["filename"]) == ("file", 3, "in.jsonl")
    assert client.get("/v1/files").json()["data"] == [made]
    assert client.get("/v1/files", params={"purpose": "x"}).json()["data"] == []
    assert client.get(f"/v1/files/{made['id']}").json() == made
    assert client.get(f"/v1/files/{made['id']}/content").content == b"abc"
    gone = client.delete(f"/v1/files/{made['id']}").json()
    assert gone == {"id": made["id"], "object": "file", "deleted": True}
    assert client.get(f"/v1/files/{made['id']}").status_code == 404


@pytest.mark.parametrize("data", [b"a\r\n\r\nb\r\n", b"\x00\xff--x\r\n--", b""])
def test_any_bytes_survive_an_upload(client, data):
    made = upload(client, data).json()
    assert client.get(f"/v1/files/{made['id']}/content").content == data


def test_a_wrong_upload_is_refused(client, monkeypatch):
    from langchain_cerebras_ext.simulator import batch

    assert "multipart/form-data" in client.post("/v1/files", json={}).json()["message"]
    assert "form.purpose: 'x'" in upload(client, b"a", purpose="x").json()["message"]
    answer = client.post("/v1/files", files={"other": b"x"}, data={"purpose": "batch"})
    assert "form.file: property is required" in answer.json()["message"]
    monkeypatch.setattr(batch, "FILE_BYTES_MAX", 2)
    assert upload(client, b"abc").status_code == 413


def test_a_batch_runs_and_writes_its_output(client):
    source = upload(client, lines()).json()["id"]
    made = create(client, source, metadata={"a": "b"}).json()
    assert made["status"] == "validating"
    assert made["completed_at"] is None
    batch = finished(client, made["id"])
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 10, "completed": 10, "failed": 0}
    assert batch["error_file_id"] is None
    assert batch["metadata"] == {"a": "b"}
    times = [
        batch[k]
        for k in ("created_at", "in_progress_at", "finalizing_at", "completed_at")
    ]
    assert times == sorted(times)
    assert batch["expires_at"] == batch["created_at"] + 86_400
    rows = client.get(f"/v1/files/{batch['output_file_id']}/content").text.splitlines()
    first = json.loads(rows[0])
    assert first["custom_id"] == "r0"
    assert first["response"]["status_code"] == 200
    assert first["response"]["request_id"] == first["response"]["body"]["id"]
    assert first["response"]["body"]["choices"][0]["message"]["content"] == "hi"
    listed = client.get("/v1/batches").json()
    assert [one["id"] for one in listed["data"]] == [batch["id"]]
    assert listed["has_more"] is False


def test_scripted_failures_reach_batches(sim, client):
    sim.fail_next(502, body="<html>")
    source = upload(client, lines()).json()["id"]
    batch = finished(client, create(client, source).json()["id"])
    assert batch["request_counts"] == {"total": 10, "completed": 9, "failed": 1}
    error = json.loads(client.get(f"/v1/files/{batch['error_file_id']}/content").text)
    assert error["response"]["body"] == "<html>"


@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        (lines(9), "invalid_request_count", None),
        (lines() + b"\n{", "invalid_json_line", 11),
        (lines() + b"\n[]", "invalid_json_line", 11),
        (lines() + b'\n{"custom_id": 3}', "missing_custom_id", 11),
        (lines() + b"\n" + lines(1), "duplicate_custom_id", 11),
        (lines(url="/v1/completions"), "invalid_url", 1),
        (lines(method="GET"), "invalid_url", 1),
        (lines(body=[]), "invalid_body", 1),
        (lines() + b"\n" + b" " * 1_000_000 + b"{}", "line_too_long", 11),
    ],
)
def test_a_batch_of_a_wrong_file_fails_and_names_the_line(client, data, code, line):
    source = upload(client, data).json()["id"]
    batch = finished(client, create(client, source).json()["id"])
    assert batch["status"] == "failed"
    assert batch["failed_at"]
    assert batch["errors"]["data"][0]["code"] == code
    assert batch["errors"]["data"][0]["line"] == line


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"endpoint": "/v1/completions"}, "body.endpoint"),
        ({"completion_window": "1h"}, "body.completion_window: '1h' is not one of 24h"),
        ({"input_file_id": 3}, "body.input_file_id: must be a string"),
        ({"metadata": []}, "body.metadata: must be an object"),
        ({"x": 1}, "property 'body.x' is unsupported"),
    ],
)
def test_a_wrong_batch_is_refused(client, changes, said):
    assert said in create(client, "f", **changes).json()["message"]


def test_a_batch_of_an_unknown_file_is_404(client):
    assert create(client, "file_nope").status_code == 404
    assert client.get("/v1/batches/nope").status_code == 404
    assert client.post("/v1/batches/nope/cancel").status_code == 404


def test_a_batch_can_be_cancelled_and_keeps_what_was_done(sim, client):
    source = upload(client, lines(500)).json()["id"]
    sim.engine.clock.sleep = lambda _: asyncio.sleep(0.02)
    made = create(client, source).json()["id"]
    assert wait_for(
        lambda: client.get(f"/v1/batches/{made}").json()["request_counts"]["completed"]
    )
    answer = client.post(f"/v1/batches/{made}/cancel").json()
    assert answer["status"] == "cancelling"
    batch = finished(client, made)
    assert batch["status"] == "cancelled"
    assert 0 < batch["request_counts"]["completed"] < 500
    assert batch["output_file_id"]
    again = client.post(f"/v1/batches/{made}/cancel")
    assert "cannot be cancelled: it is cancelled" in again.json()["message"]


def test_a_batch_expires_after_its_window(sim, client):
    source = upload(client, lines(500)).json()["id"]
    clock = sim.engine.clock
    clock.sleep = lambda _: asyncio.sleep(0.05)
    made = create(client, source).json()["id"]
    real = clock.time
    clock.time = lambda: real() + 100_000
    batch = finished(client, made)
    assert batch["status"] == "expired"
    assert batch["expired_at"]


def test_batches_are_listed_in_pages(client):
    source = upload(client, lines()).json()["id"]
    ids = [create(client, source).json()["id"] for _ in range(3)]
    page = client.get("/v1/batches", params={"limit": 2}).json()
    assert [one["id"] for one in page["data"]] == [ids[2], ids[1]]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (
        ids[2],
        ids[1],
        True,
    )
    rest = client.get("/v1/batches", params={"after": ids[1]}).json()
    assert [one["id"] for one in rest["data"]] == [ids[0]]
    assert client.get("/v1/batches", params={"limit": "0"}).status_code == 400


def test_a_running_batch_does_not_hinder_the_end():
    with Simulator() as sim, httpx.Client(base_url=sim.root_url, headers=KEY) as client:
        sim.engine.clock.sleep = lambda _: asyncio.sleep(60)
        made = create(client, upload(client, lines()).json()["id"]).json()
        assert wait_for(
            lambda: (
                client.get(f"/v1/batches/{made['id']}").json()["status"]
                == "in_progress"
            )
        )
        started = time.monotonic()
    assert time.monotonic() - started < 30


async def test_a_batch_cancelled_in_the_queue_never_starts():
    from langchain_cerebras_ext.simulator.batch import Batch, BatchStore
    from langchain_cerebras_ext.simulator.engine import Engine

    store = BatchStore(Engine())
    batch = Batch("b", "f", "24h", None)
    store._batches["b"] = batch
    running = asyncio.ensure_future(store._run(batch, lines()))
    for _ in range(3):
        await asyncio.sleep(0)
        if batch.status == "queued":
            break
    batch.status = "cancelling"
    await running
    assert batch.view()["status"] == "cancelled"
    assert batch.view()["in_progress_at"] is None
    assert batch.view()["output_file_id"] is None
