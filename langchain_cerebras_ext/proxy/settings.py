"""`Settings`: how the proxy is set up, from the environment, files, or code.

`VARIABLES` is the one table of what there is: it drives reading, `--help` and the
documentation. All that is wrong is told at once, each with its name and its rule.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from langchain_cerebras_ext._config import (
    DEFAULT_BASE_URL,
    foreign_key_hint,
    is_loopback,
    is_public_service,
    normalise_base_url,
)
from langchain_cerebras_ext.errors import CerebrasConfigurationError, mask_secrets
from langchain_cerebras_ext.proxy import readers as rules

if TYPE_CHECKING:
    from decimal import Decimal

    from langchain_cerebras_ext.proxy.readers import Rule

__all__ = ["CONFIG", "VARIABLES", "Settings", "Upstream", "Variable", "markdown_table"]

CONFIG: Final = "APE_CONFIG"
"""Names a TOML file with settings; what the environment says goes first."""

_KEY: Final = "CEREBRAS_API_KEY"
_URLS: Final = ("CEREBRAS_URL", "CEREBRAS_API_BASE")
_MIB: Final = 1024 * 1024
_LARGEST_FILE: Final = 1024 * 1024
_SHORT_KEY: Final = 16
_SHOWN: Final = 60
_ALIKE: Final = 0.8
_KEY_PLACES: Final = ("api_key", "api_key_file", "api_key_env")


# ------------------------------------------------------------------------ the values


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A service that requests are sent to.

    Attributes:
        name: What logs and metrics call it.
        base_url: With or without `/v1`; kept with it.
        api_key: What is sent there; `None` for a server that asks for none.
        model: Asked for there in place of the client's; `None` leaves it.

    Raises:
        CerebrasConfigurationError: The URL is none, or the key cannot be sent.
    """

    name: str = "cerebras"
    base_url: str = DEFAULT_BASE_URL
    api_key: str | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        """Put the URL and the key into their one form."""
        key = self.api_key
        if key is not None:
            try:
                key = rules.SECRET.read(key)
            except ValueError:
                msg = f"api_key of upstream {self.name!r} must be {rules.SECRET.says}."
                raise CerebrasConfigurationError(msg) from None
        object.__setattr__(self, "api_key", key)
        object.__setattr__(self, "base_url", normalise_base_url(self.base_url))

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return is_loopback(self.base_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the proxy is set up.

    Attributes:
        upstream: Where requests go.
        fallbacks: Tried in turn if that fails before the first byte.
        host: Address to listen at.
        port: 0 takes a free one.
        log_level: `DEBUG` to `CRITICAL`.
        metrics_port: Serves `/metrics` alone, in place of `port`.
        workers: Processes that share the port.
        api_key: What clients must show.
        keys_file: Lines `id: sha256`, for several clients.
        allow_open: Lets other machines in without any key.
        max_body_bytes: Of a request, as it comes and unpacked.
        header_timeout_s: From the connection, or the first byte of a later request,
            to the end of its headers.
        body_timeout_s: From there to the end of its body.
        keep_alive_s: For how long an idle connection is kept.
        connect_timeout_s: To the upstream.
        first_byte_timeout_s: Until the upstream's answer begins.
        idle_timeout_s: Without a byte from the upstream within an answer.
        total_timeout_s: For a whole exchange.
        max_streams: Exchanges under way at once, in one worker; more are refused.
        key_requests_per_minute: Of each key.
        key_tokens_per_minute: Of each key; prompts and answers.
        key_budget_usd: Of each key in a window.
        key_budget_window: `minute`, `hour`, `day`, `week`, `month` or `total`.
        limits_url: Redis, which replicas and workers share for the limits of keys.
        aliases: Names of models, and what they stand for.
        allowed_models: All that clients may ask for; empty allows any.
        migrate_retired: Send requests for retired models to the successor.
        prices_file: Prices of your own, in the form of `PriceBook.load`.
        ledger_url: Database of all calls.
        cors_origins: Web pages that browsers may call from.
        log_content: Log prompts and answers.
        drain_s: How long the port stays open when the proxy is told to end, and says
            that it is not ready.
        shutdown_s: How long streams may go on after that.
        docs: Whether `/docs` and `/openapi.json` are served.

    Raises:
        CerebrasConfigurationError: Values break rules; all are told.

    Example:
        >>> from langchain_cerebras_ext.proxy.settings import Settings
        >>> Settings.load({"CEREBRAS_API_KEY": "k", "PORT": "9000"}).port
        9000
    """

    upstream: Upstream
    fallbacks: tuple[Upstream, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    log_level: str = "INFO"
    metrics_port: int | None = None
    workers: int = 1
    api_key: str | None = None
    keys_file: str | None = None
    allow_open: bool = False
    max_body_bytes: int = 32 * _MIB
    header_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    keep_alive_s: float = 75.0
    connect_timeout_s: float = 5.0
    first_byte_timeout_s: float = 120.0
    idle_timeout_s: float = 60.0
    total_timeout_s: float | None = 900.0
    max_streams: int | None = 1000
    key_requests_per_minute: int | None = None
    key_tokens_per_minute: int | None = None
    key_budget_usd: Decimal | None = None
    key_budget_window: str = "day"
    limits_url: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    allowed_models: frozenset[str] = frozenset()
    migrate_retired: bool = False
    prices_file: str | None = None
    ledger_url: str | None = None
    cors_origins: tuple[str, ...] = ()
    log_content: bool = False
    drain_s: float | None = 1.0
    shutdown_s: float = 25.0
    docs: bool = True

    def __post_init__(self) -> None:
        """Read what was given, and check it."""
        problems = _Problems()
        for one in VARIABLES:
            if one.name in _PARTS:
                continue
            given = getattr(self, one.field)
            if given is not None or one.default is not None:
                value = problems.read(one, _Found(given, one.field))
                object.__setattr__(self, one.field, value)
        if not all(isinstance(one, Upstream) for one in self.fallbacks or ()):
            problems.add("fallbacks=... must have objects of the class Upstream.")
        if not problems.messages:
            _look_for_conflicts(_as_values(self), problems)
        problems.raise_if_any()

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str] | None = None,
        file: str | os.PathLike[str] | None = None,
        **given: Any,
    ) -> Self:
        """Read settings from the environment, and from a file beneath it.

        Args:
            environ: In place of the process's environment.
            file: A TOML file; by default the one that `APE_CONFIG` names.
            **given: Values by field; they go first. `None` is not given.

        Raises:
            CerebrasConfigurationError: Values break rules, files cannot be read, keys
                are missing; all are told at once.
        """
        environ = os.environ if environ is None else environ
        problems = _Problems()
        path = os.fspath(file) if file is not None else environ.get(CONFIG, "").strip()
        sources = [
            _from_code(given),
            _from_environment(environ, problems),
            _from_file(path, problems) if path else {},
        ]
        values: dict[str, Any] = {}
        for one in VARIABLES:
            found = next((s[one.name] for s in sources if one.name in s), None)
            if found is not None:
                values[one.field] = problems.read(one, found)
        _gather_upstreams(values, environ, problems)
        _look_for_conflicts({**_defaults(cls), **values}, problems)
        problems.raise_if_any()
        return cls(**values)

    def notices(self) -> tuple[str, ...]:
        """Return what somebody should be told at the start; no secret is in it."""
        told: list[str] = []
        main = self.upstream
        if main.api_key is not None and is_public_service(main.base_url):
            hint = foreign_key_hint(main.api_key)
            told += [hint] if hint else []
        if self.is_open:
            whom = "anybody who reaches it" if self.allow_open else "this machine"
            told.append(
                f"NO KEY IS ASKED FOR: {whom} can spend the upstream's money. This is "
                "for development; set APE_API_KEY or APE_KEYS_FILE."
            )
        elif self.api_key is not None and len(self.api_key) < _SHORT_KEY:
            told.append(
                f"APE_API_KEY has fewer than {_SHORT_KEY} characters and can be "
                "guessed. Make one with: python -c 'import secrets; "
                "print(secrets.token_urlsafe())'"
            )
        kept = self.limits_url or self.ledger_url
        if self.key_budget_usd is not None and kept is None:
            told.append(
                "APE_KEY_BUDGET_USD is counted in memory: what keys have spent is "
                "forgotten when the proxy ends. Set APE_LEDGER_URL or APE_LIMITS_URL "
                "to keep it."
            )
        return tuple(told)

    def limits_of_a_process(self) -> tuple[str, ...]:
        """Return the variables of limits that each process would count for itself."""
        return tuple(
            _counted_alone(
                self.limits_url,
                self.ledger_url,
                self.key_requests_per_minute,
                self.key_tokens_per_minute,
                self.key_budget_usd,
            )
        )

    @property
    def is_open(self) -> bool:
        """Whether no key is asked for."""
        return self.api_key is None and self.keys_file is None


# ------------------------------------------------------------------------- the table


class Variable(NamedTuple):
    """A setting, as the environment has it.

    Attributes:
        name: The variable's.
        field: Of `Settings`.
        rule: How it is read.
        about: What it does.
        unit: Of its value, where there is one.
        default: As a user would write it; `None` is unset.
        others: More names that are read if the first is unset.
        is_secret: Whether nobody may see it.
        is_path: Whether it names a file itself, so that there is no `..._FILE`.
    """

    name: str
    field: str
    rule: Rule
    about: str
    unit: str = ""
    default: str | None = None
    others: tuple[str, ...] = ()
    is_secret: bool = False
    is_path: bool = False

    @property
    def file_name(self) -> str | None:
        """The variable that names a file with the value, if there is one."""
        return None if self.is_path else f"{self.name}_FILE"

    @property
    def key(self) -> str:
        """The name in a TOML file."""
        return self.name.lower().removeprefix("ape_")


def _row(name: str, rule: Rule, about: str, **more: Any) -> Variable:
    return Variable(
        name=name,
        field=name.lower().removeprefix("ape_"),
        rule=rule,
        about=about,
        **more,
    )


VARIABLES: Final = (
    _row(
        _KEY,
        rules.SECRET,
        "Key of the upstream; required unless the upstream is on this machine.",
        is_secret=True,
    ),
    _row(
        "CEREBRAS_BASE_URL",
        rules.ANY_TEXT,
        "The upstream, with or without `/v1`.",
        default=DEFAULT_BASE_URL,
        others=_URLS,
    ),
    _row(
        "APE_API_KEY",
        rules.SECRET,
        "What clients must show as `Authorization: Bearer`; its id in logs and metrics "
        "is `default`.",
        is_secret=True,
    ),
    _row(
        "APE_KEYS_FILE",
        rules.ANY_TEXT,
        "File of lines `id: sha256` for several clients, read again on SIGHUP.",
        is_path=True,
    ),
    _row(
        "APE_ALLOW_OPEN",
        rules.FLAG,
        "Lets other machines in without any key.",
        default="0",
    ),
    _row(
        "HOST",
        rules.ANY_TEXT,
        "Address to listen at; `0.0.0.0` in the container.",
        default="127.0.0.1",
    ),
    _row("PORT", rules.PORT, "Port to listen at; 0 takes a free one.", default="8000"),
    _row(
        "APE_METRICS_PORT",
        rules.OPTIONAL_PORT,
        "Serves `/metrics` on a port of its own at `HOST`, and no more on `PORT`.",
    ),
    _row("APE_WORKERS", rules.WORKERS, "Processes that share the port.", default="1"),
    _row(
        "LOG_LEVEL",
        rules.LEVEL,
        "What is logged; `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`.",
        default="INFO",
    ),
    _row(
        "APE_LOG_CONTENT",
        rules.FLAG,
        "Logs prompts and answers too, at `DEBUG`.",
        default="0",
    ),
    _row(
        "APE_MAX_BODY_BYTES",
        rules.SIZE,
        "Largest request, as it comes and unpacked.",
        unit="bytes",
        default=str(32 * _MIB),
    ),
    _row(
        "APE_MAX_STREAMS",
        rules.LIMIT,
        "Exchanges under way at once in a worker; more are answered 429.",
        default="1000",
    ),
    _row(
        "APE_HEADER_TIMEOUT_S",
        rules.SECONDS,
        "Until the headers of a request are there.",
        unit="s",
        default="10",
    ),
    _row(
        "APE_BODY_TIMEOUT_S",
        rules.SECONDS,
        "From there until its body is there.",
        unit="s",
        default="60",
    ),
    _row(
        "APE_KEEP_ALIVE_S",
        rules.SECONDS,
        "For how long an idle connection is kept.",
        unit="s",
        default="75",
    ),
    _row(
        "APE_CONNECT_TIMEOUT_S",
        rules.SECONDS,
        "To connect to the upstream.",
        unit="s",
        default="5",
    ),
    _row(
        "APE_FIRST_BYTE_TIMEOUT_S",
        rules.SECONDS,
        "Until the upstream's answer begins.",
        unit="s",
        default="120",
    ),
    _row(
        "APE_IDLE_TIMEOUT_S",
        rules.SECONDS,
        "Without a byte from the upstream within an answer.",
        unit="s",
        default="60",
    ),
    _row(
        "APE_TOTAL_TIMEOUT_S",
        rules.SECONDS_OR_NONE,
        "For a whole exchange.",
        unit="s",
        default="900",
    ),
    _row(
        "APE_DRAIN_S",
        rules.SECONDS_OR_NONE,
        "After SIGTERM: how long the port stays open while `/health/ready` answers "
        "503, so that load balancers turn away; `none` closes it at once.",
        unit="s",
        default="1",
    ),
    _row(
        "APE_SHUTDOWN_S",
        rules.SECONDS,
        "After that: how long streams may go on.",
        unit="s",
        default="25",
    ),
    _row(
        "APE_KEY_REQUESTS_PER_MINUTE",
        rules.LIMIT,
        "Requests of each key.",
        unit="1/min",
    ),
    _row(
        "APE_KEY_TOKENS_PER_MINUTE",
        rules.LIMIT,
        "Tokens of each key, of prompts and answers.",
        unit="1/min",
    ),
    _row(
        "APE_KEY_BUDGET_USD",
        rules.USD,
        "What each key may spend in a window.",
        unit="USD",
    ),
    _row(
        "APE_KEY_BUDGET_WINDOW",
        rules.one_of("minute", "hour", "day", "week", "month", "total"),
        "The window of that budget: `minute`, `hour`, `day`, `week`, `month` (of the "
        "calendar, UTC) or `total`.",
        default="day",
    ),
    _row(
        "APE_LIMITS_URL",
        rules.REDIS,
        "Redis, which replicas and workers share for the limits of keys.",
        is_secret=True,
    ),
    _row(
        "APE_ALIASES",
        rules.PAIRS,
        "Names of models and what they stand for: `fast=gpt-oss-120b`, commas between "
        "several.",
    ),
    _row(
        "APE_ALLOWED_MODELS",
        rules.NAMES,
        "All models that clients may ask for; unset allows any.",
    ),
    _row(
        "APE_MIGRATE_RETIRED",
        rules.FLAG,
        "Sends requests for retired models to the successor.",
        default="0",
    ),
    _row(
        "APE_FALLBACKS",
        rules.TABLES,
        "More upstreams, tried in turn before the first byte: a JSON list of objects "
        "with `base_url`, `name`, `model` and `api_key`, `api_key_file` or "
        "`api_key_env`.",
        is_secret=True,
    ),
    _row(
        "APE_PRICES_FILE",
        rules.ANY_TEXT,
        "Prices of your own (JSON or TOML), before the catalog's.",
        is_path=True,
    ),
    _row(
        "APE_LEDGER_URL",
        rules.URL,
        "Database of all calls, as `postgresql://...` or `sqlite:///costs.db`; the "
        "dashboard reads it.",
        is_secret=True,
    ),
    _row(
        "APE_CORS_ORIGINS",
        rules.ORIGINS,
        "Web pages that browsers may call from; unset is none.",
    ),
    _row("APE_DOCS", rules.FLAG, "Serves `/docs` and `/openapi.json`.", default="1"),
)
"""Every setting. Each but those that name a file is also read from the file that the
variable with `_FILE` behind its name names, as container secrets are given."""

# Two variables are parts of one field.
_PARTS: Final = frozenset({_KEY, "CEREBRAS_BASE_URL"})
_SETS: Final = frozenset({"allowed_models"})
_EVERY_FIELD: Final = frozenset(one.field for one in VARIABLES) | {"upstream"}


def markdown_table() -> str:
    """Return all variables as a table in Markdown, for the documentation."""
    lines = ["| Variable | Default | Unit | What it does |", "|---|---|---|---|"]
    for one in VARIABLES:
        default = "" if one.default is None else f"`{one.default}`"
        about = one.about.replace("|", "\\|")
        lines.append(f"| `{one.name}` | {default} | {one.unit} | {about} |")
    return "\n".join(lines) + "\n"


# ----------------------------------------------------------------- where values are


class _Found(NamedTuple):
    """A value, and how messages name it."""

    value: Any
    said: str


class _Problems:
    """What is wrong so far.

    Attributes:
        messages: What to say.
        fields: Those whose values are not known for that.
    """

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.fields: set[str] = set()

    def add(self, message: str, *names: str) -> None:
        """Note a problem, and the fields that lack a value for it."""
        self.messages.append(message)
        self.fields.update(names)

    def read(self, one: Variable, found: _Found) -> Any:
        """Return a value as its rule reads it; `None` if it breaks the rule."""
        try:
            value = one.rule.read(found.value)
        except (ValueError, TypeError):
            shown = "..." if one.is_secret else _show(found.value)
            self.add(f"{found.said}={shown} must be {one.rule.says}.", one.field)
            return None
        return frozenset(value) if one.field in _SETS else value

    def raise_if_any(self) -> None:
        """Raise one error for all.

        Raises:
            CerebrasConfigurationError: There are some.
        """
        if not self.messages:
            return
        if len(self.messages) == 1:
            raise CerebrasConfigurationError(self.messages[0])
        lines = "\n".join(f"- {one}" for one in self.messages)
        msg = f"{len(self.messages)} settings of the proxy are wrong:\n{lines}"
        raise CerebrasConfigurationError(msg)


def _as_values(settings: Settings) -> dict[str, Any]:
    return {one.name: getattr(settings, one.name) for one in fields(settings)}


def _defaults(cls: type[Settings]) -> dict[str, Any]:
    return {
        one.name: None if one.default is MISSING else one.default for one in fields(cls)
    }


def _from_code(given: Mapping[str, Any]) -> dict[str, _Found]:
    known = {one.field: one.name for one in VARIABLES}
    if unknown := given.keys() - known:
        msg = f"Settings.load() takes no {min(unknown)!r}."
        raise TypeError(msg)
    return {
        known[name]: _Found(value, known[name])
        for name, value in given.items()
        if value is not None
    }


def _from_environment(
    environ: Mapping[str, str], problems: _Problems
) -> dict[str, _Found]:
    found: dict[str, _Found] = {}
    for one in VARIABLES:
        name = next((n for n in (one.name, *one.others) if _given(environ, n)), None)
        file_name = one.file_name
        if file_name is None or not _given(environ, file_name):
            if name is not None:
                found[one.name] = _Found(environ[name].strip(), name)
            continue
        if name is not None:
            msg = f"{name} and {file_name} are both set: give one of them."
            problems.add(msg, one.field)
            continue
        text = _read_file(environ[file_name].strip(), file_name, problems, one.field)
        if text is not None:
            found[one.name] = _Found(text, file_name)
    for told in _misspelt(environ):
        problems.add(told)
    return found


def _given(environ: Mapping[str, str], name: str) -> bool:
    # Compose sets a variable to nothing where its own is not set.
    return bool(environ.get(name, "").strip())


def _misspelt(environ: Mapping[str, str]) -> list[str]:
    """Say which variables are likely ours, and are none of ours.

    What looks like none of ours is somebody else's: Kubernetes makes variables for
    each service, whatever it is called.
    """
    known = {CONFIG}
    for one in VARIABLES:
        known.update((one.name, *one.others, one.file_name or one.name))
    told: list[str] = []
    for name in sorted(environ):
        if name.startswith("APE_") and name not in known:
            alike = difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
            if alike:
                told.append(f"{name} is no setting. Did you mean {alike[0]}?")
    return told


def _read_file(path: str, said: str, problems: _Problems, *names: str) -> str | None:
    """Return a file's text without blanks around it; `None` if that is told.

    Args:
        path: The file's.
        said: How messages name the setting.
        problems: Where what is wrong is noted.
        *names: The fields whose values come from it.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
        text = data.decode("utf-8-sig").strip()
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
    except UnicodeDecodeError:
        reason = "is no UTF-8 text"
    else:
        if text and len(data) <= _LARGEST_FILE:
            return text
        reason = f"is larger than {_LARGEST_FILE} bytes" if text else "is empty"
    problems.add(f"{said}={path!r} {reason}.", *names)
    return None


def _from_file(path: str, problems: _Problems) -> dict[str, _Found]:
    """Return what a TOML file has, whose keys are the names in lower case."""
    import tomllib

    text = _read_file(path, CONFIG, problems, *_EVERY_FIELD)
    if text is None:
        return {}
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{CONFIG}={path!r} is no TOML: {mask_secrets(str(error))}."
        problems.add(msg, *_EVERY_FIELD)
        return {}
    # The whole name is taken too.
    by_key = {one.name.lower(): one for one in VARIABLES}
    by_key |= {one.key: one for one in VARIABLES}
    files = {f"{key}_file": one for key, one in by_key.items() if one.file_name}
    found: dict[str, _Found] = {}
    for key, value in table.items():
        said = f"{key} in {path}"
        if key in by_key:
            found[by_key[key].name] = _Found(value, said)
        elif key in files:
            one = files[key]
            inner = _read_file(str(value), said, problems, one.field)
            if inner is not None:
                found[one.name] = _Found(inner, said)
        else:
            alike = difflib.get_close_matches(key, by_key, n=1)
            hint = f" Did you mean {alike[0]}?" if alike else ""
            problems.add(f"{said} is no setting.{hint}")
    return found


# ----------------------------------------------------------------------- upstreams


def _gather_upstreams(
    values: dict[str, Any], environ: Mapping[str, str], problems: _Problems
) -> None:
    """Make upstreams of the values that describe them."""
    key = values.pop("cerebras_api_key", None)
    url = values.pop("cerebras_base_url", None) or DEFAULT_BASE_URL
    try:
        values["upstream"] = Upstream(base_url=url, api_key=key)
    except CerebrasConfigurationError as error:
        problems.add(f"CEREBRAS_BASE_URL: {error}", "upstream")
    if "cerebras_api_key" in problems.fields:  # not that it is missing
        problems.fields.add("upstream")
    rows = values.pop("fallbacks", None) or ()
    made = [
        _fallback(at, row, environ, problems) for at, row in enumerate(rows, start=1)
    ]
    values["fallbacks"] = tuple(one for one in made if one is not None)


def _fallback(
    at: int, row: Any, environ: Mapping[str, str], problems: _Problems
) -> Upstream | None:
    """Return an upstream of the list; `None` if it is none, which is told."""
    if isinstance(row, Upstream):
        return row
    said = f"APE_FALLBACKS, entry {at}"
    known = ("base_url", "name", "model", *_KEY_PLACES)
    if not isinstance(row, Mapping) or not isinstance(row.get("base_url"), str):
        problems.add(f"{said} must be an object with base_url.")
        return None
    if not all(isinstance(value, str) for value in row.values()) or {*row} - {*known}:
        problems.add(f"{said} must have nothing but {', '.join(known)}, all text.")
        return None
    try:
        return Upstream(
            name=row.get("name") or f"fallback-{at}",
            base_url=row["base_url"],
            api_key=_key_of(row, said, environ, problems),
            model=row.get("model") or None,
        )
    except CerebrasConfigurationError as error:
        problems.add(f"{said}: {error}")
        return None


def _key_of(
    row: Mapping[str, str], said: str, environ: Mapping[str, str], problems: _Problems
) -> str | None:
    places = [name for name in _KEY_PLACES if row.get(name)]
    if len(places) > 1:
        problems.add(f"{said} has {' and '.join(places)}: give one of them.")
    if len(places) != 1:
        return None
    place, value = places[0], row[places[0]]
    if place == "api_key_file":
        return _read_file(value, f"{said}, {place}", problems)
    if place == "api_key_env":
        if not _given(environ, value):
            problems.add(f"{said}: the variable {value} is not set.")
        return environ.get(value) or None
    return value


# ---------------------------------------------------------------- what goes together


def _look_for_conflicts(values: Mapping[str, Any], problems: _Problems) -> None:
    """Note what does not go together, as far as the values are known."""
    for names, check in _CHECKS:
        if problems.fields.isdisjoint(names):
            for told in check(*(values[name] for name in names)):
                problems.add(told)


def _check_names(main: Upstream, fallbacks: tuple[Upstream, ...]) -> Iterator[str]:
    names = [one.name for one in (main, *fallbacks)]
    if len(set(names)) != len(names):
        yield f"Upstreams must have names of their own, not {', '.join(names)}."


def _check_key(main: Upstream) -> Iterator[str]:
    if main.api_key is None and not main.is_local:
        yield (
            f"{_KEY} (or {_KEY}_FILE) is not set: {main.base_url} asks for a key. Get "
            "one at https://cloud.cerebras.ai."
        )


def _check_open(
    host: str, api_key: str | None, keys_file: str | None, allow_open: bool
) -> Iterator[str]:
    if api_key is None and keys_file is None and not allow_open and not _is_own(host):
        yield (
            f"HOST={host!r} lets other machines in, and no key is asked for. Set "
            "APE_API_KEY or APE_KEYS_FILE; or APE_ALLOW_OPEN=1 if everybody there may "
            "spend the upstream's money."
        )


def _check_ports(port: int, metrics_port: int | None) -> Iterator[str]:
    if metrics_port and metrics_port == port:
        yield (
            f"APE_METRICS_PORT={metrics_port} is PORT: leave it out to serve metrics "
            "there."
        )


def _check_shared(
    workers: int,
    limits_url: str | None,
    ledger_url: str | None,
    requests: int | None,
    tokens: int | None,
    budget: Decimal | None,
) -> Iterator[str]:
    """Say which limits each worker would count for itself."""
    if workers == 1:
        return
    for name in _counted_alone(limits_url, ledger_url, requests, tokens, budget):
        place = " or a ledger" if name == "APE_KEY_BUDGET_USD" else ""
        yield (
            f"{name} with APE_WORKERS={workers} needs APE_LIMITS_URL{place}: each "
            "worker would count for itself."
        )


def _counted_alone(
    limits_url: str | None,
    ledger_url: str | None,
    requests: int | None,
    tokens: int | None,
    budget: Decimal | None,
) -> Iterator[str]:
    """Give the limits that are set, and that no process shares with others."""
    if limits_url is not None:
        return
    if requests is not None:
        yield "APE_KEY_REQUESTS_PER_MINUTE"
    if tokens is not None:
        yield "APE_KEY_TOKENS_PER_MINUTE"
    # A ledger's database is shared as well, but keeps budgets only.
    if budget is not None and ledger_url is None:
        yield "APE_KEY_BUDGET_USD"


def _is_own(host: str) -> bool:
    name = host.strip("[]")
    return is_loopback(f"//[{name}]" if ":" in name else f"//{name}")


_CHECKS: Final[tuple[tuple[tuple[str, ...], Callable[..., Iterator[str]]], ...]] = (
    (("upstream", "fallbacks"), _check_names),
    (("upstream",), _check_key),
    (("host", "api_key", "keys_file", "allow_open"), _check_open),
    (("port", "metrics_port"), _check_ports),
    (
        (
            "workers",
            "limits_url",
            "ledger_url",
            "key_requests_per_minute",
            "key_tokens_per_minute",
            "key_budget_usd",
        ),
        _check_shared,
    ),
)


def _show(value: Any) -> str:
    """Return a value as messages show it: short, and without what looks secret."""
    text = mask_secrets(repr(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
