"""Reading the live list: from the simulator, and from servers that do it wrong."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from datetime import date
from decimal import Decimal

import pytest

from langchain_cerebras_ext.catalog import _cache as cache
from langchain_cerebras_ext.catalog import (
    check_source,
    get_model,
    list_models,
    refresh,
    reload,
    successor,
    use_packaged,
)
from langchain_cerebras_ext.catalog._cache import root_url
from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.catalog._table import packaged_table
from langchain_cerebras_ext.errors import (
    AuthenticationError,
    CerebrasConfigurationError,
    CerebrasConnectionError,
    CerebrasError,
    CerebrasResponseError,
    CerebrasStatusError,
    CerebrasTimeoutError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
)
from langchain_cerebras_ext.simulator import Simulator
from tests.wire_server import CUT, RESET, WireServer, head, plain

CHECKED_ON = packaged_table().checked_on
LATER = date(2026, 12, 1)
PUBLIC, ACCOUNT = "/public/v1/models", "/v1/models"
KEY = "csk-refresh-0123456789"


@pytest.fixture(autouse=True)
def fresh_catalog(clean_environment, monkeypatch, tmp_path):
    monkeypatch.setenv("CEREBRAS_CACHE_DIR", str(tmp_path / "cache"))
    before = dict(vars(registry))
    registry.reload()
    yield
    vars(registry).update(before)


@pytest.fixture
def sim():
    with Simulator() as running:
        yield running


def served(sim: Simulator) -> list[dict]:
    """Return the public list as the simulator has it."""
    from langchain_cerebras_ext.simulator.catalog_views import list_view

    view = list_view(sim.engine.profiles.values(), None, public=True)
    return json.loads(json.dumps(view["data"]))


def answer_with(sim: Simulator, models: object, path: str = PUBLIC) -> None:
    body = json.dumps({"object": "list", "data": models})
    sim.reply_raw(body, "application/json", path=path)


# ------------------------------------------------------------------------- the service


def test_what_the_service_says_is_compared_with_the_packaged_data(sim):
    diff = refresh(base_url=sim.base_url, on=LATER)
    assert diff.listed == ("gpt-oss-120b", "qwen-3.8-27b")
    assert (diff.on, diff.url) == (LATER, sim.root_url)
    assert (diff.new, diff.gone, diff.back) == ((), (), ())
    # The simulator says of all its models that they can do what the service can.
    assert {change.field for change in diff.changes} == {"capabilities.json_mode"}


def test_only_the_two_lists_are_asked_for_and_the_key_goes_to_its_own(sim):
    refresh(base_url=sim.base_url, api_key=KEY, on=LATER)
    seen = [
        (one.method, one.path, one.headers.get("authorization")) for one in sim.requests
    ]
    # Records of the simulator mask keys; that it is the right one, the next test tells.
    assert seen == [("GET", PUBLIC, None), ("GET", ACCOUNT, "Bearer ***")]


def test_without_a_key_the_public_list_is_enough(sim, monkeypatch):
    assert refresh(base_url=sim.base_url, on=LATER).account_only is None
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    assert refresh(base_url=sim.base_url, api_key="", on=LATER).account_only is None
    assert [one.path for one in sim.requests] == [PUBLIC, PUBLIC]


def test_address_and_key_come_from_the_environment(monkeypatch):
    with Simulator(key=KEY) as sim:
        monkeypatch.setenv("CEREBRAS_BASE_URL", sim.base_url)
        monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
        assert refresh(on=LATER).account_missing == ()
        monkeypatch.setenv("CEREBRAS_API_KEY", "csk-another-one")
        with pytest.raises(AuthenticationError):
            refresh(on=LATER)


def test_dedicated_endpoints_of_the_key_are_told(sim):
    ids = [{"id": name} for name in ("gpt-oss-120b", "my-org-glm-5")]
    answer_with(sim, ids, ACCOUNT)
    diff = refresh(base_url=sim.base_url, api_key=KEY, on=LATER)
    assert diff.account_only == ("my-org-glm-5",)
    assert diff.account_missing == ("qwen-3.8-27b",)


# ------------------------------------------------------------------------------- drift


def drifted(sim: Simulator) -> list[dict]:
    """Return a list with a new price, a smaller window, a flag, and another model."""
    gpt, qwen = served(sim)
    gpt["pricing"]["prompt"] = "0.0000003"
    gpt["limits"]["max_context_length"] = 65_536
    gpt["deprecated"] = True
    new = {
        **qwen,
        "id": "new-model-1t",
        "name": "New Model 1T",
        "created": 1_796_000_000,
    }
    return [gpt, new]


def test_drift_is_shown_and_taken_into_account(sim):
    answer_with(sim, drifted(sim))
    diff = refresh(base_url=sim.base_url, on=LATER)
    assert diff.lines() == [
        "new: new-model-1t (New Model 1T)",
        "gone: qwen-3.8-27b",
        "gpt-oss-120b: price.input: 0.35 -> 0.30",
        "gpt-oss-120b: context_tokens_paid: 131072 -> 65536",
        "gpt-oss-120b: deprecated: false -> true",
    ]
    card = get_model("gpt-oss-120b")
    assert card.origin == "refreshed"
    assert card.price(LATER).input == Decimal("0.30")
    assert card.price(date(2026, 11, 30)).input == Decimal("0.35")
    assert card.lifecycle(LATER).stage == "deprecated"
    assert get_model("new-model-1t").origin == "refreshed"
    assert get_model("qwen-3.8-27b").lifecycle(LATER).stage == "unlisted"
    assert successor("gemma-4-31b", on=LATER).model != "qwen-3.8-27b"


def test_a_retired_model_that_the_list_still_has_is_served(sim):
    answer_with(sim, [*served(sim), {"id": "zai-glm-4.7"}])
    diff = refresh(base_url=sim.base_url, on=LATER)
    assert diff.back == ("zai-glm-4.7",)
    assert get_model("zai-glm-4.7").lifecycle(LATER).is_served
    assert get_model("zai-glm-4.7").status == "active"


def test_the_packaged_history_is_never_lost(sim):
    before = {card.id: card for card in packaged_table().cards}
    answer_with(sim, drifted(sim))
    refresh(base_url=sim.base_url, on=LATER)
    for card in list_models():
        old = before.get(card.id)
        if old is None:
            continue
        assert set(old.sources) <= set(card.sources)
        for price in old.prices:
            day = price.valid_from or card.announced
            found = card.price(day)
            assert (found.input, found.output) == (price.input, price.output)


def test_looking_does_not_change_anything(sim):
    answer_with(sim, drifted(sim))
    diff = check_source(base_url=sim.base_url, on=LATER)
    assert diff
    assert diff.to_rows(source="public-models-winter")
    assert get_model("gpt-oss-120b").origin == "packaged"
    assert cache.cache_dir().exists() is False


# ------------------------------------------------------------------------- later runs


def in_a_later_run(sim: Simulator, **variables: str) -> str:
    code = (
        "from datetime import date\n"
        "from langchain_cerebras_ext.catalog import get_model\n"
        "card = get_model('gpt-oss-120b')\n"
        f"print(card.origin, card.price(date.fromisoformat('{LATER}')).input)\n"
    )
    import os

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_later_runs_use_the_list_until_the_packaged_data_are_asked_for(sim):
    answer_with(sim, drifted(sim))
    refresh(base_url=sim.base_url, on=LATER)
    here = {"CEREBRAS_BASE_URL": sim.base_url}
    assert in_a_later_run(sim, **here) == "refreshed 0.30"
    # The list of one service says nothing about another.
    assert in_a_later_run(sim) == "packaged 0.35"
    use_packaged()
    assert in_a_later_run(sim, **here) == "packaged 0.35"


def test_lists_of_several_days_add_up(sim, monkeypatch):
    monkeypatch.setenv("CEREBRAS_BASE_URL", sim.base_url)
    for day, price in ((1, "0.0000003"), (5, "0.00000028")):
        models = served(sim)
        models[0]["pricing"]["prompt"] = price
        answer_with(sim, models)
        refresh(on=date(2026, 12, day))
    reload()
    card = get_model("gpt-oss-120b")
    found = [str(card.price(date(2026, 12, day)).input) for day in (1, 4, 5)]
    assert found == ["0.30", "0.30", "0.28"]


def test_a_refresh_need_not_be_kept(sim):
    answer_with(sim, drifted(sim))
    refresh(base_url=sim.base_url, on=LATER, keep=False)
    assert get_model("gpt-oss-120b").origin == "refreshed"
    assert cache.cache_dir().exists() is False


def test_a_refresh_mends_a_damaged_file(sim):
    path = cache.cache_file(sim.root_url)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    refresh(base_url=sim.base_url, on=LATER)
    assert [one.on for one in cache.read_lists(path)] == [LATER]


def test_many_threads_may_refresh_and_look_up_at_once(sim):
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(3):
                refresh(base_url=sim.base_url, on=LATER)
                assert get_model("gpt-oss-120b").id == "gpt-oss-120b"
                assert len(list_models("active")) == 2
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(cache.read_lists(cache.cache_file(sim.root_url))) == 1


def test_nothing_is_asked_for_at_import_or_by_looking_up():
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('the network was used')\n"
        "socket.socket.connect = refuse\n"
        "from langchain_cerebras_ext import catalog\n"
        "from datetime import date\n"
        "day = date(2026, 11, 21)\n"
        "catalog.list_models(); catalog.get_model('gpt-oss-120b', on=day)\n"
        "catalog.successor('zai-glm-4.7', on=day); catalog.recommend('code', on=day)\n"
        "catalog.deprecation_notice(catalog.get_model('zai-glm-4.7'), day)\n"
        "for name in catalog.__all__: getattr(catalog, name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------------- failures


def unchanged() -> bool:
    return (
        {card.origin for card in list_models()} == {"packaged"}
        and not any(card.live for card in list_models())
        and cache.cache_dir().exists() is False
    )


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AuthenticationError),
        (404, NotFoundError),
        (429, RateLimitError),
        (500, InternalServerError),
        (503, InternalServerError),
        (418, CerebrasStatusError),
    ],
)
@pytest.mark.parametrize("path", [PUBLIC, ACCOUNT], ids=["public", "account"])
def test_a_refusal_is_typed_and_changes_nothing(sim, status, error, path):
    sim.reply_raw(
        f'{{"message": "no, {KEY}"}}', "application/json", status=status, path=path
    )
    with pytest.raises(error) as caught:
        refresh(base_url=sim.base_url, api_key=KEY, on=LATER)
    assert caught.value.status_code == status
    assert f"GET {sim.root_url}{path} answered {status}" in str(caught.value)
    assert "The catalog is unchanged." in str(caught.value)
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value.body)
    assert unchanged()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>maintenance</html>",
        b'{"data": []}',
        b'{"data": [{"id": "x", "pricing": {"prompt": "cheap"}}]}',
        b'{"object": "list", "data": [{"id": "gpt-oss-120b"}',
        b"\xff\xfe\x00",
    ],
    ids=["empty", "html", "no models", "no price", "half", "no text"],
)
@pytest.mark.parametrize("path", [PUBLIC, ACCOUNT], ids=["public", "account"])
def test_a_malformed_list_is_an_error_that_says_so(sim, body, path):
    if b"pricing" in body and path == ACCOUNT:
        body = b'{"data": [{"id": 7}]}'
    sim.reply_raw(body, "application/json", path=path)
    with pytest.raises(CerebrasResponseError) as caught:
        refresh(base_url=sim.base_url, api_key=KEY, on=LATER)
    told = str(caught.value)
    assert f"GET {sim.root_url}{path} answered with what is no list of models" in told
    assert "The catalog is unchanged." in told
    assert caught.value.is_retryable is False
    assert unchanged()


def respond(*pieces: bytes):
    return lambda request: iter(pieces)


LIST = json.dumps({"data": [{"id": "gpt-oss-120b"}]}).encode()
LONG = head(200, {"content-length": str(64 * 1024 * 1024)})


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (respond(CUT), CerebrasConnectionError, "closed the connection"),
        (respond(RESET), CerebrasConnectionError, "reset"),
        (respond(b"SSH-2.0-OpenSSH\r\n", CUT), CerebrasConnectionError, "not HTTP"),
        (respond(head(200, {"content-length": "900"}), LIST, CUT), CerebrasConnectionError, "closed the connection"),
        (respond(head(200, {"transfer-encoding": "chunked"}), b"zz\r\n", CUT), CerebrasConnectionError, ""),
        (lambda request: plain(LIST[:-3]), CerebrasResponseError, "no list of models"),
        (lambda request: plain(b"", 302, {"location": "https://elsewhere.example/x?k=1"}), CerebrasResponseError, "a redirect to elsewhere.example, which is not followed"),
        (lambda request: plain(b"", 204), CerebrasStatusError, "answered 204"),
        (lambda request: (piece for piece in (LONG, *[b" " * 65_536] * 80)), CerebrasConnectionError, "longer than 4194304 bytes"),
    ],
    ids=["cut", "reset", "no http", "half a body", "bad chunk", "half a list", "redirect", "204", "endless"],
)  # fmt: skip
def test_a_server_that_breaks_off_or_babbles_changes_nothing(answer, error, told):
    with WireServer(answer) as server:
        server.failures = _Forgiving()
        with pytest.raises(error) as caught:
            refresh(base_url=server.url, on=LATER, timeout=10)
    assert told in str(caught.value)
    assert unchanged()


class _Forgiving(list):
    """The server cannot send to the end when the client has had enough."""

    def append(self, error: BaseException) -> None:
        if not isinstance(error, (BrokenPipeError, ConnectionError)):
            super().append(error)


@pytest.mark.parametrize(
    "pieces", [[], [head(200, {"content-length": "9"})]], ids=["silent", "no body"]
)
def test_a_server_that_says_nothing_is_given_up_in_time(pieces):
    def answer(request):
        yield from pieces
        request.wait_gone()

    with WireServer(answer) as server, pytest.raises(CerebrasTimeoutError) as caught:
        refresh(base_url=server.url, on=LATER, timeout=0.2)
    assert caught.value.timeout_s == pytest.approx(0.2)
    assert unchanged()


def test_a_server_that_drips_is_given_up_in_time():
    """Each byte comes soon enough; the whole does not."""

    def answer(request):
        yield head(200, {"content-length": "1000"})
        for _ in range(1000):
            if request.wait_gone(0.02):
                return
            yield b" "

    with WireServer(answer) as server:
        server.failures = _Forgiving()
        with pytest.raises(CerebrasTimeoutError) as caught:
            refresh(base_url=server.url, on=LATER, timeout=0.3)
    assert caught.value.kind == "total"
    assert unchanged()


def test_a_service_that_cannot_be_reached_changes_nothing():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(CerebrasConnectionError) as caught:
        refresh(base_url=f"http://127.0.0.1:{port}", on=LATER)
    assert caught.value.kind == "refused"
    assert unchanged()


def test_after_a_failure_the_list_of_before_is_still_in_use(sim):
    answer_with(sim, drifted(sim))
    refresh(base_url=sim.base_url, on=LATER)
    sim.reply_raw(b"", "application/json", path=PUBLIC)
    with pytest.raises(CerebrasError):
        refresh(base_url=sim.base_url, on=date(2026, 12, 9))
    assert get_model("gpt-oss-120b").price(LATER).input == Decimal("0.30")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"base_url": "ftp://x"}, "is no http"),
        ({"api_key": "csk two words"}, "white space"),
        ({"timeout": 0}, "must be a positive number"),
        (
            {"on": date(2020, 1, 1)},
            "A list of 2020-01-01 cannot be laid over the packaged data",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_asked_is_refused(sim, arguments, told):
    with pytest.raises(CerebrasConfigurationError) as caught:
        refresh(**{"base_url": sim.base_url, "on": LATER, **arguments})
    assert told in str(caught.value)
    assert unchanged()


def test_a_cache_that_cannot_be_written_changes_nothing(sim, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CEREBRAS_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(CerebrasConfigurationError, match="Set CEREBRAS_CACHE_DIR"):
        refresh(base_url=sim.base_url, on=LATER)
    assert {card.origin for card in list_models()} == {"packaged"}
    refresh(base_url=sim.base_url, on=LATER, keep=False)
    assert get_model("gpt-oss-120b").live


@pytest.mark.parametrize(
    ("given", "root"),
    [
        ("https://api.cerebras.ai", "https://api.cerebras.ai"),
        ("https://api.cerebras.ai/v1/", "https://api.cerebras.ai"),
        (
            "https://gateway.example/cerebras/v1/chat/completions",
            "https://gateway.example/cerebras",
        ),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_the_address_is_taken_in_all_its_forms(given, root):
    assert root_url(given) == root
