"""`bdemo trace`: what it publishes, where it looks, what it prints."""

from __future__ import annotations

import io
import json
import math

import pytest
from rich.console import Console

from backend_demo.cli.trace.picture import table
from backend_demo.domain.reading import Reading, encode, micros, normalized
from backend_demo.domain.topics import DEAD_LETTER, PIPELINE, PROCESSED_DATA, SENSOR_DATA, SRC_DATA
from backend_demo.errors import TimedOut, UnknownName, VerificationFailed
from backend_demo.faust_batch.producer import partition_of
from backend_demo.operations.trace import follow as trace
from backend_demo.operations.trace.document import document
from backend_demo.operations.trace.mark import Mark, payload, places_of
from backend_demo.operations.trace.path import ACKNOWLEDGED, Location, Path, Trace
from tests.support.schemas import check
from tests.unit.operations.trace.test_path import NOW, PAYLOAD, REACHED, TIMES, TOPIC, dead_letter, follow, mark, way


def published(value: float | None, newest: tuple[float, float] | None) -> Reading:
    """What is published at NOW, beside a newest reading with this time and value."""
    message = payload(value, newest, now=NOW, future_tolerance_s=60.0)
    found = Mark.of(7, TOPIC, message, NOW).reading
    assert found is not None
    return found


def test_a_new_sensor_begins_with_20_degrees_now() -> None:
    assert published(None, None) == Reading(7, NOW, 20.0)


def test_a_known_sensor_repeats_its_newest_value() -> None:
    assert published(None, (5.0, 23.25)) == Reading(7, NOW, 23.25)
    assert published(-3.5, (5.0, 23.25)) == Reading(7, NOW, -3.5)


@pytest.mark.parametrize("ahead_s", [0.0, 1e-6, 30.0, 59.999])
def test_its_time_is_the_sensors_newest(ahead_s: float) -> None:
    """Also when that sensor's clock is ahead: else averages would change that others have seen."""
    newest = normalized(NOW + ahead_s)
    assert micros(published(None, (newest, 20.0)).timestamp) == micros(newest) + 1


def test_no_time_is_so_far_ahead_that_it_would_be_refused() -> None:
    assert published(None, (NOW + 3600, 20.0)).timestamp == NOW


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_sent_as_a_word(value: float) -> None:
    message = payload(value, None, now=NOW, future_tolerance_s=60.0)
    assert json.loads(message)["value"] == str(value)
    assert Mark.of(7, TOPIC, message, NOW).reading is None


def test_it_reads_only_the_partitions_where_the_sensor_is() -> None:
    known = {name: [(name, number) for number in range(8)] for name in PIPELINE}
    found = places_of(known, 7, [TOPIC])
    assert [place for place in found if place[0] == DEAD_LETTER] == known[DEAD_LETTER]
    assert (SENSOR_DATA, partition_of(TOPIC.encode(), 8)) in found
    assert (SRC_DATA, partition_of(b"7", 8)) in found
    assert len(found) == 8 + 4
    del known[PROCESSED_DATA]
    with pytest.raises(UnknownName):
        places_of(known, 7, [TOPIC])


# -- what is wrong in the end


def test_nothing_is_wrong_with_a_reading_that_is_served() -> None:
    assert trace.problem(follow(Path(mark(), published=True, rest=True), way(TIMES)), 10) is None


def test_a_refused_reading_is_a_failed_verification() -> None:
    found = trace.problem(refused(), 10)
    assert isinstance(found, VerificationFailed)
    assert found.message == "processing refuses the reading: range: out of it"


def test_a_time_out_names_the_service_and_what_it_knows() -> None:
    found = trace.problem(stuck(), 2.5)
    assert isinstance(found, TimedOut)
    assert found.message == "the reading has not come to processed-data within 2.5 s; it stands at src-data"
    assert "bdemo logs processing" in found.hint
    path = Path(mark(), published=True, rest=True)
    follow(path, way(TIMES), {ACKNOWLEDGED: 1.0})
    path.trouble("table temperature", "PostgreSQL: it refuses connections")
    path.trouble("table average", "PostgreSQL: it refuses connections")
    path.time_out()
    found = trace.problem(path.trace(), 10)
    assert found is not None
    assert found.message == (
        "the reading has not come to table temperature or table average within 10 s; "
        "it stands at processed-data and aggregated-data; PostgreSQL: it refuses connections"
    )
    assert "bdemo logs loader" in found.hint


def refused() -> Trace:
    path = Path(mark(), published=True, rest=True)
    raw = encode(Reading(7, 1_700_000_000.25, 21.5))
    return follow(path, [*way(TIMES)[:2], dead_letter("processing", SRC_DATA, raw, b"7", 15)], {ACKNOWLEDGED: 1.0})


def stuck() -> Trace:
    path = Path(mark(), published=True, rest=True)
    follow(path, way(TIMES)[:2], {ACKNOWLEDGED: 1.0})
    path.time_out()
    return path.trace()


# -- how it looks


def lines(found: Trace, *, width: int = 100, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, highlight=False)
    console.print(table(found, console))
    file.flush()
    return [line.rstrip() for line in file.buffer.getvalue().decode(encoding).splitlines()]  # type: ignore[attr-defined]


def test_a_line_a_hop_with_where_and_when() -> None:
    shown = lines(follow(Path(mark(), published=True, rest=True), way(TIMES)))
    assert shown[0] == f"{TOPIC}  {PAYLOAD.decode()}"
    assert shown[2].split() == ["hop", "by", "where", "+ms", "ms"]
    words = [line.split() for line in shown[3:]]
    assert words[0] == ["MQTT", "published", "0.0", "0.0"]
    assert words[3][:2] == ["src-data", "collection"]
    assert words[3][3:5] == ["2.0", "5.0"]
    assert len(words) == 10


def test_bars_follow_each_other() -> None:
    shown = lines(follow(Path(mark(), published=True, rest=False), way(TIMES)))
    bars = {line.split()[0]: line for line in shown if "━" in line}
    assert bars["src-data"].index("━") == bars["sensor-data"].rindex("━") + 1
    assert bars["processed-data"].index("━") == bars["src-data"].rindex("━") + 1


def test_what_is_missing_stands_in_its_place() -> None:
    shown = [line.split() for line in lines(stuck())[3:]]
    assert [words[0] for words in shown[2:6]] == ["sensor-data", "src-data", "processed-data", "table"]
    assert shown[4] == ["processed-data", "processing", "-"]


def test_a_refused_reading_ends_with_the_dead_letter() -> None:
    last = lines(refused())[-1].split()
    assert last[:2] == ["dead-letter", "processing"]


@pytest.mark.parametrize("width", [70, 80, 200])
@pytest.mark.parametrize("slow", [1, 100_000])
def test_no_figure_is_cut_and_no_line_too_long(width: int, slow: int) -> None:
    times = {topic: at * slow for topic, at in TIMES.items()}
    shown = lines(follow(Path(mark(), published=True, rest=True), way(times)), width=width)
    assert all(len(line) <= width for line in shown)
    assert not any("…" in line for line in shown)


def test_a_terminal_without_utf_8() -> None:
    shown = lines(follow(Path(mark(), published=True, rest=True), way(TIMES)), encoding="ascii")
    assert any("---" in line for line in shown)


def test_a_payload_obeys_no_terminal() -> None:
    found = Path(Mark.of(7, TOPIC, b"\x1b[2J\xff[bold]", NOW), published=False, rest=True).trace()
    assert lines(found)[0] == f"{TOPIC}  \\x1b[2J\\xff[bold]"


def test_the_document_is_plain() -> None:
    path = Path(mark(), published=True, rest=True)
    path.reach("table temperature", NOW + 1, Location("21.5"))
    told = check(json.loads(json.dumps(document(path.trace()))))
    assert told["schema"] == "bdemo.trace/1"
    assert told["outcome"] == "under way"
    assert told["hops"][-1] == {
        "name": "table temperature",
        "service": "loader",
        "after": "processed-data",
        "when": NOW + 1,
        "since_previous_ms": 1000.0,
        "since_start_ms": 1000.0,
        "value": "21.5",
        "topic": None,
        "partition": None,
        "offset": None,
        "key": None,
    }
    assert told["missing"][0] == "MQTT acknowledged"
    assert set(REACHED) > set(told["missing"]) & set(REACHED)
