"""What a client prefers: the elements of `Accept` and `Accept-Encoding` (RFC 9110, 12.4.2). Pure."""

from __future__ import annotations

from collections.abc import Sequence


def preferences(header: str) -> list[tuple[str, float]]:
    """Each element, in lower case, with its quality; 0: not wanted, or not understood."""
    found = []
    for element in header.lower().split(","):
        name, *parameters = (part.strip() for part in element.split(";"))
        found.append((name, _quality(parameters)))
    return found


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
