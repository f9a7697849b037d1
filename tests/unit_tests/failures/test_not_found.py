"""A 404 says what the catalog knows of the model, or that it is about something else."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from call_paths import BETA, PATHS, answer, call
from error_samples import public
from wire_server import Request, WireServer, event, plain, sse

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext._status import status_error
from langchain_cerebras_ext.errors import (
    CerebrasStatusError,
    ModelRetiredError,
    NotFoundError,
)
from langchain_cerebras_ext.llms import CerebrasLLM

pytestmark = BETA

BOTH_READINGS = ("retired", "not enabled for this key", "GET /v1/models")


def service_says(model: str, *, named: bool = True) -> dict[str, str]:
    """Return the body of the service's own 404, as observed."""
    which = f"Model {model}" if named else "Model"
    return {
        "message": f"{which} does not exist or you do not have access to it.",
        "type": "not_found_error",
        "param": "model",
        "code": "model_not_found",
    }


def not_found(path: str, model: str, /, **kwargs: Any) -> NotFoundError:
    """Return the error of a call that the service answers with its 404."""

    def refuse(request: Request) -> Iterator[bytes]:
        return plain(service_says(request.json["model"]), 404)

    with WireServer(refuse) as server:
        chat = ChatCerebras(base_url=server.url, model=model)
        with pytest.raises(NotFoundError) as caught:
            call(path, chat, **kwargs)
        assert len(server.requests) == 1, "a 404 is not tried again"
    found = caught.value
    again = pickle.loads(pickle.dumps(found))
    assert (str(again), vars(again)) == (str(found), vars(found))
    return found


def explained(model: str, body: Any = None) -> CerebrasStatusError:
    body = service_says(model) if body is None else body
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return status_error(404, data, {}, model=model)


# ----------------------------------------------------------------------- every path


@pytest.mark.parametrize("path", PATHS)
def test_a_retired_model_says_since_when_and_what_replaces_it(path: str) -> None:
    error = not_found(path, "llama3.1-8b")
    assert isinstance(error, ModelRetiredError)
    assert error.retired_on == date(2026, 5, 27)
    assert (error.model, error.replacement) == ("llama3.1-8b", "gpt-oss-120b")
    assert str(error) == (
        "Cerebras answered 404 (model_not_found). Model llama3.1-8b does not exist or "
        "you do not have access to it. 'llama3.1-8b' was retired on 2026-05-27. Use "
        "'gpt-oss-120b' instead. If you have a dedicated endpoint of it, it is not "
        "enabled for this key: `GET /v1/models` lists what the key may use."
    )


@pytest.mark.parametrize("path", PATHS)
def test_a_near_miss_is_suggested(path: str) -> None:
    error = not_found(path, "gpt-os-120b")
    assert public(error) is NotFoundError
    assert (error.model, error.suggestions) == ("gpt-os-120b", ("gpt-oss-120b",))
    assert "Did you mean 'gpt-oss-120b'?" in str(error)
    assert all(words in str(error) for words in BOTH_READINGS)


@pytest.mark.parametrize("path", PATHS)
def test_the_model_of_a_single_call_is_the_one_explained(path: str) -> None:
    error = not_found(path, "gpt-oss-120b", model="llama-3.3-70b")
    assert isinstance(error, ModelRetiredError)
    assert error.model == "llama-3.3-70b"
    assert "gpt-oss-120b' was" not in str(error)


@pytest.mark.parametrize("path", PATHS)
def test_a_404_in_an_error_event_is_explained_too(path: str) -> None:
    body = {**service_says("zai-glm-4.6"), "status_code": 404}

    def refuse(request: Request) -> Iterator[bytes]:
        return sse([event(body)]) if request.is_stream else plain(body)

    with WireServer(refuse) as server:
        model = ChatCerebras(base_url=server.url, model="zai-glm-4.6")
        with pytest.raises(ModelRetiredError) as caught:
            call(path, model)
    assert caught.value.retired_on == date(2026, 1, 20)
    assert caught.value.status_code == 404


@pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream"])
def test_the_text_completion_model_explains_it_as_well(path: str) -> None:
    with WireServer(lambda _: plain(service_says("qwen-3-32b"), 404)) as server:
        model = CerebrasLLM(base_url=server.url, model="qwen-3-32b")
        with pytest.raises(ModelRetiredError, match=r"retired on 2026-02-16"):
            if path == "invoke":
                model.invoke("hi")
            elif path == "ainvoke":
                asyncio.run(model.ainvoke("hi"))
            else:
                list(model.stream("hi"))


# ------------------------------------------------------------------ what is known of it


def test_an_alias_is_explained_by_the_model_that_it_means() -> None:
    error = explained("llama3.3-70b")
    assert isinstance(error, ModelRetiredError)
    assert error.model == "llama3.3-70b"
    assert "'llama-3.3-70b' was retired on 2026-02-16" in str(error)


def test_a_served_model_may_have_ended_since_or_not_be_enabled() -> None:
    error = explained("gpt-oss-120b")
    assert public(error) is NotFoundError
    assert "The catalog has it as served on 20" in str(error)
    assert all(words in str(error) for words in BOTH_READINGS)


def test_a_model_of_dedicated_endpoints_says_so() -> None:
    error = explained("kimi-k2.6")
    assert public(error) is NotFoundError
    assert "only served on dedicated endpoints" in str(error)
    assert "not enabled for this key" in str(error)


def test_a_model_that_went_to_dedicated_endpoints_says_since_when() -> None:
    error = explained("gemma-4-31b")
    assert isinstance(error, ModelRetiredError)
    assert (error.retired_on, error.replacement) == (date(2026, 9, 3), "qwen-3.8-27b")
    assert "retired on 2026-09-03. Use 'qwen-3.8-27b' instead." in str(error)
    assert "dedicated endpoint" in str(error)


def test_a_model_that_was_never_served_says_so() -> None:
    error = explained("deepseek-v3-0324")
    assert public(error) is NotFoundError
    assert "never served it to the public. Use 'gpt-oss-120b' instead." in str(error)


def test_an_unknown_model_names_both_readings_and_suggests_nothing() -> None:
    error = explained("acme-private-7")
    assert isinstance(error, NotFoundError)
    assert public(error) is NotFoundError
    assert error.suggestions == ()
    assert "Did you mean" not in str(error)
    assert "The catalog does not know 'acme-private-7'" in str(error)
    assert all(words in str(error) for words in BOTH_READINGS)


def test_a_suggestion_that_is_retired_itself_names_its_successor() -> None:
    """Nobody is sent from one 404 to the next."""
    error = explained("llama3.1-8")
    assert isinstance(error, NotFoundError)
    assert error.suggestions[0] == "llama3.1-8b"
    assert "'llama3.1-8b' (retired: use 'gpt-oss-120b')" in str(error)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("GPT-OSS-120B", "gpt-oss-120b"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("gpt_oss_120b", "gpt-oss-120b"),
        ("gpt-oss-120", "gpt-oss-120b"),
        ("qwen3.8-27b", "qwen-3.8-27b"),
    ],
)
def test_other_spellings_are_near_misses(given: str, meant: str) -> None:
    error = explained(given)
    assert isinstance(error, NotFoundError)
    assert error.suggestions[:1] == (meant,)
    assert error.model == given


# ------------------------------------------------------- what the service leaves out


def test_the_model_is_named_where_the_service_does_not() -> None:
    text = str(explained("gpt-os-120b", service_says("", named=False)))
    assert "Model does not exist or you do not have access to it." in text
    assert "The model asked for was 'gpt-os-120b'." in text
    assert "The model asked for was" not in str(explained("gpt-os-120b"))


@pytest.mark.parametrize(
    "body",
    [
        {"code": "model_not_found"},
        {"param": "model", "message": "gone"},
        {"message": "No such MODEL"},
        {"error": {"message": "The model is not there", "code": 404}},
        {"detail": "Unknown model"},
    ],
    ids=["code", "param", "words", "wrapped", "detail"],
)
def test_each_form_of_a_models_404_is_known(body: dict[str, Any]) -> None:
    assert isinstance(explained("llama3.1-8b", body), ModelRetiredError)


# ------------------------------------------------------------- not about a model at all


@pytest.mark.parametrize(
    "body",
    [
        {"detail": "Not Found"},
        {"message": "Not found"},
        {},
        [],
        b"",
        b"<html><h1>404</h1> our new car model is on another page</html>",
        b"the model railway club has moved",
    ],
    ids=["detail", "message", "empty", "list", "nothing", "page", "text"],
)
def test_a_wrong_address_is_not_taken_for_a_wrong_model(body: Any) -> None:
    error = explained("llama3.1-8b", body)
    assert public(error) is NotFoundError
    assert isinstance(error, NotFoundError)
    assert error.model is None
    assert error.suggestions == ()
    assert str(error).endswith("Check base_url: there is nothing at this address.")


@pytest.mark.parametrize("path", PATHS)
def test_a_wrong_path_in_the_base_url_is_said(path: str) -> None:
    def routes(request: Request) -> Iterator[bytes]:
        if request.path == "/v1/chat/completions":
            return answer(request)
        return plain({"detail": "Not Found"}, 404)

    with WireServer(routes) as server:
        assert call(path, ChatCerebras(base_url=server.url)).text == "Hello"
        wrong = ChatCerebras(base_url=f"{server.url}/wrong/v1")
        with pytest.raises(NotFoundError, match="Check base_url"):
            call(path, wrong)


def test_a_404_without_a_model_is_about_the_address() -> None:
    body = json.dumps(service_says("x")).encode()
    assert "Check base_url" in str(status_error(404, body, {}))


def test_a_models_name_that_is_a_key_is_not_shown() -> None:
    """Keys get pasted into the wrong field."""
    key = "csk-" + "m0" * 16
    error = explained(key)
    assert key not in str(error)
    assert key not in repr(vars(error))
