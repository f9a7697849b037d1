"""The prompt cache: which prefixes were seen lately, in blocks of 128 tokens."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCK_TOKENS = 128
KEPT_S = 300.0
BLOCKS_MAX = 100_000


class PromptCache:
    """Remembers prefixes of prompts for five minutes after their last use."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, float] = OrderedDict()

    def lookup(self, model: str, pieces: Sequence[str], now: float) -> int:
        """Return how many of a prompt's tokens are cached, and remember the prompt.

        The last token is never cached: something must be computed.

        Args:
            model: Caches are kept by model.
            pieces: The prompt's tokens.
            now: Seconds of a clock that never goes back.
        """
        cached = 0
        unbroken = True
        digest = hashlib.blake2b(model.encode(), digest_size=16)
        for end in range(BLOCK_TOKENS, len(pieces), BLOCK_TOKENS):
            block = pieces[end - BLOCK_TOKENS : end]
            digest.update("\0".join(block).encode("utf-8", "surrogatepass"))
            key = digest.digest()
            used = self._blocks.get(key)
            unbroken = unbroken and used is not None and now - used <= KEPT_S
            if unbroken:
                cached = end
            self._blocks[key] = now
            self._blocks.move_to_end(key)
        while len(self._blocks) > BLOCKS_MAX:
            self._blocks.popitem(last=False)
        return cached

    def clear(self) -> None:
        """Forget everything."""
        self._blocks.clear()
