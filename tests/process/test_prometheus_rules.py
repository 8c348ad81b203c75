"""The rules against promtool, the metrics that there are, and the runbook."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from backend_demo import metrics

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "compose" / "prometheus"
GROUPS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"] for rule in RULES if "record" in rule}
TEST_FILES = sorted((ROOT / "tests" / "process").glob("rules*.yml"))
TESTS: list[dict[str, Any]] = [test for file in TEST_FILES for test in yaml.safe_load(file.read_text())["tests"]]
RUNBOOK = (ROOT / "docs" / "how-to" / "alerts.md").read_text()

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool, which comes with Prometheus, is not installed"
)


def promtool(*words: str | Path) -> str:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
def test_promtool_takes_the_configuration_and_the_rules() -> None:
    assert "1 rule files found" in promtool("check", "config", FOLDER / "prometheus.yml")
    assert f"{len(RULES)} rules found" in promtool("check", "rules", FOLDER / "rules.yml")


@needs_promtool
@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: file.stem)
def test_the_rules_do_what_they_say(file: Path) -> None:
    promtool("test", "rules", file)


def test_every_alert_is_tested_as_it_fires_and_as_it_does_not() -> None:
    fires: dict[str, set[bool]] = {}
    for test in TESTS:
        for case in test.get("alert_rule_test", ()):
            fires.setdefault(case["alertname"], set()).add(bool(case.get("exp_alerts")))
    assert fires == {name: {True, False} for name in ALERTS}


def test_every_recording_rule_is_tested() -> None:
    tested = " ".join(case["expr"] for test in TESTS for case in test.get("promql_expr_test", ()))
    assert {name for name in RECORDS if name not in tested} == set()


def test_recording_rules_are_named_by_level_metric_and_operation() -> None:
    assert [name for name in RECORDS if not re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z0-9_]+", name)] == []


def test_every_metric_in_a_rule_is_one_that_there_is() -> None:
    declared = {"up", "process_start_time_seconds"} | RECORDS
    for value in vars(metrics).values():
        if isinstance(value, MetricWrapperBase):
            declared |= {value._name + suffix for suffix in ("", "_total", "_bucket", "_count", "_sum")}
    for rule in RULES:
        bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(?:by|on) \([^)]*\)", "", rule["expr"])
        names = set(re.findall(r"[a-z][a-z0-9_:]*\b(?!\s*\()", bare))
        assert names - declared <= {"and", "or", "unless", "on", "by"}, rule


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_is_wrong_and_where_to_read_on(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert re.search(r"\{\{.*\$(value|labels)", rule["annotations"]["description"])
    assert rule["annotations"]["runbook"] == f"docs/how-to/alerts.md#{name.lower()}"


def test_the_runbook_has_a_section_an_alert_with_commands_and_no_other() -> None:
    _, *sections = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)
    assert [section.splitlines()[0] for section in sections] == list(ALERTS)
    for section in sections:
        assert "```console\n$ bdemo " in section
        assert "\n- " in section
