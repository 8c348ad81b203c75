"""The private names that the transport relies on exist, and a missing one is reported."""

import pytest

from backend_demo.faust_batch import private


def test_the_installed_versions_have_every_name() -> None:
    private.check()


def test_a_missing_name_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "NAMES", ((private.Consumer, "_no_such_name", ("self",)),))
    with pytest.raises(RuntimeError, match="_no_such_name"):
        private.check()


def test_a_changed_signature_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "NAMES", ((private.Consumer, "perform_seek", ("self", "more")),))
    with pytest.raises(RuntimeError, match="perform_seek"):
        private.check()
