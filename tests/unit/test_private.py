"""The private names that the transport leans on are there, and their absence is told."""

import pytest

from backend_demo.faust_batch import private


def test_the_installed_versions_have_every_name() -> None:
    private.check()


def test_a_missing_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "NAMES", ((private.Consumer, "_no_such_name", ("self",)),))
    with pytest.raises(RuntimeError, match="_no_such_name"):
        private.check()


def test_another_signature_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "NAMES", ((private.Consumer, "perform_seek", ("self", "more")),))
    with pytest.raises(RuntimeError, match="perform_seek"):
        private.check()
