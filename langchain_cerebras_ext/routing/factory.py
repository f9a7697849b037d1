"""`create_chat_model`: a chat model by its name, whoever's it is."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from pydantic import SecretStr

from langchain_cerebras_ext._config import ENV_KEY, clean_key, is_loopback, key_from_env
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    MissingExtraError,
    SecretText,
)
from langchain_cerebras_ext.routing._cache import Cache, copied, digest, frozen
from langchain_cerebras_ext.routing.environment import (
    ENVIRONMENT,
    PLAIN,
    choose,
    find_settings,
    missing_settings,
    open_variables,
)
from langchain_cerebras_ext.routing.providers import CEREBRAS

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from langchain_core.language_models.chat_models import BaseChatModel

    from langchain_cerebras_ext.routing.configurable import ConfigurableChatModel
    from langchain_cerebras_ext.routing.environment import (
        Chosen,
        Dotenv,
        Found,
        Variables,
    )
    from langchain_cerebras_ext.routing.providers import Provider, Setting

__all__ = ["CACHE_SIZE", "clear_cache", "create_chat_model", "find_problems"]

CACHE_SIZE: Final = 128
"""How many instances are kept."""

# LangSmith's gateway: with it a package chooses address and key by itself.
_GATEWAY: Final = "LANGSMITH_GATEWAY"
GATEWAY_READS: Final = (_GATEWAY, "LANGSMITH_GATEWAY_API_KEY", "LANGSMITH_API_KEY")
_OFF: Final = frozenset({"false", "0", "no"})
_OWN_PREFIX: Final = "csk-"
_SECRETS: Final = ("api_key", "_token", "_secret", "_access_key", "password", "_proxy")

_instances: Cache[BaseChatModel] = Cache(CACHE_SIZE)


@overload
def create_chat_model(
    name: str | None = None,
    *,
    provider: str | None = None,
    configurable: Literal[False] = False,
    cache: bool = True,
    dotenv: Dotenv | None = None,
    **kwargs: Any,
) -> BaseChatModel: ...


@overload
def create_chat_model(
    name: str | None = None,
    *,
    provider: str | None = None,
    configurable: Literal[True] | Sequence[str],
    config_prefix: str | None = None,
    cache: bool = True,
    dotenv: Dotenv | None = None,
    **kwargs: Any,
) -> ConfigurableChatModel: ...


def create_chat_model(
    name: str | None = None,
    *,
    provider: str | None = None,
    configurable: bool | Sequence[str] = False,
    config_prefix: str | None = None,
    cache: bool = True,
    dotenv: Dotenv | None = None,
    **kwargs: Any,
) -> BaseChatModel:
    """Return the chat model of a name, or the one that the environment names.

    Cerebras's models are `ChatCerebras`; others are made by LangChain's
    `init_chat_model`, with their own packages. Each gets its own provider's key, from
    the provider's own variable. The same configuration gives the same object, which
    all its users share; what the environment says is part of the configuration.

    Args:
        name: `provider::model`, such as `google::gemini-3.8-flash`; or an id of
            Cerebras's. Not given, `MODEL_PROVIDER` says whose (default: Cerebras's),
            and `CEREBRAS_MODEL`, `GOOGLE_MODEL`, ... which.
        provider: Whose, instead of `MODEL_PROVIDER`. A name needs no prefix then.
        configurable: True lets each call choose:
            `model.invoke(..., config={"configurable": {"model": "google::..."}})`.
            Names of further arguments let it choose those too.
        config_prefix: Tells several such models of one chain apart: with `"writer"`
            a call chooses by `writer_model`.
        cache: False makes an object of its own.
        dotenv: True looks for a file `.env` in the working directory and above; a path,
            or several, names it. What the environment has goes first.
        kwargs: The constructor's arguments, such as `temperature`.

    Raises:
        CerebrasConfigurationError: There is no such provider, no model is named, or a
            key or an address is missing: the message names the variable.
        MissingExtraError: The provider's package is not installed; it says the line
            that installs it.

    Example:
        ```python
        from langchain_cerebras_ext import create_chat_model

        model = create_chat_model("cerebras::gpt-oss-120b", temperature=0)
        print(model.invoke("Why is the sky blue?").text)
        ```
    """
    if kwargs:
        name = _one_name(name, kwargs.pop("model", None))
        _hide_secrets(kwargs)
    if configurable is not False:
        from langchain_cerebras_ext.routing.configurable import make_configurable

        return make_configurable(
            name,
            provider=provider,
            fields=() if configurable is True else configurable,
            prefix=config_prefix,
            cache=cache,
            dotenv=dotenv,
            given=kwargs,
        )
    if config_prefix is not None:
        msg = f"config_prefix={config_prefix!r} needs configurable=True."
        raise CerebrasConfigurationError(msg)
    variables = PLAIN if dotenv is None else open_variables(dotenv)
    chosen = choose(name, provider=provider, variables=variables)
    settings = find_settings(chosen.row, kwargs, variables)
    if not cache:
        return _make(chosen, settings, kwargs, variables)
    key = _key_of(chosen, settings, kwargs, variables)
    return _instances.get(
        key, lambda: _make(chosen, settings, copied(kwargs), variables)
    )


def clear_cache() -> None:
    """Forget the instances; who has one keeps it."""
    _instances.clear()


def _hide_secrets(given: dict[str, Any]) -> None:
    """Keep keys out of tracebacks that show variables."""
    for name, value in given.items():
        if type(value) is str and name.endswith(_SECRETS):
            given[name] = SecretText(value)


def _one_name(name: str | None, model: Any) -> Any:
    if name is not None and model is not None and model != name:
        msg = f"The name {name!r} and model={model!r} are both given; give one."
        raise CerebrasConfigurationError(msg)
    return model if name is None else name


def _key_of(
    chosen: Chosen,
    settings: Mapping[str, Found],
    given: Mapping[str, Any],
    variables: Variables,
) -> Hashable:
    """Return all that decides what is made; a secret is there by its digest."""
    row = chosen.row
    reads = (*row.reads, *GATEWAY_READS) if row.has_gateway else row.reads
    found = [variables.find(name) for name in reads]
    return (
        row,
        chosen.model,
        tuple((field, frozen(one.value, field)) for field, one in settings.items()),
        tuple(digest(one.value) if one else None for one in found),
        frozen(given) if given else None,
    )


# ---------------------------------------------------------------------------- making


def _make(
    chosen: Chosen,
    settings: Mapping[str, Found],
    given: Mapping[str, Any],
    variables: Variables,
) -> BaseChatModel:
    row = chosen.row
    absent, lacks = find_problems(chosen, settings, given, variables)
    if absent is not None:
        raise MissingExtraError(" ".join([*lacks, absent]))
    if lacks:
        raise CerebrasConfigurationError(" ".join(lacks))
    handed = {name: _handed(one) for name, one in settings.items()}
    arguments = {**dict(row.fixed), **handed, **given}
    if row.name == CEREBRAS:
        # What the model reads by itself it does not carry with it when it is pickled.
        own = [name for name, one in settings.items() if one.origin == ENVIRONMENT]
        arguments = {k: v for k, v in arguments.items() if k in given or k not in own}
    if row.model_also:
        arguments.setdefault(row.model_also, chosen.model)
    if _speaks_openai(row):
        return _make_compatible(row, chosen.model, arguments)
    if row.make is not None:
        make: Any = _load(row.make) if isinstance(row.make, str) else row.make
        return _checked(make(model=chosen.model, **arguments), row)
    return _make_by_langchain(row, chosen.model, arguments, settings, variables)


def _checked(made: Any, row: Provider) -> BaseChatModel:
    """Return what a provider's own maker has made, if it is a chat model."""
    from langchain_core.language_models.chat_models import BaseChatModel

    if isinstance(made, BaseChatModel):
        return made
    msg = (
        f"The provider {row.name!r} has made a {type(made).__name__} and no chat "
        "model: its `make` must return a BaseChatModel."
    )
    raise CerebrasConfigurationError(msg)


def _handed(found: Found) -> str:
    # Hidden in tracebacks, and yet a text, which every constructor takes.
    return found.value if isinstance(found.value, SecretText) else str(found.value)


def _load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def _speaks_openai(row: Provider) -> bool:
    """Whether OpenAI's client is to be used: by nature, or for want of a package."""
    if row.is_openai_server:
        return True
    return row.openai_url is not None and not _is_there(row.module)


def _is_there(module: str | None) -> bool:
    try:
        return module is None or find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _make_compatible(
    row: Provider, model: str, arguments: dict[str, Any]
) -> BaseChatModel:
    from langchain_cerebras_ext.routing._compatible import ChatCompatible

    arguments.setdefault("base_url", row.openai_url)
    # Without a key the client would take OpenAI's.
    arguments.setdefault("api_key", "none")
    arguments.setdefault("stream_usage", True)
    arguments.setdefault("use_responses_api", False)
    return ChatCompatible(model=model, provider=row.name, **arguments)


def _make_by_langchain(
    row: Provider,
    model: str,
    arguments: dict[str, Any],
    settings: Mapping[str, Found],
    variables: Variables,
) -> BaseChatModel:
    if _uses_gateway(row, arguments, variables):
        key = row.key.field if row.key else ""
        if key in settings and settings[key].origin == ENVIRONMENT:
            del arguments[key]  # the gateway's own is due
    try:
        from langchain.chat_models import init_chat_model

        made: BaseChatModel = init_chat_model(
            model, model_provider=row.langchain_name, **arguments
        )
    except ImportError as error:
        msg = (
            f"{row.label} needs {row.package}, which cannot be imported: {error}. Run: "
            f"{row.install}"
        )
        raise MissingExtraError(msg) from error
    return made


def _uses_gateway(
    row: Provider, arguments: Mapping[str, Any], variables: Variables
) -> bool:
    if not row.has_gateway or arguments.get("base_url") is not None:
        return False
    found = variables.find(_GATEWAY)
    return found is not None and found.value.lower() not in _OFF


# ---------------------------------------------------------------------------- checks


def find_problems(
    chosen: Chosen,
    settings: Mapping[str, Found],
    given: Mapping[str, Any],
    variables: Variables = PLAIN,
) -> tuple[str | None, list[str]]:
    """Return why a model cannot be made, as far as is known before.

    Args:
        chosen: The model.
        settings: What the environment has for it.
        given: The program's arguments.
        variables: The environment.

    Returns:
        What is not installed, with the line that installs it, if anything; and what is
        not set or must not be.
    """
    row = chosen.row
    lacks = [
        _cure(one, chosen)
        for one in missing_settings(row, given, settings)
        if not _is_excused(one, row, {**settings, **given}, variables)
    ]
    if row.is_built_in and row.name != CEREBRAS:
        values = {name: one.value for name, one in settings.items()}
        lacks += _given_away(row, {**values, **given})
    packages = _missing_packages(row, in_form=_speaks_openai(row))
    if not packages:
        return None, lacks
    verb = "is" if len(packages) == 1 else "are"
    absent = (
        f"{row.label} needs {' and '.join(packages)}, which {verb} not installed. Run: "
        f"{row.install}"
    )
    return absent, lacks


def _missing_packages(row: Provider, *, in_form: bool) -> list[str]:
    if in_form:
        return [] if _is_there("langchain_openai") else [row.package or ""]
    missing = [] if _is_there(row.module) else [row.package or row.module or ""]
    if row.make is None and not _is_there("langchain"):
        missing.insert(0, "langchain")
    return missing


def _is_excused(
    one: Setting, row: Provider, said: Mapping[str, Any], variables: Variables
) -> bool:
    """Whether a key is not needed after all."""
    if one is not row.key:
        return False
    if row.name == CEREBRAS:
        url = said.get("base_url") or said.get("cerebras_api_base")
        text = getattr(url, "value", url)
        return isinstance(text, str) and is_loopback(_with_scheme(text))
    return _uses_gateway(row, said, variables)


def _with_scheme(url: str) -> str:
    return url if "://" in url else f"//{url}"


def _cure(one: Setting, chosen: Chosen) -> str:
    row = chosen.row
    first, *others = one.variables
    hint = f" (or {', '.join(others)})" if others else ""
    text = (
        f"Set {first}{hint} or pass {one.field}=... to use {chosen.target}: "
        f"{one.about} missing."
    )
    if one is row.key and row.key_url:
        text += f" Keys are made at {row.key_url}."
    return text


def _given_away(row: Provider, arguments: Mapping[str, Any]) -> list[str]:
    """Return what to say where Cerebras's key would go to another company."""
    own = key_from_env()
    said: list[str] = []
    for one in row.settings:
        values = [arguments.get(name) for name in (one.field, *one.also)]
        if one.is_secret and any(_is_own_key(value, own) for value in values):
            said.append(
                f"The key for {row.label} is one of Cerebras's, and would be given "
                f"away. {ENV_KEY} is for Cerebras alone; set {one.variables[0]} or "
                f"pass {one.field}=... with a key of {row.label}."
            )
    return said


def _is_own_key(value: Any, own: str | None) -> bool:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str):
        return False
    text = clean_key(text) or ""
    return text.startswith(_OWN_PREFIX) or (own is not None and text == own)
