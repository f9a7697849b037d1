"""What a card of the model catalog holds.

The data is `models.json` beside this file, decoded straight into these classes, so
each field here documents a key there. A key that is left out is *not known* (`None`),
which is never the same as `False` or zero: a consumer restricts a call only by what
is known. An empty tuple says "none".

Every known fact of a card has an entry in `ModelCard.sources`, and each source says
on which day it was last seen to say so.
"""

# No `from __future__ import annotations` here: msgspec evaluates the annotations.
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from langchain_cerebras_ext.catalog._days import utc_day
from langchain_cerebras_ext.errors import UnknownModelError

if TYPE_CHECKING:
    from langchain_core.language_models.model_profile import ModelProfile

    from langchain_cerebras_ext.catalog._lifecycle import Lifecycle

__all__ = [
    "Capabilities",
    "Change",
    "ImageRules",
    "ImageTokenRule",
    "Limits",
    "LiveSighting",
    "ModelCard",
    "OtherName",
    "Price",
    "RateLimit",
    "ReasoningSupport",
    "Sampling",
    "Scaffold",
    "Sighting",
    "Source",
    "UnknownModelError",
]

Status = Literal[
    "upcoming", "active", "unlisted", "retired", "dedicated-only", "never-served"
]
"""`active` is on the public endpoints, `dedicated-only` on customers' own ones;
`unlisted` was active, and the newest live list that was read lacks it; `upcoming` is a
card seen from a day before its model came."""

Origin = Literal["packaged", "refreshed", "file", "registered"]
"""Where a card is from: the packaged data, with facts of the live list since, the file
in `CEREBRAS_CATALOG`, or the program itself."""

Task = Literal[
    "agents",
    "bulk",
    "chat",
    "code",
    "extraction",
    "long-context",
    "multilingual",
    "reasoning",
    "vision",
]
"""What a model is used for."""

Tier = Literal["free", "developer"]
"""`developer` is the pay-as-you-go plan; card fields call its limits `paid`."""

DatePrecision = Literal["day", "month", "by"]
"""`month`: the day is not known, the first stands for it; `by`: then or earlier."""

ReasoningEffort = Literal["none", "low", "medium", "high"]
ReasoningFormat = Literal["parsed", "text_parsed", "raw", "hidden"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fact comes from.

    Attributes:
        title: What it is, in words.
        checked_on: The last day on which it was seen to say so. For material that
            names only a month, its first day; for undated material, the day on
            which it was read.
        kind: `capture` is a recording of the service, `vendor` the vendor's own
            word, `derived` our conclusion, `unverified` what no source was read for,
            `own` what the user says of a card of their own.
        url: Where it can be read, if there is such a place.
    """

    title: str
    checked_on: date
    kind: Literal["capture", "vendor", "third-party", "derived", "unverified", "own"]
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A day on which a source (a key of the catalog's sources) showed a price."""

    on: date
    source: str


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens in a period; `None` where not known, 0 where free.

    Cerebras publishes no days of change. A period begins on the first day on which
    the price was seen; a model's first period reaches back to the model's beginning.

    Attributes:
        input: Prompt tokens.
        output: Completion tokens, reasoning included.
        cached_input: Prompt tokens read from the prompt cache.
        image: Image tokens, where they are priced apart.
        batch_input: Prompt tokens of batch jobs.
        batch_output: Completion tokens of batch jobs.
        valid_from: First day of the period; `None` is the model's first day.
        valid_until: First day after the period; `None` is open.
        seen: When and where the price was seen, oldest first.
    """

    input: Decimal | None = None
    output: Decimal | None = None
    cached_input: Decimal | None = None
    image: Decimal | None = None
    batch_input: Decimal | None = None
    batch_output: Decimal | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    seen: tuple[Sighting, ...] = ()

    def covers(self, day: date) -> bool:
        """Tell whether the price was in force on a day."""
        return (self.valid_from is None or self.valid_from <= day) and (
            self.valid_until is None or day < self.valid_until
        )

    def blended(
        self, input_share: Decimal | float | str = Decimal("0.5")
    ) -> Decimal | None:
        """Return one price for a mix of prompt and completion tokens.

        Args:
            input_share: The part of all tokens that is prompt, from 0 to 1.

        Returns:
            USD per million tokens; `None` where a price that it needs is not known.

        Raises:
            ValueError: The share is not from 0 to 1.
        """
        share = Decimal(str(input_share))
        if not 0 <= share <= 1:  # not so for NaN either, which raises by itself
            msg = f"input_share={input_share!r} must be from 0 to 1."
            raise ValueError(msg)
        parts = ((share, self.input), (1 - share, self.output))
        total = Decimal(0)
        for part, price in parts:
            if not part:
                continue
            if price is None:
                return None
            total += part * price
        return total

    def cost(self, input_tokens: int, output_tokens: int) -> Decimal | None:
        """Return what so many tokens cost, in USD; `None` where that is not known."""
        total = Decimal(0)
        for tokens, price in ((input_tokens, self.input), (output_tokens, self.output)):
            if not tokens:
                continue
            if price is None:
                return None
            total += tokens * price
        return total / 1_000_000


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What a plan allowed for one model, as read on a day.

    `tokens_per_minute` counts every token, cached ones included; since 2026-07 there
    is a second, smaller bucket of uncached tokens. `unlimited` names the fields that
    the plan does not limit; a `None` outside of it is not known.
    """

    tier: Tier
    plan: str
    as_of: date
    source: str
    requests_per_minute: int | None = None
    requests_per_hour: int | None = None
    requests_per_day: int | None = None
    uncached_tokens_per_minute: int | None = None
    tokens_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    tokens_per_hour: int | None = None
    tokens_per_day: int | None = None
    output_tokens_per_request: int | None = None
    unlimited: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a tier allows for one model: window, completion, and the newest rates."""

    context_tokens: int | None
    max_output_tokens: int | None
    rates: RateLimit | None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do on this service; `None` where not known.

    Attributes:
        tools: Function calling.
        parallel_tool_calls: Several calls in one answer.
        forced_tool_choice: `tool_choice` of `required` or of one function.
        strict_tools: `strict: true` on tools.
        structured_outputs: `response_format` of `json_schema`.
        tools_with_response_format: Both in one request. `gpt-oss-120b` answers 400.
        json_mode: `response_format` of `json_object`.
        streaming: Server-sent events.
        streaming_with_json_object: The schema refuses the two together.
        streaming_with_json_schema: Streaming of structured output.
        streaming_with_tools: Streaming of tool calls.
        vision: Image input.
        prompt_caching: Automatic prefix cache.
        predicted_outputs: `prediction`.
        logprobs: `logprobs`.
        developer_role: Messages of role `developer`.
    """

    tools: bool | None = None
    parallel_tool_calls: bool | None = None
    forced_tool_choice: bool | None = None
    strict_tools: bool | None = None
    structured_outputs: bool | None = None
    tools_with_response_format: bool | None = None
    json_mode: bool | None = None
    streaming: bool | None = None
    streaming_with_json_object: bool | None = None
    streaming_with_json_schema: bool | None = None
    streaming_with_tools: bool | None = None
    vision: bool | None = None
    prompt_caching: bool | None = None
    predicted_outputs: bool | None = None
    logprobs: bool | None = None
    developer_role: bool | None = None


@dataclass(frozen=True, slots=True)
class ReasoningSupport:
    """How a model reasons, and how its reasoning is asked for and handed back.

    Attributes:
        supported: Whether it reasons at all.
        default_on: Whether it does when nothing is said.
        can_disable: Whether it can be made not to.
        efforts: Values of `reasoning_effort` that have an effect.
        inert_efforts: Values that are taken but make no difference.
        default_effort: The effort when nothing is said.
        formats: Values of `reasoning_format` that are taken.
        default_format: The format when nothing is said.
        default_json_format: The same under a JSON `response_format`, if it differs.
        replay: How reasoning of an earlier turn is sent: `field` is the assistant
            message's `reasoning`, `think_tags` is `<think>...</think>` within its
            content, `none` is not at all.
        clear_thinking: Whether `clear_thinking` is taken. Where it is and is left
            out, the service drops the reasoning of earlier turns from the prompt.
        prompt_switch: Text in the prompt that turns reasoning off.
    """

    supported: bool | None = None
    default_on: bool | None = None
    can_disable: bool | None = None
    efforts: tuple[ReasoningEffort, ...] | None = None
    inert_efforts: tuple[ReasoningEffort, ...] = ()
    default_effort: ReasoningEffort | None = None
    formats: tuple[ReasoningFormat, ...] | None = None
    default_format: ReasoningFormat | None = None
    default_json_format: ReasoningFormat | None = None
    replay: Literal["field", "think_tags", "none"] = "field"
    clear_thinking: bool | None = None
    prompt_switch: str | None = None

    def accepts_effort(self, effort: str) -> bool | None:
        """Tell whether the service takes this effort; `None` where not known."""
        if self.efforts is None:
            return None
        return effort in self.efforts or effort in self.inert_efforts

    def accepts_format(self, reasoning_format: str) -> bool | None:
        """Tell whether the service takes this format; `None` where not known.

        `none` asks for the model's default and is taken wherever others are.
        """
        if self.formats is None:
            return None
        return reasoning_format in {"none", *self.formats} if self.formats else False


@dataclass(frozen=True, slots=True)
class ImageTokenRule:
    """How many tokens an image counts.

    Attributes:
        kind: `fit` scales the image, up or down, to `max_tokens` cells and floors
            each side to whole cells; `grid` lays cells over the image as it is and
            rounds each side up.
        cell_px: Side of a cell, which is one token.
        max_tokens: The most that one image counts.
    """

    kind: Literal["fit", "grid"]
    cell_px: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class ImageRules:
    """Which images a model takes.

    Attributes:
        formats: Image types, as in `data:image/<type>;base64,`.
        data_uri: Whether `data:` URIs are taken.
        remote_url: Whether `https:` URLs are taken.
        roles: Message roles that may hold images.
        max_images: Images in one request, on the paid tier.
        max_images_free: The same on the free tier, where it is less.
        max_payload_bytes: All images of one request together. The documentation
            says 10 MB; this is the larger reading of it.
        token_rule: How images are counted, if known or estimated.
    """

    formats: tuple[str, ...]
    data_uri: bool
    remote_url: bool
    roles: tuple[str, ...]
    max_images: int | None = None
    max_images_free: int | None = None
    max_payload_bytes: int | None = None
    token_rule: ImageTokenRule | None = None


@dataclass(frozen=True, slots=True)
class Scaffold:
    """Tokens that the model's chat template adds around what was sent.

    Attributes:
        prompt: Once a request: system preamble and the start of the answer.
        message: For each message: role and delimiters.
        tools: Once where tools are given.
    """

    prompt: int
    message: int
    tools: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling that the model's makers or the vendor advise; never set unasked."""

    temperature: float | None = None
    top_p: float | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class OtherName:
    """A name that another product uses; the service itself does not take it."""

    name: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A fact of a card that is no longer what it was.

    Attributes:
        on: First day of what it is now, as far as known.
        field: The field, as `context_tokens_paid` or `capabilities.vision`.
        before: What it was until then; `None` is not known.
        after: What it is from then on.
        source: A key of the catalog's sources.
    """

    on: date
    field: str
    before: str | int | bool | None = None
    after: str | int | bool | None = None
    source: str = "unverified"


@dataclass(frozen=True, slots=True)
class LiveSighting:
    """What a live list of the service showed of a model on a day.

    Attributes:
        on: The day.
        listed: Whether the list had it.
        deprecated: The list's own flag; the service is known not to set it.
        source: A key of the catalog's sources.
    """

    on: date
    listed: bool
    deprecated: bool | None = None
    source: str = "unverified"


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Everything known about one model, with sources.

    Dates are days of the vendor's announcements. `*_free` and `*_paid` are the
    limits of the two shared tiers; the vendor's model list shows the paid ones.

    Example:
        >>> from langchain_cerebras_ext.catalog import get_model
        >>> card = get_model("qwen-3-coder-480b")
        >>> card.status, card.retired_on.isoformat(), card.replacement_current
        ('retired', '2025-11-05', 'gpt-oss-120b')

    Attributes:
        id: The id that the service takes.
        name: The name people read.
        status: Where it is served on `status_as_of`.
        reasoning: How it reasons.
        owner: Who made the model.
        parameters: Its size, in words.
        hugging_face_id: Its weights.
        tokenizer: Its vocabulary, where a tokenizer package may have it:
            `o200k_harmony`, `qwen3` or `llama3`.
        release_stage: `production`, `preview` or `private-preview`.
        dedicated_available: Whether dedicated endpoints offer it.
        announced: First day on the service, to `announced_precision`.
        deprecation_announced: When its end was told, to `deprecation_precision`.
        retired_on: The day of its end on the public endpoints; it may be gone at any
            hour of it, and was seen to stay a little longer at times.
        retired_precision: `by` where only a day after the end is known.
        replacements: What the vendor named then, best first.
        replacement_current: What to use today: a model that is served.
        replacement_basis: `vendor` if the announced successors lead to it, `advice`
            if they end unserved and this is our own advice.
        prices: Price periods, oldest first, without gaps or overlaps.
        safe_context_tokens: Where sources disagree: what all of them allow.
        safe_max_output_tokens: The same for the completion.
        speed_tokens_per_s: Output speed, as published.
        rate_limits: What plans allowed, by tier, oldest first.
        tool_call_delta: How streams bring tool calls: in `fragments`, or `whole`.
        images: Which images it takes, if any.
        scaffold: What its chat template adds to a prompt.
        recommended_sampling: Sampling that is advised for it.
        aliases: Other ids that the service takes for it.
        other_names: Names that other products use for it.
        strengths: What it is said to be good at, in words.
        best_uses: The tasks it is said to be good at.
        links: Documentation: the model's page, and what else tells of it.
        notes: What else is known.
        conflicts: Where sources disagree, and what was made of it.
        changes: What facts other than prices were before, oldest first.
        sources: For each known field the keys of its sources, best first.
        live: What live lists showed of it since the packaged data, oldest first;
            empty unless `refresh` was called.
        origin: Where the card is from.
    """

    id: str
    name: str
    status: Status
    status_as_of: date
    reasoning: ReasoningSupport = field(default_factory=ReasoningSupport)
    capabilities: Capabilities = field(default_factory=Capabilities)
    owner: str | None = None
    parameters: str | None = None
    hugging_face_id: str | None = None
    tokenizer: str | None = None
    release_stage: Literal["production", "preview", "private-preview"] | None = None
    dedicated_available: bool | None = None
    announced: date | None = None
    announced_precision: DatePrecision = "day"
    deprecation_announced: date | None = None
    deprecation_precision: DatePrecision = "day"
    retired_on: date | None = None
    retired_precision: DatePrecision = "day"
    replacements: tuple[str, ...] = ()
    replacement_current: str | None = None
    replacement_basis: Literal["vendor", "advice"] | None = None
    prices: tuple[Price, ...] = ()
    context_tokens_free: int | None = None
    context_tokens_paid: int | None = None
    safe_context_tokens: int | None = None
    max_output_tokens_free: int | None = None
    max_output_tokens_paid: int | None = None
    safe_max_output_tokens: int | None = None
    speed_tokens_per_s: int | None = None
    rate_limits: tuple[RateLimit, ...] = ()
    tool_call_delta: Literal["fragments", "whole"] | None = None
    images: ImageRules | None = None
    scaffold: Scaffold | None = None
    recommended_sampling: Sampling | None = None
    aliases: tuple[str, ...] = ()
    other_names: tuple[OtherName, ...] = ()
    strengths: tuple[str, ...] = ()
    best_uses: tuple[Task, ...] = ()
    links: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    sources: dict[str, tuple[str, ...]] = field(
        default_factory=dict[str, tuple[str, ...]], repr=False
    )
    live: tuple[LiveSighting, ...] = ()
    origin: Origin = "packaged"

    def __hash__(self) -> int:
        """Hash by id; `sources` is a dictionary and cannot be hashed."""
        return hash(self.id)

    @property
    def replacement(self) -> str | None:
        """The successor that the vendor named first, if it named one."""
        return self.replacements[0] if self.replacements else None

    def price(self, on: date | None = None) -> Price | None:
        """Return the price in force on a day.

        A retired model keeps its last price, so that late records can be priced.

        Args:
            on: The day (UTC) of the call; today if not given.

        Returns:
            The price, or `None` if none is known or the model did not exist yet.
        """
        day = utc_day(on)
        if self.announced and self.announced_precision != "by" and day < self.announced:
            return None
        return next((price for price in self.prices if price.covers(day)), None)

    def limits(self, tier: Tier = "developer", on: date | None = None) -> Limits:
        """Return what a tier allows, with the newest known rates.

        Args:
            tier: The plan.
            on: Take the newest rates that were known on this day (UTC).
        """
        free = tier == "free"
        context = self.context_tokens_free if free else self.context_tokens_paid
        output = self.max_output_tokens_free if free else self.max_output_tokens_paid
        rates = [
            limit
            for limit in self.rate_limits
            if limit.tier == tier and (on is None or limit.as_of <= utc_day(on))
        ]
        return Limits(
            context_tokens=context,
            max_output_tokens=output,
            rates=max(rates, key=lambda limit: limit.as_of, default=None),
        )

    def lifecycle(self, on: date | None = None) -> "Lifecycle":
        """Tell where in its life the model is on a day, and what follows it.

        Only what was told by that day counts; live lists that were read by then are
        taken into account.

        Args:
            on: The day (UTC); today if not given.
        """
        from langchain_cerebras_ext.catalog._lifecycle import lifecycle

        return lifecycle(self, utc_day(on))

    def as_of(self, on: date) -> "ModelCard":
        """Return the card as it would have been written on a day (UTC).

        Prices, ends and successors that came later are left out, and facts that have
        changed since are as they were.
        """
        from langchain_cerebras_ext.catalog._lifecycle import as_of

        return as_of(self, utc_day(on))

    def to_dict(self) -> dict[str, Any]:
        """Return all known facts as plain JSON values; money and dates are text."""
        from langchain_cerebras_ext.catalog._rows import card_to_dict

        return card_to_dict(self)

    def to_profile(self) -> "ModelProfile":
        """Describe the model as LangChain's `ModelProfile`.

        Limits are those of the paid tier, as catalogs show them, or lower where
        sources disagree. `structured_output` is what `create_agent` makes of it: a
        `response_format` together with tools, so it is true only where the service is
        known to take both. What is not known is left out.
        """
        from langchain_cerebras_ext.catalog._profile import build_profile

        return build_profile(self)
