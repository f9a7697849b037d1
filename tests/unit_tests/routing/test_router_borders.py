"""Where a router meets its surroundings: switches, names, errors of all legs, files."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers._streaming import _StreamingCallbackHandler
from scripted_model import ScriptedModel, Step

from langchain_cerebras_ext import ChatCerebras, create_chat_model, errors
from langchain_cerebras_ext.errors import (
    AllLegsFailedError,
    CerebrasConfigurationError,
    NoLegError,
)
from langchain_cerebras_ext.routing import compare
from langchain_cerebras_ext.routing._compare.call import host_of
from langchain_cerebras_ext.routing._leg import Refusal
from langchain_cerebras_ext.routing._plan import Plan
from langchain_cerebras_ext.routing._target import name_of
from langchain_cerebras_ext.routing.policy import FallbackPolicy, is_momentary, kind_of
from langchain_cerebras_ext.routing.router import ChatRouter
from langchain_cerebras_ext.simulator import Simulator


def legs(**scripts):
    scripts = scripts or {"a": [Step()], "b": [Step()]}
    return {
        name: ScriptedModel(label=name, script=one) for name, one in scripts.items()
    }


# --------------------------------------------------------------------- one piece, please


class Listener(BaseCallbackHandler, _StreamingCallbackHandler):
    """Wants to see tokens, as `astream_events` does."""

    def __init__(self):
        self.tokens = 0

    def on_llm_new_token(self, token, **kwargs):
        self.tokens += 1

    def tap_output_iter(self, run_id, output):
        return output

    def tap_output_aiter(self, run_id, output):
        return output


def tool(x: int) -> int:
    """Return it."""
    return x


async def of(items):
    return [one async for one in items]


def streamed(runnable, way, config=None):
    if way == "stream":
        return list(runnable.stream("hi", config))
    if way == "astream":
        return asyncio.run(of(runnable.astream("hi", config)))
    if way == "transform":
        return list(runnable.transform(iter(["hi"]), config))

    async def given():
        yield "hi"

    return asyncio.run(of(runnable.atransform(given(), config)))


WAYS = pytest.mark.parametrize("way", ["stream", "astream", "transform", "atransform"])


@WAYS
@pytest.mark.parametrize("bound", [False, True], ids=["plain", "tools"])
@pytest.mark.parametrize("switch", [False, True, "tool_calling"])
def test_disable_streaming_means_what_it_means_to_langchains_own_models(
    way, bound, switch
):
    router = ChatRouter(legs=legs(), disable_streaming=switch)
    alone = ScriptedModel(label="x", script=[Step()], disable_streaming=switch)
    parts, own = (
        streamed(one.bind_tools([tool]) if bound else one, way)
        for one in (router, alone)
    )
    assert len(parts) == len(own)
    assert len(parts) == 1 if switch is True or (switch and bound) else len(parts) > 1
    assert "".join(one.text for one in parts) == Step().text
    said = [one.response_metadata["router"] for one in parts if one.response_metadata]
    assert [one["leg"] for one in said] == ["a"]


@pytest.mark.parametrize("switch", [False, True])
@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_legs_do_not_stream_for_handlers_either(switch, way):
    listener = Listener()
    router = ChatRouter(legs=legs(), disable_streaming=switch, streaming=True)
    answer = getattr(router, way)("hi", {"callbacks": [listener]})
    list(answer) if way == "stream" else answer
    assert bool(listener.tokens) is not switch


@pytest.mark.parametrize("way", ["stream", "astream"])
@pytest.mark.parametrize("switch", [True, "tool_calling"])
def test_structure_comes_in_one_piece_too(way, switch):
    schema = {
        "title": "city",
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    with Simulator() as sim:
        leg = ChatCerebras(api_key="csk-t", base_url=sim.base_url, max_retries=0)
        router = ChatRouter(legs=[leg], disable_streaming=switch)
        asked = router.with_structured_output(schema, method="function_calling")
        assert len(streamed(asked, way)) == 1
        assert [bool(one.body.get("stream")) for one in sim.requests] == [False]


# ------------------------------------------------------------------- when all have failed


def busy(**more):
    return errors.RateLimitError("busy", status_code=429, is_retryable=False, **more)


DOWN = errors.InternalServerError("down", status_code=503, is_retryable=False)


@pytest.mark.parametrize(
    ("failures", "wait_s", "is_retryable"),
    [
        ([busy(retry_after_s=7.2), DOWN], 7.2, True),
        ([busy(retry_after_s=7.2), busy(retry_after_s=3.0)], 3.0, True),
        ([DOWN, ConnectionError("gone")], None, True),
        ([busy(retry_after_s=900.0, window="day"), DOWN], 900.0, False),
        ([DOWN, errors.NotFoundError("who", status_code=404)], None, False),
    ],
    ids=["busy and down", "both busy", "no time", "quota", "not served"],
)
def test_an_error_of_all_legs_says_whether_and_when_to_come_back(
    failures, wait_s, is_retryable
):
    router = ChatRouter(legs=legs(**{f"l{n}": [e] for n, e in enumerate(failures)}))
    with pytest.raises(AllLegsFailedError) as e:
        router.invoke("hi")
    assert (e.value.retry_after_s, e.value.is_retryable) == (wait_s, is_retryable)
    assert ("can be asked again in" in str(e.value)) is (wait_s is not None)
    # A router around it sees what it has seen.
    assert is_momentary(e.value) is is_retryable


def test_a_wait_of_another_packages_error_counts_as_well():
    error = RuntimeError("429")
    error.status_code = 429
    error.response = SimpleNamespace(headers={"retry-after": "4"})
    router = ChatRouter(legs=legs(a=[error], b=[DOWN]))
    with pytest.raises(AllLegsFailedError, match=r"asked again in 4 s\.$") as e:
        router.invoke("hi")
    assert e.value.retry_after_s == 4.0


def test_a_circuit_that_closes_sooner_is_the_time_to_come_back():
    plan = Plan(["a", "b"], FallbackPolicy(), 0.0)
    plan.due(0.0)
    plan.refused(0, "circuit open", 0.0, retry_after_s=2.5)
    error = plan.failed(1, busy(retry_after_s=8.0), 1.0).error
    assert (error.retry_after_s, error.is_retryable) == (2.5, True)
    assert str(error).endswith(
        "a: skipped (circuit open); b: RateLimitError 429 (rate_limit) after 1.00 s. "
        "The first of them can be asked again in 3 s."
    )


class Shut:
    """A breaker that lets nothing pass."""

    def admit(self, leg):
        return Refusal("circuit open", 8.4)

    async def aadmit(self, leg):
        return self.admit(leg)

    def health(self, names):
        return {name: {"state": "open"} for name in names}


def test_an_open_circuit_says_in_words_when_to_come_back():
    router = ChatRouter(legs=legs(), breaker=Shut())
    with pytest.raises(NoLegError, match=r"circuit open\)\. The first.*again in 9 s\."):
        router.invoke("hi")


def test_what_you_said_of_legs_is_told_by_the_name_that_you_used():
    with pytest.raises(
        CerebrasConfigurationError, match=r" capabilities=\{'y': \.\.\.\}"
    ):
        ChatRouter(legs=legs(), capabilities={"y": {"tools": True}})
    with pytest.raises(CerebrasConfigurationError, match=r"capabilities=.*no 'tool'"):
        ChatRouter(legs=legs(), capabilities={"a": {"tool": True}})


# ------------------------------------------------------------------------------- refusals


class BadRequestError(Exception):
    """As other packages raise it."""

    status_code = 400

    def __init__(self, code):
        super().__init__("The prompt was filtered.")
        self.body = {"error": {"code": code, "type": "invalid_request_error"}}


CODES = ["content_filter", "content_policy_violation", "moderation_blocked"]


@pytest.mark.parametrize("code", CODES)
def test_a_filter_that_refuses_is_a_refusal(code):
    own = errors.BadRequestError("no", status_code=400, code=code)
    for error in (own, BadRequestError(code)):
        assert kind_of(error) == "refusal"
        with pytest.raises(type(error)):
            ChatRouter(legs=legs(a=[error], b=[Step()])).invoke("hi")
        router = ChatRouter(legs=legs(a=[error], b=[Step()]), move_on_for=["refusal"])
        answer = router.invoke("hi")
        assert answer.response_metadata["router"]["leg"] == "b"


# ---------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name", ["x/y:free", "some-model", "gpt-oss-120b", "openai::z"]
)
def test_a_leg_by_name_is_the_model_of_that_name(monkeypatch, name):
    monkeypatch.setenv("MODEL_PROVIDER", "openrouter")
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-1")
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-t")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    router = ChatRouter(legs=[name])
    made = create_chat_model(name)
    assert ChatRouter(legs=[made]).leg_names == router.leg_names
    # What it means stays, whatever the environment says at the call.
    monkeypatch.setenv("MODEL_PROVIDER", "local")
    assert router._route.legs[0].model is made


class Foreign(ScriptedModel):
    """Names its provider as LangChain does."""

    provider: str

    def _get_ls_params(self, stop=None, **kwargs):
        return {"ls_provider": self.provider, "ls_model_name": self.label}


@pytest.mark.parametrize(
    ("said", "name"),
    [("google_genai", "google"), ("mistralai", "mistral"), ("acme", "acme")],
)
def test_a_models_provider_is_named_as_in_names(said, name):
    model = Foreign(label="x", script=[Step()], provider=said)
    assert name_of(model) == f"{name}::x"
    assert ChatRouter(legs=[model]).leg_names == [f"{name}::x"]


# -------------------------------------------------------------------- resumed comparisons


PROMPT = [{"id": "one", "prompt": "Name a colour."}]


def test_answers_of_two_services_are_not_put_together(tmp_path, monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-abcdefghijklmn")
    path = tmp_path / "results.jsonl"
    options = {"resume": path, "warmup": 0}
    with Simulator() as one, Simulator() as other:
        monkeypatch.setenv("CEREBRAS_BASE_URL", one.base_url)
        compare(["gpt-oss-120b"], PROMPT, **options)
        kept = path.read_text()
        monkeypatch.setenv("CEREBRAS_BASE_URL", other.base_url)
        with pytest.raises(CerebrasConfigurationError, match=r"use the same base URL"):
            compare(["gpt-oss-120b"], PROMPT, repeat=2, **options)
        assert path.read_text() == kept
        # Another model may well be elsewhere.
        found = compare({"other": ChatCerebras()}, PROMPT, **options)
        assert found.is_complete
        assert len(other.requests) == 1


def test_a_file_that_does_not_know_its_service_is_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-t")
    path = tmp_path / "results.jsonl"
    with Simulator() as sim:
        monkeypatch.setenv("CEREBRAS_BASE_URL", sim.base_url)
        compare(["gpt-oss-120b"], PROMPT, resume=path, warmup=0)
        host = host_of(ChatCerebras())
        assert host in sim.base_url
        path.write_text(path.read_text().replace(f',"host":"{host}"', ""))
        assert host not in path.read_text()
        found = compare(["gpt-oss-120b"], PROMPT, repeat=2, resume=path, warmup=0)
        assert (found.resumed, found.is_complete) == (1, True)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (
            "https://user:secret@api.example.com:8443/v1?key=secret",
            "api.example.com:8443",
        ),
        ("https://API.example.com/v1", "api.example.com"),
        ("http://[broken", None),
        (None, None),
    ],
    ids=["with a password", "plain", "broken", "none"],
)
def test_of_an_address_the_host_alone_is_kept(url, host):
    assert host_of(SimpleNamespace(openai_api_base=url)) == host
