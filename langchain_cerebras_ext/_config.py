"""Where to connect and as whom: environment, key, base URL, timeouts, headers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from langchain_cerebras_ext._http import Timeouts
from langchain_cerebras_ext._version import __version__
from langchain_cerebras_ext.errors import CerebrasConfigurationError, SecretText

__all__ = [
    "DEFAULT_BASE_URL",
    "DEFAULT_MODEL",
    "base_url_from_env",
    "call_timeouts",
    "clean_key",
    "foreign_key_hint",
    "is_loopback",
    "key_from_env",
    "model_from_env",
    "normalise_base_url",
    "standard_headers",
    "strip_provider",
]

DEFAULT_BASE_URL = "https://api.cerebras.ai/v1"
DEFAULT_MODEL = "gpt-oss-120b"
INTEGRATION = "langchain-cerebras-ext"

ENV_KEY = "CEREBRAS_API_KEY"
# The last one is what `langchain_cerebras` reads.
ENV_URLS = ("CEREBRAS_BASE_URL", "CEREBRAS_URL", "CEREBRAS_API_BASE")
ENV_MODEL = "CEREBRAS_MODEL"

CONNECT_S = 5.0
READ_S = 60.0
TOTAL_S = 120.0
FIRST_BYTE_S = 120.0
_INFINITE = float("inf")

# Prefixes of other vendors' keys: sent to Cerebras, they leak and answer 401.
_FOREIGN_KEYS = {
    "sk-ant-": "Anthropic",
    "sk-or-": "OpenRouter",
    "sk-proj-": "OpenAI",
    "sk-": "OpenAI",
    "gsk_": "Groq",
    "xai-": "xAI",
    "AIza": "Google",
    "hf_": "Hugging Face",
    "nvapi-": "NVIDIA",
    "pplx-": "Perplexity",
    "fw_": "Fireworks",
    "r8_": "Replicate",
}


def key_from_env() -> str | None:
    """Return the key in `CEREBRAS_API_KEY`, without stray white space."""
    return clean_key(os.environ.get(ENV_KEY))


def base_url_from_env() -> str:
    """Return the base URL of the environment, else the service's."""
    for name in ENV_URLS:
        value = os.environ.get(name, "").strip()
        if value:
            return value
    return DEFAULT_BASE_URL


def model_from_env() -> str:
    """Return the model in `CEREBRAS_MODEL`, else the default."""
    return os.environ.get(ENV_MODEL, "").strip() or DEFAULT_MODEL


def clean_key(key: str | None) -> str | None:
    """Return a key without what copying adds: white space, quotes, `Bearer`."""
    if key is None:
        return None
    key = key.strip().strip("\"'").strip()
    if key.lower().startswith("bearer "):
        key = key[7:].strip()
    return SecretText(key) if key else None


def foreign_key_hint(key: str) -> str | None:
    """Return a warning for a key that looks like another vendor's.

    The prefix alone is named; nothing of the rest of the key.
    """
    for prefix, vendor in _FOREIGN_KEYS.items():
        if key.startswith(prefix):
            return (
                f"The API key starts with {prefix!r} and looks like one of {vendor}'s; "
                "Cerebras keys start with 'csk-'. It will be sent to the base URL's "
                f"host. Set {ENV_KEY} or pass api_key=... with a Cerebras key."
            )
    return None


def check_key_text(key: str) -> None:
    """Refuse a key that cannot stand in a header.

    Raises:
        CerebrasConfigurationError: It has line breaks or other than ASCII.
    """
    if not key.isascii() or not key.isprintable() or " " in key:
        msg = (
            f"The API key (api_key or {ENV_KEY}) has white space or characters that "
            "cannot stand in a header. Copy it again from https://cloud.cerebras.ai."
        )
        raise CerebrasConfigurationError(msg)


@lru_cache(maxsize=64)
def normalise_base_url(url: str) -> str:
    """Return a base URL that ends in `/v1`.

    Taken with or without `/v1`, `/chat/completions` or a trailing slash.

    Raises:
        CerebrasConfigurationError: It is no http(s) URL with a host.
    """
    text = url.strip()
    if "://" not in text:
        # A server on this machine has no certificate.
        text = f"{'http' if is_loopback(f'//{text}') else 'https'}://{text}"
    parts = _split(text)
    is_spaced = any(mark.isspace() for mark in text)
    is_web = parts is not None and parts.scheme in {"http", "https"}
    if parts is None or not is_web or not parts.hostname or is_spaced:
        msg = (
            f"base_url={_without_userinfo(text)!r} is no http(s) URL. The service's is "
            f"{DEFAULT_BASE_URL}; set base_url=... or {ENV_URLS[0]}."
        )
        raise CerebrasConfigurationError(msg)
    if parts.username or parts.password:
        msg = (
            "base_url holds a user name or password; pass the key as api_key=... or "
            f"in {ENV_KEY}."
        )
        raise CerebrasConfigurationError(msg)
    path = parts.path.rstrip("/")
    path = re.sub(r"/(chat/completions|completions)$", "", path)
    if not path.endswith("/v1"):
        path += "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _split(url: str) -> SplitResult | None:
    """Return a URL's parts; `None` for half an IPv6 address or a port that is none."""
    try:
        parts = urlsplit(url)
        is_right = parts.port != 0
    except ValueError:
        return None
    return parts if is_right else None


def _without_userinfo(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", url)


@lru_cache(maxsize=64)
def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_public_service(url: str) -> bool:
    """Whether a URL's host is that of the public service."""
    try:
        return urlsplit(url).hostname == urlsplit(DEFAULT_BASE_URL).hostname
    except ValueError:
        return False


def strip_provider(model: str) -> str:
    """Return a model's id without `cerebras::`, `cerebras:` or `cerebras/`."""
    for prefix in ("cerebras::", "cerebras:", "cerebras/"):
        if model.startswith(prefix):
            return model[len(prefix) :]
    return model


# ------------------------------------------------------------------------- timeouts


@dataclass(frozen=True, slots=True)
class CallTimeouts:
    """The limits of a plain call and of a stream, in seconds."""

    plain: Timeouts
    stream: Timeouts


_TIMEOUT_KEYS = {"connect", "read", "total", "first_byte"}


def call_timeouts(
    timeout: Any,
    *,
    connect_s: float | None = None,
    total_s: float | None = None,
    between_chunks_s: float | None = None,
) -> CallTimeouts:
    """Return the limits that a user's settings mean.

    Args:
        timeout: `None` for the defaults; seconds for a whole plain call and, in a
            stream, for the first byte and every gap; `(connect, read)`; a mapping of
            `connect`, `read`, `total`, `first_byte`; or an object with `connect` and
            `read`, as httpx's.
        connect_s: Seconds to connect.
        total_s: Seconds for a whole call, streams included.
        between_chunks_s: Seconds without a byte within a stream.

    Raises:
        CerebrasConfigurationError: A value is not a positive number.
    """
    given = _read_timeout(timeout)
    for name, field, value in (
        ("connect", "connect_timeout", connect_s),
        ("total", "total_timeout", total_s),
        ("between", "stream_chunk_timeout", between_chunks_s),
    ):
        if value is not None:
            given[name] = _seconds(field, value)
    for name, value in given.items():
        given[name] = _seconds(_SAID.get(name, name), value)
    connect = given.get("connect", CONNECT_S)
    read = given.get("read", READ_S)
    return CallTimeouts(
        plain=Timeouts(
            connect_s=connect, read_s=read, total_s=given.get("total", TOTAL_S)
        ),
        stream=Timeouts(
            connect_s=connect,
            read_s=given.get("between", read),
            total_s=given.get("stream_total") if total_s is None else given["total"],
            first_byte_s=given.get("first_byte", FIRST_BYTE_S),
        ),
    )


def _read_timeout(timeout: Any) -> dict[str, Any]:
    if timeout is None:
        return {}
    if isinstance(timeout, (int, float)):
        whole = _seconds("timeout", timeout)
        if whole is None:
            return dict.fromkeys(("connect", "read", "first_byte", "total"))
        return {
            "connect": min(CONNECT_S, whole),
            "read": whole,
            "first_byte": whole,
            "total": whole,
        }
    if isinstance(timeout, (tuple, list)) and len(timeout) == 2:  # noqa: PLR2004
        return {
            "connect": timeout[0],
            "read": timeout[1],
            "first_byte": timeout[1],
            "total": None,
        }
    if isinstance(timeout, Mapping):
        unknown = set(timeout) - _TIMEOUT_KEYS
        if unknown:
            msg = (
                f"timeout has unknown keys {sorted(unknown)}; it takes "
                f"{', '.join(sorted(_TIMEOUT_KEYS))}, in seconds."
            )
            raise CerebrasConfigurationError(msg)
        given = dict(timeout)
        if "total" in given:
            given["stream_total"] = given["total"]
        return given
    if hasattr(timeout, "connect") and hasattr(timeout, "read"):
        phases: Any = timeout
        return {
            "connect": phases.connect,
            "read": phases.read,
            "first_byte": phases.read,
            "total": None,
        }
    msg = (
        f"timeout={timeout!r} is not understood; pass seconds, (connect, read) or "
        "a mapping of connect, read, first_byte and total."
    )
    raise CerebrasConfigurationError(msg)


_SAID = {name: f"timeout ({name})" for name in _TIMEOUT_KEYS}


def _seconds(name: str, value: Any) -> float | None:
    """Return a limit in seconds; infinity is no limit."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        msg = f"{name}={value!r} must be a positive number of seconds."
        raise CerebrasConfigurationError(msg)
    return None if value == _INFINITE else float(value)


# -------------------------------------------------------------------------- headers


_SECRET_NAMES = ("authorization", "cookie", "key", "token", "secret", "password")


def is_secret_header(name: str) -> bool:
    """Whether a header's value is likely one that nobody may see."""
    return any(word in name.lower() for word in _SECRET_NAMES)


class Headers(dict[str, str]):
    """Headers whose secrets do not show in a traceback's list of variables."""

    def __setitem__(self, name: str, value: str) -> None:
        """Set a header; a secret one stays hidden wherever its value goes."""
        is_secret = is_secret_header(name)
        super().__setitem__(name, SecretText(value) if is_secret else value)

    def __repr__(self) -> str:
        """Show the names, and the values that are no secrets."""
        shown = {
            name: "***" if is_secret_header(name) else value
            for name, value in self.items()
        }
        return repr(shown)


def standard_headers() -> Headers:
    """Return the headers that every request of ours carries."""
    return Headers(
        {
            "accept": "application/json",
            "content-type": "application/json",
            "user-agent": f"langchain-cerebras-ext/{__version__}",
            "x-cerebras-3rd-party-integration": INTEGRATION,
        }
    )
