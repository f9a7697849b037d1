"""Read the live list of models: on demand only, never at import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_cerebras_ext.catalog._days import utc_day
from langchain_cerebras_ext.errors import (
    AuthenticationError,
    CerebrasConfigurationError,
    CerebrasResponseError,
    CerebrasStatusError,
    ErrorResponse,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    mask_secrets,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    from langchain_cerebras_ext.catalog._diff import CatalogDiff
    from langchain_cerebras_ext.catalog._snapshot import Snapshot
    from langchain_cerebras_ext.catalog._table import Table

__all__ = ["check_source", "refresh", "reload", "use_packaged"]

_PUBLIC = "/public/v1/models"
_ACCOUNT = "/v1/models"
_MAX_BYTES = 4 * 1024 * 1024
_SHOWN = 200
_UNCHANGED = "The catalog is unchanged."


def refresh(
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    timeout: float = 30.0,
    on: date | None = None,
    keep: bool = True,
) -> CatalogDiff:
    """Read the live list of models, and let the catalog take it into account.

    One GET of `/public/v1/models`, and with a key one of `/v1/models`. What the lists
    tell is laid over the packaged data: a new price is a new period from this day on,
    other facts keep what they were before, and nothing of the history is lost. It is
    kept in `CEREBRAS_CACHE_DIR` (else where the system keeps caches) and used by
    later runs whose `CEREBRAS_BASE_URL` names the same service, until `use_packaged`.
    Where anything fails, nothing changes.

    Args:
        base_url: The service, with or without `/v1`; that of the environment if not
            given.
        api_key: The key; that of the environment if not given. An empty text asks for
            the public list alone.
        timeout: Seconds for each of the two calls.
        on: The day (UTC) for which it holds; today if not given.
        keep: Whether later runs use it too.

    Returns:
        How the live list differs from the packaged data.

    Raises:
        CerebrasConnectionError: The service cannot be reached, or not in time.
        CerebrasStatusError: It refused.
        CerebrasResponseError: Its answer is no list of models.
        CerebrasConfigurationError: The address or the key cannot be used, the day is
            before that of the packaged data, or the list cannot be kept.
    """
    from langchain_cerebras_ext.catalog import _cache
    from langchain_cerebras_ext.catalog._registry import registry

    base, snapshot, diff = _read(base_url, api_key, timeout, on)
    if snapshot.on < base.checked_on:
        msg = (
            f"A list of {snapshot.on} cannot be laid over the packaged data, which are "
            f"of {base.checked_on}. Set the clock, or pass on=... {_UNCHANGED}"
        )
        raise CerebrasConfigurationError(msg)
    path = _cache.cache_file(snapshot.url) if keep else None
    known = registry.snapshots()
    if path is not None:
        try:
            known = _cache.read_lists(path)
        except (OSError, ValueError):  # damaged: what it had is lost already
            known = ()
    lists = _cache.add_snapshot(
        (one for one in known if one.url == snapshot.url),
        snapshot,
        since=base.checked_on,
    )
    if path is not None:
        _cache.write_lists(path, lists)
    registry.use_snapshots(lists)
    return diff


def check_source(
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    timeout: float = 30.0,
    on: date | None = None,
) -> CatalogDiff:
    """Compare the packaged data with the live list, and change nothing.

    For a scheduled job: true where the service differs, with rows for the packaged
    data in `to_rows`.

    Args:
        base_url: As in `refresh`.
        api_key: As in `refresh`.
        timeout: As in `refresh`.
        on: As in `refresh`; any day will do.

    Raises:
        CerebrasError: As in `refresh`, but for what concerns the cache.
    """
    return _read(base_url, api_key, timeout, on)[2]


def use_packaged(*, forget: bool = True) -> None:
    """Go back to the packaged data.

    Args:
        forget: Delete the lists that were kept, so that later runs do so too.

    Raises:
        CerebrasConfigurationError: A kept list cannot be deleted.
    """
    from langchain_cerebras_ext.catalog import _cache
    from langchain_cerebras_ext.catalog._registry import registry

    if forget:
        _cache.forget_lists()
    registry.use_snapshots(())


def reload() -> None:
    """Read the file in `CEREBRAS_CATALOG` and the kept list anew at the next look-up.

    Cards that were registered stay.
    """
    from langchain_cerebras_ext.catalog._registry import registry

    registry.reload()


def _read(
    base_url: str | None, api_key: str | None, timeout: float, on: date | None
) -> tuple[Table, Snapshot, CatalogDiff]:
    """Ask the service, and compare what it says with the packaged data."""
    from langchain_cerebras_ext import _config
    from langchain_cerebras_ext.catalog._cache import root_url
    from langchain_cerebras_ext.catalog._diff import make_diff
    from langchain_cerebras_ext.catalog._snapshot import (
        Snapshot,
        read_account_list,
        read_public_list,
    )
    from langchain_cerebras_ext.catalog._table import packaged_table

    root = root_url(base_url or _config.base_url_from_env())
    key = _config.key_from_env() if api_key is None else _config.clean_key(api_key)
    models = _parsed(
        root + _PUBLIC, _get(root + _PUBLIC, None, timeout), read_public_list
    )
    account = None
    if key is not None:
        _config.check_key_text(key)
        body = _get(root + _ACCOUNT, key, timeout)
        account = _parsed(root + _ACCOUNT, body, read_account_list)
    snapshot = Snapshot(on=utc_day(on), url=root, models=models, account=account)
    base = packaged_table()
    return base, snapshot, make_diff(base, snapshot)


def _parsed(url: str, body: bytes, read: Callable[[bytes], Any]) -> Any:
    try:
        return read(body)
    except ValueError as error:
        msg = (
            f"GET {url} answered with what is no list of models: {error}. {_UNCHANGED} "
            "Does the address lead to the Cerebras API?"
        )
        raise CerebrasResponseError(msg, is_retryable=False) from error


def _get(url: str, key: str | None, timeout: float) -> bytes:
    """Return the body of a 200."""
    from langchain_cerebras_ext import _config
    from langchain_cerebras_ext._http import TransportOptions, shared_sync_transport

    limits = _config.call_timeouts(timeout).plain
    headers = _config.standard_headers()
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    transport = shared_sync_transport(TransportOptions(max_body_bytes=_MAX_BYTES))
    with transport.send("GET", url, headers, None, limits) as response:
        body = response.read()
        if response.status != 200:  # noqa: PLR2004
            raise _refused(url, response.status, response.headers, body, key)
    return body


_BY_STATUS: dict[int, type[CerebrasStatusError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
}
_CURES = {
    401: "Check CEREBRAS_API_KEY, or pass api_key='' to read the public list alone.",
    403: "Check CEREBRAS_API_KEY, or pass api_key='' to read the public list alone.",
    404: "Does the address lead to the Cerebras API?",
    429: "Try again later.",
}


def _refused(
    url: str, status: int, headers: Mapping[str, str], body: bytes, key: str | None
) -> CerebrasResponseError | CerebrasStatusError:
    """Return the error for a status that is no success."""
    text = mask_secrets(body[: 4 * _SHOWN].decode("utf-8", "replace"), key)[:_SHOWN]
    if 300 <= status < 400:  # noqa: PLR2004
        place = urlsplit(headers.get("location", "")).hostname or "nowhere"
        msg = (
            f"GET {url} answered {status}, a redirect to {place}, which is not "
            f"followed. {_UNCHANGED} Set base_url to the right address."
        )
        return CerebrasResponseError(msg, is_retryable=False)
    other = InternalServerError if status >= 500 else CerebrasStatusError  # noqa: PLR2004
    cure = _CURES.get(status, "Try again later.")
    shown = f" ({text.strip()})" if text.strip() else ""
    return _BY_STATUS.get(status, other)(
        f"GET {url} answered {status}{shown}. {_UNCHANGED} {cure}",
        status_code=status,
        response=ErrorResponse(status, {}, text),
        body=text,
    )
