"""Which literals are ids that are gone, or about to go, and how sure that is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Final, Literal

from langchain_cerebras_ext._check._evidence import (
    Evidence,
    FileContext,
    is_compatible,
    names_other,
    weigh,
)
from langchain_cerebras_ext._check._facts import accepts_effort, is_known
from langchain_cerebras_ext._check._place import Mention, ParameterMention, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_cerebras_ext._check._facts import Facts, ModelFact, ParameterFact
    from langchain_cerebras_ext._check._hits import Watch

Confidence = Literal["certain", "likely", "weak"]

_TOKEN_CHAR: Final = re.compile(r"[\w@./:+-]")
_PLACEHOLDER: Final = re.compile(r"[^\s]*(?:\}|\)|%s|\$\w+)[\"']?")
_WORD_CHARS: Final = f"{ascii_letters}{digits}_"
_OWN_PREFIX: Final = re.compile(
    r"(?:^|[/:.@])[\w-]*cerebras[\w-]*(?:/|::?)$", re.IGNORECASE
)
_OWN_DASH: Final = re.compile(r"(?:^|[/:])cerebras[-_]$", re.IGNORECASE)
# Below `/public/` is what the service says of models, not where it serves them.
_OWN_ADDRESS: Final = re.compile(r"//api\.cerebras\.ai/(?!public/)")
_OWN_FIRST: Final = re.compile(r"\s*cerebras[\s,;|]+[^\s,;|]+\s*$", re.IGNORECASE)
_PATH_PREFIX: Final = re.compile(r"^(?:.*/)?models?[/:]$|^/$")
_LIST: Final = re.compile(r"[\s,;|]+")
_LIST_TOKEN: Final = re.compile(r"[\w@.:/+-]*[\w]")
_KEYED: Final = re.compile(
    r"""(?:^|[\s{(\[,;'"`&?-])([A-Za-z_][\w.-]*)"""
    r"""(?:\\?["'])?[ \t]*(?:=>|:=|[:=])[ \t]*(?:\\?["'`])?$"""
)
_OPTION: Final = re.compile(
    r"(?:^|[\s\"'])(--?[\w-]*(?:model|llm|engine)[\w-]*|-m)"
    r"(?:=|[\"']?,?\s+)(?:\\?[\"'])?$"
)
_CALLED: Final = re.compile(r"""([A-Za-z_][\w.]*)\(\s*(?:\\?["'`])$""")
# As templates have it: `{{ .Values.model | default "qwen-3-32b" }}`.
_DEFAULT: Final = re.compile(r"""\bdefault\(?\s*["']$""")
_COMMENT: Final = re.compile(r"\s*(?:#|//)")
_MODEL_KEY: Final = re.compile(r"model|llm|engine|deployment", re.IGNORECASE)
_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]{2,}")
_TITLES: Final = frozenset(
    [
        "alias",
        "caption",
        "comment",
        "description",
        "displayName",
        "display_name",
        "help",
        "label",
        "note",
        "summary",
        "title",
        "tooltip",
    ]
)
_SENT: Final = frozenset(
    {"model", "model_id", "modelId", "model_name", "apiModelId", "litellm_params.model"}
)
_NEAR_CHARS: Final = 400
_NEAR_LINES: Final = 12
_MAX_TOKENS: Final = 200


@dataclass(frozen=True, slots=True)
class ModelVerdict:
    """An id that counts.

    Attributes:
        fact: The model.
        start: Where the id starts: bytes of the source.
        end: Where it ends.
        confidence: How sure it is that Cerebras' model is meant.
        evidence: Why.
        keep: Why it cannot be rewritten; `None` if it can.
    """

    fact: ModelFact
    start: int
    end: int
    confidence: Confidence
    evidence: str
    keep: str | None


@dataclass(frozen=True, slots=True)
class ParameterVerdict:
    """A deprecated parameter that counts.

    Attributes:
        fact: The parameter.
        mention: Where it stands.
        confidence: How sure it is that a request to Cerebras is meant.
        evidence: Why.
        keep: Why it cannot be rewritten; `None` if it can.
    """

    fact: ParameterFact
    mention: ParameterMention
    confidence: Confidence
    evidence: str
    keep: str | None


@dataclass(frozen=True, slots=True)
class _Token:
    """A name within a text, with what it is written together with."""

    name: str
    start: int
    end: int
    prefix: str
    outer_start: int
    outer_end: int


# ------------------------------------------------------------------------------ ids


def judge_model(
    mention: Mention, facts: Facts, watch: Watch, file: FileContext
) -> Iterator[ModelVerdict]:
    """Yield the ids of a literal that count."""
    tokens = list(islice(_tokens(mention.text, watch), _MAX_TOKENS))
    parts = _list_parts(mention.text) if tokens else ()
    for token in tokens:
        fact = facts.models[token.name]
        verdict = _judge_token(mention, token, fact, file, parts=parts)
        if verdict is None:
            continue
        confidence, evidence = verdict
        start, end = _span(mention, token)
        keep = _why_keep(mention, token, fact, facts, parts=parts)
        yield ModelVerdict(fact, start, end, confidence, evidence, keep)


def _tokens(text: str, watch: Watch) -> Iterator[_Token]:
    """Yield the names in a text that are not part of a longer one."""
    for match in watch.text.finditer(text):
        left, right = match.span()
        while left and _TOKEN_CHAR.match(text[left - 1]):
            left -= 1
        while right < len(text) and _TOKEN_CHAR.match(text[right]):
            right += 1
        if left and text[left - 1] in "%$":
            # `$PROVIDER/...` or `%s/...`: what is filled in is no part of the name.
            left = match.start() - len(text[left : match.start()].lstrip(_WORD_CHARS))
        outer = text[left:right].rstrip(".:")
        right = left + len(outer)
        prefix = text[left : match.start()]
        if right <= match.end() and _is_prefix(prefix):
            yield _Token(match[0], *match.span(), prefix, left, max(right, match.end()))


def _is_prefix(prefix: str) -> bool:
    return not prefix or prefix[-1] in "/:" or _OWN_DASH.search(prefix) is not None


def _judge_token(
    mention: Mention,
    token: _Token,
    fact: ModelFact,
    file: FileContext,
    *,
    parts: tuple[str, ...],
) -> tuple[Confidence, str] | None:
    own = _own_prefix(mention.text, token)
    if own is None and _is_address(token.prefix):
        return None
    if _COMMENT.match(_line_before(mention.text, token)):
        return None
    local = _local(mention, token, parts=parts)
    is_prose = local is None
    scopes = (*(local or ()), *mention.scopes)
    foreign = own is None and _foreign_prefix(token.prefix)
    found = weigh((scopes, *mention.uses), file, compatible=is_compatible(token.prefix))
    if own is not None:
        found = Evidence("certain", own, history=found.history)
    confidence = _confidence(
        found,
        fact,
        is_prose=is_prose,
        is_foreign=foreign,
        is_own_name=_is_own_name(mention, token) or _is_answer(mention),
        is_history=found.history or file.is_chronicle,
        is_code=mention.role == "code",
    )
    if confidence is None:
        return None
    if found.why:
        return confidence, found.why
    if fact.only_cerebras:
        return confidence, "no other provider calls a model so"
    return confidence, "nothing near it names a provider"


def _confidence(
    found: Evidence,
    fact: ModelFact,
    *,
    is_prose: bool,
    is_foreign: bool,
    is_own_name: bool,
    is_history: bool,
    is_code: bool,
) -> Confidence | None:
    """Say how much an id counts; `None` for not at all."""
    sure = found.strength
    if is_foreign and not fact.only_cerebras:
        return None
    if is_prose:
        return "weak" if sure == "certain" or fact.only_cerebras else None
    if sure is None and found.other:
        return "weak" if fact.only_cerebras else None
    if sure is None and not fact.only_cerebras:
        return "weak" if fact.is_id and fact.state in {"retired", "ending"} else None
    if is_history or fact.state == "dedicated" or (is_foreign and sure is None):
        return "weak"
    if is_own_name or (is_code and sure is None):
        return "weak"
    if not fact.is_id and sure != "certain":
        return "weak"
    return "certain" if sure == "certain" else "likely"


def _own_prefix(text: str, token: _Token) -> str | None:
    """Return what names Cerebras right before the id, if something does."""
    if _OWN_PREFIX.search(token.prefix) or _OWN_DASH.search(token.prefix):
        return f"prefix {token.prefix!r}"
    if _OWN_ADDRESS.search(token.prefix):
        return "the address"
    if _OWN_FIRST.match(text) is not None:
        return "beside 'cerebras'"
    return None


def _is_own_name(mention: Mention, token: _Token) -> bool:
    """Tell whether a user calls something so, as a title, and sends something else."""
    if mention.role != "value" or not mention.scopes:
        return False
    own = {name for name in mention.scopes[0].names if name}
    if own & _TITLES:
        return True
    beside = {key for scope in mention.scopes[:2] for key, _ in scope.pairs}
    if "model_name" in own:
        return any(key.startswith("litellm_params") for key in beside)
    if own & {"name", "id"} or _OWN_DASH.search(token.prefix):
        return bool(beside & _SENT)
    return False


def _is_answer(mention: Mention) -> bool:
    """Tell whether a literal is part of an answer of the service that was kept."""
    beside = {key for scope in mention.scopes[:2] for key, _ in scope.pairs}
    return "choices" in beside and bool(beside & {"created", "object", "usage"})


def _is_address(prefix: str) -> bool:
    return "//" in prefix


def _foreign_prefix(prefix: str) -> bool:
    """Tell whether an id's prefix is of somebody else; `openai/` is of anybody."""
    if not prefix or _PATH_PREFIX.match(prefix):
        return False
    return not is_compatible(prefix) or names_other(prefix)


def _list_parts(text: str) -> tuple[str, ...]:
    """Return the names that a text is a list of; none where it is no such list."""
    parts = tuple(part for part in _LIST.split(text.strip()) if part)
    if len(parts) < 2 or not all(_LIST_TOKEN.fullmatch(part) for part in parts):  # noqa: PLR2004
        return ()
    words = sum(not any(map(str.isdigit, part)) for part in parts)
    is_separated = re.search(r"[,;|]", text) is not None
    return parts if words <= (1 if is_separated else 0) else ()


def _local(
    mention: Mention, token: _Token, *, parts: tuple[str, ...]
) -> tuple[Scope, ...] | None:
    """Return what the literal itself says around the id; `None` where it is prose."""
    text = mention.text
    if text.strip() == text[token.outer_start : token.outer_end]:
        return ()
    if parts:
        return (Scope(pairs=tuple(("", part) for part in (*parts[:2], parts[-1]))),)
    if _is_template(text, token):
        return (Scope(pairs=(("", _without(text, token)),)),)
    key = _local_key(text, token)
    if key is None:
        return None
    return (Scope(names=(key,)), Scope(pairs=_near(text, token)))


def _is_template(text: str, token: _Token) -> bool:
    """Tell whether all but the id is filled in, as in `${provider}/qwen-3-32b`."""
    before, after = text[: token.outer_start], text[token.outer_end :]
    return _PLACEHOLDER.fullmatch(before.lstrip()) is not None and not after.strip()


def _without(text: str, token: _Token) -> str:
    return text[: token.outer_start] + text[token.outer_end :]


def _line_before(text: str, token: _Token) -> str:
    return text[: token.outer_start].rpartition("\n")[2]


def _local_key(text: str, token: _Token) -> str | None:
    before = text[max(0, token.outer_start - _NEAR_CHARS) : token.outer_start]
    option = _OPTION.search(before)
    if option is not None:
        return option[1]
    called = _CALLED.search(before)
    if called is not None:
        return called[1]
    if _DEFAULT.search(before) is not None:
        return "default"
    keyed = _KEYED.search(before)
    if keyed is None:
        return None
    key = keyed[1]
    if _MODEL_KEY.search(key) or _VARIABLE.fullmatch(key):
        return key
    is_quoted = before[-1:] in {'"', "'"} and "\n" not in before[keyed.start() :]
    return key if is_quoted else None


def _near(text: str, token: _Token) -> tuple[tuple[str, str], ...]:
    """Return the lines around an id within a text, up to blank ones."""
    before = text[: token.outer_start].split("\n")[-_NEAR_LINES:]
    after = text[token.outer_end :].split("\n")[:_NEAR_LINES]
    lines = [*_until_blank(before[:-1][::-1])[::-1], *_until_blank(after[1:])]
    own = ("", before[-1][-_NEAR_CHARS:] + after[0][:_NEAR_CHARS])
    return (own, *(("text", line) for line in lines))


def _until_blank(lines: list[str]) -> list[str]:
    blank = next((at for at, line in enumerate(lines) if not line.strip()), len(lines))
    return lines[:blank]


def _span(mention: Mention, token: _Token) -> tuple[int, int]:
    """Return where an id stands in the source; the literal, if that is not known."""
    if not mention.is_raw:
        return mention.start, mention.end
    start = mention.start + len(mention.text[: token.start].encode())
    return start, start + len(token.name)


def _why_keep(
    mention: Mention,
    token: _Token,
    fact: ModelFact,
    facts: Facts,
    *,
    parts: tuple[str, ...],
) -> str | None:
    """Say why an id cannot be rewritten where it stands; `None` if it can."""
    if fact.successor is None:
        return "no successor is known"
    if fact.served_from is not None:
        return f"its successor is not served before {fact.served_from}"
    if not mention.is_raw:
        return "it is put together or written with escapes"
    if not fact.is_id or _OWN_DASH.search(token.prefix):
        return "it is another product's name"
    reasons = {
        "key": "it is a key: what stands under it is about this model",
        "operand": "it is compared with: what follows is about this model",
        "label": "it is a label: what stands there is about this model",
        "code": "it is part of a text",
    }
    if mention.role in reasons:
        return reasons[mention.role]
    if mention.role == "value" and _own_key(mention) in facts.models:
        return "its key names a model that is gone"
    if _would_repeat(mention, token, fact, facts, parts=parts):
        return f"{fact.successor} would stand twice in one list"
    return None


def _own_key(mention: Mention) -> str | None:
    names = mention.scopes[0].names if mention.scopes else ()
    return names[0] if names else None


def _would_repeat(
    mention: Mention,
    token: _Token,
    fact: ModelFact,
    facts: Facts,
    *,
    parts: tuple[str, ...],
) -> bool:
    """Tell whether the successor is in the list, or comes there for an earlier id."""
    items = mention.items
    if not items:
        items = parts
        own = mention.text[token.outer_start : token.outer_end]
    else:
        own = mention.text.strip()
    if own not in items:
        return False
    wanted = token.prefix + (fact.successor or "")
    if wanted in items:
        return True
    earlier = items[: items.index(own)]
    return any(_rewritten(item, facts) == wanted for item in earlier)


def _rewritten(item: str, facts: Facts) -> str | None:
    prefix_end = max(item.rfind("/"), item.rfind(":")) + 1
    fact = facts.models.get(item[prefix_end:])
    if fact is None or fact.served_from is not None:
        return None
    return item[:prefix_end] + (fact.successor or "")


# ----------------------------------------------------------------------- parameters


def judge_parameter(
    mention: ParameterMention, facts: Facts, file: FileContext
) -> ParameterVerdict | None:
    """Return what a key that is called like a deprecated parameter counts for."""
    fact = facts.parameters[mention.name]
    if fact.chat_payload_only and not _is_chat_payload(mention):
        return None
    beside = Scope(pairs=mention.beside)
    found = weigh(((beside, *mention.scopes), *mention.uses), file)
    if found.strength is None or found.other:
        return None
    if found.strength != "certain" and _is_for_other_model(mention):
        return None
    if fact.chat_payload_only and not found.is_client:
        return None
    confidence: Confidence = found.strength
    is_wrapper = not fact.chat_payload_only and _is_passed_on(mention)
    if found.history or file.is_chronicle or is_wrapper:
        confidence = "weak"
    keep = _why_keep_parameter(mention, fact, facts)
    return ParameterVerdict(fact, mention, confidence, found.why, keep)


def _is_for_other_model(mention: ParameterMention) -> bool:
    """Tell whether the model beside a parameter is none of Cerebras."""
    model = re.split(r"[/:]", dict(mention.beside).get("model", ""))[-1]
    return _LIST_TOKEN.fullmatch(model) is not None and not is_known(model)


def _is_passed_on(mention: ParameterMention) -> bool:
    """Tell whether a wrapper hands on what it was given under the same name."""
    return re.split(r"[^\w]", mention.value.strip())[-1] == mention.name


def _is_chat_payload(mention: ParameterMention) -> bool:
    """Tell whether a key stands in the body of a chat completion."""
    keys = {key for key, _ in mention.beside}
    if mention.callee is None:
        return "messages" in keys
    return mention.callee.endswith("chat.completions.create")


def _why_keep_parameter(
    mention: ParameterMention, fact: ParameterFact, facts: Facts
) -> str | None:
    if not mention.is_raw:
        return "it stands where it cannot be rewritten safely"
    if fact.rename_to in {key for key, _ in mention.beside}:
        return f"{fact.rename_to} is set beside it"
    if fact.value_from is None:
        return None
    if not mention.value_end:
        return "it stands in a text"
    if mention.value.strip().lower() != fact.value_from:
        return f"its value is not {fact.value_from}"
    model = dict(mention.beside).get("model", "")
    model = re.split(r"[/:]", model)[-1].strip()
    gone = facts.models.get(model)
    if gone is not None and gone.successor is not None:
        model = gone.successor
    if not accepts_effort(model, fact.value_to or ""):
        return f"the model beside it is not known to take {fact.value_to!r}"
    return None
