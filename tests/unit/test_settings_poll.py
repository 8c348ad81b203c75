"""What a `[[poll]]` may hold, and that its errors name the line and no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from backend_demo import settings
from backend_demo.errors import ConfigurationInvalid
from backend_demo.settings_poll import PollSetting

URL = "https://user:secret@device.example:8080/api?key=secret"


def poll(**more: Any) -> PollSetting:
    return PollSetting(**{"url": URL, "sensor": "kitchen", "value": "temperature", **more})


def test_what_is_shown_of_a_url_holds_no_secret() -> None:
    assert poll().shown_url == "https://device.example:8080/api"
    assert "secret" not in repr(poll(headers={"Authorization": "secret"}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "ftp://device.example"),
        ("url", "device.example"),
        ("url", "http://de vice/?secret"),
        ("interval_s", 0),
        ("timeout_s", 0),
        ("sensor", ""),
        ("sensor", "a/b"),
        ("headers", {"A b": "secret"}),
        ("headers", {"A": "secret\r\nB: c"}),
        ("value", ""),
        ("unit", "X"),
        ("time_format", "minutes"),
        ("zone", "Mars/Phobos"),
        ("unknown", 1),
    ],
)
def test_what_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        poll(**{field: value})
    assert not any("secret" in error["msg"] for error in refused.value.errors())


def test_an_error_names_the_line_in_bdemo_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bdemo.toml").write_text(
        '[[poll]]\nurl = "http://a"\nsensor = "1"\nvalue = "t"\n\n[[poll]]\nurl = "http://b"\nsensor = "2"\n'
        'value = "t"\nunit = "X"\n'
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationInvalid, match=r"poll in .*bdemo.toml, line 10: poll 2: unknown unit 'X'"):
        settings.load()
