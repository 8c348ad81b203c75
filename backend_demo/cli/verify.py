"""`bdemo verify`: is everything there, once and right?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend_demo.cli import options, output
from backend_demo.cli.times import duration_s
from backend_demo.errors import UsageError, VerificationFailed

if TYPE_CHECKING:
    from backend_demo.domain.verdict import Finding, Findings, Verdict

SCHEMA = "bdemo.verify/1"

#: Sensors shown of those of which something is wrong.
SENSORS = 10


def verify(
    ledger: Annotated[
        Path | None,
        typer.Option(
            help="What bdemo simulate --ledger has written: each reading in it is checked.", show_default=False
        ),
    ] = None,
    wait: Annotated[
        str, typer.Option(metavar="TIME", help="How long readings and averages may still be on their way.")
    ] = "30s",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show all figures, and what is wrong by sensor.")
    ] = False,
    output_format: options.OutputFormat = options.Output.table,
    state_dir: options.StateDir = None,
) -> None:
    """Prove that nothing was lost or counted twice.

    Nor altered or invented, and that every average is right.

    With a ledger: each acknowledged reading is stored once with its value, or
    was refused; nothing else is stored in its place; its sensors' averages are
    computed anew. Without one: each reading has an average, and it is the one
    that PostgreSQL computes itself. Exit code 8 when something is wrong; of what
    is lost, it is then said which topic had it last.

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

    wait_s = duration_s(wait)
    expected = None if ledger is None else Expected(ledgers.read(ledger))
    if expected is not None and not expected.sensors:
        raise UsageError(f"the ledger {ledger} holds no readings", hint="write one with: bdemo simulate --ledger FILE")
    settings = options.attached(state_dir)
    verdict = loop.run(operation.verify(settings, expected, wait_s=wait_s, notify=output.say))
    if output_format is options.Output.json:
        output.show_json(_as_json(verdict))
    elif verbose:
        show(verdict)
    elif verdict.passed:
        print(_right(verdict))
    if not verdict.passed:
        raise VerificationFailed(
            f"not as it should be: {_wrong(verdict)}",
            hint="look on: bdemo verify -v, bdemo status, bdemo logs, bdemo tail topic dead-letter",
        )


def _right(verdict: Verdict) -> str:
    if verdict.ledger is None:
        return f"nothing is wrong: {verdict.averages:,} averages, one for each reading, as PostgreSQL computes them"
    refused = f", {verdict.dead_letters:,} refused" if verdict.dead_letters else ""
    return (
        f"nothing is wrong: {verdict.acked:,} of {verdict.ledger:,} readings acknowledged, each stored once{refused}; "
        f"{verdict.averages:,} averages right"
    )


def _wrong(verdict: Verdict) -> str:
    wrong = ", ".join(f"{found.count:,} {_phrase(name)}" for name, found in verdict.findings.items() if found.count)
    seen = [f"{count:,} in {topic or 'no topic'}" for topic, count in verdict.last_seen.items() if count]
    return wrong + (f" (last seen: {', '.join(seen)})" if seen else "")


def _phrase(name: str) -> str:
    return name.replace("average_", "averages ") if name.startswith("average_") else f"readings {name}"


def _as_json(verdict: Verdict) -> dict[str, Any]:
    found, checked = verdict.findings, _checked(verdict)

    def plain(name: str) -> dict[str, Any] | None:
        if name not in checked:
            return None
        findings = found[name]
        examples = [example._asdict() for example in findings.examples]
        return {"count": findings.count, "sensors": dict(findings.sensors), "examples": examples}

    figures = {name: value for name, value in vars(verdict).items() if name not in found}
    if verdict.ledger is None:  # then nobody has looked for them
        figures["dead_letters"] = None
    return {
        "schema": SCHEMA,
        "passed": verdict.passed,
        **figures,
        **{name: plain(name) for name in found},
    }


def _checked(verdict: Verdict) -> dict[str, Findings]:
    """What could be found: without a ledger, averages only."""
    return {
        name: findings
        for name, findings in verdict.findings.items()
        if verdict.ledger is not None or name.startswith("average_")
    }


def show(verdict: Verdict) -> None:
    rows: list[tuple[str, str]] = []
    if verdict.ledger is not None:
        rows += [
            ("readings in the ledger", f"{verdict.ledger:,}"),
            ("of them acknowledged", f"{verdict.acked:,}"),
            ("of them refused (dead-letter)", f"{verdict.dead_letters:,}"),
        ]
    rows += [("readings stored", f"{verdict.readings:,}"), ("averages stored", f"{verdict.averages:,}")]
    checked = _checked(verdict)
    rows += [(_phrase(name), f"{findings.count:,}") for name, findings in checked.items()]
    output.show_table(("verdict", ">"), rows, title="Nothing is wrong." if verdict.passed else "Something is wrong.")
    sensors = Counter[int]()
    for findings in checked.values():
        sensors.update(findings.sensors)
    if sensors:
        lines = [(str(sensor), _of_sensor(checked, sensor)) for sensor, _ in sensors.most_common(SENSORS)]
        title = f"The {SENSORS} worst of {len(sensors):,} sensors" if len(sensors) > SENSORS else ""
        output.show_table(("sensor>", "wrong"), lines, title=title)
    examples = [
        (_phrase(name), *_cells(example)) for name, findings in checked.items() for example in findings.examples
    ]
    if examples:
        output.show_table(("for example", "sensor>", "timestamp>", "expected>", "found>"), examples)


def _of_sensor(checked: dict[str, Findings], sensor: int) -> str:
    counts = {name: found.sensors[sensor] for name, found in checked.items()}
    return ", ".join(f"{count:,} {_phrase(name)}" for name, count in counts.items() if count)


def _cells(finding: Finding) -> tuple[str, str, str, str]:
    expected, found = ("-" if value is None else f"{value:g}" for value in (finding.expected, finding.found))
    return str(finding.sensor), f"{finding.timestamp:.6f}", expected, found
