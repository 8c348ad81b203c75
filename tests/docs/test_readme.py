"""README and the other pages: their commands and programs run, their links and paths lead somewhere."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer.main

from backend_demo.cli.main import app
from tests.docs.pages import FOREIGN, NOT_RUN, PAGES, ROOT, SKIPPED, blocks, commands, name_of, skipped
from tests.support.wait import eventually

every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)
ROOT_COMMAND = typer.main.get_command(app)
RUN = [page for page in PAGES if commands(page) and name_of(page) not in NOT_RUN]


@pytest.mark.parametrize(("number", "does"), [(0, "bdemo demo"), (1, "nox")])
def test_the_first_blocks_are_one_command_each(number: int, does: str) -> None:
    (line,) = blocks(ROOT / "README.md", "console")[number].splitlines()
    assert line == f"sh install.sh && .venv/bin/{does}"


@every_page
def test_every_command_is_one_that_bdemo_takes(page: Path) -> None:
    text = "".join(blocks(page, "console"))
    calls = re.findall(r"\bbdemo ((?:'[^']*'|[^'|;&()#\n])*)", text)
    for call in calls:
        command: Any = ROOT_COMMAND
        arguments = shlex.split(call)
        context = command.make_context("bdemo", list(arguments))
        while hasattr(command, "commands"):
            name, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
            context = command.make_context(name, list(arguments), parent=context)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_commands_of_a_page_run_in_their_order(page: Path, state_dir: Path, tmp_path: Path) -> None:
    missing = tuple(f"{name} " for name in FOREIGN if shutil.which(name) is None)
    wanted = [
        command
        for command in commands(page)
        if not skipped(command) and not any(f" {command}".find(f" {name}") >= 0 for name in missing)
    ]
    script = "\n".join(['eval "$(bdemo env)"', *wanted])
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "BDEMO_STATE_DIR": str(state_dir)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_what_is_not_run_is_still_there() -> None:
    names = {name_of(page) for page in PAGES}
    assert NOT_RUN.keys() <= names
    found = [command for page in PAGES for command in commands(page)]
    assert [start for start in SKIPPED if not any(command.startswith(start) for command in found)] == []


# -- programs

PROGRAMS = {
    "docs/explanation/faust-batch.md": "test_the_faust_example_is_an_application",
    "docs/tutorial.md": "test_the_tutorials_stage_raises_alarms",
    "docs/reference/live.md": "test_the_client_of_the_live_stream_prints_readings",
}


def test_every_program_has_a_test() -> None:
    assert {name_of(page) for page in PAGES if blocks(page, "python")} == PROGRAMS.keys()
    assert set(PROGRAMS.values()) <= globals().keys()


def program(page: str, tmp_path: Path) -> Path:
    (code,) = blocks(ROOT / page, "python")
    file = tmp_path / "program.py"
    file.write_text(code)
    return file


def test_the_faust_example_is_an_application(tmp_path: Path) -> None:
    """Up to its first record, which needs a Kafka."""
    code = program("docs/explanation/faust-batch.md", tmp_path).read_text()
    assert "batch.ack()" in code
    names: dict[str, Any] = {"__name__": "example"}
    code = code.replace('producer = BatchProducer("127.0.0.1:9092", client_id="uppercase")\n', "")
    exec(compile(code, "example", "exec"), names)
    assert names["uppercase"].channel.get_topic_name() == "words"


def environment(state_dir: Path) -> dict[str, str]:
    """What `eval "$(bdemo env)"` sets."""
    command = f'eval "$({shlex.quote(sys.executable)} -m backend_demo env --admin)"; env -0'
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "BDEMO_STATE_DIR": str(state_dir)},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(pair.split("=", 1) for pair in done.stdout.split("\0") if pair)


def simulate(state_dir: Path, *words: str) -> None:
    command = [sys.executable, "-m", "backend_demo", "simulate", "--state-dir", str(state_dir), *words]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def test_the_tutorials_stage_raises_alarms(state_dir: Path, tmp_path: Path) -> None:
    file = program("docs/tutorial.md", tmp_path)
    simulate(state_dir, "--sensors", "5", "--rate", "10", "--duration", "5")
    run = f"import asyncio, runpy; print(asyncio.run(runpy.run_path({str(file)!r})['main'](until=1)))"
    done = subprocess.run(
        [sys.executable, "-c", run], env=environment(state_dir), capture_output=True, text=True, timeout=120, check=True
    )
    assert int(done.stdout) >= 1


def test_the_client_of_the_live_stream_prints_readings(state_dir: Path, tmp_path: Path) -> None:
    variables = environment(state_dir)
    file = program("docs/reference/live.md", tmp_path)
    file.write_text(file.read_text().replace("http://127.0.0.1:8007", variables["BDEMO_GATEWAY_URL"]))
    output = tmp_path / "output"
    with output.open("w") as stdout:
        client = subprocess.Popen([sys.executable, "-u", str(file)], stdout=stdout, env=variables)
    try:
        deadline = time.monotonic() + 60
        while not output.read_text() and time.monotonic() < deadline:
            simulate(state_dir, "--sensors", "1", "--rate", "10", "--duration", "1")
        eventually(lambda: "\n" in output.read_text(), "a line of the client")
    finally:
        client.kill()
        client.wait()
    first = output.read_text().splitlines()[0]
    assert {"sensor", "timestamp", "value"} == json.loads(first.replace("'", '"')).keys()


# -- links and paths


@every_page
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@every_page
def test_every_path_that_is_named_exists(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    named = re.findall(r"`((?:backend_demo|stages|domain|storage|gateway|stack|tests|compose|docs)/[\w./-]*)`", text)
    for path in named:
        if "/<" in path or path.endswith(("alarm.py", "alarm/")):  # what a guide asks to make
            continue
        assert (ROOT / path).exists() or (ROOT / "backend_demo" / path).exists(), path
