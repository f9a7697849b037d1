"""The providers that names may begin with: rows of facts, and a registry for more.

A row says where a provider's key, model and address come from, which package talks to
it and how that is installed. Nothing is imported until a model of it is made. Other
packages add rows with `register_provider`, or by an entry point of the group
`langchain_cerebras_ext.providers`.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from dataclasses import replace as changed
from datetime import date
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from langchain_cerebras_ext._config import DEFAULT_BASE_URL, DEFAULT_MODEL
from langchain_cerebras_ext.catalog import list_models
from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langchain_core.language_models.chat_models import BaseChatModel

    Maker: TypeAlias = Callable[..., BaseChatModel]

__all__ = [
    "CEREBRAS",
    "Provider",
    "Setting",
    "Suggestion",
    "broken_providers",
    "find_provider",
    "get_provider",
    "list_providers",
    "register_provider",
    "unregister_provider",
]

CEREBRAS: Final = "cerebras"
ENTRY_POINTS: Final = "langchain_cerebras_ext.providers"
"""The group of entry points. An entry point's name is the provider's; it is a
`Provider`, or whatever `register_provider` takes as `make`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Something that a provider's model takes from the environment.

    Attributes:
        field: The constructor's argument that it is handed as.
        variables: Where it is looked for, in this order.
        about: What it is, in a few words.
        also: Other arguments that stand for it; with one of them nothing is looked for.
        is_secret: Whether nobody may see it.
        is_needed: Whether there is no model without it.
        default: What holds where nothing is set, for people to read.
    """

    field: str
    variables: tuple[str, ...]
    about: str
    also: tuple[str, ...] = ()
    is_secret: bool = False
    is_needed: bool = False
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A current model of a provider.

    Attributes:
        model: Its id.
        strength: What it is good for, in a few words.
        checked_on: The day on which it was found; `None` of what was registered.
        source: Where.
    """

    model: str
    strength: str
    checked_on: date | None
    source: str


# Compared by identity: a row that was replaced is another provider.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Provider:
    """What is known of a provider.

    Attributes:
        name: What stands before `::`; lower case.
        label: What people call it.
        aliases: Other names for it.
        langchain_name: `init_chat_model`'s name for it.
        make: Makes a model instead of `init_chat_model`: called with `model=`, the
            settings and the user's arguments. A text is `module:name`, loaded late.
        package: What `pip install` takes to get its integration.
        module: The module that the package brings, to see whether it is there.
        openai_url: The address of its API in OpenAI's form, for where its own package
            is not installed, or where there is none.
        is_openai_server: Whether nothing but OpenAI's form is spoken there.
        model_variable: The variable that names the model.
        settings: Key, base URL and whatever else comes from the environment.
        model_also: Another argument of the constructor that takes the model's name.
        fixed: Arguments that are always handed, unless the user gives them.
        reads: Further variables that its package looks at by itself.
        has_gateway: Whether its package obeys `LANGSMITH_GATEWAY`.
        credentials: How it knows who calls, where that is no key.
        suggestion: A current model; `None` where names are the user's own.
        key_url: Where keys are made.
    """

    name: str
    label: str
    aliases: tuple[str, ...] = ()
    langchain_name: str | None = None
    make: Maker | str | None = None
    package: str | None = None
    module: str | None = None
    openai_url: str | None = None
    is_openai_server: bool = False
    model_variable: str = ""
    settings: tuple[Setting, ...] = ()
    model_also: str | None = None
    fixed: tuple[tuple[str, Any], ...] = ()
    reads: tuple[str, ...] = ()
    has_gateway: bool = False
    credentials: str = ""
    suggestion: Suggestion | None = None
    key_url: str | None = None
    is_built_in: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        """Name the variable of the model as all others are."""
        if not self.model_variable:
            variable = f"{_variable_stem(self.name)}_MODEL"
            object.__setattr__(self, "model_variable", variable)

    @property
    def key(self) -> Setting | None:
        """The setting that is its key."""
        return next((one for one in self.settings if one.field == "api_key"), None)

    @property
    def install(self) -> str | None:
        """The line that installs its integration; `None` where nothing is needed."""
        if self.package is None:
            return None
        return f"pip install 'langchain-cerebras-ext[router]' {self.package}"

    @property
    def current_model(self) -> str | None:
        """The id of a current model; of Cerebras, one that the catalog has as served.

        `None` where names are the user's own.
        """
        if self.name == CEREBRAS:
            return _served_by_cerebras()
        return self.suggestion.model if self.suggestion else None

    def say_example(self) -> str:
        """Return a sentence with a current model, or nothing."""
        model = self.current_model
        return f" A current one is '{self.name}::{model}'." if model else ""


def _served_by_cerebras() -> str:
    served = [card.id for card in list_models("active")]
    return served[0] if served and DEFAULT_MODEL not in served else DEFAULT_MODEL


def _variable_stem(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


# ------------------------------------------------------------------------- the table


def _key(*variables: str, also: str = "", is_needed: bool = True) -> Setting:
    return Setting(
        field="api_key",
        variables=variables,
        about="API key",
        also=tuple(also.split()),
        is_secret=True,
        is_needed=is_needed,
    )


def _url(
    *variables: str,
    also: str = "",
    is_needed: bool = False,
    default: str | None = None,
) -> Setting:
    return Setting(
        field="base_url",
        variables=variables,
        about="address of the API",
        also=tuple(also.split()),
        is_needed=is_needed,
        default=default,
    )


_CHECKED: Final = date(2026, 11, 21)


def _priced(model: str, strength: str) -> Suggestion:
    """Return a model that the library of prices has as one that is sold."""
    return Suggestion(model, strength, _CHECKED, "genai-prices 0.2.3")


_GEMINI: Final = Suggestion(
    "gemini-3.8-flash",
    "long documents, images, video; a million tokens of context",
    _CHECKED,
    "https://ai.google.dev/gemini-api/docs/deprecations",
)

BUILT_IN: Final = (
    Provider(
        name=CEREBRAS,
        label="Cerebras Inference",
        make="langchain_cerebras_ext.chat_models:ChatCerebras",
        settings=(
            _key("CEREBRAS_API_KEY", also="cerebras_api_key"),
            _url(
                "CEREBRAS_BASE_URL",
                "CEREBRAS_URL",
                "CEREBRAS_API_BASE",
                also="cerebras_api_base",
                default=DEFAULT_BASE_URL,
            ),
        ),
        key_url="https://cloud.cerebras.ai",
    ),
    Provider(
        name="google",
        label="Google Gemini API",
        aliases=("gemini", "google_genai"),
        langchain_name="google_genai",
        package="langchain-google-genai",
        module="langchain_google_genai",
        settings=(
            _key("GOOGLE_API_KEY", "GEMINI_API_KEY", also="google_api_key"),
            _url("GOOGLE_BASE_URL", "GOOGLE_GEMINI_BASE_URL", also="client_options"),
        ),
        # GOOGLE_GENAI_USE_VERTEXAI would send this to another product.
        fixed=(("vertexai", False),),
        has_gateway=True,
        suggestion=_GEMINI,
        key_url="https://aistudio.google.com/apikey",
    ),
    Provider(
        name="openrouter",
        label="OpenRouter",
        langchain_name="openrouter",
        package="langchain-openrouter",
        module="langchain_openrouter",
        openai_url="https://openrouter.ai/api/v1",
        settings=(
            _key("OPENROUTER_API_KEY", also="openrouter_api_key"),
            _url(
                "OPENROUTER_BASE_URL",
                "OPENROUTER_API_BASE",
                also="openrouter_api_base",
                default="https://openrouter.ai/api/v1",
            ),
        ),
        reads=("OPENROUTER_APP_URL", "OPENROUTER_APP_TITLE", "OPENROUTER_SESSION_ID"),
        suggestion=_priced(
            "anthropic/claude-sonnet-5.5", "hundreds of models with one key and bill"
        ),
        key_url="https://openrouter.ai/settings/keys",
    ),
    Provider(
        name="openai",
        label="OpenAI",
        langchain_name="openai",
        package="langchain-openai",
        module="langchain_openai",
        settings=(
            _key("OPENAI_API_KEY", also="openai_api_key"),
            _url("OPENAI_BASE_URL", "OPENAI_API_BASE", also="openai_api_base"),
        ),
        reads=("OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT_ID"),
        has_gateway=True,
        suggestion=_priced("gpt-6.1-terra", "images, computer use, general work"),
        key_url="https://platform.openai.com/api-keys",
    ),
    Provider(
        name="anthropic",
        label="Anthropic",
        aliases=("claude",),
        langchain_name="anthropic",
        package="langchain-anthropic",
        module="langchain_anthropic",
        settings=(
            _key("ANTHROPIC_API_KEY", also="anthropic_api_key"),
            _url("ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL", also="anthropic_api_url"),
        ),
        reads=("ANTHROPIC_PROXY",),
        has_gateway=True,
        suggestion=_priced("claude-sonnet-5-5", "agents, code, careful writing"),
        key_url="https://platform.claude.com/settings/keys",
    ),
    Provider(
        name="groq",
        label="Groq",
        langchain_name="groq",
        package="langchain-groq",
        module="langchain_groq",
        settings=(
            _key("GROQ_API_KEY", also="groq_api_key"),
            _url("GROQ_BASE_URL", "GROQ_API_BASE", also="groq_api_base"),
        ),
        reads=("GROQ_PROXY",),
        suggestion=_priced("openai/gpt-oss-120b", "open models, fast"),
        key_url="https://console.groq.com/keys",
    ),
    Provider(
        name="mistral",
        label="Mistral AI",
        aliases=("mistralai",),
        langchain_name="mistralai",
        package="langchain-mistralai",
        module="langchain_mistralai",
        settings=(
            _key("MISTRAL_API_KEY", also="mistral_api_key"),
            _url("MISTRAL_BASE_URL", also="endpoint"),
        ),
        suggestion=_priced("mistral-large-4", "European languages, hosted in Europe"),
        key_url="https://console.mistral.ai/api-keys",
    ),
    Provider(
        name="deepseek",
        label="DeepSeek",
        langchain_name="deepseek",
        package="langchain-deepseek",
        module="langchain_deepseek",
        settings=(
            _key("DEEPSEEK_API_KEY", also="openai_api_key"),
            _url("DEEPSEEK_BASE_URL", "DEEPSEEK_API_BASE", also="api_base"),
        ),
        suggestion=_priced("deepseek-flash", "low prices"),
        key_url="https://platform.deepseek.com/api_keys",
    ),
    Provider(
        name="xai",
        label="xAI",
        aliases=("grok", "x_ai"),
        langchain_name="xai",
        package="langchain-xai",
        module="langchain_xai",
        settings=(
            _key("XAI_API_KEY", also="xai_api_key"),
            _url("XAI_BASE_URL", "XAI_API_BASE", also="xai_api_base"),
        ),
        suggestion=_priced("grok-4.7", "agents, knowledge work"),
        key_url="https://console.x.ai",
    ),
    Provider(
        name="together",
        label="Together AI",
        aliases=("togetherai", "together_ai"),
        langchain_name="together",
        package="langchain-together",
        module="langchain_together",
        settings=(
            _key("TOGETHER_API_KEY", also="together_api_key"),
            _url("TOGETHER_BASE_URL", "TOGETHER_API_BASE", also="together_api_base"),
        ),
        suggestion=_priced("openai/gpt-oss-120b", "many open models"),
        key_url="https://api.together.ai/settings/api-keys",
    ),
    Provider(
        name="fireworks",
        label="Fireworks AI",
        aliases=("fireworksai", "fireworks_ai"),
        langchain_name="fireworks",
        package="langchain-fireworks",
        module="langchain_fireworks",
        settings=(
            _key("FIREWORKS_API_KEY", also="fireworks_api_key"),
            _url("FIREWORKS_BASE_URL", "FIREWORKS_API_BASE", also="fireworks_api_base"),
        ),
        has_gateway=True,
        suggestion=_priced(
            "accounts/fireworks/models/gpt-oss-120b", "open models, fine-tuned ones"
        ),
        key_url="https://app.fireworks.ai/settings/users/api-keys",
    ),
    Provider(
        name="azure",
        label="Azure OpenAI",
        aliases=("azure_openai",),
        langchain_name="azure_openai",
        package="langchain-openai",
        module="langchain_openai",
        model_also="azure_deployment",
        settings=(
            _key(
                "AZURE_OPENAI_API_KEY",
                also="openai_api_key azure_ad_token azure_ad_token_provider",
            ),
            Setting(
                field="azure_ad_token",
                variables=("AZURE_OPENAI_AD_TOKEN",),
                about="token of Entra ID, instead of a key",
                is_secret=True,
            ),
            Setting(
                field="azure_endpoint",
                variables=("AZURE_OPENAI_ENDPOINT",),
                about="address of your resource",
                also=("base_url",),
                is_needed=True,
            ),
            Setting(
                field="api_version",
                variables=("OPENAI_API_VERSION",),
                about="version of the API",
                also=("openai_api_version",),
                is_needed=True,
            ),
        ),
        key_url="https://portal.azure.com",
    ),
    Provider(
        name="bedrock",
        label="Amazon Bedrock",
        aliases=("aws", "bedrock_converse"),
        langchain_name="bedrock_converse",
        package="langchain-aws",
        module="langchain_aws",
        settings=(
            _key("AWS_BEARER_TOKEN_BEDROCK", also="bedrock_api_key", is_needed=False),
            Setting(
                field="region_name",
                variables=("AWS_REGION", "AWS_DEFAULT_REGION"),
                about="region",
            ),
        ),
        reads=("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        has_gateway=True,
        credentials="AWS's own chain: variables, a profile, a role",
        suggestion=_priced(
            "us.anthropic.claude-sonnet-5-5", "inside an AWS account and its regions"
        ),
    ),
    Provider(
        name="vertex",
        label="Google Vertex AI",
        aliases=("vertexai", "vertex_ai", "google_vertexai"),
        # `langchain-google-vertexai` has handed its chat model over to this package.
        langchain_name="google_genai",
        package="langchain-google-genai",
        module="langchain_google_genai",
        settings=(
            Setting(
                field="project",
                variables=("GOOGLE_CLOUD_PROJECT",),
                about="project",
                is_needed=True,
            ),
            Setting(
                field="location", variables=("GOOGLE_CLOUD_LOCATION",), about="region"
            ),
        ),
        # The key of the Gemini API is not for this one.
        fixed=(("vertexai", True), ("api_key", None)),
        reads=("GOOGLE_APPLICATION_CREDENTIALS",),
        credentials="Google's own chain: gcloud's login, or the file that "
        "GOOGLE_APPLICATION_CREDENTIALS names",
        suggestion=_GEMINI,
    ),
    Provider(
        name="ollama",
        label="Ollama",
        langchain_name="ollama",
        package="langchain-ollama",
        module="langchain_ollama",
        settings=(
            _url("OLLAMA_BASE_URL", "OLLAMA_HOST", default="http://127.0.0.1:11434"),
        ),
        credentials="none: a server of your own",
        suggestion=Suggestion(
            "gpt-oss:20b",
            "nothing leaves the machine",
            _CHECKED,
            "https://ollama.com/library/gpt-oss",
        ),
    ),
    Provider(
        name="local",
        label="a server that speaks OpenAI's API",
        package="langchain-openai",
        module="langchain_openai",
        is_openai_server=True,
        settings=(
            _key("LOCAL_API_KEY", also="openai_api_key", is_needed=False),
            _url("LOCAL_BASE_URL", also="openai_api_base", is_needed=True),
        ),
        credentials="none needed: a server of your own",
    ),
)


# ---------------------------------------------------------------------- the registry


def _plain(name: str) -> str:
    """Return a provider's name without what does not count: case, blanks, dashes."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


_REPLACE: Final = " replace=True takes its place."


class _Registry:
    """Rows by name and alias; those of entry points are loaded when asked for."""

    def __init__(self, rows: Iterable[Provider]) -> None:
        self._lock = threading.RLock()
        self._rows: dict[str, Provider] = {}
        self._names: dict[str, Provider] = {}
        self._points: dict[str, metadata.EntryPoint] | None = None
        self.broken: dict[str, str] = {}
        self._own = [changed(row, is_built_in=True) for row in rows]
        for row in self._own:
            self.add(row)

    def add(self, row: Provider, *, over: bool = False) -> None:
        """Add a row.

        Args:
            row: The row.
            over: Let it take the place of one that has its name, or an alias.

        Raises:
            CerebrasConfigurationError: A name is taken.
        """
        with self._lock:
            names = {_plain(name) for name in (row.name, *row.aliases)}
            taken = [name for name in sorted(names) if name in self._names]
            for name in taken:
                held = self._names[name]
                if not over or held.name == CEREBRAS:
                    hint = "" if held.name == CEREBRAS else _REPLACE
                    msg = f"There is a provider {name!r} already: {held.label}.{hint}"
                    raise CerebrasConfigurationError(msg)
            self._rows[row.name] = row
            self._names.update(dict.fromkeys(names, row))

    def remove(self, row: Provider) -> None:
        """Take a row out; what it had taken the place of comes back."""
        with self._lock:
            del self._rows[row.name]
            self._names = {k: v for k, v in self._names.items() if v is not row}
            for old in self._own:
                self._rows.setdefault(old.name, old)
                for name in (old.name, *old.aliases):
                    self._names.setdefault(_plain(name), old)

    def find(self, text: str) -> Provider | None:
        row = self._names.get(text) or self._names.get(_plain(text))
        return row if row is not None else self._load(_plain(text))

    def rows(self) -> tuple[Provider, ...]:
        for name in list(self._entry_points()):
            try:
                self._load(name)
            except CerebrasConfigurationError:
                continue  # kept in `broken`
        with self._lock:
            return tuple(self._rows.values())

    def names(self) -> list[str]:
        """Return all names and aliases, without loading anything."""
        with self._lock:
            return [*self._names, *self._entry_points()]

    def _entry_points(self) -> dict[str, metadata.EntryPoint]:
        """Return the entry points that are not loaded yet; what is here goes first."""
        if self._points is None:
            found = {_plain(one.name): one for one in _find_entry_points()}
            with self._lock:
                self._points = {k: v for k, v in found.items() if k not in self._names}
        return self._points

    def _load(self, name: str) -> Provider | None:
        points = self._entry_points()
        point = points.get(name)
        if point is None:
            return None
        try:
            row = _row_of(name, point.load())
            with self._lock:
                if name not in self._names:  # else another thread was quicker
                    self.add(row)
                points.pop(name, None)
                return self._names[name]
        except Exception as error:
            msg = (
                f"The provider {name!r} cannot be loaded from its entry point "
                f"{point.value!r}: {type(error).__name__}: {error}"
            )
            self.broken[name] = msg
            raise CerebrasConfigurationError(msg) from error


def _find_entry_points() -> Iterable[metadata.EntryPoint]:
    return metadata.entry_points(group=ENTRY_POINTS)


def _row_of(name: str, made: Any) -> Provider:
    if isinstance(made, Provider):
        row = changed(made, name=name, is_built_in=False)
        _check_address(row)
        return row
    if callable(made):
        return Provider(name=name, label=name, make=cast("Maker", made))
    msg = f"it is a {type(made).__name__}, neither a Provider nor callable"
    raise TypeError(msg)


_registry = _Registry(BUILT_IN)


def find_provider(name: str) -> Provider | None:
    """Return the provider of a name or alias, or `None` if there is none."""
    return _registry.find(name)


def get_provider(name: str) -> Provider:
    """Return the provider of a name or alias; case and blanks do not count.

    Raises:
        CerebrasConfigurationError: There is none; the nearest is named.
    """
    row = _registry.find(name)
    if row is None:
        raise _unknown(name)
    return row


def list_providers() -> tuple[Provider, ...]:
    """Return all providers: the built-in ones first, then those that were added."""
    return _registry.rows()


def broken_providers() -> dict[str, str]:
    """Return why providers of entry points could not be loaded, by name."""
    _registry.rows()
    return dict(_registry.broken)


def _unknown(name: str) -> CerebrasConfigurationError:
    from difflib import get_close_matches

    names = _registry.names()
    near = get_close_matches(_plain(name), names, n=1, cutoff=_NEAR)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    rows = ", ".join(sorted({row.name for row in _registry.rows()}))
    return CerebrasConfigurationError(
        f"There is no provider {name.strip()!r}. {hint}There are: {rows}. "
        "register_provider() adds another."
    )


_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]*")
_NEAR: Final = 0.7  # less would call 'nope' a slip for 'openai'


def register_provider(
    name: str | Provider,
    make: Maker | str | None = None,
    *,
    label: str | None = None,
    aliases: Iterable[str] = (),
    base_url: str | None = None,
    key_variables: Iterable[str] | None = None,
    base_url_variables: Iterable[str] | None = None,
    model_variable: str | None = None,
    package: str | None = None,
    module: str | None = None,
    current_model: str | None = None,
    replace: bool = False,
) -> Provider:
    """Add a provider, so that `name::model` means a model of it.

    Args:
        name: What stands before `::`; letters, digits, `_`, `.`, `-`. A `Provider` is
            added as it is.
        make: Makes a model: a class or function that takes `model=`, the key and base
            URL if there are such variables, and the arguments of `create_chat_model`.
            A text is `module:name`, loaded when it is first used. Not given, models
            are those of a server that speaks OpenAI's API.
        label: What people call it.
        aliases: Other names.
        base_url: The server's address, where `make` is not given.
        key_variables: Where the key is looked for, which is needed then. Default: none
            with `make`, else `NAME_API_KEY`.
        base_url_variables: Where another address is looked for. Default: none with
            `make`, else `NAME_BASE_URL`.
        model_variable: The variable that names the model. Default: `NAME_MODEL`.
        package: What `pip install` takes, to say so where `module` is missing.
        module: The module that it needs.
        current_model: A model, for messages that suggest one.
        replace: Take the place of the provider that has the name; not of `cerebras`.

    Raises:
        CerebrasConfigurationError: The name cannot be one or is taken, or there is
            neither `make` nor an address nor a variable that names one.

    Example:
        ```python
        from langchain_cerebras_ext.routing import create_chat_model, register_provider

        register_provider("acme", base_url="https://llm.acme.example/v1")
        model = create_chat_model("acme::house-model")  # key: ACME_API_KEY
        ```
    """
    if isinstance(name, Provider):
        row = changed(name, is_built_in=False)
    else:
        stem = _variable_stem(name)
        is_server = make is None
        if key_variables is None:
            key_variables = [f"{stem}_API_KEY"] if is_server else []
        if base_url_variables is None:
            base_url_variables = [f"{stem}_BASE_URL"] if is_server else []
        row = Provider(
            name=name,
            label=label or name,
            aliases=tuple(aliases),
            make=make,
            package=package or ("langchain-openai" if is_server else None),
            module=module or ("langchain_openai" if is_server else None),
            openai_url=base_url,
            is_openai_server=is_server,
            model_variable=model_variable or "",
            settings=_own_settings(
                tuple(key_variables),
                tuple(base_url_variables),
                needs_url=is_server and base_url is None,
            ),
            suggestion=Suggestion(current_model, "", None, "its registration")
            if current_model
            else None,
        )
    _check(row)
    _registry.add(row, over=replace)
    return row


def _own_settings(
    keys: tuple[str, ...], urls: tuple[str, ...], *, needs_url: bool
) -> tuple[Setting, ...]:
    found = [_key(*keys)] if keys else []
    if urls:
        found.append(_url(*urls, is_needed=needs_url))
    return tuple(found)


def _check(row: Provider) -> None:
    _check_address(row)
    for name in (row.name, *row.aliases):
        if not _NAME.fullmatch(name):
            msg = (
                f"{name!r} cannot be a provider's name: it takes small letters, digits "
                "and _ . - after a first letter."
            )
            raise CerebrasConfigurationError(msg)


def _check_address(row: Provider) -> None:
    """See to it that no server's prompts and key can go to OpenAI for want of one."""
    url = next((one for one in row.settings if one.field == "base_url"), None)
    if row.is_openai_server and row.openai_url is None and not (url and url.is_needed):
        msg = (
            f"Provider {row.name!r} has neither an address nor a variable that names "
            "one. Pass base_url=..., base_url_variables=[...] or make=...."
        )
        raise CerebrasConfigurationError(msg)


def unregister_provider(name: str) -> None:
    """Take out a provider that was added; one that it replaced comes back.

    Raises:
        CerebrasConfigurationError: There is none, or it is a built-in one.
    """
    row = get_provider(name)
    if row.is_built_in:
        msg = f"{row.name!r} is built in; it cannot be taken out."
        raise CerebrasConfigurationError(msg)
    _registry.remove(row)
