"""What `bdemo top` shows of services and of the pipeline, on its screen and in the tables of --once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend_demo.cli.status import COLORS
from backend_demo.cli.top.numbers import UNKNOWN, count, rate, seconds
from backend_demo.operations.observe.view import HopView, Overview, ServiceView
from backend_demo.text import duration

STATE_STYLES = {**COLORS, "down": "bold red", "failed": "bold red", "restarting": "yellow", "off": "dim"}

#: The oldest waiting record is shown as a warning or an alarm from this age on, seconds.
WAIT_WARNING_S, WAIT_ALARM_S = 5.0, 30.0


@dataclass(frozen=True)
class ServiceColumn:
    """One fact about a service."""

    title: str
    width: int
    text: Callable[[ServiceView], str]
    style: Callable[[ServiceView], str] = lambda service: ""
    since: int = 0
    """Width of the narrowest screen that shows it, characters."""
    left: bool = False


def _state(service: ServiceView) -> str:
    # the whole word has no room beside a blank
    return "rebalance" if service.state == "rebalancing" else service.state


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
    return duration(service.lag.seconds, units=1) if service.lag.records else "0 s"


def _uptime(service: ServiceView) -> str:
    return UNKNOWN if service.uptime_s is None else duration(service.uptime_s)


def _memory(service: ServiceView) -> str:
    return UNKNOWN if service.rss_bytes is None else f"{service.rss_bytes / 1e6:,.0f} MB"


def _cpu(service: ServiceView) -> str:
    return UNKNOWN if service.cpu_cores is None else f"{service.cpu_cores:.0%}"


COLUMNS = (
    ServiceColumn("service", 13, lambda service: service.name, left=True),
    ServiceColumn("state", 10, _state, _state_style, left=True),
    ServiceColumn("in/s", 7, lambda service: rate(service.records_per_s)),
    ServiceColumn("lag", 8, lambda service: count(service.lag.records if service.lag else None), _lag_style),
    ServiceColumn("oldest", 7, _oldest, _lag_style, since=100),
    ServiceColumn("p50", 8, lambda service: seconds(service.latency.p50_s)),
    ServiceColumn("p95", 8, lambda service: seconds(service.latency.p95_s), since=100),
    ServiceColumn("p99", 8, lambda service: seconds(service.latency.p99_s)),
    ServiceColumn("dead", 8, lambda service: count(service.dead_letters), _dead_style),
    ServiceColumn("cpu", 5, _cpu),
    ServiceColumn("memory", 8, _memory),
    ServiceColumn("restarts", 9, lambda service: str(service.restarts), since=121),
    ServiceColumn("uptime", 12, _uptime, since=121),
    ServiceColumn("pid", 8, lambda service: str(service.pid or UNKNOWN), since=121),
)


def columns_for(width: int) -> list[ServiceColumn]:
    """The columns that a screen of this width shows."""
    return [column for column in COLUMNS if column.since <= width]


HOP_TITLES = {"MQTT, acknowledged": "MQTT", "table temperature": "temperature", "table average": "average"}


def flow(hops: Sequence[HopView], width: int) -> tuple[str, str]:
    """The pipeline from left to right: the places that readings pass, and below them the readings per second."""
    titles = [HOP_TITLES.get(hop.name, hop.name) for hop in hops]
    rates = [UNKNOWN if hop.per_s is None else f"{rate(hop.per_s)}/s" for hop in hops]
    widths = [max(len(title), len(text)) for title, text in zip(titles, rates, strict=True)]
    gap = max(1, (width - sum(widths)) // max(1, len(hops) - 1))
    arrow = "→".center(gap) if gap >= 3 else " " * gap
    # the two tables are fed side by side, not one from the other
    last = "+".center(gap) if gap >= 3 else " " * gap
    above = "".join(
        title.ljust(each) + ("" if place == len(hops) - 1 else last if place == len(hops) - 2 else arrow)
        for place, (title, each) in enumerate(zip(titles, widths, strict=True))
    )
    below = (" " * gap).join(text.ljust(each) for text, each in zip(rates, widths, strict=True))
    return above.rstrip(), below.rstrip()


def sensors_line(view: Overview) -> str:
    """The number of sensors, where it is known."""
    active, silent = view.counts.sensors_active, view.counts.sensors_silent
    if active is None:
        return ""
    return f"{count(active)} sensor{'' if active == 1 else 's'}" + (f", {count(silent)} silent" if silent else "")
