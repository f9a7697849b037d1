"""Histories of each provider to each provider: nothing of meaning is lost."""

from __future__ import annotations

import copy
import json
import re

import pytest
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_cerebras_ext.errors import (
    CerebrasInvalidRequestError,
    UnsupportedFeatureError,
)
from langchain_cerebras_ext.routing.history import portable_messages
from langchain_cerebras_ext.routing.providers import (
    Provider,
    register_provider,
    unregister_provider,
)
from tests.provider_histories import (
    ANSWER,
    ANTHROPIC,
    ARGS,
    ASKED,
    CEREBRAS,
    ENCRYPTED,
    GOOGLE,
    GOOGLE_SIGNATURE,
    HISTORIES,
    LAST,
    OWNERS,
    PNG,
    SAID,
    SIGNATURE,
    THOUGHT,
)

TARGETS = [
    "cerebras",
    "openai",
    "anthropic",
    "google_genai",
    "groq",
    "openrouter",
    "ollama",
    "xai",
    "bedrock_converse",
    "local",
    "somebody-else",
]
FOREIGN = [
    (name, target) for name in HISTORIES for target in TARGETS if OWNERS[name] != target
]


def dump(messages):
    return json.dumps([message.model_dump() for message in messages])


def stamped(provider, content="", **fields):
    return AIMessage(content, response_metadata={"model_provider": provider}, **fields)


def call(call_id, name="map", args=None):
    return {"type": "tool_call", "name": name, "args": args or {}, "id": call_id}


def only(messages, kind):
    return [message for message in messages if isinstance(message, kind)]


# ------------------------------------------------------------------ each to each


@pytest.mark.parametrize(("name", "target"), FOREIGN)
def test_text_and_calls_arrive_and_nothing_that_was_signed_does(name, target):
    """Text, calls and images are there; what another provider signed is not."""
    sent = portable_messages(HISTORIES[name], target)
    turns = only(sent, AIMessage)
    assert [turn.text for turn in turns] == [SAID, ANSWER]
    assert [one["args"] for one in turns[0].tool_calls] == list(ARGS)
    assert [one["name"] for one in turns[0].tool_calls] == ["weather", "map"]
    held = dump(sent)
    for gone in (SIGNATURE, GOOGLE_SIGNATURE, ENCRYPTED, "redacted", "rs_1"):
        assert gone not in held
    assert held.count(PNG) == 2  # the user's and the tool's
    assert ASKED in held
    assert LAST in held


@pytest.mark.parametrize(("name", "target"), FOREIGN)
def test_each_call_is_answered_in_the_messages_that_follow(name, target):
    """Results stand right behind the calls that they answer, by the same ids."""
    sent = portable_messages(HISTORIES[name], target)
    at = next(
        n for n, one in enumerate(sent) if isinstance(one, AIMessage) and one.tool_calls
    )
    ids = [one["id"] for one in sent[at].tool_calls]
    results = sent[at + 1 : at + 3]
    assert [one.tool_call_id for one in results] == ids
    assert len(set(ids)) == 2


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", HISTORIES)
def test_what_is_portable_stays_as_it_is(name, target):
    """A second time there is nothing to change: the very same list comes back."""
    once = portable_messages(HISTORIES[name], target)
    assert portable_messages(once, target) is once


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", HISTORIES)
def test_what_is_handed_over_is_not_changed(name, target):
    """The caller's messages, and what is nested in them, stay as they were."""
    given = copy.deepcopy(HISTORIES[name])
    portable_messages(given, target)
    assert dump(given) == dump(HISTORIES[name])


@pytest.mark.parametrize("name", HISTORIES)
def test_own_answers_are_the_same_objects(name):
    """Signatures, encrypted reasoning and items' ids survive at home."""
    given = HISTORIES[name]
    sent = portable_messages(given, OWNERS[name])
    pairs = zip(only(given, AIMessage), only(sent, AIMessage), strict=True)
    assert all(new is old for old, new in pairs)


@pytest.mark.parametrize(
    "name", ["openai_responses", "openai_v1", "anthropic", "anthropic_v1", "google"]
)
def test_an_own_history_is_the_same_list(name):
    """Nothing is copied where nobody else has answered."""
    assert portable_messages(HISTORIES[name], OWNERS[name]) is HISTORIES[name]


@pytest.mark.parametrize("target", ["anthropic", "google", "google_genai", "groq"])
def test_plain_answers_of_others_are_the_same_list(target):
    """Text and calls that fit need no copy, though another provider made them."""
    given = [
        HumanMessage("Hi"),
        stamped("cerebras", "", tool_calls=[call("a1b2c3d4e")]),
        ToolMessage("ok", tool_call_id="a1b2c3d4e"),
        stamped("cerebras", "Done.", additional_kwargs={"reasoning_content": "Easy."}),
    ]
    assert portable_messages(given, target) is given


def test_without_a_provider_nothing_is_changed():
    """A leg whose provider nobody knows gets what the caller wrote."""
    assert portable_messages(ANTHROPIC, None) is ANTHROPIC
    assert portable_messages(tuple(ANTHROPIC), None) == ANTHROPIC


# ------------------------------------------------------------ documented requests

# https://platform.claude.com/docs/en/api/messages: `tool_use.id` and `tool_use_id`
# match ^[a-zA-Z0-9_-]+$; `thinking` needs the signature that Anthropic made.
# https://ai.google.dev/api/caching#Part: `thoughtSignature` is Google's own; an empty
# part is refused.
ANTHROPIC_ID = re.compile(r"[a-zA-Z0-9_-]+")


@pytest.mark.parametrize("name", [one for one in HISTORIES if "anthropic" not in one])
def test_anthropic_gets_text_and_ids_that_it_takes(name):
    """Assistants' turns are text and calls, images where Anthropic has them."""
    sent = portable_messages(HISTORIES[name], "anthropic")
    for turn in only(sent, AIMessage):
        assert isinstance(turn.content, str)
        assert turn.content.strip() or turn.tool_calls
        assert all(ANTHROPIC_ID.fullmatch(one["id"]) for one in turn.tool_calls)
    failed, shown = only(sent, ToolMessage)
    assert failed.status == "error"  # sent as `is_error`
    assert failed.content == "no such station"
    assert [block["type"] for block in shown.content] == ["text", "image"]
    asked = only(sent, HumanMessage)[0].content
    # What `ChatAnthropic` turns into {"type": "image", "source": ...}.
    assert asked[1]["type"] in {"image", "image_url"}


@pytest.mark.parametrize("name", [one for one in HISTORIES if "google" not in one])
def test_google_gets_text_and_media_that_it_takes(name):
    """No thought of others; each result is found by the id of its call."""
    sent = portable_messages(HISTORIES[name], "google_genai")
    for turn in only(sent, AIMessage):
        assert isinstance(turn.content, str)
        assert turn.content.strip() or turn.tool_calls
    for message in only(sent, (HumanMessage, ToolMessage)):
        for block in message.content if isinstance(message.content, list) else ():
            assert block["type"] in {"text", "image", "image_url"}
            assert "source" not in block
    failed = only(sent, ToolMessage)[0]
    assert failed.content == "Error: no such station"


@pytest.mark.parametrize("target", ["cerebras", "openai", "groq", "openrouter", "xai"])
def test_images_of_tools_go_to_the_user_where_tools_answer_in_text(target):
    """They follow all results of the turn, and say whose they are."""
    sent = portable_messages(ANTHROPIC, target)
    at = next(n for n, one in enumerate(sent) if isinstance(one, ToolMessage))
    shown = sent[at + 1]
    assert shown.content == "map of Rome\n(image in the next message)"
    follows = sent[at + 2]
    assert isinstance(follows, HumanMessage)
    assert follows.content == [
        {"type": "text", "text": f"Result of tool call {shown.tool_call_id}:"},
        {"type": "image", "base64": PNG, "mime_type": "image/png"},
    ]


def test_they_join_the_users_message_that_comes_anyway():
    """Two messages of the user in a row are refused by some chat templates."""
    given = [
        HumanMessage("Map?"),
        stamped("anthropic", "", tool_calls=[call("toolu_1")]),
        ANTHROPIC[4].model_copy(update={"tool_call_id": "toolu_1"}),
        HumanMessage("Now?"),
    ]
    last = portable_messages(given, "cerebras")[-1]
    assert [block["type"] for block in last.content] == ["text", "image", "text"]
    assert last.content[-1]["text"] == "Now?"


def test_openai_has_images_of_its_own_calls_where_its_api_has_them():
    """The Responses API takes them in results, chat completions take text alone."""
    given = HISTORIES["openai_responses"]
    assert portable_messages(given, "openai")[4] is given[4]
    sent = portable_messages(HISTORIES["openai"], "openai")
    assert isinstance(sent[4].content, str)
    assert isinstance(sent[5], HumanMessage)


def test_mistral_has_no_place_for_an_image_of_a_tool():
    """The user may not speak after a tool there; it is said before anything is sent."""
    with pytest.raises(UnsupportedFeatureError, match=r"messages\[4\]\.content\[1\]"):
        portable_messages(CEREBRAS, "mistralai")


# ------------------------------------------------------------------------ reasoning


@pytest.mark.parametrize(
    "name", [one for one in HISTORIES if OWNERS[one] != "cerebras"]
)
def test_cerebras_takes_reasoning_of_others_except_what_none_can_read(name):
    """As a standard block, without its signature."""
    turn = only(portable_messages(HISTORIES[name], "cerebras"), AIMessage)[0]
    text = {"type": "text", "text": SAID}
    if name == "openai":  # chat completions hide it
        assert turn.content == SAID
    else:
        assert turn.content == [{"type": "reasoning", "reasoning": THOUGHT}, text]


@pytest.mark.parametrize("target", [one for one in TARGETS if one != "cerebras"])
def test_others_get_no_foreign_reasoning(target):
    """Neither as a thought of theirs nor as text."""
    turn = only(portable_messages(GOOGLE[:-1], target), AIMessage)[0]
    if target == "google_genai":
        assert turn is GOOGLE[2]
    else:
        assert THOUGHT not in dump([turn])


@pytest.mark.parametrize("target", ["openrouter", "ollama"])
def test_reasoning_beside_the_content_is_dropped_where_it_would_be_sent(target):
    """Their packages send `reasoning_content` as the model's own."""
    turn = portable_messages([CEREBRAS[2]], target)[0]
    assert turn.additional_kwargs == {}
    assert turn.content == SAID


# ------------------------------------------------------------------------------- ids

LONG = "call_" + "x" * 60
IDS = {
    "too long for OpenAI": ("openai", LONG, r"call_[0-9a-f]{24}"),
    "letters that Anthropic refuses": (
        "anthropic",
        "functions.map:0",
        r"call_[0-9a-f]{24}",
    ),
    "Mistral's nine": ("mistralai", "call_abc", r"[0-9a-f]{9}"),
    "none at all": ("cerebras", "", r"call_[0-9a-f]{24}"),
}


@pytest.mark.parametrize(("target", "old", "pattern"), IDS.values(), ids=IDS)
def test_ids_that_do_not_fit_are_rewritten_on_both_sides(target, old, pattern):
    """The call and its result keep together, always by the same new id."""
    given = [
        stamped("somebody", "", tool_calls=[call(old)]),
        ToolMessage("ok", tool_call_id=old),
    ]
    sent = portable_messages(given, target)
    new = sent[0].tool_calls[0]["id"]
    assert re.fullmatch(pattern, new)
    assert sent[1].tool_call_id == new
    assert portable_messages(given, target)[1].tool_call_id == new


def test_ids_that_are_numbered_anew_in_each_turn_are_kept_apart():
    """Google would take the first result for that of the second call."""
    turn = [
        stamped("ollama", "", tool_calls=[call("call_0"), call("call_1")]),
        ToolMessage("first", tool_call_id="call_0"),
        ToolMessage("second", tool_call_id="call_1"),
    ]
    again = [
        stamped("ollama", "", tool_calls=[call("call_0")]),
        ToolMessage("third", tool_call_id="call_0"),
    ]
    sent = portable_messages([*turn, *again], "google_genai")
    assert sent[:3] == turn
    assert sent[3].tool_calls[0]["id"] == sent[4].tool_call_id
    assert sent[4].tool_call_id not in {"call_0", "call_1"}
    assert sent[4].content == "third"


def test_equal_ids_in_one_turn_are_answered_in_order():
    """The first result is that of the first call."""
    given = [
        stamped("ollama", "", tool_calls=[call("x", "a"), call("x", "b")]),
        ToolMessage("of a", tool_call_id="x"),
        ToolMessage("of b", tool_call_id="x"),
    ]
    sent = portable_messages(given, "openai")
    ids = [one["id"] for one in sent[0].tool_calls]
    assert ids[0] == "x" != ids[1]
    assert [one.tool_call_id for one in sent[1:]] == ids


def test_own_ids_are_never_given_away():
    """A signature hangs on the id; the other provider's call takes another one."""
    given = [
        stamped("cerebras", "", tool_calls=[call("same")]),
        ToolMessage("theirs", tool_call_id="same"),
        stamped("google_genai", "", tool_calls=[call("same")]),
        ToolMessage("own", tool_call_id="same"),
    ]
    sent = portable_messages(given, "google")
    assert sent[2] is given[2]
    assert sent[3] is given[3]
    assert sent[0].tool_calls[0]["id"] == sent[1].tool_call_id != "same"


# --------------------------------------------------------------- parts of an answer


def test_a_call_that_could_not_be_read_is_kept_if_it_was_answered():
    """What the model wrote is there, in an object that every provider takes."""
    bad = {"type": "invalid_tool_call", "name": "map", "args": '{"a', "id": "c1"}
    given = [
        stamped("cerebras", "Let me.", invalid_tool_calls=[{**bad, "error": "cut"}]),
        ToolMessage("bad arguments", tool_call_id="c1", status="error"),
    ]
    sent = portable_messages(given, "anthropic")
    assert sent[0].tool_calls == [call("c1", args={"invalid_json": '{"a'})]
    assert sent[0].invalid_tool_calls == []
    alone = portable_messages(given[:1], "openai")
    assert alone[0].tool_calls == alone[0].invalid_tool_calls == []
    assert alone[0].content == "Let me."


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (stamped("cerebras", additional_kwargs={"refusal": "I can't."}), "I can't."),
        (stamped("openai", [{"type": "refusal", "refusal": "No."}]), "No."),
        (
            stamped("openai", additional_kwargs={"audio": {"transcript": "Hello."}}),
            "Hello.",
        ),
        (stamped("openai", ["One, ", {"type": "text", "text": "two."}]), "One, two."),
        (stamped("openai", [{"type": "output_text", "text": "Out."}]), "Out."),
    ],
    ids=["refusal beside", "refusal block", "spoken", "mixed", "output_text"],
)
def test_whatever_was_said_is_text(message, text):
    """Refusals and spoken words are what the assistant said."""
    assert portable_messages([message], "anthropic")[0].content == text


@pytest.mark.parametrize("target", ["anthropic", "google", "mistral"])
def test_an_answer_with_nothing_to_tell_is_left_out_where_it_is_refused(target):
    """Reasoning alone, encrypted; empty turns are an error there."""
    nothing = stamped("openai", [{"type": "reasoning", "encrypted_content": ENCRYPTED}])
    given = [HumanMessage("Hi"), nothing, HumanMessage("Well?")]
    assert [one.text for one in portable_messages(given, target)] == ["Hi", "Well?"]
    assert [one.text for one in portable_messages(given, "groq")] == ["Hi", "", "Well?"]


def test_blanks_beside_a_call_are_no_text():
    """Anthropic refuses text of blanks alone."""
    given = [
        stamped("cerebras", "\n\n", tool_calls=[call("c1")]),
        ToolMessage("ok", tool_call_id="c1"),
    ]
    assert portable_messages(given, "anthropic")[0].content == ""


def test_calls_that_stand_in_the_content_alone_are_calls():
    """Messages that were stored without `tool_calls`."""
    block = {"type": "tool_use", "id": "toolu_1", "name": "map", "input": {"a": 1}}
    given = [AIMessage([block]), ToolMessage("ok", tool_call_id="toolu_1")]
    sent = portable_messages(given, "cerebras")
    assert sent[0].tool_calls == [call("toolu_1", args={"a": 1})]
    assert portable_messages(given, "anthropic") is given


def test_mistral_gets_the_text_beside_calls_in_a_turn_of_its_own():
    """Its package sends either of them, and so drops the text."""
    given = [
        stamped("openai", "Let me.", tool_calls=[call("123456789")]),
        ToolMessage("ok", tool_call_id="123456789"),
    ]
    said, called, result = portable_messages(given, "mistral")
    assert (said.content, said.tool_calls) == ("Let me.", [])
    assert (called.content, called.tool_calls) == ("", [call("123456789")])
    assert result is given[1]


@pytest.mark.parametrize("target", ["openai", "anthropic", "cerebras"])
def test_an_image_that_an_assistant_made_is_shown_by_the_user(target):
    """Few providers take images from the assistant."""
    given = [
        HumanMessage("Paint."),
        stamped(
            "google_genai",
            [
                "Here.",
                {
                    "type": "image_url",
                    "image_url": {"url": f"data:image/png;base64,{PNG}"},
                },
            ],
        ),
        HumanMessage("Bluer."),
    ]
    sent = portable_messages(given, target)
    assert sent[1].content == "Here."
    assert sent[2].content == [
        {"type": "text", "text": "From the assistant's answer above:"},
        {"type": "image", "base64": PNG, "mime_type": "image/png"},
        {"type": "text", "text": "Bluer."},
    ]


def test_ids_that_look_like_openais_items_are_not_sent_to_it():
    """Anthropic's messages are called `msg_...` as well."""
    sent = portable_messages(ANTHROPIC, "openai")
    assert [turn.id for turn in only(sent, AIMessage)] == [None, None]


# ----------------------------------------------------------------- the other messages

SOURCE = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
PDF = {"type": "file", "base64": "JVBERg==", "mime_type": "application/pdf"}
BLOCKS = {
    "Responses text": (
        "anthropic",
        {"type": "input_text", "text": "Hi"},
        {"type": "text", "text": "Hi"},
    ),
    "Responses image": (
        "google",
        {"type": "input_image", "image_url": "https://example.org/a.png"},
        {"type": "image", "url": "https://example.org/a.png"},
    ),
    "flat address": (
        "anthropic",
        {"type": "image_url", "image_url": "https://example.org/a.png"},
        {"type": "image", "url": "https://example.org/a.png"},
    ),
    "spoken": (
        "google",
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        {"type": "audio", "base64": "UklG", "mime_type": "audio/wav"},
    ),
    "Anthropic's document": (
        "openai",
        {"type": "document", "source": SOURCE, "title": "a.pdf"},
        {**PDF, "extras": {"filename": "a.pdf"}},
    ),
    "OpenAI's file": (
        "anthropic",
        {
            "type": "file",
            "file": {
                "filename": "a.pdf",
                "file_data": "data:application/pdf;base64,JVBERg==",
            },
        },
        {**PDF, "extras": {"filename": "a.pdf"}},
    ),
    "Google's file": (
        "openai",
        {"type": "media", "mime_type": "application/pdf", "data": "JVBERg=="},
        PDF,
    ),
    "a document in words": (
        "cerebras",
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "Words."},
        },
        {"type": "text", "text": "Words."},
    ),
    "a flat address with its detail": (
        "openai",
        {"type": "image_url", "image_url": "https://example.org/a.png"}
        | {"detail": "low"},
        {
            "type": "image_url",
            "image_url": {"url": "https://example.org/a.png", "detail": "low"},
        },
    ),
    "a painting of OpenAI's": (
        "google",
        {"type": "image_generation_call", "result": PNG, "output_format": "webp"},
        {"type": "image", "base64": PNG, "mime_type": "image/webp"},
    ),
    "a document in parts": (
        "groq",
        {
            "type": "document",
            "source": {
                "type": "content",
                "content": [{"type": "text", "text": "One."}, {"text": "Two."}],
            },
        },
        {"type": "text", "text": "One.\nTwo."},
    ),
    "a document in one part": (
        "groq",
        {"type": "document", "source": {"type": "content", "content": "One."}},
        {"type": "text", "text": "One."},
    ),
    "LangChain's document in words": (
        "openai",
        {"type": "text-plain", "text": "Words.", "mime_type": "text/plain"},
        {"type": "text", "text": "Words."},
    ),
    "its older form": (
        "google",
        {"type": "file", "source_type": "text", "text": "Words."},
        {"type": "text", "text": "Words."},
    ),
    "a file that Google holds, in LangChain's form": (
        "google",
        {"type": "input_file", "file_id": "files/abc"},
        {"type": "file", "file_id": "files/abc"},
    ),
    "a mark for a cache": (
        "groq",
        {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Hi"},
    ),
}


@pytest.mark.parametrize(("target", "block", "expected"), BLOCKS.values(), ids=BLOCKS)
def test_blocks_become_what_the_provider_reads(target, block, expected):
    """LangChain's standard block where the shape is another provider's."""
    given = [HumanMessage([block])]
    sent = portable_messages(given, target)
    assert sent[0].content == [expected]
    assert portable_messages(sent, target) is sent


REFUSED = {
    "audio": (
        "anthropic",
        {"type": "audio", "base64": "UklG", "mime_type": "audio/wav"},
        "kind 'audio'",
    ),
    "an image": (
        "deepseek",
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        "text alone",
    ),
    "an address": (
        "ollama",
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        "bytes alone",
    ),
    "OpenAI's id": (
        "anthropic",
        {"type": "file", "file": {"file_id": "file-abc"}},
        "'file-abc'",
    ),
    "Anthropic's id": (
        "openai",
        {"type": "image", "source": {"type": "file", "file_id": "file_011"}},
        "'file_011'",
    ),
    "Google's address": (
        "openai",
        {"type": "media", "mime_type": "image/png", "file_uri": "gs://bucket/a.png"},
        "'gs://bucket/a.png'",
    ),
}


@pytest.mark.parametrize(("target", "block", "words"), REFUSED.values(), ids=REFUSED)
def test_what_a_provider_cannot_take_is_said_with_its_place(target, block, words):
    """The router then asks the next leg; nothing is dropped in silence."""
    given = [HumanMessage([{"type": "text", "text": "See:"}, block])]
    with pytest.raises(CerebrasInvalidRequestError) as caught:
        portable_messages(given, target)
    assert words in str(caught.value)
    assert "messages[0].content[1]" in str(caught.value)


def test_documents_in_words_stay_with_anthropic():
    """It can cite them."""
    block = {"type": "document", "source": {"type": "text", "data": "Words."}}
    given = [HumanMessage([block])]
    assert portable_messages(given, "anthropic") is given


@pytest.mark.parametrize("target", ["google_genai", "mistralai", "anthropic"])
def test_late_system_messages_go_first_where_they_are_not_heard_later(target):
    """Google's package drops them, Anthropic's raises, Mistral refuses them."""
    rule = SystemMessage("Answer in French.")
    first = SystemMessage("Be brief.")
    given = [first, HumanMessage("Hi"), stamped("cerebras", "Hello."), rule]
    assert portable_messages(given, target) == [first, rule, *given[1:3]]
    assert portable_messages(given, "openai") is given


def test_anthropic_hears_the_system_late_where_it_has_answered():
    """Some of its models take it in its place; the conversation was written for it."""
    given = [
        HumanMessage("Hi"),
        stamped("anthropic", "Hello."),
        HumanMessage("And?"),
        SystemMessage("Answer in French."),
    ]
    assert portable_messages(given, "anthropic") is given


@pytest.mark.parametrize(
    ("role", "made"),
    [("user", HumanMessage), ("assistant", AIMessage), ("developer", SystemMessage)],
)
def test_roles_in_words_become_messages_where_packages_know_no_others(role, made):
    """`ChatMessage` is known to those alone whose API has roles in words."""
    given = [ChatMessage(role=role, content="Hi")]
    sent = portable_messages(given, "anthropic")
    assert sent == [made("Hi")]
    assert portable_messages(given, "openai") is given


def test_names_that_are_refused_are_rewritten_where_they_are_sent():
    """Agents have names with blanks; OpenAI's pattern has none."""
    given = [HumanMessage("Hi", name="Ada L."), AIMessage("Yes", name="The Agent")]
    sent = portable_messages(given, "openai")
    assert [one.name for one in sent] == ["Ada_L.", "The_Agent"]
    assert portable_messages(given, "anthropic") is given


def test_a_failed_tool_is_told_where_only_its_words_are_sent():
    """Once, and only where the words do not say it."""

    def results(words, target):
        given = [
            stamped("anthropic", "", tool_calls=[call("c1")]),
            ToolMessage(words, tool_call_id="c1", status="error"),
        ]
        return portable_messages(given, target)[1].content

    assert results("no such city", "openai") == "Error: no such city"
    assert results("lookup failed", "openai") == "lookup failed"
    assert results("no such city", "anthropic") == "no such city"
    listed = results([{"type": "text", "text": "no such city"}], "openai")
    assert [block["text"] for block in listed] == ["Error:", "no such city"]


def test_a_tools_own_blocks_are_json_where_they_are_not_taken():
    """A result may be any object; the model reads it."""
    given = [
        stamped("anthropic", "", tool_calls=[call("c1")]),
        ToolMessage([{"type": "row", "n": 1}, "and more"], tool_call_id="c1"),
    ]
    sent = portable_messages(given, "openai")
    assert sent[1].content == '{"type": "row", "n": 1}\nand more'


@pytest.mark.parametrize(
    ("message", "owner"),
    [
        (AIMessage([{"type": "redacted_thinking", "data": "x"}]), "anthropic"),
        (AIMessage([{"type": "reasoning", "summary": []}]), "openai"),
        (AIMessage([{"type": "output_text", "text": "Hi"}]), "openai"),
        (
            AIMessage(
                ["Hi"],
                additional_kwargs={
                    "__gemini_function_call_thought_signatures__": {"a": "b"}
                },
            ),
            "google",
        ),
    ],
    ids=["anthropic", "openai", "openai text", "google"],
)
def test_answers_without_a_mark_are_known_by_what_only_one_provider_has(message, owner):
    """Stored before LangChain marked them."""
    given = [message]
    assert portable_messages(given, owner) is given
    assert portable_messages(given, "groq") is not given


def test_a_registered_provider_gets_what_its_package_takes():
    """By the name that LangChain has for the package; its own answers are its own."""
    register_provider(
        Provider(name="claude-at-work", label="Work", langchain_name="anthropic")
    )
    try:
        given = [ANTHROPIC[2], *ANTHROPIC[3:5]]
        assert portable_messages(given, "claude-at-work") is given
        sent = portable_messages(GOOGLE, "claude-at-work")
        assert only(sent, AIMessage)[0].content == SAID
    finally:
        unregister_provider("claude-at-work")


@pytest.mark.parametrize(
    ("target", "block"),
    [
        ("openai", {"type": "file", "file": {"file_id": "file-abc"}}),
        ("anthropic", {"type": "image", "source_type": "id", "id": "file_01"}),
        ("google", {"type": "media", "file_uri": "gs://b/a.mp4", "mime_type": "v/x"}),
        ("openai", {"type": "image_url", "image_url": {"detail": "low"}}),
        ("google", {"type": "somebodys_own"}),
        ("acme", {"type": "media", "data": "UklG", "mime_type": "audio/wav"}),
    ],
    ids=["openai", "anthropic", "google", "empty", "unknown", "unknown provider"],
)
def test_blocks_that_are_read_or_that_nobody_knows_stay(target, block):
    """The package has the last word on them."""
    given = [HumanMessage(["See:", block])]
    assert portable_messages(given, target) is given


@pytest.mark.parametrize(
    ("block", "thought"),
    [
        ({"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, "hm"),
        ({"type": "reasoning_content", "reasoning_content": {"text": "hm"}}, "hm"),
        ({"type": "reasoning", "content": [{"text": "a"}, {"text": "b"}]}, "a\nb"),
        (
            {"type": "non_standard", "value": {"type": "thinking", "thinking": "hm"}},
            "hm",
        ),
    ],
    ids=["Mistral", "Bedrock", "OpenAI's open models", "wrapped"],
)
def test_reasoning_is_read_in_every_shape(block, thought):
    """As text; what hides it is dropped."""
    sent = portable_messages([stamped("somebody", [block, "So."])], "cerebras")
    assert sent[0].content == [
        {"type": "reasoning", "reasoning": thought},
        {"type": "text", "text": "So."},
    ]


def test_reasoning_beside_the_content_of_the_responses_api_is_read():
    """In its first form it stood in `additional_kwargs`."""
    summary = [{"type": "summary_text", "text": "hm"}]
    kwargs = {"reasoning": {"id": "rs_1", "summary": summary}}
    sent = portable_messages(
        [stamped("openai", "So.", additional_kwargs=kwargs)], "cerebras"
    )
    assert sent[0].content[0] == {"type": "reasoning", "reasoning": "hm"}


def test_spoken_blocks_and_documents_of_an_assistant_are_text():
    """What was said counts, not the sound."""
    audio = {"type": "audio", "base64": "UklG", "transcript": "Hello."}
    words = {"type": "text-plain", "text": " And goodbye."}
    broken = {"type": "image", "mime_type": "image/png"}
    search = {"type": "server_tool_use", "id": "s1", "name": "search", "input": {}}
    given = [stamped("somebody", [audio, words, broken, search])]
    assert portable_messages(given, "groq") == [AIMessage("Hello. And goodbye.")]


def test_calls_without_a_name_are_none():
    """Neither the model nor a tool could make sense of them."""
    given = [stamped("somebody", [{"type": "tool_use", "id": "t1"}, "Hi"])]
    assert portable_messages(given, "groq") == [AIMessage("Hi")]


def test_an_image_beside_calls_is_refused_by_mistral():
    """It could come after the results alone, where the user may not speak."""
    image = {"type": "image", "base64": PNG, "mime_type": "image/png"}
    given = [stamped("google_genai", [image], tool_calls=[call("123456789")])]
    with pytest.raises(UnsupportedFeatureError, match="beside tool calls"):
        portable_messages(given, "mistral")
