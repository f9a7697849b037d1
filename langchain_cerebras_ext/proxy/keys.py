"""`Keys`: whose key a request shows, and whether it may come in without one.

Nothing but digests is kept. A wrong key is compared with all of them, in the same time
for any, and is in no log.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import re
import signal
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from langchain_cerebras_ext._config import is_loopback
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.proxy.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_cerebras_ext.proxy.settings import Settings

__all__ = ["DEFAULT_ID", "Keys", "key_line", "parse_keys"]

DEFAULT_ID: Final = "default"
"""The id of the key in `APE_API_KEY`."""

Table: TypeAlias = tuple[tuple[bytes, str], ...]
"""Digest and id of each key."""

_log = logging.getLogger("langchain_cerebras_ext.proxy")

_LINE: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._@\-]{0,63}):\s*([0-9A-Fa-f]{64})")
_LARGEST_FILE: Final = 16 * 1024 * 1024
_LONGEST_HEADER: Final = 4096
_SCHEME: Final = b"bearer "
_NO_KEY: Final = (
    "This proxy asks for an API key, and none was given. Send it as the header "
    "'Authorization: Bearer YOUR_KEY'."
)
_WRONG_KEY: Final = (
    "The API key is none of this proxy's. Ask whoever runs it for one; the upstream's "
    "own keys are not taken here."
)


class Keys:
    """The clients' keys.

    Args:
        settings: Name the key, the file of keys, or neither: then anybody on this
            machine is let in.

    Raises:
        CerebrasConfigurationError: The file cannot be read, or is none of keys.
    """

    def __init__(self, settings: Settings) -> None:
        self._file = settings.keys_file
        own = settings.api_key
        self._own: Table = () if own is None else ((_digest(own.encode()), DEFAULT_ID),)
        self._origins = frozenset(settings.cors_origins)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_open = settings.is_open
        """Whether no key is asked for."""
        self.guards_place = self.is_open and not settings.allow_open
        """Whether `check_place` has anything to say."""
        self._table = self._own + self._read()

    def __repr__(self) -> str:
        """Tell how many there are."""
        return f"<Keys: {'open' if self.is_open else len(self._table)}>"

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, each once."""
        return tuple(dict.fromkeys(name for _, name in self._table))

    def identify(self, authorization: bytes | None) -> str | None:
        """Return whose key this is; `None` where no key is asked for.

        Args:
            authorization: The header.

        Raises:
            Refusal: There is no key, or it is none of ours (401).
        """
        if self.is_open:
            return None
        said = authorization or b""
        if len(said) > _LONGEST_HEADER or said[:7].lower() != _SCHEME:
            said = b""
        digest = _digest(said[7:].strip())
        found: str | None = None
        same = hmac.compare_digest
        for known, name in self._table:
            if same(known, digest):
                found = name
        if found is None:
            raise _refuse_key(is_missing=not said)
        return found

    def check_place(
        self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]
    ) -> None:
        """Let in this machine only, and of its web pages none from elsewhere.

        Where no key is asked for, a server may still listen for others, as `uvicorn
        --host 0.0.0.0` does, and any page in a browser here could send requests.

        Args:
            scope: ASGI's.
            headers: The request's.

        Raises:
            Refusal: The request comes from elsewhere (403).
        """
        if not self.guards_place:
            return
        server = scope.get("server")
        if server is not None and not _is_own_address(str(server[0])):
            msg = (
                "This proxy asks for no key and so answers this machine only. Set "
                "APE_API_KEY, or APE_ALLOW_OPEN=1 to let everybody in."
            )
            raise _refuse_place(msg)
        origin = headers.get(b"origin")
        if origin is not None and not self._takes_origin(origin):
            msg = (
                "This proxy asks for no key and so answers no web pages of other "
                "hosts. Set APE_API_KEY, or name the page in APE_CORS_ORIGINS."
            )
            raise _refuse_place(msg)

    def _takes_origin(self, origin: bytes) -> bool:
        text = origin.decode("latin-1")
        return text in self._origins or "*" in self._origins or is_loopback(text)

    # -------------------------------------------------------------------- reload

    def reload(self) -> bool:
        """Read the file of keys again.

        Returns:
            Whether it could be; if not, the keys stay as they were, and it is told in
            the log.
        """
        if self._file is None:
            return True
        try:
            table = self._own + self._read()
        except CerebrasConfigurationError as error:
            _log.error("The keys stay as they were. %s", error)
            return False
        self._table = table
        _log.info("Keys were read again: %d in %s.", len(table), self._file)
        return True

    def listen(self) -> None:
        """Read the file again on SIGHUP, as long as the running loop runs.

        Where signals are not ours to take (Windows, another thread) nothing is done.
        """
        if self._file is None or not hasattr(signal, "SIGHUP"):
            return
        loop = asyncio.get_running_loop()
        # Loops without signals, and threads that are not the main one, say so.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGHUP, self.reload)
            self._loop = loop

    def close(self) -> None:
        """Take SIGHUP no longer."""
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            loop.remove_signal_handler(signal.SIGHUP)

    def _read(self) -> Table:
        if self._file is None:
            return ()
        return parse_keys(_read_text(self._file), self._file, bool(self._own))


def parse_keys(text: str, where: str, has_default: bool = False) -> Table:
    """Return the keys of a file: lines `id: sha256`, `#` begins a comment.

    An id may have several keys, so that one can be changed for another.

    Args:
        text: The file's.
        where: Its name, for messages.
        has_default: Whether the id `default` is taken.

    Raises:
        CerebrasConfigurationError: A line is none, a key is there twice, or there is
            no key at all. Nothing of the lines is repeated.
    """
    table: dict[bytes, str] = {}
    for number, written in enumerate(text.splitlines(), start=1):
        line = written.partition("#")[0].strip()
        if not line:
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise _wrong_line(
                where, number, "must be `id: sha256`, 64 hexadecimal digits"
            )
        name, digest = found[1], bytes.fromhex(found[2])
        if has_default and name == DEFAULT_ID:
            raise _wrong_line(
                where, number, f"has the id {DEFAULT_ID!r}, which APE_API_KEY has"
            )
        if digest in table:
            raise _wrong_line(where, number, "has a key that is there before")
        table[digest] = name
    if not table and not has_default:
        msg = (
            f"APE_KEYS_FILE={where!r} has no keys. Write lines `id: sha256`; a digest "
            "is made by: printf %s THE_KEY | sha256sum"
        )
        raise CerebrasConfigurationError(msg)
    return tuple((digest, name) for digest, name in table.items())


def key_line(name: str, key: str) -> str:
    """Return the line of a file of keys for a key.

    Args:
        name: Its id.
        key: The key; the line has its digest only.
    """
    return f"{name}: {_digest(key.encode()).hex()}"


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _wrong_line(where: str, number: int, rule: str) -> CerebrasConfigurationError:
    return CerebrasConfigurationError(f"APE_KEYS_FILE={where!r}, line {number} {rule}.")


def _read_text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
    except UnicodeDecodeError:
        reason = "is no UTF-8 text"
    else:
        if len(data) <= _LARGEST_FILE:
            return text
        reason = f"is larger than {_LARGEST_FILE} bytes"
    msg = f"APE_KEYS_FILE={path!r} {reason}."
    raise CerebrasConfigurationError(msg)


def _refuse_key(*, is_missing: bool) -> Refusal:
    # https://www.rfc-editor.org/rfc/rfc6750#section-3
    asked = b"Bearer" if is_missing else b'Bearer error="invalid_token"'
    return Refusal(
        401,
        _NO_KEY if is_missing else _WRONG_KEY,
        code="invalid_api_key",
        category="auth",
        headers=[(b"www-authenticate", asked)],
    )


def _refuse_place(message: str) -> Refusal:
    return Refusal(403, message, code="not_allowed_from_here", category="auth")


@lru_cache(maxsize=256)
def _is_own_address(host: str) -> bool:
    """Whether a server's address is this machine's own; sockets' paths and names are.

    A real server tells addresses; names come from clients within the process.
    """
    try:
        address = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return True
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
