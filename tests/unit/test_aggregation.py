"""The aggregation's state: what is taken up again."""

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.average import Window
from backend_demo.domain.steps import Average
from backend_demo.stages.aggregation import keep_newer


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 20)), min_size=1))
def test_the_newest_window_is_kept_though_a_zombie_wrote_after_it(written: list[tuple[int, int]]) -> None:
    windows: dict[int, Window] = {}
    for sensor, offset in written:
        keep_newer(windows, sensor, Window(offset=offset))
    assert {sensor: window.offset for sensor, window in windows.items()} == {
        sensor: max(offset for other, offset in written if other == sensor) for sensor, _ in written
    }


def test_what_is_restored_replaces_all_state() -> None:
    step = Average(window=2, lateness=0)
    step.windows[0][1], step.changed[0] = Window(offset=4), {1}
    step.restore({3: {7: Window(offset=9)}})
    assert step.windows == {3: {7: Window(offset=9)}}
    assert not step.changed
