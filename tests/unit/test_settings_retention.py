"""The setting `retention`: how it may be written, and what it does to the earliest time."""

from __future__ import annotations

import pytest

from backend_demo.errors import ConfigurationInvalid
from backend_demo.settings import load

DAY = 86_400.0


@pytest.mark.parametrize(
    ("written", "seconds"), [("90d", 90 * DAY), ("52w", 364 * DAY), ("1d12h", 1.5 * DAY), ("86400", DAY), ("0", 0.0)]
)
def test_a_duration(monkeypatch: pytest.MonkeyPatch, written: str, seconds: float) -> None:
    monkeypatch.setenv("BDEMO_RETENTION", written)
    assert load().retention == seconds


@pytest.mark.parametrize("written", ["90", "23h", "-1d", "90 days", "", "nan", "200000d"])
def test_what_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("BDEMO_RETENTION", written)
    with pytest.raises(ConfigurationInvalid, match="BDEMO_RETENTION"):
        load()


def test_the_earliest_time_moves_with_now_unless_time_min_is_later() -> None:
    assert load(time_min=0.0).earliest(1e9) == 0.0
    assert load(time_min=0.0, retention="10d").earliest(1e9) == 1e9 - 10 * DAY
    assert load(time_min=1e9 - 5, retention="10d").earliest(1e9) == 1e9 - 5
