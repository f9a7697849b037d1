"""`Experiment`: which arm a request belongs to, and what calls and scores show."""

from __future__ import annotations

import math
import os
import re
import secrets
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, cast

from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasInvalidRequestError,
)
from langchain_cerebras_ext.routing._assign import Draw
from langchain_cerebras_ext.routing._leg import Asked

if TYPE_CHECKING:
    from uuid import UUID

    from langchain_cerebras_ext.costs._context import Context
    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.costs.records import UsageRecord
    from langchain_cerebras_ext.costs.tracker import CostTracker
    from langchain_cerebras_ext.routing._experiment_report import Report
    from langchain_cerebras_ext.routing._scores import Scores

__all__ = ["HOLDOUT", "Arm", "Assignment", "Experiment", "UnitKey", "sample_size"]

HOLDOUT: Final = "holdout"
"""The arm of units that are held out."""

UnitKey: TypeAlias = Literal["user", "session", "run"] | Callable[[Asked], str | None]
"""What is assigned: users, conversations, single runs, or whatever a function names."""

_KEYS: Final = ("user", "session", "run")
_MISSING: Final = ("random", "refuse", "exclude")
_ID: Final = re.compile(
    r"(?:lc_)?(?:run-{1,2})?"
    r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?:-\d+)?",
    re.IGNORECASE,
)


class Arm(NamedTuple):
    """One of the ways that are compared.

    Attributes:
        leg: The name of the router's leg that is asked first.
        weight: Its share of units, in proportion to the others'.
    """

    leg: str
    weight: float = 1


class Assignment(NamedTuple):
    """Where a unit belongs.

    Attributes:
        experiment: The experiment's name.
        arm: The arm's; `holdout` where the unit is held out, `None` where it is
            excluded.
        leg: The leg to ask first; `None` where the router's own order holds, as for
            units that are held out or excluded.
        unit: By what the unit is known; `None` where it is not.
        is_holdout: Whether it is held out.
        is_excluded: Whether it takes no part.
        is_random: Whether the unit is not known, so that the arm was drawn for this
            call only.
    """

    experiment: str
    arm: str | None
    leg: str | None
    unit: str | None
    is_holdout: bool = False
    is_excluded: bool = False
    is_random: bool = False

    @property
    def label(self) -> str | None:
        """`experiment/arm`, as the metadata `experiment_arm` and records have it."""
        return None if self.arm is None else f"{self.experiment}/{self.arm}"


class Experiment:
    """Compares models on real calls: every unit always gets the same arm.

    The arm depends on the salt, the unit and the weights, and on nothing else: not on
    the process, the machine, or who came before. If one weight changes, units move only
    into that arm or out of it, and no more than the new weights ask for; if several
    change, a unit only moves to an arm that has grown beside its own. Experiments with
    different names are independent of each other.

    ```python
    from langchain_cerebras_ext.routing.experiment import Experiment

    experiment = Experiment(
        "greeting",
        {"fast": "cerebras::gpt-oss-120b", "smart": "cerebras::qwen-3.8-27b"},
    )
    print(experiment.assign("user-7").arm)
    ```

    Args:
        name: Is in metadata, tags and records, `name/arm`, and the default salt.
        arms: The arms: a weight, where the arm is called as its leg; a leg's name; or
            both, `Arm(leg, weight)`. 0 pauses an arm.
        key: What is a unit: `user` (metadata `user_id`, or that of `track_costs`),
            `session` (`session_id`, `thread_id`), `run`, or a function of the request.
        salt: Keeps the assignment when the experiment gets another name, or draws anew
            under the same one.
        holdout: The share of units that get the router's own order and are reported
            apart, from 0 to below 1.
        exclude: Units that take no part, or a function that says so.
        missing: What becomes of a request whose unit is not known: `random` draws an
            arm for this call only, `exclude` leaves it out, `refuse` raises.
        ledger: A ledger, or its URL: scores are kept there, and reports read it.

    Raises:
        CerebrasConfigurationError: An argument is wrong.
    """

    def __init__(
        self,
        name: str,
        arms: Mapping[str, float | str | tuple[str, float]],
        *,
        key: UnitKey = "user",
        salt: str | None = None,
        holdout: float = 0,
        exclude: Collection[str] | Callable[[str], bool] = (),
        missing: Literal["random", "refuse", "exclude"] = "random",
        ledger: Ledger | str | os.PathLike[str] | None = None,
    ) -> None:
        self.name = _check_name("name", name)
        self.arms = {name: _read_arm(name, spec) for name, spec in arms.items()}
        self.key: UnitKey = key
        self.holdout = float(holdout)
        self.missing = missing
        self._salt = salt
        self._exclude = exclude
        self._excludes = _read_exclude(exclude)
        self._check()
        weights = {name: arm.weight for name, arm in self.arms.items()}
        self._draw = Draw(name if salt is None else salt, weights, self.holdout)
        self._given = ledger
        self._ledger: Ledger | None = None
        self._scores: Scores | None = None

    def _check(self) -> None:
        if not self.arms:
            msg = "arms is empty; name two or more, as {'fast': 1, 'smart': 1}."
            raise CerebrasConfigurationError(msg)
        if not any(arm.weight for arm in self.arms.values()):
            msg = "All weights in arms are 0, so that no unit could get an arm."
            raise CerebrasConfigurationError(msg)
        if not 0 <= self.holdout < 1:
            msg = f"holdout={self.holdout} is not a share; take 0 to below 1, as 0.05."
            raise CerebrasConfigurationError(msg)
        if self.key not in _KEYS and not callable(self.key):
            msg = f"key={self.key!r} is unknown; take {', '.join(_KEYS)} or a function."
            raise CerebrasConfigurationError(msg)
        if self.missing not in _MISSING:
            msg = f"missing={self.missing!r} is unknown; take {', '.join(_MISSING)}."
            raise CerebrasConfigurationError(msg)

    def __repr__(self) -> str:
        """Name the arms; the salt stays unsaid."""
        arms = {name: arm.weight for name, arm in self.arms.items()}
        return f"Experiment({self.name!r}, {arms!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments; scores in memory stay here."""
        options = {
            "key": self.key,
            "salt": self._salt,
            "holdout": self.holdout,
            "exclude": self._exclude,
            "missing": self.missing,
            "ledger": self._given,
        }
        return _remake, (self.name, dict(self.arms), options)

    @property
    def legs(self) -> frozenset[str]:
        """The names of all legs that a router must have for it."""
        return frozenset(arm.leg for arm in self.arms.values())

    # -------------------------------------------------------------------- assignment

    def assign(self, key: object) -> Assignment:
        """Return where a unit belongs; the same answer for the same key, always.

        Args:
            key: The unit: a text, a number, a UUID. `None` or an empty text is a unit
                that is not known; what happens then says `missing`.

        Raises:
            CerebrasInvalidRequestError: The unit is not known, and `missing="refuse"`.
        """
        unit = None if key is None else str(key)
        if not unit:
            return self._assign_unknown()
        if self._excludes(unit):
            return Assignment(self.name, None, None, unit, is_excluded=True)
        return self._assign(unit, unit)

    def assign_request(self, asked: Asked) -> Assignment:
        """Return where a request belongs, by the experiment's `key`.

        Raises:
            CerebrasInvalidRequestError: Its unit is not known, and `missing="refuse"`.
        """
        return self.assign(self._unit_of(asked))

    def _assign(self, drawn: str, unit: str | None) -> Assignment:
        arm = self._draw.pick(drawn)
        lost = unit is None
        if arm is None:
            return Assignment(
                self.name, HOLDOUT, None, unit, is_holdout=True, is_random=lost
            )
        return Assignment(self.name, arm, self.arms[arm].leg, unit, is_random=lost)

    def _assign_unknown(self) -> Assignment:
        if self.missing == "exclude":
            return Assignment(self.name, None, None, None, is_excluded=True)
        # A run is drawn for by itself anyway.
        if self.missing == "refuse" and self.key != "run":
            msg = (
                f"Experiment {self.name!r} cannot tell whose request this is: "
                f"{self._wanted()} Or take missing='random'."
            )
            raise CerebrasInvalidRequestError(msg)
        return self._assign(secrets.token_hex(16), None)

    def _wanted(self) -> str:
        if callable(self.key):
            return "its key function has returned nothing."
        name = "user_id" if self.key == "user" else "session_id"
        return f"pass config={{'metadata': {{'{name}': ...}}}}."

    def _unit_of(self, asked: Asked) -> str | None:
        key = self.key
        if callable(key):
            return key(asked)
        if key == "run":
            return asked.run_id
        context = _context_of(asked.metadata)
        return context.user if key == "user" else context.session

    # ------------------------------------------------------------------------ scores

    def record_score(
        self, run_id: str | UUID, value: float, name: str = "score"
    ) -> None:
        """Note what an answer was worth, by your own measure.

        The last value of a name counts. It is kept in the ledger's database, or
        without a ledger in memory, the newest 100,000 of them.

        Args:
            run_id: The id of the run, of one that it belongs to, or of the answer:
                `message.id`.
            value: 0 or 1, or any number; more is better.
            name: Of the measure.

        Raises:
            CerebrasConfigurationError: The value is not a finite number, or a name is
                empty.
            LedgerError: The database did not take it. It is kept in memory, counts in
                reports of this process, and is written with the next one.
        """
        number = _read_score(value)
        if not name:
            msg = "name is empty; it says what the score measures."
            raise CerebrasConfigurationError(msg)
        self._get_scores().add(_read_run(run_id), name, number, datetime.now(UTC))

    def _get_scores(self) -> Scores:
        if self._scores is None:
            from langchain_cerebras_ext.routing._scores import Scores

            self._scores = Scores(self.name, self._get_ledger())
        return self._scores

    def _get_ledger(self) -> Ledger | None:
        if self._ledger is None and self._given is not None:
            from langchain_cerebras_ext.costs.ledger import Ledger

            given = self._given
            self._ledger = given if isinstance(given, Ledger) else Ledger(given)
        return self._ledger

    # ------------------------------------------------------------------------ report

    def report(
        self,
        source: CostTracker
        | Ledger
        | str
        | os.PathLike[str]
        | Iterable[UsageRecord]
        | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        baseline: str | None = None,
        metrics: Iterable[str] | None = None,
        confidence: float = 0.95,
        seed: int = 0,
        effect: float = 0.1,
        rate_effect: float = 0.05,
        planned_units: int = 1_000,
        resamples: int = 2_000,
        unit_of: Callable[[UsageRecord], str | None] | None = None,
    ) -> Report:
        """Return what the calls say of the arms, with how sure one can be of it.

        Every comparison has two intervals: one for a single look at a time that was
        planned before, and one that holds however often one looks. Calls of one unit
        are not taken for independent: units are what is counted.

        Args:
            source: Where the records are: a tracker, a ledger or its URL, or records;
                by default the experiment's ledger.
            since: From this time on (aware).
            until: Before this time (aware).
            baseline: The arm that others are compared with; by default the first one.
            metrics: What to compare, as `cost_per_call` or the name of a score, one or
                several; by default everything. All comparisons together are held to
                the stated confidence, so that fewer see more.
            confidence: How often intervals have to hold.
            seed: Of the resampling; the same records then give the same report.
            effect: The difference that one would not want to miss, as a share of the
                baseline.
            rate_effect: The same for rates, such as `success`, as it is: 0.05 is 5
                points.
            planned_units: For about how many units in two arms together the interval
                for many looks is to be narrowest; the same at every look.
            resamples: How often the bootstrap resamples.
            unit_of: The unit of a record; needed where `key` is a function and units
                are neither users nor sessions.

        Raises:
            CerebrasConfigurationError: An argument is wrong, or there is no source.
            MissingExtraError: SciPy is not installed.
            LedgerError: The database cannot be read.
        """
        from langchain_cerebras_ext.routing._experiment_report import Settings, build
        from langchain_cerebras_ext.routing._units import collect, read_records

        with _opened(self._get_ledger() if source is None else source) as place:
            data = collect(
                self.name,
                read_records(self.name, place, since, until),
                self._get_scores().read(),
                unit_of or _record_unit(self.key),
                arms=(*self.arms, *((HOLDOUT,) if self.holdout else ())),
            )
        wanted = (metrics,) if isinstance(metrics, str) else metrics
        settings = Settings(
            baseline=baseline or next(iter(self.arms)),
            metrics=None if wanted is None else tuple(wanted),
            confidence=confidence,
            seed=seed,
            effect=effect,
            rate_effect=rate_effect,
            planned_units=planned_units,
            resamples=resamples,
            since=since,
            until=until,
        )
        return build(data, settings, self._shares())

    def _shares(self) -> dict[str, float]:
        """Return the share of units that each arm was to get, the holdout's too."""
        whole = math.fsum(arm.weight for arm in self.arms.values())
        rest = 1 - self.holdout
        found = {name: rest * arm.weight / whole for name, arm in self.arms.items()}
        if self.holdout:
            found[HOLDOUT] = self.holdout
        return found


def sample_size(
    baseline: float,
    effect: float,
    *,
    sd: float | None = None,
    power: float = 0.8,
    confidence: float = 0.95,
    arms: int = 2,
    calls_per_unit: float = 1,
    within_unit: float = 0,
) -> int:
    """Return how many units each arm needs for a difference to be seen.

    For one look at the end. With an interval that holds for many looks it takes about
    twice as many.

    Args:
        baseline: What the first arm has: a mean, or a rate from 0 to 1.
        effect: The difference that has to be seen, in the same unit.
        sd: The standard deviation of a call; without it the baseline is a rate.
        power: How often a difference of that size is to be seen.
        confidence: How often no difference is seen where there is none.
        arms: How many arms there are, with the baseline.
        calls_per_unit: How many calls a unit makes.
        within_unit: How alike calls of one unit are, from 0 (not) to 1 (the same).

    Raises:
        CerebrasConfigurationError: An argument is wrong.
        MissingExtraError: SciPy is not installed.

    Example:
        ```python
        from langchain_cerebras_ext.routing.experiment import sample_size

        print(sample_size(0.90, 0.03))  # from 90 % to 93 %
        ```
    """
    from langchain_cerebras_ext.routing._stats import find_sample_size

    return find_sample_size(
        baseline,
        effect,
        sd=sd,
        power=power,
        confidence=confidence,
        arms=arms,
        calls_per_unit=calls_per_unit,
        within_unit=within_unit,
    )


@contextmanager
def _opened(
    source: CostTracker
    | Ledger
    | str
    | os.PathLike[str]
    | Iterable[UsageRecord]
    | None,
) -> Generator[CostTracker | Ledger | Iterable[UsageRecord] | None]:
    """Open the ledger that a URL or a path names, and nothing else."""
    if not isinstance(source, (str, os.PathLike)):
        yield source
        return
    from langchain_cerebras_ext.costs.ledger import Ledger

    with Ledger(source, create=False) as ledger:
        yield ledger


def _remake(name: str, arms: dict[str, Arm], options: dict[str, Any]) -> Experiment:
    return Experiment(name, cast("Any", arms), **options)


def _check_name(what: str, name: object) -> str:
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        msg = f"{what}={name!r} must be a text that can be read."
        raise CerebrasConfigurationError(msg)
    if "/" in name and what == "name":
        msg = f"name={name!r} has a '/', which stands between experiment and arm."
        raise CerebrasConfigurationError(msg)
    return name


def _read_arm(name: str, spec: object) -> Arm:
    _check_name("arm", name)
    if name == HOLDOUT:
        msg = f"An arm cannot be called {HOLDOUT!r}; use holdout=0.05 for one."
        raise CerebrasConfigurationError(msg)
    if isinstance(spec, str):
        return Arm(_check_name("leg", spec))
    if isinstance(spec, tuple):
        leg, weight = spec if len(spec) == 2 else (None, None)  # noqa: PLR2004 - a pair
        return Arm(_check_name("leg", leg), _read_weight(name, weight))
    return Arm(name, _read_weight(name, spec))


def _read_weight(name: str, weight: Any) -> float:
    is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if not is_number or not math.isfinite(weight) or weight < 0:
        msg = f"The weight of arm {name!r} is {weight!r}; take a number from 0 on."
        raise CerebrasConfigurationError(msg)
    return float(weight)


def _read_exclude(
    exclude: Collection[str] | Callable[[str], bool],
) -> Callable[[str], bool]:
    if callable(exclude):
        return exclude
    if isinstance(exclude, (str, bytes)):
        msg = f"exclude={exclude!r} is one text; pass a list of units, or a function."
        raise CerebrasConfigurationError(msg)
    return frozenset(str(unit) for unit in exclude).__contains__


def _read_score(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if math.isfinite(number):
        return number
    msg = f"value={value!r} is not a finite number."
    raise CerebrasConfigurationError(msg)


def _read_run(run_id: object) -> str:
    """Return a run's id; a message may be called after it, with something around."""
    text = str(run_id).strip() if run_id is not None else ""
    if not text:
        msg = "run_id is empty; it is the id of a run, its trace, or its message."
        raise CerebrasConfigurationError(msg)
    found = _ID.fullmatch(text)
    return found.group(1).lower() if found else text


def _context_of(metadata: Mapping[str, Any]) -> Context:
    """Return what records will say of a call, too: of metadata, else of trackers."""
    from langchain_cerebras_ext.costs._context import merge_context
    from langchain_cerebras_ext.costs.tracker import _scope

    tracker = _scope.get()
    scopes = () if tracker is None else [one.scope for one in tracker.lineage]
    return merge_context((), metadata, scopes)


def _record_unit(key: UnitKey) -> Callable[[UsageRecord], str | None]:
    """Return what tells a record's unit."""
    if key == "user":
        return lambda record: record.user
    if key == "session":
        return lambda record: record.session
    if key == "run":
        return lambda record: record.trace_id or record.run_id or record.record_id
    return lambda record: record.user or record.session
