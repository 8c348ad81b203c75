"""Addresses, elapsed time, and text that no terminal obeys."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.text import (
    age,
    as_csv_cell,
    duration,
    escaped,
    escaped_bytes,
    escaped_json,
    host_and_port,
    mqtt_address,
    without_passwords,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kafka:9092", ("kafka", 9092)),
        (" 127.0.0.1:1 ", ("127.0.0.1", 1)),
        ("[::1]:1884", ("::1", 1884)),
        ("host:65535", ("host", 65_535)),
    ],
)
def test_an_address_has_a_host_and_a_port(text: str, expected: tuple[str, int]) -> None:
    assert host_and_port(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "host", ":1883", "host:", "host:0", "host:65536", "host:-1", "host:1.5", "host:١", "host:" + "9" * 9000],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid address"):
        host_and_port(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("broker:1884", ("broker", 1884, None)),
        ("mqtt://broker", ("broker", 1883, False)),
        ("MQTTS://broker/", ("broker", 8883, True)),
        ("mqtts://broker:1884", ("broker", 1884, True)),
        ("mqtts://[::1]", ("::1", 8883, True)),
        ("mqtt://[::1]:1884", ("::1", 1884, False)),
    ],
)
def test_an_address_of_a_broker_may_have_a_scheme(text: str, expected: tuple[str, int, bool | None]) -> None:
    assert mqtt_address(text) == expected


@pytest.mark.parametrize(
    "text",
    ["broker", "http://broker", "mqtt://", "mqtts://:8883", "mqtts://a:b:c", "mqtts://broker/topic", "mqtts://a?b"],
)
def test_what_is_no_address_of_a_broker_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid address"):
        mqtt_address(text)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="only host and port") as raised:
        mqtt_address("mqtts://me:secret@broker")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3_600, "1 h"),
        (3_659, "1 h"),
        (7_500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_elapsed_time_has_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_elapsed_time_can_have_one_unit() -> None:
    assert duration(200, units=1) == "3 min"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 1 s"), (90_000, "1 d 1 h"), (-2.5, "in 2.5 s")]
)
def test_an_age_has_tenths_below_a_minute(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_control_characters_are_escaped() -> None:
    assert escaped("a\x1b[31m\x07\n°\u202e") == "a\\x1b[31m\\x07\\x0a°\\u202e"
    assert escaped("a\n\tb\r", keep="\n\t") == "a\n\tb\\x0d"
    assert escaped_bytes(b"\x1b[31m\xff\n\xc2\x9b") == r"\x1b[31m\xff\x0a\x9b"


@given(st.text())
def test_escaped_text_has_no_control_characters(text: str) -> None:
    assert escaped(text).isprintable()


@given(st.binary())
def test_escaped_bytes_are_one_line(raw: bytes) -> None:
    assert escaped_bytes(raw).isprintable()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_escaped_json_means_the_same(text: str) -> None:
    document = escaped_json(json.dumps({"text": text}, ensure_ascii=False))
    assert json.loads(document) == {"text": text}
    assert document.isprintable()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_escaped_json_keeps_the_lines_of_a_document(text: str) -> None:
    document = escaped_json(json.dumps({"text": text, "more": 1}, ensure_ascii=False, indent=2))
    assert json.loads(document) == {"text": text, "more": 1}
    assert len(document.splitlines()) == 4
    assert document.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\\x09=1"),
        ("\r=1", "'\\x0d=1"),
        (" =1", "' =1"),
        ("＝1", "'＝1"),
        ("-", "'-"),
        ("-5", "-5"),
        ("+1.5e3", "+1.5e3"),
        ("-٣", "'-٣"),
        ("kitchen", "kitchen"),
        ("a=b", "a=b"),
        ("", ""),
        ("two\nlines", "two\\x0alines"),
    ],
)
def test_no_text_becomes_a_formula(text: str, cell: str) -> None:
    assert as_csv_cell(text) == cell


@given(st.text())
def test_a_cell_of_csv_is_one_line_and_no_formula(text: str) -> None:
    cell = as_csv_cell(text)
    assert cell.isprintable()
    assert cell.lstrip()[:1] not in tuple("=@＝＋－＠")
    if cell.lstrip()[:1] in tuple("+-"):
        float(cell)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "cannot use postgresql://bdemo:pa%20ss@127.0.0.1:5432/x",
            "cannot use postgresql://bdemo:***@127.0.0.1:5432/x",
        ),
        ("'postgresql://bdemo:p@s:s@host/x'", "'postgresql://bdemo:***@host/x'"),
        ("dsn=postgresql:///x?user=a&password=pass", "dsn=postgresql:///x?user=a&password=***"),
        ('{"error": "http://u:pass@host/", "b": "c@d"}', '{"error": "http://u:***@host/", "b": "c@d"}'),
        ("postgresql://bdemo@127.0.0.1:5432/x and a@b", "postgresql://bdemo@127.0.0.1:5432/x and a@b"),
        ("http://127.0.0.1:8007/v1", "http://127.0.0.1:8007/v1"),
    ],
)
def test_no_password_of_a_url_is_shown(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
