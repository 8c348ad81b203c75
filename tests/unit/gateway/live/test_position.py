"""The ids of the live streams are exact and tied to one log; altered ids are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.gateway.live.position import StreamPosition

offsets = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=24)


@given(offsets)
def test_an_id_is_read_back_as_its_position(given: list[int]) -> None:
    found = StreamPosition.read("log", len(given), StreamPosition("log", given).id().decode())
    assert found.offsets == tuple(given)
    assert (found.behind(given), found.ahead(given)) == (0, 0)


@given(offsets, st.data())
def test_a_position_moves_one_partition_at_a_time(given: list[int], data: st.DataObject) -> None:
    position, wanted = StreamPosition("log", given), list(given)
    for _ in range(data.draw(st.integers(0, 5))):
        index, offset = data.draw(st.integers(0, len(given) - 1)), data.draw(st.integers(0, 2**63 - 1))
        position.move(index, offset)
        wanted[index] = offset
    assert position.id() == StreamPosition("log", wanted).id()
    assert position.behind(given) == sum(max(0, old - new) for old, new in zip(given, wanted, strict=True))
    assert position.ahead(given) == sum(max(0, new - old) for old, new in zip(given, wanted, strict=True))


@given(offsets, st.data())
def test_an_id_of_another_log_is_refused(given: list[int], data: st.DataObject) -> None:
    told = StreamPosition("log", given).id().decode()
    at = data.draw(st.integers(0, len(told) - 1))
    letter = data.draw(st.sampled_from([one for one in "Aa0_-B9=. é\n" if one != told[at]]))
    with pytest.raises(ValueError, match="not an id of this stream"):
        StreamPosition.read("log", len(given), told[:at] + letter + told[at + 1 :])
    for wrong in (told[:-1], told + "A", told + "=", ""):
        with pytest.raises(ValueError, match="not an id of this stream"):
            StreamPosition.read("log", len(given), wrong)
    with pytest.raises(ValueError, match="not an id of this stream"):
        StreamPosition.read("another log", len(given), told)
    with pytest.raises(ValueError, match="not an id of this stream"):
        StreamPosition.read("log", len(given) + 1, told)


@given(st.text(max_size=60))
def test_any_text_is_an_id_or_is_refused(text: str) -> None:
    try:
        position = StreamPosition.read("log", 3, text)
    except ValueError:
        return
    assert position.id().decode() == text
