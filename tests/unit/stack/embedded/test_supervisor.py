"""supervisord's configuration, and what is read of its log."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import pytest

from backend_demo.errors import ConfigurationInvalid
from backend_demo.stack.embedded.supervisor import Program, Supervisor, configuration
from backend_demo.stack.state.directory import StateDirectory


def parsed(supervisor: Supervisor, *programs: Program) -> configparser.RawConfigParser:
    """As supervisord reads it: interpolating, with comments behind values."""
    parser = configparser.ConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(configuration(supervisor, programs))
    return parser


def test_a_command_arrives_word_by_word(tmp_path: Path) -> None:
    command = ("/usr/bin/java", "-Dx=50%", "a b", "it's", '"quoted"', "p#q;r")
    supervisor = Supervisor(StateDirectory(tmp_path))
    parser = parsed(supervisor, Program("kafka", "servers", command))
    assert tuple(shlex.split(parser["program:kafka"]["command"])) == command


def test_a_path_that_would_be_cut_off_is_refused(tmp_path: Path) -> None:
    supervisor = Supervisor(StateDirectory(tmp_path / "my #1"))
    with pytest.raises(ConfigurationInvalid, match="comment sign"):
        configuration(supervisor, [Program("kafka", "servers", ("java",))])


def test_services_are_stopped_before_servers(tmp_path: Path) -> None:
    """supervisord stops the group with the highest priority number first, and waits for it."""
    programs = [Program("kafka", "servers", ("java",)), Program("loader", "services", ("python",))]
    parser = parsed(Supervisor(StateDirectory(tmp_path)), *programs)
    assert int(parser["group:services"]["priority"]) > int(parser["group:servers"]["priority"])
    assert parser["group:servers"]["programs"] == "kafka"


def test_unasked_ends_are_counted_across_a_rotation(tmp_path: Path) -> None:
    supervisor = Supervisor(StateDirectory(tmp_path))
    supervisor.log.parent.mkdir()
    supervisor.log.with_name("supervisor.log.1").write_text(
        "2026-11-24 12:00:00,000 WARN exited: loader (terminated by SIGKILL; not expected)\n"
    )
    supervisor.log.write_text(
        "2026-11-24 12:00:01,000 INFO spawned: 'loader' with pid 7\n"
        "2026-11-24 12:00:09,000 INFO exited: loader (exit status 0; expected)\n"
        "2026-11-24 12:00:10,000 WARN stopped: kafka (exit status 143)\n"
    )
    assert supervisor.restarts() == {"loader": 2}


def test_without_a_socket_it_does_not_run(tmp_path: Path) -> None:
    supervisor = Supervisor(StateDirectory(tmp_path))
    assert not supervisor.runs()
    assert supervisor.process() is None
