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
```
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, cast

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
from langchain_cerebras_ext.simulator.faults import Fault, named_fault

When: TypeAlias = str | re.Pattern[str] | Callable[[JsonObject], bool] | None
"""What a rule looks for: text or pattern in the prompt, or a test of the body."""

Content: TypeAlias = str | Callable[[JsonObject], str] | None
CallSpec: TypeAlias = ToolCall | Mapping[str, Any] | tuple[str, Any]

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
    """What may go wrong while an answer is sent.

    Attributes:
        delay_s: Seconds before the first byte.
        event_delay_s: Seconds before each event of a stream.
        cut_after: Close the connection after so many events (or, unstreamed, in the
            middle of the body).
        fault: An error, sent as an event in a stream after `fault_after` events.
        fault_after: See `fault`.
        fault_named: Whether that event has a line `event: error`.
        body_part: How many bytes of an unstreamed body come before the cut.
    """

    delay_s: float = 0.0
    event_delay_s: float = 0.0
    cut_after: int | None = None
    fault: Fault | None = None
    fault_after: int = 0
    fault_named: bool = False


@dataclass(slots=True)
class Rule:
    """One scripted reply or failure.

    Attributes:
        paths: The endpoints it answers.
        when: What it looks for.
        times: How often it answers; None is without end.
        answer: Makes the answer from the body; None leaves that to the simulator.
        fault: Sent in place of an answer.
        raw: Sent in place of an answer.
        delivery: How it is sent.
        used: How often it has answered.
    """

    paths: tuple[str, ...] = CHAT_PATHS
    when: When = None
    times: int | None = 1
    answer: Callable[[JsonObject], Answer] | None = None
    fault: Fault | None = None
    raw: RawReply | None = None
    delivery: Delivery = field(default_factory=Delivery)
    used: int = 0

    def matches(self, path: str, body: JsonObject) -> bool:
        """Say whether the rule answers a request."""
        if path not in self.paths or (
            self.times is not None and self.used >= self.times
        ):
            return False
        if self.when is None:
            return True
        if callable(self.when):
            return bool(self.when(body))
        text = prompt_text(body)
        if isinstance(self.when, str):
            return self.when in text
        return self.when.search(text) is not None


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

    def take(self, path: str, body: JsonObject, *, faults: bool) -> Rule | None:
        """Return the first rule that matches, and count its use.

        Args:
            path: The endpoint.
            body: The request's body, `{}` if it has none.
            faults: Whether to look for failures or for replies.
        """
        with self._lock:
            for rule in self._rules:
                fails = rule.fault is not None or rule.raw is not None
                if fails == faults and rule.matches(path, body):
                    rule.used += 1
                    return rule
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
_FAIL_KEYS = {"fail", "status", "body", "headers", "after_events"}
_COMMON_KEYS = {"when", "when_regex", "times", "delay_s", "event_delay_s", "cut_after"}
_RULE_KEYS = _REPLY_KEYS | _TOOL_KEYS | _FAIL_KEYS | _COMMON_KEYS
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
    "after_events": ((int,), "a number of events"),
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
        if not isinstance(value, kinds) or isinstance(value, bool):
            msg = f"{where}.{key} must be {spoken}, not {value!r}."
            raise ScenarioError(msg)
    groups = [
        sorted(set(entry) & keys) for keys in (_REPLY_KEYS, _TOOL_KEYS, _FAIL_KEYS)
    ]
    replies, tools, fails = groups
    if fails and (replies or tools):
        msg = f"{where} mixes a failure ({fails[0]}) with a reply."
        raise ScenarioError(msg)
    try:
        return _build_rule(entry, fails=bool(fails), where=where)
    except (ValueError, TypeError) as error:
        if isinstance(error, ScenarioError):
            raise
        msg = f"{where}: {error}"
        raise ScenarioError(msg) from error


def _build_rule(entry: JsonObject, *, fails: bool, where: str) -> Rule:
    rule = Rule(when=_read_when(entry, where), times=_read_times(entry, where))
    delivery: dict[str, Any] = {
        key: entry[key]
        for key in ("delay_s", "event_delay_s", "cut_after")
        if key in entry
    }
    if fails:
        what: Any = entry.get("fail")
        status = what if isinstance(what, int) else entry.get("status")
        code = what if isinstance(what, str) else None
        fault = named_fault(
            status, code=code, body=entry.get("body"), headers=entry.get("headers")
        )
        if "after_events" in entry:
            delivery |= {"fault": fault, "fault_after": entry["after_events"]}
        else:
            rule.fault = fault
    elif set(entry) & (_REPLY_KEYS | _TOOL_KEYS):
        rule.answer = make_answer(
            entry.get("reply"),
            reasoning=entry.get("reasoning"),
            calls=_read_calls(entry),
            finish_reason=entry.get("finish_reason"),
            chunks=entry.get("chunks"),
            reasoning_chunks=entry.get("reasoning_chunks"),
        )
    elif not delivery:
        msg = f"{where} says nothing: give reply, tool, calls, fail, or a delay or cut."
        raise ScenarioError(msg)
    rule.delivery = Delivery(**delivery)
    return rule


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
