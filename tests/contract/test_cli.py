"""`bdemo up`, `status`, `logs`, `env` and `down`, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.state.directory import StateDirectory
from tests.support.engine import LEFT_OUT
from tests.support.services import asked_for
from tests.support.shell import Shell


@pytest.fixture
def bdemo(stack: Stack, settings: Settings) -> Shell:
    return Shell(settings.state_dir, settings.stack)


@pytest.fixture
def nowhere(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "none")


def test_status_as_json(bdemo: Shell, settings: Settings) -> None:
    found = json.loads(bdemo("status", "-o", "json").stdout)
    assert list(found) == ["schema", "stack", "healthy", "services", "addresses", "network", "sizes"]
    assert found["sizes"] is None
    assert (found["schema"], found["stack"], found["healthy"]) == ("bdemo.status/1", settings.stack, True)
    fields = ["name", "state", "pid", "uptime_s", "rss_bytes", "restarts", "error"]
    names = asked_for(settings)
    assert [list(service) for service in found["services"]] == [fields] * len(names)
    assert [service["name"] for service in found["services"]] == names
    assert found["addresses"]["gateway"] == settings.gateway_url
    assert found["addresses"]["kafka"] == settings.kafka_bootstrap


def test_status_as_a_table_has_every_service(bdemo: Shell, settings: Settings) -> None:
    table = bdemo("status").stdout
    assert all(name in table for name in asked_for(settings))


def test_status_of_something_unhealthy_is_5(bdemo: Shell, stack: Stack) -> None:
    stack.stop("gateway")
    assert json.loads(bdemo("status", "-o", "json", code=5).stdout)["healthy"] is False


def test_status_shows_no_password(bdemo: Shell, settings: Settings) -> None:
    files = list(settings.state_dir.glob("**/secrets.json"))
    secrets = [secret for file in files for secret in json.loads(file.read_text()).values()]
    assert secrets
    said = bdemo("status").stdout + bdemo("status", "-o", "json").stdout
    assert not any(secret in said for secret in secrets)


def test_status_imports_nothing_slow(bdemo: Shell) -> None:
    """It may take 0.6 s; each of these would take a good part of that."""
    program = (
        "import contextlib, io, sys; from backend_demo.cli.main import app\n"
        "with contextlib.redirect_stdout(io.StringIO()): app(sys.argv[1:], standalone_mode=False)\n"
        "slow = {'pydantic_settings', 'aiokafka', 'sqlalchemy', 'rich', 'psutil', 'jgo'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, "status", "-o", "json", "--state-dir", str(bdemo.state_dir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_up_again_says_so(bdemo: Shell) -> None:
    done = bdemo("up", *(f"--without={name}" for name in LEFT_OUT))
    assert "already running" in done.stderr
    assert "gateway" in done.stdout


def test_up_and_scale_as_json(bdemo: Shell, settings: Settings) -> None:
    up = json.loads(bdemo("up", *(f"--without={name}" for name in LEFT_OUT), "-o", "json").stdout)
    assert list(up) == ["schema", "started", "stopped", "already_running", "left_out", "addresses", "network"]
    assert (up["schema"], up["started"], up["stopped"], up["left_out"]) == ("bdemo.up/1", [], [], [])
    assert {"kafka", "processing", "gateway"} <= {*up["already_running"]}
    assert up["network"] is None
    assert up["addresses"]["gateway"] == settings.gateway_url
    scale = json.loads(bdemo("scale", "processing=1", "-o", "json").stdout)
    assert (scale["schema"], scale["started"], scale["copies"]) == ("bdemo.scale/1", [], {"processing": 1})


@pytest.mark.parametrize("admin", [False, True])
def test_env_is_what_a_shell_can_eval(bdemo: Shell, settings: Settings, admin: bool) -> None:
    user = {True: "kafka-admin", False: "kafka-reader"}[admin]
    kafka = {
        "BDEMO_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "BDEMO_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "BDEMO_KAFKA_USERNAME": user,
        "BDEMO_KAFKA_PASSWORD": StateDirectory(settings.state_dir).secrets.of(user),
    }
    script = bdemo("env", *(["--admin"] if admin else [])).stdout + "env | grep '^BDEMO_' | sort"
    found = subprocess.run(["env", "-i", "sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert dict(line.split("=", 1) for line in found.splitlines()) == {
        "BDEMO_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        **kafka,
        "BDEMO_POSTGRES_DSN": settings.postgres_dsn,
        "BDEMO_MQTT_HOST": settings.mqtt_host,
        "BDEMO_MQTT_PORT": str(settings.mqtt_port),
        "BDEMO_MQTT_USERNAME": "sensor",
        "BDEMO_MQTT_PASSWORD": settings.mqtt_password,
        "BDEMO_GATEWAY_URL": settings.gateway_url,
    }


def test_logs_are_named_and_counted(bdemo: Shell) -> None:
    lines = bdemo("logs", "postgres", "-n", "3").stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("postgres ") for line in lines)


def test_logs_as_json(bdemo: Shell) -> None:
    for line in bdemo("logs", "-n", "50", "-o", "json").stdout.splitlines():
        assert list(json.loads(line))[:4] == ["service", "time", "text", "level"]


def test_an_unknown_service_is_9_with_a_suggestion(bdemo: Shell) -> None:
    said = bdemo("logs", "loder", code=9).stderr
    assert said.splitlines() == ["error: unknown service 'loder'", "hint: did you mean loader?"]


@pytest.mark.parametrize("command", ["status", "env", "logs"])
def test_without_a_stack_it_is_7(nowhere: Shell, command: str) -> None:
    said = nowhere(command, code=7).stderr.splitlines()
    assert said[0].startswith("error: no stack runs in ")
    assert said[1] == "hint: start it with: bdemo up"


def test_down_without_a_stack_is_fine(nowhere: Shell) -> None:
    assert "nothing was running" in nowhere("down").stderr
    down = json.loads(nowhere("down", "-o", "json").stdout)
    assert down == {
        "schema": "bdemo.down/1",
        "state_dir": str(nowhere.state_dir),
        "was_running": False,
        "wiped": False,
    }
    assert not nowhere.state_dir.exists()


def test_a_folder_of_somebody_else_s_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    assert "not empty" in Shell(tmp_path)("up", code=3).stderr


def test_an_offset_out_of_range_is_a_usage_error(nowhere: Shell) -> None:
    assert "--port-offset" in nowhere("up", "--port-offset", "70000", code=2).stderr


def test_status_with_sizes(bdemo: Shell, settings: Settings) -> None:
    found = json.loads(bdemo("status", "--sizes", "-o", "json").stdout)["sizes"]
    assert {"temperature", "average", "temperature_hour", "fence"} <= {table["name"] for table in found["tables"]}
    assert all(table["bytes"] > 0 for table in found["tables"])
    assert (found["topics"] is None) == (settings.stack == "compose")
    assert "sensor-data" in {topic["name"] for topic in found["topics"] or [{"name": "sensor-data"}]}
    assert found["free_bytes"] > 0
    shown = bdemo("status", "--sizes").stdout
    assert "average_hour" in shown
    assert "of the disk are free" in shown
