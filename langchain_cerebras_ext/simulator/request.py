"""A checked request body, with the questions that the answering code asks of it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext.simulator._json import (
    JsonObject,
    as_list,
    as_object,
    content_text,
    dump,
    dump_text,
    fields_of,
    items_of,
)
from langchain_cerebras_ext.simulator.images import image_size
from langchain_cerebras_ext.simulator.tokens import count_image_tokens, split_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_cerebras_ext.simulator.profiles import ModelProfile

_THINKING = re.compile(r"<think>.*?</think>\s*", re.DOTALL)

# What only changes how an answer is sent does not change the answer.
_DELIVERY = frozenset({"stream", "stream_options", "user", "prompt_cache_key"})


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool of a request."""

    name: str
    description: str
    parameters: JsonObject
    strict: bool


@dataclass(frozen=True)
class ChatRequest:
    """A body that passed validation, and the model that it asks for."""

    body: JsonObject
    profile: ModelProfile

    @cached_property
    def messages(self) -> list[JsonObject]:
        """The conversation."""
        return [dict(message) for message in self.body["messages"]]

    @cached_property
    def tools(self) -> tuple[ToolSpec, ...]:
        """The tools that may be called."""
        specs: list[ToolSpec] = []
        for tool in items_of(self.body.get("tools")):
            function = tool["function"]
            specs.append(
                ToolSpec(
                    name=function["name"],
                    description=function.get("description") or "",
                    parameters=function.get("parameters") or {},
                    strict=bool(function.get("strict")),
                )
            )
        return tuple(specs)

    @property
    def forced_tool(self) -> str | None:
        """The tool that `tool_choice` names, if it names one."""
        choice = as_object(self.body.get("tool_choice"))
        return str(choice["function"]["name"]) if choice else None

    @property
    def tool_mode(self) -> str:
        """One of `none`, `auto` and `required`."""
        choice = self.body.get("tool_choice")
        if not self.tools:
            return "none"
        if as_object(choice) is not None:
            return "required"
        return choice or "auto"

    @property
    def parallel_tool_calls(self) -> bool:
        """Whether several calls may stand in one answer."""
        asked = self.body.get("parallel_tool_calls") is not False
        return asked and self.profile.parallel_tool_calls

    @property
    def format_type(self) -> str:
        """One of `text`, `json_object` and `json_schema`."""
        wanted = as_object(self.body.get("response_format"))
        return wanted["type"] if wanted else "text"

    @property
    def answer_schema(self) -> JsonObject | None:
        """The schema of the answer, if one was asked for."""
        wanted = fields_of(self.body.get("response_format"))
        shape = fields_of(wanted.get("json_schema"))
        return as_object(shape.get("schema"))

    @property
    def stream(self) -> bool:
        """Whether the answer is wanted as events."""
        return bool(self.body.get("stream"))

    @property
    def include_usage(self) -> bool:
        """Whether `stream_options.include_usage` is set."""
        options = fields_of(self.body.get("stream_options"))
        return bool(options.get("include_usage"))

    @property
    def choices(self) -> int:
        """How many answers are wanted."""
        return self.body.get("n") or 1

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts that end the answer."""
        stop = self.body.get("stop")
        if isinstance(stop, str):
            return (stop,) if stop else ()
        return tuple(text for text in stop or () if text)

    @property
    def max_tokens(self) -> int | None:
        """The limit that the request sets, None for the model's own."""
        for key in ("max_completion_tokens", "max_tokens"):
            value = self.body.get(key)
            if value is not None and value >= 0:
                return int(value)
        return None

    @property
    def min_tokens(self) -> int:
        """The fewest tokens that the answer must have."""
        for key in ("min_completion_tokens", "min_tokens"):
            value = self.body.get(key)
            if value is not None and value > 0:
                return int(value)
        return 0

    @property
    def logprobs(self) -> bool:
        """Whether log probabilities are wanted."""
        return bool(self.body.get("logprobs"))

    @property
    def top_logprobs(self) -> int:
        """How many alternatives are wanted for each token."""
        return self.body.get("top_logprobs") or 0

    @property
    def effort(self) -> str | None:
        """The reasoning effort asked for, None for the model's default."""
        return self.body.get("reasoning_effort")

    @property
    def reasons(self) -> bool:
        """Whether the model thinks before it answers this request."""
        if not self.profile.reasons or self.effort == "none":
            return False
        return self.effort is not None or self.profile.reasons_by_default

    @property
    def reasoning_format(self) -> str:
        """One of `parsed`, `text_parsed`, `raw` and `hidden`."""
        wanted = self.body.get("reasoning_format")
        if wanted and wanted != "none":
            return str(wanted)
        if self.format_type != "text" and self.profile.default_json_format:
            return self.profile.default_json_format
        return self.profile.default_format

    @property
    def prediction(self) -> str | None:
        """The predicted answer, if one was given."""
        prediction = as_object(self.body.get("prediction"))
        return content_text(prediction["content"]) if prediction else None

    @cached_property
    def last_user(self) -> int:
        """The position of the last user message, -1 if there is none."""
        for index in range(len(self.messages) - 1, -1, -1):
            if self.messages[index]["role"] == "user":
                return index
        return -1

    @cached_property
    def prompt(self) -> str:
        """The text of the last user message, or of the whole conversation."""
        if self.last_user < 0:
            texts = (content_text(one.get("content")) for one in self.messages)
            return "\n".join(text for text in texts if text)
        return content_text(self.messages[self.last_user].get("content"))

    @cached_property
    def turn(self) -> list[JsonObject]:
        """The messages after the last user message."""
        return self.messages[self.last_user + 1 :]

    @cached_property
    def called(self) -> tuple[str, ...]:
        """The names of the tools called since the last user message, in order."""
        return tuple(
            str(call["function"]["name"])
            for message in self.turn
            for call in items_of(message.get("tool_calls"))
        )

    @cached_property
    def results(self) -> tuple[tuple[str, str], ...]:
        """Tool results since the last user message: name of the tool, and text."""
        names: dict[str, str] = {
            call["id"]: call["function"]["name"]
            for message in self.messages
            for call in items_of(message.get("tool_calls"))
        }
        return tuple(
            (
                names.get(message["tool_call_id"], "tool"),
                content_text(message["content"]),
            )
            for message in self.turn
            if message["role"] == "tool"
        )

    @cached_property
    def image_tokens(self) -> int:
        """What the images of the request cost."""
        total = 0
        for uri in image_uris(self.messages):
            size = image_size(uri)
            rules = self.profile.images
            rule = rules.token_rule if rules else None
            total += count_image_tokens(*size, rule) if size and rule else 0
        return total

    @cached_property
    def prompt_pieces(self) -> list[str]:
        """The prompt's tokens without images, as the chat template lays them out."""
        scaffold = self.profile.scaffold
        pieces = ["<scaffold>"] * scaffold.prompt
        if self.body.get("tools"):
            pieces += ["<tools>"] * scaffold.tools
            pieces += split_tokens(dump_text(self.body["tools"]))
        for message in self.messages:
            pieces += [f"<{message['role']}>"] * scaffold.message
            pieces += split_tokens(self._rendered(message))
        return pieces

    @property
    def prompt_tokens(self) -> int:
        """What the prompt costs, images included."""
        return len(self.prompt_pieces) + self.image_tokens

    def _rendered(self, message: JsonObject) -> str:
        text = content_text(message.get("content"))
        if message["role"] != "assistant":
            return text
        thinking = content_text(message.get("reasoning"))
        if (
            self.profile.clears_thinking
            and self.body.get("clear_thinking") is not False
        ):
            text, thinking = _THINKING.sub("", text), ""
        calls = as_list(message.get("tool_calls"))
        return thinking + text + (dump_text(calls) if calls else "")

    def random(self, seed: int, index: int = 0) -> Random:
        """Return the random source of an answer: the same for the same request.

        Args:
            seed: The simulator's seed.
            index: Which of several answers.
        """
        body = {key: item for key, item in self.body.items() if key not in _DELIVERY}
        digest = hashlib.sha256(dump([seed, index, body])).digest()
        return Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 - seeded on purpose


def image_uris(messages: list[JsonObject]) -> Iterator[str]:
    """Yield the images of a conversation, as the data URIs that hold them."""
    for message in messages:
        for item in items_of(message.get("content")):
            part: JsonObject = fields_of(item)
            image: Any = as_object(part.get("image_url"))
            if image:
                yield str(image.get("url"))
            elif isinstance(part.get("image"), str):
                yield part["image"]
