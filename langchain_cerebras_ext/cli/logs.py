"""What commands log: our package's lines on standard error, if they are asked for.

`CEREBRAS_LOG` or `LOG_LEVEL` sets the level, `CEREBRAS_LOG_FORMAT` the form. Other
libraries stay quiet: at DEBUG some of them print headers, and so the key.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.cli.failures import CommandError

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["LogSettings", "command_logging", "read_settings"]

LOGGER: Final = "langchain_cerebras_ext"
LEVEL_NAMES: Final = ("CEREBRAS_LOG", "LOG_LEVEL")
"""The variables that are read; the first one that is set wins."""
FORMAT_NAME: Final = "CEREBRAS_LOG_FORMAT"

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "off": None,
}
# What else people and other programs' LOG_LEVEL say for these.
_ALSO: Final = {
    "trace": "debug",
    "warn": "warning",
    "err": "error",
    "fatal": "critical",
    "none": "off",
    "10": "debug",
    "20": "info",
    "30": "warning",
    "40": "error",
    "50": "critical",
}
_FORMATS: Final = ("text", "json")

_OWN: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
)
"""What every record has; anything else was given by whoever logged."""

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What the environment asks for.

    Attributes:
        level: The least that is logged; `None` is nothing.
        as_json: Whether a line is a JSON object.
    """

    level: int | None = None
    as_json: bool = False


def read_settings(environ: Mapping[str, str]) -> LogSettings:
    """Read the environment.

    Raises:
        CommandError: A value is none that can be asked for.
    """
    form = environ.get(FORMAT_NAME, "").strip().lower() or _FORMATS[0]
    if form not in _FORMATS:
        msg = f"{FORMAT_NAME}={form!r} is no format; give {' or '.join(_FORMATS)}."
        raise CommandError(msg)
    return LogSettings(_read_level(environ), as_json=form == "json")


def _read_level(environ: Mapping[str, str]) -> int | None:
    given = {name: environ.get(name, "").strip() for name in LEVEL_NAMES}
    name = next((name for name in LEVEL_NAMES if given[name]), None)
    if name is None:
        return None
    word = given[name].lower()
    word = _ALSO.get(word, word)
    if word not in _LEVELS:
        msg = f"{name}={given[name]!r} is no log level; give {', '.join(_LEVELS)}."
        if name != LEVEL_NAMES[0]:
            msg += f" {LEVEL_NAMES[0]} wins over it."
        raise CommandError(msg)
    return _LEVELS[word]


@contextmanager
def command_logging(
    *, debug: bool, environ: Mapping[str, str] | None = None
) -> Generator[None]:
    """Log while a command runs.

    Args:
        debug: Show other libraries' remarks too.
        environ: The environment; default: that of this process.

    Raises:
        CommandError: The environment asks for what there is not.
    """
    settings = read_settings(os.environ if environ is None else environ)
    root, ours = logging.getLogger(), logging.getLogger(LOGGER)
    if not any(isinstance(each, logging.NullHandler) for each in root.handlers):
        # Without any handler Python prints warnings to standard error. It stays, for
        # what is said while the process ends.
        root.addHandler(logging.NullHandler())
    asked = root if debug else ours if settings.level is not None else None
    levels = [(each, each.level) for each in (root, ours)]
    handler = _handler(as_json=settings.as_json)
    if asked is not None:
        asked.addHandler(handler)
    if debug:
        root.setLevel(logging.INFO)
    if settings.level is not None:
        ours.setLevel(settings.level)
    try:
        yield
    finally:
        if asked is not None:
            asked.removeHandler(handler)
        for logger, level in levels:
            logger.setLevel(level)


def _handler(*, as_json: bool) -> logging.Handler:
    handler = _ToStandardError()
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter())
    return handler


class _ToStandardError(logging.Handler):
    """Writes to what standard error is now: a live display may have put itself there.

    The display then prints the line above itself; written past it, the line would be
    overwritten.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        try:
            print(self.format(record), file=sys.stderr, flush=True)  # noqa: T201
        except Exception:  # noqa: BLE001 - as in all handlers: a log breaks nothing
            self.handleError(record)


# -------------------------------------------------------------------------- formats


class LineFormatter(logging.Formatter):
    """One line for people and `grep`: time in UTC, level, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line, without keys; a traceback follows it."""
        said = _BREAKS.sub(_escaped, record.getMessage())
        time = _utc(record)
        line = f"{time} {record.levelname:<8} {record.name} {said}"
        return _mask("\n".join([line, *_trace(record)]))


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the fields that the record was given."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a JSON object, without keys."""
        named: dict[str, Any] = {}
        for name, value in vars(record).items():
            if name in _OWN:
                continue
            # Our client gives its fields in one mapping.
            named.update(value if isinstance(value, Mapping) else {name: value})
        told = {
            **named,
            "time": _utc(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        first = ("time", "level", "logger", "message")
        ordered = {name: told[name] for name in (*first, *named)}
        trace = _trace(record)
        if trace:
            ordered["exception"] = "\n".join(trace)
        return json.dumps(_masked(ordered), ensure_ascii=False, default=_as_text)


def _utc(record: logging.LogRecord) -> str:
    time = datetime.fromtimestamp(record.created, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _trace(record: logging.LogRecord) -> list[str]:
    if not record.exc_info or record.exc_info[0] is None:
        return []
    return logging.Formatter().formatException(record.exc_info).splitlines()


def _as_text(value: object) -> str:
    """Return what JSON has no form for as text; it is masked like any other."""
    return _mask(str(value))


def _mask(text: str) -> str:
    """Return a text without what looks like a key, and without the one in use."""
    # Loaded with the first line, so that a command that logs nothing need not.
    from langchain_cerebras_ext._config import key_from_env
    from langchain_cerebras_ext.errors import mask_secrets

    return mask_secrets(text, key_from_env())


def _masked(value: Any) -> Any:
    """Return a value with all its texts masked."""
    if isinstance(value, str):
        return _mask(value)
    if isinstance(value, Mapping):
        return {_mask(str(name)): _masked(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(item) for item in value]
    return value
