"""Scripted replies and failures: what to answer, in order or by rule.

Rules are tried in the order in which they were added; the first that matches and is
not used up answers. What no rule matches gets a composed answer.

A scenario file is the same in JSON or TOML:

```toml
[[rules]]
when = "weather"                # contained in the last user message
tool = "get_weather"            # with `arguments`; or `calls = [{name, arguments}]`
arguments = { city = "Paris" }

[[rules]]
when_regex = "^count"
reply = "1, 2, 3"               # with `reasoning`, `chunks`, `finish_reason`
times = 0                       # 0 is without end, 1 is the default

[[rules]]
fail = "queue_exceeded"         # or a status; with `headers`, `body`

[[rules]]
fault = "cut_stream"            # one of `FAULTS`; with `after_events`, `after_bytes`,
after_events = 3                # `pause_s`, `error_shape`, `named_event`, `billed`

[[rules]]
odd = ["crlf", "trailers"]      # of `ODD_FORMS`; may stand beside a reply

[[rules]]
fail_randomly = 0.1             # a share of the requests; with `faults`, `seed`
faults = ["reset_stream", 503]
```

A rule with `fault` or `odd` and nothing else breaks or bends the answer of another
rule, or the simulator's own.
"""

from __future__ import annotations

import dataclasses
import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from langchain_cerebras_ext.simulator._json import (
    JsonObject,
    as_list,
    as_object,
    content_text,
    dump_text,
    fields_of,
    items_of,
)
from langchain_cerebras_ext.simulator.answers import Answer, ToolCall
from langchain_cerebras_ext.simulator.faults import Fault
from langchain_cerebras_ext.simulator.network_faults import Damage, make_failure
from langchain_cerebras_ext.simulator.odd import (
    STREAM_FORMS,
    OddForm,
    check_odd_forms,
)
from langchain_cerebras_ext.simulator.random_faults import (
    RandomFaults,
    make_random_faults,
)

When: TypeAlias = str | re.Pattern[str] | Callable[[JsonObject], bool] | None
"""What a rule looks for: text or pattern in the prompt, or a test of the body."""

Content: TypeAlias = str | Callable[[JsonObject], str] | None
CallSpec: TypeAlias = ToolCall | Mapping[str, Any] | tuple[str, Any]
RuleKind: TypeAlias = Literal["failure", "damage", "odd", "reply"]

CHAT_PATHS = ("/v1/chat/completions", "/v1/completions")


@dataclass(frozen=True, slots=True)
class RawReply:
    """Exact bytes to send; each part is one write, and so one HTTP chunk."""

    parts: tuple[bytes, ...]
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an answer is sent, and what goes wrong with that.

    Attributes:
        delay_s: Seconds before the first byte.
        event_delay_s: Seconds before each event of a stream.
        cut_after: Close the connection after so many events (or, unstreamed, in the
            middle of the body).
        damage: What else breaks.
        odd: In which odd but legal forms it comes.
    """

    delay_s: float = 0.0
    event_delay_s: float = 0.0
    cut_after: int | None = None
    damage: Damage | None = None
    odd: tuple[OddForm, ...] = ()

    def plus(self, other: Delivery) -> Delivery:
        """Return both together; what breaks is the other's, if it breaks anything."""
        return Delivery(
            self.delay_s + other.delay_s,
            self.event_delay_s + other.event_delay_s,
            self.cut_after if other.cut_after is None else other.cut_after,
            other.damage or self.damage,
            tuple(dict.fromkeys((*self.odd, *other.odd))),
        )

    def broken_by(self, *, streamed: bool) -> Damage | None:
        """Return what breaks a plain or a streamed answer."""
        if self.damage is not None or self.cut_after is None:
            return self.damage
        if streamed:
            return Damage("cut_stream", after_events=self.cut_after)
        return Damage("cut_body")


@dataclass(slots=True)
class Rule:
    """One scripted reply, failure or oddity.

    Attributes:
        paths: The endpoints it answers.
        when: What it looks for.
        times: How often it answers; None is without end.
        answer: Makes the answer from the body; None leaves that to the simulator.
        fault: Sent in place of an answer.
        raw: Sent in place of an answer.
        chance: Decides whether a request fails, and how.
        delivery: How it is sent.
        delivery_only: Whether it says nothing of the answer, so that it belongs to
            whatever else answers.
        used: How often it has answered.
    """

    paths: tuple[str, ...] = CHAT_PATHS
    when: When = None
    times: int | None = 1
    answer: Callable[[JsonObject], Answer] | None = None
    fault: Fault | None = None
    raw: RawReply | None = None
    chance: RandomFaults | None = None
    delivery: Delivery = field(default_factory=Delivery)
    delivery_only: bool = False
    used: int = 0

    @property
    def kind(self) -> RuleKind:
        """What it does: a request takes a failure or a damage, an oddity, a reply."""
        if self.fault is not None or self.raw is not None or self.chance is not None:
            return "failure"
        if not self.delivery_only:
            return "reply"
        return "odd" if self.delivery.damage is None else "damage"

    def matches(self, path: str, body: JsonObject) -> bool:
        """Say whether the rule answers a request."""
        if path not in self.paths or (
            self.times is not None and self.used >= self.times
        ):
            return False
        if not self._fits(path, body):
            return False
        if self.when is None:
            return True
        if callable(self.when):
            return bool(self.when(body))
        text = prompt_text(body)
        if isinstance(self.when, str):
            return self.when in text
        return self.when.search(text) is not None

    def drawn(self, path: str, body: JsonObject, number: int | None) -> Rule | None:
        """Return what chance has for a request, if anything."""
        if self.chance is None or number is None:
            return None
        streamed = body.get("stream") is True
        failure = self.chance.draw(number, streamed=streamed, chat=path in CHAT_PATHS)
        return None if failure is None else failure_rule(failure, self.delivery)

    def _fits(self, path: str, body: JsonObject) -> bool:
        """Say whether what it does to an answer can be done to this one."""
        damage, odd = self.delivery.damage, self.delivery.odd
        if damage is not None and not damage.fits(path, body, CHAT_PATHS):
            return False
        return body.get("stream") is True or STREAM_FORMS.isdisjoint(odd)


def failure_rule(failure: Fault | Damage, delivery: Delivery | None = None) -> Rule:
    """Return a rule that fails in a way; what is said of its delivery is kept."""
    rule = Rule(delivery=delivery or Delivery())
    if isinstance(failure, Fault):
        rule.fault = failure
    else:
        rule.delivery = dataclasses.replace(rule.delivery, damage=failure)
        rule.delivery_only = True
    return rule


def prompt_text(body: JsonObject) -> str:
    """Return the text that rules look at: the last user message, or the prompt."""
    prompt: Any = body.get("prompt")
    if isinstance(prompt, str):
        return prompt
    texts = [text for text in items_of(prompt) if isinstance(text, str)]
    for item in reversed(items_of(body.get("messages"))):
        message = as_object(item)
        if message and message.get("role") == "user":
            return content_text(message.get("content"))
    return "\n".join(texts)


class Script:
    """The rules of one simulator; may be changed from any thread."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def add(self, rule: Rule) -> None:
        """Add a rule behind the others."""
        with self._lock:
            self._rules.append(rule)

    def clear(self) -> None:
        """Drop all rules."""
        with self._lock:
            self._rules.clear()

    def take(
        self, path: str, body: JsonObject, *kinds: RuleKind, number: int | None = None
    ) -> Rule | None:
        """Return the first rule of some kinds that matches, and count its use.

        Args:
            path: The endpoint.
            body: The request's body, `{}` if it has none.
            *kinds: Which rules to look at.
            number: Which request it is; None leaves nothing to chance.
        """
        with self._lock:
            for rule in self._rules:
                if rule.kind not in kinds or not rule.matches(path, body):
                    continue
                taken = rule if rule.chance is None else rule.drawn(path, body, number)
                if taken is not None:
                    rule.used += 1
                    return taken
        return None

    @property
    def pending(self) -> int:
        """How many scripted answers are left, not counting those without end."""
        with self._lock:
            return sum(
                rule.times - rule.used for rule in self._rules if rule.times is not None
            )


def make_answer(
    content: Content,
    *,
    reasoning: str | None = None,
    calls: Sequence[ToolCall] = (),
    finish_reason: str | None = None,
    chunks: Sequence[str] | None = None,
    reasoning_chunks: Sequence[str] | None = None,
    logprobs: Sequence[Mapping[str, Any]] | None = None,
) -> Callable[[JsonObject], Answer]:
    """Return a maker of answers; content may depend on the request."""
    if chunks is not None and content is None:
        content = "".join(chunks)
    if reasoning_chunks is not None and reasoning is None:
        reasoning = "".join(reasoning_chunks)
    if chunks is not None and isinstance(content, str) and "".join(chunks) != content:
        msg = "chunks, joined, must be the content."
        raise ValueError(msg)

    def make(body: JsonObject) -> Answer:
        return Answer(
            content=content(body) if callable(content) else content,
            reasoning=reasoning,
            tool_calls=tuple(calls),
            finish_reason=finish_reason,
            chunks=None if chunks is None else tuple(chunks),
            reasoning_chunks=(
                None if reasoning_chunks is None else tuple(reasoning_chunks)
            ),
            logprobs=None if logprobs is None else tuple(map(dict, logprobs)),
        )

    return make


def make_call(spec: CallSpec) -> ToolCall:
    """Read one tool call: `(name, arguments)` or a mapping with these keys.

    Arguments that are text are sent as they are, so malformed ones are possible.

    Raises:
        ValueError: The name is missing, or there are unknown keys.
    """
    if isinstance(spec, ToolCall):
        return spec
    if isinstance(spec, tuple):
        spec = {"name": spec[0], "arguments": spec[1]}
    unknown = set(spec) - {"name", "arguments", "args", "id", "chunks"}
    name = spec.get("name")
    if unknown or not isinstance(name, str) or not name:
        detail = f"unknown keys {sorted(unknown)}" if unknown else "'name' is missing"
        msg = f"A tool call takes name, arguments, id and chunks: {detail}."
        raise ValueError(msg)
    arguments: Any = spec.get("arguments", spec.get("args", {}))
    chunks = as_list(spec.get("chunks"))
    if chunks is not None and "arguments" not in spec and "args" not in spec:
        arguments = "".join(chunks)
    text = arguments if isinstance(arguments, str) else dump_text(arguments)
    return ToolCall(
        name, text, spec.get("id"), None if chunks is None else tuple(chunks)
    )


# ------------------------------------------------------------------- scenario files

_REPLY_KEYS = {"reply", "reasoning", "chunks", "reasoning_chunks", "finish_reason"}
_TOOL_KEYS = {"tool", "arguments", "id", "calls"}
_DAMAGE_KEYS = {
    "after_events",
    "after_bytes",
    "pause_s",
    "error_shape",
    "named_event",
    "billed",
}
_FAIL_KEYS = {"fail", "status", "body", "headers", "fault", *_DAMAGE_KEYS}
_CHANCE_KEYS = {"fail_randomly", "faults", "seed"}
_DELIVERY_KEYS = {"delay_s", "event_delay_s", "cut_after", "odd"}
_COMMON_KEYS = {"when", "when_regex", "times"}
_RULE_KEYS = (
    _REPLY_KEYS | _TOOL_KEYS | _FAIL_KEYS | _CHANCE_KEYS | _DELIVERY_KEYS | _COMMON_KEYS
)
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "reply": ((str,), "text"),
    "reasoning": ((str,), "text"),
    "chunks": ((list,), "a list of texts"),
    "reasoning_chunks": ((list,), "a list of texts"),
    "finish_reason": ((str,), "text"),
    "tool": ((str,), "a tool's name"),
    "arguments": ((dict, str), "an object, or text to send as it is"),
    "id": ((str,), "text"),
    "calls": ((list,), "a list of {name, arguments}"),
    "fail": ((int, str), "a status or a code"),
    "status": ((int,), "an HTTP status"),
    "headers": ((dict,), "an object"),
    "fault": ((str,), "a fault's name"),
    "after_events": ((int,), "a number of events"),
    "after_bytes": ((int,), "a number of bytes"),
    "pause_s": ((int, float), "seconds"),
    "error_shape": ((str,), "'wrapped' or 'flat'"),
    "named_event": ((bool,), "true or false"),
    "billed": ((bool,), "true or false"),
    "fail_randomly": ((int, float), "a share from 0 to 1"),
    "faults": ((list,), "a list of faults, codes and statuses"),
    "seed": ((int,), "a whole number"),
    "odd": ((list,), "a list of odd forms"),
    "when": ((str,), "text"),
    "when_regex": ((str,), "a regular expression"),
    "times": ((int,), "a count, 0 for without end"),
    "delay_s": ((int, float), "seconds"),
    "event_delay_s": ((int, float), "seconds"),
    "cut_after": ((int,), "a number of events"),
}


class ScenarioError(ValueError):
    """A scenario cannot be read; the text says where and why."""


def load_scenario(scenario: str | Path | Mapping[str, Any]) -> list[Rule]:
    """Read the rules of a scenario.

    Args:
        scenario: A JSON or TOML file, or the same as a mapping.

    Raises:
        ScenarioError: The file is missing or no JSON or TOML, a key is unknown, a
            value has the wrong type.
    """
    if isinstance(scenario, Mapping):
        return read_rules(scenario, "scenario")
    path = Path(scenario)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"Cannot read the scenario {path}: {error.strerror}."
        raise ScenarioError(msg) from error
    return read_rules(_parse(text, path), str(path))


def _parse(text: str, path: Path) -> Any:
    if path.suffix == ".toml":
        import tomllib

        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            msg = f"{path} is no valid TOML: {error}."
            raise ScenarioError(msg) from error
    try:
        return json.loads(text)
    except ValueError as error:
        msg = f"{path} is no valid JSON: {error}."
        raise ScenarioError(msg) from error


def read_rules(data: Any, where: str) -> list[Rule]:
    """Read `{"rules": [...]}`; `where` stands at the head of error texts."""
    # TOML and JSON give dictionaries; a caller's mapping may be any.
    if isinstance(data, Mapping):
        data = dict(cast("Mapping[str, Any]", data))
    top = fields_of(data)
    rules = as_list(top.get("rules"))
    if rules is None or set(top) - {"rules"}:
        msg = f"{where} must be an object with one key, 'rules', that holds a list."
        raise ScenarioError(msg)
    return [_read_rule(rule, f"{where}: rules[{at}]") for at, rule in enumerate(rules)]


def _read_rule(data: Any, where: str) -> Rule:
    entry = as_object(data)
    if entry is None:
        msg = f"{where} must be an object."
        raise ScenarioError(msg)
    unknown = sorted(set(entry) - _RULE_KEYS)
    if unknown:
        known = ", ".join(sorted(_RULE_KEYS))
        msg = f"{where} has unknown keys {unknown}. Known: {known}."
        raise ScenarioError(msg)
    for key, value in entry.items():
        kinds, spoken = _TYPES.get(key, ((object,), "anything"))
        mistaken = isinstance(value, bool) and not {bool, object} & set(kinds)
        if mistaken or not isinstance(value, kinds):
            msg = f"{where}.{key} must be {spoken}, not {value!r}."
            raise ScenarioError(msg)
    try:
        return _build_rule(entry, where)
    except (ValueError, TypeError) as error:
        if isinstance(error, ScenarioError):
            raise
        msg = f"{where}: {error}"
        raise ScenarioError(msg) from error


def _build_rule(entry: JsonObject, where: str) -> Rule:
    replies = bool(set(entry) & (_REPLY_KEYS | _TOOL_KEYS))
    fails = sorted(set(entry) & _FAIL_KEYS)
    chances = sorted(set(entry) & _CHANCE_KEYS)
    rule = Rule(when=_read_when(entry, where), times=_read_times(entry, where))
    rule.delivery = _read_delivery(entry)
    if chances:
        _forbid_mixing(where, chances[0], replies=replies, fails=bool(fails))
        rule.chance = _read_chance(entry, where)
        rule.times = rule.times if "times" in entry else None
        return rule
    if fails:
        _read_failure(rule, entry, where, fails[0], replies=replies)
    if replies:
        rule.answer = make_answer(
            entry.get("reply"),
            reasoning=entry.get("reasoning"),
            calls=_read_calls(entry),
            finish_reason=entry.get("finish_reason"),
            chunks=entry.get("chunks"),
            reasoning_chunks=entry.get("reasoning_chunks"),
        )
    elif not fails and not set(entry) & _DELIVERY_KEYS:
        msg = (
            f"{where} says nothing: give reply, tool, calls, fail, fault, odd, "
            "fail_randomly, or a delay or cut."
        )
        raise ScenarioError(msg)
    # What only waits or cuts gets the simulator's own answer, as ever.
    rule.delivery_only = not replies and bool(set(entry) & {"fault", "odd"} or fails)
    return rule


def _read_delivery(entry: JsonObject) -> Delivery:
    given: dict[str, Any] = {
        key: entry[key]
        for key in ("delay_s", "event_delay_s", "cut_after")
        if key in entry
    }
    if "odd" in entry:
        given["odd"] = check_odd_forms(map(str, entry["odd"]))
    return Delivery(**given)


def _read_failure(
    rule: Rule, entry: JsonObject, where: str, key: str, *, replies: bool
) -> None:
    """Read what goes wrong: an error, or a fault in the delivery of an answer."""
    what: Any = entry.get("fail")
    failure = make_failure(
        what if isinstance(what, int) else entry.get("status"),
        code=what if isinstance(what, str) else None,
        body=entry.get("body"),
        headers=entry.get("headers"),
        fault=entry.get("fault"),
        **{name: entry[name] for name in _DAMAGE_KEYS if name in entry},
    )
    if isinstance(failure, Fault):
        _forbid_mixing(where, key, replies=replies)
        rule.fault = failure
        return
    if failure.answer is not None:
        _forbid_mixing(where, key, replies=replies)
    if "cut_after" in entry:
        msg = f"{where} has both 'cut_after' and '{key}'; give one."
        raise ScenarioError(msg)
    rule.delivery = dataclasses.replace(rule.delivery, damage=failure)


def _forbid_mixing(where: str, key: str, *, replies: bool, fails: bool = False) -> None:
    if replies or fails:
        other = "a reply" if replies else "another one"
        msg = f"{where} mixes a failure ({key}) with {other}."
        raise ScenarioError(msg)


def _read_chance(entry: JsonObject, where: str) -> RandomFaults:
    if "fail_randomly" not in entry:
        msg = f"{where}: 'faults' and 'seed' need 'fail_randomly'."
        raise ScenarioError(msg)
    return make_random_faults(
        entry["fail_randomly"], entry.get("faults"), seed=entry.get("seed", 0)
    )


def _read_calls(entry: JsonObject) -> list[ToolCall]:
    calls: Iterable[Any] = items_of(entry.get("calls"))
    made = [make_call(fields_of(call)) for call in calls]
    if "tool" in entry:
        spec = {"name": entry["tool"], "arguments": entry.get("arguments", {})}
        made.insert(0, make_call({**spec, "id": entry.get("id")}))
    elif set(entry) & {"arguments", "id"}:
        msg = "'arguments' and 'id' need 'tool'."
        raise ValueError(msg)
    return made


def _read_when(entry: JsonObject, where: str) -> When:
    if "when_regex" not in entry:
        return entry.get("when")
    if "when" in entry:
        msg = f"{where} has both 'when' and 'when_regex'; give one."
        raise ScenarioError(msg)
    try:
        return re.compile(entry["when_regex"])
    except re.error as error:
        msg = f"{where}.when_regex is no regular expression: {error}."
        raise ScenarioError(msg) from error


def _read_times(entry: JsonObject, where: str) -> int | None:
    times: int = entry.get("times", 1)
    if times < 0:
        msg = f"{where}.times must be 0 or more, not {times}."
        raise ScenarioError(msg)
    return times or None
