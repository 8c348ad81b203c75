"""`bdemo simulate` and wrong command lines: one line of error, one of hint, the right exit code, nothing written."""

from __future__ import annotations

import dataclasses
import json
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend_demo.cli.main import main
from backend_demo.simulator import sensors
from backend_demo.simulator.data_faults import Faults
from backend_demo.simulator.plan import Plan, Summary
from tests.support.schemas import check

Run = Callable[..., tuple[int, str, str]]

SUMMARY = Summary(
    sent=10,
    acknowledged=10,
    failed=0,
    unsent=0,
    dropped=0,
    duplicated=2,
    late=0,
    corrupted=0,
    messages=12,
    seconds=2.0,
    rate=5.0,
    interrupted=False,
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs `bdemo simulate` in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BDEMO_STATE_DIR", str(tmp_path / "state"))
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["bdemo", "simulate", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        return int(exit_.value.code or 0), out, err

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--sensors", "0"], "sensors is 0"),
        (["--sensors", "-1"], "sensors is -1"),
        (["--sensors", "many"], "valid integer"),
        (["--rate", "0"], "rate is 0"),
        (["--rate", "inf"], "rate is inf"),
        (["--rate", "nan"], "rate is nan"),
        (["--duration", "10x"], "--duration: invalid duration '10x'"),
        (["--duration", "0"], "duration"),
        (["--duration", "-5"], "duration"),
        (["--ramp", "soon"], "--ramp: invalid duration 'soon'"),
        (["--count", "0"], "count is 0"),
        (["--count", "-3"], "count is -3"),
        (["--qos", "3"], "qos is 3"),
        (["--model", "cubic"], "'cubic' is not one of"),
        (["--kind", "complex"], "'complex' is not one of"),
        (["--drop", "1.5"], "invalid drop 1.5"),
        (["--late", "nan"], "invalid late nan"),
        (["--drop", "0.6", "--corrupt", "0.6"], "more than 1"),
        (["--batch", "0"], "batch is 0"),
        (["--connections", "0"], "connections is 0"),
        (["--mqtt", "broker"], "invalid address"),
        (["--mqtt", "broker:70000"], "invalid address"),
        (["--mqtt", ":1883"], "invalid address"),
        (["--mqtt", "localhost:1", "--batch", "5000"], "too many for one message"),
        (["--mqtt", "localhost:1", "--ledger", "/"], "cannot write the ledger"),
        (["--mqtt", "localhost:1", "--ledger", "nowhere/l"], "cannot write the ledger"),
        (["--speed", "5"], "no such option"),
        (["now"], "unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_is_told_in_two_lines(run: Run, arguments: list[str], says: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    error, hint = err.splitlines()
    assert error.startswith("error: ")
    assert says in error
    assert hint.startswith("hint: ")


def test_without_a_stack_the_hint_is_to_start_one(run: Run) -> None:
    code, out, err = run("--count", "5")
    assert (code, out) == (7, "")
    assert "no stack runs" in err
    assert "bdemo up" in err


def test_without_a_broker_the_service_has_failed(run: Run) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code, out, err = run("--mqtt", f"127.0.0.1:{port}", "--count", "5")
    assert (code, out) == (5, "")
    assert err.splitlines()[0] == f"error: cannot reach an MQTT broker at 127.0.0.1:{port}: connection refused"


@pytest.mark.parametrize(
    ("changed", "code", "says"), [({}, 0, ""), ({"failed": 3}, 5, "3 readings"), ({"unsent": 4}, 5, "4 readings")]
)
def test_the_summary_is_printed_whatever_came_of_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, changed: dict[str, int], code: int, says: str
) -> None:
    monkeypatch.setattr(sensors, "simulate", lambda *_, **__: dataclasses.replace(SUMMARY, **changed))
    found, out, err = run("--mqtt", "localhost:1", "-o", "json")
    assert found == code
    document = check(json.loads(out))
    error = document.pop("error", {"message": ""})
    assert document == {"schema": "bdemo.simulate/1", **vars(SUMMARY), **changed}
    assert says in error["message"]
    assert err == ""
    _, out, err = run("--mqtt", "localhost:1")
    assert says in err
    assert "acknowledged" in out
    assert "duplicated" in out
    assert "corrupted" not in out


def test_the_options_make_the_plan(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(sensors, "simulate", lambda settings, plan, **_: seen.append((settings, plan)) or SUMMARY)
    options = "--sensors 9 --rate 0.5 --duration 1m --count 77 --ramp 5s --seed 3 --model spikes --kind int --qos 2"
    faults = "--drop 0.1 --duplicate 0.2 --late 0.3 --corrupt 0.4 --batch 5 --connections 2 --topics original"
    assert run(*options.split(), *faults.split(), "--flush", "2s", "--mqtt", "[::1]:1884")[0] == 0
    ((settings, plan),) = seen
    assert (settings.mqtt_host, settings.mqtt_port) == ("::1", 1884)
    assert plan == Plan(
        sensors=9,
        rate=0.5,
        duration_s=60,
        count=77,
        ramp_s=5,
        seed=3,
        model="spikes",
        kind="int",
        topics="original",
        batch=5,
        qos=2,
        connections=2,
        faults=Faults(drop=0.1, duplicate=0.2, late=0.3, corrupt=0.4),
        flush_s=2,
    )


def test_every_option_is_told_in_the_help(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for option in Plan.__dataclass_fields__:
        if option not in ("faults", "sensor_step"):  # the step is what `--processes` makes of it
            assert "--" + option.removesuffix("_s").replace("_", "-") in out
    assert "$ bdemo simulate" in out
