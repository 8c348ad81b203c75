"""The set-up of logging: everything that a process writes is an event, in one form; and the only place that does it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest

START = """
    import logging, sys, threading, warnings
    from backend_demo import log
    import structlog

    found = structlog.get_logger("backend_demo.stages.bridge")
    form = log.set_up({level!r}, form={form!r}, service="processing-2")
"""


def stderr(program: str, *, form: str = "auto", level: str = "info", code: int = 0) -> list[str]:
    text = textwrap.dedent(START.format(form=form, level=level)) + textwrap.dedent(program)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    return done.stderr.splitlines()


def events(program: str, **options: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stderr(program, **options)]


def test_an_event_is_a_line_of_json_with_its_keys() -> None:
    (event,) = events("found.info('ready', partitions=8)")
    assert list(event) == ["time", "level", "event", "service", "logger", "pid", "partitions"]
    assert event["time"].endswith("Z")
    assert len(event["time"]) == len("2026-11-24T12:00:00.250Z")
    assert (event["level"], event["event"], event["partitions"]) == ("info", "ready", 8)
    assert (event["service"], event["logger"]) == ("processing-2", "backend_demo.stages.bridge")


def test_a_traceback_is_in_the_line_of_its_event() -> None:
    (event,) = events("try: 1 / 0\nexcept Exception: found.exception('failed')")
    assert event["exception"].splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_a_long_traceback_is_cut_in_its_middle() -> None:
    (event,) = events("try: raise ValueError('x' * 50_000)\nexcept Exception: found.exception('failed')")
    assert len(event["exception"]) < 11_000
    assert event["exception"].startswith("Traceback")


def test_other_libraries_and_warnings_come_in_the_same_form() -> None:
    program = """
        logging.getLogger("uvicorn.error").error("cannot %s", "bind")
        logging.getLogger("aiokafka.conn").info("never seen")
        logging.getLogger("alembic.runtime.migration").info("Running upgrade")
        warnings.warn("old", UserWarning)
    """
    found = events(program)
    assert [(event["level"], event["event"].split(": ")[-1].splitlines()[0]) for event in found] == [
        ("error", "cannot bind"),
        ("info", "Running upgrade"),
        ("warning", "old"),
    ]
    assert {event["service"] for event in found} == {"processing-2"}


def test_what_nobody_catches_is_an_event() -> None:
    program = """
        class Odd:
            def __del__(self): raise ValueError("in del")

        Odd()
        thread = threading.Thread(target=lambda: 1 / 0, name="paho")
        thread.start()
        thread.join()
        raise RuntimeError("boom")
    """
    ignored, in_thread, uncaught = events(program, code=1)
    assert ignored["event"] == "ignored exception"
    assert in_thread["thread"] == "paho"
    assert uncaught["exception"].splitlines()[-1] == "RuntimeError: boom"


@pytest.mark.parametrize(("level", "seen"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_what_is_less_serious_is_left_out(level: str, seen: int) -> None:
    program = "for name in ('debug', 'info', 'warning', 'error'): getattr(found, name)('x')"
    assert len(stderr(program, level=level)) == seen


def test_no_library_is_louder_than_the_level() -> None:
    assert stderr("logging.getLogger('aiokafka').warning('x')", level="error") == []


def test_of_a_library_in_an_outage_one_line_in_ten_seconds_is_enough() -> None:
    program = "for name in range(1000): logging.getLogger(f'aiokafka.{name % 7}').warning('lost %s', name)"
    assert len(stderr(program)) == 1


def test_faust_is_told_from_us_although_it_logs_in_our_name() -> None:
    program = """
        theirs = logging.getLogger("backend_demo.faust_batch.transport")
        theirs.info("[^-Consumer]: Starting...")
        for _ in range(2): theirs.warning("late")
        structlog.get_logger("backend_demo.faust_batch.transport").info("producer closed hard")
    """
    assert [event["event"] for event in events(program)] == ["late", "producer closed hard"]


def test_short_lines_have_no_colours_where_there_is_no_terminal() -> None:
    (line,) = stderr("found.info('ready', partitions=8)", form="short")
    assert line[13:] == " info    ready partitions=8"


def test_a_service_needs_no_rich() -> None:
    """Its import, by structlog, took 50 ms of every start."""
    program = """
        import backend_demo.stages.loader
        sys.exit(sum(name.startswith("rich") for name in sys.modules))
    """
    assert stderr(program) == []


def test_an_error_of_ours_ends_a_service_in_one_event() -> None:
    program = """
        from backend_demo.errors import PrerequisiteMissing
        sys.exit(log.failed(PrerequisiteMissing("no topic", hint="make it")))
    """
    (event,) = events(program, code=4)
    assert {name: event[name] for name in ("event", "code", "error", "hint")} == {
        "event": "failed",
        "code": "prerequisite_missing",
        "error": "no topic",
        "hint": "make it",
    }


def test_a_bug_ends_a_service_with_its_traceback() -> None:
    (event,) = events("sys.exit(log.failed(ValueError('boom')))", code=1)
    assert event["exception"] == "ValueError: boom"
