"""What the catalog is in this process, layer upon layer.

    packaged data  <  live lists that were read  <  the file in CEREBRAS_CATALOG
                   <  cards that the program registered

A layer is read when the first look-up needs it, and kept. Readers take the newest
table without a lock; it is never changed, only replaced.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from langchain_cerebras_ext.catalog._table import Table, make_table, packaged_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_cerebras_ext.catalog._own import OwnEntry
    from langchain_cerebras_ext.catalog._snapshot import Snapshot
    from langchain_cerebras_ext.catalog.models import ModelCard

__all__ = ["registry"]

ENV_CATALOG = "CEREBRAS_CATALOG"


class _Registry:
    """The layers, and the table that they make.

    Attributes:
        built: What `table` returned last, unless something has changed since.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.built: Table | None = None
        self._service: Table | None = None
        self._snapshots: tuple[Snapshot, ...] | None = None
        self._file: tuple[OwnEntry, ...] | None = None
        self._registered: dict[str, OwnEntry] = {}
        self._waiting: tuple[Callable[[], None], ...] = ()

    # ----------------------------------------------------------------------- reading

    def table(self) -> Table:
        """Return everything that is known.

        Raises:
            CerebrasConfigurationError: The file in `CEREBRAS_CATALOG` cannot be used.
        """
        table = self.built
        if table is not None:
            return table
        with self._lock:
            if self.built is None:
                self.built = self._build(self._registered)
            return self.built

    def service_table(self) -> Table:
        """Return what is known of the service: no cards of the user's own."""
        with self._lock:
            if self._service is None:
                self._service = self._merge()
            return self._service

    def _build(self, registered: Mapping[str, OwnEntry]) -> Table:
        if self._file is None:
            self._file = self._read_file()
        own = (*self._file, *registered.values())
        table = self.service_table()
        if not own:
            return table
        from langchain_cerebras_ext.catalog._own import add_own

        return add_own(table, own)

    def _merge(self) -> Table:
        base = packaged_table()
        if self._snapshots is None:
            self._snapshots = self._read_cache()
        if not self._snapshots:
            return base
        from langchain_cerebras_ext.catalog._snapshot import merge_snapshots

        cards, sources = merge_snapshots(base.cards, self._snapshots)
        return make_table(base, cards, sources)

    def _read_cache(self) -> tuple[Snapshot, ...]:
        from langchain_cerebras_ext.catalog._place import kept_files

        if not kept_files():
            return ()
        from langchain_cerebras_ext.catalog._cache import read_for_environment

        return read_for_environment(since=packaged_table().checked_on)

    def _read_file(self) -> tuple[OwnEntry, ...]:
        name = os.environ.get(ENV_CATALOG, "").strip()
        if not name:
            return ()
        from langchain_cerebras_ext.catalog._own import read_own_file

        return read_own_file(name)

    # ---------------------------------------------------------------------- changing

    def before_change(self, look: Callable[[], None]) -> None:
        """Call a function before anything changes: it may look up what was put off."""
        with self._lock:
            self._waiting = (*self._waiting, look)

    def _change(self) -> None:
        """Tell of a change; without the lock, for who looks up may wait for others."""
        for look in self._waiting:
            look()

    def register(self, entry: OwnEntry) -> ModelCard:
        """Add a card of the user's own, in place of one of the same id.

        Raises:
            CerebrasConfigurationError: It is not one; nothing has changed then.
        """
        self._change()
        with self._lock:
            registered = {**self._registered, entry.id: entry}
            table = self._build(registered)
            self._registered, self.built = registered, table
            return table.by_name[entry.id]

    def unregister(self, model: str) -> bool:
        """Forget a registered card; tell whether there was one."""
        self._change()
        with self._lock:
            registered = dict(self._registered)
            found = registered.pop(model, None) is not None
            if found:
                self._registered, self.built = registered, None
            return found

    def use_snapshots(self, snapshots: tuple[Snapshot, ...]) -> None:
        """Take these live lists in place of those in use; none is the packaged data."""
        self._change()
        with self._lock:
            before = self._snapshots
            self._snapshots, self._service, self.built = snapshots, None, None
            try:
                self._build(self._registered)
            except BaseException:
                self._snapshots, self._service = before, None
                raise

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Return the live lists in use, oldest first."""
        self.service_table()
        return self._snapshots or ()

    def reload(self) -> None:
        """Read the file and the cache anew at the next look-up."""
        self._change()
        with self._lock:
            self.built = self._service = self._snapshots = self._file = None

    def after_fork(self) -> None:
        """Let no other thread of the parent hold the lock for ever."""
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        """Return how many cards of one's own there are."""
        return f"<catalog, {len(self._registered)} registered cards>"


registry = _Registry()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=registry.after_fork)
