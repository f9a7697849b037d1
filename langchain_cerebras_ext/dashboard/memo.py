"""Answers that are kept until the ledger changes, and worked out once at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Memo"]


class Memo:
    """Keeps the latest answers; safe for threads.

    Two that ask for the same at once get one answer; a failure is not kept.

    Args:
        size: How many answers.
    """

    def __init__(self, size: int = 256) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, Future[bytes]] = OrderedDict()

    def get(self, key: Hashable, work: Callable[[], bytes]) -> bytes:
        """Return the answer for a key, or work it out."""
        with self._lock:
            future = self._answers.get(key)
            mine = future is None
            if future is None:
                future = self._answers[key] = Future()
                while len(self._answers) > self._size:
                    self._answers.popitem(last=False)
            else:
                self._answers.move_to_end(key)
        if mine:
            self._run(key, future, work)
        return future.result()

    def _run(
        self, key: Hashable, future: Future[bytes], work: Callable[[], bytes]
    ) -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - handed to all who wait for it
            with self._lock:
                if self._answers.get(key) is future:
                    del self._answers[key]
            future.set_exception(error)
