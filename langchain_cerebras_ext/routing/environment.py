"""What the environment says: whose model, which model, which key; and from where.

`MODEL_PROVIDER` names the provider, and each provider's own variables its model, key
and address: the table is that of `providers`. Nothing is read at import, and a `.env`
file only where one is asked for; what the process has in its environment goes first.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from langchain_cerebras_ext._config import DEFAULT_MODEL, clean_key
from langchain_cerebras_ext._warnings import warn_user
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasDeprecationWarning,
    MissingExtraError,
    SecretText,
)
from langchain_cerebras_ext.routing._target import Target, inside_provider, parse_name
from langchain_cerebras_ext.routing.providers import CEREBRAS, get_provider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_cerebras_ext.routing.providers import Provider, Setting

__all__ = [
    "FLAGS",
    "GENERAL",
    "SWITCH",
    "Chosen",
    "Dotenv",
    "Found",
    "General",
    "Variables",
    "choose",
    "choose_provider",
    "find_settings",
    "forget",
    "missing_settings",
    "open_variables",
]

SWITCH: Final = "MODEL_PROVIDER"
FLAGS: Final = {"USE_GOOGLE_DIRECT": "google", "USE_CEREBRAS": CEREBRAS}
"""Switches of old, and the provider that each chooses."""

ENVIRONMENT: Final = "environment"


class General(NamedTuple):
    """A variable that belongs to no provider.

    Attributes:
        name: Its name.
        about: What it does.
        is_secret: Whether nobody may see it.
    """

    name: str
    about: str
    is_secret: bool = False


GENERAL: Final = (
    General(SWITCH, "whose models are used; unset is cerebras"),
    General("USE_GOOGLE_DIRECT", f"of old: means {SWITCH}=google"),
    General("USE_CEREBRAS", f"of old: means {SWITCH}={CEREBRAS}"),
    General("CEREBRAS_CATALOG", "a file with models of your own"),
    General("CEREBRAS_CACHE_DIR", "where `models refresh` keeps its lists"),
    General("CEREBRAS_COSTS_LEDGER", "the database of `costs`"),
    General("CEREBRAS_COSTS_TOKEN", "the password of the dashboard", is_secret=True),
    General("CEREBRAS_LOG", "level of the commands' log"),
    General("LOG_LEVEL", "the same, where CEREBRAS_LOG is unset"),
    General("CEREBRAS_LOG_FORMAT", "json: log JSON lines"),
    General("CEREBRAS_LOG_CONTENT", "log prompts and answers too"),
    General(
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        "put prompts and answers into traces",
    ),
    General("HTTPS_PROXY", "the proxy to the services"),
    General("HTTP_PROXY", "the same, for addresses without TLS"),
    General("ALL_PROXY", "the same, for both"),
    General("NO_PROXY", "hosts that are reached without it"),
    General("SSL_CERT_FILE", "certificates to trust"),
    General("SSL_CERT_DIR", "a directory of them"),
    General("LANGSMITH_GATEWAY", "LangSmith's gateway between you and providers"),
)
"""The variables of this package, and of the libraries it calls, beside the table of
providers."""

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"", "0", "false", "no", "off"})

Dotenv: TypeAlias = "bool | str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"


class Found(NamedTuple):
    """A value, and where it was.

    Attributes:
        value: The value, without blanks around it.
        variable: The variable's name.
        origin: `environment`, or the path of a file.
    """

    value: str
    variable: str
    origin: str

    def __str__(self) -> str:
        """Say where it was."""
        if self.origin == ENVIRONMENT:
            return self.variable
        return f"{self.variable} in {self.origin}"


class Variables:
    """The environment as it is at each look, and behind it what files say.

    Args:
        files: Paths and what stands in them; the first that has a variable wins.
    """

    __slots__ = ("_files",)

    def __init__(self, files: Sequence[tuple[str, Mapping[str, str]]] = ()) -> None:
        self._files = files

    def find(self, *names: str) -> Found | None:
        """Return the first of these variables that is set and not empty."""
        for name in names:
            found = self._find(name)
            if found is not None:
                return found
        return None

    def _find(self, name: str) -> Found | None:
        value = os.environ.get(name)
        if value is not None and (value := value.strip()):
            return Found(value, name, ENVIRONMENT)
        for path, values in self._files:
            value = values.get(name, "").strip()
            if value:
                return Found(value, name, path)
        return None


PLAIN: Final = Variables()


# -------------------------------------------------------------------------- .env files


_lock = threading.Lock()
# Path to (its state, its variables): a file is read again when it has changed.
_read: dict[str, tuple[tuple[int, int, int], dict[str, str]]] = {}


def open_variables(dotenv: Dotenv | None = None) -> Variables:
    """Return the environment, with `.env` files behind it where they are asked for.

    Args:
        dotenv: True looks for a `.env` in the working directory and those above it,
            and takes none for an answer; a path, or several, must be there.

    Raises:
        CerebrasConfigurationError: A file is not there or cannot be read.
        MissingExtraError: `python-dotenv` is not installed.
    """
    if dotenv is None or dotenv is False:
        return PLAIN
    paths = [_nearest()] if dotenv is True else _paths(dotenv)
    return Variables([(str(path), _values(path)) for path in paths if path])


def _paths(dotenv: Any) -> list[Path]:
    several = [dotenv] if isinstance(dotenv, (str, os.PathLike)) else list(dotenv)
    return [Path(one).absolute() for one in several]


def _nearest() -> Path | None:
    here = Path.cwd()
    paths = (folder / ".env" for folder in (here, *here.parents))
    return next((path for path in paths if path.is_file()), None)


def _values(path: Path) -> dict[str, str]:
    try:
        stat = path.stat()
        state = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        with _lock:
            held = _read.get(str(path))
        if held is not None and held[0] == state:
            return held[1]
        values = _parse(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "is no UTF-8 text"
        msg = f"The file {str(path)!r} that dotenv names cannot be read: {said}."
        raise CerebrasConfigurationError(msg) from error
    with _lock:
        _read[str(path)] = (state, values)
    return values


def _parse(text: str) -> dict[str, str]:
    from io import StringIO

    try:
        from dotenv import dotenv_values
    except ImportError as error:
        msg = (
            "dotenv=... needs python-dotenv: "
            "pip install 'langchain-cerebras-ext[router]'"
        )
        raise MissingExtraError(msg) from error
    found = dotenv_values(stream=StringIO(text))
    return {name: SecretText(value) for name, value in found.items() if value}


# ------------------------------------------------------------------------- the choice


class Chosen(NamedTuple):
    """A model of a provider, and what chose them.

    Attributes:
        row: The provider.
        model: The model's id there.
        provider_from: Where the provider was named; `None` is by a name in the program,
            or by default.
        model_from: The same of the model.
    """

    row: Provider
    model: str
    provider_from: Found | None = None
    model_from: Found | None = None

    @property
    def target(self) -> Target:
        """Both as a name."""
        return Target(self.row.name, self.model)


def choose(
    name: str | None = None,
    *,
    provider: str | None = None,
    variables: Variables = PLAIN,
) -> Chosen:
    """Return the model that a name means, or that the environment names.

    Args:
        name: As in `parse_name`; other bare ids are of the provider in force. Not
            given, it is the model that the provider's variable names.
        provider: The provider, instead of the one in force.
        variables: The environment.

    Raises:
        CerebrasConfigurationError: There is no such provider, no model is named, or the
            switches contradict each other.
    """
    if name is not None and provider is None:
        target = parse_name(name, default=lambda: _in_force(variables))
        return Chosen(get_provider(target.provider), target.model)
    source: Found | None = None
    if provider is not None:
        row = get_provider(provider)
    else:
        row, source = choose_provider(variables)
    if name is not None:
        return Chosen(row, inside_provider(name, row, "name"), source)
    found = variables.find(row.model_variable)
    if found is not None:
        model = inside_provider(found.value, row, found.variable)
        return Chosen(row, model, source, found)
    if row.name == CEREBRAS:
        return Chosen(row, DEFAULT_MODEL, source)
    raise CerebrasConfigurationError(_no_model(row, source))


def _no_model(row: Provider, source: Found | None) -> str:
    why = f"{source} is {source.value!r}" if source else f"The provider is {row.name!r}"
    current = row.current_model
    if current is None:
        cure = f"set {row.model_variable} to the name that the model has there."
    else:
        known = row.suggestion.checked_on if row.suggestion else None
        when = f" (a current one, as of {known})" if known else " (a current one)"
        cure = f"set {row.model_variable}={current}{when}."
    return f"{why}, and no model of it is named: {cure}"


def choose_provider(variables: Variables = PLAIN) -> tuple[Provider, Found | None]:
    """Return the provider in force, and where it was named; unset is Cerebras.

    Raises:
        CerebrasConfigurationError: There is no such provider, or the switches of old
            contradict each other.
    """
    found = variables.find(SWITCH)
    flags = _flags(variables, is_used=found is None)
    if found is not None:
        if flags:
            names = " and ".join(flag.variable for flag in flags)
            cure = (
                "is ignored. Remove it."
                if len(flags) == 1
                else ("are ignored. Remove them.")
            )
            _tell(f"{SWITCH}={found.value} is set, so {names} {cure}", UserWarning)
        return _named(found), found
    if not flags:
        return get_provider(CEREBRAS), None
    if len(flags) > 1:
        names = " and ".join(f"{flag.variable}={flag.value}" for flag in flags)
        msg = (
            f"{names} contradict each other. Remove both and set {SWITCH}, such as "
            f"{SWITCH}={FLAGS[flags[0].variable]}."
        )
        raise CerebrasConfigurationError(msg)
    flag = flags[0]
    chosen = FLAGS[flag.variable]
    _tell(
        f"{flag.variable} is deprecated. Set {SWITCH}={chosen} instead; it means the "
        "same.",
        CerebrasDeprecationWarning,
    )
    return get_provider(chosen), flag


def _in_force(variables: Variables) -> str | None:
    """Return the provider that is named in the environment, if one is."""
    row, found = choose_provider(variables)
    return row.name if found is not None else None


def _named(found: Found) -> Provider:
    try:
        return get_provider(found.value)
    except CerebrasConfigurationError as error:
        msg = f"{found} names no provider. {error}"
        if ":" in found.value:
            msg += (
                f" The model belongs into the provider's variable, not into {SWITCH}."
            )
        raise CerebrasConfigurationError(msg) from error


def _flags(variables: Variables, *, is_used: bool) -> list[Found]:
    """Return the old switches that are on.

    Raises:
        CerebrasConfigurationError: One that counts says neither yes nor no.
    """
    on: list[Found] = []
    for name in FLAGS:
        found = variables.find(name)
        value = found.value.lower() if found else ""
        if found is not None and value in _TRUE:
            on.append(found)
        elif value not in _FALSE and is_used:
            msg = (
                f"{name}={value!r} says neither yes nor no. Remove it and set "
                f"{SWITCH}, such as {SWITCH}={FLAGS[name]}."
            )
            raise CerebrasConfigurationError(msg)
    return on


_told: set[str] = set()


def _tell(text: str, category: type[Warning]) -> None:
    """Warn once per process: the environment is read at every call."""
    with _lock:
        if text in _told:
            return
        _told.add(text)
    warn_user(text, category)


def forget() -> None:
    """Forget what was told, so that it is told again; for tests and notebooks."""
    with _lock:
        _told.clear()


# -------------------------------------------------------------------------- settings


def find_settings(
    row: Provider, given: Mapping[str, Any], variables: Variables = PLAIN
) -> dict[str, Found]:
    """Return what the environment has to hand to a provider's constructor.

    Keys come cleaned, and hidden where variables are shown. What the program has given
    is left out.

    Args:
        row: The provider.
        given: The program's own arguments.
        variables: The environment.
    """
    settings: dict[str, Found] = {}
    for one in row.settings:
        if given and is_given(one, given):
            continue
        found = variables.find(*one.variables)
        if found is None:
            continue
        if one.is_secret:
            cleaned = clean_key(found.value)
            if cleaned is None:
                continue
            found = found._replace(value=cleaned)
        settings[one.field] = found
    return settings


def is_given(one: Setting, given: Mapping[str, Any]) -> bool:
    """Whether the program gives a setting itself; `None` is not given."""
    return any(given.get(name) is not None for name in (one.field, *one.also))


def missing_settings(
    row: Provider, given: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[Setting]:
    """Return the settings that are needed and that nobody has given."""
    both = {**given, **settings}
    return [one for one in row.settings if one.is_needed and not is_given(one, both)]
