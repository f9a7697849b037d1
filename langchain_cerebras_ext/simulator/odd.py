"""Odd but legal ways to send an answer, which a client must take as any other.

`ODD_FORMS` names them; `Simulator.odd_next` asks for them, several together if wanted.
"""

from __future__ import annotations

import difflib
import re
import zlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from langchain_cerebras_ext.simulator.encode import DONE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

OddForm: TypeAlias = Literal[
    "crlf",
    "cr",
    "bom",
    "comments",
    "fields",
    "no_space",
    "multi_line_data",
    "no_done",
    "gzip",
    "split_characters",
    "tiny_chunks",
    "big_chunk",
    "chunk_extensions",
    "trailers",
    "continue",
    "early_hints",
]

_NOTES: Final[dict[OddForm, str]] = {
    # Lines of a stream.
    "crlf": "A stream's lines end with CRLF.",
    "cr": "A stream's lines end with CR alone.",
    "bom": "A stream begins with a byte order mark.",
    "comments": "Comments between and within a stream's events, as keep-alives are.",
    "fields": "Events with lines `event: message`, `id:` and `retry:`.",
    "no_space": "No space behind `data:`.",
    "multi_line_data": "An event's JSON over several `data:` lines.",
    "no_done": "No `[DONE]` behind the event with the finish reason.",
    # The body.
    "gzip": "A gzipped body, whether it was asked for or not.",
    # Chunks of HTTP, for plain bodies too.
    "split_characters": "Chunks that end within characters of several bytes.",
    "tiny_chunks": "A chunk for each byte.",
    "big_chunk": "The whole body or stream in one chunk, at its end.",
    "chunk_extensions": "Chunks with extensions behind their size.",
    "trailers": "Headers behind the last chunk.",
    # Before the answer.
    "continue": "An interim answer 100 comes first.",
    "early_hints": "An interim answer 103 comes first.",
}

ODD_FORMS: Final[Mapping[OddForm, str]] = MappingProxyType(_NOTES)
"""The names that `odd_next` takes, each with what it does."""

STREAM_FORMS: Final[frozenset[OddForm]] = frozenset(
    {
        "crlf",
        "cr",
        "bom",
        "comments",
        "fields",
        "no_space",
        "multi_line_data",
        "no_done",
    }
)
CHUNK_FORMS: Final[frozenset[OddForm]] = frozenset(
    {
        "split_characters",
        "tiny_chunks",
        "big_chunk",
        "chunk_extensions",
        "trailers",
    }
)
INTERIM: Final[Mapping[OddForm, bytes]] = MappingProxyType(
    {
        "continue": b"HTTP/1.1 100 Continue\r\n\r\n",
        "early_hints": b"HTTP/1.1 103 Early Hints\r\nlink: </>; rel=preload\r\n\r\n",
    }
)
_EXCLUSIVE: Final[tuple[frozenset[OddForm], ...]] = (
    frozenset({"crlf", "cr"}),
    frozenset({"split_characters", "tiny_chunks", "big_chunk"}),
)
_SEVERAL_BYTES: Final = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+")
_GZIP_BITS: Final = 31


def check_odd_forms(names: Iterable[str]) -> tuple[OddForm, ...]:
    """Return the names, if there are such forms and they go together.

    Raises:
        ValueError: None was given, one is unknown, or two contradict each other.
    """
    given = tuple(names)
    known: tuple[OddForm, ...] = tuple(form for form in ODD_FORMS if form in given)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, ODD_FORMS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            msg = f"Unknown odd form '{name}'.{hint} Known: {', '.join(ODD_FORMS)}."
            raise ValueError(msg)
    if not known:
        msg = f"Give at least one odd form. Known: {', '.join(ODD_FORMS)}."
        raise ValueError(msg)
    for group in _EXCLUSIVE:
        both = [form for form in known if form in group]
        if len(both) > 1:
            msg = f"Odd forms '{both[0]}' and '{both[1]}' exclude each other; give one."
            raise ValueError(msg)
    return known


# ------------------------------------------------------------------------------- events


def odd_events(
    forms: Collection[OddForm], events: Iterable[tuple[int, bytes]]
) -> list[tuple[int, bytes]]:
    """Return a stream's events in odd forms, as many as there were.

    Only `no_done` takes one away.
    """
    kept = [
        (tokens, event)
        for tokens, event in events
        if not ("no_done" in forms and event == DONE)
    ]
    written = [
        (tokens, _written(forms, event, number))
        for number, (tokens, event) in enumerate(kept)
    ]
    if "bom" in forms and written:
        tokens, event = written[0]
        written[0] = (tokens, b"\xef\xbb\xbf" + event)
    return _zipped(written) if "gzip" in forms else written


def _written(forms: Collection[OddForm], event: bytes, number: int) -> bytes:
    if "multi_line_data" in forms:
        event = _over_lines(event)
    if "no_space" in forms:
        event = re.sub(rb"(?m)^data: ", b"data:", event)
    if "fields" in forms:
        event = b"event: message\nid: %d\nretry: 1000\n" % number + event
    if "comments" in forms:
        event = b": keep-alive\n\n:\n" + event
    if "crlf" in forms:
        return event.replace(b"\n", b"\r\n")
    return event.replace(b"\n", b"\r") if "cr" in forms else event


def _over_lines(event: bytes) -> bytes:
    """Write one event's JSON over several lines; what is no JSON stays as it is."""
    data = event.removeprefix(b"data: ").removesuffix(b"\n\n")
    if not data.startswith(b"{"):
        return event
    lines = msgspec.json.format(data, indent=1).split(b"\n")
    return b"".join(b"data: %b\n" % line for line in lines) + b"\n"


def _zipped(events: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Compress a stream so that each event can be unpacked when it has come."""
    packer = zlib.compressobj(wbits=_GZIP_BITS)
    packed = [
        (tokens, packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH))
        for tokens, event in events
    ]
    end = packer.flush(zlib.Z_FINISH)
    if not packed:
        return [(0, end)]
    tokens, last = packed[-1]
    return [*packed[:-1], (tokens, last + end)]


def zipped_body(body: bytes) -> bytes:
    """Compress a plain body."""
    packer = zlib.compressobj(wbits=_GZIP_BITS)
    return packer.compress(body) + packer.flush(zlib.Z_FINISH)


# ------------------------------------------------------------------------------- chunks


class OddFraming:
    """Frames the chunks of one body.

    Args:
        forms: How.
    """

    def __init__(self, forms: Collection[OddForm]) -> None:
        self._forms = forms
        self._extension = b';odd=1;note="a b"' if "chunk_extensions" in forms else b""
        self._kept: list[bytes] = []

    @property
    def headers(self) -> dict[str, str]:
        """What the head says of the framing."""
        told = {"transfer-encoding": "chunked"}
        if "trailers" in self._forms:
            told["trailer"] = "x-checksum"
        return told

    def feed(self, data: bytes) -> bytes:
        """Return some of a body, framed; nothing as long as it is kept back."""
        if "big_chunk" in self._forms:
            self._kept.append(data)
            return b""
        return b"".join(map(self._chunk, self._pieces(data)))

    def finish(self) -> bytes:
        """Return the end of the body, with what was kept back."""
        kept = b"".join(self._kept)
        self._kept.clear()
        end = b"x-checksum: 0\r\n" if "trailers" in self._forms else b""
        whole = self._chunk(kept) if kept else b""
        return whole + b"0%b\r\n%b\r\n" % (self._extension, end)

    def _chunk(self, piece: bytes) -> bytes:
        return b"%x%b\r\n%b\r\n" % (len(piece), self._extension, piece)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        if "tiny_chunks" in self._forms:
            yield from (data[at : at + 1] for at in range(len(data)))
            return
        start = 0
        if "split_characters" in self._forms:
            for found in _SEVERAL_BYTES.finditer(data):
                yield data[start : found.start() + 1]
                start = found.start() + 1
        if start < len(data):
            yield data[start:]
