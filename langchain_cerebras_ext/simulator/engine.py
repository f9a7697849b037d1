"""The simulated service without HTTP: bodies in, replies out."""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Literal, TypeAlias

from langchain_cerebras_ext._version import __version__
from langchain_cerebras_ext.simulator import encode, faults
from langchain_cerebras_ext.simulator._json import (
    JsonObject,
    dump,
)
from langchain_cerebras_ext.simulator.activity import Activity
from langchain_cerebras_ext.simulator.bill import CLIENT_GONE, BillBook, Meter
from langchain_cerebras_ext.simulator.clock import Clock, SystemClock
from langchain_cerebras_ext.simulator.compose import compose_answer
from langchain_cerebras_ext.simulator.damage import (
    Break,
    damaged_body,
    damaged_events,
    find_break,
)
from langchain_cerebras_ext.simulator.faults import Fault, RefusedError
from langchain_cerebras_ext.simulator.generation import (
    Choice,
    Completion,
    Piece,
    Timing,
    Usage,
    make_choice,
    make_timing,
)
from langchain_cerebras_ext.simulator.limits import Limiter, Reservation
from langchain_cerebras_ext.simulator.odd import odd_events, zipped_body
from langchain_cerebras_ext.simulator.profiles import (
    ModelProfile,
    ModelSelection,
    Rates,
    select_profiles,
)
from langchain_cerebras_ext.simulator.prompt_cache import PromptCache
from langchain_cerebras_ext.simulator.request import ChatRequest
from langchain_cerebras_ext.simulator.scenarios import Delivery, RawReply, Rule, Script
from langchain_cerebras_ext.simulator.text_extras import TextExtras
from langchain_cerebras_ext.simulator.tokens import split_tokens
from langchain_cerebras_ext.simulator.validation import (
    check_chat,
    check_service_headers,
    check_text,
    requested_model,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from langchain_cerebras_ext.simulator.answers import ToolCall
    from langchain_cerebras_ext.simulator.network_faults import Damage
    from langchain_cerebras_ext.simulator.records import RecordedRequest

Speed: TypeAlias = Literal["instant", "real"] | float
Tier: TypeAlias = Literal["free_trial", "developer"]
UsageStyle: TypeAlias = Literal["final", "openai"]

EVENT_STREAM = "text/event-stream; charset=utf-8"
CHAT_PATH = "/v1/chat/completions"
TEXT_PATH = "/v1/completions"


@dataclass(frozen=True, slots=True)
class Settings:
    """How a simulator behaves; see `Simulator` for what each means."""

    key: str | None = field(default=None, repr=False)
    speed: Speed = "instant"
    seed: int = 0
    tier: Tier | None = None
    rates: Rates | None = None
    models: ModelSelection = "active"
    stream_usage_style: UsageStyle = "final"
    tokens_per_chunk: int | None = None
    queue_time_s: float | None = None
    echo_service_tier: bool = False
    keep_requests: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        checks = {
            "speed": self.speed in ("instant", "real")
            or (isinstance(self.speed, (int, float)) and self.speed > 0),
            "tier": self.tier in (None, "free_trial", "developer"),
            "stream_usage_style": self.stream_usage_style in ("final", "openai"),
            "tokens_per_chunk": self.tokens_per_chunk is None
            or self.tokens_per_chunk > 0,
            "keep_requests": self.keep_requests is None or self.keep_requests >= 0,
        }
        allowed = {
            "speed": "'instant', 'real' or a factor above 0",
            "tier": "None, 'free_trial' or 'developer'",
            "stream_usage_style": "'final' or 'openai'",
            "tokens_per_chunk": "None or a number above 0",
            "keep_requests": "None or 0 and above",
        }
        for name, good in checks.items():
            if not good:
                value = getattr(self, name)
                msg = f"{name}={value!r} is not valid; give {allowed[name]}."
                raise ValueError(msg)

    @property
    def factor(self) -> float | None:
        """How much faster than the real model events come; None is at once."""
        if isinstance(self.speed, str):
            return 1.0 if self.speed == "real" else None
        return float(self.speed)


@dataclass(slots=True)
class Reply:
    """What goes back to the client.

    Attributes:
        events: Stream events, each with its number of generated tokens; None for a
            plain body.
        wait_s: What the service needs before its first token.
        rest_s: What it needs after that for a plain body.
        tokens_per_s: The pace of a stream.
        delivery: How it is sent.
        damage: What breaks on the way; None is nothing.
        place: Where.
        meter: Counts what is generated for it; None if nothing is.
    """

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    events: Iterator[tuple[int, bytes]] | None = None
    wait_s: float = 0.0
    rest_s: float = 0.0
    tokens_per_s: float | None = None
    delivery: Delivery = field(default_factory=Delivery)
    damage: Damage | None = None
    place: Break | None = None
    meter: Meter | None = None

    @classmethod
    def from_fault(cls, fault: Fault) -> Reply:
        """Return an error as a reply."""
        headers = dict(fault.headers)
        content_type = headers.pop("content-type", "application/json")
        body = fault.body
        if isinstance(body, str):
            encoded, content_type = body.encode(), "text/plain; charset=utf-8"
        else:
            encoded = body if isinstance(body, bytes) else dump(body)
        return cls(encoded, fault.status, content_type, headers)


@dataclass(frozen=True, slots=True)
class Interference:
    """What a script does to one request, besides answering it.

    Attributes:
        reply: Sent without asking the service; None asks it.
        delivery: How the answer is sent, whoever gave it.
    """

    reply: Reply | None = None
    delivery: Delivery = field(default_factory=Delivery)


@dataclass(frozen=True, slots=True)
class _Admission:
    """A request that may be answered, and what was set aside for it."""

    prompt_tokens: int
    cached_tokens: int
    reservation: Reservation


class Engine:
    """One simulated account: models, script, limits, cache and what was asked.

    Everything but the script is used from the server's loop only.

    Args:
        settings: How it behaves.
        clock: Where time comes from.
        rules: Scripted replies to begin with.

    Attributes:
        place: Its number among those that serve side by side; part of its ids.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        clock: Clock | None = None,
        rules: Iterable[Rule] = (),
    ) -> None:
        self.place = 0
        self.settings = settings or Settings()
        self.clock = clock or SystemClock()
        self.profiles = select_profiles(self.settings.models)
        self.script = Script()
        self.requests: list[RecordedRequest] = []
        self.received = 0
        self.bill_book = BillBook(self.settings.keep_requests)
        self.activity = Activity()
        self._first_rules = tuple(rules)
        self._cache = PromptCache()
        self._limiters: dict[str, Limiter] = {}
        self._ids = Random(self.settings.seed)  # noqa: S311 - seeded on purpose
        self._names = {
            name: profile
            for profile in self.profiles.values()
            for name in (profile.id, *profile.aliases)
        }
        self._add_first_rules()

    def _add_first_rules(self) -> None:
        for rule in self._first_rules:
            self.script.add(dataclasses.replace(rule, used=0))

    def reset(self) -> None:
        """Forget requests, the bill, the script, limits and the prompt cache."""
        self.script.clear()
        self.requests.clear()
        self.received = 0
        self.bill_book.clear()
        self._limiters.clear()
        self._cache.clear()
        self._ids = Random(self.settings.seed)  # noqa: S311 - seeded on purpose
        self._add_first_rules()

    # ---------------------------------------------------------------------- requests

    def note(self, request: RecordedRequest) -> None:
        """Number a request and keep it; old ones are let go if there are too many."""
        self.received += 1
        request.number = self.received
        self.requests.append(request)
        keep = self.settings.keep_requests
        # Not one by one: taking the first of a list moves all the others.
        if keep is not None and len(self.requests) > 2 * keep + 100:
            del self.requests[: len(self.requests) - keep]

    def kept_requests(self) -> list[RecordedRequest]:
        """Return the latest requests, as many as are kept."""
        requests = list(self.requests)
        keep = self.settings.keep_requests
        return requests if keep is None else requests[max(0, len(requests) - keep) :]

    def settle(self, meter: Meter, *, client_stayed: bool) -> None:
        """Close the bill of a request, and give back what was not generated for it."""
        if not client_stayed:
            meter.delivered = False
            meter.fault = meter.fault or CLIENT_GONE
        whole, used = meter.completion.usage, meter.usage()
        unused = whole.completion_tokens - used.completion_tokens
        if unused:
            profile = self._names[meter.completion.model]
            self._limiter(profile).settle(
                Reservation(unused, unused), tokens=0, uncached=0
            )
        self.bill_book.close(meter)

    def authorize(self, authorization: str | None) -> None:
        """Check the `Authorization` header, if a key was set.

        A simulator without a key is open, so that a client needs none either.

        Raises:
            RefusedError: It is missing (403) or holds the wrong key (401).
        """
        if self.settings.key is None:
            return
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise RefusedError(faults.not_authenticated())
        if key.strip() != self.settings.key:
            raise RefusedError(faults.wrong_key())

    def find_model(self, model: str) -> ModelProfile:
        """Look up a served model by id or alias.

        Raises:
            RefusedError: It is not served (404).
        """
        if model not in self._names:
            raise RefusedError(faults.model_not_found(model))
        return self._names[model]

    def scripted_failure(self, path: str, body: JsonObject) -> Reply | None:
        """Return the error or the exact bytes that are scripted for a request."""
        rule = self.script.take(path, body, "failure")
        return None if rule is None else _stand_in(rule)

    def interfere(
        self, path: str, body: JsonObject, number: int | None = None
    ) -> Interference:
        """Return what is scripted to go wrong with a request, or to look odd.

        Args:
            path: The endpoint.
            body: The request's body, `{}` if it has none.
            number: Which request it is; None leaves nothing to chance.
        """
        failure = self.script.take(path, body, "failure", "damage", number=number)
        odd = self.script.take(path, body, "odd")
        delivery = Delivery() if odd is None else odd.delivery
        if failure is None:
            return Interference(None, delivery)
        return Interference(_stand_in(failure), delivery.plus(failure.delivery))

    def prepare(self, reply: Reply, interference: Interference) -> Reply:
        """Return a reply as it will be sent: damaged, and in odd forms.

        Raises:
            DoesNotFitError: A fault needs something that the answer does not have.
        """
        reply.delivery = delivery = reply.delivery.plus(interference.delivery)
        damage = delivery.broken_by(streamed=reply.events is not None)
        if damage is not None:
            reply = _damaged(reply, damage)
        if delivery.odd:
            _bend(reply, delivery)
        if reply.damage is not None and reply.damage.kind.stage == "body":
            reply.place = _place(reply, reply.damage)
        return reply

    def new_id(self, prefix: str) -> str:
        """Return a fresh id: a prefix and a UUID, that no simulator beside has."""
        number = self._ids.getrandbits(128) ^ self.place
        return f"{prefix}{uuid.UUID(int=number, version=4)}"

    def rate_headers(self, profile: ModelProfile) -> Mapping[str, str]:
        """Return the rate-limit headers for a model."""
        return self._limiter(profile).headers(self.clock.monotonic())

    def chat(self, body: JsonObject, headers: Mapping[str, str]) -> Reply:
        """Answer a chat completion.

        Raises:
            RefusedError: The request is refused; the error says how.
        """
        profile = self.find_model(requested_model(body))
        check_chat(body, profile)
        check_service_headers(headers, body, self.settings.queue_time_s)
        request = ChatRequest(body, profile)
        admission = self._admit(request, request.prompt_pieces, request.prompt_tokens)
        rule = self.script.take(CHAT_PATH, body, "reply")
        choices = [
            self._choice(request, rule, index, request.prompt_tokens)
            for index in range(request.choices)
        ]
        completion = self._completion("chatcmpl-", request, choices, admission)
        reply = self._reply(completion, profile, rule, stream=request.stream)
        reply.meter = Meter(completion, streamed=request.stream, lead=len(choices))
        if request.stream:
            extra = self.settings.stream_usage_style == "openai"
            reply.events = encode.chat_events(
                completion, profile, extra_usage=extra and request.include_usage
            )
        else:
            reply.body = encode.encode_chat(completion, profile)
        return reply

    def text(self, body: JsonObject, headers: Mapping[str, str]) -> Reply:
        """Answer a text completion.

        Raises:
            RefusedError: The request is refused; the error says how.
        """
        profile = self.find_model(requested_model(body))
        check_text(body, profile)
        check_service_headers(headers, body, self.settings.queue_time_s)
        prompts = text_prompts(body)
        pieces = [piece for prompt in prompts for piece in split_tokens(prompt)]
        request = _text_request(body, profile, prompts[0])
        admission = self._admit(request, pieces, len(pieces))
        rule = self.script.take(TEXT_PATH, body, "reply")
        choices: list[Choice] = []
        extras: list[TextExtras] = []
        for prompt in prompts:
            one = _text_request(body, profile, prompt)
            echoed = prompt if body.get("echo") else ""
            for _ in range(request.choices):
                made = self._choice(one, rule, len(choices), len(pieces))
                choice = _echo(made, echoed) if echoed else made
                choices.append(choice)
                extras.append(TextExtras(body, choice.content or "", len(echoed)))
        completion = self._completion("cmpl-", request, choices, admission)
        reply = self._reply(completion, profile, rule, stream=request.stream)
        reply.meter = Meter(completion, streamed=request.stream, lead=0)
        if request.stream:
            reply.events = encode.text_events(completion, profile, extras)
        else:
            reply.body = encode.encode_text(completion, profile, extras)
        return reply

    # ----------------------------------------------------------------------- answers

    def _limiter(self, profile: ModelProfile) -> Limiter:
        limiter = self._limiters.get(profile.id)
        if limiter is None:
            settings = self.settings
            limiter = Limiter(
                settings.rates or profile.rates(settings.tier),
                self.clock.monotonic(),
                enforced=settings.tier is not None or settings.rates is not None,
            )
            self._limiters[profile.id] = limiter
        return limiter

    def _admit(
        self, request: ChatRequest, pieces: list[str], prompt_tokens: int
    ) -> _Admission:
        """Check window and rate limits, and reserve for the answer."""
        profile = request.profile
        window = profile.context_tokens(self.settings.tier)
        length = prompt_tokens + (request.max_tokens or 0)
        if length > window:
            raise RefusedError(faults.context_length(length, window))
        now = self.clock.monotonic()
        cached = self._cache.lookup(profile.id, pieces, now)
        limiter = self._limiter(profile)
        admitted = limiter.admit(
            now, prompt=prompt_tokens, cached=cached, completion=request.max_tokens
        )
        if isinstance(admitted, Fault):
            told = {**limiter.headers(now), **admitted.headers}
            raise RefusedError(dataclasses.replace(admitted, headers=told))
        return _Admission(prompt_tokens, cached, admitted)

    def _choice(
        self, request: ChatRequest, rule: Rule | None, index: int, prompt_tokens: int
    ) -> Choice:
        settings = self.settings
        rng = request.random(settings.seed, index)
        if rule is not None and rule.answer is not None:
            answer = rule.answer(request.body)
        else:
            answer = compose_answer(request, rng)
        answer = dataclasses.replace(
            answer, tool_calls=tuple(_with_ids(answer.tool_calls, rng))
        )
        room = request.profile.context_tokens(settings.tier) - prompt_tokens
        most = min(room, request.profile.output_tokens(settings.tier))
        limit = most if request.max_tokens is None else min(most, request.max_tokens)
        return make_choice(
            answer,
            request,
            index=index,
            limit=limit,
            rng=rng,
            chunk_tokens=settings.tokens_per_chunk,
        )

    def _completion(
        self,
        prefix: str,
        request: ChatRequest,
        choices: list[Choice],
        admission: _Admission,
    ) -> Completion:
        profile = request.profile
        prompt_tokens, cached = admission.prompt_tokens, admission.cached_tokens
        usage = Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=sum(choice.completion_tokens for choice in choices),
            reasoning_tokens=sum(choice.reasoning_tokens for choice in choices),
            cached_tokens=cached,
            image_tokens=request.image_tokens,
            accepted_tokens=sum(choice.accepted_tokens for choice in choices),
            rejected_tokens=sum(choice.rejected_tokens for choice in choices),
        )
        self._limiter(profile).settle(
            admission.reservation,
            tokens=prompt_tokens + usage.completion_tokens,
            uncached=prompt_tokens - cached + usage.completion_tokens,
        )
        now = self.clock.time()
        timing = make_timing(
            usage,
            speed=profile.speed_tokens_per_s * (self.settings.factor or 1.0),
            created=now,
            rng=request.random(self.settings.seed, -1),
            queue_time=self.settings.queue_time_s,
        )
        return Completion(
            id=self.new_id(prefix),
            model=profile.id,
            created=int(now),
            fingerprint=fingerprint(profile.id),
            choices=tuple(choices),
            usage=usage,
            timing=timing,
            service_tier_used=self._tier_used(request),
        )

    def _tier_used(self, request: ChatRequest) -> str | None:
        asked = request.body.get("service_tier")
        if not self.settings.echo_service_tier or asked is None:
            return None
        return "default" if asked == "auto" else str(asked)

    def _reply(
        self,
        completion: Completion,
        profile: ModelProfile,
        rule: Rule | None,
        *,
        stream: bool,
    ) -> Reply:
        headers = {"inference-id": completion.id, **self.rate_headers(profile)}
        reply = Reply(headers=headers)
        if stream:
            reply.content_type = EVENT_STREAM
        if rule is not None:
            reply.delivery = rule.delivery
        factor = self.settings.factor
        if factor is not None:
            timing: Timing = completion.timing
            reply.wait_s = (timing.queue_time + timing.prompt_time) / factor
            reply.rest_s = timing.completion_time
            reply.tokens_per_s = profile.speed_tokens_per_s * factor
        return reply


def fingerprint(model: str) -> str:
    """Return the fingerprint of a model's deployment, which names the simulator."""
    digest = hashlib.sha256(f"{model} {__version__}".encode()).hexdigest()
    return f"fp_simulator_{digest[:10]}"


def text_prompts(body: JsonObject) -> list[str]:
    """Return the prompts of a text completion; token ids stand for themselves."""
    prompt = body["prompt"]
    if isinstance(prompt, str):
        return [prompt]
    if prompt and isinstance(prompt[0], int):
        return [_token_text(prompt)]
    return [one if isinstance(one, str) else _token_text(one) for one in prompt]


def _token_text(ids: Iterable[int]) -> str:
    """Write token ids as words, one token each: there is no vocabulary here."""
    return "".join(f" t{_letters(one)}" for one in ids)


def _letters(number: int) -> str:
    letters = ""
    while True:
        number, rest = divmod(abs(number), 26)
        letters = chr(97 + rest) + letters
        if number == 0:
            return letters


def _text_request(body: JsonObject, profile: ModelProfile, prompt: str) -> ChatRequest:
    """Return a text completion as the chat that answers it."""
    kept = (
        "stop",
        "max_tokens",
        "min_tokens",
        "n",
        "seed",
        "stream",
        "stream_options",
        "service_tier",
    )
    chat: JsonObject = {key: body[key] for key in kept if key in body}
    chat["messages"] = [{"role": "user", "content": prompt}]
    chat["model"] = profile.id
    chat["reasoning_effort"] = "none"
    return ChatRequest(chat, profile)


def _echo(choice: Choice, prompt: str) -> Choice:
    return dataclasses.replace(
        choice,
        content=prompt + (choice.content or ""),
        pieces=(Piece("content", prompt, 0), *choice.pieces),
    )


def _with_ids(calls: Iterable[ToolCall], rng: Random) -> Iterator[ToolCall]:
    """Give each call an id as the service makes them: nine hex characters."""
    for call in calls:
        made = f"{rng.getrandbits(36):09x}"
        yield call if call.id is not None else dataclasses.replace(call, id=made)


def _raw_reply(raw: RawReply) -> Reply:
    return Reply(
        status=raw.status,
        content_type=raw.content_type,
        headers=dict(raw.headers),
        events=iter([(0, part) for part in raw.parts]),
    )


def _stand_in(rule: Rule) -> Reply | None:
    """Return what a rule sends without asking the service; None if that is asked."""
    if rule.raw is not None:
        return _raw_reply(rule.raw)
    if rule.fault is not None:
        return Reply.from_fault(rule.fault)
    damage = rule.delivery.damage
    if damage is None or damage.billed:
        return None
    # Nothing was generated, so there is nothing but what is said here, if anything.
    return Reply() if damage.answer is None else Reply.from_fault(damage.answer)


def _damaged(reply: Reply, damage: Damage) -> Reply:
    """Return a reply whose bytes are as a fault leaves them."""
    if damage.kind.chat_only and reply.meter is None:
        return reply  # Refused: there is no completion that could be damaged.
    if damage.answer is not None:
        meter, delivery = reply.meter, reply.delivery
        reply = Reply.from_fault(damage.answer)
        reply.meter, reply.delivery = meter, delivery
    reply.damage = damage
    if reply.meter is not None:
        reply.meter.fault = damage.name
    if damage.kind.stage != "content":
        return reply
    if damage.name == "wrong_content_type":
        reply.content_type = "text/plain; charset=utf-8"
    elif reply.events is None:
        reply.body = damaged_body(damage, reply.body)
    else:
        events, own = damaged_events(damage, list(reply.events))
        reply.events = iter(events)
        if reply.meter is not None:
            reply.meter.limit = own
    return reply


def _bend(reply: Reply, delivery: Delivery) -> None:
    """Write a reply in odd forms, as far as its bytes show them."""
    if reply.events is not None:
        reply.events = iter(odd_events(delivery.odd, reply.events))
    elif "gzip" in delivery.odd:
        reply.body = zipped_body(reply.body)
    if "gzip" in delivery.odd:
        reply.headers["content-encoding"] = "gzip"


def _place(reply: Reply, damage: Damage) -> Break:
    if reply.events is None:
        return find_break(damage, [reply.body], streamed=False)
    events = list(reply.events)
    reply.events = iter(events)
    return find_break(damage, [event for _, event in events], streamed=True)
