"""Each class of errors against each option of the policy, as one table."""

from __future__ import annotations

import pickle

import httpx2
import openai
import pytest
from langchain_core import exceptions as core
from langchain_openai.chat_models import base as langchain_openai

from langchain_cerebras_ext import errors
from langchain_cerebras_ext.errors import CerebrasConfigurationError, CerebrasError
from langchain_cerebras_ext.routing.policy import (
    KINDS,
    LEG_FAULTS,
    MOVES_ON,
    FallbackPolicy,
    kind_of,
)

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/chat/completions")


def ours(name, **data):
    return getattr(errors, name)("no", **data)


def of_openai(cls, status, code=None, message="no", kind=None):
    """Make an error as the SDK does, for an answer with that body."""
    body = {"message": message, "code": code, "type": kind}
    response = httpx2.Response(status, request=REQUEST)
    return cls(message, response=response, body=body)


def connection(cls):
    return cls(request=REQUEST)


class _GoogleError(Exception):
    """Google's errors have the status as `code`."""

    def __init__(self, code):
        super().__init__("no")
        self.code = code


class _BotocoreError(Exception):
    def __init__(self, status):
        super().__init__("no")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


class _AnthropicError(Exception):
    """An error event of a stream that began with a 200."""

    def __init__(self, kind):
        super().__init__("no")
        self.status_code = 200
        self.body = {"type": "error", "error": {"type": kind, "message": "no"}}


class _GrpcError(Exception):
    def code(self):
        return 14


def _named(module, name):
    return type(name, (Exception,), {"__module__": module})("no")


YES, NO = True, False

# What, as an error of it; its kind; whether the next leg is asked by default, and with
# on_context_overflow="larger"; whether a breaker counts it.
TABLE = [
    # ---- ours
    ("CerebrasError", lambda: ours("CerebrasError"), "unknown", NO, NO, NO),
    ("CerebrasConfigurationError", lambda: ours("CerebrasConfigurationError"), "configuration", NO, NO, NO),
    ("MissingExtraError", lambda: ours("MissingExtraError"), "configuration", NO, NO, NO),
    ("UnknownModelError", lambda: ours("UnknownModelError"), "configuration", NO, NO, NO),
    ("CerebrasInvalidRequestError", lambda: ours("CerebrasInvalidRequestError"), "request", NO, NO, NO),
    ("SchemaNotSupportedError", lambda: ours("SchemaNotSupportedError"), "request", NO, NO, NO),
    ("UnsupportedFeatureError", lambda: ours("UnsupportedFeatureError"), "unable", YES, YES, NO),
    ("CerebrasConnectionError", lambda: ours("CerebrasConnectionError"), "network", YES, YES, YES),
    ("CerebrasTimeoutError", lambda: ours("CerebrasTimeoutError"), "timeout", YES, YES, YES),
    ("CerebrasStatusError", lambda: ours("CerebrasStatusError", status_code=418), "unknown", NO, NO, NO),
    ("BadRequestError", lambda: ours("BadRequestError", status_code=400), "request", NO, NO, NO),
    ("ContextLengthError", lambda: ours("ContextLengthError", status_code=400), "overflow", NO, YES, NO),
    ("UnsupportedParameterError", lambda: ours("UnsupportedParameterError", status_code=400), "request", NO, NO, NO),
    ("UnprocessableEntityError", lambda: ours("UnprocessableEntityError", status_code=422), "request", NO, NO, NO),
    ("AuthenticationError", lambda: ours("AuthenticationError", status_code=401), "auth", NO, NO, NO),
    ("PaymentRequiredError", lambda: ours("PaymentRequiredError", status_code=402), "quota", YES, YES, YES),
    ("PermissionDeniedError", lambda: ours("PermissionDeniedError", status_code=403), "auth", NO, NO, NO),
    ("NotFoundError", lambda: ours("NotFoundError", status_code=404), "not_served", YES, YES, YES),
    ("ModelRetiredError", lambda: ours("ModelRetiredError", status_code=404), "not_served", YES, YES, YES),
    ("RequestTimeoutError", lambda: ours("RequestTimeoutError", status_code=408), "timeout", YES, YES, YES),
    ("ConflictError", lambda: ours("ConflictError", status_code=409), "server", YES, YES, YES),
    ("PayloadTooLargeError", lambda: ours("PayloadTooLargeError", status_code=413), "request", NO, NO, NO),
    ("RateLimitError", lambda: ours("RateLimitError", status_code=429, window="minute"), "rate_limit", YES, YES, YES),
    ("RateLimitError of a day", lambda: ours("RateLimitError", status_code=429, window="day", is_retryable=False), "quota", YES, YES, YES),
    ("RateLimitError of an hour", lambda: ours("RateLimitError", status_code=429, window="hour", is_retryable=False), "quota", YES, YES, YES),
    ("InternalServerError", lambda: ours("InternalServerError", status_code=500), "server", YES, YES, YES),
    ("InternalServerError given up", lambda: ours("InternalServerError", status_code=503, is_retryable=False), "server", YES, YES, YES),
    ("CerebrasResponseError", lambda: ours("CerebrasResponseError"), "answer", YES, YES, YES),
    ("EmptyResponseError", lambda: ours("EmptyResponseError"), "answer", YES, YES, YES),
    ("StreamInterruptedError", lambda: ours("StreamInterruptedError"), "answer", YES, YES, YES),
    ("RateLimiterError", lambda: ours("RateLimiterError"), "rate_limit", YES, YES, YES),
    ("RequestExceedsLimitError", lambda: ours("RequestExceedsLimitError"), "quota", YES, YES, YES),
    ("RateLimiterTimeoutError", lambda: ours("RateLimiterTimeoutError"), "rate_limit", YES, YES, YES),
    ("RateLimiterBackendError", lambda: ours("RateLimiterBackendError"), "rate_limit", YES, YES, YES),
    ("BudgetExceeded", lambda: ours("BudgetExceeded"), "budget", YES, YES, NO),
    ("UnknownPriceError", lambda: ours("UnknownPriceError"), "unknown", NO, NO, NO),
    ("InvalidUsageError", lambda: ours("InvalidUsageError"), "unknown", NO, NO, NO),
    ("LedgerError", lambda: ours("LedgerError"), "unknown", NO, NO, NO),
    ("LedgerNotFoundError", lambda: ours("LedgerNotFoundError"), "unknown", NO, NO, NO),
    ("NoLegError", lambda: ours("NoLegError"), "unable", YES, YES, NO),
    ("AllLegsFailedError", lambda: ours("AllLegsFailedError"), "server", YES, YES, YES),
    ("StructuredOutputError", lambda: ours("StructuredOutputError"), "structure", NO, NO, NO),
    ("StructuredOutputTruncatedError", lambda: ours("StructuredOutputTruncatedError"), "structure", NO, NO, NO),
    ("StructuredOutputRefusedError", lambda: ours("StructuredOutputRefusedError"), "refusal", NO, NO, NO),
    ("StructuredOutputMissingError", lambda: ours("StructuredOutputMissingError"), "structure", NO, NO, NO),
    ("StructuredOutputInvalidError", lambda: ours("StructuredOutputInvalidError"), "structure", NO, NO, NO),
    # ---- LangChain's
    ("core.LangChainException", lambda: core.LangChainException("no"), "unknown", NO, NO, NO),
    ("core.TracerException", lambda: core.TracerException("no"), "unknown", NO, NO, NO),
    ("core.OutputParserException", lambda: core.OutputParserException("no"), "structure", NO, NO, NO),
    ("core.ModelError", lambda: core.ModelError("no"), "unknown", NO, NO, NO),
    ("core.ModelAuthenticationError", lambda: core.ModelAuthenticationError("no"), "auth", NO, NO, NO),
    ("core.ModelPermissionDeniedError", lambda: core.ModelPermissionDeniedError("no"), "auth", NO, NO, NO),
    ("core.ModelInvalidRequestError", lambda: core.ModelInvalidRequestError("no"), "request", NO, NO, NO),
    ("core.ModelNotFoundError", lambda: core.ModelNotFoundError("no"), "not_served", YES, YES, YES),
    ("core.ModelRateLimitError", lambda: core.ModelRateLimitError("no"), "rate_limit", YES, YES, YES),
    ("core.ModelAPIError", lambda: core.ModelAPIError("no"), "server", YES, YES, YES),
    ("core.ModelConnectionError", lambda: core.ModelConnectionError("no"), "network", YES, YES, YES),
    ("core.ModelTimeoutError", lambda: core.ModelTimeoutError("no"), "timeout", YES, YES, YES),
    ("core.ContextOverflowError", lambda: core.ContextOverflowError("no"), "overflow", NO, YES, NO),
    *(
        [("core.ModelRefusalError", lambda: core.ModelRefusalError("no"), "refusal", NO, NO, NO)]
        if hasattr(core, "ModelRefusalError")  # since langchain-core 1.7.5
        else []
    ),
    # ---- the openai SDK's
    ("openai.OpenAIError", lambda: openai.OpenAIError("no"), "unknown", NO, NO, NO),
    ("openai.APIError", lambda: openai.APIError("no", REQUEST, body=None), "server", YES, YES, YES),
    ("openai.APIError, an event", lambda: openai.APIError("no", REQUEST, body={"message": "no", "type": "server_error"}), "server", YES, YES, YES),
    ("openai.APIError, a wrong event", lambda: openai.APIError("no", REQUEST, body={"message": "no", "type": "invalid_request_error"}), "request", NO, NO, NO),
    ("openai.APIConnectionError", lambda: connection(openai.APIConnectionError), "network", YES, YES, YES),
    ("openai.APITimeoutError", lambda: connection(openai.APITimeoutError), "timeout", YES, YES, YES),
    ("openai.APIStatusError", lambda: of_openai(openai.APIStatusError, 418), "request", NO, NO, NO),
    ("openai.APIStatusError 410", lambda: of_openai(openai.APIStatusError, 410), "not_served", YES, YES, YES),
    ("openai.BadRequestError", lambda: of_openai(openai.BadRequestError, 400), "request", NO, NO, NO),
    ("openai.BadRequestError, too long", lambda: of_openai(openai.BadRequestError, 400, "context_length_exceeded"), "overflow", NO, YES, NO),
    ("openai.BadRequestError, too long in words", lambda: of_openai(openai.BadRequestError, 400, None, "This model's maximum context length is 10 tokens."), "overflow", NO, YES, NO),
    ("openai.AuthenticationError", lambda: of_openai(openai.AuthenticationError, 401), "auth", NO, NO, NO),
    ("openai.PermissionDeniedError", lambda: of_openai(openai.PermissionDeniedError, 403), "auth", NO, NO, NO),
    ("openai.NotFoundError", lambda: of_openai(openai.NotFoundError, 404), "not_served", YES, YES, YES),
    ("openai.ConflictError", lambda: of_openai(openai.ConflictError, 409), "server", YES, YES, YES),
    ("openai.UnprocessableEntityError", lambda: of_openai(openai.UnprocessableEntityError, 422), "request", NO, NO, NO),
    ("openai.RateLimitError", lambda: of_openai(openai.RateLimitError, 429), "rate_limit", YES, YES, YES),
    ("openai.RateLimitError, no credit", lambda: of_openai(openai.RateLimitError, 429, "insufficient_quota"), "quota", YES, YES, YES),
    ("openai.InternalServerError", lambda: of_openai(openai.InternalServerError, 500), "server", YES, YES, YES),
    ("openai.InternalServerError 504", lambda: of_openai(openai.InternalServerError, 504), "timeout", YES, YES, YES),
    ("openai.APIResponseValidationError", lambda: openai.APIResponseValidationError(httpx2.Response(200, request=REQUEST), None), "answer", YES, YES, YES),
    ("openai.LengthFinishReasonError", lambda: _named("openai", "LengthFinishReasonError"), "structure", NO, NO, NO),
    ("openai.ContentFilterFinishReasonError", lambda: openai.ContentFilterFinishReasonError(), "refusal", NO, NO, NO),
    # ---- langchain-openai's
    ("OpenAIContextOverflowError", lambda: of_openai(langchain_openai.OpenAIContextOverflowError, 400), "overflow", NO, YES, NO),
    ("OpenAIAPIContextOverflowError", lambda: langchain_openai.OpenAIAPIContextOverflowError("no", REQUEST, body=None), "overflow", NO, YES, NO),
    ("OpenAIAuthenticationError", lambda: of_openai(langchain_openai.OpenAIAuthenticationError, 401), "auth", NO, NO, NO),
    ("OpenAIPermissionDeniedError", lambda: of_openai(langchain_openai.OpenAIPermissionDeniedError, 403), "auth", NO, NO, NO),
    ("OpenAIInvalidRequestError", lambda: of_openai(langchain_openai.OpenAIInvalidRequestError, 400), "request", NO, NO, NO),
    ("OpenAIModelNotFoundError", lambda: of_openai(langchain_openai.OpenAIModelNotFoundError, 404), "not_served", YES, YES, YES),
    ("OpenAIRateLimitError", lambda: of_openai(langchain_openai.OpenAIRateLimitError, 429), "rate_limit", YES, YES, YES),
    ("OpenAIRateLimitError, no credit", lambda: of_openai(langchain_openai.OpenAIRateLimitError, 429, "insufficient_quota"), "quota", YES, YES, YES),
    ("OpenAIAPIError", lambda: of_openai(langchain_openai.OpenAIAPIError, 500), "server", YES, YES, YES),
    ("OpenAIConnectionError", lambda: connection(langchain_openai.OpenAIConnectionError), "network", YES, YES, YES),
    ("OpenAITimeoutError", lambda: connection(langchain_openai.OpenAITimeoutError), "timeout", YES, YES, YES),
    # ---- others, by what they carry
    ("Google's 429", lambda: _GoogleError(429), "rate_limit", YES, YES, YES),
    ("Google's 400", lambda: _GoogleError(400), "request", NO, NO, NO),
    ("botocore's 503", lambda: _BotocoreError(503), "server", YES, YES, YES),
    ("Anthropic's 529", lambda: of_openai(openai.APIStatusError, 529), "server", YES, YES, YES),
    ("Anthropic's overload in a stream", lambda: _AnthropicError("overloaded_error"), "server", YES, YES, YES),
    ("Anthropic's mistake in a stream", lambda: _AnthropicError("invalid_request_error"), "request", NO, NO, NO),
    ("grpc's code is a method", _GrpcError, "unknown", NO, NO, NO),
    ("httpx.ReadTimeout", lambda: httpx2.ReadTimeout("no"), "timeout", YES, YES, YES),
    ("httpx.ConnectError", lambda: httpx2.ConnectError("no"), "network", YES, YES, YES),
    ("httpx.RemoteProtocolError", lambda: httpx2.RemoteProtocolError("no"), "network", YES, YES, YES),
    ("requests.ReadTimeout", lambda: _named("requests.exceptions", "Timeout"), "timeout", YES, YES, YES),
    ("TimeoutError", TimeoutError, "timeout", YES, YES, YES),
    ("ConnectionResetError", ConnectionResetError, "network", YES, YES, YES),
    # ---- mistakes in the program
    ("ValueError", lambda: ValueError("no"), "unknown", NO, NO, NO),
    ("TypeError", lambda: TypeError("no"), "unknown", NO, NO, NO),
    ("KeyError", lambda: KeyError("no"), "unknown", NO, NO, NO),
    ("FileNotFoundError", lambda: FileNotFoundError("no"), "unknown", NO, NO, NO),
    ("another Timeout", lambda: _named("game.rules", "Timeout"), "unknown", NO, NO, NO),
]  # fmt: skip
each_error = pytest.mark.parametrize(
    ("make", "kind", "default", "larger", "fault"),
    [pytest.param(*row[1:], id=row[0]) for row in TABLE],
)


@each_error
def test_an_error_moves_on_or_stops(make, kind, default, larger, fault):
    error = make()
    plain = FallbackPolicy().judge(error)
    assert (plain.kind, plain.moves_on, plain.only_larger) == (kind, default, False)
    assert plain.is_leg_fault is fault
    asked = FallbackPolicy(on_context_overflow="larger").judge(error)
    assert (asked.moves_on, asked.only_larger) == (larger, kind == "overflow")


@each_error
def test_the_callers_word_wins(make, kind, default, larger, fault):
    error = make()
    named = [type(error).__mro__[0], kind]
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= 400:
        named.append(status)
    for one in named:
        assert FallbackPolicy(move_on_for=[one]).judge(error).moves_on is True
        assert FallbackPolicy(stop_for=[one]).judge(error).moves_on is False
        assert FallbackPolicy(stop_for=one).judge(error).moves_on is False


@each_error
def test_what_happens_midstream_changes_no_verdict(make, kind, default, larger, fault):
    """The option is about what was handed on, and not about the error."""
    for option in ("raise", "restart", "buffer"):
        assert FallbackPolicy(on_midstream=option).judge(make()).moves_on is default


def _classes(module, parent):
    found = (getattr(module, name) for name in dir(module) if not name.startswith("_"))
    return {one for one in found if isinstance(one, type) and issubclass(one, parent)}


# Of things that no chat model raises.
_ELSEWHERE = {
    openai.InvalidWebhookSignatureError,
    openai.LengthFinishReasonError,  # wants a whole completion to be made
    openai.OAuthError,
    openai.WebSocketConnectionClosedError,
    openai.WebSocketQueueFullError,
}


def test_the_table_has_every_class():
    """A new class of any of the three has to be judged here."""
    made = {type(make()) for _, make, *_ in TABLE}
    made |= {getattr(one, "_public", one) for one in made}
    assert _classes(errors, CerebrasError) <= made
    assert _classes(core, core.LangChainException) <= made
    assert _classes(openai, openai.OpenAIError) - _ELSEWHERE <= made
    of_langchain = {
        one
        for one in _classes(langchain_openai, core.ModelError)
        if one.__module__ == langchain_openai.__name__
    }
    assert of_langchain <= made


def test_the_table_has_every_kind():
    assert {kind for _, _, kind, *_ in TABLE} == KINDS
    assert MOVES_ON <= KINDS
    assert LEG_FAULTS <= MOVES_ON


def test_retries_that_gave_up_do_not_hide_what_an_error_is():
    """Our own policy says `is_retryable=False` of an instance it has given up on."""
    for name in (
        "InternalServerError",
        "CerebrasTimeoutError",
        "StreamInterruptedError",
    ):
        assert FallbackPolicy().judge(ours(name, is_retryable=False)).moves_on


class _Child(errors.RateLimitError):
    pass


def test_the_nearest_class_wins():
    error = _Child("no", status_code=429)
    far_stops = FallbackPolicy(stop_for=[CerebrasError], move_on_for=[_Child])
    near_stops = FallbackPolicy(stop_for=[_Child], move_on_for=[CerebrasError])
    assert far_stops.judge(error).moves_on is True
    assert near_stops.judge(error).moves_on is False


def test_a_class_wins_over_a_status_and_a_status_over_a_kind():
    error = ours("RateLimitError", status_code=429)
    policy = FallbackPolicy(stop_for=[429], move_on_for=["rate_limit"])
    assert policy.judge(error).moves_on is False
    policy = FallbackPolicy(stop_for=[429], move_on_for=[errors.RateLimitError])
    assert policy.judge(error).moves_on is True


def test_told_to_move_on_an_overflow_goes_to_any_leg():
    verdict = FallbackPolicy(move_on_for=["overflow"]).judge(ours("ContextLengthError"))
    assert (verdict.moves_on, verdict.only_larger) == (True, False)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"move_on_for": ["teapot"]}, r"move_on_for has 'teapot'.*rate_limit"),
        ({"stop_for": [200]}, "stop_for has 200"),
        ({"stop_for": [True]}, "stop_for has True"),
        ({"stop_for": [KeyboardInterrupt]}, "KeyboardInterrupt"),
        ({"stop_for": [int]}, "int"),
        ({"move_on_for": [429], "stop_for": [429]}, "429 stands in both"),
        ({"on_midstream": "splice"}, "on_midstream='splice' must be one of raise"),
        ({"on_context_overflow": "any"}, "must be one of stop, larger"),
    ],
    ids=lambda one: str(one)[:30],
)
def test_what_means_nothing_is_refused(wrong, says):
    with pytest.raises(CerebrasConfigurationError, match=says):
        FallbackPolicy(**wrong)


def test_a_policy_is_a_value():
    policy = FallbackPolicy(
        move_on_for=[errors.AuthenticationError], stop_for=["quota"]
    )
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert hash(policy) == hash(pickle.loads(pickle.dumps(policy)))


def test_an_error_that_lies_about_its_attributes_is_still_judged():
    class OddError(Exception):
        status_code = "429"
        body = ("no",)
        response = None
        code = 7

    assert kind_of(OddError()) == "unknown"
