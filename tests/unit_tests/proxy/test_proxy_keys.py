"""Who may come in: keys by digest, their file, and the place a request came to."""

import asyncio
import hashlib
import json
import logging
import os
import signal
import sys

import pytest

from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.proxy import keys as module
from langchain_cerebras_ext.proxy.keys import Keys, key_line, parse_keys
from langchain_cerebras_ext.proxy.refusal import Refusal
from langchain_cerebras_ext.proxy.settings import Settings, Upstream

UPSTREAM = Upstream(base_url="http://127.0.0.1:9")
OWN = "the-key-of-the-proxy"
ALICE, BOB = "alice-key-0123456789", "bob-key-0123456789"


def settings(**given):
    return Settings(upstream=UPSTREAM, **given)


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def refusal(keys, header):
    with pytest.raises(Refusal) as caught:
        keys.identify(header)
    return caught.value


@pytest.fixture
def file(tmp_path):
    return write(
        tmp_path / "keys",
        "# our clients",
        "",
        key_line("alice", ALICE),
        f"{key_line('bob', BOB).upper().replace('BOB', 'bob')}  # digits in any case",
    )


# ------------------------------------------------------------------------------ keys


def test_the_key_of_the_environment_is_the_default_one():
    keys = Keys(settings(api_key=OWN))
    assert keys.identify(f"Bearer {OWN}".encode()) == "default"
    assert keys.ids == ("default",)
    assert not keys.is_open


def test_every_key_of_a_file_has_its_id(file):
    keys = Keys(settings(api_key=OWN, keys_file=file))
    assert keys.ids == ("default", "alice", "bob")
    for key, name in ((OWN, "default"), (ALICE, "alice"), (BOB, "bob")):
        assert keys.identify(b"Bearer " + key.encode()) == name


def test_an_id_may_have_two_keys_while_one_is_changed_for_the_other(tmp_path):
    path = write(tmp_path / "keys", key_line("alice", ALICE), key_line("alice", BOB))
    keys = Keys(settings(keys_file=path))
    assert keys.identify(f"Bearer {ALICE}".encode()) == "alice"
    assert keys.identify(f"Bearer {BOB}".encode()) == "alice"
    assert keys.ids == ("alice",)


def test_a_line_is_what_the_shell_makes_of_a_key():
    assert key_line("a", "k") == f"a: {hashlib.sha256(b'k').hexdigest()}"


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
def test_the_scheme_is_read_as_the_standard_has_it(scheme):
    keys = Keys(settings(api_key=OWN))
    assert keys.identify(f"{scheme}{OWN}".encode()) == "default"


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        (None, b"Bearer"),
        (b"", b"Bearer"),
        (b"Basic dTpw", b"Bearer"),
        (OWN.encode(), b"Bearer"),
        (b"Bearer" + OWN.encode(), b"Bearer"),
        (b"Bearer " + b"x" * 5000, b"Bearer"),
        (b"Bearer ", b'Bearer error="invalid_token"'),
        (b"Bearer wrong-key-9876543210", b'Bearer error="invalid_token"'),
        (f"Bearer {OWN}x".encode(), b'Bearer error="invalid_token"'),
        (f"Bearer {OWN[:-1]}".encode(), b'Bearer error="invalid_token"'),
        (b"Bearer \xff\xfe", b'Bearer error="invalid_token"'),
    ],
)
def test_a_wrong_key_is_refused_as_openai_does(header, asked):
    told = refusal(Keys(settings(api_key=OWN)), header)
    assert (told.status, told.code, told.category) == (401, "invalid_api_key", "auth")
    assert told.headers == ((b"www-authenticate", asked),)
    error = json.loads(told.body())["error"]
    assert error["type"] == "invalid_request_error"
    for secret in (OWN, "9876543210", "xxxxx"):
        assert secret not in error["message"]


def test_a_key_is_compared_with_all_digests_and_only_by_digests(file, monkeypatch):
    seen = []

    def compare(known, given):
        seen.append((known, given))
        return known == given

    monkeypatch.setattr(module.hmac, "compare_digest", compare)
    keys = Keys(settings(api_key=OWN, keys_file=file))
    for key in (OWN, ALICE, BOB, "wrong"):
        seen.clear()
        try:
            keys.identify(b"Bearer " + key.encode())
        except Refusal:
            assert key == "wrong"
        assert len(seen) == 3
        assert {given for _, given in seen} == {hashlib.sha256(key.encode()).digest()}
    assert OWN not in repr(vars(keys))


# ----------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("alice", "line 1 must be `id: sha256`"),
        ("\nalice: 0123", "line 2 must be `id: sha256`"),
        (f"al ice: {'0' * 64}", "line 1 must be `id: sha256`"),
        (f"{'a' * 65}: {'0' * 64}", "line 1 must be `id: sha256`"),
        (f"alice: {ALICE}", "line 1 must be `id: sha256`"),
        (f"a: {'0' * 64}\nb: {'0' * 64}", "line 2 has a key that is there before"),
        ("# nobody\n", "has no keys"),
    ],
)
def test_a_file_that_is_none_of_keys_is_told_without_its_lines(text, told):
    with pytest.raises(CerebrasConfigurationError) as caught:
        parse_keys(text, "keys.txt")
    assert told in str(caught.value)
    assert "'keys.txt'" in str(caught.value)
    assert ALICE not in str(caught.value)


def test_the_default_id_is_taken_by_the_key_of_the_environment(tmp_path):
    path = write(tmp_path / "keys", key_line("default", ALICE))
    assert Keys(settings(keys_file=path)).ids == ("default",)
    with pytest.raises(CerebrasConfigurationError, match="which APE_API_KEY has"):
        Keys(settings(keys_file=path, api_key=OWN))


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot be read"), (b"\xff\x00", "is no UTF-8 text")],
    ids=["absent", "binary"],
)
def test_a_file_that_cannot_be_read_stops_the_start(tmp_path, content, told):
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CerebrasConfigurationError, match=told):
        Keys(settings(keys_file=str(path)))


def test_keys_are_read_again_when_asked(file, tmp_path, caplog):
    keys = Keys(settings(keys_file=file))
    write(tmp_path / "keys", key_line("bob", BOB), key_line("eve", "eve-key-0123"))
    with caplog.at_level(logging.INFO, "langchain_cerebras_ext.proxy"):
        assert keys.reload()
    assert keys.ids == ("bob", "eve")
    refusal(keys, b"Bearer " + ALICE.encode())
    assert keys.identify(b"Bearer eve-key-0123") == "eve"
    assert "Keys were read again: 2" in caplog.text


def test_a_bad_new_file_leaves_the_keys_as_they_were(file, tmp_path, caplog):
    keys = Keys(settings(keys_file=file))
    write(tmp_path / "keys", f"eve: {ALICE}")
    assert not keys.reload()
    assert keys.ids == ("alice", "bob")
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "The keys stay as they were." in record.getMessage()
    assert ALICE not in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
async def test_a_hangup_reads_the_file_again_and_only_while_listened_to(file, tmp_path):
    before = signal.getsignal(signal.SIGHUP)
    keys = Keys(settings(keys_file=file))
    keys.listen()
    write(tmp_path / "keys", key_line("eve", "eve-key-0123"))
    os.kill(os.getpid(), signal.SIGHUP)
    while keys.ids != ("eve",):  # noqa: ASYNC110 - keys tell nobody
        await asyncio.sleep(0.001)
    keys.close()
    keys.close()
    assert signal.getsignal(signal.SIGHUP) == before


async def test_without_a_file_no_signal_is_taken():
    before = signal.getsignal(signal.SIGTERM)
    keys = Keys(settings(api_key=OWN))
    keys.listen()
    assert keys.reload()
    keys.close()
    assert signal.getsignal(signal.SIGTERM) == before


# ------------------------------------------------------------------------- open mode


def test_without_keys_anybody_is_nobody():
    keys = Keys(settings())
    assert keys.is_open
    assert keys.guards_place
    assert keys.identify(None) is None
    assert keys.identify(b"Bearer whatever") is None
    assert repr(keys) == "<Keys: open>"


@pytest.mark.parametrize(
    "server",
    [
        None,
        ("127.0.0.1", 8000),
        ("127.9.9.9", 8000),
        ("::1", 8000),
        ("::ffff:127.0.0.1", 8000),
        ("/run/proxy.sock", None),
        ("testserver", 80),
    ],
)
def test_open_mode_answers_this_machine(server):
    Keys(settings()).check_place({"server": server}, {})


@pytest.mark.parametrize(
    "server", [("10.0.0.7", 80), ("fe80::1%eth0", 80), ("::ffff:10.0.0.7", 80)]
)
def test_open_mode_answers_no_other_machine_unless_allowed(server):
    keys = Keys(settings())
    with pytest.raises(Refusal) as caught:
        keys.check_place({"server": server}, {})
    assert (caught.value.status, caught.value.category) == (403, "auth")
    assert "APE_ALLOW_OPEN=1" in caught.value.message
    Keys(settings(allow_open=True)).check_place({"server": server}, {})
    Keys(settings(api_key=OWN)).check_place({"server": server}, {})


@pytest.mark.parametrize(
    ("origin", "is_taken"),
    [
        (b"http://localhost:3000", True),
        (b"http://127.0.0.1:8000", True),
        (b"https://page.example", True),
        (b"https://evil.example", False),
        (b"http://127.0.0.1.evil.example", False),
        (b"null", False),
        (b"\xff", False),
    ],
)
def test_open_mode_answers_no_web_page_of_elsewhere(origin, is_taken):
    keys = Keys(settings(cors_origins=("https://page.example",)))
    scope = {"server": ("127.0.0.1", 8000)}
    if is_taken:
        keys.check_place(scope, {b"origin": origin})
        return
    with pytest.raises(Refusal) as caught:
        keys.check_place(scope, {b"origin": origin})
    assert caught.value.status == 403
    assert "evil" not in caught.value.message
