"""What the chat model and the text-completion model share: key, address, clients.

A pydantic base without LangChain: the fields of the connection, the checks of the
constructor's names, pickling without keys of the environment, and the clients, which
are made when they are first used.
"""

from __future__ import annotations

import gzip
import re
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from langchain_cerebras_ext import _config, _deprecations
from langchain_cerebras_ext._client import Admission, Call
from langchain_cerebras_ext._deprecations import (
    OnDeprecated,
    OnRetired,
    Rules,
)
from langchain_cerebras_ext._http import TransportOptions
from langchain_cerebras_ext._params import (
    ALIASES,
    CLIENT_PARAMS,
    Param,
    check_param,
    explain_unknown,
)
from langchain_cerebras_ext._request import encode_payload
from langchain_cerebras_ext.errors import CerebrasConfigurationError, SecretText
from langchain_cerebras_ext.retry import RetryPolicy

if TYPE_CHECKING:
    from decimal import Decimal
    from types import TracebackType

    from langchain_cerebras_ext._http import (
        AsyncTransport,
        SyncTransport,
        Timeouts,
    )
    from langchain_cerebras_ext._metering import Meter
    from langchain_cerebras_ext.costs.tracker import CostTracker
    from langchain_cerebras_ext.health import HealthReport
else:
    # Names that hints can read; their modules are loaded when used.
    CostTracker = Decimal = HealthReport = Any

__all__ = ["CerebrasConnection"]

# Taken for the sake of code that was written for `langchain_cerebras.ChatCerebras`,
# which inherits them from ChatOpenAI: neutral values are dropped, others explained.
_INHERITED: dict[str, str] = {
    "openai_api_key": "pass the Cerebras key as api_key; an OpenAI key would be leaked",
    "openai_api_base": "pass base_url",
    "openai_organization": "a Cerebras key names its organisation by itself",
    "openai_proxy": "pass cerebras_proxy",
    "organization": "a Cerebras key names its organisation by itself",
    "verbosity": "the Cerebras API has no verbosity",
    "context_management": "it belongs to OpenAI's Responses API",
    "include": "it belongs to OpenAI's Responses API",
    "prompt_cache_options": "pass prompt_cache_key; caching is automatic",
    "store": "the Cerebras API stores nothing",
    "truncation": "it belongs to OpenAI's Responses API",
    "use_previous_response_id": "it belongs to OpenAI's Responses API",
    "use_responses_api": "the Cerebras API has no Responses endpoint",
    "client": "clients are made when first used; pass http_client to use your own",
    "async_client": "clients are made when first used; pass http_async_client",
    "root_client": "clients are made when first used; pass http_client",
    "root_async_client": "clients are made when first used; pass http_async_client",
}


class Runtime:
    """What a model makes on first use; never copied, pickled or compared."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # making one thing may ask for another
        self.made: dict[str, Any] = {}

    def get(self, name: str, key: object, make: Any) -> Any:
        """Return what was made under a name, made anew when its key has changed."""
        held = self.made.get(name)
        if held is not None and held[0] == key:
            return held[1]
        with self.lock:
            held = self.made.get(name)
            if held is None or held[0] != key:
                held = (key, make())
                self.made[name] = held
            return held[1]

    def __copy__(self) -> Runtime:
        return Runtime()

    def __deepcopy__(self, memo: object) -> Runtime:
        return Runtime()

    def __reduce__(self) -> tuple[type[Runtime], tuple[()]]:
        return (Runtime, ())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Runtime)

    def __hash__(self) -> int:
        return hash(Runtime)


class CerebrasConnection(BaseModel):
    """Fields and clients of a connection to the API."""

    model_config = ConfigDict(
        populate_by_name=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
        # Unknown names are refused by `_prepare`. With `extra="forbid"` mypy's plugin
        # would refuse the aliases as well.
        extra="ignore",
        # Pydantic's own message, the cause of ours, would show the key.
        hide_input_in_errors=True,
    )

    model_name: str = Field(
        alias="model", default_factory=_config.model_from_env, validate_default=True
    )
    """The model's id; `cerebras::` and `cerebras:` before it are dropped.
    Default: `CEREBRAS_MODEL`, else `gpt-oss-120b`."""

    cerebras_api_key: SecretStr | None = Field(
        alias="api_key",
        default_factory=lambda: _secret(_config.key_from_env()),
        validate_default=True,
        repr=False,
    )
    """The key. Default: `CEREBRAS_API_KEY`. Not needed for a base URL on loopback."""

    cerebras_api_base: str = Field(
        alias="base_url",
        default_factory=_config.base_url_from_env,
        validate_default=True,
    )
    """The API's address, with or without `/v1` or `/chat/completions`.
    Default: `CEREBRAS_BASE_URL`, `CEREBRAS_URL`, else the public service."""

    cerebras_proxy: str | None = Field(default=None, repr=False)
    """URL of a proxy. Default: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`."""

    request_timeout: Any = Field(alias="timeout", default=None)
    """Seconds; `(connect, read)`; a mapping of `connect`, `read`, `first_byte` and
    `total`; or an httpx `Timeout`. Seconds alone bound a whole plain call and, in a
    stream, the first byte and every gap. Default: 5 s to connect, 60 s without a byte,
    120 s in all; in a stream 120 s to the first byte, 60 s between bytes, no total."""

    connect_timeout: float | None = None
    """Seconds to connect; overrides what `timeout` says of it."""

    total_timeout: float | None = None
    """Seconds for a whole call, streams included."""

    stream_chunk_timeout: float | None = None
    """Seconds without a byte within a stream."""

    max_retries: int | None = 2
    """How often a failed request is sent again. `None` is the default, 2."""

    retry_policy: RetryPolicy | None = Field(default=None, exclude=True)
    """Waits and limits of the retries; its `max_retries` wins over the field."""

    default_headers: Mapping[str, str] | None = Field(default=None, repr=False)
    """Headers to send with every request."""

    default_query: Mapping[str, object] | None = None
    """Query parameters to send with every request."""

    http_client: Any = Field(default=None, exclude=True, repr=False)
    """Your own `httpx.Client` or `httpx2.Client` for sync calls."""

    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    """Your own `httpx.AsyncClient` or `httpx2.AsyncClient` for async calls."""

    http_socket_options: Any = Field(default=None, exclude=True, repr=False)
    """Socket options, as `(level, option, value)` each."""

    api_version_patch: int | None = None
    """Sent as `X-Cerebras-Version-Patch`: asks for another version of the API."""

    payload_format: Literal["json", "msgpack"] = "json"
    """How bodies are encoded; MessagePack is smaller where prompts hold much code."""

    payload_compression: Literal["gzip"] | None = None
    """Compress bodies, for long prompts over slow lines."""

    on_retired: OnRetired = "error"
    """For a model that the public service serves no more, as the catalog knows it:
    `error` raises at the first call, before anything is sent; `migrate` calls its
    successor; `warn` only warns. At another base URL `error` only warns."""

    on_deprecated: OnDeprecated = "warn"
    """For a model or parameter whose end is told: `warn` once, `error`, `ignore`."""

    include_response_headers: bool = False
    """Put the response's headers into `response_metadata["headers"]`."""

    track_costs: bool = False
    """Know what each call costs: `get_last_cost()`, `get_total_cost()`, `cost_tracker`,
    and `response_metadata["cost_usd"]`, a decimal, once for each answer."""

    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """More keys of the request, sent as they are."""

    extra_body: Mapping[str, Any] | None = None
    """More keys of the request, sent as they are; a call's own are added."""

    _runtime: Runtime = PrivateAttr(default_factory=Runtime)
    # The key that was read from the environment, if that is the one in use.
    _env_key: SecretStr | None = PrivateAttr(default=None)

    _params: ClassVar[Mapping[str, Param]] = {}
    _path: ClassVar[str] = ""
    _operation: ClassVar[str] = "other"
    _also_taken: ClassVar[frozenset[str]] = frozenset()

    if not TYPE_CHECKING:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            for name in ("api_key", "cerebras_api_key"):
                if isinstance(kwargs.get(name), str):  # not for tracebacks
                    kwargs[name] = SecretText(kwargs[name])
            try:
                super().__init__(*args, **self._prepare(kwargs))
            except ValidationError as error:
                raise _as_configuration_error(error, type(self)) from error

    # ----------------------------------------------------------------- constructor

    @classmethod
    def _prepare(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Check the names and ranges of constructor arguments, at once and by name.

        Raises:
            CerebrasConfigurationError: A name or a value is wrong.
        """
        fields = cls.__pydantic_fields__
        aliases = {info.alias: name for name, info in fields.items() if info.alias}
        out: dict[str, Any] = {}
        for name, value in given.items():
            target = aliases.get(name) or ALIASES.get(name) or name
            if target == "model_name" and value is None:
                continue  # "not given", as for the key
            if target in fields:
                if target in out:
                    msg = f"{name!r} and another name of {target!r} are both given."
                    raise CerebrasConfigurationError(msg)
                out[target] = value
            elif name in _INHERITED:
                if value not in (None, False, "", {}, []):
                    msg = (
                        f"{name}={_shown(name, value)} is refused: {_INHERITED[name]}."
                    )
                    raise CerebrasConfigurationError(msg)
            elif name not in cls._also_taken:
                known = {*fields, *aliases, *ALIASES} - set(_INHERITED)
                told = _about_reasoning(name, out.get("model_name", given.get("model")))
                raise CerebrasConfigurationError(told or explain_unknown(name, known))
        for name, value in out.items():
            row = cls._params.get(name) or CLIENT_PARAMS.get(name)
            wrong = check_param(row, value) if row else None
            if wrong:
                raise CerebrasConfigurationError(wrong)
        return out

    @field_validator("model_name")
    @classmethod
    def _check_model_name(cls, value: str) -> str:
        name = _config.strip_provider(value.strip())
        if not name:
            msg = "model is empty; name one, such as 'gpt-oss-120b'."
            raise ValueError(msg)
        return name

    @field_validator("cerebras_api_base", mode="before")
    @classmethod
    def _check_base_url(cls, value: Any) -> str:
        return _config.normalise_base_url(
            str(value) if value else _config.base_url_from_env()
        )

    @field_validator("cerebras_api_key", mode="before")
    @classmethod
    def _check_key(cls, value: Any) -> SecretStr | None:
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value is not None and not isinstance(value, str):
            msg = f"api_key is a {type(value).__name__}; pass a text or SecretStr."
            raise ValueError(msg)
        key = _config.clean_key(value)
        if key:
            _config.check_key_text(key)
        return _secret(key)

    @field_validator("model_kwargs")
    @classmethod
    def _check_model_kwargs(cls, value: dict[str, Any]) -> dict[str, Any]:
        known = {*cls._params, *(param.wire for param in cls._params.values())}
        wrong = sorted(known.intersection(value) | {"model"}.intersection(value))
        if wrong:
            msg = f"model_kwargs holds {wrong}; pass them as arguments of their own."
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _check_connection(self) -> Self:
        key = self._key()
        env_key = _config.key_from_env()
        if key is None and env_key:
            # `api_key=None` means "not given", as everywhere in LangChain.
            _config.check_key_text(env_key)
            self.cerebras_api_key = _secret(env_key)
            key = env_key
        self._env_key = _secret(key) if key == env_key else None
        if key is None and not _config.is_loopback(self.cerebras_api_base):
            msg = (
                f"No API key for {self.cerebras_api_base}: set {_config.ENV_KEY} or "
                f"pass api_key=... to use {type(self).__name__}. Keys are made at "
                "https://cloud.cerebras.ai; a base_url on this machine needs none."
            )
            raise ValueError(msg)
        hint = _config.foreign_key_hint(key) if key else None
        if hint:
            warnings.warn(hint, stacklevel=5)
        for name in ("http_client", "http_async_client"):
            client = getattr(self, name)
            if client is not None and not hasattr(client, "build_request"):
                kind = "AsyncClient" if "async" in name else "Client"
                msg = (
                    f"{name} is of type {type(client).__name__}; pass an httpx.{kind} "
                    f"or httpx2.{kind}."
                )
                raise ValueError(msg)
        if self.cerebras_proxy and (self.http_client or self.http_async_client):
            msg = "cerebras_proxy and a client of your own are both given; choose one."
            raise ValueError(msg)
        self._limits()
        self._headers({})
        self._endings().at_construction(self.model_name)
        return self

    @model_validator(mode="after")
    def _attach_tracker(self) -> Self:
        if self.track_costs and self._find_tracker() is None:
            from langchain_cerebras_ext.costs.tracker import attach_tracker

            attach_tracker(self)
        return self

    # ------------------------------------------------------------------------ costs

    def _find_tracker(self) -> CostTracker | None:
        held: Any = vars(self).get("callbacks")
        for handler in getattr(held, "handlers", held) or ():
            if getattr(handler, "of_model", False):
                return cast("CostTracker", handler)
        return None

    @property
    def cost_tracker(self) -> CostTracker:
        """The tracker of `track_costs=True`: totals by model, tag and user, records.

        Copies of a model share it.

        Raises:
            CerebrasConfigurationError: The model does not track its costs.
        """
        tracker = self._find_tracker() if self.track_costs else None
        if tracker is None:
            msg = (
                f"This {type(self).__name__} does not track its costs: construct it "
                "with track_costs=True, or use track_costs() or a CostTracker."
            )
            raise CerebrasConfigurationError(msg)
        return tracker

    def get_last_cost(self) -> Decimal | None:
        """Return what the call that ended last cost, in USD; needs `track_costs=True`.

        Returns:
            The cost, or `None` where no call has ended or its price is not known.

        Raises:
            CerebrasConfigurationError: The model does not track its costs.
        """
        return self.cost_tracker.get_last_cost()

    def get_total_cost(self) -> Decimal:
        """Return what all calls cost, in USD, as far as it is known.

        Needs `track_costs=True`.

        `cost_tracker.totals` has, beside it, what is not known.

        Raises:
            CerebrasConfigurationError: The model does not track its costs.
        """
        return self.cost_tracker.get_total_cost()

    # --------------------------------------------------------------------- identity

    def model_copy(
        self, *, update: Mapping[str, Any] | None = None, deep: bool = False
    ) -> Self:
        """Return a copy with clients of its own, and with fields changed."""
        copy = super().model_copy(update=update, deep=deep)
        copy._runtime = Runtime()  # noqa: SLF001 - our own class
        # LangChain keeps the serialised form, which is the cache's key, on the object.
        vars(copy).pop("_serialized", None)
        return copy

    def __getstate__(self) -> dict[Any, Any]:
        """Leave out a key of the environment, and what cannot travel."""
        state = super().__getstate__()
        fields = dict(state["__dict__"])
        private = dict(state["__pydantic_private__"] or {})
        if self._env_key is not None:
            if self.cerebras_api_key == self._env_key:
                fields["cerebras_api_key"] = None
            private["_env_key"] = _READ_AGAIN
        fields.pop("_serialized", None)
        return {**state, "__dict__": fields, "__pydantic_private__": private}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Read a key of the environment there again."""
        super().__setstate__(state)
        if self._env_key is not None:
            self._env_key = _secret(_config.key_from_env())
            if self.cerebras_api_key is None:
                self.cerebras_api_key = self._env_key

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy the fields; a client of the user's is shared, it cannot be copied."""
        copy = self.model_copy()
        from copy import deepcopy

        held = vars(copy)
        for name, value in list(held.items()):
            if name not in _SHARED_FIELDS:
                held[name] = deepcopy(value, memo)
        return copy

    def _endings(self) -> Rules:
        """Return what is to be done about models and parameters that end."""
        is_public = _config.is_public_service(self.cerebras_api_base)
        return Rules(
            self.on_retired, self.on_deprecated, is_public, _deprecations.today
        )

    # ------------------------------------------------------------- what a call needs

    def _key(self) -> str | None:
        secret = self.cerebras_api_key
        key = secret.get_secret_value() if secret is not None else None
        return SecretText(key) if key else None

    @property
    def model(self) -> str:
        """The model's id."""
        return self.model_name

    def _defaults(self) -> dict[str, Any]:
        """Return the parameters that are set on the model, by our names."""
        held = self.__dict__
        return {name: held[name] for name in self._params if held[name] is not None}

    def to_json(self) -> Any:
        """Serialise for LangChain, without headers that hold secrets."""
        dumped = super().to_json()  # type: ignore[misc] # of LangChain's base class
        kwargs = dumped.get("kwargs", {})
        headers = kwargs.get("default_headers")
        if headers:
            kwargs["default_headers"] = {
                name: value
                for name, value in headers.items()
                if not _config.is_secret_header(str(name))
            }
        return dumped

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether `dumps` and `load` work; they do."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Return the fields that no dump may hold, and where to read them instead."""
        secrets = {"cerebras_api_key": _config.ENV_KEY}
        if "@" in (self.cerebras_proxy or ""):  # with a user's name and password
            secrets["cerebras_proxy"] = "HTTPS_PROXY"
        return secrets

    def _limits(self) -> _config.CallTimeouts:
        return _config.call_timeouts(
            self.request_timeout,
            connect_s=self.connect_timeout,
            total_s=self.total_timeout,
            between_chunks_s=self.stream_chunk_timeout,
        )

    def _policy(self) -> RetryPolicy:
        if self.retry_policy is not None:
            return self.retry_policy
        retries = 2 if self.max_retries is None else self.max_retries
        return cast(
            "RetryPolicy",
            self._runtime.get(
                "policy", retries, lambda: RetryPolicy(max_retries=retries)
            ),
        )

    def _headers(self, more: Mapping[str, Any]) -> dict[str, str]:
        headers = _config.standard_headers()
        key = self._key()
        if key:
            headers["authorization"] = f"Bearer {key}"
        if self.api_version_patch is not None:
            headers["x-cerebras-version-patch"] = str(self.api_version_patch)
        for given in (self.default_headers, more):
            for name, value in (given or {}).items():
                if value is None:  # as for parameters: taken away
                    headers.pop(str(name).lower(), None)
                    continue
                text = str(value)
                if not _is_header(str(name), text):
                    msg = (
                        f"Header {name!r} has a name or value that cannot be sent: "
                        "no line breaks or other than printable ASCII."
                    )
                    raise CerebrasConfigurationError(msg)
                headers[str(name).lower()] = text
        return headers

    def _url(self, path: str) -> str:
        url = f"{_config.normalise_base_url(self.cerebras_api_base)}{path}"
        if self.default_query:
            from urllib.parse import urlencode

            url = f"{url}?{urlencode(dict(self.default_query), doseq=True)}"
        return url

    def _call(
        self,
        payload: Mapping[str, Any] | None,
        *,
        stream: bool,
        model: str | None = None,
        path: str | None = None,
        method: str = "POST",
        timeout: Any = None,
        headers: Mapping[str, Any] | None = None,
        heard: Callable[..., Any] | None = None,
        input_tokens: Callable[[], int] | None = None,
        asked_model: str | None = None,
        meter: Meter | None = None,
    ) -> Call:
        limits = self._limits() if timeout is None else _config.call_timeouts(timeout)
        sent = self._headers(headers or {})
        body = None if payload is None else self._encoded(payload, sent)
        if stream:
            sent["accept"] = "text/event-stream"
        timeouts: Timeouts = limits.stream if stream else limits.plain
        return Call(
            url=self._url(path or self._path),
            headers=sent,
            body=body,
            timeouts=timeouts,
            policy=self._policy(),
            api_key=self._key(),
            model=model,
            method=method,
            operation=self._operation if path is None else "other",
            payload=payload,
            admission=self._admission(payload, model, input_tokens),
            asked_model=asked_model,
            heard=heard,
            meter=meter,
            count_input=input_tokens,
        )

    def _admission(
        self,
        payload: Mapping[str, Any] | None,
        model: str | None,
        input_tokens: Callable[[], int] | None,
    ) -> Admission | None:
        """Say how large a request is, if a limiter wants to know."""
        limiter: Any = getattr(getattr(self, "rate_limiter", None), "limiter", None)
        if payload is None or input_tokens is None or not hasattr(limiter, "reserve"):
            return None
        most = payload.get("max_completion_tokens") or payload.get("max_tokens")
        return Admission(limiter, model or self.model_name, input_tokens(), most)

    def _encoded(self, payload: Mapping[str, Any], headers: dict[str, str]) -> bytes:
        """Return a body's bytes, and say in the headers what they are."""
        body = encode_payload(payload, form=self.payload_format)
        if self.payload_format == "msgpack":
            headers["content-type"] = "application/vnd.msgpack"
        if self.payload_compression == "gzip":
            headers["content-encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=6)
        return body

    # ---------------------------------------------------------------------- clients

    def _options(self) -> TransportOptions:
        options = self.http_socket_options
        return TransportOptions(
            proxy=self.cerebras_proxy or None,
            socket_options=tuple(tuple(option) for option in options)
            if options
            else None,
        )

    def _transport(self) -> SyncTransport:
        from langchain_cerebras_ext import _http as t

        if self.http_client is not None:
            client = self.http_client
            return cast(
                "SyncTransport",
                self._runtime.get("sync", id(client), lambda: t.HttpxTransport(client)),
            )
        return t.shared_sync_transport(self._options())

    def _atransport(self) -> AsyncTransport:
        from langchain_cerebras_ext import _http as t

        if self.http_async_client is not None:
            client = self.http_async_client
            return cast(
                "AsyncTransport",
                self._runtime.get(
                    "async", id(client), lambda: t.AsyncHttpxTransport(client)
                ),
            )
        return t.shared_async_transport(self._options())

    @property
    def root_client(self) -> Any:
        """The official `openai.OpenAI` client on this model's connection.

        For what this class has no method for; made on first use.
        """
        return self._sdk("OpenAI", self.http_client)

    @property
    def root_async_client(self) -> Any:
        """The official `openai.AsyncOpenAI` client on this model's connection."""
        return self._sdk("AsyncOpenAI", self.http_async_client)

    def _sdk(self, name: str, own_client: Any) -> Any:
        from langchain_cerebras_ext._sdk import make_sdk_client

        headers = self._headers({})
        key = (self._key(), self.cerebras_api_base, tuple(headers.items()))
        return self._runtime.get(
            name,
            key,
            lambda: make_sdk_client(
                name,
                transport=self._transport() if name == "OpenAI" else self._atransport(),
                own_client=own_client,
                api_key=self._key(),
                base_url=_config.normalise_base_url(self.cerebras_api_base),
                headers=headers,
                query=self.default_query,
            ),
        )

    def warm_up(self) -> None:
        """Open the connection now, so that the first call need not.

        Raises:
            CerebrasError: The service cannot be reached.
        """
        from langchain_cerebras_ext._client import send

        send(self._transport(), self._warm_call())

    async def awarm_up(self) -> None:
        """Open the connection of this event loop now.

        Raises:
            CerebrasError: The service cannot be reached.
        """
        from langchain_cerebras_ext._client import asend

        await asend(self._atransport(), self._warm_call())

    def health_check(
        self, *, deep: bool = False, timeout: float = 10.0
    ) -> HealthReport:
        """Look whether the service, the key and the model are well.

        Nothing is tried twice, and no tokens are spent unless `deep`.

        Args:
            deep: Also ask the model for a few tokens.
            timeout: Seconds for all of it.

        Returns:
            What was found; an unwell service is a report whose `ok` is False.

        Raises:
            CerebrasConfigurationError: An argument is wrong.
        """
        from langchain_cerebras_ext import health

        return health.health_check(self, deep=deep, timeout=timeout)

    async def ahealth_check(
        self,
        *,
        deep: bool = False,
        timeout: float = 10.0,  # noqa: ASYNC109 - of one request after the other
    ) -> HealthReport:
        """Look whether the service, the key and the model are well.

        As `health_check`.

        Raises:
            CerebrasConfigurationError: An argument is wrong.
        """
        from langchain_cerebras_ext import health

        return await health.ahealth_check(self, deep=deep, timeout=timeout)

    def _warm_call(self) -> Call:
        return self._call(None, stream=False, path="/tcp_warming", method="GET")

    def close(self) -> None:
        """Close the idle sync connections; the model stays usable."""
        self._transport().close()
        self._runtime.made.pop("OpenAI", None)

    async def aclose(self) -> None:
        """Close the idle connections of this event loop; the model stays usable."""
        await self._atransport().aclose()
        self._runtime.made.pop("AsyncOpenAI", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


def _about_reasoning(name: str, model: Any) -> str | None:
    """Explain another provider's parameter for reasoning by the model's card."""
    from langchain_cerebras_ext.catalog import explain_reasoning_parameter, find_model

    asked = model if isinstance(model, str) else _config.model_from_env()
    return explain_reasoning_parameter(name, find_model(_config.strip_provider(asked)))


def token_aware(limiter: Any) -> Any:
    """Return a limiter of ours as one that models ask by themselves, others as is.

    LangChain asks a model's limiter before it knows how large the request is; this one
    lets it pass, and the request waits where its size is known.
    """
    adapt = getattr(limiter, "as_model_limiter", None)
    return limiter if adapt is None else adapt()


_READ_AGAIN = SecretStr("")
"""Stands in a pickle for a key that is read from the environment."""

_SHARED_FIELDS = {
    "http_client",
    "http_async_client",
    "callbacks",
    "cache",
    "rate_limiter",
    "custom_get_token_ids",
    "_serialized",
}


def _secret(key: str | None) -> SecretStr | None:
    return SecretStr(key) if key else None


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _is_header(name: str, value: str) -> bool:
    return (
        _HEADER_NAME.fullmatch(name) is not None
        and value.isascii()
        and (value.isprintable() or value == "")
    )


_UNSHOWN = ("key", "proxy", "header", "query", "client")


def _shown(name: str, value: Any) -> str:
    return "..." if any(word in name for word in _UNSHOWN) else repr(value)


def _as_configuration_error(
    error: ValidationError, cls: type[BaseModel]
) -> CerebrasConfigurationError:
    """Return our error with pydantic's findings; values of secrets stay out."""
    lines: list[str] = []
    for item in error.errors(include_url=False):
        place = ".".join(str(part) for part in item["loc"])
        said = str(item["msg"]).removeprefix("Value error, ")
        if item["type"] == "value_error":  # of our validators, which say it all
            lines.append(said)
        else:
            lines.append(f"{place}={_shown(place, item['input'])}: {said}")
    return CerebrasConfigurationError(f"{cls.__name__}: {'; '.join(lines)}")
