"""LangChain's standard integration tests on a router over two simulators.

The first leg of the second run fails every request, so that all of its answers come
from the other one.
"""

from __future__ import annotations

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.routing.router import ChatRouter
from langchain_cerebras_ext.simulator import Simulator

LONG_PREFIX = "The manual of the harbour crane, chapter by chapter. " * 200


@pytest.fixture(scope="module")
def simulators():
    with Simulator() as first, Simulator() as second:
        yield first, second


class _OverTwo(ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _served(self, simulators):
        self.simulators = simulators

    @property
    def chat_model_class(self):
        return ChatRouter

    @property
    def chat_model_params(self):
        return {"legs": dict(zip("ab", self.models(), strict=True))}

    def models(self, **more):
        return [
            ChatCerebras(
                model="gpt-oss-120b",
                api_key="csk-test",
                base_url=one.base_url,
                max_retries=0,
                **more,
            )
            for one in self.simulators
        ]

    @property
    def standard_chat_model_params(self):
        return {}

    @property
    def has_tool_choice(self):
        return True

    @property
    def supports_json_mode(self):
        return True

    @property
    def supports_anthropic_inputs(self):
        return True

    @property
    def supports_model_override(self):
        return True

    @property
    def model_override_value(self):
        return "qwen-3.8-27b"

    @property
    def supported_usage_metadata_details(self):
        details = ["reasoning_output", "cache_read_input"]
        return {"invoke": details, "stream": details}

    def invoke_with_reasoning_output(self, *, stream=False):
        router = ChatRouter(legs=self.models(reasoning_effort="high"))
        return _ask(router, "Why is the sky blue?", stream=stream)

    def invoke_with_cache_read_input(self, *, stream=False):
        router = ChatRouter(legs=self.models())
        _ask(router, f"{LONG_PREFIX}What is it about?", stream=stream)
        return _ask(router, f"{LONG_PREFIX}How long is it?", stream=stream)


# One test hands over a class of Pydantic v1, for which we warn.
@pytest.mark.filterwarnings("ignore:Joke is a class of Pydantic v1:UserWarning")
class TestRouter(_OverTwo):
    """Both legs answer."""

    @property
    def structured_output_kwargs(self):
        return {"method": "json_schema"}


@pytest.mark.filterwarnings("ignore:Joke is a class of Pydantic v1:UserWarning")
class TestRouterWithABrokenLeg(_OverTwo):
    """The first leg is down: nobody should notice but `response_metadata`."""

    @pytest.fixture(autouse=True)
    def _first_is_down(self, _served, request):
        self.simulators[0].reset()
        # These count the runs of models, and there would rightly be two of them.
        if not request.node.originalname.startswith("test_structured_output"):
            self.simulators[0].fail_next(503, times=None)
        yield
        self.simulators[0].reset()

    @property
    def structured_output_kwargs(self):
        return {"method": "function_calling"}


def _ask(model, prompt, *, stream):
    if not stream:
        return model.invoke(prompt)
    first, *rest = model.stream(prompt)
    return sum(rest, first)
