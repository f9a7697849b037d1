"""Where a ledger is: its URL, checked, and what may be shown of it."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, unquote_plus

from langchain_cerebras_ext.catalog._place import cache_dir
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    MissingExtraError,
    mask_secrets,
)

__all__ = ["Place", "find_place", "require"]

_DRIVERS: Final = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
_HELP: Final = (
    "Take a file's path, 'sqlite:///costs.db' or "
    "'postgresql+psycopg://user:password@host/database'."
)
# Where SQLAlchemy looks for the password: a `/`, `?` or `#` in it need not be quoted.
_USER: Final = re.compile(r"[^:/]*:(?P<word>[^@]*)@")
_LIKE_A_SERVER: Final = re.compile(r"\bpostgres\w*(\+\w+)?:|[^/\\:@]:[^/\\@]+@[^/\\]")


class Place(NamedTuple):
    """A database's address.

    Attributes:
        url: As SQLAlchemy takes it; holds the password.
        shown: The same for people, with `***` for the password.
        path: The file of a SQLite database.
        secrets: What must not be shown.
    """

    url: str
    shown: str
    path: Path | None
    secrets: tuple[str, ...]

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a SQLite database, in a file or in memory."""
        return self.url.startswith("sqlite")

    @property
    def is_in_memory(self) -> bool:
        """Whether it goes with the process."""
        return self.is_sqlite and self.path is None

    @property
    def spool(self) -> Path | None:
        """How the files' names begin that keep what the database does not take."""
        if self.path is not None:
            return self.path.with_name(f"{self.path.name}.spool")
        if self.is_in_memory:
            return None
        name = hashlib.sha256(self.shown.encode()).hexdigest()[:16]
        folder = cache_dir()
        return folder and folder.parent / "ledger" / f"{name}.spool"

    def identity(self) -> tuple[int, int] | None:
        """Return which file is there now, if it is one and there."""
        if self.path is None:
            return None
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def mask(self, text: str) -> str:
        """Return a text without the password, whatever else looks like a key, too."""
        return mask_secrets(text, *self.secrets)


def find_place(url: str | os.PathLike[str]) -> Place:
    """Return the place that a URL, or a file's path, names.

    Raises:
        CerebrasConfigurationError: It is of no database that a ledger can be in.
        MissingExtraError: What that database needs is not installed.
    """
    require("sqlalchemy", "ledger")
    if not isinstance(url, str):
        return _sqlite(os.fspath(url))
    if "://" not in url:
        # Not shown: what was meant may well have a password in it.
        if _LIKE_A_SERVER.search(url):
            msg = (
                "The ledger's URL looks like a server's, but has no '://'. "
                f"{_HELP} For a file of such a name pass a `Path`."
            )
            raise CerebrasConfigurationError(msg)
        return _sqlite(url)
    scheme, _, rest = url.partition("://")
    driver = _DRIVERS.get(scheme.lower())
    if driver is None:
        msg = f"The ledger's URL begins with {scheme[:40]!r}. {_HELP}"
        raise CerebrasConfigurationError(msg)
    if driver == "sqlite":
        name, _, options = rest.partition("?")
        if options:
            msg = (
                f"The ledger's URL has options, {options[:40]!r}, which one of a file "
                "does not take. To read only, pass create=False; a '?' in a name is "
                "written %3F."
            )
            raise CerebrasConfigurationError(msg)
        return _sqlite(unquote(name).removeprefix("/"))
    require("psycopg", "postgres")
    return _server(f"{driver}://{rest}")


def _sqlite(name: str) -> Place:
    if name in {"", ":memory:", "/:memory:"}:
        return Place("sqlite://", "sqlite://", None, ())
    path = Path(name).expanduser().absolute()
    # So that the URL leads to the same file, for budgets and where it is unpickled.
    quoted = str(path).replace("%", "%25").replace("?", "%3F")
    return Place(f"sqlite:///{quoted}", f"sqlite:///{path}", path, ())


def _server(url: str) -> Place:
    _check_server(url)
    address = url.partition("://")[2]
    found = _USER.match(address)
    quoted = found["word"] if found else ""
    rest = address[found.end() :] if found else address
    # libpq takes a password among the options, too.
    options = (one.partition("=") for one in rest.partition("?")[2].split("&"))
    hidden = [
        value for name, _, value in options if "pass" in unquote_plus(name).lower()
    ]
    secrets = [quoted, unquote(quoted)]
    shown = url.replace(f":{quoted}@", ":***@", 1) if quoted else url
    for value in filter(None, hidden):
        shown = shown.replace(f"={value}", "=***")
        secrets += [value, unquote_plus(value)]
    return Place(url, shown, None, tuple(dict.fromkeys(filter(None, secrets))))


def _check_server(url: str) -> None:
    """See that SQLAlchemy can read an address, which is not shown.

    Raises:
        CerebrasConfigurationError: It cannot, or would take it for another host's.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        host = make_url(url).host or ""
    except (ArgumentError, ValueError):
        wrong = "cannot be read; look at its host and port."
    else:
        if "@" not in host:
            return
        wrong = "has an '@' too many; in a password write it %40."
    msg = f"The ledger's URL {wrong} {_HELP}"
    raise CerebrasConfigurationError(msg)


def require(module: str, extra: str) -> None:
    """See that a module is installed.

    Raises:
        MissingExtraError: It is not.
    """
    if importlib.util.find_spec(module) is None:
        msg = (
            f"A ledger there needs {module}. "
            f"Run: pip install 'langchain-cerebras-ext[{extra}]'"
        )
        raise MissingExtraError(msg)
