"""The dashboards: the files are what the code makes, Grafana knows all of them, queries ask for what there is."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from backend_demo import metrics
from backend_demo.dashboards import promql
from backend_demo.dashboards.files import DASHBOARDS, FOLDER
from backend_demo.dashboards.render import SOURCE, TAG, text_of
from backend_demo.places import compose_files
from tests.unit.dashboards.grafana_schema import problems

BOARDS = {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}

every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


# -- the files


def test_the_files_are_what_the_code_makes() -> None:
    """If not: python -m backend_demo.dashboards"""
    assert {f"{board.file}.json": text_of(board) for board in DASHBOARDS} == {
        file.name: file.read_text() for file in FOLDER.iterdir()
    }


@every_board
def test_grafana_knows_all_that_stands_in_them(board: dict[str, Any]) -> None:
    """By the schema that Grafana generates its library from: no unknown key, no wrong type, no unknown word."""
    assert problems(board) == []


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda panel: panel.update(titel="x"), "titel"),
        (lambda panel: panel["gridPos"].update(w="4"), "is no int"),
        (lambda panel: panel["targets"][0].update(format="tabel"), "PromQueryFormat"),
        (lambda panel: panel["options"]["legend"].update(placement="top"), "LegendPlacement"),
        (lambda panel: panel["fieldConfig"]["defaults"]["custom"].update(drawStyle="lines"), "GraphDrawStyle"),
    ],
)
def test_the_check_against_the_schema_notices(spoil: Callable[[dict[str, Any]], None], problem: str) -> None:
    board = copy.deepcopy(BOARDS["faust-microservices"])
    spoil(board["panels"][0])
    (found,) = problems(board)
    assert problem in found


def test_compose_hands_them_to_grafana() -> None:
    provisioning = compose_files() / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert (source["uid"], source["type"]) == (SOURCE.uid, SOURCE.type_val)
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "microservices.yaml").read_text())["providers"]
    assert provider["folder"] == "Microservices"
    grafana = yaml.safe_load((compose_files() / "compose.yaml").read_text())["services"]["grafana"]
    mounts = dict(mount.split(":")[:2] for mount in grafana["volumes"] if isinstance(mount, str))
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./grafana/provisioning/dashboards"] == "/etc/grafana/provisioning/dashboards"
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == provider["options"]["path"]
    assert home.stem in BOARDS


# -- which there are


def test_the_original_has_its_eight_panels() -> None:
    board = BOARDS["faust-microservices"]
    assert (board["uid"], board["title"]) == ("Yz3ABTInz", "Faust Microservices Dashboard")
    assert (board["time"]["from"], board["refresh"]) == ("now-5m", "5s")
    assert [panel["title"] for panel in panels(board)] == [
        "data_collection: Number of Values per Min",
        "data_processing: Number of Values per Min",
        "data_aggregation: Number of Values per Min",
        "db_loader: Number of Values per Min",
        "db_loader: Latency of Sensor Value Processing",
        "db_loader: Latency of Sensor Value Processing + Aggregation",
        "api_gateway: Number of REST API Requests",
        "api_gateway: Age of Requested Latest Values",
    ]


def test_every_service_has_one_whose_instances_can_be_chosen() -> None:
    for service in promql.OURS:
        board = BOARDS[f"service-{service}"]
        (variable,) = board["templating"]["list"]
        assert (variable["name"], variable["multi"], variable["includeAll"]) == ("instance", True, True)
        for panel in panels(board):
            for expression in expressions(panel):
                for _, matchers in SELECTOR.findall(expression):
                    assert f'service="{service}",instance=~"$instance"' in matchers, panel["title"]


@every_board
def test_dashboards_find_one_another(board: dict[str, Any]) -> None:
    assert board["tags"] == [TAG]
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["keepTime"]) == ("dashboards", [TAG], True)
    uids = {other["uid"] for other in BOARDS.values()}
    for panel in panels(board):
        for link in panel.get("links", ()):
            assert re.fullmatch(r"/d/([\w-]+)\?\$\{__url_time_range\}", link["url"])[1] in uids  # type: ignore[index]


def test_uids_and_titles_are_unique() -> None:
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)
    assert len({board["title"] for board in BOARDS.values()}) == len(BOARDS)


# -- panels


@every_board
def test_panels_fill_the_grid(board: dict[str, Any]) -> None:
    """None over another, none beyond the edge, no hole."""
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert 0 <= x < 24
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]
    assert len(taken) == 24 * (1 + max(y for _, y in taken))


@every_board
def test_panels_have_numbers_of_their_own(board: dict[str, Any]) -> None:
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)


@every_board
def test_there_is_one_source_of_data(board: dict[str, Any]) -> None:
    def sources(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            yield from (value[key] for key in value if key == "datasource")
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from sources(item)

    found = list(sources(board))
    assert found
    assert all(source == {"type": "prometheus", "uid": "prometheus"} for source in found)


@every_board
def test_a_panel_says_what_it_shows(board: dict[str, Any]) -> None:
    """And its title is not cut: a letter takes about an eighth of a column."""
    for panel in panels(board):
        assert len(panel["title"]) <= 6.5 * panel["gridPos"]["w"]
        assert len(panel["description"]) >= 15
        assert panel["description"].endswith((".", "?")) or "bdemo " in panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        assert [target["refId"] for target in panel["targets"]] == [chr(65 + i) for i in range(len(panel["targets"]))]
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert panel["type"] == "table" or all(legends)
        assert len(set(legends)) == len(legends)


@every_board
def test_a_colour_means_something(board: dict[str, Any]) -> None:
    """Grafana's own default is red from 80 on, whatever it is."""
    for panel in panels(board):
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert steps[0]["value"] is None
        limits = [step["value"] for step in steps[1:]]
        assert limits == sorted(limits)
        assert 80 not in limits


# -- queries

SELECTOR = re.compile(r"([A-Za-z_:][\w:]*)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"[^"]*"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring) \(([^)]*)\)")

#: What Prometheus adds to every series of ours.
TARGET_LABELS = {"job", "service", "instance"}
FOREIGN = {
    promql.CPU_SECONDS: set[str](),
    promql.RESIDENT_BYTES: set[str](),
    promql.START_TIME: set[str](),
    promql.OPEN_FILES: set[str](),
    promql.UP: set[str](),
    promql.ALERTS: {"alertname", "alertstate", "severity"},
}


def known() -> dict[str, set[str]]:
    """Every name that may be asked for, with its labels."""
    found = dict(FOREIGN)
    for metric in vars(metrics).values():
        if not isinstance(metric, MetricWrapperBase):
            continue
        name, labels = promql.name_of(metric), set(metric._labelnames)
        if next(iter(metric.describe())).type == "histogram":
            found |= {f"{name}_count": labels, f"{name}_sum": labels, f"{name}_bucket": {*labels, "le"}}
        else:
            found[name] = labels
    return found


KNOWN = known()


def expressions(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


@every_board
def test_queries_ask_for_what_there_is(board: dict[str, Any]) -> None:
    """Metrics, labels in selectors and in groupings, and labels in legends."""
    for panel in panels(board):
        for target in panel["targets"]:
            expression = target["expr"].replace("(ALERTS)", "(ALERTS{})")
            labels = set(TARGET_LABELS)
            for name, matchers in SELECTOR.findall(expression):
                assert name in KNOWN, name
                used = set(MATCHER.findall(matchers))
                assert MATCHER.sub("", matchers).strip(",") == ""
                assert used <= KNOWN[name] | TARGET_LABELS, expression
                assert name == promql.ALERTS or "service" in used, f"{name} of every process in sight"
                labels |= KNOWN[name]
            grouped = [{label.strip() for label in group.split(",")} for group in GROUPING.findall(expression)]
            assert set().union(*grouped) <= labels, expression
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert all(shown <= group for group in grouped[:1]), target["legendFormat"]
            assert grouped or not shown
            rest = GROUPING.sub("", SELECTOR.sub("", expression))
            rest = re.sub(r"\[(\d+[smhd]|\$__rate_interval)\]|\b[a-z_]+ *\(|\bor\b|[\d.]+|[-+*/>()<=, ]", "", rest)
            assert rest == "", f"not understood: {rest!r} in {expression}"


@every_board
def test_counters_are_never_drawn_as_they_are(board: dict[str, Any]) -> None:
    for panel in panels(board):
        for expression in expressions(panel):
            for found in SELECTOR.finditer(expression):
                if found[1].endswith(("_total", "_bucket", "_sum", "_count")):
                    assert expression[: found.start()].endswith(("rate(", "increase(")), expression
