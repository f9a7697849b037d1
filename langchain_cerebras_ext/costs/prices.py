"""`PriceBook`: by whose price a call is priced: yours, the catalog's, a library's."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from langchain_cerebras_ext._config import strip_provider
from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.catalog.models import ModelCard
from langchain_cerebras_ext.costs import _providers
from langchain_cerebras_ext.costs._providers import provider_name
from langchain_cerebras_ext.costs.pricing import (
    EXACT,
    ZERO,
    Extra,
    PriceRow,
    Rates,
    Step,
    call_day,
    usd_text,
)
from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from langchain_cerebras_ext.catalog._table import Table
    from langchain_cerebras_ext.catalog.models import Price

__all__ = ["Discount", "PriceBook", "list_prices"]

CEREBRAS: Final = "cerebras"
ANY_MODEL: Final = "*"
YOURS: Final = "your prices"

_Key = tuple[str | None, str, date, bool, str | None]
_MAX_KEPT: Final = 4096
_MAX_DIGITS: Final = 40
_MAX_RATE: Final = Decimal("1e12")
_HUNDRED: Final = Decimal(100)
_ONE: Final = Decimal(1)
_NOT_YET: Final[Any] = object()
RATE_NAMES: Final = (
    "input",
    "output",
    "cached_input",
    "cache_write",
    "image",
    "request",
)


class Discount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is taken off list prices.

    Attributes:
        fraction: From 0 to 1.
        model: Of this model only; `None` is every one.
        provider: Of this provider only, by LangChain's name; `None` is every one.
        valid_from: First day; `None` is always.
        valid_until: First day after it; `None` is open.
        note: Why.
    """

    fraction: Decimal
    model: str | None = None
    provider: str | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    note: str = ""


class PriceBook:
    """Your own prices and discounts, over the catalog's and a library's; immutable.

    A price is looked for among your own rows, then for Cerebras in the catalog, where
    retired models and aliases are too, then for other providers in `genai-prices`, if
    the extra `prices` is installed. Nothing is ever read from the network. Of your
    rows for a day the one given last holds; `model="*"` is for every model of a
    provider that has no row of its own.

    Discounts are taken off list prices, several one after the other. A price of your
    own is what you pay: of discounts only those that name its model count for it.

    Args:
        rows: Prices of your own.
        discounts: Discounts of your own.
        batch_rows: Prices of your own for jobs of a batch API.

    Raises:
        CerebrasConfigurationError: A row or discount is wrong; names the field.

    Example:
        >>> from datetime import date
        >>> book = PriceBook().with_discount(
        ...     percent=20, provider="cerebras", note="contract of 2026"
        ... )
        >>> row = book.find("cerebras", "gpt-oss-120b", date(2026, 11, 21))
        >>> row.input, row.discount, row.note
        (Decimal('0.28'), Decimal('0.2'), 'contract of 2026')
    """

    __slots__ = ("_batch_rows", "_discounts", "_known", "_rows")

    def __init__(
        self,
        rows: Iterable[PriceRow] = (),
        discounts: Iterable[Discount] = (),
        *,
        batch_rows: Iterable[PriceRow] = (),
    ) -> None:
        self._rows = tuple(check_row(row) for row in rows)
        self._batch_rows = tuple(check_row(row) for row in batch_rows)
        self._discounts = tuple(check_discount(one) for one in discounts)
        self._known = _Known(None, None)

    # ---------------------------------------------------------------- what is in it

    @property
    def rows(self) -> tuple[PriceRow, ...]:
        """Your own prices, in the order given."""
        return self._rows

    @property
    def batch_rows(self) -> tuple[PriceRow, ...]:
        """Your own prices of batch jobs."""
        return self._batch_rows

    @property
    def discounts(self) -> tuple[Discount, ...]:
        """Your own discounts."""
        return self._discounts

    def _parts(self) -> tuple[Any, ...]:
        return self._rows, self._discounts, self._batch_rows

    def __eq__(self, other: object) -> bool:
        """Whether two books hold the same."""
        if not isinstance(other, PriceBook):
            return NotImplemented
        return self._parts() == other._parts()

    def __hash__(self) -> int:
        """Hash by what it holds."""
        return hash(self._parts())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it holds, and nothing that was looked up."""
        return _rebuild, self._parts()

    def __repr__(self) -> str:
        """Return how much there is in it."""
        own = len(self._rows) + len(self._batch_rows)
        return f"<PriceBook, {own} prices and {len(self._discounts)} discounts>"

    def with_price(
        self,
        model: str,
        *,
        input: Decimal | str | int | None = None,  # noqa: A002 - the kind's name
        output: Decimal | str | int | None = None,
        cached_input: Decimal | str | int | None = None,
        cache_write: Decimal | str | int | None = None,
        image: Decimal | str | int | None = None,
        request: Decimal | str | int = 0,
        provider: str = CEREBRAS,
        valid_from: date | None = None,
        valid_until: date | None = None,
        source: str = YOURS,
        seen: date | None = None,
        note: str = "",
        batch: bool = False,
    ) -> PriceBook:
        """Return a book with one more price of your own.

        Rates are USD per million tokens: 0 is free, and what is left out is not known,
        or priced as other input for `cached_input`, `cache_write` and `image`.

        Args:
            model: The model's id, also as `provider::model`; `*` is every model of the
                provider that has no row of its own.
            input: Prompt tokens.
            output: Completion tokens.
            cached_input: Prompt tokens read from a cache.
            cache_write: Prompt tokens written to a cache.
            image: Image tokens.
            request: USD for each request.
            provider: Whose model it is, by LangChain's name.
            valid_from: First day (UTC).
            valid_until: First day after it.
            source: Who says so.
            seen: When it was last seen there.
            note: Why.
            batch: Whether it is for jobs of a batch API, and not for other calls.

        Raises:
            CerebrasConfigurationError: A value is wrong; names it.
        """
        prefix, name = split_model(model)
        where = f"with_price({model!r})"
        row = PriceRow(
            input=read_rate(input, "input", where),
            output=read_rate(output, "output", where),
            cached_input=read_rate(cached_input, "cached_input", where),
            cache_write=read_rate(cache_write, "cache_write", where),
            image=read_rate(image, "image", where),
            request=read_rate(request, "request", where) or ZERO,
            provider=prefix or provider,
            model=name,
            source=source,
            seen=seen,
            valid_from=valid_from,
            valid_until=valid_until,
            note=note,
        )
        if batch:
            return PriceBook(
                self._rows, self._discounts, batch_rows=(*self._batch_rows, row)
            )
        return PriceBook(
            (*self._rows, row), self._discounts, batch_rows=self._batch_rows
        )

    def with_discount(
        self,
        *,
        percent: Decimal | str | int | None = None,
        fraction: Decimal | str | int | None = None,
        model: str | None = None,
        provider: str | None = None,
        valid_from: date | None = None,
        valid_until: date | None = None,
        note: str = "",
    ) -> PriceBook:
        """Return a book with one more discount.

        Args:
            percent: What is taken off, from 0 to 100; this or `fraction`.
            fraction: What is taken off, from 0 to 1.
            model: Of this model only, also as `provider::model`.
            provider: Of this provider's list prices only, by LangChain's name; a price
                of your own is what you pay.
            valid_from: First day (UTC).
            valid_until: First day after it.
            note: Why.

        Raises:
            CerebrasConfigurationError: A value is wrong; names it.
        """
        prefix, name = split_model(model) if model is not None else (None, None)
        discount = Discount(
            fraction=read_fraction(percent, fraction, "with_discount"),
            model=name,
            provider=prefix or provider,
            valid_from=valid_from,
            valid_until=valid_until,
            note=note,
        )
        return PriceBook(
            self._rows, (*self._discounts, discount), batch_rows=self._batch_rows
        )

    def merge(self, other: PriceBook) -> PriceBook:
        """Return a book with another one's prices and discounts after these."""
        return PriceBook(
            (*self._rows, *other._rows),
            (*self._discounts, *other._discounts),
            batch_rows=(*self._batch_rows, *other._batch_rows),
        )

    @classmethod
    def load(cls, path: str | Path) -> PriceBook:
        """Read a file of prices and discounts, TOML by its suffix, else JSON.

        It holds lists `prices` and `discounts`, whose keys are the arguments of
        `with_price` (with `model`) and `with_discount`.

        Raises:
            CerebrasConfigurationError: It cannot be read, or a value is wrong; names
                the place.
        """
        from langchain_cerebras_ext.costs._price_file import read_price_file

        rows, batch_rows, discounts = read_price_file(path)
        return cls(rows, discounts, batch_rows=batch_rows)

    # ------------------------------------------------------------------- look-ups

    @staticmethod
    def preload() -> bool:
        """Load other providers' prices now; tell whether the library is installed.

        Without it the first look-up of such a price does so, in a third of a second.
        """
        return _providers.preload()

    def find(
        self,
        provider: str | None,
        model: str,
        on: date | None = None,
        batch: bool = False,
        *,
        input_tokens: int | None = None,
        service_tier: str | None = None,
    ) -> PriceRow | None:
        """Return the rates of a model on a day; `None` where they are not known.

        Args:
            provider: Whose model it is, by LangChain's name (`ls_provider`); `None` as
                in `price_usage`.
            model: The model's id or alias, also as `provider::model`.
            on: The day (UTC) or moment of the call; today if not given.
            batch: Whether it is a job of a batch API.
            input_tokens: The size of the prompt, where rates depend on it.
            service_tier: The tier that serves the call, if other than the default.

        Raises:
            CerebrasConfigurationError: `on` is no day, or a moment without time zone.
        """
        rates = self._look_up(provider, model, on, batch=batch, tier=service_tier)
        return None if rates is None else rates.of_size(input_tokens or 0).row

    def rates(
        self,
        provider: str | None,
        model: str | ModelCard,
        on: date | None = None,
        *,
        batch: bool = False,
        service_tier: str | None = None,
    ) -> Rates:
        """Return a model's rates on a day, for each size of a prompt.

        Raises:
            UnknownPriceError: They are not known; says what to do.
            CerebrasConfigurationError: `on` is no day, or a moment without time zone.
        """
        if isinstance(model, ModelCard):
            found = self._of_card(model, call_day(on), batch=batch)
            name = model.id
        else:
            found = self._look_up(provider, model, on, batch=batch, tier=service_tier)
            name = model
        if found is not None:
            return found
        from langchain_cerebras_ext.costs._unknown import unknown_price

        raise unknown_price(provider, name, call_day(on), batch, service_tier)

    def rates_of_call(
        self,
        provider: str | None,
        model: str,
        served: str | None,
        on: date | None = None,
        *,
        service_tier: str | None = None,
    ) -> Rates | None:
        """Return the rates of a call that was made; `None` where they are not known.

        A price of your own for either name wins. Then it is the model that was asked
        for with Cerebras, where a dedicated endpoint has a name and a price of its
        own, and the one that served with others, where the asked one may be an alias,
        a deployment or `auto`; if that has no price, the other one.

        Args:
            provider: Whose service it was, by LangChain's name.
            model: The model that was asked for.
            served: The model that the answer names.
            on: The day (UTC) or moment of the call; today if not given.
            service_tier: The tier that served it.

        Raises:
            CerebrasConfigurationError: `on` is no day, or a moment without time zone.
        """
        names = [model]
        if served and served != model:
            is_ours = provider_name(provider) in {None, CEREBRAS}
            names = [model, served] if is_ours else [served, model]
            names.sort(key=lambda name: not self._has_own(provider, name, on))
        for name in names:
            found = self._look_up(provider, name, on, batch=False, tier=service_tier)
            if found is not None:
                return found
        return None

    def _has_own(self, provider: str | None, model: str, on: date | None) -> bool:
        whose, day = provider_name(provider), call_day(on)
        return any(
            row.model == model and row.provider == whose and _holds(row, day)
            for row in self._rows
        )

    def _look_up(
        self,
        provider: str | None,
        model: str,
        on: date | None,
        *,
        batch: bool,
        tier: str | None,
    ) -> Rates | None:
        """Return kept rates; what is kept is dropped when the tables have changed."""
        if not isinstance(model, str) or not model:
            msg = f"model={model!r} must be a model's id."
            raise CerebrasConfigurationError(msg)
        known, table, stamp = self._known, registry.table(), _providers.stamp()
        if known.table is not table or known.stamp is not stamp:
            known = self._known = _Known(table, stamp)
        key: _Key = (provider, model, call_day(on), batch, tier)
        found: Rates | None = known.rates.get(key, _NOT_YET)
        if found is _NOT_YET:
            found = self._keep(known, key)
        if found is not None and found.by_time and isinstance(on, datetime):
            minute = on.astimezone(UTC).replace(second=0, microsecond=0)
            key = (provider, model, minute, batch, tier)
            found = known.rates.get(key, _NOT_YET)
            if found is _NOT_YET:
                found = self._keep(known, key)
        return found

    def _keep(self, known: _Known, key: _Key) -> Rates | None:
        provider, model, on, batch, tier = key
        found = self._search(provider, model, on, batch=batch, tier=tier)
        if len(known.rates) >= _MAX_KEPT:
            known.rates.clear()
        known.rates[key] = found
        return found

    def _search(
        self,
        provider: str | None,
        model: str,
        on: date,
        *,
        batch: bool,
        tier: str | None,
    ) -> Rates | None:
        prefix, name = split_model(model)
        day = call_day(on)
        if provider_name(prefix or provider) in {None, CEREBRAS}:
            name = strip_provider(name)
        card = registry.table().by_name.get(name)
        whose = provider_name(prefix or provider) or self._guess(name, card)
        if whose == CEREBRAS:
            found = self._own(whose, _names(name, card), day, batch=batch)
            if found is None and card is not None:
                found = _from_card(card, day, batch=batch)
        else:
            found = self._own(whose, {name}, day, batch=batch)
            route = _providers.routed(whose, name) if found is None else None
            if route is not None:
                return self._search(*route, on, batch=batch, tier=tier)
            if found is None and whose is not None:
                found = _providers.find_rates(whose, name, on, batch=batch, tier=tier)
        if found is None or whose is None:
            return None
        names = _names(name, card) if whose == CEREBRAS else {name}
        return self._discounted(found, whose, names, day)

    def _of_card(self, card: ModelCard, day: date, *, batch: bool) -> Rates | None:
        names = _names(card.id, card)
        found = self._own(CEREBRAS, names, day, batch=batch)
        found = found or _from_card(card, day, batch=batch)
        return found and self._discounted(found, CEREBRAS, names, day)

    def _guess(self, model: str, card: ModelCard | None) -> str | None:
        """Return whose model it must be, where nobody says so."""
        if card is not None:
            return CEREBRAS
        for row in reversed((*self._rows, *self._batch_rows)):
            if row.model == model:
                return row.provider
        return _providers.maker_of(model)

    def _own(
        self, provider: str | None, names: set[str], day: date, *, batch: bool
    ) -> Rates | None:
        rows = self._batch_rows if batch else self._rows
        for wanted in (names, {ANY_MODEL}):
            for row in reversed(rows):
                if (
                    row.model in wanted
                    and row.provider == provider
                    and _holds(row, day)
                ):
                    return Rates((Step(-1, row),))
        return None

    def _discounted(
        self, rates: Rates, provider: str, names: set[str], day: date
    ) -> Rates:
        own = rates.steps[0].row in (*self._rows, *self._batch_rows)
        taken = [
            one
            for one in self._discounts
            if (one.provider is None or one.provider == provider)
            and (one.model in names or (one.model is None and not own))
            and _holds(one, day)
        ]
        if not taken:
            return rates
        return rates._replace(
            steps=tuple(_step_after(step, taken) for step in rates.steps)
        )


class _Known:
    """Rates that were looked up in tables that have not changed since."""

    __slots__ = ("rates", "stamp", "table")

    def __init__(self, table: Table | None, stamp: object) -> None:
        self.table = table
        self.stamp = stamp
        self.rates: dict[_Key, Rates | None] = {}


def _rebuild(
    rows: tuple[PriceRow, ...],
    discounts: tuple[Discount, ...],
    batch_rows: tuple[PriceRow, ...],
) -> PriceBook:
    return PriceBook(rows, discounts, batch_rows=batch_rows)


@cache
def list_prices() -> PriceBook:
    """Return the book that has no prices of your own."""
    return PriceBook()


# --------------------------------------------------------------------------- look-ups


def split_model(model: str) -> tuple[str | None, str]:
    """Return the provider before `::`, if there is one, and the model's id.

    A fine-tune's id (`ft:gpt-4o-mini:org::abc`) has such a mark as well.
    """
    head, mark, name = model.partition("::")
    if mark and name and head.replace("_", "").replace("-", "").isalnum():
        return head, name
    return None, model


def _names(model: str, card: ModelCard | None) -> set[str]:
    return {model} if card is None else {model, card.id, *card.aliases}


def _holds(one: PriceRow | Discount, day: date) -> bool:
    return (one.valid_from is None or one.valid_from <= day) and (
        one.valid_until is None or day < one.valid_until
    )


def _from_card(card: ModelCard, day: date, *, batch: bool) -> Rates | None:
    price = card.price(day)
    if price is None:
        return None
    row = row_of(card, price, batch=batch)
    known = row.input is not None or row.output is not None
    return Rates((Step(-1, row),)) if known else None


def row_of(card: ModelCard, price: Price, *, batch: bool = False) -> PriceRow:
    """Return a card's price as a row, with the newest source that shows it."""
    seen = price.seen[-1] if price.seen else None
    whole = registry.table().sources.get(seen.source) if seen else None
    if whole is not None:
        source = whole.url or whole.title
    elif card.origin in {"file", "registered"}:
        source = f"your card of {card.id}"
    else:
        source = "catalog"
    return PriceRow(
        input=price.batch_input if batch else price.input,
        output=price.batch_output if batch else price.output,
        cached_input=None if batch else price.cached_input,
        image=None if batch else price.image,
        provider=CEREBRAS,
        model=card.id,
        source=source,
        seen=seen.on if seen else None,
        valid_from=price.valid_from,
        valid_until=price.valid_until,
    )


# -------------------------------------------------------------------------- discounts


def _step_after(step: Step, taken: list[Discount]) -> Step:
    left, notes = _ONE, []
    for one in taken:
        left = EXACT.multiply(left, EXACT.subtract(_ONE, one.fraction))
        notes.append(one.note or f"{_percent(one.fraction)} % off")
    row = step.row
    rates = {name: getattr(row, name) for name in RATE_NAMES}
    changes: dict[str, Any] = {
        name: rate if rate is None else _tidy(EXACT.multiply(rate, left))
        for name, rate in rates.items()
    }
    row = msgspec.structs.replace(
        row,
        **changes,
        discount=_tidy(
            EXACT.subtract(
                _ONE, EXACT.multiply(left, EXACT.subtract(_ONE, row.discount))
            )
        ),
        note="; ".join(filter(None, (row.note, *notes))),
    )
    extra = step.extra and Extra(
        *(rate if rate is None else EXACT.multiply(rate, left) for rate in step.extra)
    )
    return step._replace(row=row, extra=extra)


def _tidy(value: Decimal) -> Decimal:
    """Return a number without zeros after its last digit."""
    return Decimal(usd_text(value))


def _percent(fraction: Decimal) -> str:
    return usd_text(EXACT.multiply(fraction, _HUNDRED))


# ----------------------------------------------------------------------------- checks


def read_rate(value: object, name: str, where: str) -> Decimal | None:
    """Return a rate as a decimal.

    Raises:
        CerebrasConfigurationError: It is none; a float is refused, for it is not what
            was written.
    """
    if value is None:
        return None
    if isinstance(value, float):
        msg = (
            f"{where}: {name}={value!r} is a float, which is not exact. Write "
            f"{name}='{value!r}', or pass a Decimal."
        )
        raise CerebrasConfigurationError(msg)
    if isinstance(value, bool) or not isinstance(value, (Decimal, str, int)):
        raise _not_a_rate(value, name, where)
    try:
        rate = Decimal(value)
    except ArithmeticError as error:
        raise _not_a_rate(value, name, where) from error
    if not _is_rate(rate):
        raise _not_a_rate(value, name, where)
    return rate


def _is_rate(rate: Decimal) -> bool:
    return (
        isinstance(rate, Decimal)
        and rate.is_finite()
        and 0 <= rate <= _MAX_RATE
        and len(rate.as_tuple().digits) <= _MAX_DIGITS
        and (not rate or rate.adjusted() >= -_MAX_DIGITS)
    )


def _not_a_rate(value: object, name: str, where: str) -> CerebrasConfigurationError:
    unit = "USD a request" if name == "request" else "USD per million tokens"
    msg = (
        f"{where}: {name}={value!r} must be {unit}: a number from 0 to {_MAX_RATE:f}, "
        f"of at most {_MAX_DIGITS} digits."
    )
    return CerebrasConfigurationError(msg)


def read_fraction(percent: object, fraction: object, where: str) -> Decimal:
    """Return what a discount takes off, from 0 to 1.

    Raises:
        CerebrasConfigurationError: Neither or both are given, or it is out of range.
    """
    if (percent is None) == (fraction is None):
        msg = f"{where}: give either percent (0 to 100) or fraction (0 to 1)."
        raise CerebrasConfigurationError(msg)
    name, value, most = ("fraction", fraction, _ONE)
    if percent is not None:
        name, value, most = ("percent", percent, _HUNDRED)
        if isinstance(value, str):
            value = value.strip().removesuffix("%").rstrip()
    try:
        read = read_rate(value, name, where)
    except CerebrasConfigurationError:
        if isinstance(value, float):
            raise
        read = None
    if read is None or read > most:
        msg = f"{where}: {name}={value!r} must be a number from 0 to {most}."
        raise CerebrasConfigurationError(msg)
    return read if percent is None else EXACT.scaleb(read, -2)


def check_row(row: PriceRow) -> PriceRow:
    """Return a row of your own, with its provider by LangChain's name.

    Raises:
        CerebrasConfigurationError: A field is wrong; names it.
    """
    if not isinstance(row, PriceRow):
        msg = f"A price must be a PriceRow, not {type(row).__name__}."
        raise CerebrasConfigurationError(msg)
    where = f"price of {row.model!r}"
    if not isinstance(row.model, str) or not row.model.strip():
        msg = f"{where}: model must be a model's id, or '*'."
        raise CerebrasConfigurationError(msg)
    for name in RATE_NAMES:
        rate = getattr(row, name)
        if rate is not None and not _is_rate(rate):
            raise _not_a_rate(rate, name, where)
    if row.input is None and row.output is None:
        msg = f"{where}: give input, output or both; 0 is free."
        raise CerebrasConfigurationError(msg)
    _check_days(row, where)
    provider, model = _plain_name(row.provider, row.model)
    if provider is None:
        msg = f"{where}: provider must be a name, such as 'cerebras' or 'openai'."
        raise CerebrasConfigurationError(msg)
    source = row.source or YOURS
    if (provider, model, source) == (row.provider, row.model, row.source):
        return row
    return msgspec.structs.replace(row, provider=provider, model=model, source=source)


def check_discount(one: Discount) -> Discount:
    """Return a discount, with its provider by LangChain's name.

    Raises:
        CerebrasConfigurationError: A field is wrong; names it.
    """
    if not isinstance(one, Discount):
        msg = f"A discount must be a Discount, not {type(one).__name__}."
        raise CerebrasConfigurationError(msg)
    read_fraction(None, one.fraction, "discount")
    _check_days(one, "discount")
    provider, model = provider_name(one.provider), one.model
    if model is not None:
        provider, model = _plain_name(provider, model)
    return msgspec.structs.replace(one, provider=provider, model=model)


def _plain_name(provider: str | None, model: str) -> tuple[str | None, str]:
    """Return a provider and a model as look-ups have them: without prefixes."""
    prefix, name = split_model(model)
    whose = provider_name(prefix or provider)
    if whose not in {None, CEREBRAS}:
        return whose, name
    plain = strip_provider(name)
    return whose if plain == name else CEREBRAS, plain


def _check_days(one: PriceRow | Discount, where: str) -> None:
    for name in ("valid_from", "valid_until"):
        day = getattr(one, name)
        if day is not None and (not isinstance(day, date) or isinstance(day, datetime)):
            msg = f"{where}: {name}={day!r} must be a date, a day in UTC."
            raise CerebrasConfigurationError(msg)
    first, after = one.valid_from, one.valid_until
    if first is not None and after is not None and first >= after:
        msg = (
            f"{where}: valid_until={after} must be after valid_from={first}; it is the "
            "first day on which it no longer holds."
        )
        raise CerebrasConfigurationError(msg)
