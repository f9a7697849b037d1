"""`Simulator`: the application on a port of this machine, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import socket
import threading
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Self, get_args
from weakref import WeakKeyDictionary

from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.simulator.app import create_simulator_app
from langchain_cerebras_ext.simulator.engine import (
    EVENT_STREAM,
    Engine,
    Settings,
    Speed,
    Tier,
    UsageStyle,
)
from langchain_cerebras_ext.simulator.extras import require_simulator_extra
from langchain_cerebras_ext.simulator.network_faults import (
    Damage,
    FaultName,
    make_failure,
)
from langchain_cerebras_ext.simulator.odd import OddForm, check_odd_forms
from langchain_cerebras_ext.simulator.random_faults import make_random_faults
from langchain_cerebras_ext.simulator.scenarios import (
    CHAT_PATHS,
    CallSpec,
    Content,
    Delivery,
    RawReply,
    Rule,
    ScenarioError,
    When,
    failure_rule,
    load_scenario,
    make_answer,
    make_call,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence
    from pathlib import Path

    from langchain_cerebras_ext.simulator.bill import Bill
    from langchain_cerebras_ext.simulator.clock import Clock
    from langchain_cerebras_ext.simulator.faults import ErrorShape, Fault
    from langchain_cerebras_ext.simulator.profiles import ModelSelection, Rates
    from langchain_cerebras_ext.simulator.records import RecordedRequest
    from langchain_cerebras_ext.simulator.uvicorn_server import QuickServer

TIERS: Final[tuple[Tier, ...]] = get_args(Tier)

_START_S = 10.0
_STOP_S = 10.0

_places: WeakKeyDictionary[Engine, int] = WeakKeyDictionary()
_places_lock = threading.Lock()


def _take_place(engine: Engine) -> None:
    """Give an engine the lowest number that none of those that serve has.

    Simulators of one seed would give the same ids side by side, and two messages of
    one id are one message to LangGraph.
    """
    with _places_lock:
        taken = {place for one, place in _places.items() if one is not engine}
        engine.place = next(place for place in count() if place not in taken)
        _places[engine] = engine.place


class Simulator:
    """A local Cerebras Inference API, for tests, notebooks and demos.

    It runs in a daemon thread with an event loop of its own, so it works where a loop
    is running already, as in Jupyter. Answers are composed from the prompt, or
    scripted with `reply`, `reply_with_tool` and `reply_raw`; `fail_next`,
    `fail_randomly`, `refuse_connections` and `odd_next` say what goes wrong or looks
    odd; `requests` and `billed` tell what was asked, and what it costs.

    Args:
        port: 0 takes a free one.
        host: Anything but loopback needs `allow_remote=True`.
        key: The only key that is accepted; None accepts any, and none.
        speed: `instant`, `real` (the model's own tokens per second) or a factor.
        seed: Decides what is left to chance: phrasing, ids, how streams are cut.
            Simulators that run side by side in a process have ids of their own.
        tier: `free_trial` or `developer` enforces that tier's limits; None none.
        rates: Limits of your own, enforced.
        models: `active` for what the service serves today, `all` for retired and
            dedicated ones too, or ids; unknown ids are dedicated endpoints.
        scenario: Scripted replies from a JSON or TOML file, or a mapping; see
            `langchain_cerebras_ext.simulator.scenarios`.
        stream_usage_style: `final` sends usage with the last choice, as recorded;
            `openai` in a chunk of its own when `include_usage` is set.
        tokens_per_chunk: Tokens in each stream event; None varies them.
        queue_time_s: Time in the queue as `time_info` tells it; None varies it.
        echo_service_tier: Whether answers have `service_tier_used`.
        clock: Where time comes from; for tests of pacing and limits.
        allow_remote: Whether other machines may connect.
        keep_requests: How many of the latest `requests` and `billed` calls are kept;
            None keeps all.

    Example:
        >>> from langchain_cerebras_ext.simulator import Simulator
        >>> with Simulator() as sim:
        ...     sim.reply("Hello!")
        ...     sim.base_url.startswith("http://127.0.0.1:")
        True
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        key: str | None = None,
        speed: Speed = "instant",
        seed: int = 0,
        tier: Tier | None = None,
        rates: Rates | None = None,
        models: ModelSelection = "active",
        scenario: str | Path | Mapping[str, Any] | None = None,
        stream_usage_style: UsageStyle = "final",
        tokens_per_chunk: int | None = None,
        queue_time_s: float | None = None,
        echo_service_tier: bool = False,
        clock: Clock | None = None,
        allow_remote: bool = False,
        keep_requests: int | None = None,
    ) -> None:
        require_simulator_extra()
        _check_address(host, port, allow_remote=allow_remote)
        try:
            settings = Settings(
                key=key,
                speed=speed,
                seed=seed,
                tier=tier,
                rates=rates,
                models=models,
                stream_usage_style=stream_usage_style,
                tokens_per_chunk=tokens_per_chunk,
                queue_time_s=queue_time_s,
                echo_service_tier=echo_service_tier,
                keep_requests=keep_requests,
            )
            rules = [] if scenario is None else load_scenario(scenario)
        except (ScenarioError, ValueError) as error:
            raise CerebrasConfigurationError(str(error)) from error
        self.host = host
        self.port = port
        self.engine = Engine(settings, clock, rules)
        self._wanted_port = port
        self._thread: threading.Thread | None = None
        self._server: QuickServer | None = None

    # --------------------------------------------------------------------- life cycle

    @property
    def base_url(self) -> str:
        """The base URL for clients, `/v1` included.

        Raises:
            CerebrasConfigurationError: The simulator is not running.
        """
        return f"{self.root_url}/v1"

    @property
    def root_url(self) -> str:
        """The URL without `/v1`, as the vendor's own SDK takes it.

        Raises:
            CerebrasConfigurationError: The simulator is not running.
        """
        if not self.running:
            msg = "The simulator is not running; use `with Simulator()` or `start()`."
            raise CerebrasConfigurationError(msg)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether requests are answered."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> Self:
        """Start serving; does nothing if it runs already.

        Raises:
            CerebrasConfigurationError: The port is taken, or the host is not one of
                this machine's.
        """
        if self.running:
            return self
        from langchain_cerebras_ext.simulator.uvicorn_server import QuickServer

        sock = _bind(self.host, self._wanted_port)
        self.port = sock.getsockname()[1]
        _take_place(self.engine)
        server = QuickServer(create_simulator_app(self.engine), sock)
        thread = threading.Thread(
            target=server.run_blocking, name="cerebras-simulator", daemon=True
        )
        thread.start()
        if not server.ready.wait(_START_S):
            server.request_stop()
            msg = f"The simulator did not start within {_START_S:g} seconds."
            raise CerebrasConfigurationError(msg)
        if server.failure is not None:
            thread.join(_STOP_S)
            msg = f"The simulator could not start: {server.failure}."
            raise CerebrasConfigurationError(msg) from server.failure
        self._server, self._thread = server, thread
        return self

    def stop(self) -> None:
        """Stop serving, cutting what is under way; does nothing if it is stopped."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is not None and thread is not None:
            server.request_stop()
            thread.join(_STOP_S)
            with _places_lock:
                _places.pop(self.engine, None)

    def __enter__(self) -> Self:
        """Start serving."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self.stop()

    async def __aenter__(self) -> Self:
        """Start serving, without blocking the running loop."""
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, *_: object) -> None:
        """Stop serving, without blocking the running loop."""
        await asyncio.to_thread(self.stop)

    def __repr__(self) -> str:
        """Return where it is; no key."""
        state = f"at {self.base_url}" if self.running else "stopped"
        return f"<Simulator {state}>"

    # ------------------------------------------------------------------- what was asked

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, in order of arrival, as many as are kept."""
        return self.engine.kept_requests()

    def requests_to(self, path: str) -> list[RecordedRequest]:
        """Return the requests to one path, such as `/v1/chat/completions`."""
        return [one for one in self.requests if one.path == path]

    @property
    def chat_requests(self) -> list[RecordedRequest]:
        """The requests for chat completions, in order of arrival."""
        return self.requests_to("/v1/chat/completions")

    @property
    def billed(self) -> Bill:
        """The tokens that the service counted: each call, and `total`, `by_model`.

        A refused request costs nothing. An answer that was generated does, whatever
        became of it on the way; of a stream that ended early, what had been sent.
        A stream that is under way counts as far as it is.
        """
        return self.engine.bill_book.bill()

    def wait_idle(self, timeout_s: float = 5.0) -> bool:
        """Wait until no request is being answered; say whether that came in time.

        It takes the server a moment to notice that a client has left, or that its own
        last byte is gone: wait before looking at what such a request was billed.
        """
        return self.engine.activity.wait_idle(timeout_s)

    @property
    def pending_replies(self) -> int:
        """How many scripted answers and failures were not asked for yet."""
        return self.engine.script.pending

    def reset(self) -> None:
        """Forget requests, the bill, the script, limits and the prompt cache.

        The rules of a scenario are there again.
        """
        self.engine.reset()

    # --------------------------------------------------------------- scripted replies

    def reply(
        self,
        content: Content = None,
        *,
        reasoning: str | None = None,
        when: When = None,
        finish_reason: str | None = None,
        chunks: Sequence[str] | None = None,
        reasoning_chunks: Sequence[str] | None = None,
        logprobs: Sequence[Mapping[str, Any]] | None = None,
        tool_calls: Sequence[CallSpec] = (),
        times: int | None = 1,
        delay_s: float = 0.0,
        event_delay_s: float = 0.0,
        cut_after: int | None = None,
    ) -> None:
        """Script an answer; limits, stop texts and formats still apply to it.

        Args:
            content: The text, or a function that makes it from the request's body.
            reasoning: The thoughts before it.
            when: Text in, or pattern for, the last user message, or a test of the
                body; None answers any request.
            finish_reason: What is told unless a limit cuts the answer.
            chunks: How a stream cuts the content; may stand in its place.
            reasoning_chunks: The same for the reasoning.
            logprobs: Entries for the content's tokens.
            tool_calls: Calls that come with the text.
            times: How often; None is without end.
            delay_s: Seconds before the first byte.
            event_delay_s: Seconds before each event of a stream.
            cut_after: Break the connection after so many events.
        """
        answer = make_answer(
            content,
            reasoning=reasoning,
            calls=[make_call(call) for call in tool_calls],
            finish_reason=finish_reason,
            chunks=chunks,
            reasoning_chunks=reasoning_chunks,
            logprobs=logprobs,
        )
        delivery = Delivery(delay_s, event_delay_s, cut_after)
        self._add(Rule(when=when, times=times, answer=answer, delivery=delivery))

    def reply_with_tool(
        self,
        name: str | Sequence[CallSpec],
        arguments: Mapping[str, Any] | str | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the wire's own name
        content: str | None = None,
        reasoning: str | None = None,
        when: When = None,
        chunks: Sequence[str] | None = None,
        finish_reason: str | None = None,
        times: int | None = 1,
        delay_s: float = 0.0,
        event_delay_s: float = 0.0,
        cut_after: int | None = None,
    ) -> None:
        """Script a tool call, or several at once.

        Args:
            name: The tool; or a list of `(name, arguments)` or mappings, for parallel
                calls.
            arguments: A mapping; or text that is sent as it is, malformed or not.
            id: The call's id; one is made if left out.
            content: Text beside the call.
            reasoning: The thoughts before it.
            when: As in `reply`.
            chunks: How a stream cuts the arguments; may stand in their place.
            finish_reason: As in `reply`.
            times: As in `reply`.
            delay_s: As in `reply`.
            event_delay_s: As in `reply`.
            cut_after: As in `reply`.
        """
        if isinstance(name, str):
            spec: dict[str, Any] = {"name": name, "id": id}
            if arguments is not None or chunks is None:
                spec["arguments"] = {} if arguments is None else arguments
            if chunks is not None:
                spec["chunks"] = list(chunks)
            calls: Sequence[CallSpec] = [spec]
        else:
            calls = name
        self.reply(
            content,
            reasoning=reasoning,
            when=when,
            finish_reason=finish_reason,
            tool_calls=calls,
            times=times,
            delay_s=delay_s,
            event_delay_s=event_delay_s,
            cut_after=cut_after,
        )

    def fail_next(
        self,
        status: int | None = None,
        body: Any = None,
        *,
        code: str | None = None,
        fault: FaultName | None = None,
        times: int | None = 1,
        headers: Mapping[str, str] | None = None,
        when: When = None,
        path: str | None = None,
        after_events: int | None = None,
        after_bytes: int | None = None,
        pause_s: float | None = None,
        error_shape: ErrorShape | None = None,
        named_event: bool = False,
        billed: bool | None = None,
        delay_s: float = 0.0,
    ) -> None:
        """Script a failure: an error of the service, or a fault on the way.

        An error (`status` or `code`) is sent in place of an answer. A fault breaks
        whatever is answered: the next scripted reply, the simulator's own, or, with
        a status or code beside it, that error. A fault of streams waits for a
        streamed request, one of plain bodies for another.

        Args:
            status: The HTTP status; may be left out with a code.
            body: JSON, text or bytes in place of the documented body.
            code: One of `FAULT_CODES`, such as `queue_exceeded`.
            fault: One of `FAULTS`, such as `reset_in_body` or `cut_stream`.
            times: How often; None is without end.
            headers: Added to the documented ones, such as `retry-after`.
            when: As in `reply`.
            path: The endpoint that fails; None is chat and text completions.
            after_events: Fail in a stream, after so many events. Without `fault` the
                status stays 200, and the error comes as an event.
            after_bytes: Where a head, a body or a stream breaks; default: the middle.
            pause_s: How long a stall lasts, default until the client gives up; or the
                pause between two bytes of a drip, default 0.01.
            error_shape: How an error event or an error in a 200 looks: `wrapped`
                (default), inside `error`, or `flat`.
            named_event: Whether an error event has a line `event: error`.
            billed: Whether the answer had been generated when its delivery failed;
                for faults before the body, whose client cannot know.
            delay_s: Seconds before the failure.

        Raises:
            ValueError: A name or a value is wrong, or they do not go together.
        """
        failure = make_failure(
            status,
            code=code,
            body=body,
            headers=headers,
            fault=fault,
            after_events=after_events,
            after_bytes=after_bytes,
            pause_s=pause_s,
            error_shape=error_shape,
            named_event=named_event,
            billed=billed,
        )
        self._add(
            dataclasses.replace(
                failure_rule(failure, Delivery(delay_s=delay_s)),
                paths=_paths(path, failure),
                when=when,
                times=times,
            )
        )

    def fail_randomly(
        self,
        rate: float = 0.1,
        faults: Iterable[FaultName | str | int] | None = None,
        *,
        seed: int | None = None,
        when: When = None,
        path: str | None = None,
        times: int | None = None,
        delay_s: float = 0.0,
    ) -> None:
        """Let a share of the requests fail, from now on until `reset`.

        Whether a request fails, how and where depends on the seed and on how many
        came before it, so a run can be repeated. What is scripted comes first.

        Args:
            rate: The share, from 0 to 1.
            faults: Names of `FAULTS`, codes and statuses to choose from; default:
                `RANDOM_FAULTS`, all that end quickly. Those of streams are for
                streams only.
            seed: Default: the simulator's.
            when: As in `reply`.
            path: As in `fail_next`.
            times: How many failures at most; None is without end.
            delay_s: Seconds before a failure.

        Raises:
            ValueError: The rate is no share, or a name is unknown.
        """
        chance = make_random_faults(
            rate,
            faults,
            seed=self.engine.settings.seed if seed is None else seed,
            first=self.engine.received + 1,
        )
        delivery = Delivery(delay_s=delay_s)
        rule = Rule(when=when, times=times, chance=chance, delivery=delivery)
        rule.paths = _paths(path, None)
        self._add(rule)

    def odd_next(
        self,
        *forms: OddForm,
        times: int | None = 1,
        when: When = None,
        path: str | None = None,
    ) -> None:
        """Send the next answer in odd but legal forms.

        Whatever is answered is meant: a scripted reply, or the simulator's own.

        Args:
            *forms: Of `ODD_FORMS`, such as `crlf` or `trailers`. Those of streams
                wait for a streamed request.
            times: How often; None is without end.
            when: As in `reply`.
            path: As in `fail_next`.

        Raises:
            ValueError: A form is unknown, or two exclude each other.
        """
        delivery = Delivery(odd=check_odd_forms(forms))
        rule = Rule(when=when, times=times, delivery=delivery, delivery_only=True)
        rule.paths = _paths(path, None)
        self._add(rule)

    @contextlib.contextmanager
    def refuse_connections(self) -> Generator[None]:
        """Be down inside a `with` block: refuse connections, cut those that exist.

        Raises:
            CerebrasConfigurationError: The simulator is not running; or, at the end,
                somebody else has taken its port.
        """
        server = self._server
        if server is None or not self.running:
            msg = "The simulator is not running; use `with Simulator()` or `start()`."
            raise CerebrasConfigurationError(msg)
        server.close_doors()
        try:
            yield
        finally:
            if self._server is server:  # It may have been stopped meanwhile.
                server.open_doors(_bind(self.host, self.port))

    def reply_raw(
        self,
        data: bytes | str | Sequence[bytes],
        content_type: str = EVENT_STREAM,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        when: When = None,
        path: str | None = None,
        times: int | None = 1,
        event_delay_s: float = 0.0,
        cut_after: int | None = None,
    ) -> None:
        """Script exact bytes; each of several parts is sent as one HTTP chunk.

        Args:
            data: What to send.
            content_type: Of the answer.
            status: Of the answer.
            headers: Added to the answer.
            when: As in `reply`.
            path: The endpoint; None is chat and text completions.
            times: As in `reply`.
            event_delay_s: Seconds before each part.
            cut_after: Break the connection after so many parts.
        """
        if isinstance(data, str):
            data = data.encode()
        parts = (data,) if isinstance(data, bytes) else tuple(data)
        raw = RawReply(parts, content_type, status, dict(headers or {}))
        paths = _paths(path, None)
        delivery = Delivery(event_delay_s=event_delay_s, cut_after=cut_after)
        self._add(Rule(paths=paths, when=when, times=times, raw=raw, delivery=delivery))

    def _add(self, rule: Rule) -> None:
        if rule.times is not None and rule.times < 1:
            msg = f"times={rule.times} is not valid; give 1 or more, or None."
            raise CerebrasConfigurationError(msg)
        self.engine.script.add(rule)


def _paths(path: str | None, failure: Fault | Damage | None) -> tuple[str, ...]:
    """Return the endpoints that a rule is for.

    Raises:
        ValueError: Its fault cannot happen there.
    """
    if path is None or path in CHAT_PATHS:
        return CHAT_PATHS if path is None else (path,)
    if isinstance(failure, Damage):
        kind = failure.kind
        if kind.chat_only or kind.answers == "stream":
            msg = (
                f"fault='{failure.name}' is for completions, not for {path}; leave out "
                f"path, or give one of {', '.join(CHAT_PATHS)}."
            )
            raise ValueError(msg)
    return (path,)


def _check_address(host: str, port: int, *, allow_remote: bool) -> None:
    if port not in range(65_536):
        msg = f"port={port} is not valid; give 0 (any free port) to 65535."
        raise CerebrasConfigurationError(msg)
    if not allow_remote and not is_loopback(host):
        msg = (
            f"host='{host}' would let other machines in. The simulator is for this "
            "machine only; pass allow_remote=True if that is wanted."
        )
        raise CerebrasConfigurationError(msg)


def is_loopback(host: str) -> bool:
    """Say whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bind(host: str, port: int) -> socket.socket:
    """Take the port here, so that a taken one is the caller's error at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host, port), family=family, backlog=2_048)
        # Nagle's algorithm against delayed acknowledgements costs 40 ms an answer, and
        # asyncio switches it off only for sockets that name their protocol.
        # Connections inherit the option.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock  # noqa: TRY300
    except OSError as error:
        msg = f"Cannot listen on {host}:{port}: {error.strerror or error}."
        raise CerebrasConfigurationError(msg) from error
