"""Whether what stands around a literal says that it is about Cerebras."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final, Literal

from langchain_cerebras_ext._check._facts import providers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_cerebras_ext._check._place import Scope

Strength = Literal["certain", "likely"]

_CEREBRAS: Final = re.compile("cerebras", re.IGNORECASE)
_HOST: Final = re.compile(r"\bcerebras\.ai\b", re.IGNORECASE)
_CLIENT: Final = re.compile(r"\b(?:Async)?Cerebras\b|cerebras[._]cloud|cerebras\.chat")
_PROVIDER_KEY: Final = re.compile(
    r"provider|base.?(?:url|path)|api.?(?:base|url|host|type)|endpoint|^url$|host|vendor"
    r"|backend|service|^type$|^kind$|^client$|^engine$|owned_?by|^_target_$|server",
    re.IGNORECASE,
)
_NAME_KEY: Final = frozenset({"id", "label", "name", "title"})
_NAME: Final = re.compile(r"[A-Za-z]+(?:[ ._-][A-Za-z]+)?")
# Said for the text itself: a line that has the literal in it, or is right beside it.
_SAID: Final = frozenset({"", "prose"})
_OTHER_HOST: Final = re.compile(r"\bapi\.openai\.com\b")
# How an id looks: it says who made a model, not who serves it.
_ID_LIKE: Final = re.compile(r"(?=\S*\d)[a-z0-9]+(?:[-_.:]+[a-z0-9]+)+")
_WORD: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_JOINED: Final = (
    ("hugging face", "huggingface"),
    ("together ai", "togetherai"),
    ("together api", "togetherai"),
    ("together model", "togetherai"),
    ("chat together", "togetherai"),
    ("llama cpp", "llamacpp"),
    ("lm studio", "lmstudio"),
    ("vertex ai", "vertexai"),
    ("samba nova", "sambanova"),
    ("open router", "openrouter"),
    ("open ai", "openai"),
)
_HISTORY: Final = frozenset(
    [
        "deprecated",
        "deprecations",
        "deprecation",
        "retired",
        "retirement",
        "retire",
        "sunset",
        "sunsetted",
        "obsolete",
        "removed",
        "eol",
        "migrate",
        "migration",
        "migrations",
        "migrated",
        "replaced",
        "replacement",
        "replacements",
        "successor",
        "successors",
        "superseded",
        "renamed",
        "discontinued",
        "former",
        "legacy",
        "dead",
        "historic",
        "historical",
        "shutdown",
        "unavailable",
    ]
)
_CHRONICLE: Final = re.compile(
    r"(?:change_?-?log|changes|history|news|releases?|release-?_?notes)\b.*\.(?:md|mdx|markdown)$"
)
_NOTHING: Final = frozenset({"", "false", "none", "null", "0", "no", "~", "undefined"})
_LONG: Final = 400
# In a whole file a provider's name may be any word: its address and its key are not.
_SERVICE: Final = re.compile(
    r"https?://([\w.-]*(?:api|inference|models|router)[\w.-]*)"
    r"|\b([A-Z0-9]+)_(?:API_)?(?:KEY|TOKEN|BASE|BASE_URL|MODEL)\b"
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for Cerebras.

    Attributes:
        strength: How sure it is; `None` where nothing speaks for it.
        why: What it is, in words.
        other: Whether another provider is meant, as far as can be seen.
        is_client: Whether it is the service's own API or client, not another product
            that passes requests on.
        history: Whether the place tells of models that are gone.
    """

    strength: Strength | None = None
    why: str = ""
    other: bool = False
    is_client: bool = False
    history: bool = False


@dataclass(frozen=True)
class FileContext:
    """What a whole file says about whose models it names.

    Attributes:
        path: Its path below what is scanned.
        text: Its text.
        imports: The modules that it imports.
    """

    path: str
    text: str
    imports: tuple[str, ...] = ()

    @cached_property
    def named_so(self) -> bool:
        """Whether its path has the provider's name."""
        return _CEREBRAS.search(self.path) is not None

    @cached_property
    def is_chronicle(self) -> bool:
        """Whether it tells what was, as a change log does."""
        name = self.path.rpartition("/")[2].lower()
        return _CHRONICLE.match(name) is not None

    @cached_property
    def imports_cerebras(self) -> bool:
        """Whether it imports something of Cerebras, and of no other provider."""
        return mentions_cerebras(self.imports) and not _others(self.imports)

    @cached_property
    def calls_cerebras(self) -> bool:
        """Whether it has the service's address, and speaks of no other provider."""
        if _HOST.search(self.text) is None:
            return False
        services = {match[1] or match[2] for match in _SERVICE.finditer(self.text)}
        return not _others(services)


def mentions_cerebras(texts: Iterable[str]) -> bool:
    """Tell whether a text has the provider's name in it."""
    return any(_CEREBRAS.search(text) for text in texts)


def words_of(text: str) -> set[str]:
    """Return the words of a text or an identifier, in lower case."""
    words = [word.lower() for word in _WORD.findall(text)]
    found = set(words)
    line = " ".join(words)
    found.update(joined for apart, joined in _JOINED if apart in line)
    if line == "together":
        found.add("togetherai")
    return found


def is_history(texts: Iterable[str]) -> bool:
    """Tell whether a text speaks of what is over."""
    return any(words_of(text) & _HISTORY for text in texts)


def names_other(text: str) -> bool:
    """Tell whether a text names another provider."""
    return bool(_others([text]))


def is_compatible(text: str) -> bool:
    """Tell whether a text names a client that many providers' APIs fit."""
    return bool(words_of(text) & providers().compatible)


def weigh(
    chains: Sequence[Sequence[Scope]], file: FileContext, *, compatible: bool = False
) -> Evidence:
    """Say what speaks for Cerebras.

    Args:
        chains: What stands around the literal, nearest first; then the same for each
            place where a variable that holds it is used.
        file: The file.
        compatible: Whether the literal itself names a client that fits many
            providers, so that only an address tells.
    """
    history = any(_tells_history(scope) for chain in chains[:1] for scope in chain)
    best = Evidence(history=history)
    needs_host = compatible
    for chain in chains:
        found, needs_host = _weigh_chain(chain, needs_host=needs_host)
        is_news = found.strength is not None or found.other
        if found.strength == "certain" or (is_news and best.strength is None):
            best = _with_history(found, history)
        if best.strength == "certain":
            return best
    if best.strength is None and not best.other:
        return _with_history(_weigh_file(file, needs_host=needs_host), history)
    return best


def _with_history(evidence: Evidence, history: bool) -> Evidence:
    return Evidence(
        evidence.strength, evidence.why, evidence.other, evidence.is_client, history
    )


def _weigh_chain(chain: Sequence[Scope], *, needs_host: bool) -> tuple[Evidence, bool]:
    for scope in chain:
        found = _weigh_scope(scope, needs_host=needs_host)
        if found is not None:
            return found, needs_host
        needs_host = needs_host or _is_compatible(scope)
    return Evidence(), needs_host


def _weigh_file(file: FileContext, *, needs_host: bool) -> Evidence:
    if file.calls_cerebras:
        return Evidence(
            "likely", "the file has the address of Cerebras", is_client=True
        )
    if needs_host:
        return Evidence()
    if file.named_so:
        return Evidence("likely", "the file is named so")
    if file.imports_cerebras:
        client = any(_CLIENT.search(name) for name in file.imports)
        return Evidence("likely", "the file imports it", is_client=client)
    return Evidence()


def _weigh_scope(scope: Scope, *, needs_host: bool) -> Evidence | None:
    """Say what one scope tells; `None` where it tells nothing."""
    strength: Strength = "certain" if scope.tight else "likely"
    client = _speaks_to_client(scope)
    explicit, explicit_other = _explicit(scope), _explicit_other(scope)
    if explicit is not None and (scope.tight or not explicit_other):
        return Evidence("certain", f"beside {explicit!r}", is_client=client)
    own = next((name for name in scope.names if _CEREBRAS.search(name)), None)
    is_other = bool(_others(scope.names)) or explicit_other
    if own is not None and not _others(scope.names):
        if needs_host and not client:
            return None
        return Evidence(strength, f"in {_short(own)!r}", is_client=client)
    if own is not None:
        return None
    if is_other:
        return Evidence(other=True)
    beside = next((pair for pair in scope.pairs if mentions_cerebras(pair)), None)
    if beside is None or (needs_host and not client):
        return None
    if any(_others(pair) for pair in scope.pairs):
        return None
    return Evidence(strength, f"beside {_pair_name(beside)!r}", is_client=client)


def _explicit(scope: Scope) -> str | None:
    """Return the neighbour that names Cerebras as the provider, if there is one."""
    for key, text in scope.pairs:
        if not _names_provider(key, text) or not _CEREBRAS.search(text):
            continue
        if not _others([text]):
            return _pair_name((key, text))
    return None


def _explicit_other(scope: Scope) -> bool:
    return any(
        _others([key, text])
        for key, text in scope.pairs
        if _names_provider(key, text) or key in _SAID
    )


def _speaks_to_client(scope: Scope) -> bool:
    texts = [*scope.names, *(text for pair in scope.pairs for text in pair)]
    return any(_HOST.search(text) or _CLIENT.search(text) for text in texts)


def _is_compatible(scope: Scope) -> bool:
    beside = (
        text for key, text in scope.pairs if _names_provider(key, text) or key in _SAID
    )
    texts = [*scope.names, *beside]
    return any(is_compatible(text) for text in texts)


def _names_provider(key: str, text: str) -> bool:
    """Tell whether a pair says who serves; `name` does where it is but a name."""
    if _PROVIDER_KEY.search(key) is not None:
        return True
    own = key.rpartition(".")[2].lower()
    return own in _NAME_KEY and _NAME.fullmatch(text) is not None


def _tells_history(scope: Scope) -> bool:
    if is_history(scope.names):
        return True
    for key, text in scope.pairs:
        if key == "prose" and is_history([text]):
            return True
        value = text.strip().lower()
        if words_of(key) & _HISTORY and value not in _NOTHING:
            return True
        if value in _HISTORY:
            return True
    return False


def _others(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in _others_in(text)}


@lru_cache(maxsize=4096)
def _others_in(text: str) -> frozenset[str]:
    """Return the other providers that a text names; one text is asked for often."""
    if _is_id(text):
        return frozenset()
    start = text[:_LONG]
    return frozenset(
        {*(words_of(start) & providers().others), *_OTHER_HOST.findall(start)}
    )


def _is_id(text: str) -> bool:
    """Tell whether a text is a model's id: `deepseek-r1` is no provider."""
    return len(text) <= _LONG and _ID_LIKE.fullmatch(text.strip()) is not None


def _pair_name(pair: tuple[str, str]) -> str:
    key, text = pair
    return _short(f"{key}: {text}" if key else text)


def _short(text: str) -> str:
    text = " ".join(text.split()).encode(errors="replace").decode()
    return text if len(text) <= 40 else f"{text[:37]}..."  # noqa: PLR2004
