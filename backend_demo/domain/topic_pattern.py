"""A pattern of MQTT topics in which one level, or a part of it, is the sensor: `zigbee2mqtt/{sensor}`."""

from __future__ import annotations

import re

SENSOR = "{sensor}"


class TopicPattern:
    """Compiles the pattern; `+` and `#` may stand in the other levels. Raises ValueError.

    `filter`: the narrowest MQTT topic filter that all its topics match.
    """

    def __init__(self, text: str) -> None:
        levels = text.split("/")
        if not text or "\0" in text:
            raise ValueError(f"invalid topic {text!r}")
        if text.count(SENSOR) > 1:
            raise ValueError(f"topic {text!r} has {SENSOR} more than once")
        expressions = [_expression(text, level, last=i == len(levels) - 1) for i, level in enumerate(levels)]
        body = "/".join(expressions)
        if levels[-1] == "#":  # also the topic without the level
            body = f"{body[:-1]}(?:/.*)?" if len(levels) > 1 else ".*"
        # wildcards in the first level do not match the broker's own topics, which begin with $
        guard = r"(?!\$)" if levels[0][:1] in ("+", "#", "{") else ""
        self._match = re.compile(guard + body, re.DOTALL).fullmatch
        self.text = text
        self.filter = "/".join("+" if SENSOR in level else level for level in levels)
        self.names_sensor = SENSOR in text

    def matches(self, topic: str) -> bool:
        """Whether a topic is one of the pattern's."""
        return self._match(topic) is not None

    def sensor(self, topic: str) -> str:
        """The text in the place of the sensor, in a topic that matches."""
        match = self._match(topic)
        return match["sensor"] if match is not None and self.names_sensor else ""


def _expression(text: str, level: str, *, last: bool) -> str:
    if level == "+":
        return "[^/]*"
    if level == "#" and last:
        return ""
    if "+" in level or "#" in level:
        raise ValueError(f"invalid topic {text!r}: + stands alone in its level, # alone in the last one")
    before, found, after = level.partition(SENSOR)
    if not found:
        return re.escape(level)
    return f"{re.escape(before)}(?P<sensor>[^/]+){re.escape(after)}"
