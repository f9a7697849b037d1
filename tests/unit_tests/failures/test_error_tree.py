"""The classes, what each inherits and carries, and that nothing of it gets lost."""

from __future__ import annotations

import copy
import pickle
import re
import traceback
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import pytest
from call_paths import BETA, PATHS, STREAMED, call, counted, delta
from error_samples import (
    CLASSES,
    PARTIAL,
    data_of,
    differences,
    sample,
)
from langchain_core import exceptions as core
from langchain_core.messages import AIMessage
from langchain_core.rate_limiters import BaseRateLimiter
from wire_server import END, Request, WireServer, chunk, event, plain, stream_head

from langchain_cerebras_ext import ChatCerebras, errors
from langchain_cerebras_ext.errors import (
    BadRequestError,
    CerebrasError,
    CerebrasStatusError,
    RateLimitError,
    RateLimiterTimeoutError,
    StructuredOutputInvalidError,
)

pytestmark = BETA

# Each class: its parent here, LangChain's classes, Python's, and whether it is worth
# another try.
TREE: dict[str, tuple[str, set[type], set[type], bool]] = {
    "CerebrasError": ("", {core.ModelError}, set(), False),
    "CerebrasConfigurationError": ("CerebrasError", set(), {ValueError}, False),
    "MissingExtraError": ("CerebrasConfigurationError", set(), {ValueError, ImportError}, False),
    "UnknownModelError": ("CerebrasConfigurationError", set(), {ValueError, LookupError}, False),
    "CerebrasInvalidRequestError": ("CerebrasError", {core.ModelInvalidRequestError}, {ValueError}, False),
    "SchemaNotSupportedError": ("CerebrasInvalidRequestError", {core.ModelInvalidRequestError}, {ValueError}, False),
    "UnsupportedFeatureError": ("CerebrasInvalidRequestError", {core.ModelInvalidRequestError}, {ValueError}, False),
    "CerebrasConnectionError": ("CerebrasError", {core.ModelConnectionError}, set(), True),
    "CerebrasTimeoutError": ("CerebrasConnectionError", {core.ModelConnectionError, core.ModelTimeoutError}, set(), True),
    "CerebrasStatusError": ("CerebrasError", set(), set(), False),
    "BadRequestError": ("CerebrasStatusError", {core.ModelInvalidRequestError}, set(), False),
    "ContextLengthError": ("BadRequestError", {core.ModelInvalidRequestError, core.ContextOverflowError}, set(), False),
    "UnsupportedParameterError": ("BadRequestError", {core.ModelInvalidRequestError}, set(), False),
    "UnprocessableEntityError": ("BadRequestError", {core.ModelInvalidRequestError}, set(), False),
    "AuthenticationError": ("CerebrasStatusError", {core.ModelAuthenticationError}, set(), False),
    "PaymentRequiredError": ("CerebrasStatusError", {core.ModelPermissionDeniedError}, set(), False),
    "PermissionDeniedError": ("CerebrasStatusError", {core.ModelPermissionDeniedError}, set(), False),
    "NotFoundError": ("CerebrasStatusError", {core.ModelNotFoundError}, set(), False),
    "ModelRetiredError": ("NotFoundError", {core.ModelNotFoundError}, set(), False),
    "RequestTimeoutError": ("CerebrasStatusError", {core.ModelTimeoutError}, set(), True),
    "ConflictError": ("CerebrasStatusError", {core.ModelAPIError}, set(), True),
    "PayloadTooLargeError": ("CerebrasStatusError", {core.ModelInvalidRequestError}, set(), False),
    "RateLimitError": ("CerebrasStatusError", {core.ModelRateLimitError}, set(), True),
    "InternalServerError": ("CerebrasStatusError", {core.ModelAPIError}, set(), True),
    "CerebrasResponseError": ("CerebrasError", {core.ModelAPIError}, set(), True),
    "EmptyResponseError": ("CerebrasResponseError", {core.ModelAPIError}, set(), True),
    "StreamInterruptedError": ("CerebrasResponseError", {core.ModelAPIError, core.ModelConnectionError}, set(), True),
    "RateLimiterError": ("CerebrasError", {core.ModelRateLimitError}, set(), True),
    "RequestExceedsLimitError": ("RateLimiterError", {core.ModelRateLimitError}, {ValueError}, False),
    "RateLimiterTimeoutError": ("RateLimiterError", {core.ModelRateLimitError, core.ModelTimeoutError}, set(), True),
    "RateLimiterBackendError": ("RateLimiterError", {core.ModelRateLimitError}, set(), True),
    "BudgetExceeded": ("CerebrasError", set(), set(), False),
    "UnknownPriceError": ("CerebrasError", set(), {ValueError}, False),
    "InvalidUsageError": ("CerebrasError", set(), {ValueError}, False),
    "LedgerError": ("CerebrasError", set(), set(), False),
    "LedgerNotFoundError": ("LedgerError", set(), set(), False),
    "NoLegError": ("CerebrasError", set(), set(), False),
    "AllLegsFailedError": ("CerebrasError", set(), set(), False),
    "StructuredOutputError": ("CerebrasError", {core.OutputParserException}, {ValueError}, False),
    "StructuredOutputTruncatedError": ("StructuredOutputError", {core.OutputParserException}, {ValueError}, False),
    "StructuredOutputRefusedError": ("StructuredOutputError", {core.OutputParserException}, {ValueError}, False),
    "StructuredOutputMissingError": ("StructuredOutputError", {core.OutputParserException}, {ValueError}, False),
    "StructuredOutputInvalidError": ("StructuredOutputError", {core.OutputParserException}, {ValueError}, False),
}  # fmt: skip

OF_LANGCHAIN = {
    found
    for found in vars(core).values()
    if isinstance(found, type)
    and issubclass(found, core.LangChainException)
    and found not in (core.LangChainException, core.ModelError)
}
OF_PYTHON = {ValueError, ImportError, LookupError, OSError, RuntimeError}

each_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


# ------------------------------------------------------------------------ the tree


def test_the_table_names_every_class() -> None:
    assert {cls.__name__ for cls in CLASSES} == set(TREE)


@each_class
def test_a_class_has_its_parents(cls: type[CerebrasError]) -> None:
    parent, langchain, python, is_retryable = TREE[cls.__name__]
    ours = [found.__name__ for found in cls.__mro__[1:] if found in CLASSES]
    assert ours[:1] == ([parent] if parent else [])
    wanted = {found for found in OF_LANGCHAIN if issubclass(cls, found)}
    assert wanted == langchain - {core.ModelError}
    assert issubclass(cls, core.ModelError)
    assert {found for found in OF_PYTHON if issubclass(cls, found)} == python
    assert cls.is_retryable is is_retryable
    assert cls("x").is_retryable is is_retryable


def test_the_drawing_at_the_head_of_the_module_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(
            r"    ((?:[│ ]   )*)(?:[├└]── )?(\w+(?:Error|Exceeded))\b", line
        )
        if found is None:
            continue
        depth = len(found[1]) // 4 + ("──" in line)
        above[depth:] = [found[2]]
        drawn[found[2]] = above[depth - 1] if depth else ""
    assert drawn == {name: parent for name, (parent, *_) in TREE.items()}


# ----------------------------------------------------------------- data on an error


@each_class
def test_an_error_has_every_piece_of_data_even_when_nothing_is_known(
    cls: type[CerebrasError],
) -> None:
    """Whoever logs an error need not ask of which class it is."""
    error = cls("Oh.")
    assert (error.attempts, error.failed_attempts, error.elapsed_s) == (1, (), None)
    assert error.rate_limits == {}
    assert error.code is error.param is error.error_type is error.type is None
    assert error.body is error.retry_after_s is error.request_id is None
    assert error.partial_message is error.partial_usage is None
    assert (error.partial_text, error.partial_reasoning) == ("", "")
    assert error.partial_tool_calls == []
    assert not error.status_code
    assert str(error) == error.message == "Oh."


def test_what_is_not_known_is_not_shared_between_errors() -> None:
    with pytest.raises(TypeError):
        CerebrasError("x").rate_limits["limit"] = 1  # type: ignore[index]
    assert isinstance(CerebrasError.rate_limits, MappingProxyType)


@each_class
def test_an_error_keeps_the_data_that_it_is_given(cls: type[CerebrasError]) -> None:
    error = sample(cls)
    for name, value in data_of(cls).items():
        assert getattr(error, name) == value, name
    assert error.type == "too_many_tokens_error"
    assert error.partial_text == "Hel"
    assert error.partial_reasoning == "Hm."
    assert [found["type"] for found in error.partial_tool_calls] == [
        "tool_call",
        "invalid_tool_call",
    ]
    assert error.partial_usage == PARTIAL.usage_metadata
    assert error.billed is True


def test_the_answer_of_a_structured_output_error_is_what_had_arrived() -> None:
    raw = AIMessage('{"a": 1', response_metadata={"finish_reason": "length"})
    error = StructuredOutputInvalidError("x", raw=raw)
    assert error.partial_text == '{"a": 1'
    assert error.partial_usage is None
    assert error.billed is None


REACHED = {"kind": "reset"}
SOME = {"partial_message": AIMessage("He")}
COUNTED = {"partial_message": PARTIAL}


@pytest.mark.parametrize(
    ("cls", "data", "billed"),
    [
        ("CerebrasConfigurationError", {}, False),
        ("CerebrasInvalidRequestError", {}, False),
        ("CerebrasConnectionError", {"kind": "dns"}, False),
        ("CerebrasConnectionError", {"kind": "refused"}, False),
        ("CerebrasConnectionError", {"kind": "tls"}, False),
        ("CerebrasConnectionError", {"kind": "proxy"}, False),
        ("CerebrasConnectionError", REACHED, None),
        ("CerebrasConnectionError", {"kind": "closed"}, None),
        ("CerebrasConnectionError", {}, None),
        ("CerebrasTimeoutError", {"kind": "connect"}, False),
        ("CerebrasTimeoutError", {"kind": "idle"}, None),
        ("CerebrasTimeoutError", {"kind": "total"}, None),
        ("CerebrasTimeoutError", {"kind": "idle", **COUNTED}, True),
        ("BadRequestError", {}, False),
        ("BadRequestError", SOME, None),
        ("AuthenticationError", {}, False),
        ("RequestTimeoutError", {}, None),
        ("RateLimitError", {}, False),
        ("RateLimitError", SOME, None),
        ("RateLimitError", COUNTED, True),
        ("InternalServerError", {}, None),
        ("CerebrasResponseError", {}, None),
        ("EmptyResponseError", {}, None),
        ("EmptyResponseError", COUNTED, True),
        ("StreamInterruptedError", SOME, None),
        ("StreamInterruptedError", COUNTED, True),
        ("RateLimiterTimeoutError", {}, False),
        ("BudgetExceeded", {}, False),
        ("StructuredOutputTruncatedError", {"raw": PARTIAL}, True),
    ],
)
def test_whether_tokens_were_counted_is_known_as_far_as_it_can_be(
    cls: str, data: dict[str, Any], billed: bool | None
) -> None:
    assert getattr(errors, cls)("x", **data).billed is billed


# ------------------------------------------------------------------- it stays whole


def copies(error: CerebrasError) -> Iterator[CerebrasError]:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.loads(pickle.dumps(error, protocol))
    yield copy.copy(error)
    yield copy.deepcopy(error)
    yield pickle.loads(pickle.dumps(copy.deepcopy(error)))


@each_class
def test_an_error_and_all_its_data_survive_pickle_and_copy(
    cls: type[CerebrasError],
) -> None:
    error = sample(cls)
    for found in copies(error):
        assert found is not error
        assert type(found) is type(error)
        assert isinstance(found, cls)
        assert differences(error, found) == []
        assert found.__notes__ == ["seen at 3 a.m."]


@each_class
def test_an_error_without_data_survives_pickle_and_copy(
    cls: type[CerebrasError],
) -> None:
    for found in copies(cls("Oh.")):
        assert (str(found), found.attempts, dict(found.rate_limits)) == ("Oh.", 1, {})


def test_a_deep_copy_shares_nothing_that_can_be_changed() -> None:
    error = sample(RateLimitError)
    found = copy.deepcopy(error)
    found.body["more"].append(2)
    found.partial_message.content = "changed"  # type: ignore[union-attr]
    assert error.body == {"message": "no", "more": [1, None]}
    assert error.partial_text == "Hel"


def test_read_only_limits_survive_pickle() -> None:
    error = RateLimitError("x", rate_limits=MappingProxyType({"limit": 3}))
    assert pickle.loads(pickle.dumps(error)).rate_limits == {"limit": 3}


class OwnError(RateLimitError):
    """As a user may write one, with an initialiser of its own."""

    def __init__(self, team: str, *, level: int = 1) -> None:
        super().__init__(f"{team} is over its limit.", team=team)
        self.level = level


def test_a_class_of_the_users_survives_too() -> None:
    for found in copies(OwnError("red", level=3)):
        assert isinstance(found, OwnError)
        assert (str(found), found.team, found.level) == (
            "red is over its limit.",
            "red",
            3,
        )  # type: ignore[attr-defined]


@each_class
def test_a_cause_and_a_trace_are_shown_under_our_name(cls: type[CerebrasError]) -> None:
    with pytest.raises(cls) as caught:
        try:
            raise OSError(104, "Connection reset")
        except OSError as cause:
            raise sample(cls) from cause
    error = caught.value
    assert isinstance(error.__cause__, OSError)
    assert repr(error) == f"{cls.__name__}('It went wrong. Do this.')"
    shown = "".join(traceback.format_exception(error))
    last = f"langchain_cerebras_ext.errors.{cls.__name__}: It went wrong. Do this."
    assert last in shown.splitlines()
    assert "seen at 3 a.m." in shown
    assert "Connection reset" in shown
    assert (cls.__module__, cls.__qualname__) == (
        "langchain_cerebras_ext.errors",
        cls.__name__,
    )


def test_an_error_can_be_raised_in_a_group() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        raise ExceptionGroup("two", [RateLimitError("a"), BadRequestError("b")])
    kept, _ = caught.value.split(core.ModelRateLimitError)
    assert kept is not None
    assert [str(found) for found in kept.exceptions] == ["a"]


# -------------------------------------------------------------------- over the wire

LIMITS = {
    "x-ratelimit-limit-requests-day": "1000",
    "x-ratelimit-remaining-tokens-minute": "0",
    "x-ratelimit-reset-tokens-minute": "11.5",
    "x-ratelimit-note": "soon",
    "x-request-id": "req-77",
    "retry-after": "3",
}
QUOTA = {
    "message": "Tokens per minute limit exceeded - too many tokens processed.",
    "type": "too_many_tokens_error",
    "param": "quota",
    "code": "token_quota_exceeded",
}


@pytest.mark.parametrize("path", PATHS)
def test_all_that_a_refusal_says_is_on_the_error(path: str) -> None:
    with WireServer(lambda _: plain(QUOTA, 429, LIMITS)) as server:
        model = ChatCerebras(base_url=server.url, max_retries=0, max_tokens=9)
        with pytest.raises(RateLimitError) as caught:
            call(path, model)
    error = caught.value
    assert (error.status_code, error.code, error.param, error.type) == (
        429,
        "token_quota_exceeded",
        "quota",
        "too_many_tokens_error",
    )
    assert (error.kind, error.window) == ("tokens", "minute")
    assert (error.request_id, error.retry_after_s) == ("req-77", 3.0)
    assert error.rate_limits == {
        "x-ratelimit-limit-requests-day": 1000,
        "x-ratelimit-remaining-tokens-minute": 0,
        "x-ratelimit-reset-tokens-minute": 11.5,
        "x-ratelimit-note": "soon",
    }
    assert error.body == QUOTA
    assert error.response.status_code == 429
    assert error.response.json() == QUOTA
    assert (error.attempts, error.failed_attempts) == (1, ())
    assert error.elapsed_s is not None
    assert 0 < error.elapsed_s < 60
    assert error.billed is False
    error.add_note("x")
    assert differences(error, pickle.loads(pickle.dumps(error))) == []


TOOL = delta(
    tool_calls=[{"function": {"name": "f", "arguments": '{"a'}, "id": "t", "index": 0}]
)


@pytest.mark.parametrize("path", STREAMED)
@pytest.mark.parametrize("status", [400, 429, 500])
@pytest.mark.parametrize("is_counted", [False, True], ids=["uncounted", "counted"])
def test_what_had_arrived_of_a_stream_is_on_its_error(
    path: str, status: int, is_counted: bool
) -> None:
    """A status that alone would mean "not billed" does not, once tokens have come."""

    def broken(_: Request) -> Iterator[bytes]:
        yield stream_head({"x-ratelimit-remaining-tokens-minute": "7"})
        yield chunk(delta(role="assistant"))
        yield chunk(delta(reasoning="Hm."))
        yield chunk(delta(content="Hel"))
        yield chunk(TOOL)
        if is_counted:
            yield chunk(counted())
        yield chunk(event({**QUOTA, "status_code": status}))
        yield END

    with WireServer(broken) as server:
        model = ChatCerebras(base_url=server.url)
        with pytest.raises(CerebrasStatusError) as caught:
            call(path, model)
    error = caught.value
    assert len(server.requests) == error.attempts == 1
    assert error.status_code == status
    assert (error.partial_text, error.partial_reasoning) == ("Hel", "Hm.")
    (cut,) = error.partial_tool_calls
    assert (cut["type"], cut["name"], cut["args"]) == ("invalid_tool_call", "f", '{"a')
    assert error.billed is (True if is_counted else None)
    assert (error.partial_usage or {}).get("total_tokens") == (
        16 if is_counted else None
    )
    assert error.rate_limits == {"x-ratelimit-remaining-tokens-minute": 7}
    assert error.request_id == "chatcmpl-1"
    assert error.elapsed_s is not None


class Full(BaseRateLimiter):
    """A limiter that knows tokens and lets nothing pass."""

    def as_model_limiter(self) -> BaseRateLimiter:
        self.limiter = self
        return self

    def acquire(self, *, blocking: bool = True) -> bool:
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return True

    def reserve(self, model: str, **_: Any) -> Any:
        msg = f"No room for {model}."
        raise RateLimiterTimeoutError(msg, model=model, wait_s=9.0)

    async def areserve(self, model: str, **_: Any) -> Any:
        self.reserve(model)


@pytest.mark.parametrize("path", PATHS)
def test_what_was_not_sent_has_no_time_and_no_attempt(path: str) -> None:
    with WireServer(lambda _: plain({})) as server:
        model = ChatCerebras(base_url=server.url, rate_limiter=Full())
        with pytest.raises(RateLimiterTimeoutError) as caught:
            call(path, model)
    assert server.requests == []
    assert (caught.value.attempts, caught.value.elapsed_s) == (0, None)
    assert caught.value.failed_attempts == ()
    assert caught.value.billed is False
