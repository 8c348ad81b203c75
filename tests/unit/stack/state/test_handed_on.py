"""What the newest `up` hands on."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend_demo.settings import Settings
from backend_demo.stack.state.handed_on import HandedOn
from backend_demo.stack.state.record import _PRIVATE


def test_settings_with_secrets_are_handed_on_and_no_others(tmp_path: Path) -> None:
    file = HandedOn(tmp_path / "handed-on.json")
    settings = Settings(state_dir=tmp_path, mqtt_password="secret", kafka_heap_mb=200, gateway_tokens=("t" * 32,))
    file.save(settings)
    assert file.settings() == {"mqtt_password": "secret", "gateway_tokens": ["t" * 32]}
    assert Settings(**file.settings()).gateway_tokens == ("t" * 32,)
    assert (tmp_path / "handed-on.json").stat().st_mode & 0o077 == 0
    assert file.settings().keys() <= _PRIVATE


def test_the_environment_is_that_of_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = HandedOn(tmp_path / "handed-on.json")
    for zone in ("Asia/Tokyo", "Europe/Oslo"):
        monkeypatch.setenv("TZ", zone)
        file.save(Settings(state_dir=tmp_path))
        assert file.environment()["TZ"] == zone


def test_without_a_file_nothing_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    file = HandedOn(tmp_path / "none.json")
    assert file.settings() == {}
    assert "AWS_SECRET_ACCESS_KEY" not in file.environment()
