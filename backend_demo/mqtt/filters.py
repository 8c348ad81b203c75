"""Topic filters of MQTT: whether they are valid, what they match, and an index that finds those that match a topic."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

#: Longest topic or filter, bytes.
TOPIC_MAX = 65_535

T = TypeVar("T", bound=Hashable)


def filter_problem(topic_filter: str) -> str:
    """Why MQTT does not accept a topic filter; empty: it does."""
    levels = topic_filter.split("/")
    if not topic_filter or "\0" in topic_filter or len(topic_filter.encode(errors="replace")) > TOPIC_MAX:
        return "it must have 1 to 65535 bytes, and no NUL"
    if any("\ud800" <= character <= "\udfff" for character in topic_filter):
        return "it must be UTF-8"
    if any("#" in level and level != "#" for level in levels) or "#" in levels[:-1]:
        return "# stands for all levels that follow: alone, as the last level"
    if any("+" in level and level != "+" for level in levels):
        return "+ stands for one whole level"
    return ""


def topic_problem(topic: bytes) -> str:
    """Why nothing can be published on this topic; empty: it can."""
    if not topic:
        return "the topic is empty"
    if len(topic) > TOPIC_MAX:
        return f"the topic has {len(topic)} bytes, more than the {TOPIC_MAX} allowed"
    if b"+" in topic or b"#" in topic:
        return "the topic contains a wildcard, + or #"
    if topic.isascii():
        return "the topic contains U+0000" if b"\0" in topic else ""
    try:
        topic.decode()
    except UnicodeDecodeError:
        return "the topic is not UTF-8"
    return "the topic contains U+0000" if b"\0" in topic else ""


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a valid filter matches a topic; a wildcard at its front matches no topic that begins with `$`."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    if wanted[-1] == "#":
        del wanted[-1]  # it may stand for no level at all: a/# matches a
        del levels[len(wanted) :]
    return len(wanted) == len(levels) and all(want in ("+", level) for want, level in zip(wanted, levels, strict=True))


def covers(wide: str, narrow: str) -> bool:
    """Whether every topic that the filter `narrow` matches is matched by the filter `wide`."""
    # of the same meaning, and without the special case of a filter of no level
    wide, narrow = ("+/#" if each == "#" else each for each in (wide, narrow))
    outer, inner = wide.split("/"), narrow.split("/")
    if outer[0] == "+" and narrow.startswith("$"):
        return False
    if outer[-1] == "#":
        del outer[-1]
        del inner[len(outer) :]
    return len(outer) == len(inner) and all(
        level != "#" and allowed in ("+", level) for allowed, level in zip(outer, inner, strict=True)
    )


def without_covered(filters: Iterable[str]) -> list[str]:
    """The filters that no other of them covers, which together match the same topics.

    A broker may deliver a message once for each subscription that matches it.
    """
    kept: list[str] = []
    for each in filters:
        if not any(covers(other, each) for other in kept):
            kept = [*(other for other in kept if not covers(each, other)), each]
    return kept


class FilterIndex(Generic[T]):
    """Values under topic filters, found by topic in steps of the topic's levels, however many filters there are."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, topic_filter: str, value: T) -> None:
        """Puts a value under a valid filter; a second time changes nothing."""
        node = self._root
        for level in topic_filter.split("/"):
            node = node.children.setdefault(level, _Node())
        node.values[value] = None

    def remove(self, topic_filter: str, value: T) -> None:
        """Removes a value from a filter, if it is there."""
        path = [(self._root, "")]
        for level in topic_filter.split("/"):
            below = path[-1][0].children.get(level)
            if below is None:
                return
            path.append((below, level))
        path[-1][0].values.pop(value, None)
        for (above, _), (node, level) in zip(path[-2::-1], path[:0:-1], strict=True):
            if node.values or node.children:
                return
            del above.children[level]

    def find(self, topic: str) -> list[T]:
        """The values under all filters that match a topic; one under several of them comes several times."""
        found: list[T] = []
        nodes = [self._root]
        wildcards = not topic.startswith("$")
        for level in topic.split("/"):
            reached: list[_Node[T]] = []
            for node in nodes:
                children = node.children
                if wildcards:
                    if (rest := children.get("#")) is not None:
                        found += rest.values
                    if (one := children.get("+")) is not None:
                        reached.append(one)
                if (same := children.get(level)) is not None:
                    reached.append(same)
            nodes, wildcards = reached, True
            if not nodes:
                return found
        for node in nodes:
            found += node.values
            if (rest := node.children.get("#")) is not None:
                found += rest.values
        return found


class _Node(Generic[T]):
    """One level of filters: the values whose filter ends here, and the levels that follow."""

    __slots__ = ("children", "values")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.values: dict[T, None] = {}
