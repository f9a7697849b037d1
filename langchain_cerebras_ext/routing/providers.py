"""The providers that names may begin with: rows of facts, and a registry for more.

A row says where a provider's key, model and address come from, which package talks to
it and how that is installed. Nothing is imported until a model of it is made. Other
packages add rows with `register_provider`, or by an entry point of the group
`langchain_cerebras_ext.providers`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import date
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from langchain_core.language_models.chat_models import BaseChatModel

    Maker: TypeAlias = Callable[..., BaseChatModel]

__all__ = [
    "CEREBRAS",
    "Provider",
    "Setting",
    "Suggestion",
    "find_provider",
    "get_provider",
    "list_providers",
    "register_provider",
    "unregister_provider",
]

CEREBRAS: Final = "cerebras"
ENTRY_POINTS: Final = "langchain_cerebras_ext.providers"

_PRICES: Final = "genai-prices 0.2.3"
_CHECKED: Final = date(2026, 11, 21)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Something that a provider's model takes from the environment.

    Attributes:
        field: The constructor's argument that it is handed as.
        variables: Where it is looked for, in this order.
        also: Other names of the argument; where one is given, nothing is looked for.
        is_secret: Whether nobody may see it.
        is_needed: Whether there is no model without it.
        default: What is handed where nothing is set.
        about: What it is, in a few words.
    """

    field: str
    variables: tuple[str, ...]
    also: tuple[str, ...] = ()
    is_secret: bool = False
    is_needed: bool = False
    default: str | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A current model of a provider.

    Attributes:
        model: Its id.
        checked_on: The day on which it was found.
        source: Where.
    """

    model: str
    checked_on: date
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What is known of a provider.

    Attributes:
        name: What stands before `::`; lower case.
        label: What people call it.
        aliases: Other names for it.
        langchain_name: `init_chat_model`'s name for it; `None` where `make` is given.
        make: Makes a model: called with `model=` and the settings.
        package: What `pip install` takes to get its integration.
        module: The module that the package brings, to see whether it is there.
        model_variable: The variable that names the model.
        key: The key; `None` where the provider has none.
        base_url: The address, where it can be another.
        more: Further settings.
        model_field: The constructor's argument for the model's name.
        fixed: Arguments that are always handed, unless the user gives them.
        reads: Variables that its package reads by itself, and that change what it does.
        credentials: How it knows who calls, where that is no key.
        suggestion: A current model; `None` where names are the user's own.
        key_url: Where keys are made.
        uses_openai_client: Whether OpenAI's client talks to this other server.
    """

    name: str
    label: str
    aliases: tuple[str, ...] = ()
    langchain_name: str | None = None
    make: Maker | str | None = None
    package: str | None = None
    module: str | None = None
    model_variable: str = ""
    key: Setting | None = None
    base_url: Setting | None = None
    more: tuple[Setting, ...] = ()
    model_field: str = "model"
    fixed: tuple[tuple[str, Any], ...] = ()
    reads: tuple[str, ...] = ()
    credentials: str = ""
    suggestion: Suggestion | None = None
    key_url: str | None = None
    uses_openai_client: bool = False
    settings: tuple[Setting, ...] = field(init=False, repr=False)
    """All settings: key, base URL, and the others."""

    def __post_init__(self) -> None:
        """Put the settings together, once."""
        first = (self.key, self.base_url)
        several = tuple(one for one in first if one is not None)
        object.__setattr__(self, "settings", several + self.more)
        if not self.model_variable:
            variable = f"{self.name.upper()}_MODEL"
            object.__setattr__(self, "model_variable", variable)

    @property
    def install(self) -> str | None:
        """The line that installs its integration; `None` where nothing is needed."""
        if self.package is None:
            return None
        return f"pip install 'langchain-cerebras-ext[router]' {self.package}"

    @property
    def suggested_model(self) -> str | None:
        """A current model; of Cerebras, the one that the catalog has."""
        return self.suggestion.model if self.suggestion else None

    def say_example(self) -> str:
        """Return a sentence with a current model, or nothing."""
        model = self.suggested_model
        return f" A current one is '{self.name}::{model}'." if model else ""


# ------------------------------------------------------------------------- the table


def _key(*variables: str, also: Iterable[str] = ()) -> Setting:
    return Setting(
        field="api_key",
        variables=variables,
        also=tuple(also),
        is_secret=True,
        is_needed=True,
        about="API key",
    )


def _url(
    *variables: str,
    field: str = "base_url",
    also: Iterable[str] = (),
    default: str | None = None,
    is_needed: bool = False,
) -> Setting:
    return Setting(
        field=field,
        variables=variables,
        also=tuple(also),
        default=default,
        is_needed=is_needed,
        about="address of the API",
    )


def _priced(model: str) -> Suggestion:
    return Suggestion(model, _CHECKED, f"table of prices of {_PRICES}")


_GOOGLE_MODEL: Final = _priced("gemini-3.8-flash")

BUILT_IN: Final = (
    Provider(
        name=CEREBRAS,
        label="Cerebras Inference",
        make="langchain_cerebras_ext.chat_models:ChatCerebras",
        key=_key("CEREBRAS_API_KEY", also=["cerebras_api_key"]),
        base_url=_url(
            "CEREBRAS_BASE_URL",
            "CEREBRAS_URL",
            "CEREBRAS_API_BASE",
            also=["cerebras_api_base"],
        ),
        suggestion=Suggestion("gpt-oss-120b", _CHECKED, "the catalog"),
        key_url="https://cloud.cerebras.ai",
    ),
    Provider(
        name="google",
        label="Google Gemini API",
        aliases=("gemini", "google_genai"),
        langchain_name="google_genai",
        package="langchain-google-genai",
        module="langchain_google_genai",
        key=_key("GOOGLE_API_KEY", "GEMINI_API_KEY", also=["google_api_key"]),
        base_url=_url("GOOGLE_BASE_URL"),
        suggestion=_GOOGLE_MODEL,
        key_url="https://aistudio.google.com/apikey",
    ),
    Provider(
        name="openrouter",
        label="OpenRouter",
        langchain_name="openrouter",
        package="langchain-openrouter",
        module="langchain_openrouter",
        key=_key("OPENROUTER_API_KEY", also=["openrouter_api_key"]),
        base_url=_url("OPENROUTER_BASE_URL", "OPENROUTER_API_BASE"),
        suggestion=_priced("anthropic/claude-sonnet-5.5"),
        key_url="https://openrouter.ai/settings/keys",
    ),
    Provider(
        name="openai",
        label="OpenAI",
        langchain_name="openai",
        package="langchain-openai",
        module="langchain_openai",
        key=_key("OPENAI_API_KEY", also=["openai_api_key"]),
        base_url=_url("OPENAI_BASE_URL", "OPENAI_API_BASE", also=["openai_api_base"]),
        reads=("OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT_ID"),
        suggestion=_priced("gpt-6.1-terra"),
        key_url="https://platform.openai.com/api-keys",
    ),
    Provider(
        name="anthropic",
        label="Anthropic",
        aliases=("claude",),
        langchain_name="anthropic",
        package="langchain-anthropic",
        module="langchain_anthropic",
        key=_key("ANTHROPIC_API_KEY", also=["anthropic_api_key"]),
        base_url=_url(
            "ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL", also=["anthropic_api_url"]
        ),
        suggestion=_priced("claude-sonnet-5-5"),
        key_url="https://platform.claude.com/settings/keys",
    ),
    Provider(
        name="groq",
        label="Groq",
        langchain_name="groq",
        package="langchain-groq",
        module="langchain_groq",
        key=_key("GROQ_API_KEY", also=["groq_api_key"]),
        base_url=_url("GROQ_BASE_URL", "GROQ_API_BASE", also=["groq_api_base"]),
        suggestion=_priced("openai/gpt-oss-120b"),
        key_url="https://console.groq.com/keys",
    ),
    Provider(
        name="mistral",
        label="Mistral AI",
        aliases=("mistralai",),
        langchain_name="mistralai",
        package="langchain-mistralai",
        module="langchain_mistralai",
        key=_key("MISTRAL_API_KEY", also=["mistral_api_key"]),
        base_url=_url("MISTRAL_BASE_URL", also=["endpoint"]),
        suggestion=_priced("mistral-large-4"),
        key_url="https://console.mistral.ai/api-keys",
    ),
    Provider(
        name="deepseek",
        label="DeepSeek",
        langchain_name="deepseek",
        package="langchain-deepseek",
        module="langchain_deepseek",
        key=_key("DEEPSEEK_API_KEY"),
        base_url=_url("DEEPSEEK_BASE_URL", "DEEPSEEK_API_BASE", also=["api_base"]),
        suggestion=_priced("deepseek-flash"),
        key_url="https://platform.deepseek.com/api_keys",
    ),
    Provider(
        name="xai",
        label="xAI",
        aliases=("grok", "x-ai"),
        langchain_name="xai",
        package="langchain-xai",
        module="langchain_xai",
        key=_key("XAI_API_KEY", also=["xai_api_key"]),
        suggestion=_priced("grok-4.7"),
        key_url="https://console.x.ai",
    ),
    Provider(
        name="together",
        label="Together AI",
        aliases=("togetherai",),
        langchain_name="together",
        package="langchain-together",
        module="langchain_together",
        key=_key("TOGETHER_API_KEY", also=["together_api_key"]),
        base_url=_url(
            "TOGETHER_BASE_URL", "TOGETHER_API_BASE", also=["together_api_base"]
        ),
        suggestion=_priced("openai/gpt-oss-120b"),
        key_url="https://api.together.ai/settings/api-keys",
    ),
    Provider(
        name="fireworks",
        label="Fireworks AI",
        aliases=("fireworksai",),
        langchain_name="fireworks",
        package="langchain-fireworks",
        module="langchain_fireworks",
        key=_key("FIREWORKS_API_KEY", also=["fireworks_api_key"]),
        base_url=_url(
            "FIREWORKS_BASE_URL", "FIREWORKS_API_BASE", also=["fireworks_api_base"]
        ),
        suggestion=_priced("accounts/fireworks/models/gpt-oss-120b"),
        key_url="https://app.fireworks.ai/settings/users/api-keys",
    ),
    Provider(
        name="azure",
        label="Azure OpenAI",
        aliases=("azure_openai",),
        langchain_name="azure_openai",
        package="langchain-openai",
        module="langchain_openai",
        key=_key("AZURE_OPENAI_API_KEY", also=["azure_ad_token_provider"]),
        base_url=_url(
            "AZURE_OPENAI_ENDPOINT",
            field="azure_endpoint",
            also=["base_url"],
            is_needed=True,
        ),
        more=(
            Setting(
                field="api_version",
                variables=("OPENAI_API_VERSION",),
                also=("openai_api_version",),
                is_needed=True,
                about="version of the API",
            ),
        ),
        model_field="azure_deployment",
        key_url="https://portal.azure.com",
    ),
    Provider(
        name="bedrock",
        label="Amazon Bedrock",
        aliases=("aws", "bedrock_converse"),
        langchain_name="bedrock_converse",
        package="langchain-aws",
        module="langchain_aws",
        more=(
            Setting(
                field="region_name",
                variables=("AWS_REGION", "AWS_DEFAULT_REGION"),
                about="region",
            ),
        ),
        reads=("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_BEARER_TOKEN_BEDROCK"),
        credentials="AWS's own chain: AWS_ACCESS_KEY_ID, AWS_PROFILE, a role",
        suggestion=_priced("us.anthropic.claude-sonnet-5-5"),
    ),
    Provider(
        name="vertex",
        label="Google Vertex AI",
        aliases=("vertexai", "google_vertexai"),
        langchain_name="google_vertexai",
        package="langchain-google-vertexai",
        module="langchain_google_vertexai",
        more=(
            Setting(
                field="project", variables=("GOOGLE_CLOUD_PROJECT",), about="project"
            ),
            Setting(
                field="location",
                variables=("GOOGLE_CLOUD_LOCATION", "GOOGLE_CLOUD_REGION"),
                about="region",
            ),
        ),
        reads=("GOOGLE_APPLICATION_CREDENTIALS",),
        credentials="Google's own chain: `gcloud auth application-default login`, or "
        "GOOGLE_APPLICATION_CREDENTIALS",
        suggestion=_GOOGLE_MODEL,
    ),
    Provider(
        name="ollama",
        label="Ollama",
        langchain_name="ollama",
        package="langchain-ollama",
        module="langchain_ollama",
        base_url=_url("OLLAMA_HOST"),
        credentials="none: a server of your own",
        suggestion=Suggestion("gpt-oss:20b", _CHECKED, "https://ollama.com/library"),
    ),
    Provider(
        name="local",
        label="A server of your own that speaks OpenAI's API",
        langchain_name="openai",
        package="langchain-openai",
        module="langchain_openai",
        key=replace(_key("LOCAL_API_KEY"), is_needed=False, default="none"),
        base_url=_url("LOCAL_BASE_URL", is_needed=True),
        uses_openai_client=True,
    ),
)


# ---------------------------------------------------------------------- the registry


def _plain(name: str) -> str:
    """Return a provider's name without what does not count: case, blanks, dashes."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


class _Registry:
    """Rows by name and alias; those of entry points are loaded when asked for."""

    def __init__(self, rows: Iterable[Provider]) -> None:
        self._lock = threading.RLock()
        self._rows: dict[str, Provider] = {}
        self._names: dict[str, str] = {}
        self._pending: dict[str, metadata.EntryPoint] | None = None
        for row in rows:
            self.add(row)

    def add(self, row: Provider) -> None:
        with self._lock:
            self._rows[row.name] = row
            for name in (row.name, *row.aliases):
                self._names[_plain(name)] = row.name

    def remove(self, name: str) -> None:
        with self._lock:
            self._rows.pop(name, None)
            self._names = {k: v for k, v in self._names.items() if v != name}

    def find(self, text: str) -> Provider | None:
        name = self._names.get(text) or self._names.get(_plain(text))
        if name is not None:
            return self._rows[name]
        return self._load(_plain(text))

    def rows(self) -> tuple[Provider, ...]:
        for name in list(self._entry_points()):
            self._load(name)
        with self._lock:
            return tuple(self._rows.values())

    def known_names(self) -> Iterator[str]:
        with self._lock:
            yield from self._names
        yield from self._entry_points()

    def _entry_points(self) -> dict[str, metadata.EntryPoint]:
        if self._pending is None:
            found = metadata.entry_points(group=ENTRY_POINTS)
            with self._lock:
                self._pending = {
                    _plain(one.name): one
                    for one in found
                    if _plain(one.name) not in self._names
                }
        return self._pending

    def _load(self, name: str) -> Provider | None:
        point = self._entry_points().get(name)
        if point is None:
            return None
        row = _row_of(name, point)
        with self._lock:
            self._entry_points().pop(name, None)
            self.add(row)
        return row


def _row_of(name: str, point: metadata.EntryPoint) -> Provider:
    try:
        made: Any = point.load()
        if not isinstance(made, Provider):
            return _new_row(name, make=made) if callable(made) else made.row
    except Exception as error:
        msg = (
            f"The provider {name!r} of the entry point {point.value!r} cannot be "
            f"loaded: {error}"
        )
        raise CerebrasConfigurationError(msg) from error
    return replace(made, name=name)


def _new_row(name: str, **facts: Any) -> Provider:
    return Provider(name=name, label=facts.pop("label", None) or name, **facts)


_registry = _Registry(BUILT_IN)


def find_provider(name: str) -> Provider | None:
    """Return the provider of a name or alias, or `None` if there is none."""
    return _registry.find(name)


def get_provider(name: str) -> Provider:
    """Return the provider of a name or alias.

    Raises:
        CerebrasConfigurationError: There is none; the nearest is named.
    """
    row = _registry.find(name)
    if row is None:
        raise _unknown(name)
    return row


def list_providers() -> tuple[Provider, ...]:
    """Return all providers: ours first, then in the order they came in."""
    return _registry.rows()


def register_provider(row: Provider) -> Provider:
    """Add a provider."""
    _registry.add(row)
    return row


def unregister_provider(name: str) -> None:
    """Take a provider out again."""
    _registry.remove(name)


def _unknown(name: str) -> CerebrasConfigurationError:
    from difflib import get_close_matches

    known = list(_registry.known_names())
    near = get_close_matches(_plain(name), known, n=1)
    rows = sorted(row.name for row in _registry.rows())
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return CerebrasConfigurationError(
        f"There is no provider {name.strip()!r}. {hint}Known: {', '.join(rows)}."
    )
