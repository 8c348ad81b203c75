"""Which programs run in the background of a stack."""

from __future__ import annotations

from pathlib import Path

from backend_demo.settings import Settings
from backend_demo.stack.embedded import programs
from backend_demo.stack.state.directory import StateDirectory


def test_only_a_certificate_of_the_stack_s_own_is_renewed(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    assert programs.renewal(Settings(state_dir=tmp_path), state) == []
    bought = tmp_path / "bought.pem"
    assert programs.renewal(Settings(listen="127.0.0.1", tls_cert=bought, tls_key=bought), state) == []
    settings = Settings(state_dir=tmp_path, listen="127.0.0.1")
    made = settings.model_copy(update=programs.certificate(settings, state))
    (program,) = programs.renewal(made, state)
    assert program.command[-2:] == (str(state.tls), "127.0.0.1")
    assert programs.background({program.name}) == [program.name]
    assert programs.background({"kafka"}) == []
