"""What the simulator's unit tests share: a clock that stands still, and an engine."""

import json

import pytest

from langchain_cerebras_ext.simulator.clock import SystemClock
from langchain_cerebras_ext.simulator.engine import Engine, Settings
from langchain_cerebras_ext.simulator.faults import RefusedError


class FakeClock(SystemClock):
    """Moves only when told to, or when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.25
        self.slept = []

    def time(self):
        return self.now

    def monotonic(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class Account:
    """An engine, with short ways to ask it."""

    def __init__(self, **settings) -> None:
        self.clock = FakeClock()
        settings.setdefault("models", "all")
        self.engine = Engine(Settings(**settings), self.clock)

    @property
    def script(self):
        return self.engine.script

    def reply(
        self, prompt="Hello there", *, model="gpt-oss-120b", headers=None, **body
    ):
        body.setdefault("messages", [{"role": "user", "content": prompt}])
        return self.engine.chat({"model": model, **body}, headers or {})

    def raw(self, prompt="Hello there", **body):
        """Return the bytes of an answer, streamed or not."""
        reply = self.reply(prompt, **body)
        if reply.events is None:
            return reply.body
        return b"".join(event for _, event in reply.events)

    def chat(self, prompt="Hello there", **body):
        return json.loads(self.reply(prompt, **body).body)

    def message(self, prompt="Hello there", **body):
        return self.chat(prompt, **body)["choices"][0]["message"]

    def text(self, prompt="Hello there", **body):
        return self.message(prompt, **body)["content"]

    def arguments(self, prompt, tools, **body):
        calls = self.message(prompt, tools=tools, **body)["tool_calls"]
        return [json.loads(call["function"]["arguments"]) for call in calls]

    def chunks(self, prompt="Hello there", **body):
        events = [event for _, event in self.reply(prompt, stream=True, **body).events]
        assert events[-1] == b"data: [DONE]\n\n"
        return [json.loads(event.removeprefix(b"data: ")) for event in events[:-1]]

    def refusal(self, prompt="Hello there", **body):
        with pytest.raises(RefusedError) as caught:
            self.reply(prompt, **body)
        return caught.value.fault

    def complete(self, prompt, *, model="gpt-oss-120b", **body):
        reply = self.engine.text({"model": model, "prompt": prompt, **body}, {})
        if reply.events is None:
            return json.loads(reply.body)
        return b"".join(event for _, event in reply.events)


@pytest.fixture
def account():
    return Account()


@pytest.fixture
def make_account():
    return Account


@pytest.fixture
def tool():
    """Make a tool of some parameters."""

    def make(
        name="get_weather", *, strict=None, required=None, description=None, **types
    ):
        properties = {
            key: {"type": kind} if isinstance(kind, str) else kind
            for key, kind in types.items()
        }
        parameters = {
            "type": "object",
            "properties": properties,
            "required": list(properties) if required is None else required,
        }
        function = {"name": name, "parameters": parameters}
        if strict is not None:
            function["strict"] = strict
            parameters["additionalProperties"] = False
        if description:
            function["description"] = description
        return {"type": "function", "function": function}

    return make
