"""Looks for keys in all that a test run produces: logs, errors, traces, output, files.

The keys are those that models were made with. A test that lets one out fails, whatever
it was written for.
"""

from __future__ import annotations

import copy
import logging
import os
import pickle
import subprocess
import sys
import traceback
import warnings
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from langchain_core.tracers.base import AsyncBaseTracer, BaseTracer

from langchain_cerebras_ext import _connection
from langchain_cerebras_ext.errors import CerebrasError

LIBRARIES = (
    "langchain_cerebras_ext",
    "aiohttp",
    "asyncio",
    "httpx",
    "httpx2",
    "langchain_core",
    "openai",
    "urllib3",
)
# Shorter ones are found in any text by chance.
SHORTEST = 8
LARGEST_BYTES = 1 << 22


class SecretWatch(logging.Handler):
    """Remembers which keys are in use and what came out while they were."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.secrets: set[str] = set()
        self.said: list[tuple[str, str]] = []
        self.errors: list[CerebrasError] = []
        self.models: weakref.WeakSet[Any] = weakref.WeakSet()

    def know(self, secret: str | None) -> None:
        """Take note of a secret."""
        if secret and len(secret) >= SHORTEST:
            self.secrets.add(secret)

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += "".join(traceback.format_exception(record.exc_info[1]))
        extra = {key: value for key, value in vars(record).items() if key != "args"}
        self.say(f"log of {record.name}", f"{text}\n{extra!r}")

    def say(self, where: str, text: str) -> None:
        """Take note of a text that left the program."""
        self.said.append((where, text))

    def found(self) -> list[str]:
        """Return where keys were found, without the keys."""
        texts = list(self.said)
        for error in self.errors:
            texts += list(_texts_of(error))
        for model in list(self.models):
            texts += list(_texts_of_model(model))
        return sorted({where for where, text in texts if self.is_in(text)})

    def is_in(self, text: str) -> bool:
        """Whether a text holds a key."""
        return any(secret in text for secret in self.secrets)

    def look_into(self, folder: Path) -> None:
        """Take note of the files that a test has written."""
        for path in folder.rglob("*"):
            if path.is_file() and path.stat().st_size < LARGEST_BYTES:
                text = path.read_bytes().decode("latin-1")
                self.say(f"the file {path.name}", text)


def _texts_of(error: BaseException) -> Iterator[tuple[str, str]]:
    name = type(error).__name__
    yield f"str of {name}", str(error)
    yield f"repr of {name}", f"{error!r} {error.args!r}"
    yield f"data of {name}", repr(vars(error))
    yield f"traceback of {name}", "".join(traceback.format_exception(error))
    response = getattr(error, "response", None)
    if response is not None:
        yield f"response of {name}", f"{response!r} {vars_of(response)!r}"
    with suppress(TypeError, AttributeError, pickle.PicklingError):
        yield f"pickle of {name}", pickle.dumps(error).decode("latin-1")


def vars_of(value: Any) -> dict[str, Any]:
    names = getattr(type(value), "__slots__", ()) or vars(value)
    return {name: getattr(value, name, None) for name in names}


def _texts_of_model(model: Any) -> Iterator[tuple[str, str]]:
    name = type(model).__name__
    yield f"repr of {name}", f"{model!r} {model!s}"
    with suppress(Exception):  # models of some tests cannot be dumped
        from langchain_core.load import dumps

        yield f"dumps of {name}", dumps(model)
    if getattr(model, "_env_key", None) is not None:
        with suppress(TypeError, AttributeError, pickle.PicklingError):
            yield f"pickle of {name}", pickle.dumps(model).decode("latin-1")
            yield (
                f"pickled copy of {name}",
                pickle.dumps(copy.copy(model)).decode("latin-1"),
            )


@contextmanager
def _wrapped(owner: Any, name: str, make: Any) -> Iterator[None]:
    """Put something else in the place of a method, until the end."""
    method = getattr(owner, name)
    setattr(owner, name, make(method))
    try:
        yield
    finally:
        setattr(owner, name, method)


@contextmanager
def _programs_and_tracers(watch: SecretWatch) -> Iterator[None]:
    """Note what programs print, what tracers are told, and what spans hold."""

    def noted_output(communicate: Any) -> Any:
        def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
            told = communicate(self, *args, **kwargs)
            for text in told:
                shown = text.decode("latin-1") if isinstance(text, bytes) else text
                watch.say("the output of a program", shown or "")
            return told

        return noted

    def noted_run(end: Any) -> Any:
        def noted(self: Any, run: Any) -> Any:
            told = (run.inputs, run.outputs, run.extra, run.serialized, run.events)
            watch.say(f"the trace of a {run.run_type}", f"{told!r} {run.error}")
            return end(self, run)

        return noted

    def noted_span(end: Any) -> Any:
        def noted(self: Any, *args: Any, **kwargs: Any) -> None:
            end(self, *args, **kwargs)
            watch.say(f"the span {self.name}", self.to_json())

        return noted

    with ExitStack() as stack:
        stack.enter_context(_wrapped(subprocess.Popen, "communicate", noted_output))
        for tracer in (BaseTracer, AsyncBaseTracer):
            stack.enter_context(_wrapped(tracer, "_end_trace", noted_run))
        sdk = sys.modules.get("opentelemetry.sdk.trace")
        if sdk is not None:
            stack.enter_context(_wrapped(sdk.Span, "end", noted_span))
        yield


@contextmanager
def watching(watch: SecretWatch, level: int = logging.DEBUG) -> Iterator[None]:
    """Note every key, and all that comes out, until the end.

    Args:
        watch: Who notes it.
        level: How much is logged meanwhile.
    """
    with _programs_and_tracers(watch), _this_package(watch, level):
        yield


@contextmanager
def _this_package(watch: SecretWatch, level: int) -> Iterator[None]:
    """Note every key, error, model, warning and log line."""
    make_error = CerebrasError.__init__
    find_key = _connection.CerebrasConnection._key
    show = warnings.showwarning

    def noted_error(self: CerebrasError, *args: Any, **data: Any) -> None:
        make_error(self, *args, **data)
        watch.errors.append(self)

    def noted_key(self: Any) -> str | None:
        key = find_key(self)
        watch.know(key)
        for name in ("cerebras_proxy",):
            with suppress(AttributeError, ValueError):
                password = urlsplit(getattr(self, name) or "").password
                watch.know(unquote(password) if password else None)
        with suppress(TypeError, AttributeError):
            watch.models.add(self)
        return key

    def noted_warning(message: Any, *args: Any, **kwargs: Any) -> None:
        watch.say("warning", str(message))
        show(message, *args, **kwargs)

    CerebrasError.__init__ = noted_error  # type: ignore[method-assign]
    _connection.CerebrasConnection._key = noted_key  # type: ignore[method-assign]
    warnings.showwarning = noted_warning
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(watch)
    _set_levels(loggers, [level] * len(loggers))
    watch.know(os.environ.get("CEREBRAS_API_KEY"))
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(watch)
        _set_levels(loggers, levels)
        warnings.showwarning = show
        _connection.CerebrasConnection._key = find_key  # type: ignore[method-assign]
        CerebrasError.__init__ = make_error  # type: ignore[method-assign]


def _set_levels(loggers: list[logging.Logger], levels: list[int]) -> None:
    """Set them all; `setLevel` forgets what every logger there is had worked out.

    To do that once is enough, and this is done twice for each of many thousand tests.
    """
    for logger, level in zip(loggers, levels, strict=True):
        logger.level = level
    loggers[-1].setLevel(levels[-1])
