"""How `bdemo top` writes numbers and services, on its screen and in the tables of `--once`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend_demo.cli.status import COLORS, duration
from backend_demo.operations.overview import HopView, Overview, ServiceView

UNKNOWN = "–"
STATE_STYLES = {**COLORS, "down": "bold red", "failed": "bold red", "restarting": "yellow", "off": "dim"}
BARS = "▁▂▃▄▅▆▇█"

#: Records that have waited so long are worth a look, or are an alarm, seconds.
WAIT_WARNING_S, WAIT_ALARM_S = 5.0, 30.0


def rate(value: float | None) -> str:
    """Of things a second, in six characters: `0`, `4.2`, `42.6`, `12,345`, `123.4k`, `1.23M`."""
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
    """Of things: `12,345`, `1.2M`."""
    if value is None:
        return UNKNOWN
    return f"{value:,}" if value < 1_000_000 else f"{value / 1e6:,.1f}M"


def seconds(value: float | None) -> str:
    """A latency: `8.5 ms`, `24 ms`, `1.2 s`; beyond the largest bucket `≥60 s`."""
    if value is None:
        return UNKNOWN
    if value >= 60:
        return "≥60 s"
    if value >= 9.95:
        return f"{value:.0f} s"
    if value >= 0.9995:
        return f"{value:.1f} s"
    return f"{value * 1000:.1f} ms" if value < 0.00995 else f"{value * 1000:.0f} ms"


def age(value: float) -> str:
    """How long ago, in the largest unit: `0 s`, `12 s`, `3 min`, `2 d`."""
    return " ".join(duration(max(0.0, value)).split()[:2])


def sparkline(values: Sequence[float], width: int) -> str:
    """The last values as bars between their lowest and their highest."""
    shown = values[-width:] if width > 0 else ()
    if not shown:
        return ""
    low, span = min(shown), max(shown) - min(shown)
    if not span:
        return BARS[3] * len(shown)
    return "".join(BARS[min(7, int((value - low) / span * 8))] for value in shown)


@dataclass(frozen=True)
class Column:
    """One fact about a service. `since`: the narrowest screen that has room for it, columns."""

    title: str
    width: int
    text: Callable[[ServiceView], str]
    style: Callable[[ServiceView], str] = lambda service: ""
    since: int = 0
    left: bool = False


def _state_style(service: ServiceView) -> str:
    return STATE_STYLES.get(service.state, "")


def _lag_style(service: ServiceView) -> str:
    waited = service.lag.seconds if service.lag else 0.0
    return "bold red" if waited >= WAIT_ALARM_S else "yellow" if waited >= WAIT_WARNING_S else ""


def _dead_style(service: ServiceView) -> str:
    return "bold red" if service.dead_letters_per_s else "yellow" if service.dead_letters else ""


def _oldest(service: ServiceView) -> str:
    if service.lag is None:
        return UNKNOWN
    return age(service.lag.seconds) if service.lag.records else "0 s"


def _memory(service: ServiceView) -> str:
    return UNKNOWN if service.rss_bytes is None else f"{service.rss_bytes / 1e6:,.0f} MB"


def _cpu(service: ServiceView) -> str:
    return UNKNOWN if service.cpu_cores is None else f"{service.cpu_cores:.0%}"


COLUMNS = (
    Column("service", 13, lambda service: service.name, left=True),
    Column("state", 10, lambda service: service.state, _state_style, left=True),
    Column("in/s", 7, lambda service: rate(service.records_per_s)),
    Column("lag", 8, lambda service: count(service.lag.records if service.lag else None), _lag_style),
    Column("oldest", 7, _oldest, _lag_style, since=100),
    Column("p50", 8, lambda service: seconds(service.latency.p50_s)),
    Column("p95", 8, lambda service: seconds(service.latency.p95_s), since=100),
    Column("p99", 8, lambda service: seconds(service.latency.p99_s)),
    Column("dead", 8, lambda service: count(service.dead_letters), _dead_style),
    Column("cpu", 5, _cpu),
    Column("memory", 8, _memory),
    Column("restarts", 9, lambda service: str(service.restarts), since=121),
    Column("uptime", 12, lambda service: duration(service.uptime_s) or UNKNOWN, since=121),
    Column("pid", 8, lambda service: str(service.pid or UNKNOWN), since=121),
)


def columns(width: int) -> list[Column]:
    """Those for which a screen of this width has room."""
    return [column for column in COLUMNS if column.since <= width]


HOP_TITLES = {"MQTT, acknowledged": "MQTT", "table temperature": "temperature", "table average": "average"}


def flow(hops: Sequence[HopView], width: int) -> tuple[str, str]:
    """The pipeline from left to right: the places that readings pass, and below each what passes a second."""
    titles = [HOP_TITLES.get(hop.name, hop.name) for hop in hops]
    rates = [UNKNOWN if hop.per_s is None else f"{rate(hop.per_s)}/s" for hop in hops]
    widths = [max(len(title), len(text)) for title, text in zip(titles, rates, strict=True)]
    gap = max(1, (width - sum(widths)) // max(1, len(hops) - 1))
    arrow = "→".center(gap) if gap >= 3 else " " * gap
    # both tables are fed side by side, not one by the other
    last = "+".center(gap) if gap >= 3 else " " * gap
    above = "".join(
        title.ljust(each) + ("" if place == len(hops) - 1 else last if place == len(hops) - 2 else arrow)
        for place, (title, each) in enumerate(zip(titles, widths, strict=True))
    )
    below = (" " * gap).join(text.ljust(each) for text, each in zip(rates, widths, strict=True))
    return above.rstrip(), below.rstrip()


def sensors_line(view: Overview) -> str:
    """How many sensors there are, as far as is known."""
    active, silent = view.counts.sensors_active, view.counts.sensors_silent
    if active is None:
        return ""
    return f"{count(active)} sensor{'' if active == 1 else 's'}" + (f", {count(silent)} silent" if silent else "")


def print_tables(view: Overview) -> None:
    """The overview on stdout, for people."""
    from rich.console import Console

    from backend_demo.cli.output import show_table

    facts = columns(Console().width)
    shown = [service for service in view.services if service.state != "off"]
    show_table(
        [column.title + ("" if column.left else ">") for column in facts],
        [[column.text(service) for column in facts] for service in shown],
    )
    show_table(
        ["readings at", "count>", "per second>"],
        [(hop.name, count(hop.count), rate(hop.per_s)) for hop in view.hops],
    )
    show_table(
        ["sensor's time to row of", "p50>", "p95>", "p99>"],
        [
            (table, seconds(latency.p50_s), seconds(latency.p95_s), seconds(latency.p99_s))
            for table, latency in view.end_to_end.items()
        ],
    )
    if view.dead_letters:
        show_table(
            ["dead letters of", "reason", "count>", "per second>"],
            [(each.service, each.reason, count(each.count), rate(each.per_s)) for each in view.dead_letters],
        )
