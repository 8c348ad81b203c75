"""The console's pure modules, run in a browser against oracles of ours."""

import json
import math
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.browser import PATIENCE_MS, chromium

Run = Callable[[str, str, Any], Any]

EXAMPLES = settings(deadline=None, max_examples=60)

TIMES = st.integers(0, 200).map(float)
VALUES = st.integers(-50, 50).map(float)
ROOMS = st.integers(1, 100).map(float)
POINTS = st.lists(st.tuples(TIMES, VALUES), max_size=30)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Imports a module as `m` and computes an expression of it and `x`."""
    folder = str(files("backend_demo.gateway") / "console_static")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with chromium() as browser:
            page = browser.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.goto(f"http://127.0.0.1:{server.server_port}/icon.svg")

            def compute(module: str, expression: str, x: Any = None) -> Any:
                code = f"async (given) => {{ const x = JSON.parse(given); const m = await import('/{module}.js'); "
                return json.loads(
                    page.evaluate(f"{code} return JSON.stringify({expression}) ?? 'null'; }}", json.dumps(x))
                )

            yield compute
    finally:
        server.shutdown()
        server.server_close()


TRACK = "const t = new m.Track(); for (const [a, b] of x.points) t.push(a, b);"


@EXAMPLES
@given(points=POINTS, cut=TIMES)
def test_a_track_has_each_time_once_with_its_newest_value(run: Run, points: list[Any], cut: float) -> None:
    found = run(
        "series", f"(() => {{ {TRACK} t.trim(x.cut); return [t.times, t.values]; }})()", {"points": points, "cut": cut}
    )
    expected = sorted(dict(points).items())
    before = [point for point in expected if point[0] < cut]
    kept = before[-1:] + [point for point in expected if point[0] >= cut]
    assert list(zip(*found, strict=True)) == kept


@EXAMPLES
@given(points=POINTS, history=POINTS)
def test_history_takes_the_place_of_what_is_not_newer(run: Run, points: list[Any], history: list[Any]) -> None:
    old = sorted(dict(history).items())
    replaced = "t.replace(x.old.map((point) => point[0]), x.old.map((point) => point[1]));"
    code = f"(() => {{ {TRACK} {replaced} return [t.times, t.values]; }})()"
    found = run("series", code, {"points": points, "old": old})
    end = old[-1][0] if old else -math.inf
    expected = [*old, *((time, value) for time, value in sorted(dict(points).items()) if time > end)]
    assert list(zip(*found, strict=True)) == expected


@EXAMPLES
@given(tracks=st.lists(POINTS, min_size=1, max_size=4))
def test_tracks_on_one_axis_keep_every_point_and_end_only_in_silences(run: Run, tracks: list[list[Any]]) -> None:
    code = (
        "(() => { const tracks = x.map((points) => { const t = new m.Track();"
        " for (const [a, b] of points) t.push(a, b); return t; }); const [axis, ...columns] = m.align(tracks);"
        " return [axis, columns.map((c) => Array.from(c, (v) => (v === undefined ? 'none' : v))),"
        " tracks.map((t) => m.gapsIn(t.times))]; })()"
    )
    axis, columns, silences = run("series", code, tracks)
    assert axis == sorted(set(axis))
    for points, column, silent in zip(tracks, columns, silences, strict=True):
        told = {time: value for time, value in zip(axis, column, strict=True) if value not in (None, "none")}
        assert told == dict(points)
        times = sorted(told)
        # a row that ends the line lies between the same two points as a silence does
        ends = {bisect_right(times, time) for time, value in zip(axis, column, strict=True) if value is None}
        assert ends == {bisect_right(times, time) for time in silent}


@EXAMPLES
@given(
    values=st.lists(VALUES, min_size=1),
    before=st.none() | st.tuples(VALUES, ROOMS).map(lambda axis: [axis[0], sum(axis)]),
)
def test_the_axis_of_values_holds_all_values(run: Run, values: list[float], before: list[float] | None) -> None:
    low, high = run("series", "m.bounds(...x)", [before, min(values), max(values)])
    assert low <= min(values)
    assert high >= max(values)
    assert low < high
    assert run("series", "m.bounds(...x)", [[low, high], min(values), max(values)]) == [low, high]


@EXAMPLES
@given(
    events=st.lists(
        st.tuples(
            st.sampled_from(["", "reading", "dead-letter"]),
            st.lists(st.text('ab: {}"', max_size=8), min_size=1, max_size=3),
            st.sampled_from(["", "abc", "x-1"]),
        )
    ),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_a_stream_is_the_same_in_whatever_pieces_it_comes(
    run: Run, events: list[Any], end: str, cuts: list[int]
) -> None:
    text, expected, last_id = "", [], ""
    for event, lines, id in events:
        told = [*([f"event: {event}"] if event else []), *([f"id: {id}"] if id else []), ": alive"]
        text += end.join([*told, *(f"data: {line}" for line in lines), "", ""])
        last_id = id or last_id
        expected.append({"event": event or "message", "data": "\n".join(lines), "id": last_id})
    text += f": the end{end}"
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    pieces = [text[a:b] for a, b in pairwise(places)]
    found = run("sse", "(() => { const p = new m.Parser(); return x.flatMap((piece) => p.feed(piece)); })()", pieces)
    assert found == expected


SENSORS = st.lists(st.integers(0, 2**63 - 1).map(str), unique=True, max_size=8)


@EXAMPLES
@given(
    view=st.sampled_from(["live", "pipeline", "services", "dead-letters", "trace"]),
    sensors=st.none() | SENSORS,
    since=st.tuples(st.integers(0, 10**9), st.integers(1, 10**6)) | st.none(),
    reason=st.text(max_size=10),
    layout=st.sampled_from(["split", "together"]),
)
def test_the_address_keeps_what_is_looked_at(
    run: Run, view: str, sensors: list[str] | None, since: tuple[int, int] | None, reason: str, layout: str
) -> None:
    bounds = {"from": since[0], "to": since[0] + since[1]} if since else {"from": None, "to": None}
    shown = {"view": view, "sensors": sensors, "range": "5m" if since else "1h", "layout": layout, "reason": reason}
    state = {**shown, **bounds, "stage": "", "standing": "open"}
    assert run("state", "m.parse(m.format(x))", state) == state


@pytest.mark.parametrize(
    "address",
    ["", "#", "#nowhere", "#live?sensors=x,-1,1e3,٣,007", "#live?range=9y&from=2&to=1", "#live?from=&to=%00", "#?&&=="],
)
def test_an_address_that_makes_no_sense_is_the_first_view(run: Run, address: str) -> None:
    state = run("state", "m.parse(x)", address)
    assert (state["view"], state["range"], state["from"], state["sensors"] or []) == ("live", "5m", None, [])


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("m.rate(null)", "–"),
        ("m.rate(0)", "0"),
        ("m.rate(4.25)", "4.3"),
        ("m.rate(12345)", "12,345"),
        ("m.rate(123400)", "123.4k"),
        ("m.seconds(0.0085)", "8.5 ms"),
        ("m.seconds(0.024)", "24 ms"),
        ("m.seconds(1.25)", "1.3 s"),
        ("m.seconds(75)", "≥60 s"),
        ("m.duration(59.9)", "59 s"),
        ("m.duration(200)", "3 min 20 s"),
        ("m.duration(86400)", "1 d"),
        ("m.age(0.4)", "now"),
        ("m.age(130)", "2 min"),
        ("m.bytes(61_000_000)", "61 MB"),
        ("m.degrees(21)", "21.0"),
        ("m.degrees(-3.456)", "-3.46"),
        ("m.fromLocalInput(m.localInput(1700000000))", 1_700_000_000),
        ("m.fromLocalInput('')", None),
    ],
)
def test_numbers_are_told_as_people_read_them(run: Run, call: str, told: object) -> None:
    assert run("format", call, None) == told


@EXAMPLES
@given(numbers=st.lists(st.integers(0, 3000), unique=True), wanted=st.integers(0, 999))
def test_a_search_finds_the_sensors_that_begin_so_before_those_that_hold_it(
    run: Run, numbers: list[int], wanted: int
) -> None:
    found = run("search", "m.search(x[0], x[1])", [list(map(str, sorted(numbers))), str(wanted)])
    begins = [number for number in numbers if str(number).startswith(str(wanted))]
    holds = [number for number in numbers if str(wanted) in str(number) and number not in begins]
    assert found == list(map(str, [*sorted(begins, key=lambda number: (len(str(number)), number)), *sorted(holds)]))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("", ["2", "12", "4503599627370497", "9007199254740990"]),
        (" kü", ["9007199254740990"]),
        ("KÜCHE 2", ["9007199254740990"]),
        ("e", ["4503599627370497", "9007199254740990"]),
        ("sensor 12", ["12"]),
        ("2", ["2", "12", "4503599627370497", "9007199254740990"]),
        ("attic", []),
    ],
)
def test_a_search_finds_names(run: Run, wanted: str, found: list[str]) -> None:
    known = {"4503599627370497": "Keller", "9007199254740990": "Küche 2"}
    sensors = ["2", "12", "4503599627370497", "9007199254740990"]
    assert run("search", "m.search(x[0], x[1], new Map(Object.entries(x[2])))", [sensors, wanted, known]) == found


@EXAMPLES
@given(sensors=st.lists(st.integers(0, 2**63 - 1), max_size=8), payload=st.text(max_size=10))
def test_every_sensor_number_is_exact(run: Run, sensors: list[int], payload: str) -> None:
    """Also of two neighbours above 2^53, which JavaScript takes for one; and what a payload holds stays as it is."""
    letters = [{"sensor": n, "value": 1.5, "payload": f'{payload}{{"sensor": {n}, "x": 1}}'} for n in sensors]
    text = json.dumps({"readings": letters}, ensure_ascii=False)
    found = run("sensor_numbers", "m.parse(x)", text)["readings"]
    assert found == [{**letter, "sensor": str(letter["sensor"])} for letter in letters]
    ordered = run("sensor_numbers", "x.toSorted(m.ascending)", [str(number) for number in sensors])
    assert ordered == [str(number) for number in sorted(sensors)]
