"""The table `[tool.cerebras-ext.check]` of a `pyproject.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from langchain_cerebras_ext._check._findings import FailOn
from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

_KEYS: Final = ("exclude", "ignore", "within", "fail-on")


@dataclass(frozen=True, slots=True)
class CheckConfig:
    """What a project says about its checks.

    Attributes:
        root: The directory of the file; `exclude` is relative to it.
        exclude: Files and directories to leave out, as in a `.gitignore`.
        ignore: Ids and parameters to leave alone.
        within: How many days ahead an end counts.
        fail_on: What makes the check fail.
    """

    root: Path | None = None
    exclude: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    within: int | None = None
    fail_on: FailOn | None = None


def load_config(start: Path) -> CheckConfig:
    """Return the settings of the nearest `pyproject.toml` that has some.

    Args:
        start: A file or directory; its parents are searched too.

    Raises:
        CerebrasConfigurationError: The table has a key or value that is wrong.
    """
    whole = start.resolve()
    for directory in (whole, *whole.parents):
        path = directory / "pyproject.toml"
        if not path.is_file():
            continue
        table = _table(path)
        if table is not None:
            return _config(table, path)
    return CheckConfig()


def _table(path: Path) -> dict[str, Any] | None:
    """Return our table, if there is one; a broken file is its owner's business."""
    try:
        table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    for key in ("tool", "cerebras-ext", "check"):
        table = table.get(key) if isinstance(table, dict) else None
    return cast("dict[str, Any]", table) if isinstance(table, dict) else None


def _config(table: dict[str, Any], path: Path) -> CheckConfig:
    unknown = sorted(set(table) - set(_KEYS))
    if unknown:
        rule = f"known are {', '.join(_KEYS)}"
        raise _wrong(path, unknown[0], "is not known", rule)
    within, fail_on = table.get("within"), table.get("fail-on")
    is_days = isinstance(within, int) and not isinstance(within, bool) and within >= 0
    if within is not None and not is_days:
        raise _wrong(path, "within", f"is {within!r}", "give a number of days")
    if fail_on is not None and fail_on not in get_args(FailOn):
        rule = f"give one of {', '.join(get_args(FailOn))}"
        raise _wrong(path, "fail-on", f"is {fail_on!r}", rule)
    return CheckConfig(
        root=path.parent,
        exclude=_strings(table, "exclude", path),
        ignore=_strings(table, "ignore", path),
        within=within,
        fail_on=fail_on,
    )


def _strings(table: dict[str, Any], key: str, path: Path) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _wrong(path, key, f"is {value!r}", "give a list of strings")
    return tuple(value)


def _wrong(path: Path, key: str, what: str, rule: str) -> CerebrasConfigurationError:
    msg = f"[tool.cerebras-ext.check] of {path}: {key!r} {what}; {rule}."
    return CerebrasConfigurationError(msg)
