"""What to answer when nothing is scripted: seeded, and sensible for any prompt.

No language model is at work: replies follow from the words of the conversation, the
tools and the schema. Nothing here knows a particular demo or test.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext.simulator._json import (
    JsonObject,
    as_list,
    as_object,
    content_text,
    dump_text,
    fields_of,
    items_of,
    json_values,
)
from langchain_cerebras_ext.simulator.answers import Answer, ToolCall
from langchain_cerebras_ext.simulator.evidence import Evidence, plain_statements
from langchain_cerebras_ext.simulator.fill import fill_schema
from langchain_cerebras_ext.simulator.instructions import without_instructions
from langchain_cerebras_ext.simulator.tokens import count_tokens
from langchain_cerebras_ext.simulator.words import (
    clip,
    keywords,
    name_words,
    proper_names,
    quoted,
    sentences,
    stems,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from langchain_cerebras_ext.simulator.request import ChatRequest, ToolSpec

_SAY = re.compile(
    r"\b(?:say|reply|answer|respond|write|print|output|repeat|return)\b"
    r"(?:\s+(?:back|with|only|just|exactly|simply|the|single|a|one|this|following))*"
    r"\s+(?:words?|phrase|text|sentence|string)?\s*:?\s*",
    re.IGNORECASE,
)
_SAY_WORDS = re.compile(
    r"\b(?:say|reply|answer|respond|write|print|output|repeat)\b[^.\n]{0,40}?"
    r"\b(?:words?|phrase|text|sentence)\s*:?\s+([^.,;!?\n\"']{1,80})",
    re.IGNORECASE,
)
_SAY_SHORT = re.compile(
    r"^\s*(?:please\s+)?(?:just\s+)?(?:say|repeat)(?:\s+(?:only|just|exactly))?:?\s+"
    r"([^.!?\n\"']{1,60})[.!?]?\s*$",
    re.IGNORECASE,
)
_SUM = re.compile(
    r"(?<![\w.])(-?\d+(?:\.\d+)?)\s*([-+*/x\u00d7])\s*(-?\d+(?:\.\d+)?)(?![\w])"
)
_COUNT = re.compile(
    r"\b(?:count|numbers?|integers?)\b[^.\d]{0,30}?(-?\d+)\s*(?:to|through|until|-|\u2013)\s*(-?\d+)",
    re.IGNORECASE,
)
_COUNT_TO = re.compile(r"\bcount\s+(?:up\s+)?to\s+(\d+)", re.IGNORECASE)
_LENGTH = re.compile(
    r"\b(\d{1,5})[\s-]+(words?|sentences?|paragraphs?|lines?|tokens?)\b", re.IGNORECASE
)
_REPLACE = re.compile(
    r"\b(?:replace|rename|change)\b[^\n]*?[\"'`](.+?)[\"'`]\s+(?:with|to|by|into)\s+[\"'`](.+?)[\"'`]",
    re.IGNORECASE,
)
_ANSWERS = re.compile(
    r"\b(?:return|respond|reply|answer|output|format\w*|produce|give|conform\w*)\b",
    re.IGNORECASE,
)
_JSON_SHAPE = re.compile(
    r"\b(?:as|in|valid|only|an?)\s+(?:\w+\s+)?JSON\b"
    r"|\bJSON\s+(?:object|format|instance|output|array|with)\b",
    re.IGNORECASE,
)
_KEYS_MENTION = re.compile(
    r"([^\n]{0,120}?)\b(?:keys?|fields?|properties)\b([^\n.]{0,120})", re.IGNORECASE
)
_KEY = re.compile(r"\w[\w -]{0,40}")
_COUNT_LIMIT = 5_000
_LENGTH_LIMIT = 20_000
_PARALLEL = 8
_RESULT_CHARS = 300
_TEXT_SENTENCES = 4


def compose_answer(request: ChatRequest, rng: Random) -> Answer:
    """Compose the answer to a request.

    Args:
        request: A checked request.
        rng: Decides between phrasings.
    """
    evidence = collect_evidence(request)
    tool = choose_tool(request)
    if tool is not None:
        calls = compose_calls(request, tool, evidence)
        names = ", ".join(dict.fromkeys(call.name for call in calls))
        thought = _think(request, evidence, f"The {names} tool can help here.")
        return Answer(reasoning=thought, tool_calls=tuple(calls))
    content = compose_content(request, evidence, rng)
    thought = _think(request, evidence, "Now the answer, short and to the point.")
    return Answer(content=content, reasoning=thought)


def collect_evidence(request: ChatRequest) -> Evidence:
    """Collect what the conversation says, apart from what was asked last."""
    before = [
        content_text(message.get("content"))
        for at, message in enumerate(request.messages)
        if at != request.last_user and message["role"] not in ("tool", "assistant")
    ]
    texts = [text for _, text in request.results]
    about = [
        text
        for tool in request.tools
        for text in (" ".join(name_words(tool.name)), tool.description)
    ]
    prompt = without_instructions(request.prompt)
    return Evidence(prompt, "\n".join(before), texts, about)


# ------------------------------------------------------------------------------ tools


def choose_tool(request: ChatRequest) -> ToolSpec | None:
    """Return the tool to call next, None to answer in text."""
    if request.tool_mode == "none":
        return None
    by_name = {tool.name: tool for tool in request.tools}
    if request.forced_tool:
        return by_name[request.forced_tool]
    named = [by_name[name] for name in named_tools(request)]
    waiting = [tool for tool in named if tool.name not in request.called]
    if waiting:
        return waiting[0]
    if request.tool_mode == "auto" and request.called:
        return None
    if request.tool_mode == "auto" and request.messages[-1]["role"] != "user":
        return None
    fresh = [tool for tool in request.tools if tool.name not in request.called]
    return most_relevant(fresh or request.tools, request.prompt)


def named_tools(request: ChatRequest) -> list[str]:
    """Return the names of tools in the user's text, in the order of mention."""
    found: list[tuple[int, str]] = []
    for tool in request.tools:
        spoken = r"[\s_-]".join(map(re.escape, name_words(tool.name)))
        exact = re.escape(tool.name)
        hit = re.search(rf"(?<![\w-]){exact}(?![\w-])", request.prompt)
        if hit is None and "_" in tool.name:
            pattern = rf"\b{spoken}\b"
            hit = re.search(pattern, request.prompt, re.IGNORECASE)
        if hit is not None and not _is_plain_word(tool.name, request.prompt, hit):
            found.append((hit.start(), tool.name))
    return [name for _, name in sorted(found)]


def _is_plain_word(name: str, prompt: str, hit: re.Match[str]) -> bool:
    """Say whether a one-word name may only be a word of the sentence.

    `search` names a tool in "use search", "`search`" and "search(...)", but hardly in
    "do a search for cats".
    """
    if "_" in name or any(sign.isupper() for sign in name[1:]):
        return False
    before, after = prompt[: hit.start()].rstrip(), prompt[hit.end() :]
    quoted_name = before[-1:] in "`\"'" and after[:1] in "`\"'" and bool(before)
    spoken = re.search(r"\b(?:use|call|using|calling|with|then|and|tools?:?)$", before)
    return not (quoted_name or after.startswith("(") or spoken)


def most_relevant(tools: Sequence[ToolSpec], prompt: str) -> ToolSpec:
    """Return the tool whose name and description share most words with a text."""
    wanted = stems([prompt])

    def score(tool: ToolSpec) -> int:
        named = len(wanted & stems(name_words(tool.name)))
        described = len(wanted & stems([tool.description]))
        return 3 * named + described

    return max(tools, key=score)


def compose_calls(
    request: ChatRequest, tool: ToolSpec, evidence: Evidence
) -> list[ToolCall]:
    """Return one call, or one for each of several values that the prompt names."""
    values = _parallel_values(request, tool)
    if len(values) > 1:
        key, listed = values[0][0], [value for _, value in values]
        filled = [
            {**_arguments(tool, collect_evidence(request)), key: value}
            for value in listed
        ]
    else:
        filled = [_arguments(tool, evidence)]
    return [ToolCall(tool.name, json_text(request, one)) for one in filled]


def _arguments(tool: ToolSpec, evidence: Evidence) -> JsonObject:
    if not tool.parameters:
        return {}
    return fields_of(fill_schema(tool.parameters, evidence))


def _parallel_values(request: ChatRequest, tool: ToolSpec) -> list[tuple[str, str]]:
    """Return the values for parallel calls: names joined by `and` or commas."""
    properties = fields_of(tool.parameters.get("properties"))
    required = items_of(tool.parameters.get("required"))
    texts = [
        key
        for key in required
        if fields_of(properties.get(key)).get("type") == "string"
    ]
    if not request.parallel_tool_calls or len(required) != 1 or len(texts) != 1:
        return []
    prompt = request.prompt
    for found in (proper_names(prompt), quoted(prompt)):
        listed = [name for name in found if name != tool.name][:_PARALLEL]
        if len(listed) > 1 and _are_joined(prompt, listed):
            return [(texts[0], name) for name in listed]
    return []


def _are_joined(prompt: str, names: Sequence[str]) -> bool:
    """Say whether each name follows the one before after `and`, `or` or a comma."""
    for one, other in pairwise(names):
        start = prompt.index(one) + len(one)
        between = (
            prompt[start : prompt.index(other, start)]
            if other in prompt[start:]
            else "."
        )
        if not re.fullmatch(
            r"[\s\"'`]*(?:,|,?\s*\b(?:and|or)\b)\s*(?:\w{1,4}\s+){0,2}[\"'`]*", between
        ):
            return False
    return True


def json_text(request: ChatRequest, value: Any) -> str:
    """Write JSON with the model's spacing."""
    if request.profile.compact_arguments:
        return dump_text(value)
    return json.dumps(value, ensure_ascii=False)


# ------------------------------------------------------------------------------- text


def compose_content(request: ChatRequest, evidence: Evidence, rng: Random) -> str:
    """Return the text of an answer: JSON where that is asked for, else prose."""
    if request.format_type == "json_schema":
        return json_text(request, fill_schema(request.answer_schema or {}, evidence))
    if request.format_type == "json_object" or _wants_json(request):
        schema = _schema_in_prompt(request)
        return json_text(request, fill_schema(schema, evidence))
    if request.prediction is not None:
        return _edited(request.prediction, request.prompt)
    text = compose_text(request, evidence, rng)
    return _lengthened(text, request, evidence)


def _conversation(request: ChatRequest) -> str:
    texts = [
        content_text(message.get("content"))
        for message in request.messages
        if message["role"] != "tool"
    ]
    return "\n".join(texts)


def _wants_json(request: ChatRequest) -> bool:
    """Say whether a plain request asks for JSON in words."""
    spoken = [
        content_text(message.get("content"))
        for message in request.messages
        if message["role"] in ("system", "developer")
    ]
    text = "\n".join([*spoken, request.prompt])
    return bool(_ANSWERS.search(text) and _JSON_SHAPE.search(text))


def _schema_in_prompt(request: ChatRequest) -> JsonObject:
    """Find the wanted shape in the prompt: a schema, an example, or named keys."""
    text = _conversation(request)
    found = [shape for value in json_values(text) if (shape := as_object(value))]
    schemas = [
        shape
        for shape in found
        if all(
            as_object(one) is not None
            for one in (as_object(shape.get("properties")) or {"": None}).values()
        )
    ]
    if schemas:
        # Format instructions may explain themselves by an example; the last counts.
        shape = schemas[-1]
        return shape if "$ref" in shape else {"type": "object", **shape}
    examples = [shape for shape in found if shape]
    if examples:
        return _schema_of(examples[-1])
    keys = list(dict.fromkeys(_named_keys(request.prompt) or _named_keys(text)))
    properties = {key: {"type": "string"} for key in keys or ["answer"]}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _named_keys(text: str) -> list[str]:
    """Return what is quoted behind the word "keys" in its sentence, else before it."""
    keys: list[str] = []
    for found in _KEYS_MENTION.finditer(text):
        before, after = (
            [one for one in quoted(part) if _KEY.fullmatch(one)]
            for part in found.groups()
        )
        keys += after or before
    return keys


def _schema_of(example: Any) -> JsonObject:
    """Return the schema of an example's shape."""
    found = as_object(example)
    if found is not None:
        properties = {key: _schema_of(item) for key, item in found.items()}
        return {"type": "object", "properties": properties, "required": [*properties]}
    items = as_list(example)
    if items is not None:
        return {"type": "array", "items": _schema_of(items[0]) if items else {}}
    if isinstance(example, bool):
        return {"type": "boolean"}
    if isinstance(example, (int, float)):
        return {"type": "integer" if isinstance(example, int) else "number"}
    return {"type": "string"}


def compose_text(request: ChatRequest, evidence: Evidence, rng: Random) -> str:
    """Return a short answer in prose."""
    if request.results:
        return _tell_results(request, evidence)
    prompt = request.prompt
    for attempt in (_said_words, _counted, _summed):
        text = attempt(prompt)
        if text is not None:
            return text
    return _told(request, evidence, rng)


def _said_words(prompt: str) -> str | None:
    """Return the words that the prompt asks to be said."""
    spoken = _SAY.search(prompt)
    if spoken:
        rest = prompt[spoken.end() :]
        marked = quoted(rest)
        if marked and rest.lstrip().startswith(
            ("'", '"', "`", "\u201c", "\u2018", "\u00ab", "\u300c")
        ):
            return marked[0]
    for pattern in (_SAY_WORDS, _SAY_SHORT):
        found = pattern.search(prompt)
        if found:
            return found[1].strip()
    return None


def _counted(prompt: str) -> str | None:
    span = _COUNT.search(prompt)
    upto = _COUNT_TO.search(prompt)
    if span:
        first, last = int(span[1]), int(span[2])
    elif upto:
        first, last = 1, int(upto[1])
    else:
        return None
    if abs(last - first) > _COUNT_LIMIT:
        return None
    step = 1 if last >= first else -1
    return ", ".join(str(number) for number in range(first, last + step, step))


def _summed(prompt: str) -> str | None:
    """Work out the first sum in a prompt."""
    found = _SUM.search(prompt)
    if found is None:
        return None
    one, sign, other = float(found[1]), found[2], float(found[3])
    if sign == "/" and other == 0:
        return "Division by zero is not defined."
    value = {
        "+": one + other,
        "-": one - other,
        "/": one / other if other else 0.0,
    }.get(sign, one * other)
    return f"{found[1]} {sign} {found[3]} = {round(value, 10):.12g}"


def _tell_results(request: ChatRequest, evidence: Evidence) -> str:
    """Tell what the tools returned."""
    lines: list[str] = []
    for name, text in request.results:
        told = plain_statements(text)
        ranked = sorted(told, key=lambda said: -evidence.relevance(said))[:3]
        said = clip("; ".join(ranked), _RESULT_CHARS) or "nothing"
        lines.append(f"{name} returned: {said}")
    if len(lines) == 1:
        return lines[0] + ("" if lines[0].endswith((".", "!", "?", "…")) else ".")
    return "\n".join(f"- {line}" for line in lines)


def _told(request: ChatRequest, evidence: Evidence, rng: Random) -> str:
    """Quote what was said before if it fits the question, else take up its words."""
    prompt = request.prompt
    about = keywords(prompt, 5)
    told = evidence.sentences()
    if told and evidence.answers(told[0]) > 0:
        return clip(told[0], _RESULT_CHARS)
    if len(told) >= _TEXT_SENTENCES:
        # A text to be summed up, or the like: what it begins with stands for it.
        whole = [line for line in sentences(prompt) if len(line.split()) > 3]  # noqa: PLR2004
        return clip(" ".join(whole[:2]) or told[0], _RESULT_CHARS)
    if not about:
        greeting = rng.choice(["Hello!", "Hello there!", "Hi!"])
        return f"{greeting} How can I help you?"
    listed = (
        about[0] if len(about) == 1 else ", ".join(about[:-1]) + f" and {about[-1]}"
    )
    opening = rng.choice(
        [
            "This is about {}.",
            "You are asking about {}.",
            "In short, it comes down to {}.",
        ]
    )
    closing = rng.choice(
        [
            "This text comes from a simulator, so there is no more to it.",
            "A simulator wrote this, from the words of your message.",
            "As a simulator, I can only take up your own words.",
        ]
    )
    return f"{opening.format(listed)} {closing}"


def _edited(prediction: str, prompt: str) -> str:
    """Apply the replacement that a prompt asks for to a predicted text."""
    found = _REPLACE.search(prompt)
    return prediction.replace(found[1], found[2]) if found else prediction


def _lengthened(text: str, request: ChatRequest, evidence: Evidence) -> str:
    """Make a text as long as the prompt or the request's minimum asks for."""
    wanted = _LENGTH.search(request.prompt)
    if wanted and not request.results:
        count, unit = min(int(wanted[1]), _LENGTH_LIMIT), wanted[2].lower().rstrip("s")
        text = _padded(text, count, unit, evidence)
    while count_tokens(text) < min(request.min_tokens, _LENGTH_LIMIT):
        text += " " + _filler(count_tokens(text), evidence)
    return text


def _padded(text: str, count: int, unit: str, evidence: Evidence) -> str:
    if unit in ("sentence", "paragraph", "line"):
        joint = {"sentence": " ", "line": "\n"}.get(unit, "\n\n")
        return joint.join(_filler(number, evidence) for number in range(count))
    parts = text.split() if unit == "word" else []
    number = 0
    if unit == "token":
        while count_tokens(" ".join(parts)) < count:
            parts += _filler(number, evidence).split()
            number += 1
        return " ".join(parts)
    while len(parts) < count:
        parts += _filler(number, evidence).split()
        number += 1
    return " ".join(parts[:count])


_A_TEXT = 4
"""From so many sentences on, a prompt holds a text that an answer can draw on."""
_SENTENCE = re.compile(r"[A-Z][^.!?|#`{}]{25,250}[.!?](?=\s|$)")


def _sentences(evidence: Evidence) -> list[str]:
    """Return the sentences of what the user handed in, if it is a text."""
    text = " ".join(f"{evidence.context} {evidence.prompt}".split())
    return _SENTENCE.findall(text)


def _filler(number: int, evidence: Evidence) -> str:
    told = _sentences(evidence)
    if len(told) >= _A_TEXT:
        return told[number % len(told)]
    about = evidence.keywords(8) or ["it"]
    word = about[number % len(about)]
    forms = (
        f"There is something to say about {word}.",
        f"One may look at {word} from several sides.",
        f"What matters in {word} depends on the question.",
        f"So much for {word}, and on to the next point.",
    )
    return forms[number % len(forms)]


def _think(request: ChatRequest, evidence: Evidence, decision: str) -> str | None:
    """Return the model's thoughts, longer with more effort."""
    if not request.reasons:
        return None
    asked = clip(request.prompt, 120) or "nothing in words"
    thoughts = [f"The user says: {asked}"]
    about = ", ".join(evidence.keywords(5))
    if request.effort != "low":
        thoughts.append(f"What matters: {about or 'the request itself'}.")
    if request.results:
        thoughts.append(f"There are {len(request.results)} tool results to use.")
    if request.effort == "high":
        thoughts.append(
            f"The conversation has {len(request.messages)} messages so far, and "
            f"{len(words(request.prompt))} words in the last question. "
            "Let me check again that nothing was left out."
        )
    return " ".join([*thoughts, decision])
