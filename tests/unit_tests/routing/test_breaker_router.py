"""A router with a breaker: who is asked, and how often, when a leg fails."""

import asyncio
import threading

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from langchain_cerebras_ext import errors
from langchain_cerebras_ext.routing.breaker import CircuitBreaker
from langchain_cerebras_ext.routing.router import ChatRouter

PROFILE = {"tool_calling": True, "max_input_tokens": 100_000}


class Counted(BaseChatModel):
    """A model that counts its calls, and fails while it is told to."""

    label: str
    fails: bool = False
    _asked: int = PrivateAttr(default=0)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @property
    def _llm_type(self):
        return "counted"

    def take(self):
        with self._lock:
            found, self._asked = self._asked, 0
        return found

    def _answer(self):
        with self._lock:
            self._asked += 1
        if self.fails:
            raise errors.InternalServerError("down", status_code=503)
        message = AIMessage(self.label)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        return self._answer()

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        await asyncio.sleep(0.001)
        return self._answer()


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def first():
    return Counted(label="first", profile=PROFILE)


@pytest.fixture
def router(first, clock):
    legs = {"a": first, "b": Counted(label="second", profile=PROFILE)}
    breaker = CircuitBreaker(open_s=15, half_open_probes=2, clock=clock)
    return ChatRouter(legs=legs, breaker=breaker)


def tasks(router, times):
    async def main():
        return await asyncio.gather(*(router.ainvoke("hi") for _ in range(times)))

    return asyncio.run(main())


def threads(router, times):
    return router.batch(["hi"] * times, config={"max_concurrency": 50})


@pytest.mark.parametrize("many", [tasks, threads])
def test_200_calls_at_once_ask_a_failing_leg_as_often_as_allowed(
    router, first, clock, many
):
    first.fails = True
    for _ in range(10):
        assert router.invoke("hi").text == "second"
    assert first.take() == 10
    assert router.health()["a"]["state"] == "open"
    assert {one.text for one in many(router, 200)} == {"second"}
    assert first.take() == 0

    clock.now += 15
    many(router, 200)
    assert 1 <= first.take() <= 2  # one failure ends the trying
    assert router.health()["a"]["retry_after_s"] == 30

    clock.now += 30
    first.fails = False
    answers = [one.text for one in many(router, 200)]
    assert answers.count("first") == first.take() >= 2
    assert router.health()["a"]["state"] == "closed"
    assert {one.text for one in many(router, 20)} == {"first"}


def test_an_answer_says_which_leg_was_left_out_and_why(router, first):
    first.fails = True
    for _ in range(11):
        answer = router.invoke("hi")
    skipped, served = answer.response_metadata["router"]["attempts"]
    assert (skipped["leg"], skipped["outcome"]) == ("a", "skipped")
    assert "circuit open" in skipped["reason"]
    assert (served["leg"], served["outcome"]) == ("b", "ok")


def test_mistakes_of_the_caller_open_nothing(first, clock):
    class Wrong(Counted):
        def _answer(self):
            msg = "no such parameter"
            raise errors.BadRequestError(msg, status_code=400)

    breaker = CircuitBreaker(min_calls=1, failure_rate=0.1, clock=clock)
    router = ChatRouter(legs={"a": Wrong(label="a")}, breaker=breaker)
    for _ in range(20):
        with pytest.raises(errors.BadRequestError):
            router.invoke("hi")
    row = router.health()["a"]
    assert (row["state"], row["calls"]) == ("closed", 0)


def test_health_has_times_of_streams(router):
    for _ in range(3):
        list(router.stream("hi"))
    assert router.health()["a"]["answer_s"]["calls"] == 3
    assert router.health()["b"]["calls"] == 0
