"""Numbers as `bdemo top` writes them."""

from __future__ import annotations

from collections.abc import Sequence

UNKNOWN = "–"
BARS = "▁▂▃▄▅▆▇█"


def rate(value: float | None) -> str:
    """A number per second, in six characters: `0`, `4.2`, `42.6`, `12,345`, `123.4k`, `1.23M`."""
    if value is None:
        return UNKNOWN
    if value >= 9_995_000:
        return f"{value / 1e6:.1f}M"
    if value >= 999_950:
        return f"{value / 1e6:.2f}M"
    if value >= 99_999.5:
        return f"{value / 1e3:.1f}k"
    if value >= 999.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value else "0"


def count(value: int | None) -> str:
    """A count: `12,345`, `1.2M`."""
    if value is None:
        return UNKNOWN
    return f"{value:,}" if value < 1_000_000 else f"{value / 1e6:,.1f}M"


def seconds(value: float | None) -> str:
    """A latency: `8.5 ms`, `24 ms`, `1.2 s`; beyond the largest bucket of the metrics, `≥60 s`."""
    if value is None:
        return UNKNOWN
    if value >= 60:
        return "≥60 s"
    if value >= 9.95:
        return f"{value:.0f} s"
    if value >= 0.9995:
        return f"{value:.1f} s"
    return f"{value * 1000:.1f} ms" if value < 0.00995 else f"{value * 1000:.0f} ms"


def sparkline(values: Sequence[float], width: int) -> str:
    """The last values as bars, scaled from the lowest to the highest."""
    shown = values[-width:] if width > 0 else ()
    if not shown:
        return ""
    low, span = min(shown), max(shown) - min(shown)
    if not span:
        return BARS[3] * len(shown)
    return "".join(BARS[min(7, int((value - low) / span * 8))] for value in shown)
