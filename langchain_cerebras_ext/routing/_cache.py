"""Instances by their whole configuration: what is equal is made once.

A key holds no secret: those are there as digests, with a salt of this process.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from hashlib import blake2b
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import SecretStr

from langchain_cerebras_ext._config import is_secret_header
from langchain_cerebras_ext.errors import SecretText

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Cache", "copied", "digest", "frozen"]

T = TypeVar("T")

_keyed = partial(blake2b, key=token_bytes(32), digest_size=16)
_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


def digest(secret: str) -> bytes:
    """Return what tells a secret from others, and tells nothing of it."""
    return _keyed(secret.encode("utf-8", "surrogatepass")).digest()


class _Same:
    """Stands for an object by its identity, and keeps it alive meanwhile."""

    __slots__ = ("_held",)

    def __init__(self, held: object) -> None:
        self._held = held

    def __hash__(self) -> int:
        return id(self._held)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._held is self._held

    def __repr__(self) -> str:
        return f"<a {type(self._held).__name__}>"


def frozen(value: Any, name: str = "") -> Hashable:
    """Return a value as a part of a key: equal values, equal parts.

    Texts and numbers are compared with their types, containers by what is in them, and
    all else by identity.

    Args:
        value: The value.
        name: Of the argument; tells whether it is a secret.
    """
    kind = type(value)
    if kind is str:
        if (name and is_secret_header(name)) or "@" in value:  # an URL's password
            return digest(value)
        return str(value)
    if kind in _PLAIN:
        return (kind, value)
    if isinstance(value, (SecretStr, SecretText)):
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        return digest(text)
    if isinstance(value, Mapping):
        items = [(key, frozen(inner, str(key))) for key, inner in value.items()]
        return (kind, frozenset((frozen(key), inner) for key, inner in items))
    if isinstance(value, (list, tuple)):
        return (kind, tuple(frozen(inner, name) for inner in value))
    if isinstance(value, AbstractSet):
        return (kind, frozenset(frozen(inner, name) for inner in value))
    return _Same(value)


def copied(value: Any) -> Any:
    """Return a value whose containers are its own, so that no key becomes untrue."""
    kind = type(value)
    if kind is dict:
        return {key: copied(inner) for key, inner in value.items()}
    if kind in {list, set, tuple}:
        return kind(copied(inner) for inner in value)
    return value


class Cache(Generic[T]):
    """What was made last, by key; safe between threads.

    Args:
        size: How many to keep; the one that was not asked for the longest goes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._made: OrderedDict[Hashable, T] = OrderedDict()

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._made)

    def __reduce__(self) -> tuple[type[Cache[T]], tuple[int]]:
        """Travel, and be copied, empty."""
        return Cache, (self._size,)

    def __repr__(self) -> str:
        """Show how full it is."""
        return f"<{len(self._made)} of at most {self._size}>"

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what was made for a key, or make it.

        It is made outside the lock, since that may import much: two threads may both
        make it, and both get the first one's.
        """
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
        made = make()
        with self._lock:
            made = self._made.setdefault(key, made)
            self._made.move_to_end(key)
            if len(self._made) > self._size:
                self._made.popitem(last=False)
            return made

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._made.clear()
