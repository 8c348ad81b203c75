"""Sensors are active, then silent, then forgotten."""

from __future__ import annotations

from backend_demo.domain.activity import FORGOTTEN_S, Activity


def test_a_sensor_becomes_silent_and_active_again() -> None:
    activity = Activity(silent_s=60)
    activity.heard(0, [1, 2], 1000)
    activity.heard(3, [5], 1050)
    assert activity.count(1060) == (3, 0)
    assert activity.count(1061) == (1, 2)
    activity.heard(0, [2], 1070)
    assert activity.count(1080) == (2, 1)


def test_a_sensor_that_was_taken_away_is_forgotten() -> None:
    activity = Activity(silent_s=60)
    activity.heard(0, [1], 1000)
    assert activity.count(1000 + 60 + FORGOTTEN_S) == (0, 1)
    assert activity.count(1001 + 60 + FORGOTTEN_S) == (0, 0)
    activity.heard(0, [1], 9000)
    assert activity.count(9000) == (1, 0)


def test_only_the_partitions_that_are_ours_count() -> None:
    activity = Activity(silent_s=60)
    activity.heard(0, [1, 2, 3], 1000)
    activity.restore({1: {8: 990.0, 9: 900.0}})
    assert activity.count(1000) == (1, 1)
