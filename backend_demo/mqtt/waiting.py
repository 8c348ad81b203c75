"""The queue of password checks: bounded, and fair to every address and every user."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass
class FairQueue(Generic[Item]):
    """Items by address and user. Addresses take turns, and so do the users of an address."""

    limit: int
    """Most items at all."""
    per_origin: int
    """Most items from one address, so that no address fills the queue."""
    per_name: int
    """Most items of one user from one address, so that others behind the same address have room."""
    _origins: OrderedDict[str, OrderedDict[str, deque[Item]]] = field(default_factory=OrderedDict, init=False)
    _length: int = field(default=0, init=False)

    def __len__(self) -> int:
        return self._length

    def add(self, origin: str, name: str, item: Item) -> bool:
        """Adds an item at the end of its user's; False when there is no room."""
        names = self._origins.get(origin, OrderedDict())
        if (
            self._length >= self.limit
            or sum(map(len, names.values())) >= self.per_origin
            or len(names.get(name, ())) >= self.per_name
        ):
            return False
        self._origins.setdefault(origin, OrderedDict()).setdefault(name, deque()).append(item)
        self._length += 1
        return True

    def take(self) -> Item | None:
        """Removes and returns the item whose turn it is; None when there is none."""
        if not self._origins:
            return None
        origin, names = self._origins.popitem(last=False)
        name, items = names.popitem(last=False)
        item = items.popleft()
        if items:
            names[name] = items
        if names:
            self._origins[origin] = names
        self._length -= 1
        return item

    def remove(self, origin: str, name: str, item: Item) -> None:
        """Removes an item whose result nobody needs any more, if it still waits."""
        names = self._origins.get(origin, OrderedDict())
        items = names.get(name, deque())
        if item not in items:
            return
        items.remove(item)
        self._length -= 1
        if not items:
            del names[name]
        if not names:
            del self._origins[origin]
