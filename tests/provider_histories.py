"""Conversations as the packages of four providers leave them, written out.

Each has a system message, an image from the user, reasoning, two calls side by side,
a result with an image, a failed tool, an answer, and a question at the end. The shapes
are those of langchain-openai 1.7, langchain-anthropic 1.7 and langchain-google-genai
4.4 in both versions of their content, and of `ChatCerebras`.
"""

from __future__ import annotations

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQ"
    "AAAABJRU5ErkJggg=="
)
PNG_URI = f"data:image/png;base64,{PNG}"
SIGNATURE = "EqQBCkgIBxABGAIiQL8signed"
GOOGLE_SIGNATURE = "c2lnbmVkIGJ5IEdvb2dsZQ=="
ENCRYPTED = "gAAAAABoencrypted"

ASKED = "Which city is this, and is it warm there?"
THOUGHT = "The picture shows Rome; look up its weather."
SAID = "Let me look."
ANSWER = "It is Rome, and 21 degrees."
LAST = "And tomorrow?"
ARGS = ({"city": "Rome"}, {"city": "Rome", "zoom": 3})


def _results(first: str, second: str) -> list[BaseMessage]:
    """A failed tool, and one that returns words and an image."""
    return [
        ToolMessage("no such station", tool_call_id=first, name="weather").model_copy(
            update={"status": "error"}
        ),
        ToolMessage(
            [
                {"type": "text", "text": "map of Rome"},
                {"type": "image", "base64": PNG, "mime_type": "image/png"},
            ],
            tool_call_id=second,
            name="map",
        ),
    ]


def _calls(first: str, second: str) -> list[dict[str, object]]:
    return [
        {"type": "tool_call", "name": "weather", "args": ARGS[0], "id": first},
        {"type": "tool_call", "name": "map", "args": ARGS[1], "id": second},
    ]


CEREBRAS: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage(
        [
            {"type": "text", "text": ASKED},
            {"type": "image_url", "image_url": {"url": PNG_URI, "detail": "low"}},
        ]
    ),
    AIMessage(
        SAID,
        additional_kwargs={"reasoning_content": THOUGHT},
        tool_calls=_calls("a1b2c3d4e", "b1b2c3d4e"),
        response_metadata={"model_provider": "cerebras", "time_info": {"x": 0.1}},
        id="chatcmpl-1",
    ),
    *_results("a1b2c3d4e", "b1b2c3d4e"),
    AIMessage(ANSWER, response_metadata={"model_provider": "cerebras"}),
    HumanMessage(LAST),
]

OPENAI: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage(
        [
            {"type": "text", "text": ASKED},
            {"type": "image_url", "image_url": {"url": PNG_URI}},
        ]
    ),
    AIMessage(
        SAID,
        additional_kwargs={"refusal": None},
        tool_calls=_calls("call_" + "A" * 24, "call_" + "B" * 24),
        response_metadata={"model_provider": "openai", "model_name": "gpt-6"},
        id="chatcmpl-2",
    ),
    *_results("call_" + "A" * 24, "call_" + "B" * 24),
    AIMessage(
        ANSWER,
        additional_kwargs={"refusal": None},
        response_metadata={"model_provider": "openai"},
    ),
    HumanMessage(LAST),
]

OPENAI_RESPONSES: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage(
        [
            {"type": "input_text", "text": ASKED},
            {"type": "input_image", "image_url": PNG_URI},
        ]
    ),
    AIMessage(
        [
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": THOUGHT}],
                "encrypted_content": ENCRYPTED,
            },
            {"type": "text", "text": SAID, "annotations": [], "id": "msg_1"},
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "call_A",
                "name": "weather",
                "arguments": '{"city":"Rome"}',
            },
            {
                "type": "function_call",
                "id": "fc_2",
                "call_id": "call_B",
                "name": "map",
                "arguments": '{"city":"Rome","zoom":3}',
            },
        ],
        tool_calls=_calls("call_A", "call_B"),
        response_metadata={"model_provider": "openai", "id": "resp_1"},
        id="resp_1",
    ),
    *_results("call_A", "call_B"),
    AIMessage(
        [
            {
                "type": "text",
                "text": ANSWER,
                "annotations": [
                    {"type": "url_citation", "url": "https://example.org", "title": "W"}
                ],
                "id": "msg_2",
            }
        ],
        response_metadata={"model_provider": "openai", "id": "resp_2"},
        id="resp_2",
    ),
    HumanMessage(LAST),
]

OPENAI_V1: list[BaseMessage] = [
    *OPENAI_RESPONSES[:2],
    AIMessage(
        [
            {
                "type": "reasoning",
                "id": "rs_1",
                "reasoning": THOUGHT,
                "extras": {"encrypted_content": ENCRYPTED},
            },
            {"type": "text", "text": SAID, "id": "msg_1"},
            *_calls("call_A", "call_B"),
        ],
        tool_calls=_calls("call_A", "call_B"),
        response_metadata={
            "model_provider": "openai",
            "output_version": "v1",
            "id": "resp_1",
        },
        id="resp_1",
    ),
    *_results("call_A", "call_B"),
    AIMessage(
        [{"type": "text", "text": ANSWER, "id": "msg_2"}],
        response_metadata={"model_provider": "openai", "output_version": "v1"},
    ),
    HumanMessage(LAST),
]

ANTHROPIC: list[BaseMessage] = [
    SystemMessage(
        [
            {
                "type": "text",
                "text": "Be brief.",
                "cache_control": {"type": "ephemeral"},
            }
        ]
    ),
    HumanMessage(
        [
            {"type": "text", "text": ASKED, "cache_control": {"type": "ephemeral"}},
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": PNG},
            },
        ]
    ),
    AIMessage(
        [
            {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE},
            {"type": "redacted_thinking", "data": "EmwKAhgBredacted"},
            {"type": "text", "text": SAID},
            {
                "type": "tool_use",
                "id": "toolu_01A",
                "name": "weather",
                "input": ARGS[0],
            },
            {"type": "tool_use", "id": "toolu_01B", "name": "map", "input": ARGS[1]},
        ],
        tool_calls=_calls("toolu_01A", "toolu_01B"),
        response_metadata={"model_provider": "anthropic"},
        id="msg_01abc",
    ),
    *_results("toolu_01A", "toolu_01B"),
    AIMessage(
        [
            {
                "type": "text",
                "text": ANSWER,
                "citations": [{"type": "char_location", "cited_text": "Rome"}],
            }
        ],
        response_metadata={"model_provider": "anthropic"},
        id="msg_01def",
    ),
    HumanMessage(LAST),
]

ANTHROPIC_V1: list[BaseMessage] = [
    *ANTHROPIC[:2],
    AIMessage(
        [
            {
                "type": "reasoning",
                "reasoning": THOUGHT,
                "extras": {"signature": SIGNATURE},
            },
            {
                "type": "non_standard",
                "value": {"type": "redacted_thinking", "data": "EmwKAhgBredacted"},
            },
            {"type": "text", "text": SAID},
            *_calls("toolu_01A", "toolu_01B"),
        ],
        tool_calls=_calls("toolu_01A", "toolu_01B"),
        response_metadata={"model_provider": "anthropic", "output_version": "v1"},
        id="msg_01abc",
    ),
    *_results("toolu_01A", "toolu_01B"),
    AIMessage(
        [{"type": "text", "text": ANSWER}],
        response_metadata={"model_provider": "anthropic", "output_version": "v1"},
        id="msg_01def",
    ),
    HumanMessage(LAST),
]

GOOGLE: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage(
        [
            {"type": "text", "text": ASKED},
            {"type": "media", "mime_type": "image/png", "data": PNG},
        ]
    ),
    AIMessage(
        [
            {"type": "thinking", "thinking": THOUGHT, "signature": GOOGLE_SIGNATURE},
            {
                "type": "text",
                "text": SAID,
                "extras": {"signature": GOOGLE_SIGNATURE},
            },
        ],
        additional_kwargs={
            "function_call": {"name": "map", "arguments": '{"city":"Rome","zoom":3}'},
            "__gemini_function_call_thought_signatures__": {
                "6f1c1f8e-0000-4000-8000-000000000001": GOOGLE_SIGNATURE
            },
        },
        tool_calls=_calls(
            "6f1c1f8e-0000-4000-8000-000000000001",
            "6f1c1f8e-0000-4000-8000-000000000002",
        ),
        response_metadata={"model_provider": "google_genai", "safety_ratings": []},
        id="lc_run--1",
    ),
    *_results(
        "6f1c1f8e-0000-4000-8000-000000000001", "6f1c1f8e-0000-4000-8000-000000000002"
    ),
    AIMessage(ANSWER, response_metadata={"model_provider": "google_genai"}),
    HumanMessage(LAST),
]

GOOGLE_V1: list[BaseMessage] = [
    *GOOGLE[:2],
    AIMessage(
        [
            {
                "type": "reasoning",
                "reasoning": THOUGHT,
                "extras": {"signature": GOOGLE_SIGNATURE},
            },
            {"type": "text", "text": SAID},
            *_calls("6f1c-1", "6f1c-2"),
        ],
        additional_kwargs={
            "__gemini_function_call_thought_signatures__": {"6f1c-1": GOOGLE_SIGNATURE}
        },
        tool_calls=_calls("6f1c-1", "6f1c-2"),
        response_metadata={"model_provider": "google_genai", "output_version": "v1"},
        id="lc_run--1",
    ),
    *_results("6f1c-1", "6f1c-2"),
    AIMessage(
        [{"type": "text", "text": ANSWER}],
        response_metadata={"model_provider": "google_genai", "output_version": "v1"},
    ),
    HumanMessage(LAST),
]

HISTORIES: dict[str, list[BaseMessage]] = {
    "cerebras": CEREBRAS,
    "openai": OPENAI,
    "openai_responses": OPENAI_RESPONSES,
    "openai_v1": OPENAI_V1,
    "anthropic": ANTHROPIC,
    "anthropic_v1": ANTHROPIC_V1,
    "google": GOOGLE,
    "google_v1": GOOGLE_V1,
}
OWNERS = {
    name: {"google": "google_genai"}.get(owner := name.partition("_")[0], owner)
    for name in HISTORIES
}
