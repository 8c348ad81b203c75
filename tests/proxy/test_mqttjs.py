"""mqtt.js, the client of most JavaScript programs and of MQTTX; fetched once for each session, where npm can."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.proxy import KafkaTopics, Login

PROGRAM = Path(__file__).with_name("subscriber.mjs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("mqttjs")
    (folder / "package.json").write_text("{}")
    install = ["npm", "install", "--no-audit", "--no-fund", "mqtt@5"]
    try:
        subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=180)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as problem:
        pytest.skip(f"npm cannot fetch mqtt.js: {problem}")
    shutil.copy(PROGRAM, folder)
    return folder


@pytest.mark.parametrize("version", [3, 4, 5])
def test_readings_and_what_is_refused(
    folder: Path, login: Login, topics: KafkaTopics, topic: str, version: int
) -> None:
    command = ["node", PROGRAM.name, f"mqtt://{login.host}:{login.port}", str(version), *login.words.values(), topic]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["granted"] == [1]
    assert said["refused"] == (0x90 if version == 5 else 0)
    assert [(each["topic"], each["payload"], each["qos"]) for each in said["seen"]] == [
        (topic, f"{qos}", 1) for qos in range(3)
    ]
    for each in said["seen"]:
        if version == 5:
            assert each["properties"]["userProperties"] == {"unit": "°C"}
            assert each["properties"]["contentType"] == "text/plain"
            assert each["properties"]["subscriptionIdentifier"] == 5
        else:
            assert each["properties"] is None
    assert topics.payloads(topic) == [b"0", b"1", b"2"]
