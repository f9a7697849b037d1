"""Reads and checks what a budget is given."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

from langchain_cerebras_ext.costs._budgets._account import Action, Lost, Per, Terms
from langchain_cerebras_ext.costs._budgets._money import read_amount, read_share
from langchain_cerebras_ext.costs._budgets._windows import Window
from langchain_cerebras_ext.errors import CerebrasConfigurationError

__all__ = [
    "check_options",
    "read_limits",
    "read_only",
    "read_terms",
    "read_thresholds",
]

_ONE_OF: Final = {
    "per": get_args(Per),
    "action": get_args(Action),
    "unpriced": ("refuse", "allow"),
    "lost": get_args(Lost),
    "on_store_error": ("raise", "allow"),
}
_DIMENSIONS: Final = tuple(name for name in get_args(Per) if name != "all")
_LONGEST_NAME: Final = 200


def read_only(only: Any) -> dict[str, frozenset[str]]:
    """Return which calls a budget concerns: for each dimension, which values.

    Raises:
        CerebrasConfigurationError: A dimension or a value is none.
    """
    if only is not None and not isinstance(only, Mapping):
        rule = 'a mapping as {"model": "gpt-oss-120b"}'
        raise CerebrasConfigurationError(_wrong("only", only, rule))
    read: dict[str, frozenset[str]] = {}
    for name, given in (only or {}).items():
        if name not in _DIMENSIONS:
            msg = (
                f"Budget only={{{name!r}: ...}} must name one of {_list(_DIMENSIONS)}."
            )
            raise CerebrasConfigurationError(msg)
        values = [given] if isinstance(given, str) else _several(given)
        if not values or not all(isinstance(value, str) for value in values):
            msg = _wrong(f"only[{name!r}]", given, "a string, or several")
            raise CerebrasConfigurationError(msg)
        read[name] = frozenset(values)
    return read


def read_limits(limits: Any) -> dict[str, Any]:
    """Return the limits of some accounts, by name.

    Raises:
        CerebrasConfigurationError: They are no mapping, or an account is no string: a
            user that is a number is known by its digits.
    """
    if limits is not None and not isinstance(limits, Mapping):
        rule = 'a mapping as {"ada": "20.00"}'
        raise CerebrasConfigurationError(_wrong("limits", limits, rule))
    for name in limits or ():
        if not isinstance(name, str):
            msg = f"Budget limits={{{name!r}: ...}} must name accounts by strings"
            msg = f'{msg}, as "{name}".'
            raise CerebrasConfigurationError(msg)
    return dict(limits or {})


def read_thresholds(thresholds: Any) -> tuple[Any, ...]:
    """Return several shares.

    Raises:
        CerebrasConfigurationError: It is one, or none.
    """
    found = None if isinstance(thresholds, str) else _several(thresholds)
    if found is None:
        rule = "several shares of the limit, as [0.5, 0.8]"
        raise CerebrasConfigurationError(_wrong("thresholds", thresholds, rule))
    return tuple(found)


def _several(given: Any) -> list[Any] | None:
    return list(given) if isinstance(given, Iterable) else None


def read_terms(options: Mapping[str, Any]) -> Terms:
    """Return what is agreed by options that were checked.

    Raises:
        CerebrasConfigurationError: An amount, a share or the window is none.
    """
    window = Window(options["window"])
    wanted = options["on_threshold"] is not None
    shares = [read_share(one, "thresholds") for one in options["thresholds"]]
    limits = options["limits"].items()
    return Terms(
        name=options["name"] or _default_name(options, window),
        per=options["per"],
        window=window,
        limit=read_amount(options["limit"], "limit"),
        limits={key: read_amount(one, f"limits[{key!r}]") for key, one in limits},
        action=options["action"],
        lease_s=float(options["lease_s"]),
        lost=options["lost"],
        thresholds=tuple(sorted(set(shares))) if wanted else (),
    )


def _default_name(options: Mapping[str, Any], window: Window) -> str:
    name = f"{options['per']}/{window.name}"
    for dimension, values in sorted(options["only"].items()):
        name = f"{name} {dimension}={','.join(sorted(values))}"
    action = options["action"]
    name = name if action == "raise" else f"{name} ({action})"
    return name.translate(_NOT_IN_NAMES)[:_LONGEST_NAME]


# Redis keeps keys with the same braces together; control characters hide in a log.
_NOT_IN_NAMES: Final = {
    **{ord(char): "_" for char in "{}"},
    **dict.fromkeys((*range(32), 127), "_"),
}


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse what makes no sense.

    Raises:
        CerebrasConfigurationError: A value is out of range, or two do not go together.
    """
    for option, values in _ONE_OF.items():
        if options[option] not in values:
            raise CerebrasConfigurationError(
                _wrong(option, options[option], f"one of {_list(values)}")
            )
    _check_name(options["name"], "name")
    _check_name(options["namespace"], "namespace")
    _check_functions(options)
    lease_s = options["lease_s"]
    if not (_is_number(lease_s) and 0 < lease_s < math.inf):
        raise CerebrasConfigurationError(
            _wrong("lease_s", lease_s, "a number of seconds above 0")
        )
    if options["limits"] and options["per"] == "all":
        msg = "Budget limits=... needs per='user' or another that has several accounts."
        raise CerebrasConfigurationError(msg)
    if options["redis"] is not None and options["ledger"] is not None:
        msg = "Budget redis=... and ledger=... are two places to keep it: give one."
        raise CerebrasConfigurationError(msg)


def _check_name(name: Any, option: str) -> None:
    if name is None and option == "name":
        return
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= _LONGEST_NAME
        or name != name.translate(_NOT_IN_NAMES)
    ):
        rule = f"1 to {_LONGEST_NAME} characters without braces and line ends"
        raise CerebrasConfigurationError(_wrong(option, name, rule))


def _check_functions(options: Mapping[str, Any]) -> None:
    for option in ("on_threshold", "on_exceeded"):
        function = options[option]
        if function is None:
            continue
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise CerebrasConfigurationError(
                _wrong(option, function, "a plain function, called by any thread")
            )
    if options["action"] == "call" and options["on_exceeded"] is None:
        msg = "Budget action='call' needs on_exceeded=..., the function to call."
        raise CerebrasConfigurationError(msg)
    if options["action"] != "call" and options["on_exceeded"] is not None:
        msg = (
            f"Budget on_exceeded=... is not called with action={options['action']!r}: "
            "give action='call'."
        )
        raise CerebrasConfigurationError(msg)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _list(values: tuple[str, ...]) -> str:
    return ", ".join(repr(value) for value in values)


def _wrong(option: str, value: Any, rule: str) -> str:
    return f"Budget {option}={value!r} must be {rule}."
