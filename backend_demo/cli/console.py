"""The console that all commands print through: what comes from outside cannot steer the terminal."""

from __future__ import annotations

from collections.abc import Iterable

import rich.console
from rich.segment import Segment

from backend_demo.text import escaped


class Console(rich.console.Console):
    """rich's console with escapes for what would steer a terminal or is invisible in any text.

    Colours and cursor movements of rich itself are no text, and stay.
    """

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of a renderable, which everything printed passes through."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(escaped(segment.text, keep="\n"), segment.style)
