"""`cerebras-ext demo`: a stream, an agent on a file, and an answer that cites it.

Everything shown is measured or checked here: figures come from the calls, and each
citation is looked up in the file before it is printed.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    ToolMessage,
)
from langchain_core.messages.ai import add_usage
from langchain_core.tools import tool
from pydantic import BaseModel, Field
from rich.console import Console

from langchain_cerebras_ext._live import (
    Figures,
    LiveStream,
    Piece,
    SpeedMeter,
    figures_of,
)
from langchain_cerebras_ext.catalog import find_model
from langchain_cerebras_ext.cli.chat import error_as_json
from langchain_cerebras_ext.cli.document import (
    MAX_HITS,
    MAX_LINES,
    Document,
    as_records,
    load_document,
)
from langchain_cerebras_ext.cli.endpoint import (
    Endpoint,
    is_reachable,
    open_endpoint,
)
from langchain_cerebras_ext.cli.failures import CommandError, exit_code
from langchain_cerebras_ext.cli.screen import (
    STYLES,
    Typewriter,
    heading,
    output_console,
    say,
    table,
)
from langchain_cerebras_ext.errors import CerebrasError, StructuredOutputError

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_core.messages.ai import UsageMetadata
    from langchain_core.tools import BaseTool

    from langchain_cerebras_ext.chat_models import ChatCerebras

_SUMMARY_CHARS: Final = 6_000
_FIRST_LINES: Final = 20
_MOST_STEPS: Final = 30
_RESULT_LINES: Final = 2
_RESULT_CHARS: Final = 100

OWN_QUESTION: Final = (
    "What do the time to first token and the tokens per second tell about a stream?"
)
"""What is asked of the document that comes with the package."""

_RULES = (
    "You answer questions about a text file, and only from what your tools return. "
    "Cite two lines or more, each by its number and with text copied from it letter by "
    "letter."
)

ShowPiece: TypeAlias = Callable[[Piece, SpeedMeter], None]


class Citation(BaseModel):
    """A line of the file that the answer rests on."""

    line: int = Field(description="The line's number, as a tool returned it.")
    quote: str = Field(
        description="Text of this line, copied exactly as a tool returned it."
    )


class CitedAnswer(BaseModel):
    """The final answer to the question, with the lines of the file that it rests on."""

    answer: str = Field(description="The answer in one to three sentences.")
    citations: list[Citation] = Field(
        description="Two to five lines of the file that show the answer is right."
    )


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line said."""

    file: Path | None = None
    question: str | None = None
    model: str | None = None
    as_json: bool = False
    base_url: str | None = None
    speed: str = "real"


@dataclass(frozen=True, slots=True)
class CheckedCitation:
    """A citation, and whether the file has it.

    Attributes:
        line: The line's number as cited.
        quote: The text as cited.
        verified: Whether the text stands in that line.
    """

    line: int
    quote: str
    verified: bool


@dataclass(frozen=True, slots=True)
class AgentRun:
    """What an agent did and said.

    Attributes:
        messages: The model's answers and the tools' results, in order.
        answer: The structured result; `None` if the agent gave none.
    """

    messages: tuple[BaseMessage, ...]
    answer: CitedAnswer | None

    @property
    def answers(self) -> list[AIMessage]:
        """The model's own messages."""
        return [one for one in self.messages if isinstance(one, AIMessage)]

    def tool_calls(self) -> list[dict[str, Any]]:
        """Return the calls of the file's tools, with their results."""
        results = {
            one.tool_call_id: one.text
            for one in self.messages
            if isinstance(one, ToolMessage)
        }
        return [
            {
                "name": call["name"],
                "args": call["args"],
                "result": _from_json(results.get(call["id"] or "")),
            }
            for message in self.answers
            for call in message.tool_calls
            if call["name"] != CitedAnswer.__name__
        ]


# ------------------------------------------------------------------- the three parts


def stream_summary(
    model: ChatCerebras, document: Document, show: ShowPiece
) -> LiveStream:
    """Stream a summary of the file's beginning."""
    messages = [
        HumanMessage(
            f"This is how {_plain_name(document)} begins:\n\n"
            f"{document.beginning(_SUMMARY_CHARS)}"
        ),
        AIMessage("I have read it. What do you want to know?"),
        HumanMessage("Sum it up for me in about 150 words, as plain text."),
    ]
    live = LiveStream()
    with closing(cast("Any", model.stream(messages))) as stream:
        for chunk in stream:
            for piece in live.add(chunk):
                show(piece, live.meter)
    return live


def file_tools(document: Document) -> list[BaseTool]:
    """Return the tools with which an agent works on a file."""

    @tool
    def search_file(query: str) -> str:
        """Find the lines of the file that have words of a query.

        Returns a JSON list of objects with `line` (its number) and `text`; the lines
        with most of the words, at most 8, in the file's order. Case does not matter.
        """
        return _to_json(as_records(document.search(query, MAX_HITS)))

    @tool
    def read_lines(start: int, end: int) -> str:
        """Read the lines of the file from number `start` to number `end`.

        The first line is 1; at most 40 lines are read at once. Returns a JSON list of
        objects with `line` (its number) and `text`. Blank lines are left out, long
        ones are cut.
        """
        last = len(document.lines)
        if not 1 <= start <= last or end < start:
            return (
                f"There are no lines from {start} to {end}: the file has lines 1 to "
                f"{last}, and start comes before end."
            )
        return _to_json(as_records(document.read(start, end)))

    return [search_file, read_lines]


def agent_prompt(document: Document, question: str) -> str:
    """Return the task: which tools to use, in which order, and the question.

    The order is told so that small models, and a simulator that follows the words of
    the prompt alone, do the same as a large one.
    """
    first = document.first_line
    last = min(len(document.lines), first + min(_FIRST_LINES, MAX_LINES) - 1)
    words = " ".join(document.words_to_search(question)).replace('"', " ")
    return (
        f"First call read_lines with start {first} and end {last}, then call "
        f'search_file with the query "{words}".\n\n{question}'
    )


def run_agent(
    model: ChatCerebras, document: Document, question: str, show: ShowPiece
) -> AgentRun:
    """Let a LangChain agent answer a question about the file.

    Args:
        model: Thinks and calls the tools.
        document: The file.
        question: What to find out.
        show: Is told of everything as it happens.

    Raises:
        CommandError: The agent went on without an answer.
    """
    from langchain.agents import create_agent
    from langgraph.errors import GraphRecursionError

    agent: Any = create_agent(
        model,
        file_tools(document),
        system_prompt=(
            f"{_RULES} The file is {_plain_name(document)}; it has "
            f"{len(document.lines)} lines."
        ),
        response_format=_strategy(model.model_name),
    )
    task = {"messages": [HumanMessage(agent_prompt(document, question))]}
    try:
        return asyncio.run(_follow(agent, task, show))
    except GraphRecursionError as error:
        msg = f"The agent did not come to an answer within {_MOST_STEPS} steps."
        raise CommandError(msg) from error


async def _follow(agent: Any, task: dict[str, Any], show: ShowPiece) -> AgentRun:
    """Run an agent to its end.

    With an event loop, because Ctrl-C then ends the call that is under way. LangGraph's
    sync stream runs it in a thread, which nothing can stop before it is through.
    """
    from langchain.agents.structured_output import (
        StructuredOutputError as AgentFormatError,
    )

    live = LiveStream()
    messages: list[BaseMessage] = []
    answer: CitedAnswer | None = None
    events = agent.astream(
        task,
        stream_mode=["messages", "updates"],
        config={"recursion_limit": _MOST_STEPS},
    )
    try:
        async with aclosing(events):
            async for mode, item in events:
                if mode == "messages":
                    for piece in live.add(item):
                        show(piece, live.meter)
                    continue
                for update in cast("dict[str, Any]", item).values():
                    messages += (update or {}).get("messages") or []
                    answer = (update or {}).get("structured_response") or answer
    except (AgentFormatError, StructuredOutputError):
        answer = None  # asked for again, on its own
    return AgentRun(tuple(messages), answer)


def _strategy(model: str) -> Any:
    """Return how an agent on this model gives its structured result.

    Some models take tools or a response format in a request, not both: they get one
    more tool for the result.
    """
    from langchain.agents.structured_output import ProviderStrategy, ToolStrategy

    card = find_model(model)
    if card is not None and card.capabilities.tools_with_response_format:
        return ProviderStrategy(CitedAnswer)
    return ToolStrategy(CitedAnswer)


def ask_for_structure(
    model: ChatCerebras, document: Document, question: str, run: AgentRun
) -> tuple[CitedAnswer, AIMessage]:
    """Ask for the structured result in a call of its own, from what the tools told.

    The agent's last words are left out: this call takes their place.
    """
    told = list(run.messages)
    while told and isinstance(told[-1], AIMessage):
        told.pop()
    messages = [HumanMessage(agent_prompt(document, question)), *told]
    asked = model.with_structured_output(CitedAnswer, include_raw=True)
    came: Any = asked.invoke(messages)
    if came["parsed"] is None:
        raise came["parsing_error"]
    return came["parsed"], came["raw"]


def check_citations(
    document: Document, citations: Sequence[Citation]
) -> list[CheckedCitation]:
    """Look each citation up in the file; the same one is kept once."""
    checked = [
        CheckedCitation(one.line, one.quote, document.has(one.line, one.quote))
        for one in citations
    ]
    return list(dict.fromkeys(checked))


# ---------------------------------------------------------------------- the command


@dataclass(slots=True)
class _Row:
    """A call in the table at the end."""

    what: str
    figures: Figures


class Demo:
    """The demo on one file.

    Args:
        endpoint: The server.
        options: What the command line said.
        document: The file.
        console: Where to show it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        options: DemoOptions,
        document: Document,
        console: Console,
    ) -> None:
        self._endpoint = endpoint
        self._document = document
        self._console = console
        self._model = endpoint.model(options.model)
        own = OWN_QUESTION if options.file is None else default_question(document)
        self.question = options.question or own
        self._rows: list[_Row] = []
        self._usage: UsageMetadata | None = None
        self.report: dict[str, Any] = {
            "model": self._model.model_name,
            "base_url": endpoint.base_url,
            "simulator": endpoint.is_simulator,
            "file": document.name,
            "lines": len(document.lines),
            "question": self.question,
        }

    def run(self) -> None:
        """Show all parts, and fill the report."""
        self._introduce()
        with self._model:
            self._show_stream()
            run = self._show_agent()
            self._show_result(run)
        self._show_table()

    def _introduce(self) -> None:
        lines = len(self._document.lines)
        say(self._console, f"Model   {self._model.model_name}")
        say(self._console, f"Server  {self._endpoint.describe()}")
        say(self._console, f"File    {self._document.name}, {lines:,} lines")
        if self._endpoint.is_simulator:
            say(
                self._console,
                "CEREBRAS_API_KEY is not set, so nothing leaves this machine. Set it "
                "to run the same on Cerebras.",
                "yellow",
            )

    def _show_stream(self) -> None:
        heading(self._console, "1. Streaming: the file in short")
        with Typewriter(self._console) as writer:
            writer.status("waiting for the first token")
            live = stream_summary(
                self._model, self._document, _PieceWriter(writer).show
            )
        figures = self._count("stream", live.message)
        say(self._console, figures.line(), "bold magenta")
        self.report["stream"] = {
            "text": live.text,
            "reasoning": live.reasoning or None,
            **figures.as_dict(),
        }

    def _show_agent(self) -> AgentRun:
        heading(self._console, "2. An agent with two tools: search_file, read_lines")
        say(self._console, f"Question: {self.question}", "bold")
        with Typewriter(self._console) as writer:
            writer.status("waiting for the first token")
            run = run_agent(
                self._model, self._document, self.question, _PieceWriter(writer).show
            )
        for message in run.answers:
            names = ", ".join(call["name"] for call in message.tool_calls)
            self._count(f"agent: {names or 'answer'}", message)
        self.report["tool_calls"] = run.tool_calls()
        return run

    def _show_result(self, run: AgentRun) -> None:
        heading(self._console, "3. A structured result, each citation looked up")
        answer = run.answer
        if answer is None:
            answer, message = ask_for_structure(
                self._model, self._document, self.question, run
            )
            self._count("structured result", message)
        checked = check_citations(self._document, answer.citations)
        say(self._console, answer.answer, "bold")
        for one in checked:
            mark, style = ("✓", "green") if one.verified else ("✗", "red")
            where = "" if one.verified else "   <- not found in this line of the file"
            say(self._console, f"{mark} line {one.line}: {one.quote}{where}", style)
        found = sum(one.verified for one in checked)
        say(
            self._console,
            f"{found} of {len(checked)} citations were found in {self._document.name}.",
            "bold green" if checked and found == len(checked) else "bold yellow",
        )
        self.report["answer"] = answer.answer
        self.report["citations"] = [
            {"line": one.line, "quote": one.quote, "verified": one.verified}
            for one in checked
        ]

    def _count(self, what: str, message: AIMessage | None) -> Figures:
        figures = figures_of(message)
        self._rows.append(_Row(what, figures))
        if message is not None:
            self._usage = add_usage(self._usage, message.usage_metadata)
        return figures

    def _show_table(self) -> None:
        heading(self._console, "4. Figures")
        table(
            self._console,
            ["call", "first token", "tokens/s", "in", "cached", "out", "reasoning"],
            [*map(_cells, self._rows), self._total()],
        )
        self.report["usage"] = self._usage
        self.report["speeds"] = [
            {"call": row.what, **row.figures.as_dict()} for row in self._rows
        ]

    def _total(self) -> list[str | None]:
        figures = figures_of(AIMessage("", usage_metadata=self._usage))
        return _cells(_Row("total", figures))


class _PieceWriter:
    """Writes pieces of a stream: each entry in its style, tool calls on own lines."""

    def __init__(self, writer: Typewriter) -> None:
        self._writer = writer
        self._begun = False

    def show(self, piece: Piece, meter: SpeedMeter) -> None:
        """Write a piece, and the speed so far."""
        entry = piece.entry
        self._writer.status(meter.status())
        is_answer = entry.name == CitedAnswer.__name__
        if entry.kind == "tool_result" and is_answer:
            return  # LangChain's note that the call was taken as the result
        style = STYLES["reasoning" if is_answer else entry.kind]
        if piece.is_new:
            if self._begun:
                self._writer.write("\n")
            self._begun = True
            if entry.kind == "tool_call":
                self._writer.write(f"-> {entry.name} ", style)
            elif entry.kind == "tool_result":
                self._writer.write(_in_short(entry.text), style)
                return
        self._writer.write(piece.added, style)


def _in_short(result: str) -> str:
    """Return a tool's result in a few lines."""
    found = _from_json(result)
    if not isinstance(found, list):
        return f"<- {result[:_RESULT_CHARS]}"
    records = cast("list[dict[str, Any]]", found)
    lines = [
        f"\n   {one.get('line')}: {str(one.get('text'))[:_RESULT_CHARS]}"
        for one in records[:_RESULT_LINES]
    ]
    more = len(records) - len(lines)
    told = "".join(lines) + (f"\n   and {more} more" if more > 0 else "")
    return f"<- {len(records)} line{'s' * (len(records) != 1)}{told}"


def _cells(row: _Row) -> list[str | None]:
    figures = row.figures
    first, speed = figures.first_token_s, figures.output_tokens_per_s
    counts = (
        figures.input_tokens,
        figures.cached_tokens,
        figures.output_tokens,
        figures.reasoning_tokens,
    )
    return [
        row.what,
        None if first is None else f"{first * 1000:,.0f} ms",
        None if speed is None else f"{speed:,.0f}",
        *(None if count is None else f"{count:,}" for count in counts),
    ]


def default_question(document: Document) -> str:
    """Return a question about the words that the file has most to say of."""
    words = document.telling_words()
    listed = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return f"What does {_plain_name(document)} say about {listed}?"


def run_demo(options: DemoOptions) -> int:
    """Run the demo and return the exit code."""
    document = load_document(options.file)
    console = _silent_console() if options.as_json else output_console()
    simulate = options.base_url is None and not is_reachable(None)
    demo: Demo | None = None
    failure: Exception | None = None
    with open_endpoint(
        options.base_url, simulate=simulate, speed=options.speed
    ) as endpoint:
        try:
            demo = Demo(endpoint, options, document, console)
            demo.run()
        except (CerebrasError, CommandError) as error:
            if not options.as_json:
                raise
            failure = error
    if options.as_json:
        report = demo.report if demo else {}
        told = {"error": error_as_json(failure)} if failure else {}
        print(json.dumps({**report, **told}, ensure_ascii=False, default=str))  # noqa: T201
    return exit_code(failure) if failure else 0


def _silent_console() -> Console:
    return Console(file=io.StringIO(), quiet=True)


def _plain_name(document: Document) -> str:
    """Return the file's name as it can stand in a sentence."""
    return "".join(sign for sign in document.name if sign.isprintable() and sign != '"')


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _from_json(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except ValueError:
        return text
