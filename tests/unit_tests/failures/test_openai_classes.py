"""`except openai.<Class>` catches ours, and nobody else pays for it."""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import subprocess
import sys
import threading
import traceback
from abc import ABCMeta
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest
from call_paths import BETA, PATHS, STREAMED, answer, call, delta
from error_samples import CLASSES, differences, public, sample
from langchain_core.runnables import RunnableLambda
from wire_server import CUT, Request, WireServer, plain, sse

from langchain_cerebras_ext import ChatCerebras, errors
from langchain_cerebras_ext._status import status_error
from langchain_cerebras_ext.errors import (
    CerebrasConnectionError,
    CerebrasError,
    CerebrasStatusError,
    CerebrasTimeoutError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    StreamInterruptedError,
)

pytestmark = BETA

TESTS = Path(__file__).parents[2]

# Ours, and the SDK's that catch it besides the parents of those.
CAUGHT_BY = {
    "CerebrasError": "OpenAIError",
    "CerebrasConfigurationError": "OpenAIError",
    "MissingExtraError": "OpenAIError",
    "UnknownModelError": "OpenAIError",
    "CerebrasInvalidRequestError": "OpenAIError",
    "SchemaNotSupportedError": "OpenAIError",
    "UnsupportedFeatureError": "OpenAIError",
    "CerebrasConnectionError": "APIConnectionError",
    "CerebrasTimeoutError": "APITimeoutError",
    "CerebrasStatusError": "APIStatusError",
    "BadRequestError": "BadRequestError",
    "ContextLengthError": "BadRequestError",
    "UnsupportedParameterError": "BadRequestError",
    "UnprocessableEntityError": "UnprocessableEntityError",
    "AuthenticationError": "AuthenticationError",
    "PaymentRequiredError": "APIStatusError",
    "PermissionDeniedError": "PermissionDeniedError",
    "NotFoundError": "NotFoundError",
    "ModelRetiredError": "NotFoundError",
    "RequestTimeoutError": "APIStatusError",
    "ConflictError": "ConflictError",
    "PayloadTooLargeError": "APIStatusError",
    "RateLimitError": "RateLimitError",
    "InternalServerError": "InternalServerError",
    "CerebrasResponseError": "APIError",
    "EmptyResponseError": "APIError",
    "StreamInterruptedError": "APIConnectionError",
    "RateLimiterError": "OpenAIError",
    "RequestExceedsLimitError": "OpenAIError",
    "RateLimiterTimeoutError": "OpenAIError",
    "RateLimiterBackendError": "OpenAIError",
    "BudgetExceeded": "OpenAIError",
    "UnknownPriceError": "OpenAIError",
    "InvalidUsageError": "OpenAIError",
    "LedgerError": "OpenAIError",
    "LedgerNotFoundError": "OpenAIError",
    "NoLegError": "OpenAIError",
    "AllLegsFailedError": "OpenAIError",
    "StructuredOutputError": "OpenAIError",
    "StructuredOutputTruncatedError": "OpenAIError",
    "StructuredOutputRefusedError": "OpenAIError",
    "StructuredOutputMissingError": "OpenAIError",
    "StructuredOutputInvalidError": "OpenAIError",
}

STATUSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    402: "APIStatusError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    408: "APIStatusError",
    409: "ConflictError",
    413: "APIStatusError",
    418: "APIStatusError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    500: "InternalServerError",
    502: "InternalServerError",
    503: "InternalServerError",
}

each_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


_WITH_SDK_PARENT = errors._with_sdk_parent


@pytest.fixture(autouse=True)
def as_users_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the SDK's classes for parents, whatever the tests around this file do."""
    monkeypatch.setattr(errors, "_with_sdk_parent", _WITH_SDK_PARENT)


@pytest.fixture(scope="module")
def openai() -> Iterator[Any]:
    """The SDK, imported; other tests of this process find it as it was before."""
    was_imported = "openai" in sys.modules
    import openai

    yield openai
    if not was_imported:
        for name in [name for name in sys.modules if name.split(".")[0] == "openai"]:
            del sys.modules[name]


@pytest.fixture
def no_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which nobody has imported the SDK."""
    monkeypatch.delitem(sys.modules, "openai", raising=False)


@pytest.fixture
def stands_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Put something in the place of the SDK."""
    return lambda found: monkeypatch.setitem(sys.modules, "openai", found)


def module(**classes: Any) -> ModuleType:
    """Return a module named like the SDK."""
    made = ModuleType("openai")
    vars(made).update(classes)
    return made


# ------------------------------------------------------------------ what catches what


@each_class
def test_a_class_is_caught_by_the_sdks(openai: Any, cls: type[CerebrasError]) -> None:
    theirs = getattr(openai, CAUGHT_BY[cls.__name__])
    with pytest.raises(theirs) as caught:
        raise cls("x")
    error = caught.value
    assert isinstance(error, cls)
    assert isinstance(error, openai.OpenAIError)
    sdk = [found for found in type(error).__mro__ if found.__module__ == "openai"]
    assert sdk[0] is theirs


@pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize(("status", "name"), STATUSES.items(), ids=map(str, STATUSES))
def test_each_status_is_caught_by_the_sdks_class(
    openai: Any, path: str, status: int, name: str
) -> None:
    body = {"message": "no", "type": "t", "param": "p", "code": "c"}
    headers = {"retry-after": "3", "x-request-id": "req-1"}
    with WireServer(lambda _: plain(body, status, headers)) as server:
        model = ChatCerebras(base_url=server.url, max_retries=0)
        with pytest.raises(getattr(openai, name)) as caught:
            call(path, model)
    error = caught.value
    assert isinstance(error, (openai.APIStatusError, CerebrasStatusError))
    assert isinstance(error, (openai.APIError, openai.OpenAIError))
    # What code written for the SDK reads.
    assert (error.status_code, error.request_id) == (status, "req-1")
    assert (error.type, error.param, error.code) == ("t", "p", "c")
    assert error.message == str(error)
    assert error.body == body
    assert error.request is None
    assert error.response.status_code == status
    assert error.response.headers["retry-after"] == "3"
    assert error.response.json() == body


@pytest.mark.parametrize("path", PATHS)
def test_a_connection_error_is_the_sdks(openai: Any, path: str) -> None:
    with WireServer(lambda _: iter([CUT])) as server:
        model = ChatCerebras(base_url=server.url, max_retries=0)
        with pytest.raises(openai.APIConnectionError) as caught:
            call(path, model)
    error = caught.value
    assert isinstance(error, CerebrasConnectionError)
    assert not isinstance(error, openai.APITimeoutError)
    assert (
        error.request is error.body is error.code is error.param is error.type is None
    )


@pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream"])
def test_a_timeout_is_the_sdks(openai: Any, path: str) -> None:
    def silent(request: Request) -> Iterator[bytes]:
        request.wait_gone()
        yield from ()

    with WireServer(silent) as server:
        model = ChatCerebras(base_url=server.url, max_retries=0, timeout=0.1)
        with pytest.raises(openai.APITimeoutError) as caught:
            call(path, model)
    assert isinstance(caught.value, CerebrasTimeoutError)
    assert isinstance(caught.value, openai.APIConnectionError)


@pytest.mark.parametrize("path", STREAMED)
def test_a_stream_that_breaks_is_an_api_error(openai: Any, path: str) -> None:
    with WireServer(lambda _: sse([delta(content="He"), CUT])) as server:
        model = ChatCerebras(base_url=server.url)
        with pytest.raises(openai.APIConnectionError) as caught:
            call(path, model)
    assert isinstance(caught.value, StreamInterruptedError)
    assert caught.value.partial_text == "He"


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
def test_an_answer_that_is_none_is_an_api_error(openai: Any, path: str) -> None:
    with WireServer(lambda _: plain({"choices": []})) as server:
        model = ChatCerebras(base_url=server.url, max_retries=0)
        with pytest.raises(openai.APIError) as caught:
            call(path, model)
    assert not isinstance(caught.value, openai.APIConnectionError)


def failing_twice(request: Request, server: WireServer) -> Iterator[bytes]:
    if len(server.requests) <= 2:
        return plain({"message": "busy"}, 429)
    return answer(request)


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
def test_langchains_retry_takes_the_sdks_class(openai: Any, path: str) -> None:
    with WireServer(lambda request: failing_twice(request, server)) as server:
        model = ChatCerebras(base_url=server.url, max_retries=0).with_retry(
            retry_if_exception_type=(openai.RateLimitError,),
            wait_exponential_jitter=False,
        )
        assert call(path, model).text == "Hello"
    assert len(server.requests) == 3


def test_langchains_fallback_takes_the_sdks_class(openai: Any) -> None:
    with WireServer(lambda _: plain({"message": "busy"}, 429)) as server:
        other = RunnableLambda(lambda _: "from another")
        model = ChatCerebras(base_url=server.url, max_retries=0).with_fallbacks(
            [other],
            exceptions_to_handle=(openai.RateLimitError,),
        )
        assert model.invoke("hi") == "from another"


# --------------------------------------------------------------- the class stays ours


@each_class
def test_a_class_shows_and_documents_itself_as_ours(
    openai: Any, cls: type[CerebrasError]
) -> None:
    error = cls("Oh.")
    made = type(error)
    assert made is not cls
    assert (made.__name__, made.__qualname__) == (cls.__name__, cls.__qualname__)
    assert made.__module__ == "langchain_cerebras_ext.errors"
    assert made.__doc__ == cls.__doc__
    assert repr(error) == f"{cls.__name__}('Oh.')"
    last = traceback.format_exception_only(error)[-1]
    assert last == f"langchain_cerebras_ext.errors.{cls.__name__}: Oh.\n"


@each_class
def test_the_class_is_made_once(openai: Any, cls: type[CerebrasError]) -> None:
    made = type(cls("x"))
    assert type(cls("y")) is made
    assert type(made("z")) is made
    assert isinstance(made("z"), cls)


def test_threads_that_raise_at_once_get_one_class(
    stands_in: Callable[[Any], None],
) -> None:
    for _ in range(20):
        theirs = type("RateLimitError", (Exception,), {})
        stands_in(module(RateLimitError=theirs))
        start = threading.Barrier(8)
        made: list[type] = []

        def work(start: threading.Barrier = start, made: list[type] = made) -> None:
            start.wait()
            made.append(type(RateLimitError("x")))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 8
        assert len(set(made)) == 1
        assert issubclass(made[0], theirs)


class OwnError(RateLimitError):
    """A user's own, with an initialiser of its own."""

    def __init__(self, team: str, *, level: int = 1) -> None:
        super().__init__(f"{team} is over its limit.")
        self.team, self.level = team, level


def test_a_class_of_the_users_is_caught_too(openai: Any) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        raise OwnError("red", level=2)
    for found in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert isinstance(found, OwnError)
        assert isinstance(found, openai.RateLimitError)
        assert (str(found), found.level) == ("red is over its limit.", 2)
        assert type(found).__module__ == __name__


def test_a_class_of_the_users_with_a_name_of_ours_keeps_its_own_meaning(
    openai: Any,
) -> None:
    other = type("NotFoundError", (RateLimitError,), {})
    assert isinstance(other("x"), openai.RateLimitError)
    assert not isinstance(other("x"), openai.NotFoundError)


def test_an_error_that_was_raised_before_the_import_stays_what_it_was(
    openai: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "openai")
        early = RateLimitError("x")
    assert type(early) is RateLimitError
    assert not isinstance(early, openai.RateLimitError)
    assert isinstance(copy.copy(early), openai.RateLimitError)


# ------------------------------------------------------------------- pickle and copy


@each_class
def test_an_error_survives_pickle_and_copy(
    openai: Any, cls: type[CerebrasError]
) -> None:
    error = sample(cls)
    found = [
        pickle.loads(pickle.dumps(error, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ]
    for other in (*found, copy.copy(error), copy.deepcopy(error)):
        assert type(other) is type(error)
        assert differences(error, other) == []


READ_IN_ANOTHER_PROCESS = """
import json, pickle, sys
from pathlib import Path
from error_samples import CLASSES, differences, sample
found = pickle.loads(Path(sys.argv[1]).read_bytes())
wrong = [name for name, each in found.items()
         if [other for other in each if differences(sample(type(other)), other)]]
plain = all(type(each[0]) in CLASSES for each in found.values())
sent = {name: [pickle.dumps(each[0], n) for n in range(6)] for name, each in found.items()}
Path(sys.argv[2]).write_bytes(pickle.dumps(sent))
print(json.dumps({"wrong": wrong, "plain": plain, "count": len(found),
                  "openai": "openai" in sys.modules}))
"""


def test_an_error_travels_to_a_process_without_the_sdk_and_back(
    openai: Any, tmp_path: Path
) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    errors_of = {cls.__name__: [sample(cls)] for cls in CLASSES}
    # With `pickle.dumps` of each protocol, inside one pickle.
    there.write_bytes(pickle.dumps(errors_of))
    assert b"openai" not in there.read_bytes()
    said = run_script(READ_IN_ANOTHER_PROCESS, str(there), str(back))
    assert json.loads(said) == {
        "wrong": [],
        "plain": True,
        "count": len(CLASSES),
        "openai": False,
    }
    for name, pickled in pickle.loads(back.read_bytes()).items():
        for each in pickled:
            found = pickle.loads(each)
            assert isinstance(found, getattr(openai, CAUGHT_BY[name]))
            assert public(found) is getattr(errors, name)
            assert differences(sample(public(found)), found) == []


# ----------------------------------------------------------------- nobody else pays

START_AND_FAIL = """
import asyncio, json, sys
import langchain_cerebras_ext as package
from call_paths import call
from wire_server import CUT, WireServer, plain
from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.errors import CerebrasError
seen = []
def answer(request):
    if len(server.requests) % 2:
        return plain({"message": "busy"}, 429)
    return iter([CUT])
with WireServer(answer) as server:
    model = ChatCerebras(base_url=server.url, max_retries=0)
    for path in ("invoke", "ainvoke", "stream", "astream") * 2:
        try:
            call(path, model)
        except CerebrasError as error:
            seen.append(type(error) is getattr(package.errors, type(error).__name__))
print(json.dumps({"seen": seen, "openai": [n for n in sys.modules if n.startswith("openai")]}))
"""


def run_script(script: str, *args: str) -> str:
    """Return what a script says in a Python of its own, which must not complain."""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", script, *args],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_neither_start_nor_errors_import_the_sdk() -> None:
    assert json.loads(run_script(START_AND_FAIL)) == {"seen": [True] * 8, "openai": []}


@each_class
def test_without_the_sdk_an_error_is_of_the_class_itself(
    no_openai: None, cls: type[CerebrasError]
) -> None:
    assert type(cls("x")) is cls


# ------------------------------------------------------ something else of that name


class ChildlessError(Exception):
    """One that refuses to be inherited."""

    def __init_subclass__(cls) -> None:
        msg = "no children"
        raise RuntimeError(msg)


class Lazy(ModuleType):
    """One whose names are imported when they are asked for, and fail."""

    def __getattr__(self, name: str) -> Any:
        msg = f"cannot import {name}"
        raise ImportError(msg)


STAND_INS = {
    "none": None,
    "empty": module(),
    "text": "openai",
    "mock": MagicMock(),
    "no_class": module(RateLimitError="a text", APIError=3),
    "no_exception": module(RateLimitError=int),
    "not_catchable": module(RateLimitError=BaseException),
    "system_exit": module(RateLimitError=SystemExit),
    "other_layout": module(RateLimitError=UnicodeDecodeError),
    "no_children": module(RateLimitError=ChildlessError),
    "our_own_child": module(RateLimitError=type("Odd", (NotFoundError,), {})),
    "lazy": Lazy("openai"),
}


@pytest.mark.parametrize("found", STAND_INS.values(), ids=STAND_INS)
def test_a_stand_in_for_the_sdk_breaks_nothing(
    stands_in: Callable[[Any], None], found: Any
) -> None:
    stands_in(found)
    error = status_error(429, b'{"message": "busy"}', {"retry-after": "2"})
    assert isinstance(error, RateLimitError)
    assert (type(error).__name__, error.retry_after_s) == ("RateLimitError", 2.0)
    other = pickle.loads(pickle.dumps(error))
    assert (type(other), str(other)) == (type(error), str(error))


@pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream"])
def test_a_call_with_a_stand_in_fails_as_it_should(
    stands_in: Callable[[Any], None], path: str
) -> None:
    stands_in(module(InternalServerError=ChildlessError))
    with WireServer(lambda _: plain({"message": "oh"}, 500)) as server:
        model = ChatCerebras(base_url=server.url, max_retries=0)
        with pytest.raises(InternalServerError, match="oh"):
            call(path, model)


def test_classes_of_another_kind_can_be_parents(
    stands_in: Callable[[Any], None],
) -> None:
    theirs = ABCMeta("RateLimitError", (Exception,), {})
    stands_in(module(RateLimitError=theirs))
    with pytest.raises(theirs):
        raise RateLimitError("x")


def test_an_sdk_that_is_half_imported_is_caught_by_when_it_is_whole(
    stands_in: Callable[[Any], None],
) -> None:
    """Another thread imports it while an error is raised."""
    half = module()
    stands_in(half)
    assert type(RateLimitError("x")) is RateLimitError
    half.OpenAIError = type("OpenAIError", (Exception,), {})  # type: ignore[attr-defined]
    assert type(RateLimitError("x")) is RateLimitError
    half.RateLimitError = type("RateLimitError", (half.OpenAIError,), {})  # type: ignore[attr-defined]
    with pytest.raises(half.RateLimitError):  # type: ignore[attr-defined]
        raise RateLimitError("x")


def test_an_sdk_that_is_loaded_anew_is_caught_by(
    stands_in: Callable[[Any], None],
) -> None:
    for _ in range(2):
        theirs = type("RateLimitError", (Exception,), {})
        stands_in(module(RateLimitError=theirs))
        with pytest.raises(theirs):
            raise RateLimitError("x")


def test_raising_many_errors_leaves_no_classes_behind(openai: Any) -> None:
    type(RateLimitError("x"))
    gc.collect()
    before = len(RateLimitError.__subclasses__())
    for _ in range(1000):
        RateLimitError("x")
    gc.collect()
    assert len(RateLimitError.__subclasses__()) == before
