"""A comparison under way: in which order calls are made, and when it ends."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import threading
import time
from collections import deque
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.costs.tracker import track_costs
from langchain_cerebras_ext.errors import BudgetExceeded, CerebrasConfigurationError
from langchain_cerebras_ext.routing._compare.call import TAG, Contestant, Job, ask
from langchain_cerebras_ext.routing._compare.results import Journal, read_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from langchain_cerebras_ext.costs.budget import Budget
    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.costs.prices import PriceBook
    from langchain_cerebras_ext.routing._compare.judging import Judge
    from langchain_cerebras_ext.routing._compare.prompts import Prompt
    from langchain_cerebras_ext.routing._compare.results import Kept, Key, Result

__all__ = ["Session", "order_jobs", "run_blocking"]

_log = logging.getLogger("langchain_cerebras_ext.compare")

_FLUSH_S: Final = 5.0


def order_jobs(
    contestants: Sequence[Contestant],
    prompts: Sequence[Prompt],
    repeat: int,
    seed: int,
) -> Iterator[Job]:
    """Yield all calls so that the time of day favours no model.

    Each prompt is put to all models one after another, in an order of its own; prompts
    are shuffled anew for each repeat. The same seed gives the same order.
    """
    rng = random.Random(seed)  # noqa: S311 - repeatable, no secret
    for at in range(repeat):
        for prompt in rng.sample(prompts, len(prompts)):
            for contestant in rng.sample(contestants, len(contestants)):
                yield Job(contestant, prompt, at)


class Session:
    """One comparison, from its first call to its last one.

    Args:
        contestants: The models.
        prompts: What they are asked.
        repeat: How often.
        concurrency: How many calls are under way at once, of all models together.
        judge: Judges the answers.
        seed: Decides the order.
        warmup: Calls to each model that are made first and not measured.
        timeout_s: Seconds for a call.
        path: Keeps each result; results that are there are not asked for again.
        settings: What results depend on beside model and prompt.
        budget: Ends it when spent.
        ledger: Keeps the records of all calls.
        prices: Your own.
        on_result: Is told of each new result.

    Attributes:
        results: By key, those of earlier runs included.
        stopped: Why it ended early: `interrupted` or `budget`.
        notes: What there is to say beside.
        ledger: The ledger, once it is open.
        planned: How many calls there are in all.
    """

    def __init__(
        self,
        contestants: Sequence[Contestant],
        prompts: Sequence[Prompt],
        *,
        repeat: int = 1,
        concurrency: int = 4,
        judge: Judge | None = None,
        seed: int = 0,
        warmup: int = 1,
        timeout_s: float | None = None,
        path: Path | None = None,
        settings: Mapping[str, Any] | None = None,
        budget: Budget | Iterable[Budget] = (),
        ledger: Ledger | str | None = None,
        prices: PriceBook | None = None,
        on_result: Callable[[Result], object] | None = None,
    ) -> None:
        self.contestants = tuple(contestants)
        self.prompts = tuple(prompts)
        self.repeat = repeat
        self.concurrency = concurrency
        self.judge = judge
        self.seed = seed
        self.run_id = token_hex(6)
        self.stopped: str | None = None
        self.notes: list[str] = []
        self.elapsed_s = 0.0
        self.ledger: Ledger | None = None
        self._warmup = warmup
        self._timeout_s = timeout_s
        self._path = path
        self._settings = dict(settings or {})
        self._scope: dict[str, Any] = {
            "tags": (TAG,),
            "session": f"{TAG}-{self.run_id}",
            "budget": budget,
            "ledger": ledger,
            "prices": prices,
        }
        self._on_result = on_result
        self._journal: Journal | None = None
        self._at_work = 0
        jobs = list(order_jobs(self.contestants, self.prompts, repeat, seed))
        self.planned = len(jobs)
        kept = read_journal(path) if path is not None else None
        self._kept = kept
        self.results: dict[Key, Result] = {} if kept is None else self._take(kept)
        self.resumed = len(self.results)
        self._jobs = deque(job for job in jobs if _key(job) not in self.results)

    # --------------------------------------------------------------------- resuming

    def _take(self, kept: Kept) -> dict[Key, Result]:
        """Return the kept results that are of this comparison.

        Raises:
            CerebrasConfigurationError: They are of other prompts, settings or services.
        """
        if kept.settings is not None and dict(kept.settings) != self._settings:
            changed = sorted(
                name
                for name in {*kept.settings, *self._settings}
                if kept.settings.get(name) != self._settings.get(name)
            )
            msg = (
                f"{self._path} has results under other settings ({', '.join(changed)})"
                "; use the same, or another file."
            )
            raise CerebrasConfigurationError(msg)
        prompts = {prompt.id: prompt for prompt in self.prompts}
        changed = sorted(
            {
                one.prompt
                for one in kept.results.values()
                if one.prompt in prompts and one.digest != prompts[one.prompt].digest
            }
        )
        if changed:
            msg = (
                f"The prompts have changed since {self._path} was written: "
                f"{', '.join(map(repr, changed[:5]))}"
                f"{f' and {len(changed) - 5} more' if len(changed) > 5 else ''}"  # noqa: PLR2004
                ". Give changed prompts new ids, or use another file."
            )
            raise CerebrasConfigurationError(msg)
        hosts = {one.name: one.host for one in self.contestants}
        fitting = {
            key: one
            for key, one in kept.results.items()
            if one.model in hosts
            and one.prompt in prompts
            and 0 <= one.repeat < self.repeat
        }
        for one in fitting.values():
            if not one.says_nothing:  # else it is asked again
                self._check_host(one.host, hosts[one.model], one.model)
        left = len(kept.results) - len(fitting)
        if left:
            self.notes.append(
                f"{left:,} kept results are of models, prompts or repeats that are not "
                "asked for now, and are left out."
            )
        return {
            key: self._rejudged(one, prompts[one.prompt])
            for key, one in fitting.items()
            if not one.says_nothing
        }

    def _check_host(self, before: str | None, now: str | None, model: str) -> None:
        """Keep what two services have answered apart, as far as that is known."""
        if before is None or now is None or before == now:
            return
        msg = (
            f"{self._path} has results of {model!r} at {before}, and it is at {now} "
            "now; use the same base URL, or another file."
        )
        raise CerebrasConfigurationError(msg)

    def _rejudged(self, result: Result, prompt: Prompt) -> Result:
        """Judge a kept answer anew, since what is expected may have changed."""
        judge = self.judge
        if judge is None:
            return result.replace(agreement=None)
        if judge.is_own or not result.is_ok:
            return result
        return result.replace(agreement=judge.rejudge(result.text, prompt))

    # ------------------------------------------------------------------------ running

    async def run(self) -> None:
        """Make the calls that are missing.

        When it is cancelled, calls under way are ended and closed first; `results` has
        what came until then.
        """
        began = time.monotonic()
        if self._path is not None and self._kept is not None:
            self._journal = Journal(self._path, self._kept, self._settings)
        try:
            with track_costs(**self._scope) as costs:
                self.ledger = costs.ledger
                try:
                    await self._warm_up()
                    await self._together(self._work() for _ in range(self.concurrency))
                finally:
                    # Not in the loop: a slow database would hold up all else in it.
                    await asyncio.to_thread(costs.flush, _FLUSH_S)
        finally:
            self.elapsed_s = time.monotonic() - began
            if self._journal is not None:
                self._journal.close()

    async def _together(self, works: Iterable[Any]) -> None:
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _warm_up(self) -> None:
        """Let each model connect, which is part of no other call."""
        waiting = {job.contestant.name for job in self._jobs}
        first = self.prompts[0]
        for _ in range(self._warmup if waiting else 0):
            await self._together(
                self._warm(Job(one, first, -1))
                for one in self.contestants
                if one.name in waiting
            )

    async def _warm(self, job: Job) -> None:
        try:
            await ask(job, run=self.run_id, timeout_s=self._timeout_s)
        except BudgetExceeded as error:
            _log.debug("a warm-up call was not made: %s", error)

    async def _work(self) -> None:
        """Make one call after another until none is left."""
        self._at_work += 1
        try:
            while self._jobs and self.stopped is None:
                job = self._jobs.popleft()
                try:
                    result = await ask(job, run=self.run_id, timeout_s=self._timeout_s)
                except BudgetExceeded as error:
                    self._jobs.appendleft(job)
                    # Others hold what they may cost at most; alone, nobody does.
                    if self._at_work == 1:
                        self._stop_for(error)
                    return
                self._keep(await self._judged(result, job.prompt))
        finally:
            self._at_work -= 1

    def _stop_for(self, error: BudgetExceeded) -> None:
        self.stopped = "budget"
        self.notes.append(
            f"{error} A call reserves what it may cost at most: a lower limit of "
            "output tokens (max_tokens) lets more calls be made."
        )

    async def _judged(self, result: Result, prompt: Prompt) -> Result:
        if self.judge is None or not result.is_ok:
            return result
        try:
            agreement = await self.judge.judge(result.text, prompt)
        except Exception as error:  # noqa: BLE001 - the answer stays unjudged
            _log.exception("an answer cannot be judged")
            note = f"score {self.judge.name!r} failed ({type(error).__name__}: {error})"
            if note not in self.notes:
                self.notes.append(note)
            return result
        return result.replace(agreement=agreement)

    def _keep(self, result: Result) -> None:
        self.results[result.key] = result
        if self._journal is not None:
            self._journal.add(result)
        if self._on_result is None:
            return
        try:
            self._on_result(result)
        except Exception:  # noqa: BLE001 - who looks on must not end it
            _log.exception("on_result failed")


def _key(job: Job) -> Key:
    return (job.contestant.name, job.prompt.id, job.repeat)


def run_blocking(session: Session) -> None:
    """Run a session to its end, or until Ctrl-C; also where a loop runs already."""
    if _is_in_loop():
        _run_in_thread(session)
    else:
        _run_here(session)


def _is_in_loop() -> bool:
    # By itself, so that no error of a call has a "no running event loop" before it.
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run_here(session: Session) -> None:
    try:
        asyncio.run(session.run())
    except KeyboardInterrupt:
        session.stopped = "interrupted"


def _run_in_thread(session: Session) -> None:
    """Run a session beside the loop of this thread, such as a notebook's."""
    runner = asyncio.Runner()
    failed: list[BaseException] = []
    task: list[asyncio.Task[None]] = []
    done = threading.Event()

    async def main() -> None:
        task.append(asyncio.ensure_future(session.run()))
        await task[0]

    def work() -> None:
        try:
            with runner:
                runner.run(main())
        except asyncio.CancelledError:
            session.stopped = "interrupted"
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            failed.append(error)
        finally:
            done.set()

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(work,), name="compare")
    thread.start()
    # Not `join`: once interrupted, Python 3.11 takes the thread for ended.
    while not done.is_set():
        try:
            done.wait()
        except KeyboardInterrupt:
            if task:
                runner.get_loop().call_soon_threadsafe(task[0].cancel)
    if failed:
        raise failed[0]
