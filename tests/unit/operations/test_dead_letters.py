"""Dead letters as records, and what is planned for those that have marks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.dead_letter import RAW_MAX, DeadLetter
from backend_demo.domain.letter_mark import OPEN, ReplayedReading, Standing
from backend_demo.domain.mapping import DeviceMapping, Mappings
from backend_demo.domain.replay import Edit, Limits
from backend_demo.operations.dead_letters.letter_log import Letter
from backend_demo.operations.dead_letters.refused import dead_letter_of, is_cut, letter_id, refused, time_ms
from backend_demo.operations.dead_letters.replay import LetterReplay, plan
from backend_demo.operations.kafka_record import KafkaRecord

NOW = 1_764_000_000.0
LIMITS = Limits(-100, 200, 60, 946_684_800)
SENT = (ReplayedReading("7", NOW, 21.0),)
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


def record(letter: DeadLetter) -> KafkaRecord:
    headers = tuple(letter.headers())
    return KafkaRecord("dead-letter", 3, 17, NOW + 0.123, letter.record_key(), letter.value(), headers)


def warm(raw: bytes = b'{"value": "warm", "timestamp": 1764000000}') -> DeadLetter:
    return DeadLetter("collection", "value", "warm", raw, b"sensors/7/temperature", "sensor-data", 1, 2)


def planned(
    standing: Standing, edit: Edit = Edit(), limits: Limits = LIMITS, letter: DeadLetter | None = None
) -> LetterReplay:
    (found,) = plan([Letter(record(letter or warm()), standing)], edit, limits, NOW)
    return found.result


@given(
    letter=st.builds(
        DeadLetter,
        stage=TEXT,
        reason=st.sampled_from(["json", "old", "range"]),
        detail=TEXT,
        raw=st.none() | st.binary(max_size=50),
        key=st.none() | st.binary(max_size=50),
        topic=TEXT,
        partition=st.integers(-1, 7),
        offset=st.integers(-1, 2**63 - 1),
        columns=TEXT,
    )
)
def test_a_dead_letter_is_read_as_it_was_written(letter: DeadLetter) -> None:
    assert dead_letter_of(record(letter)) == letter


def test_its_id_and_its_time_are_those_of_the_record() -> None:
    found = record(warm())
    assert refused(found).id == "3:17"
    assert letter_id("3:17") == (3, 17)
    assert time_ms(found) == 1_764_000_000_123


def test_what_was_cut_is_replayed_only_without_its_payload() -> None:
    cut = warm(b"x" * (RAW_MAX + 1))
    assert is_cut(record(cut))
    assert not is_cut(record(warm()))
    told = planned(OPEN, letter=cut)
    assert (told.outcome, told.reason) == ("refused", "size")
    assert planned(OPEN, Edit("7", NOW, 21.0), letter=cut).outcome == "replayed"


@pytest.mark.parametrize(
    ("standing", "edit", "outcome", "sent"),
    [
        (OPEN, Edit(value=21.0), "replayed", list(SENT)),
        (OPEN, Edit(), "refused", []),
        (Standing("dismissed", NOW), Edit(value=21.0), "replayed", list(SENT)),
        (Standing("replayed", NOW, SENT), Edit(value=30.0), "skipped", list(SENT)),
        (Standing("unfinished", NOW, SENT), Edit(), "finished", list(SENT)),
        (Standing("unfinished", NOW, SENT), Edit(value=21.0), "finished", list(SENT)),
        (Standing("unfinished", NOW, SENT), Edit(value=30.0), "skipped", list(SENT)),
    ],
)
def test_what_a_replay_does_depends_on_the_marks(
    standing: Standing, edit: Edit, outcome: str, sent: list[ReplayedReading]
) -> None:
    found = planned(standing, edit)
    assert (found.outcome, list(found.readings)) == (outcome, sent)


def test_a_begun_replay_waits_while_a_mapping_takes_its_topics() -> None:
    every = Mappings([DeviceMapping(topic="+/{sensor}/#", value="value", time="arrival")])
    limits = Limits(-100, 200, 60, 946_684_800, every)
    hall = (ReplayedReading("hall", NOW, 21.0),)
    assert planned(Standing("unfinished", NOW, hall), limits=limits).outcome == "skipped"
