"""`bdemo verify`: is everything there, once and right?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend_demo.cli import options, output
from backend_demo.cli.times import duration_s
from backend_demo.errors import UsageError, VerificationFailed

if TYPE_CHECKING:
    from backend_demo.domain.verdict import Finding, Findings, Verdict

SCHEMA = "bdemo.verify/1"


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
    output_format: options.OutputFormat = options.Output.table,
    state_dir: options.StateDir = None,
) -> None:
    """Prove that nothing was lost or counted twice.

    Nor altered or invented, and that every average is right.

    With a ledger: each acknowledged reading is stored once with its value, or
    was refused; nothing else is stored in its place; its sensors' averages are
    computed anew. Without one: each reading has an average, and it is the one
    that PostgreSQL computes itself. Exit code 8 when something is wrong.

    \b
    Examples:
      $ bdemo verify
      $ bdemo simulate --duration 10s --late 0.1 --ledger run.jsonl
      $ bdemo verify --ledger run.jsonl
      $ bdemo verify --ledger run.jsonl --wait 2m -o json
    """
    import asyncio

    from backend_demo.domain.verdict import Expected
    from backend_demo.operations import verify as operation
    from backend_demo.simulator import ledger as ledgers

    wait_s = duration_s(wait)
    expected = None if ledger is None else Expected(ledgers.read(ledger))
    if expected is not None and not expected.sensors:
        raise UsageError(f"the ledger {ledger} holds no readings", hint="write one with: bdemo simulate --ledger FILE")
    settings = options.attached(state_dir)
    verdict = asyncio.run(operation.verify(settings, expected, wait_s=wait_s, notify=output.say))
    if output_format is options.Output.json:
        output.show_json(_as_json(verdict))
    else:
        show(verdict)
    if not verdict.passed:
        wrong = [f"{findings.count:,} {_phrase(name)}" for name, findings in verdict.findings.items() if findings.count]
        raise VerificationFailed(
            f"not as it should be: {', '.join(wrong)}",
            hint="look on: bdemo status, bdemo logs, bdemo tail topic dead-letter",
        )


def _phrase(name: str) -> str:
    return name.replace("average_", "averages ") if name.startswith("average_") else f"readings {name}"


def _as_json(verdict: Verdict) -> dict[str, Any]:
    found, checked = verdict.findings, _checked(verdict)

    def plain(name: str) -> dict[str, Any] | None:
        if name not in checked:
            return None
        return {"count": found[name].count, "examples": [example._asdict() for example in found[name].examples]}

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
    examples = [
        (_phrase(name), *_cells(example)) for name, findings in checked.items() for example in findings.examples
    ]
    if examples:
        output.show_table(("for example", "sensor>", "timestamp>", "expected>", "found>"), examples)


def _cells(finding: Finding) -> tuple[str, str, str, str]:
    expected, found = ("-" if value is None else f"{value:g}" for value in (finding.expected, finding.found))
    return str(finding.sensor), f"{finding.timestamp:.6f}", expected, found
