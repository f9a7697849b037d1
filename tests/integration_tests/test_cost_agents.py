"""What agents and graphs cost: by node, in one trace, within a budget."""

from __future__ import annotations

import asyncio

import pytest
from cost_bill import assert_is_the_bill, chat, cost_by_hand
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware
from langchain_core.caches import InMemoryCache
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.costs.budget import Budget
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
from langchain_cerebras_ext.errors import BudgetExceeded
from langchain_cerebras_ext.simulator import Simulator

ASKED = {"messages": [("user", "What is the weather in Oslo?")]}


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def calls_a_tool(sim: Simulator) -> None:
    sim.reply_with_tool("weather", {"city": "Oslo"})
    sim.reply("It is sunny in Oslo.")


class Answer(BaseModel):
    """An answer."""

    text: str


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
def test_an_agent_is_one_trace_and_comes_to_the_bill(sim: Simulator, how: str) -> None:
    calls_a_tool(sim)
    tracker = CostTracker()
    agent = create_agent(chat(sim), [weather])
    with track_costs(user="ann") as costs:
        asyncio.run(_go(agent, how, {"callbacks": [tracker]}))
    assert_is_the_bill(costs, sim)
    assert tracker.records == costs.records
    assert costs.totals.calls == 2
    assert len({record.trace_id for record in costs.records}) == 1
    assert {record.node for record in costs.records} == {"model"}
    assert costs.by_node["model"].cost == cost_by_hand(sim)
    assert set(costs.by_tag) == {None}, "LangGraph's own tags are none of yours"
    for record in costs.records:
        assert record.trace_id != record.run_id
        assert record.parent_run_id not in {None, record.run_id}


async def _go(agent: object, how: str, config: RunnableConfig) -> None:
    run = getattr(agent, how)
    if how == "invoke":
        await asyncio.to_thread(run, ASKED, config)
    elif how == "ainvoke":
        await run(ASKED, config)
    elif how == "stream":
        await asyncio.to_thread(
            lambda: list(run(ASKED, config, stream_mode="messages"))
        )
    else:
        async for _ in run(ASKED, config, stream_mode="messages"):
            pass


def test_a_structured_answer_of_an_agent_is_part_of_it(sim: Simulator) -> None:
    sim.reply_with_tool("weather", {"city": "Oslo"})
    sim.reply('{"text": "sunny"}', times=None)
    agent = create_agent(
        chat(sim, model="zai-glm-4.7"), [weather], response_format=Answer
    )
    with track_costs() as costs:
        agent.invoke(ASKED)
    assert_is_the_bill(costs, sim)
    assert costs.totals.calls >= 2


def graph_of(model: ChatCerebras) -> object:
    """Return a graph with two writers side by side and one that joins them."""

    def writer(state: MessagesState) -> dict[str, object]:
        return {"messages": [model.invoke(state["messages"])]}

    async def joiner(state: MessagesState) -> dict[str, object]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("left", writer)
    graph.add_node("right", writer)
    graph.add_node("join", joiner)
    graph.add_edge(START, "left")
    graph.add_edge(START, "right")
    graph.add_edge(["left", "right"], "join")
    graph.add_edge("join", END)
    return graph.compile()


def test_agents_that_are_nodes_or_tools_of_others_are_told_apart(
    sim: Simulator,
) -> None:
    """Each has a node `model`, which alone says nothing."""
    model = chat(sim)
    expert = create_agent(model, [], name="expert")

    @tool
    def ask(question: str) -> str:
        """Ask the expert."""
        return str(expert.invoke({"messages": question})["messages"][-1].text)

    def twice(state: MessagesState) -> dict[str, object]:
        for _ in range(2):
            create_agent(model, []).invoke({"messages": "again"})
        return {"messages": state["messages"]}

    graph = StateGraph(MessagesState)
    graph.add_node("writer", create_agent(model, []))
    graph.add_node("boss", create_agent(model, [ask], name="boss"))
    graph.add_node("twice", twice)
    graph.add_edge(START, "writer")
    graph.add_edge("writer", "boss")
    graph.add_edge("boss", "twice")
    sim.reply("Once upon a time.")
    sim.reply_with_tool("ask", {"question": "how?"})
    with track_costs() as costs:
        graph.compile().invoke(ASKED)
    assert_is_the_bill(costs, sim)
    assert {node: totals.calls for node, totals in costs.by_node.items()} == {
        "writer/model": 1,
        "boss/model": 2,
        "boss/tools/expert/model": 1,
        "twice/model": 2,
    }


async def test_nodes_of_a_graph_are_told_apart(sim: Simulator) -> None:
    graph = graph_of(chat(sim))
    config: RunnableConfig = {
        "configurable": {"thread_id": "t-1"},
        "tags": ["night"],
        "metadata": {"user_id": "ann"},
    }
    with track_costs(user="nobody", session="s") as costs:
        await graph.ainvoke(ASKED, config)  # type: ignore[attr-defined]
    await asyncio.to_thread(assert_is_the_bill, costs, sim)
    assert set(costs.by_node) == {"left", "right", "join"}
    assert {totals.calls for totals in costs.by_node.values()} == {1}
    assert len({record.trace_id for record in costs.records}) == 1
    assert {record.user for record in costs.records} == {"ann"}
    assert {record.tags for record in costs.records} == {("night",)}


async def test_runs_side_by_side_have_traces_of_their_own(sim: Simulator) -> None:
    graph = graph_of(chat(sim))
    with track_costs() as costs:
        await asyncio.gather(
            *(graph.ainvoke(ASKED) for _ in range(5))  # type: ignore[attr-defined]
        )
    await asyncio.to_thread(assert_is_the_bill, costs, sim)
    traces = [record.trace_id for record in costs.records]
    assert sorted(traces.count(one) for one in set(traces)) == [3] * 5


def test_langchains_cache_in_an_agent_is_free(sim: Simulator) -> None:
    sim.reply("It is sunny.", times=None)
    agent = create_agent(chat(sim, cache=InMemoryCache()), [weather])
    with track_costs() as costs:
        agent.invoke(ASKED)
        agent.invoke(ASKED)
    assert [one.outcome for one in costs.records] == ["ok", "cache_hit"]
    assert_is_the_bill(costs, sim)


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
def test_a_spent_budget_stops_an_agent(sim: Simulator, how: str) -> None:
    """The first call fits; the second one, with a longer prompt, does not."""
    sim.reply_with_tool("weather", {"city": "Oslo"}, times=None)
    budget = Budget("0.0005", window="run")
    agent = create_agent(chat(sim, max_tokens=300), [weather])
    with (
        track_costs(budget=budget) as costs,
        pytest.raises(BudgetExceeded) as caught,
    ):
        asyncio.run(_go(agent, how, {"recursion_limit": 50}))
    assert sim.wait_idle()
    assert 1 <= len(sim.billed) < 10
    assert costs.totals.calls == len(sim.billed) + 1
    assert costs.records[-1].error_type == "BudgetExceeded"
    assert caught.value.limit == budget.status()[0].limit
    assert all(status.reserved == 0 for status in budget.status())
    assert costs.get_total_cost() == cost_by_hand(sim)


def test_the_middleware_for_retries_sends_nothing_against_a_budget(
    sim: Simulator,
) -> None:
    agent = create_agent(
        chat(sim),
        [weather],
        middleware=[
            ModelRetryMiddleware(
                max_retries=2,
                initial_delay=0,
                retry_on=lambda error: bool(getattr(error, "is_retryable", True)),
                on_failure="error",
            )
        ],
    )
    with (
        track_costs(budget=Budget("0.00000001")) as costs,
        pytest.raises(BudgetExceeded),
    ):
        agent.invoke(ASKED)
    assert sim.requests == []
    assert costs.totals.calls == 1, "it is not tried again: it says so itself"
    assert costs.get_total_cost() == 0
