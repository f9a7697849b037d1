"""No fork amid SQLite: a child would inherit its locks, which nobody there lets go of.

SQLite keeps the locks of a process in that process's memory: mutexes, and which files
it has locked. A child that is forked while another thread is in SQLite may wait for
that thread for ever; one that inherits an open file takes for its own what its parent
has locked. So whoever uses a connection goes through one gate, which is closed from
before a fork until both sides go on, and nothing is forked before they are all out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Final, Protocol

from langchain_cerebras_ext._warnings import warn_user
from langchain_cerebras_ext.errors import CerebrasCostWarning

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Gate", "Openings", "at_fork", "gate"]

_log = logging.getLogger("langchain_cerebras_ext.ledger")

_FORK_S: Final = 5.0
_BLINK_S: Final = 0.001


class Openings(Protocol):
    """Connections of this process, some of which nobody uses."""

    def close_idle(self) -> None:
        """Close those that nobody uses."""
        ...


class Gate:
    """Lets threads in, but for other threads than the one that forks.

    It has no lock that a thread could hold while it is interrupted: connections are
    given back by the garbage collector, too, in the middle of anything.

    Attributes:
        is_broken: Whether this process was forked while somebody was inside.
    """

    def __init__(self) -> None:
        self.is_broken = False
        self._inside: dict[object, int] = {}
        self._openings: dict[int, weakref.ref[Openings]] = {}
        self._was_left_open = False
        self._renew()

    def _renew(self) -> None:
        self._closed_by: int | None = None
        self._forking = threading.Lock()  # two threads may fork

    def know(self, openings: Openings) -> None:
        """Have connections closed before a fork."""
        key = id(openings)
        self._openings[key] = weakref.ref(
            openings, lambda gone: self._forget(key, gone)
        )

    def _forget(self, key: int, gone: weakref.ref[Openings]) -> None:
        if self._openings.get(key) is gone:  # not of another at the same address
            del self._openings[key]

    # ------------------------------------------------------------- those that go in

    def enter(self) -> object:
        """Go in, once the gate is open; returns what to leave with.

        Whoever is inside may go in again, and so may the thread that forks.
        """
        me = threading.get_ident()
        while True:
            entry = object()
            # First in, then look: who closes does so first, and looks then.
            self._inside[entry] = me
            if self._closed_by in {None, me} or self._who().count(me) > 1:
                return entry
            self.leave(entry)
            time.sleep(_BLINK_S)

    def leave(self, entry: object) -> None:
        """Go out, in whichever thread; a second time changes nothing."""
        self._inside.pop(entry, None)

    def _who(self) -> list[int]:
        return list(self._inside.values())

    # -------------------------------------------------------------- those that fork

    def close(self, wait_s: float = _FORK_S) -> bool:
        """Let nobody in any more; wait for other threads, not for one's own.

        Returns:
            Whether nobody is inside.
        """
        me = threading.get_ident()
        deadline = time.monotonic() + wait_s
        if not self._forking.acquire(timeout=wait_s):
            return False
        self._closed_by = me
        while any(who != me for who in self._who()) and time.monotonic() < deadline:
            time.sleep(_BLINK_S)
        if self._inside:
            return False
        for known in list(self._openings.values()):
            openings = known()
            if openings is not None:
                openings.close_idle()
        return True

    def open(self) -> None:
        """Let all in again, if this thread has closed it."""
        if self._closed_by == threading.get_ident():
            self._closed_by = None
            self._forking.release()

    def before_fork(self) -> None:
        """Close, and say so if somebody is inside for too long."""
        self._was_left_open = not self.close()
        if self._was_left_open:
            _log.warning(_IN_USE)
            # Somebody may have made errors of warnings; a fork must not fail for it.
            with contextlib.suppress(Warning):
                warn_user(_IN_USE, CerebrasCostWarning)

    def after_fork(self) -> None:
        """Open in a child, where no other thread is."""
        self.is_broken = self.is_broken or self._was_left_open
        self._inside.clear()
        self._renew()


_IN_USE: Final = (
    "A process was forked while a connection to a SQLite ledger was in use, by this "
    "thread or for 5 seconds by another: the child has inherited SQLite's locks and "
    "leaves ledgers alone. Its records go to spool files, and from there into the "
    "ledger when that is opened next. Fork where no connection is open, or start "
    "processes by 'spawn'."
)

gate: Final = Gate()
"""Of this process: SQLite's locks are, too."""


def at_fork(
    *,
    before: Callable[[], object],
    after_in_parent: Callable[[], object],
    after_in_child: Callable[[], object],
) -> None:
    """Call functions around each fork, with the gate open.

    What they wait for may be in the hands of a thread that has to go through the gate.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=before,
            after_in_parent=after_in_parent,
            after_in_child=after_in_child,
        )


# First of all: what is registered first is called last before a fork, first after it.
at_fork(
    before=gate.before_fork,
    after_in_parent=gate.open,
    after_in_child=gate.after_fork,
)
