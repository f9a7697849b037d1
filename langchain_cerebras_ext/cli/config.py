"""`cerebras-ext config`: which model is in force, and who said so; keys masked."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from langchain_cerebras_ext.cli.failures import WRONG_USE, guard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from langchain_cerebras_ext.routing.environment import Chosen, Found, Variables
    from langchain_cerebras_ext.routing.providers import Provider, Setting

__all__ = ["HELP", "config"]

HELP: Final = (
    "Show which model is in force, which variable says so, and what is missing.\n\n"
    "Reads the environment, and files only where --env-file names them; asks nobody. "
    "Of keys it shows that they are there, and whose they look like. Exit codes: 0 all "
    "is there, 2 something is missing or wrong."
)

_PREFIXES: Final = re.compile(
    r"csk-|sk-ant-|sk-or-|sk-proj-|sk-|gsk_|xai-|AIza|hf_|nvapi-|pplx-|fw_|r8_"
)
# Name and password; the second is for a password with a `/` that was not quoted, where
# what follows the `:` is no port; the third for proxies, which need no `http://`.
_USERS: Final = (
    re.compile(r"(://)[^/?#\s]*@"),
    re.compile(r"(://)(?!\[)[^/@\s:]*:(?!\d*(?:[/?#]|$))\S*@"),
    re.compile(r"^()[^/@\s:]+:[^/\s]\S*@"),
)
_PARAMETER: Final = re.compile(r"([?&][^=&\s]*=)([^&\s#]+)")
_DEFAULT: Final = "default"
CEREBRAS: Final = "cerebras"
_FEW: Final = 8


def config(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Look at this model, such as google::gemini-3.8-flash, instead of "
            "the one in force.",
            show_default=False,
        ),
    ] = None,
    env_file: Annotated[
        list[Path] | None,
        typer.Option(
            "--env-file",
            metavar="FILE",
            help="A .env file, behind the environment; may be repeated.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", "-a", help="Show unused providers too.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of errors.")
    ] = False,
) -> None:
    """Show what is in force."""
    with guard(debug=debug):
        from langchain_cerebras_ext.routing.environment import open_variables

        report = survey(name, open_variables([str(path) for path in env_file or []]))
        if as_json:
            print(json.dumps(report.to_dict(), ensure_ascii=False))  # noqa: T201
        else:
            from langchain_cerebras_ext.cli.screen import output_console

            show(output_console(), report, every=every)
        raise typer.Exit(0 if report.ok else WRONG_USE)


# ------------------------------------------------------------------------- the survey


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is in force.

    Attributes:
        label: What it is.
        value: Its value, masked where it is a secret; `None` is not set.
        origin: The variable, and the file where it is not the environment.
        variables: Where it is looked for.
    """

    label: str
    value: str | None
    origin: str | None
    variables: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "value": self.value,
            "from": self.origin,
            "variables": list(self.variables),
        }


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """What there is of a provider.

    Attributes:
        name: Its name.
        label: What people call it.
        is_installed: Whether its package is there.
        package: Its package; `None` where nothing is needed.
        install: The line that installs it.
        model: The model that its variable names.
        settings: Its settings by the constructor's name for them.
        credentials: How it knows who calls, where that is no key.
        is_ready: Whether a model of it could be made.
    """

    name: str
    label: str
    is_installed: bool
    package: str | None
    install: str | None
    model: Fact
    settings: dict[str, Fact]
    credentials: str
    is_ready: bool

    @property
    def is_used(self) -> bool:
        """Whether anything of it is set."""
        facts = (self.model, *self.settings.values())
        return any(fact.origin not in {None, _DEFAULT} for fact in facts)

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "name": self.name,
            "label": self.label,
            "ready": self.is_ready,
            "package": self.package,
            "installed": self.is_installed,
            "install": self.install,
            "model": self.model.to_dict(),
            "settings": {k: fact.to_dict() for k, fact in self.settings.items()},
        }


@dataclass(slots=True)
class Survey:
    """What is in force, and what is wrong with it.

    Attributes:
        provider: Whose model.
        model: Which.
        chosen: The provider's facts; `None` where none could be chosen.
        providers: Those of all.
        others: Other variables that are set.
        problems: Why the model cannot be made.
        remarks: What to know besides.
    """

    provider: Fact | None = None
    model: Fact | None = None
    chosen: ProviderFacts | None = None
    providers: list[ProviderFacts] = field(default_factory=list)
    others: list[Fact] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is missing or wrong."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        settings = self.chosen.settings if self.chosen else {}
        return {
            "ok": self.ok,
            "provider": self.provider.to_dict() if self.provider else None,
            "model": self.model.to_dict() if self.model else None,
            "settings": {k: fact.to_dict() for k, fact in settings.items()},
            "problems": self.problems,
            "warnings": self.remarks,
            "providers": [one.to_dict() for one in self.providers],
            "environment": {one.label: one.value for one in self.others},
        }


def survey(name: str | None, variables: Variables) -> Survey:
    """Return what a name means, or what is in force without one.

    Args:
        name: A model's name, or `None`.
        variables: The environment.
    """
    from langchain_cerebras_ext.errors import CerebrasConfigurationError
    from langchain_cerebras_ext.routing import environment
    from langchain_cerebras_ext.routing.providers import (
        broken_providers,
        list_providers,
    )

    found = Survey(
        providers=[_facts(row, variables) for row in list_providers()],
        others=list(_others(variables)),
        remarks=list(broken_providers().values()),
    )
    environment.forget()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            if name is None:
                row, said = environment.choose_provider(variables)
                found.provider = _origin("provider", row.name, said, name)
                found.chosen = _facts(row, variables)
            chosen = environment.choose(name, variables=variables)
        except CerebrasConfigurationError as error:
            found.problems.append(str(error))
            if found.chosen and not found.chosen.is_installed:
                found.problems.append(f"Then run: {found.chosen.install}")
        else:
            _look_at(chosen, found, name, variables)
    environment.forget()
    found.remarks.extend(str(one.message) for one in heard)
    return found


def _look_at(
    chosen: Chosen, found: Survey, name: str | None, variables: Variables
) -> None:
    from langchain_cerebras_ext.routing.environment import find_settings
    from langchain_cerebras_ext.routing.factory import find_problems

    settings = find_settings(chosen.row, {}, variables)
    absent, lacks = find_problems(chosen, settings, {}, variables)
    found.provider = _origin("provider", chosen.row.name, chosen.provider_from, name)
    found.model = _origin("model", chosen.model, chosen.model_from, name)
    found.chosen = _facts(chosen.row, variables)
    found.problems.extend(lacks if absent is None else [*lacks, absent])
    if chosen.row.name == CEREBRAS:
        _look_at_cerebras(chosen.model, settings, found)


def _look_at_cerebras(model: str, settings: dict[str, Found], found: Survey) -> None:
    """Say what is known of Cerebras's model and key; of others' nothing is."""
    from langchain_cerebras_ext._config import foreign_key_hint, is_public_service
    from langchain_cerebras_ext.catalog import deprecation_notice, find_model, suggest

    key, url = settings.get("api_key"), settings.get("base_url")
    card = find_model(model)
    notice = deprecation_notice(card) if card else None
    if card is None:
        near = suggest(model)
        near_hint = f" Did you mean {near[0]!r}?" if near else ""
        found.remarks.append(f"Model {model!r} is not in the catalog.{near_hint}")
    elif notice is not None:
        is_over = card.lifecycle().is_ended
        is_public = url is None or is_public_service(url.value)
        into = found.problems if is_over and is_public else found.remarks
        into.append(str(notice))
    hint = foreign_key_hint(key.value) if key else None
    if hint:
        found.remarks.append(hint)


def _origin(label: str, value: str, found: Found | None, name: str | None) -> Fact:
    if found is not None:
        return Fact(label, value, str(found))
    return Fact(label, value, _DEFAULT if name is None else "the command line")


def _facts(row: Provider, variables: Variables) -> ProviderFacts:
    from langchain_cerebras_ext.routing import environment
    from langchain_cerebras_ext.routing.factory import find_problems

    settings = environment.find_settings(row, {}, variables)
    named = variables.find(row.model_variable)
    chosen = environment.Chosen(row, named.value if named else "")
    absent, lacks = find_problems(chosen, settings, {}, variables)
    return ProviderFacts(
        name=row.name,
        label=row.label,
        is_installed=absent is None,
        package=row.package,
        install=row.install,
        model=Fact(
            "model",
            named.value if named else None,
            str(named) if named else None,
            (row.model_variable,),
        ),
        settings={one.field: _setting(one, settings) for one in row.settings},
        credentials=row.credentials,
        is_ready=absent is None and not lacks,
    )


def _setting(one: Setting, settings: dict[str, Found]) -> Fact:
    found = settings.get(one.field)
    if found is None:
        return Fact(
            one.about, one.default, _DEFAULT if one.default else None, one.variables
        )
    value = mask(found.value) if one.is_secret else without_password(found.value)
    return Fact(one.about, value, str(found), one.variables)


def _others(variables: Variables) -> Iterator[Fact]:
    from langchain_cerebras_ext.routing.environment import GENERAL

    for one in GENERAL:
        found = variables.find(one.name)
        if found is not None:
            shown = mask(found.value) if one.is_secret else found.value
            yield Fact(one.name, without_password(shown), str(found))


def mask(secret: str) -> str:
    """Return what may be shown of a key: whose it looks like, and how long it is."""
    found = _PREFIXES.match(secret)
    length = f" ({len(secret)} characters)" if len(secret) > _FEW else ""
    return f"{found[0] if found else ''}***{length}"


def without_password(value: str) -> str:
    """Return an address without the name, password and keys in it."""
    from langchain_cerebras_ext._config import is_secret_header

    for pattern in _USERS:
        value = pattern.sub(r"\1***@", value)
    return _PARAMETER.sub(
        lambda found: f"{found[1]}{'***' if is_secret_header(found[1]) else found[2]}",
        value,
    )


# ------------------------------------------------------------------------- the screen


def show(console: Console, report: Survey, *, every: bool) -> None:
    """Print what is in force, the providers, and what is wrong."""
    from langchain_cerebras_ext.cli.screen import heading, labelled, say

    in_force = list(_lines(report))
    if in_force:
        heading(console, "In force")
    for label, text, origin in in_force:
        labelled(console, f"{label:<20} ", f"{text}{origin}")
    rows = [one for one in report.providers if every or one.is_used]
    if rows:
        heading(console, "Providers")
        _print_providers(console, rows)
    hidden = len(report.providers) - len(rows)
    if hidden:
        text = f"Of {hidden} more providers nothing is set: --all shows them."
        say(console, text if rows else f"\n{text}", "dim")
    if report.others:
        heading(console, "Other variables")
        wide = max(len(one.label) for one in report.others)
        for one in report.others:
            labelled(console, f"{one.label:<{wide}} ", one.value or "")
    if report.remarks or report.problems:
        say(console, "")
    for remark in report.remarks:
        labelled(console, "warning: ", remark, "yellow")
    for problem in report.problems:
        labelled(console, "wrong: ", problem, "red")


def _lines(report: Survey) -> Iterator[tuple[str, str, str]]:
    settings = report.chosen.settings.values() if report.chosen else ()
    for fact in (report.provider, report.model, *settings):
        if fact is None:
            continue
        if fact.value is None:
            yield fact.label, "-", f" (set {' or '.join(fact.variables)})"
        else:
            yield fact.label, fact.value, f" ({fact.origin})"
    if report.chosen and report.chosen.credentials:
        yield "who calls", report.chosen.credentials, ""


def _kind_of_key(facts: ProviderFacts) -> str | None:
    key = facts.settings.get("api_key")
    return key.value.partition(" ")[0] if key and key.value else None


def _print_providers(console: Console, rows: list[ProviderFacts]) -> None:
    from langchain_cerebras_ext.cli.screen import Column, Sheet, print_sheet

    titles = ("Provider", "Ready", "Model", "Key", "Package")
    columns = [Column(title, wraps=title == "Package") for title in titles]
    cells = [
        (
            (
                one.name,
                "yes" if one.is_ready else "no",
                one.model.value,
                _kind_of_key(one),
                "installed" if one.is_installed else f"{one.package} is missing",
            ),
            "" if one.is_ready else "dim",
        )
        for one in rows
    ]
    print_sheet(console, Sheet(columns, cells))
