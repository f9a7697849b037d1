"""`compare`: several models, the same prompts; how fast, how dear, how right.

Answers are streamed, so that the first token can be timed. Each prompt is put to all
models one after another, in an order of its own, so that the time of day favours none.
A call that fails is a result as any other. With `resume` a file keeps every result, and
what is there is not asked for again.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.runnables import Runnable

from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    LedgerError,
    mask_secrets,
)
from langchain_cerebras_ext.routing._compare.call import Contestant, host_of
from langchain_cerebras_ext.routing._compare.figures import Figure
from langchain_cerebras_ext.routing._compare.judging import Score, make_judge
from langchain_cerebras_ext.routing._compare.prompts import (
    Prompt,
    PromptLike,
    load_prompts,
    with_expected,
)
from langchain_cerebras_ext.routing._compare.results import Result
from langchain_cerebras_ext.routing._compare.rows import Measure, ModelRow, make_row
from langchain_cerebras_ext.routing._compare.session import Session, run_blocking
from langchain_cerebras_ext.routing._compare.texts import (
    explain,
    explain_failures,
    to_csv,
    to_markdown,
)
from langchain_cerebras_ext.routing._target import name_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from langchain_cerebras_ext.costs.budget import Budget
    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.costs.prices import PriceBook

__all__ = [
    "Comparison",
    "Figure",
    "Measure",
    "ModelRow",
    "Models",
    "Prompt",
    "Result",
    "acompare",
    "compare",
]

Model: TypeAlias = "str | Runnable[Any, Any]"
Models: TypeAlias = "Sequence[Model] | Mapping[str, Model]"
"""Names as `create_chat_model` takes them, models, or either under names of yours."""

_MOST_REPEATS: Final = 100_000
_MOST_AT_ONCE: Final = 1_000
# Of parameters that are not kept in a file.
_SECRET: Final = re.compile("key|secret|password|header|auth", re.IGNORECASE)
_SIMULATED: Final = "A simulator has answered: its times say nothing of a service's."


class Comparison:
    """What a comparison has found.

    Attributes:
        rows: What it says of each model, in the order in which they were given.
        results: All calls, by model, prompt and repeat.
        models: The models' names.
        prompts: What was asked.
        repeat: How often.
        seed: What the order was made of.
        concurrency: How many calls were under way at once.
        judge: How answers were judged, if they were.
        planned: How many results there would be in all.
        resumed: How many results are of earlier runs.
        stopped: Why it ended early: `interrupted` or `budget`.
        notes: What there is to say beside the rows.
        run_id: Of the run; records have `compare-` and it as their `session`.
        elapsed_s: Seconds that the run took.
    """

    def __init__(self, session: Session) -> None:
        self.models = tuple(one.name for one in session.contestants)
        self.prompts = session.prompts
        self.repeat = session.repeat
        self.seed = session.seed
        self.concurrency = session.concurrency
        self.judge = None if session.judge is None else session.judge.name
        self.planned = session.planned
        self.resumed = session.resumed
        self.stopped = session.stopped
        self.run_id = session.run_id
        self.elapsed_s = session.elapsed_s
        places = {name: at for at, name in enumerate(self.models)}
        asked = {prompt.id: at for at, prompt in enumerate(self.prompts)}
        self.results = tuple(
            sorted(
                session.results.values(),
                key=lambda one: (places[one.model], asked[one.prompt], one.repeat),
            )
        )
        self.rows = tuple(
            make_row(
                name,
                (one for one in self.results if one.model == name),
                seed=self.seed,
            )
            for name in self.models
        )
        self.notes = (
            *self._missing(),
            *session.notes,
            *explain_failures(self.results),
            *explain(self.rows),
        )

    def _missing(self) -> tuple[str, ...]:
        left = self.planned - len(self.results)
        if not left:
            return ()
        why = f" ({self.stopped})" if self.stopped else ""
        return (f"{left:,} of {self.planned:,} calls were not made{why}.",)

    @property
    def is_complete(self) -> bool:
        """Whether all calls were made."""
        return len(self.results) == self.planned

    def row(self, model: str) -> ModelRow:
        """Return what it says of a model.

        Raises:
            KeyError: The model took no part.
        """
        return dict(zip(self.models, self.rows, strict=True))[model]

    def to_dict(self, *, results: bool = False) -> dict[str, Any]:
        """Return all of it as JSON has it; money is decimal strings.

        Args:
            results: Whether the single calls are part of it.
        """
        found: dict[str, Any] = {
            "run_id": self.run_id,
            "models": list(self.models),
            "prompts": len(self.prompts),
            "repeat": self.repeat,
            "concurrency": self.concurrency,
            "seed": self.seed,
            "judge": self.judge,
            "planned": self.planned,
            "resumed": self.resumed,
            "complete": self.is_complete,
            "stopped": self.stopped,
            "elapsed_s": self.elapsed_s,
            "rows": [row.to_dict() for row in self.rows],
            "notes": list(self.notes),
        }
        if results:
            found["results"] = [one.to_dict() for one in self.results]
        return found

    def to_json(self, *, results: bool = False) -> str:
        """Return `to_dict` as a text."""
        found = self.to_dict(results=results)
        return json.dumps(found, ensure_ascii=False, indent=2) + "\n"

    def to_markdown(self) -> str:
        """Return a table in Markdown, and the notes below it."""
        return to_markdown(self.rows, self.notes)

    def to_csv(self) -> str:
        """Return a line for each model; an unknown figure is empty."""
        return to_csv(self.rows)

    def plot(self) -> Any:
        """Return a chart, as a Matplotlib figure.

        Raises:
            MissingExtraError: The extra `plot` is not installed.
        """
        from langchain_cerebras_ext.routing._compare.plot import plot_rows

        return plot_rows(self.rows)

    def __repr__(self) -> str:
        """Return it in a line."""
        stopped = f", {self.stopped}" if self.stopped else ""
        return (
            f"<Comparison {', '.join(self.models)}: {len(self.results):,} of "
            f"{self.planned:,} calls{stopped}>"
        )

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


def compare(
    models: Models,
    prompts: Sequence[PromptLike] | os.PathLike[str] | None = None,
    *,
    repeat: int = 1,
    concurrency: int = 4,
    score: str | Score | None = None,
    expected: Mapping[str, Any] | Sequence[Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    budget: Budget | Iterable[Budget] | Decimal | str | int | None = None,
    ledger: Ledger | str | None = None,
    prices: PriceBook | None = None,
    resume: str | os.PathLike[str] | None = None,
    seed: int = 0,
    warmup: int = 1,
    timeout_s: float | None = None,
    on_result: Callable[[Result], object] | None = None,
) -> Comparison:
    """Put the same prompts to several models, and compare what comes.

    Ctrl-C ends it, and what is there is returned. In a running event loop, such as a
    notebook's, it works in a thread of its own.

    Args:
        models: Names such as `cerebras::gpt-oss-120b`, models, or either under names
            of yours, as `{"careful": model}`.
        prompts: Texts, messages, mappings with `prompt` or `messages`, `id` and
            `expected`; or the path of a file of JSON lines. Not given: a few of ours.
        repeat: How often each model is asked each prompt.
        concurrency: Calls under way at once, of all models together.
        score: How answers are judged: `exact`, `json:FIELD`, `pattern` (a regular
            expression that is searched), or a function of the answer's text and the
            `Prompt`, which may be asynchronous, to 0 to 1, a bool or `None`. By
            default `exact` where something is expected.
        expected: What is expected, by prompt id or in the prompts' order.
        parameters: For models given by name, such as `{"temperature": 0}`.
        budget: USD that may be spent, or budgets; it ends early when spent. Calls of
            models whose price is not known fail under it.
        ledger: A database that keeps the records, or its URL. They have the tag
            `compare`, the model as `arm`, and one `session`. What was found is kept
            there, too, for the dashboard.
        prices: Your own prices.
        resume: A file of JSON lines: it keeps every result at once, and results that
            are there are not asked for again, but for those that failed for want of a
            key, credit or budget.
        seed: Decides the order of calls.
        warmup: Calls to each model before the first one that is measured, since a
            first call connects. They are paid for, and no part of the results.
        timeout_s: Seconds for one call with all its tries.
        on_result: Is called with each new `Result`.

    Returns:
        What was found; `stopped` says whether it ended early.

    Raises:
        CerebrasConfigurationError: An argument, a prompt or a kept file is wrong.
        MissingExtraError: A model's package is not installed.

    Example:
        ```python
        from langchain_cerebras_ext.routing.comparison import compare

        found = compare(["gpt-oss-120b", "qwen-3.8-27b"], ["What is 2 + 2?"], repeat=5)
        print(found.to_markdown())
        ```
    """
    session = make_session(
        models,
        prompts,
        repeat=repeat,
        concurrency=concurrency,
        score=score,
        expected=expected,
        parameters=parameters,
        budget=budget,
        ledger=ledger,
        prices=prices,
        resume=resume,
        seed=seed,
        warmup=warmup,
        timeout_s=timeout_s,
        on_result=on_result,
    )
    run_blocking(session)
    return finish(session)


async def acompare(
    models: Models,
    prompts: Sequence[PromptLike] | os.PathLike[str] | None = None,
    **options: Any,
) -> Comparison:
    """Compare as `compare` does, with its arguments, in the running event loop.

    When it is cancelled, calls under way are closed; `resume` has what came.

    Raises:
        CerebrasConfigurationError: An argument, a prompt or a kept file is wrong.
        MissingExtraError: A model's package is not installed.
    """
    session = make_session(models, prompts, **options)
    await session.run()
    return await asyncio.to_thread(finish, session)


def finish(session: Session) -> Comparison:
    """Return what a session has found, kept in its ledger if it has one."""
    found = Comparison(session)
    if session.ledger is not None and found.results:
        from langchain_cerebras_ext.routing._compare.kept import keep_comparison

        try:
            now = datetime.now(UTC)
            keep_comparison(session.ledger, found.run_id, found.to_dict(), now)
        except LedgerError as error:
            found.notes = (*found.notes, str(error))
    return found


def make_session(
    models: Models,
    prompts: Sequence[PromptLike] | os.PathLike[str] | None = None,
    *,
    repeat: int = 1,
    concurrency: int = 4,
    score: str | Score | None = None,
    expected: Mapping[str, Any] | Sequence[Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    budget: Budget | Iterable[Budget] | Decimal | str | int | None = None,
    resume: str | os.PathLike[str] | None = None,
    warmup: int = 1,
    timeout_s: float | None = None,
    simulated: str | None = None,
    **more: Any,
) -> Session:
    """Return a comparison that has not begun; all is checked that can be.

    What a simulator has answered, at the speed that `simulated` names, is never put
    together with what a service has, and says so.

    Raises:
        CerebrasConfigurationError: An argument, a prompt or a kept file is wrong.
        MissingExtraError: A model's package is not installed.
    """
    _in_range("repeat", repeat, 1, _MOST_REPEATS)
    _in_range("concurrency", concurrency, 1, _MOST_AT_ONCE)
    _in_range("warmup", warmup, 0, _MOST_REPEATS)
    if timeout_s is not None and not timeout_s > 0:
        msg = f"timeout_s={timeout_s!r} must be more than 0, or None for no limit."
        raise CerebrasConfigurationError(msg)
    asked = with_expected(load_prompts(prompts), expected)
    given = dict(parameters or {})
    apart = {} if simulated is None else {"simulated": simulated}
    contestants = _contestants(models, given)
    if simulated is not None:  # each run has a simulator of its own, elsewhere
        contestants = [one._replace(host=None) for one in contestants]
    session = Session(
        contestants,
        asked,
        repeat=repeat,
        concurrency=concurrency,
        judge=make_judge(score, asked),
        warmup=warmup,
        timeout_s=timeout_s,
        path=None if resume is None else Path(resume),
        settings={
            name: _as_json(value)
            for name, value in sorted({**given, **apart}.items())
            if not _SECRET.search(name)
        },
        budget=_budget(budget),
        **more,
    )
    if simulated is not None:
        session.notes.append(_SIMULATED)
    return session


def _in_range(name: str, value: Any, least: int, most: int) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or not least <= value <= most:
        msg = f"{name}={value!r} must be a whole number of {least} to {most:,}."
        raise CerebrasConfigurationError(msg)


def _as_json(value: Any) -> Any:
    """Return a setting as a file can keep it."""
    if isinstance(value, (int, float, bool)) or value is None:
        return value
    return mask_secrets(value if isinstance(value, str) else repr(value))


def _budget(given: Any) -> Any:
    if given is None:
        return ()
    if not isinstance(given, (Decimal, str, int)) or isinstance(given, bool):
        return given
    from langchain_cerebras_ext.costs.budget import Budget

    return Budget(given, window="total", name="comparison", thresholds=())


# ----------------------------------------------------------------------------- models


def _contestants(models: Any, given: Mapping[str, Any]) -> list[Contestant]:
    if isinstance(models, (str, Runnable)):
        msg = "models must be a list, such as ['gpt-oss-120b', 'qwen-3.8-27b']."
        raise CerebrasConfigurationError(msg)
    named: list[tuple[str | None, Any]]
    if isinstance(models, Mapping):
        named = [(str(name), one) for name, one in models.items()]
    else:
        named = [(None, one) for one in models]
    if not named:
        msg = "models is empty; name at least one."
        raise CerebrasConfigurationError(msg)
    found = [_contestant(label, one, given) for label, one in named]
    names = [one.name for one in found]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        msg = (
            f"{doubled!r} is there twice; give models names of yours: "
            "{'warm': model, 'cold': other}."
        )
        raise CerebrasConfigurationError(msg)
    return found


def _contestant(label: str | None, one: Any, given: Mapping[str, Any]) -> Contestant:
    if isinstance(one, str):
        from langchain_cerebras_ext.routing.environment import choose
        from langchain_cerebras_ext.routing.factory import create_chat_model

        # Its own: a shared one may hold connections of another event loop.
        model = create_chat_model(one, cache=False, **given)
        return Contestant(label or str(choose(one).target), model, host_of(model))
    if not isinstance(one, Runnable):
        msg = f"models has a {type(one).__name__}; pass a model, or its name."
        raise CerebrasConfigurationError(msg)
    return Contestant(label or _name_of(one), one, host_of(one))


def _name_of(model: Any) -> str:
    """Return `provider::model`, as far as a model says."""
    if not isinstance(model, BaseChatModel):
        return str(model.get_name())
    return name_of(model)
