"""Records as events: their content, who gets them, and their formats on the wire."""

import json
from collections.abc import Sequence

import httpx
import msgspec
import pytest
from httpx_sse import EventSource, ServerSentEvent
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.uri import parse_uri

from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.topics import AGGREGATED_DATA, DEAD_LETTER, PROCESSED_DATA
from backend_demo.gateway.live.event import SERVER_SENT, WEB_SOCKET, EventBatch, StreamEvent, Wanted, event, text_frame
from backend_demo.gateway.live.position import StreamPosition
from backend_demo.gateway.live.recent import Recent, batch_after
from backend_demo.operations.dead_letters.refused import PAYLOAD_MAX, refused
from backend_demo.operations.kafka_record import KafkaRecord

EVERYTHING = Wanted(frozenset((PROCESSED_DATA, AGGREGATED_DATA, DEAD_LETTER)), frozenset())


def record(
    topic: str, value: bytes | None, key: bytes | None = b"1", headers: Sequence[tuple[str, bytes]] = ()
) -> KafkaRecord:
    return KafkaRecord(topic, 0, 7, 1664000000.5, key, value, tuple(headers))


class TestEvent:
    """Events from records."""

    @pytest.mark.parametrize("topic", [PROCESSED_DATA, AGGREGATED_DATA])
    def test_a_reading_or_an_average_in_one_line(self, topic: str) -> None:
        found = event(record(topic, b'{"sensor": 3,\n "timestamp":1664000000.123, "value":21}'), 5)
        assert found is not None
        assert (found.topic, found.partition, found.offset, found.sensor) == (topic, 5, 7, 3)
        assert found.data == b'{"sensor":3,"timestamp":1664000000.123,"value":21.0}'

    @pytest.mark.parametrize("raw", [None, b"", b"{}", b"\xff", b"[" * 2000, b'{"sensor":1,"timestamp":1,"repair":4}'])
    def test_repairs_and_unreadable_records_are_not_events(self, raw: bytes | None) -> None:
        assert event(record(AGGREGATED_DATA, raw), 0) is None

    def test_a_dead_letter_with_its_reason_and_origin(self) -> None:
        letter = DeadLetter("processing", "range", "250 is too hot", b'{"value":250}', b"9", "src-data", 3, 41)
        found = event(record(DEAD_LETTER, letter.value(), letter.record_key(), letter.headers()), 1)
        assert found is not None
        told = json.loads(found.data)
        assert found.sensor == told["sensor"] == 9
        assert [told[name] for name in ("stage", "reason", "detail")] == ["processing", "range", "250 is too hot"]
        assert [told[name] for name in ("topic", "partition", "offset")] == ["src-data", 3, 41]
        assert [told[name] for name in ("payload", "encoding", "size")] == ['{"value":250}', "utf-8", 13]
        assert (told["id"], told["time"], told["truncated"]) == ("0:7", 1664000000.5, False)


class TestRefused:
    """A dead letter as clients get it."""

    @given(st.binary(max_size=200), st.text(max_size=1500))
    def test_the_payload_is_text_or_base64_and_cut_at_a_character(self, raw: bytes, text: str) -> None:
        for payload in (raw, text.encode(), (text * 3).encode()):
            told = refused(record(DEAD_LETTER, payload))
            assert told.size == len(payload)
            assert told.payload is not None
            try:
                whole = payload.decode()
            except UnicodeDecodeError:
                assert told.encoding == "base64"
            else:
                assert told.encoding == "utf-8"
                assert whole.startswith(told.payload)
                assert len(told.payload.encode()) > PAYLOAD_MAX - 4 or told.payload == whole
            assert told.truncated == (len(payload) > PAYLOAD_MAX)

    @pytest.mark.parametrize(
        ("key", "sensor"),
        [
            *((b"7", 7), (b"sensors/7/temperature", 7), (b"/sensor7/temp", 7)),
            *((None, None), (b"07", None), (b"x", None), (b"\xff", None), (str(2**63).encode(), None)),
        ],
    )
    def test_the_sensor_is_what_the_key_names(self, key: bytes | None, sensor: int | None) -> None:
        assert refused(record(DEAD_LETTER, b"x", key)).sensor == sensor

    def test_a_foreign_record_and_one_that_was_cut_before(self) -> None:
        foreign = refused(record(DEAD_LETTER, None, None, [("origin-partition", b"-1"), ("detail", b"\xff")]))
        assert (foreign.stage, foreign.partition, foreign.payload, foreign.detail) == ("unknown", None, None, "\ufffd")
        cut = refused(record(DEAD_LETTER, b"x" * 10, headers=[("truncated-from", b"5000000")]))
        assert (cut.size, cut.truncated) == (5_000_000, True)


def test_an_event_goes_to_those_who_subscribed() -> None:
    reading = StreamEvent(PROCESSED_DATA, 0, 1, 5, b"{}")
    nobody = StreamEvent(DEAD_LETTER, 0, 1, None, b"{}")
    assert EVERYTHING(reading)
    assert EVERYTHING(nobody)
    assert Wanted(frozenset((PROCESSED_DATA,)), frozenset((5, 6)))(reading)
    assert not Wanted(frozenset((AGGREGATED_DATA,)), frozenset())(reading)
    assert not Wanted(frozenset((PROCESSED_DATA,)), frozenset((6,)))(reading)
    assert not Wanted(frozenset((DEAD_LETTER,)), frozenset((6,)))(nobody)


events = st.lists(
    st.builds(
        StreamEvent,
        st.sampled_from((PROCESSED_DATA, AGGREGATED_DATA, DEAD_LETTER)),
        st.just(0),
        st.integers(0, 9),
        st.none() | st.integers(0, 3),
        st.text(max_size=300).map(msgspec.json.encode),
    ),
    max_size=8,
)
wanteds = st.builds(
    Wanted,
    st.frozensets(st.sampled_from((PROCESSED_DATA, AGGREGATED_DATA, DEAD_LETTER)), min_size=1),
    st.frozensets(st.integers(0, 3)),
)


@given(events, wanteds)
def test_both_formats_as_a_client_reads_them(found: list[StreamEvent], wanted: Wanted) -> None:
    ids = [b"id%d" % number for number, _ in enumerate(found)]
    batch = EventBatch(found, ids)
    names = {PROCESSED_DATA: "reading", AGGREGATED_DATA: "average", DEAD_LETTER: "dead-letter"}
    expected = [
        (names[one.topic], at.decode(), json.loads(one.data)) for one, at in zip(found, ids, strict=True) if wanted(one)
    ]
    sse = batch.bytes_for(SERVER_SENT, wanted)
    assert [(one.event, one.id, json.loads(one.data)) for one in server_sent(sse)] == expected
    frames = [json.loads(one) for one in messages(batch.bytes_for(WEB_SOCKET, wanted))]
    assert [(one["event"], one["id"], one["data"]) for one in frames] == expected


def test_notices_and_keep_alives() -> None:
    told = (
        SERVER_SENT.notice("gap", "three\nlines\rof it") + SERVER_SENT.keep_alive(None) + SERVER_SENT.keep_alive(b"x")
    )
    notice, alive = server_sent(told)
    assert (notice.event, notice.json()) == ("notice", {"code": "gap", "detail": "three\nlines\rof it"})
    assert (alive.event, alive.id, alive.json()) == ("keep-alive", "x", {})
    assert WEB_SOCKET.keep_alive(None) == b""
    notice_frame, alive_frame = map(json.loads, messages(WEB_SOCKET.notice("gap", "it") + WEB_SOCKET.keep_alive(b"x")))
    assert notice_frame == {"event": "notice", "id": None, "data": {"code": "gap", "detail": "it"}}
    assert alive_frame == {"event": "keep-alive", "id": "x", "data": {}}


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
def test_a_frame_of_each_length(size: int) -> None:
    assert messages(text_frame(b"x" * size)) == [b"x" * size]


def server_sent(raw: bytes) -> list[ServerSentEvent]:
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=raw)
    return list(EventSource(response).iter_sse())


def messages(raw: bytes) -> list[bytes]:
    client = ClientProtocol(parse_uri("ws://localhost/"), max_size=None)
    client.connect()
    client.state = client.state.OPEN
    client.parser = client.parse()
    next(client.parser)
    client.receive_data(raw)
    found = client.events_received()
    assert all(isinstance(frame, Frame) and frame.fin for frame in found)
    return [bytes(frame.data) for frame in found if isinstance(frame, Frame)]


class TestRecent:
    """The newest events, for returning clients."""

    @given(st.lists(st.integers(0, 2), max_size=40), st.integers(0, 12), st.data())
    def test_it_gives_exactly_the_missing_events_or_says_that_it_cannot(
        self, partitions: list[int], count: int, data: st.DataObject
    ) -> None:
        begins = (10, 20, 30)
        offsets, told = list(begins), []
        recent = Recent(begins, count=count, bound_bytes=10_000)
        for partition in partitions:
            told.append(StreamEvent(PROCESSED_DATA, partition, offsets[partition], 1, b"{}"))
            offsets[partition] += 1
            recent.add(told[-1:])
        at = [data.draw(st.integers(begin - 1, end)) for begin, end in zip(begins, offsets, strict=True)]
        position = StreamPosition("log", at)
        missing = [one for one in told if one.offset >= at[one.partition]]
        if recent.reaches(position):
            assert all(here >= begin for here, begin in zip(at, begins, strict=True))
            assert recent.after(position) == missing
        else:
            assert (
                len(missing) > count
                or any(here < begin for here, begin in zip(at, begins, strict=True))
                or (set(missing) - set(told[len(told) - count :]))
            )

    def test_its_bytes_are_bounded(self) -> None:
        recent = Recent([0], count=100, bound_bytes=50)
        recent.add([StreamEvent(PROCESSED_DATA, 0, offset, 1, b"x" * 20) for offset in range(5)])
        assert not recent.reaches(StreamPosition("log", [2]))
        assert [one.offset for one in recent.after(StreamPosition("log", [3]))] == [3, 4]

    @given(st.lists(st.integers(0, 2), max_size=20))
    def test_each_id_resumes_after_its_event(self, partitions: list[int]) -> None:
        offsets, told = [0, 0, 0], []
        for partition in partitions:
            told.append(StreamEvent(PROCESSED_DATA, partition, offsets[partition], 1, b"{}"))
            offsets[partition] += 1
        recent = Recent([0, 0, 0], count=100, bound_bytes=10_000)
        recent.add(told)
        batch = batch_after(StreamPosition("log", [0, 0, 0]), told)
        for number, one in enumerate(server_sent(batch.bytes_for(SERVER_SENT, EVERYTHING))):
            assert recent.after(StreamPosition.read("log", 3, one.id)) == told[number + 1 :]
