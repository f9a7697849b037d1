"""The live lists that were read, kept on this machine for later runs.

One small JSON file for each service that was asked; what a list told stays there when a
later one tells otherwise, so that a price keeps its days.
"""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext.catalog._place import ENV_CACHE, cache_dir, kept_files
from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from langchain_cerebras_ext.catalog._snapshot import Snapshot

__all__ = [
    "add_snapshot",
    "cache_file",
    "forget_lists",
    "read_for_environment",
    "read_lists",
    "root_url",
    "write_lists",
]

_VERSION = 1
_MAX_BYTES = 16 * 1024 * 1024
_log = logging.getLogger("langchain_cerebras_ext.catalog")


def cache_file(url: str) -> Path | None:
    """Return the file for a service's address; `None` if there is no place for one."""
    folder = cache_dir()
    if folder is None:
        return None
    name = re.sub(r"[^a-z0-9.]+", "-", url.partition("://")[2].lower()).strip("-")
    return folder / f"models-{name}.json"


def root_url(base_url: str) -> str:
    """Return a service's address without `/v1`.

    Raises:
        CerebrasConfigurationError: It is no http(s) URL with a host.
    """
    from langchain_cerebras_ext import _config

    return _config.normalise_base_url(base_url).removesuffix("/v1")


def read_for_environment(*, since: date) -> tuple[Snapshot, ...]:
    """Return the lists of the service that the environment names, oldest first.

    What cannot be read counts as nothing, with a line in the log: a damaged cache
    must not keep anybody from chatting.

    Args:
        since: Older lists are left out: the packaged data know better.
    """
    from langchain_cerebras_ext import _config

    try:
        path = cache_file(root_url(_config.base_url_from_env()))
        found = () if path is None else read_lists(path)
    except (OSError, ValueError) as error:
        _log.warning(
            "The kept list of models cannot be read, and is not used: %s", error
        )
        return ()
    return tuple(one for one in found if one.on >= since)


def read_lists(path: Path) -> tuple[Snapshot, ...]:
    """Return what a file keeps, oldest first; nothing if there is none.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not a file of ours.
    """
    import msgspec

    from langchain_cerebras_ext.catalog._snapshot import Snapshot

    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return ()
    if len(data) > _MAX_BYTES:
        msg = f"{path} is longer than {_MAX_BYTES} bytes"
        raise ValueError(msg)
    form = msgspec.defstruct(
        "Kept", [("version", int), ("lists", tuple[Snapshot, ...])]
    )
    try:
        kept: Any = msgspec.json.decode(data, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"{path}: {error}"
        raise ValueError(msg) from error
    if kept.version != _VERSION:
        msg = f"{path} is of version {kept.version}, not {_VERSION}"
        raise ValueError(msg)
    lists: tuple[Snapshot, ...] = kept.lists
    return tuple(sorted(lists, key=lambda one: one.on))


def add_snapshot(
    kept: Iterable[Snapshot], new: Snapshot, *, since: date
) -> tuple[Snapshot, ...]:
    """Return the lists to keep, with a new one, oldest first.

    Of lists in a row that tell the same, the first and the last one are kept: from
    when, and still when. Of a day the last one is.
    """
    lists = [one for one in kept if since <= one.on < new.on]
    while len(lists) > 1 and lists[-1].is_same(new) and lists[-2].is_same(new):
        lists.pop()
    return (*lists, new)


def write_lists(path: Path, lists: tuple[Snapshot, ...]) -> None:
    """Keep lists, whole or not at all.

    Raises:
        CerebrasConfigurationError: The file cannot be written.
    """
    import tempfile

    import msgspec

    data = msgspec.json.encode({"version": _VERSION, "lists": lists})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix="~")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        msg = (
            f"The list of models cannot be kept in {str(path.parent)!r}: "
            f"{error.strerror or error}. Set {ENV_CACHE} to a folder that can be "
            "written, or pass keep=False."
        )
        raise CerebrasConfigurationError(msg) from error


def forget_lists() -> None:
    """Delete every kept list.

    Raises:
        CerebrasConfigurationError: A file cannot be deleted.
    """
    for path in kept_files():
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            msg = f"{str(path)!r} cannot be deleted: {error.strerror or error}."
            raise CerebrasConfigurationError(msg) from error
