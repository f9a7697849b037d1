"""`cerebras-ext chat`: a prompt from arguments, files and standard input, answered."""

from __future__ import annotations

import importlib
import json
import os
import stat
import sys
import threading
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from langchain_cerebras_ext._live import LiveStream, Piece
from langchain_cerebras_ext.cli.document import decode, load_bytes
from langchain_cerebras_ext.cli.endpoint import is_reachable, open_endpoint
from langchain_cerebras_ext.cli.failures import (
    NO_KEY,
    CommandError,
    exit_code,
    explain,
)
from langchain_cerebras_ext.cli.screen import (
    STYLES,
    StatusLine,
    Typewriter,
    error_console,
    output_console,
    say,
)
from langchain_cerebras_ext.errors import CerebrasError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from langchain_cerebras_ext.chat_models import ChatCerebras

STDIN_MARK: Final = "-"
STDIN_GRACE_S: Final = 3.0
"""How long a prompt that was given waits for a pipe that may have nothing to say."""


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """What the command line said."""

    prompt: Sequence[str] = ()
    files: Sequence[Path] = ()
    model: str | None = None
    system: str | None = None
    params: dict[str, Any] = field(default_factory=dict[str, Any])
    as_json: bool = False
    stream: bool = True
    show_reasoning: bool | None = None
    base_url: str | None = None
    simulate: bool = False
    speed: str = "real"


def run_chat(options: ChatOptions) -> int:
    """Answer a prompt, or talk until the user ends it; return the exit code."""
    attached = [_as_attachment(path) for path in options.files]
    prompt = _read_prompt(options.prompt, attached)
    if not options.simulate and not is_reachable(options.base_url):
        raise CommandError(NO_KEY)
    with (
        open_endpoint(
            options.base_url, simulate=options.simulate, speed=options.speed
        ) as endpoint,
        endpoint.model(options.model, **options.params) as model,
    ):
        talk = Talk(model, options)
        if prompt is not None:
            return talk.answer("\n\n".join([*prompt, *attached]))
        return talk.loop(attached, endpoint.describe())


# ------------------------------------------------------------------------- the prompt


def _as_attachment(path: Path) -> str:
    text = decode(str(path), load_bytes(path))
    return f'<file name="{path.name}">\n{text}\n</file>'


def _read_prompt(given: Sequence[str], attached: Sequence[str]) -> list[str] | None:
    """Return the parts of the prompt; `None` if the user is to be asked at a terminal.

    Raises:
        CommandError: There is none.
    """
    words = [word for word in given if word != STDIN_MARK]
    parts = [" ".join(words)] if " ".join(words).strip() else []
    if STDIN_MARK in given:
        parts += _some(_read_stdin(None))
    elif not parts and _is_terminal(sys.stdin):
        return None
    elif _stdin_has_content():
        parts += _some(_read_stdin(STDIN_GRACE_S if parts else None))
    if not parts and not attached:
        msg = "There is no prompt: give one as an argument or on standard input."
        raise CommandError(msg)
    return parts


def _some(text: str) -> list[str]:
    return [text] if text.strip() else []


def _is_terminal(stream: Any) -> bool:
    return stream is not None and not stream.closed and bool(stream.isatty())


def _stdin_has_content() -> bool:
    """Say whether standard input is a pipe, a socket or a file; not a terminal."""
    if sys.stdin is None or sys.stdin.closed:
        return False
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):
        return True  # not of the system, as in tests: it can be read
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def _read_stdin(grace_s: float | None) -> str:
    """Read standard input to its end.

    Args:
        grace_s: Give up if nothing at all has come by then: a service manager may
            hand down a pipe into which nobody writes. `None` waits.
    """
    pieces: list[bytes] = []
    failures: list[OSError] = []
    came, ended = threading.Event(), threading.Event()

    def read() -> None:
        try:
            for piece in _stdin_pieces():
                pieces.append(piece)
                came.set()
        except OSError as error:
            failures.append(error)
        finally:
            ended.set()
            came.set()

    # A thread, since a pipe cannot be waited for in another way on Windows.
    threading.Thread(target=read, daemon=True).start()
    if grace_s is not None and not came.wait(grace_s):
        say(
            error_console(),
            f"Standard input is a pipe that said nothing for {grace_s:g} s, and is "
            "left out. Add `-` after the prompt to wait for it.",
        )
        return ""
    while not ended.wait(0.2):
        pass  # short waits, so that Ctrl-C is heard on every system
    if failures:
        msg = f"Standard input cannot be read: {failures[0].strerror or failures[0]}."
        raise CommandError(msg) from failures[0]
    return decode("Standard input", b"".join(pieces))


def _stdin_pieces() -> Iterator[bytes]:
    try:
        number = sys.stdin.fileno()
    except (OSError, ValueError):
        yield sys.stdin.read().encode()
        return
    while piece := os.read(number, 65_536):
        yield piece


# ------------------------------------------------------------------------ the answers


class _Output(Protocol):
    """Where pieces of an answer go."""

    def show(self, piece: Piece) -> None: ...

    def status(self, text: str) -> None: ...


class _ToTerminal:
    """Text and dimmed reasoning on a terminal."""

    def __init__(self, writer: Typewriter, *, show_reasoning: bool) -> None:
        self._writer = writer
        self._show_reasoning = show_reasoning
        self._begun = False
        self.status = writer.status

    def show(self, piece: Piece) -> None:
        """Show a piece."""
        if piece.entry.kind == "reasoning" and not self._show_reasoning:
            return
        if piece.is_new and self._begun:
            self._writer.write("\n\n" if piece.entry.kind == "text" else "\n")
        self._begun = True
        self._writer.write(piece.added, STYLES[piece.entry.kind])


class _ToPipe:
    """The text as it is on standard output, reasoning on standard error if asked."""

    def __init__(self, status: StatusLine, *, show_reasoning: bool) -> None:
        self._show_reasoning = show_reasoning
        self.status = status.status

    def show(self, piece: Piece) -> None:
        """Pass a piece on."""
        if piece.entry.kind == "text":
            sys.stdout.write(piece.added)
            sys.stdout.flush()
        elif piece.entry.kind == "reasoning" and self._show_reasoning:
            sys.stderr.write(piece.added)


class _Silent:
    """Keeps pieces back: a whole JSON object follows."""

    def __init__(self, status: StatusLine) -> None:
        self.status = status.status

    def show(self, piece: Piece) -> None:
        """Do nothing."""


class Talk:
    """A conversation: what was said so far, and how answers are shown.

    Args:
        model: Answers.
        options: What the command line said.
    """

    def __init__(self, model: ChatCerebras, options: ChatOptions) -> None:
        self._model = model
        self._options = options
        self._errors = error_console()
        self._out = output_console()
        system = options.system
        self.messages: list[BaseMessage] = [SystemMessage(system)] if system else []

    def loop(self, attached: Sequence[str], where: str) -> int:
        """Ask for prompts until there is none; return the exit code."""
        say(
            self._errors,
            f"Talking to {self._model.model_name} on {where}. "
            "Ctrl-C stops an answer; an empty line or Ctrl-D ends.",
            "dim",
        )
        waiting = list(attached)
        while prompt := _ask():
            said = len(self.messages)
            self.answer("\n\n".join([prompt, *waiting]))
            if len(self.messages) > said:
                waiting = []  # part of the conversation now
        return 0

    def answer(self, prompt: str) -> int:
        """Answer a prompt, show the answer, and remember both; return the exit code.

        An answer that was cut short by Ctrl-C or an error is shown as far as it came.
        """
        self.messages.append(HumanMessage(prompt))
        live = LiveStream()
        failure: BaseException | None = None
        with self._output() as output:
            try:
                self._receive(live, output)
            except (CerebrasError, KeyboardInterrupt) as error:
                failure = error
        self._report(live, failure)
        self._remember(live)
        if failure is None:
            return 0
        return exit_code(failure)

    def _receive(self, live: LiveStream, output: _Output) -> None:
        output.status(live.meter.status())
        if not self._options.stream:
            for piece in live.add(self._model.invoke(self.messages)):
                output.show(piece)
            return
        # Closing ends the connection too, should an error or Ctrl-C come.
        with closing(cast("Any", self._model.stream(self.messages))) as stream:
            for chunk in stream:
                for piece in live.add(chunk):
                    output.show(piece)
                output.status(live.meter.status())

    @contextmanager
    def _output(self) -> Generator[_Output]:
        asked = self._options.show_reasoning
        if self._options.as_json:
            with StatusLine(self._errors) as line:
                yield _Silent(line)
        elif self._out.is_terminal:
            with Typewriter(self._out) as writer:
                yield _ToTerminal(writer, show_reasoning=asked is not False)
        else:
            with StatusLine(self._errors) as line:
                yield _ToPipe(line, show_reasoning=bool(asked))

    def _remember(self, live: LiveStream) -> None:
        if live.text:
            self.messages.append(AIMessage(live.text))
        else:
            self.messages.pop()

    def _report(self, live: LiveStream, failure: BaseException | None) -> None:
        """Print what stands below an answer: figures, and what went wrong."""
        if self._options.as_json:
            print(json.dumps(answer_as_json(live, failure), ensure_ascii=False))  # noqa: T201
        elif live.text and not self._out.is_terminal:
            # A file or a pipe gets a whole last line.
            sys.stdout.write("" if live.text.endswith("\n") else "\n")
            sys.stdout.flush()
        if isinstance(failure, KeyboardInterrupt):
            say(self._errors, "Interrupted.", "yellow")
        elif failure is not None:
            say(self._errors, f"Error: {explain(failure)}", "red")
        if live.entries and not self._options.as_json:
            say(self._errors, _figures_line(live, self._options), "dim")


def _figures_line(live: LiveStream, options: ChatOptions) -> str:
    figures = live.figures()
    if figures.output_tokens is None:
        return live.meter.status()
    line = figures.line()
    reason = (
        live.message.response_metadata.get("finish_reason") if live.message else None
    )
    if reason == "length":
        limit = options.params.get("max_tokens")
        why = "--max-tokens" if limit else "the model's limit"
        line += f" · cut off at {why}"
    return line


def answer_as_json(
    live: LiveStream, failure: BaseException | None = None
) -> dict[str, Any]:
    """Return an answer as one JSON object.

    Args:
        live: What came.
        failure: What ended it early.
    """
    message = live.message
    metadata = dict(message.response_metadata) if message else {}
    found: dict[str, Any] = {
        "model": metadata.get("model_name"),
        "text": live.text,
        "reasoning": live.reasoning or None,
        "finish_reason": metadata.get("finish_reason"),
        "usage": message.usage_metadata if message else None,
        "timings": live.figures().as_dict(),
        "response_metadata": metadata,
        "interrupted": isinstance(failure, KeyboardInterrupt),
    }
    if message and message.tool_calls:
        found["tool_calls"] = message.tool_calls
    if failure is not None and not found["interrupted"]:
        found["error"] = error_as_json(failure)
    return found


def error_as_json(error: BaseException) -> dict[str, Any]:
    """Return an error as JSON takes it."""
    known = ("status_code", "code", "param", "request_id", "retry_after_s")
    told = {name: getattr(error, name, None) for name in known}
    return {
        "type": type(error).__name__,
        "message": explain(error),
        **{name: value for name, value in told.items() if value is not None},
    }


def _ask() -> str:
    """Ask for a prompt; an empty text ends.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    with suppress(ImportError):
        # Importing it is what makes `input` edit lines; Windows does so by itself.
        importlib.import_module("readline")
    try:
        if _is_terminal(sys.stdout):
            return input("> ").strip()
        sys.stderr.write("> ")
        sys.stderr.flush()
        return input().strip()
    except EOFError:
        sys.stderr.write("\n")
        return ""
