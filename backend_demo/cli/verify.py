"""`bdemo verify`: whether every reading was stored once, with the right average."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backend_demo.cli import options, render
from backend_demo.cli.times import duration_s
from backend_demo.errors import UsageError, VerificationFailed

if TYPE_CHECKING:
    from backend_demo.domain.verdict import Finding, Findings, Verdict

#: Largest number of sensors in the table of those with wrong readings or averages.
SENSORS = 10

_LABELS = {
    "lost": "readings lost",
    "doubled": "readings stored more than once",
    "altered": "readings stored with another value",
    "invented": "readings that nobody sent",
    "average_missing": "readings without an average",
    "average_wrong": "wrong averages",
    "average_orphaned": "averages without a reading",
}

#: What an error says of one finding, and of several.
_SENTENCES = {
    "lost": ("reading was lost", "readings were lost"),
    "doubled": ("reading was stored more than once", "readings were stored more than once"),
    "altered": ("reading was stored with another value", "readings were stored with another value"),
    "invented": ("reading in the tables was sent by nobody", "readings in the tables were sent by nobody"),
    "average_missing": ("reading has no average", "readings have no average"),
    "average_wrong": ("average is wrong", "averages are wrong"),
    "average_orphaned": ("average has no reading", "averages have no reading"),
}


@dataclass(frozen=True, kw_only=True)
class Example:
    """A reading or an average that is wrong."""

    sensor: int
    timestamp: float
    expected: float | None
    found: float | None


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """What is wrong in one way: how often, at which sensors, and a few examples."""

    count: int
    sensors: dict[int, int]
    examples: list[Example]


@dataclass(frozen=True, kw_only=True)
class DroppedRows:
    """What retention has dropped: all rows before a time (epoch seconds), except for each sensor's last few."""

    before: float
    readings: int
    averages: int


@dataclass(frozen=True, kw_only=True)
class Document:
    """A verdict as JSON; null is what was not checked because there is no ledger."""

    schema: Literal["bdemo.verify/1"] = "bdemo.verify/1"
    passed: bool
    ledger: int | None
    acked: int | None
    readings: int
    averages: int
    dead_letters: int | None
    of_others: int | None
    """Readings that others sent for the ledger's sensors meanwhile; they are not judged."""
    dropped: int | None
    """Readings of the ledger of a time that retention has dropped; they are not judged."""
    retention: DroppedRows | None
    last_seen: dict[str, int]
    lost: Wrong | None
    doubled: Wrong | None
    altered: Wrong | None
    invented: Wrong | None
    average_missing: Wrong
    average_wrong: Wrong
    average_orphaned: Wrong


def verify(
    ledger: Annotated[
        Path | None,
        typer.Option(help="File written by bdemo simulate --ledger; checks each reading in it.", show_default=False),
    ] = None,
    wait: Annotated[
        str, typer.Option(metavar="DURATION", help="How long to wait for readings and averages still on their way.")
    ] = "30s",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show all figures, and what is wrong for each sensor.")
    ] = False,
    output: options.OutputFormat = options.Output.table,
    state_dir: options.StateDir = None,
) -> None:
    """Prove that no reading was lost or stored twice.

    Also that none was altered or invented, and that every average is right.

    With a ledger: each acknowledged reading is stored once with its value, or was refused; no other reading is stored
    in its place; the averages of its sensors are computed again. Without a ledger: each reading has an average, and
    PostgreSQL computes the same one. When something is wrong, the exit code is 8, and for lost readings the error
    names the last topic that had them.

    \b
    Examples:
      $ bdemo verify
      $ bdemo simulate --duration 10s --late 0.1 --ledger run.jsonl
      $ bdemo verify --ledger run.jsonl
      $ bdemo verify --ledger run.jsonl -v
      $ bdemo verify --ledger run.jsonl --wait 2m -o json
    """
    from backend_demo.cli import loop
    from backend_demo.domain.verdict import Expected
    from backend_demo.operations import verify as operation
    from backend_demo.simulator import ledger as ledgers

    wait_s = duration_s(wait, "--wait")
    expected = None if ledger is None else Expected(ledgers.read(ledger))
    if expected is not None and not expected.sensors:
        raise UsageError(f"--ledger: {ledger} has no readings", hint="write one with: bdemo simulate --ledger FILE")
    settings = options.attached(state_dir)
    verdict = loop.run(operation.verify(settings, expected, wait_s=wait_s, notify=render.say))

    def shown(_: Document) -> render.View:
        if verbose:
            return view(verdict)
        return [summary(verdict)] if verdict.passed else []

    render.show(document(verdict), output, shown, problem=problem(verdict))


def problem(verdict: Verdict) -> VerificationFailed | None:
    """The error of a verdict; None when nothing is wrong."""
    if verdict.passed:
        return None
    wrong = ", ".join(_sentence(name, found.count) for name, found in verdict.findings.items() if found.count)
    seen = [f"{count:,} in {topic or 'no topic'}" for topic, count in verdict.last_seen.items() if count]
    return VerificationFailed(
        wrong + (f" (last seen: {', '.join(seen)})" if seen else ""),
        hint="see: bdemo verify -v, bdemo status, bdemo logs, bdemo dlq ls",
    )


def _sentence(name: str, count: int) -> str:
    return f"{count:,} {_SENTENCES[name][count != 1]}"


def summary(verdict: Verdict) -> str:
    """What is said of a verdict that has passed."""
    if verdict.ledger is None:
        gone = ""
        if verdict.retention.dropped_to > 0:
            gone = f"; {verdict.retention.readings:,} readings before {_day(verdict.retention.dropped_to)} were dropped"
        return (
            f"nothing is wrong: {verdict.averages:,} averages, one for each reading, as PostgreSQL computes them{gone}"
        )
    refused = f", {verdict.dead_letters:,} refused" if verdict.dead_letters else ""
    others = f"; {verdict.of_others:,} of others not judged" if verdict.of_others else ""
    others += f"; {verdict.dropped:,} of a time that retention has dropped" if verdict.dropped else ""
    return (
        f"nothing is wrong: {verdict.acked:,} of {verdict.ledger:,} readings acknowledged, each stored once{refused}; "
        f"{verdict.averages:,} averages right{others}"
    )


def _day(begin: float) -> str:
    return f"{datetime.fromtimestamp(begin, UTC):%Y-%m-%d}"


def document(verdict: Verdict) -> Document:
    """The verdict as it is printed."""
    checked = {name: _wrong(findings) for name, findings in _checked(verdict).items()}
    return Document(
        passed=verdict.passed,
        ledger=verdict.ledger,
        acked=verdict.acked,
        readings=verdict.readings,
        averages=verdict.averages,
        dead_letters=None if verdict.ledger is None else verdict.dead_letters,
        of_others=None if verdict.ledger is None else verdict.of_others,
        dropped=None if verdict.ledger is None else verdict.dropped,
        retention=DroppedRows(
            before=verdict.retention.dropped_to,
            readings=verdict.retention.readings,
            averages=verdict.retention.averages,
        )
        if verdict.retention.dropped_to > 0
        else None,
        last_seen=verdict.last_seen,
        lost=checked.get("lost"),
        doubled=checked.get("doubled"),
        altered=checked.get("altered"),
        invented=checked.get("invented"),
        average_missing=checked["average_missing"],
        average_wrong=checked["average_wrong"],
        average_orphaned=checked["average_orphaned"],
    )


def _wrong(findings: Findings) -> Wrong:
    return Wrong(
        count=findings.count,
        sensors=dict(findings.sensors),
        examples=[Example(**example._asdict()) for example in findings.examples],
    )


def _checked(verdict: Verdict) -> dict[str, Findings]:
    """The kinds of findings that were looked for: without a ledger, only those of averages."""
    return {
        name: findings
        for name, findings in verdict.findings.items()
        if verdict.ledger is not None or name.startswith("average_")
    }


def view(verdict: Verdict) -> render.View:
    """All figures, the sensors with the most findings, and examples."""
    rows: list[tuple[str, str]] = []
    if verdict.ledger is not None:
        rows += [
            ("readings in the ledger", f"{verdict.ledger:,}"),
            ("acknowledged", f"{verdict.acked:,}"),
            ("refused (dead-letter)", f"{verdict.dead_letters:,}"),
            *([("sent by others, not judged", f"{verdict.of_others:,}")] if verdict.of_others else []),
            *([("of a time that was dropped", f"{verdict.dropped:,}")] if verdict.dropped else []),
        ]
    rows += [("readings stored", f"{verdict.readings:,}"), ("averages stored", f"{verdict.averages:,}")]
    if verdict.retention.dropped_to > 0:
        rows += [
            ("dropped by retention", f"before {_day(verdict.retention.dropped_to)}"),
            ("readings dropped", f"{verdict.retention.readings:,}"),
            ("averages dropped", f"{verdict.retention.averages:,}"),
        ]
    checked = _checked(verdict)
    rows += [(_LABELS[name], f"{findings.count:,}") for name, findings in checked.items()]
    yield render.Table(("verdict", ">"), rows, title="Nothing is wrong." if verdict.passed else "Something is wrong.")
    sensors = Counter[int]()
    for findings in checked.values():
        sensors.update(findings.sensors)
    if sensors:
        lines = [(sensor, _of_sensor(checked, sensor)) for sensor, _ in sensors.most_common(SENSORS)]
        title = f"The {SENSORS} worst of {len(sensors):,} sensors" if len(sensors) > SENSORS else ""
        yield render.Table(("sensor>", "wrong"), lines, title=title)
    examples = [
        (_LABELS[name], *_cells(example)) for name, findings in checked.items() for example in findings.examples
    ]
    if examples:
        yield render.Table(("for example", "sensor>", "timestamp>", "expected>", "found>"), examples)


def _of_sensor(checked: dict[str, Findings], sensor: int) -> str:
    counts = {name: found.sensors[sensor] for name, found in checked.items()}
    return ", ".join(_sentence(name, count) for name, count in counts.items() if count)


def _cells(finding: Finding) -> tuple[str, str, str, str]:
    expected, found = ("-" if value is None else f"{value:g}" for value in (finding.expected, finding.found))
    return str(finding.sensor), f"{finding.timestamp:.6f}", expected, found
