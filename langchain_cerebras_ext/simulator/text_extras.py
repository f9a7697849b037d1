"""What a text completion tells of its tokens: raw ids and log probabilities."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext.simulator.generation import log_probability
from langchain_cerebras_ext.simulator.tokens import split_tokens

if TYPE_CHECKING:
    from langchain_cerebras_ext.simulator._json import JsonObject


class TextExtras:
    """The keys `tokens` and `logprobs` of one choice, whole or for a part of it.

    Args:
        body: The request; says what is wanted.
        text: The choice's text.
        echoed: How many of its characters are the prompt's, which has its own tokens.
    """

    def __init__(self, body: JsonObject, text: str, echoed: int = 0) -> None:
        self._tokens = split_tokens(text[:echoed]) + split_tokens(text[echoed:])
        self._offsets = list(accumulate(map(len, self._tokens), initial=0))[:-1]
        self._raw = bool(body.get("return_raw_tokens"))
        self._wanted: int | None = body.get("logprobs")
        rng = Random(len(self._tokens))  # noqa: S311 - seeded on purpose
        self._entries = [
            log_probability(token, self._wanted, rng)
            for token in self._tokens
            if self._wanted is not None
        ]

    def whole(self) -> JsonObject:
        """Return what belongs to the whole text."""
        return self._keys(slice(None))

    def part(self, start: int, end: int) -> JsonObject:
        """Return what belongs to the tokens that begin within a part of the text.

        Offsets count from the beginning of the text, so the parts joined are the whole.
        """
        first, last = (bisect_left(self._offsets, at) for at in (start, end))
        return self._keys(slice(first, last))

    def _keys(self, chosen: slice) -> JsonObject:
        keys: dict[str, Any] = {}
        tokens = self._tokens[chosen]
        if self._raw:
            keys["tokens"] = [_token_id(token) for token in tokens]
        if self._wanted is not None:
            entries = self._entries[chosen]
            keys["logprobs"] = {
                "text_offset": self._offsets[chosen],
                "token_logprobs": [entry["logprob"] for entry in entries],
                "tokens": tokens,
                "top_logprobs": [
                    {top["token"]: top["logprob"] for top in entry["top_logprobs"]}
                    for entry in entries
                ],
            }
        return keys


def _token_id(token: str) -> int:
    return int.from_bytes(hashlib.sha256(token.encode()).digest()[:2], "big")
