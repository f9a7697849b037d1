"""What holds for every history: idempotent, paired, and nothing that was said lost."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_cerebras_ext.errors import UnsupportedFeatureError
from langchain_cerebras_ext.routing._history.rules import rules_of
from langchain_cerebras_ext.routing.history import portable_messages
from tests.provider_histories import HISTORIES, OWNERS, PNG

PROVIDERS = [
    "cerebras",
    "openai",
    "anthropic",
    "google_genai",
    "groq",
    "mistralai",
    "openrouter",
    "ollama",
    "bedrock_converse",
    "acme",
]
WORDS = st.sampled_from(["", " ", "yes", "no such city", "Größe ✓"])
IDS = st.sampled_from(
    ["", "call_0", "call_1", "toolu_01", "f.g:0", "x" * 70, "9chars123"]
)
IMAGE = {"type": "image", "base64": PNG, "mime_type": "image/png"}
EXTRAS = st.sampled_from(
    [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "reasoning", "reasoning": "hm", "extras": {"signature": "c2ln"}},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
        {"type": "non_standard", "value": {"type": "text", "text": "inner"}},
        {"type": "refusal", "refusal": "cannot"},
        IMAGE,
    ]
)
KWARGS = st.sampled_from(
    [
        {},
        {"reasoning_content": "hm"},
        {"refusal": None},
        {"refusal": "cannot"},
        {"reasoning": {"id": "rs_1", "summary": []}},
        {"__gemini_function_call_thought_signatures__": {"call_0": "c2ln"}},
    ]
)
RESULTS = st.one_of(
    WORDS, st.just([{"type": "text", "text": "map"}, IMAGE]), st.just([{"n": 1}])
)


@st.composite
def turns(draw):
    """An assistant's turn of anybody, and the results of its calls."""
    ids = draw(st.lists(IDS, max_size=3))
    calls = [
        {"type": "tool_call", "name": f"tool{n}", "args": {"n": n}, "id": one}
        for n, one in enumerate(ids)
    ]
    text = draw(WORDS)
    content = text
    if draw(st.booleans()):
        content = [*draw(st.lists(EXTRAS, max_size=3)), {"type": "text", "text": text}]
    maker = draw(st.sampled_from([*PROVIDERS, None]))
    message = AIMessage(
        content,
        tool_calls=calls,
        additional_kwargs=draw(KWARGS),
        response_metadata={"model_provider": maker} if maker else {},
        id=draw(st.sampled_from([None, "msg_1", "lc_run--1"])),
        name=draw(st.sampled_from([None, "The Agent"])),
    )
    status = draw(st.sampled_from(["success", "error"]))
    results = [
        ToolMessage(draw(RESULTS), tool_call_id=one, status=status) for one in ids
    ]
    return [message, *results]


ASKED = st.sampled_from(
    [
        [HumanMessage("Hi")],
        [SystemMessage("Be brief."), HumanMessage("Hi", name="Ada L.")],
        [HumanMessage([{"type": "text", "text": "See"}, IMAGE])],
        [],
    ]
)
HISTORY = st.lists(st.tuples(ASKED, turns()), min_size=1, max_size=4).map(
    lambda parts: [one for asked, turn in parts for one in (*asked, *turn)]
)


def passed(messages, provider):
    """The messages there, or `None` where the provider cannot take them."""
    try:
        return portable_messages(messages, provider)
    except UnsupportedFeatureError:
        return None


def pairs(messages):
    """Each call with its result, as a reader goes through it."""
    found, open_calls = [], []
    for message in messages:
        if isinstance(message, AIMessage):
            open_calls = list(message.tool_calls)
        elif isinstance(message, ToolMessage):
            at = [one["id"] or "" for one in open_calls].index(message.tool_call_id)
            words = "".join(message.text.split())
            found.append((open_calls.pop(at)["args"]["n"], words))
    return found


def said(messages):
    """All the words of assistants and users, without blanks."""
    return "".join(
        one.text for one in messages if not isinstance(one, ToolMessage)
    ).replace(" ", "")


@settings(max_examples=150, deadline=None)
@given(HISTORY, st.sampled_from(PROVIDERS))
def test_what_is_portable_is_left_alone(history, provider):
    """The second pass returns the list of the first."""
    once = passed(history, provider)
    if once is not None:
        assert portable_messages(once, provider) is once


@settings(max_examples=150, deadline=None)
@given(HISTORY, st.sampled_from(PROVIDERS), st.sampled_from(PROVIDERS))
def test_there_and_back_each_result_is_that_of_its_call(history, there, back):
    """Whoever gets a history from whom: calls and results keep together."""
    for provider in (there, back):
        before = pairs(history)
        history = passed(history, provider)
        if history is None:
            return
        after = pairs(history)
        assert [number for number, _ in after] == [number for number, _ in before]
        for (_, new), (_, old) in zip(after, before, strict=True):
            assert old in new or not old


@settings(max_examples=150, deadline=None)
@given(HISTORY, st.sampled_from(PROVIDERS), st.sampled_from(PROVIDERS))
def test_there_and_back_nothing_that_was_said_is_lost(history, there, back):
    """Every word of users and assistants is there, in order."""
    spoken = [
        word
        for one in history
        if not isinstance(one, (ToolMessage, SystemMessage))
        for word in one.text.split()
    ]
    for provider in (there, back):
        history = passed(history, provider)
        if history is None:
            return
    rest = said([one for one in history if not isinstance(one, SystemMessage)])
    for word in spoken:
        assert word in rest
        rest = rest[rest.index(word) + len(word) :]


@settings(max_examples=150, deadline=None)
@given(HISTORY, st.sampled_from(PROVIDERS))
def test_foreign_ids_fit_and_are_there_once(history, provider):
    """Those of the provider's own answers are its own."""
    sent = passed(history, provider)
    if sent is None:
        return
    rules = rules_of(provider)
    kept = {id(one) for one in history}
    foreign = [
        call["id"]
        for one in sent
        if isinstance(one, AIMessage)
        and not (
            id(one) in kept
            and (
                one.response_metadata.get("model_provider") in rules.own
                or isinstance(one.content, list)
                or one.additional_kwargs
            )
        )
        for call in one.tool_calls
    ]
    assert all(rules.call_id.fullmatch(one) for one in foreign)
    assert len(set(foreign)) == len(foreign)


@settings(max_examples=60, deadline=None)
@given(HISTORY, st.sampled_from(PROVIDERS))
def test_nothing_that_is_handed_over_changes(history, provider):
    """Neither the list nor a message, nor what is nested in it."""
    before = [one.model_dump_json() for one in history]
    passed(history, provider)
    assert [one.model_dump_json() for one in history] == before


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(HISTORIES)),
    st.sampled_from([one for one in PROVIDERS if one != "mistralai"]),
)
def test_literal_histories_come_home(name, there):
    """Text and pairs of a real conversation are the same after both ways."""
    given_ = HISTORIES[name]
    home = portable_messages(portable_messages(given_, there), OWNERS[name])

    def facts(messages):
        turns_ = [one for one in messages if isinstance(one, AIMessage)]
        calls = [
            (call["name"], call["args"]) for one in turns_ for call in one.tool_calls
        ]
        return [one.text for one in turns_], calls

    assert facts(home) == facts(given_)
