"""Thousands of calls against a service that fails by chance, and their accounts.

Run as a program, it is that service: a simulator in a process of its own, so that it
and the calls have a core each. It follows the orders that it reads, one JSON each line,
and tells afterwards what it was asked and what it has billed.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from langchain_core.messages import AIMessage
from stages import wait_for

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext._observe import (
    CallRecord,
    add_observer,
    remove_observer,
)
from langchain_cerebras_ext.errors import CerebrasError
from langchain_cerebras_ext.retry import RetryPolicy
from langchain_cerebras_ext.simulator import RANDOM_FAULTS

FAULTY = 0.1
"""The share of requests that fail, of which:"""
SLOW = 0.008
"""stall or drip, until a time limit of the client's ends it."""

QUICK_FAULTS = (*RANDOM_FAULTS, "cut_in_character")
TOOL_FAULTS = ("cut_in_tool_arguments",)
SLOW_FAULTS = (
    "stall_before_headers",
    "stall_in_body",
    "stall_stream",
    "drip",
    "drip_headers",
)
TOTAL_S = 5.0
SILENCE_S = 1.0
GRACE_S = 10.0
"""How late a call may end on a machine that is busy with other things."""
HUNG_S = 60.0

_TOOL_FAULTY = 0.025
_DOWN_S = 0.03
_OK = 200
_TOOL = {
    "type": "function",
    "function": {
        "name": "note",
        "description": "Take a note.",
        "parameters": {
            "type": "object",
            "properties": {"number": {"type": "integer"}, "text": {"type": "string"}},
            "required": ["number", "text"],
        },
    },
}
_WORDS = "alder birch cedar dæmon élan fjord größe 日本 hazel iris 🌊 juniper".split()


def quick_faults() -> set[str]:
    """Return what is made to go wrong often enough to be seen; errors by status."""
    named = {*QUICK_FAULTS, *TOOL_FAULTS} - {"queue_exceeded"}
    return {*map(str, named), "429"}


def uses_tool(number: int) -> bool:
    """Whether a call is answered with a tool call."""
    return number % 10 in {3, 8}


def answer_of(number: int) -> str:
    """Return the text of the one right answer to a call."""
    rng = random.Random(number)
    words = " ".join(rng.choice(_WORDS) for _ in range(rng.randint(4, 14)))
    return f"№ {number}: {words} ({number})"


# --------------------------------------------------------------------- the service


def serve() -> None:
    """Serve until the orders end."""
    from langchain_cerebras_ext.simulator import Simulator

    with Simulator() as simulator:
        _say(simulator.base_url)
        for line in sys.stdin:
            order = json.loads(line)
            match order["do"]:
                case "script":
                    _script(simulator, order["seed"])
                    _say("scripted")
                case "fall":
                    with simulator.refuse_connections():
                        time.sleep(_DOWN_S)
                    _say("up again")
                case "tell":
                    idle = simulator.wait_idle(GRACE_S)
                    _say({"idle": idle, "rows": _rows(simulator)})


def _script(simulator: Any, seed: int) -> None:
    from langchain_cerebras_ext.simulator.answers import Answer, ToolCall
    from langchain_cerebras_ext.simulator.scenarios import Rule

    def answer(body: Mapping[str, Any]) -> Answer:
        number = int(body["user"])
        text = answer_of(number)
        if not uses_tool(number):
            return Answer(content=text)
        arguments = json.dumps({"number": number, "text": text}, ensure_ascii=False)
        return Answer(tool_calls=(ToolCall("note", arguments),))

    def calls_tool(body: Mapping[str, Any]) -> bool:
        return uses_tool(int(body["user"]))

    simulator.reset()
    simulator.fail_randomly(_TOOL_FAULTY, TOOL_FAULTS, seed=seed + 2, when=calls_tool)
    simulator.fail_randomly(SLOW, SLOW_FAULTS, seed=seed + 1)
    simulator.fail_randomly(FAULTY - SLOW - _TOOL_FAULTY / 5, QUICK_FAULTS, seed=seed)
    simulator.engine.script.add(Rule(times=None, answer=answer))


def _rows(simulator: Any) -> list[list[Any]]:
    billed = {call.number: call for call in simulator.billed}
    rows: list[list[Any]] = []
    for request in simulator.chat_requests:
        user = request.body.get("user") if request.body else None
        call = billed.pop(request.number, None)
        counts = [call.prompt_tokens, call.completion_tokens] if call else None
        fault = request.fault or (call.fault if call else None)
        rows.append([user and int(user), request.status, fault, counts])
    assert not billed, "each billed call is a request"
    return rows


def _say(what: Any) -> None:
    print(json.dumps(what), flush=True)


class Row(NamedTuple):
    """One request, as the service saw it.

    Attributes:
        number: Of which call; `None` if its body did not come.
        billed: Tokens of the prompt and of the completion, if it was billed.
    """

    number: int | None
    status: int | None
    fault: str | None
    billed: tuple[int, int] | None


class Service:
    """The service, seen from the process of the calls."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.base_url: str = self._hear()
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process.stdin
        assert process.stdout
        with process.stdin, process.stdout:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def script(self, seed: int) -> None:
        """Forget all, and fail by chance from now on."""
        self._order(do="script", seed=seed)

    def fall(self) -> None:
        """Refuse all connections for a moment, and cut those that there are."""
        self._order(do="fall")

    def tell(self) -> list[Row]:
        """Return each request since the script, in the order of their arrival."""
        told = self._order(do="tell")
        assert told["idle"], "the service still answers somebody"
        return [
            Row(number, status, fault, tuple(counts) if counts else None)
            for number, status, fault, counts in told["rows"]
        ]

    def _order(self, **order: Any) -> Any:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the service has ended"
        return json.loads(line)


# ------------------------------------------------------------------------ the calls


class Attempt(NamedTuple):
    """One request, as the client lists it.

    Attributes:
        billed: True: `usage` has its tokens; False: surely none; `None`: unknown.
        usage: Tokens of the prompt and of the completion.
    """

    billed: bool | None
    usage: tuple[int, int] | None = None


@dataclass(slots=True)
class Ending:
    """What became of one call.

    Attributes:
        outcome: `answer`, `error`, `left` (the stream was given up) or `cancelled`.
        kind: The error's class.
        attempts: One for each request, as far as the caller is told.
        wrong: What should not be so.
    """

    number: int
    way: str
    outcome: str = ""
    kind: str = ""
    elapsed_s: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


_WAYS = {
    "sync": [*["invoke"] * 20, *["stream"] * 20, *["v3"] * 4, *["leave"] * 4, *["drop"] * 2],
    "async": [*["ainvoke"] * 19, *["astream"] * 19, *["av3"] * 4, *["aleave"] * 3, "adrop", *["cancel"] * 4],
}  # fmt: skip


def way_of(number: int) -> str:
    """Return how a call is made: half of them are async."""
    half = _WAYS["sync" if number % 2 else "async"]
    return half[number // 2 % len(half)]


class Records:
    """What observers are told of each call: one record, whatever became of it."""

    def __init__(self) -> None:
        self.ended_by: dict[int, list[CallRecord]] = {}
        self.begun: Counter[int] = Counter()

    def started(self, record: CallRecord) -> int:
        number = int(record.params["user"])
        self.begun[number] += 1
        return number

    def retried(self, state: int, record: CallRecord, failed: Any) -> None:
        pass

    def ended(self, state: int, record: CallRecord) -> None:
        self.ended_by.setdefault(state, []).append(record)


def make_model(base_url: str, key: str) -> ChatCerebras:
    """Return a model that tries again at once, and gives up soon."""
    return ChatCerebras(
        base_url=base_url,
        api_key=key,
        timeout={"connect": 5, "read": SILENCE_S, "first_byte": SILENCE_S},
        total_timeout=TOTAL_S,
        retry_policy=RetryPolicy(initial_delay=0.001, max_delay=0.01),
    )


def _arguments(number: int) -> dict[str, Any]:
    found: dict[str, Any] = {"user": str(number)}
    if uses_tool(number):
        found["tools"] = [_TOOL]
    return found


def _check(number: int, message: AIMessage) -> Iterator[str]:
    """Yield what is wrong with an answer."""
    text = answer_of(number)
    if uses_tool(number):
        right = [{"number": number, "text": text}]
        if [call["args"] for call in message.tool_calls] != right or message.text:
            yield f"not its answer: {message.tool_calls!r} {message.text!r}"
    elif message.text != text or message.tool_calls:
        yield f"not its answer: {message.text!r}"
    if message.invalid_tool_calls:
        yield f"invalid calls: {message.invalid_tool_calls}"
    if message.usage_metadata is None:
        yield "no usage"


def _counts(usage: Mapping[str, Any] | None) -> tuple[int, int] | None:
    return (usage["input_tokens"], usage["output_tokens"]) if usage else None


def _wire_counts(usage: Mapping[str, Any] | None) -> tuple[int, int] | None:
    return (usage["prompt_tokens"], usage["completion_tokens"]) if usage else None


def _earlier(failed: Iterable[Mapping[str, Any]]) -> list[Attempt]:
    return [Attempt(one["billed"], _counts(one.get("usage"))) for one in failed]


def _note_answer(ending: Ending, message: AIMessage) -> None:
    ending.outcome = "answer"
    ending.wrong += _check(ending.number, message)
    told = message.response_metadata
    ending.attempts = _earlier(told.get("failed_attempts", ()))
    ending.attempts.append(Attempt(True, _counts(message.usage_metadata)))
    if told["attempts"] != len(ending.attempts):
        ending.wrong.append(f"{told['attempts']} attempts, {ending.attempts} listed")


def _note_error(ending: Ending, error: BaseException, key: str) -> None:
    ending.outcome = "error"
    ending.kind = type(error).__name__
    if not isinstance(error, CerebrasError):
        ending.wrong.append(f"not a typed error: {error!r}")
        return
    if key in f"{error} {error!r} {vars(error)!r}":
        ending.wrong.append("the error holds the key")
    ending.attempts = [
        Attempt(one.billed, _counts(getattr(one, "usage", None)))
        for one in error.failed_attempts
    ]
    ending.attempts.append(Attempt(error.billed, _counts(error.partial_usage)))
    if error.attempts != len(ending.attempts):
        ending.wrong.append(f"{error.attempts} attempts, {ending.attempts} listed")
    said = answer_of(ending.number)
    if not said.startswith(error.partial_text):
        ending.wrong.append(f"not of its answer: {error.partial_text!r}")


class Calls:
    """Makes the calls of a round, so many at a time, half of them in threads."""

    def __init__(self, model: ChatCerebras, key: str, at_once: int) -> None:
        self._model = model
        self._key = key
        self._at_once = at_once

    def sync(self, numbers: Sequence[int], into: list[Ending]) -> None:
        """Make calls in threads."""
        left = iter(numbers)
        lock = threading.Lock()

        def work() -> None:
            while True:
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                into.append(self._one(number))

        threads = [
            threading.Thread(target=work, name=f"soak-{at}", daemon=True)
            for at in range(self._at_once)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HUNG_S * 2)
        alive = [thread.name for thread in threads if thread.is_alive()]
        assert not alive, f"threads hang: {alive}"

    async def run_async(self, numbers: Sequence[int], into: list[Ending]) -> None:
        """Make calls in tasks of the running loop."""
        left = iter(numbers)

        async def work() -> None:
            for number in left:
                into.append(await self._aone(number))

        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(work())

    # -------------------------------------------------------------------- one call

    def _one(self, number: int) -> Ending:
        ending = Ending(number, way_of(number))
        began = time.monotonic()
        try:
            message = self._answer(number, ending.way)
            if message is None:
                ending.outcome = "left"
            else:
                _note_answer(ending, message)
        except BaseException as error:
            _note_error(ending, error, self._key)
        ending.elapsed_s = time.monotonic() - began
        return ending

    def _answer(self, number: int, way: str) -> AIMessage | None:
        prompt, more = f"Call {number}", _arguments(number)
        model = self._model
        if way == "invoke":
            return model.invoke(prompt, **more)
        if way == "v3":
            return model.stream_events(prompt, version="v3", **more).output
        chunks = model.stream(prompt, **more)
        if way == "stream":
            return _sum(list(chunks))
        some = 1 + number % 3
        if way == "leave":
            with closing(chunks):
                return _left(number, list(itertools.islice(chunks, some)))
        return _left(number, list(itertools.islice(chunks, some)))

    async def _aone(self, number: int) -> Ending:
        ending = Ending(number, way_of(number))
        began = time.monotonic()
        task = asyncio.current_task()
        assert task
        try:
            async with asyncio.timeout(HUNG_S) as limit:
                message = await self._aanswer(number, ending.way)
            if message is None:
                ending.outcome = "left"
            else:
                _note_answer(ending, message)
        except asyncio.CancelledError:
            ending.outcome = "cancelled"
        except BaseException as error:
            _note_error(ending, error, self._key)
        if limit.expired():
            ending.wrong.append("it hung")
        ending.elapsed_s = time.monotonic() - began
        return ending

    async def _aanswer(self, number: int, way: str) -> AIMessage | None:
        prompt, more = f"Call {number}", _arguments(number)
        model = self._model
        if way == "ainvoke":
            return await model.ainvoke(prompt, **more)
        if way == "av3":
            stream = await model.astream_events(prompt, version="v3", **more)
            return await stream.output
        if way == "cancel":
            return await _cancelled(
                self._aanswer(number, _CANCELLED[number // 100 % 2]), number
            )
        chunks = model.astream(prompt, **more)
        if way == "astream":
            return _sum([chunk async for chunk in chunks])
        some = 1 + number % 3
        if way == "aleave":
            async with aclosing(chunks):
                return _left(number, await _some(chunks, some))
        return _left(number, await _some(chunks, some))


_CANCELLED = ["ainvoke", "astream"]


async def _cancelled(call: Any, number: int) -> AIMessage:
    task = asyncio.ensure_future(call)
    await asyncio.sleep(random.Random(number).random() * 0.08)
    task.cancel()
    return await task


async def _some(chunks: Any, some: int) -> list[Any]:
    found: list[Any] = []
    async for chunk in chunks:
        found.append(chunk)
        if len(found) == some:
            break
    return found


def _left(number: int, chunks: list[Any]) -> None:
    """Check the beginning of a stream that is given up."""
    said = "".join(chunk.text for chunk in chunks)
    assert chunks, "a stream without a word"
    assert answer_of(number).startswith(said), f"not of its answer: {said!r}"


def _sum(chunks: list[Any]) -> AIMessage:
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return total


# --------------------------------------------------------------------- the accounts


@dataclass(slots=True)
class Account:
    """Requests and tokens, as the service billed them and as the calls list them.

    Attributes:
        calls: Calls by their outcome.
        kinds: Errors by their class.
        faults: Requests by what was made to go wrong with them.
        requests: Requests that reached the service.
        billed: Those that it billed.
        recorded: Those of them whose tokens the calls list, all of them equal.
        unknown: Those of them that the calls list as unknown.
        unbilled: Those that the calls list as surely not billed; none was.
        billed_tokens: What the service billed.
        recorded_tokens: What the calls list.
        unknown_tokens: What is in those that they list as unknown.
        slowest_s: The call that took longest.
    """

    calls: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    billed: int = 0
    recorded: int = 0
    unknown: int = 0
    unbilled: int = 0
    billed_tokens: int = 0
    recorded_tokens: int = 0
    unknown_tokens: int = 0
    slowest_s: float = 0.0

    def close(
        self,
        numbers: Sequence[int],
        endings: Sequence[Ending],
        records: Records,
        rows: Sequence[Row],
    ) -> list[str]:
        """Add a round, and return what does not fit."""
        by_number: dict[int | None, list[Row]] = {}
        for row in rows:
            by_number.setdefault(row.number, []).append(row)
            status = row.status if row.status != _OK else None
            self.faults[str(row.fault or status or "none")] += 1
        self.requests += len(rows)
        wrong = [
            f"a request without a body was billed: {row}"
            for row in by_number.pop(None, ())
            if row.billed
        ]
        ended = Counter(ending.number for ending in endings)
        wrong += [f"call {n} ended {ended[n]} times" for n in numbers if ended[n] != 1]
        for ending in endings:
            record = _only_record(records, ending)
            if record is None:
                wrong.append(f"{ending} is not told of once")
                continue
            self.calls[ending.outcome] += 1
            if ending.kind:
                self.kinds[ending.kind] += 1
            self.slowest_s = max(self.slowest_s, ending.elapsed_s)
            if ending.elapsed_s > TOTAL_S + GRACE_S:
                ending.wrong.append("it took longer than its limit")
            ending.wrong += _differences(ending, record)
            wrong += [f"{ending}: {text}" for text in ending.wrong]
            wrong += self._add(ending, record, by_number.pop(ending.number, []))
        return [*wrong, *(f"requests of no call: {left}" for left in by_number.items())]

    def _add(self, ending: Ending, record: CallRecord, rows: list[Row]) -> list[str]:
        attempts = _attempts(record)
        pairs = _pair(rows, attempts)
        if pairs is None:
            return [f"{ending} lists {attempts}, the service {rows}"]
        for row, attempt in pairs:
            self.unbilled += attempt.billed is False
            if row.billed is None:
                continue
            tokens = sum(row.billed)
            self.billed += 1
            self.billed_tokens += tokens
            if attempt.usage:
                self.recorded += 1
                self.recorded_tokens += sum(attempt.usage)
            else:
                self.unknown += 1
                self.unknown_tokens += tokens
        return []

    def __str__(self) -> str:
        return (
            f"calls: {dict(self.calls)}; errors: {dict(self.kinds)}; "
            f"requests: {self.requests}, surely not billed: {self.unbilled}; "
            f"billed: {self.billed} ({self.billed_tokens} tokens) = "
            f"recorded: {self.recorded} ({self.recorded_tokens} tokens) + "
            f"unknown: {self.unknown} ({self.unknown_tokens} tokens); "
            f"slowest: {self.slowest_s:.1f} s; faults: {dict(self.faults)}"
        )


def _only_record(records: Records, ending: Ending) -> CallRecord | None:
    """Return the one record of a call; of one cancelled early there may be none."""
    number = ending.number
    ended = records.ended_by.pop(number, [])
    begun = records.begun.pop(number, 0)
    if not ended and not begun and ending.outcome == "cancelled":
        return CallRecord("chat", "POST", "", None, stream=False, attempts=0)
    return ended[0] if len(ended) == begun == 1 else None


def _attempts(record: CallRecord) -> list[Attempt]:
    """Return what observers can know of each request."""
    found = [
        Attempt(one.billed, _counts(getattr(one, "usage", None)))
        for one in record.failed
    ]
    if record.attempts > len(found):
        usage = _wire_counts(record.usage)
        error = record.error
        if isinstance(error, CerebrasError):
            found.append(Attempt(error.billed, _counts(error.partial_usage) or usage))
        else:
            found.append(Attempt(True if usage else None, usage))
    return found


def _differences(ending: Ending, record: CallRecord) -> Iterator[str]:
    """Yield where observers are told other than the caller is."""
    if ending.outcome == "left":
        if not record.abandoned and not record.usage:  # all had come already
            yield f"observers are not told that it was given up: {record}"
    elif ending.outcome != "cancelled" and ending.attempts != _attempts(record):
        yield f"observers are told {_attempts(record)}"


def _pair(
    rows: Sequence[Row], attempts: Sequence[Attempt]
) -> list[tuple[Row, Attempt]] | None:
    """Say which request was which attempt, in order; `None` if they do not fit.

    An attempt may never have reached the service.
    """
    if not rows:
        return None if any(one.usage for one in attempts) else []
    if not attempts:
        return None
    row, attempt = rows[0], attempts[0]
    if attempt.usage == row.billed or attempt.billed is None:
        rest = _pair(rows[1:], attempts[1:])
        if rest is not None:
            return [(row, attempt), *rest]
    return None if attempt.usage else _pair(rows, attempts[1:])


# ---------------------------------------------------------------------- what is left


class Gauge(NamedTuple):
    """How much a process holds.

    Attributes:
        blocks: Blocks of memory.
        objects: Objects that the collector knows, by type.
    """

    blocks: int
    objects: Counter[type]

    def growth(self, before: Gauge) -> Gauge:
        """Return what has been added."""
        added = (self.objects - before.objects).most_common(12)
        return Gauge(self.blocks - before.blocks, Counter(dict(added)))


def gauge() -> Gauge:
    """Say how much this process holds, without what can be thrown away."""
    for _ in range(3):
        gc.collect()
    return Gauge(sys.getallocatedblocks(), Counter(map(type, gc.get_objects())))


@dataclass
class Soak:
    """All rounds, and what was found.

    Attributes:
        wrong: What should not be so.
        gauges: What was held after each round.
    """

    service: Service
    model: ChatCerebras
    key: str
    at_once: int = 50
    account: Account = field(default_factory=Account)
    wrong: list[str] = field(default_factory=list)
    gauges: list[Gauge] = field(default_factory=list)

    async def run(self, calls: int, rounds: int) -> None:
        """Make so many calls, half of them in this loop, half of them in threads."""
        records = Records()
        add_observer(records)
        try:
            size = calls // rounds
            for at in range(rounds):
                numbers = range(1 + at * size, 1 + (at + 1) * size)
                await self._round(numbers, records)
                self.gauges.append(gauge())
        finally:
            remove_observer(records)

    async def _round(self, numbers: Sequence[int], records: Records) -> None:
        self.service.script(numbers[0])
        calls = Calls(self.model, self.key, self.at_once // 2)
        endings: list[Ending] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(calls.sync, numbers[::2], endings))
            group.create_task(calls.run_async(numbers[1::2], endings))
            half = len(numbers) // 2
            group.create_task(asyncio.to_thread(self._fall, endings, half))
        gc.collect()  # streams that nobody has closed
        self.wrong += await _left_tasks()
        self.model.close()
        await self.model.aclose()
        rows = await asyncio.to_thread(self.service.tell)
        self.wrong += self.account.close(numbers, endings, records, rows)

    def _fall(self, endings: list[Ending], when: int) -> None:
        wait_for(lambda: len(endings) >= when, 2 * HUNG_S)
        self.service.fall()


async def _left_tasks() -> list[str]:
    """Return the tasks that do not end by themselves; closing takes some turns."""
    end = time.monotonic() + GRACE_S
    while time.monotonic() < end:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if not left:
            return []
        await asyncio.sleep(0.01)
    return [f"a task is left: {task}" for task in left]


def main() -> None:
    """Be the service."""
    serve()


if __name__ == "__main__":
    main()
