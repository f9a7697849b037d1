"""Composed answers: sensible for any prompt, tools called in a sensible order."""

import json

import pytest
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from pydantic import BaseModel, Field

from langchain_cerebras_ext.simulator.instructions import without_instructions

USER = "user"


def user(text):
    return {"role": "user", "content": text}


def called(*names, start=0):
    """Return an assistant turn with calls, and nothing yet said by the tools."""
    return {
        "role": "assistant",
        "tool_calls": [
            {
                "id": f"c{start + at}",
                "type": "function",
                "function": {"name": name, "arguments": "{}"},
            }
            for at, name in enumerate(names)
        ],
    }


def result(text, at=0):
    return {"role": "tool", "tool_call_id": f"c{at}", "content": text}


@pytest.fixture
def next_call(account):
    """Say which tool is called next, None for an answer in text."""

    def ask(messages, tools, **body):
        answer = account.message(messages=messages, tools=tools, **body)
        calls = answer.get("tool_calls")
        return calls[0]["function"]["name"] if calls else None

    return ask


# --------------------------------------------------------------------------------- text

SAID = {
    "Reply with the single word ok.": "ok",
    "Say 'blue whale'": "blue whale",
    'Please answer with exactly "yes, sir"': "yes, sir",
    "say hello": "hello",
    "Repeat: one two three": "one two three",
    "Respond with the words tick tock": "tick tock",
    "Count from 1 to 5": "1, 2, 3, 4, 5",
    "List the numbers 3 to 1": "3, 2, 1",
    "count to 4": "1, 2, 3, 4",
    "What is 2 + 2?": "2 + 2 = 4",
    "7 * 6 = ?": "7 * 6 = 42",
    "What's 9/2?": "9 / 2 = 4.5",
    "1 - 3": "1 - 3 = -2",
    "What is 1 / 0?": "Division by zero is not defined.",
    "Calculate 3 \u00d7 4": "3 \u00d7 4 = 12",
}  # fmt: skip


@pytest.mark.parametrize("prompt", SAID)
def test_what_is_asked_to_be_said_is_said(account, prompt):
    assert account.text(prompt) == SAID[prompt]


@pytest.mark.parametrize("prompt", ["Hello!", "hi", "", "?"])
def test_a_greeting_is_greeted(account, prompt):
    assert "How can I help you?" in account.text(prompt)


def test_other_prompts_are_taken_up_by_their_words(account):
    text = account.text("Tell me about whales")
    assert "whales" in text
    assert "simulator" in text.lower()


def test_a_huge_count_is_not_counted(account):
    assert len(account.text("Count from 1 to 1000000")) < 500


@pytest.mark.parametrize(
    ("prompt", "measure", "count"),
    [
        ("Write 120 words about whales", lambda text: len(text.split()), 120),
        ("Write a 5-sentence story", lambda text: text.count("."), 5),
        ("Give me 3 paragraphs on rain", lambda text: text.count("\n\n") + 1, 3),
        ("4 lines please", lambda text: text.count("\n") + 1, 4),
    ],
)
def test_a_length_that_is_asked_for_is_kept(account, prompt, measure, count):
    assert measure(account.text(prompt)) == count


def test_a_length_in_tokens_is_kept(account):
    answer = account.chat("Write 500 tokens of prose", model="llama3.1-8b")
    assert 500 <= answer["usage"]["completion_tokens"] < 530


def test_a_question_about_a_given_text_is_answered_from_it(account):
    prompt = (
        "Context:\nWhales sing in winter.\nBears sleep in caves.\n"
        "Question: Where do bears sleep?"
    )
    assert account.text(prompt) == "Bears sleep in caves."


def test_a_text_without_a_question_is_stood_for_by_its_beginning(account):
    prompt = "# Title\nBees make honey every summer.\nThey live in hives.\nThey sting.\nSum up."
    assert account.text(prompt) == "Bees make honey every summer. They live in hives."


def test_what_was_said_before_is_remembered(account):
    messages = [
        user("My dog is called Bello."),
        {"role": "assistant", "content": "Nice."},
        user("What is the name of my dog?"),
    ]
    assert account.text(messages=messages) == "My dog is called Bello."


def test_a_conversation_without_a_user_is_answered(account):
    assert (
        account.text(messages=[{"role": "system", "content": "Say 'ready'"}]) == "ready"
    )


def test_reasoning_tells_the_prompt(account):
    message = account.message("Why is the sky blue?", reasoning_effort="high")
    assert "Why is the sky blue?" in message["reasoning"]
    assert account.message("", reasoning_effort="low")["reasoning"].startswith("The user says: nothing")  # fmt: skip


# --------------------------------------------------------------------------------- JSON


def test_structured_output_is_filled_by_its_schema(account):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    wanted = {"name": "p", "schema": schema, "strict": True}
    text = account.text(
        "Extract: Marie Curie, 66 years old",
        response_format={"type": "json_schema", "json_schema": wanted},
    )
    assert text == '{"name":"Marie Curie","age":66}'


def test_structured_output_without_a_schema_is_an_empty_shape(account):
    wanted = {"type": "json_schema", "json_schema": {"name": "p"}}
    assert json.loads(account.text("Hi", response_format=wanted)) is not None


@pytest.mark.parametrize(
    "body",
    [{"response_format": {"type": "json_object"}}, {}],
    ids=["json mode", "asked in words"],
)
@pytest.mark.parametrize(
    ("prompt", "keys"),
    [
        ("Tell me a joke. Return the result as a JSON with 'setup' and 'punchline' keys.", ["setup", "punchline"]),
        ('Respond in JSON with the fields "a" and "b".', ["a", "b"]),
        ('Answer as JSON like {"title": "x", "tags": ["y"], "n": 1, "f": 0.5, "b": true, "e": []}', ["title", "tags", "n", "f", "b", "e"]),
        ("Return only valid JSON.", ["answer"]),
    ],
)  # fmt: skip
def test_json_has_the_keys_that_the_prompt_names(account, body, prompt, keys):
    assert list(json.loads(account.text(prompt, **body))) == keys


def test_a_schema_in_the_prompt_is_followed(account):
    prompt = (
        "The output should be formatted as a JSON instance that conforms to the JSON "
        'schema below.\n\nAs an example, for the schema {"properties": {"foo": '
        '{"type": "array"}}, "required": ["foo"]} the object {"foo": ["a"]} is fine, '
        'and {"properties": {"foo": ["a"]}} is not.\n\nHere is the output schema:\n'
        '```\n{"properties": {"city": {"type": "string"}}, "required": ["city"]}\n```\n'
        "Which city is Lisbon?"
    )
    assert json.loads(account.text(prompt)) == {"city": "Lisbon"}


class Person(BaseModel):
    """Somebody."""

    name: str = Field(description="The full name, as Ada Lovelace")
    age: int = Field(ge=0, le=120)


PARSERS = {
    "pydantic": PydanticOutputParser(pydantic_object=Person),
    "json": JsonOutputParser(pydantic_object=Person),
}
HOPPER = "Grace Hopper is 85 years old."
ARRANGED = {
    "before": "{data}\n{form}",
    "after": "{form}\n{data}",
    "between": "Extract the person.\n{form}\n\n{data}\n\nBe quick.",
}


@pytest.mark.parametrize("arranged", ARRANGED)
@pytest.mark.parametrize("parser", PARSERS)
def test_format_instructions_are_no_evidence(account, parser, arranged):
    form = PARSERS[parser].get_format_instructions()
    prompt = ARRANGED[arranged].format(data=HOPPER, form=form)
    text = account.text(prompt)
    assert json.loads(text) == {"name": "Grace Hopper", "age": 85}


def test_format_instructions_alone_give_neither_names_nor_numbers(account):
    answer = json.loads(account.text(PARSERS["pydantic"].get_format_instructions()))
    assert answer["age"] == 1
    assert not {"properties", "JSON", "Ada"} & set(answer["name"].split())


DESCRIPTIONS = {
    "a fenced example": 'Bob is 36. For example:\n```json\n{"name": "Eve", "age": 5}\n```\n',
    "an example that is no JSON": 'Bob is 36. Use this format:\n```json\n{\n  "name": string // "Eve"\n}\n```\n',
    "an example in the text": 'Bob is 36. Answer like {"name": "Eve", "age": 5}.',
    "a judged example": 'The object {"name": "Eve", "age": 5} is well-formatted. Bob is 36.',
    "a schema": 'Bob is 36. {"$defs": {"Eve": {"type": "string"}}, "type": "object", "maximum": 5}',
    "an array's schema": 'Bob is 36. Return {"type": "array", "items": {"type": "string", "title": "Eve"}}',
    "a tool's schema": 'Bob is 36.\n[{"name": "Eve", "parameters": {"properties": {"x": {"const": 5}}}}]',
}  # fmt: skip


@pytest.mark.parametrize("prompt", DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_what_describes_the_answer_is_no_evidence(prompt):
    kept = without_instructions(prompt)
    assert "Bob is 36." in kept
    assert "Eve" not in kept
    assert "5" not in kept


DATA = {
    "nothing about form": "What is  JSON?\n\nTell me.",
    "fenced data": 'Who is this?\n```json\n{"name": "Eve", "age": 5}\n```\n',
    "fenced text": "Read this by the schema:\n```\nEve, 5\n```\n",
    "data in the text": 'Send {"name": "Eve", "type": "string"} on.',
    "GeoJSON": '{"type": "Feature", "properties": {"name": "Rome"}} is where?',
    "a name and the form": "Return Ada Lovelace as JSON.",
    "only the form": "Return a JSON object.",
}


@pytest.mark.parametrize("prompt", DATA.values(), ids=DATA)
def test_data_in_a_prompt_stays(prompt):
    assert without_instructions(prompt) == prompt


def test_an_order_to_answer_in_json_is_not_the_answer(account):
    answer = json.loads(account.text("Weather in Rome?\nReturn a JSON object."))
    assert answer == {"answer": "Weather in Rome?"}


def test_json_may_be_asked_for_by_the_system(account):
    messages = [
        {
            "role": "system",
            "content": "Always respond with a JSON object with the key 'city'.",
        },
        user("Where is Lisbon?"),
    ]
    assert json.loads(account.text(messages=messages)) == {"city": "Lisbon"}


def test_talking_about_json_is_not_asking_for_it(account):
    assert not account.text("What is JSON good for?").startswith("{")


# -------------------------------------------------------------------------------- tools


def test_a_user_turn_calls_the_most_relevant_tool(next_call, tool):
    tools = [
        tool("send_mail", to="string", description="Send an e-mail."),
        tool("get_weather", city="string", description="Weather at a place."),
    ]
    assert next_call([user("How is the weather in Rome?")], tools) == "get_weather"
    assert next_call([user("Hello!")], tools) == "send_mail"


def test_words_about_the_tools_are_no_search_words(account, tool):
    tools = [tool("search_file", query="string", description="Search lines of a file.")]
    prompt = (
        "What does the file say about retry limits? Use search_file and cite lines."
    )
    assert account.arguments(prompt, tools) == [{"query": "retry limits"}]
    assert account.arguments("search the file", tools) == [{"query": "search file"}]


def test_lines_that_were_found_are_read(account, tool):
    messages = [
        user("Use search_file, then read_lines: what about cats?"),
        called("search_file"),
        result('[{"line": 30, "text": "cats a"}, {"line": 34, "text": "cats b"}]'),
    ]
    tools = [
        tool("search_file"),
        tool("read_lines", start_line="integer", end_line="integer"),
    ]
    assert account.arguments("", tools, messages=messages) == [
        {"start_line": 30, "end_line": 34}
    ]
    messages[2] = result("3: cats\n800: cats")
    assert account.arguments("", tools, messages=messages) == [
        {"start_line": 3, "end_line": 12}
    ]


def test_results_are_told_in_text(account, tool):
    messages = [
        user("How is it in Rome?"),
        called("get_weather"),
        result("22 degrees, sunny"),
    ]
    text = account.text(messages=messages, tools=[tool(city="string")])
    assert text == "get_weather returned: 22 degrees, sunny."


def test_several_results_are_listed(account, tool):
    messages = [
        user("Rome and Oslo?"),
        called("get_weather", "get_weather"),
        result("Sunny!", 0),
        result('{"sky": "grey", "temp": 4, "wind": null}', 1),
    ]
    text = account.text(messages=messages, tools=[tool(city="string")])
    assert (
        text == "- get_weather returned: Sunny!\n- get_weather returned: grey; temp: 4"
    )


def test_lists_in_results_are_told_by_their_texts(account, tool):
    messages = [user("Rome?"), called("get_weather"), result('["sunny", [21]]')]
    text = account.text(messages=messages, tools=[tool(city="string")])
    assert text == "get_weather returned: sunny."


def test_an_empty_result_is_told(account, tool):
    messages = [user("Rome?"), called("get_weather"), result("")]
    text = account.text(messages=messages, tools=[tool(city="string")])
    assert text == "get_weather returned: nothing."


@pytest.mark.parametrize(
    "prompt",
    [
        "First use find_lines, then read_lines, and tell me.",
        "Call `find_lines` and `read_lines`.",
        "Run find_lines(x) then read_lines(y)",
        "Use find lines and afterwards read lines please",
    ],
)
def test_tools_named_in_the_prompt_are_called_one_after_the_other(
    next_call, tool, prompt
):
    tools = [tool("read_lines"), tool("other_tool"), tool("find_lines")]
    turns = [user(prompt)]
    assert next_call(turns, tools) == "find_lines"
    turns += [called("find_lines"), result("a")]
    assert next_call(turns, tools) == "read_lines"
    turns += [called("read_lines", start=1), result("b", 1)]
    assert next_call(turns, tools) is None


def test_a_later_turn_starts_again(next_call, tool):
    tools = [tool("search"), tool("read")]
    turns = [
        user("Use search"),
        called("search"),
        result("a"),
        user("Now use search again"),
    ]
    assert next_call(turns, tools) == "search"


@pytest.mark.parametrize(
    ("prompt", "named"),
    [("Use the search tool", False), ("do some search for me", False), ("use search", True), ("call `search`", True), ("search(x)", True)],
)  # fmt: skip
def test_a_plain_word_is_no_tools_name(account, tool, prompt, named):
    from langchain_cerebras_ext.simulator.compose import named_tools
    from langchain_cerebras_ext.simulator.request import ChatRequest

    body = {"messages": [user(prompt)], "tools": [tool("search")]}
    request = ChatRequest(body, account.engine.profiles["gpt-oss-120b"])
    assert (named_tools(request) == ["search"]) is named


def test_a_named_choice_is_obeyed(next_call, tool):
    choice = {"type": "function", "function": {"name": "b"}}
    assert (
        next_call([user("a please")], [tool("a"), tool("b")], tool_choice=choice) == "b"
    )


def test_required_calls_what_was_not_called_yet(next_call, tool):
    tools = [tool("lookup"), tool("Answer", text="string")]
    turns = [user("lookup the thing")]
    assert next_call(turns, tools, tool_choice="required") == "lookup"
    turns += [called("lookup"), result("x")]
    assert next_call(turns, tools, tool_choice="required") == "Answer"
    turns += [called("Answer", start=1), result("y", 1)]
    assert next_call(turns, tools, tool_choice="required") == "lookup"


def test_none_answers_in_text(next_call, tool):
    assert next_call([user("Hi")], [tool("a")], tool_choice="none") is None


def test_after_an_assistants_text_nothing_is_called(next_call, tool):
    turns = [user("Hi"), {"role": "assistant", "content": "Hm"}]
    assert next_call(turns, [tool("a")]) is None


def test_a_tool_without_parameters_gets_an_empty_object(account, tool):
    bare = {"type": "function", "function": {"name": "f"}}
    assert account.arguments("Go", [bare]) == [{}]
    assert account.arguments("Go", [tool("f")]) == [{}]


def test_unicode_is_not_escaped(account, tool):
    message = account.message(
        "Create '你好啊集团'", tools=[tool("f", customer_name="string")]
    )
    assert (
        message["tool_calls"][0]["function"]["arguments"]
        == '{"customer_name":"你好啊集团"}'
    )


@pytest.mark.parametrize(
    ("prompt", "cities"),
    [
        ("What is the weather in Paris and in Rome?", ["Paris", "Rome"]),
        ("Weather for Paris, Rome and New York please", ["Paris", "Rome", "New York"]),
        ("weather in 'paris' or 'rome'", ["paris", "rome"]),
        ("What is the weather in San Francisco, CA?", ["San Francisco, CA"]),
        ("Does Ada know the weather of Rome?", ["Ada"]),
    ],
)
def test_several_values_become_parallel_calls(account, tool, prompt, cities):
    calls = account.arguments(prompt, [tool(city="string")], model="zai-glm-4.7")
    assert [call["city"] for call in calls] == cities


@pytest.mark.parametrize(
    "body",
    [{"model": "gpt-oss-120b"}, {"model": "zai-glm-4.7", "parallel_tool_calls": False}],
    ids=["gpt-oss never", "switched off"],
)
def test_parallel_calls_may_be_impossible(account, tool, body):
    calls = account.arguments(
        "Weather in Paris and in Rome?", [tool(city="string")], **body
    )
    assert len(calls) == 1


def test_a_prediction_is_the_answer_unless_told_otherwise(account):
    prediction = {"type": "content", "content": "a = 1"}
    assert account.text("Keep it", prediction=prediction) == "a = 1"
    assert account.text("Replace `a` with `b`", prediction=prediction) == "b = 1"
