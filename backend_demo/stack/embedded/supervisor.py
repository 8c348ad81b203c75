"""Drives supervisord: writes its configuration, starts it, and calls it over a unix socket."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from backend_demo import environment
from backend_demo.errors import ConfigurationInvalid, PrerequisiteMissing, ServiceFailed
from backend_demo.stack.services.service import Program
from backend_demo.stack.state.directory import StateDirectory

if TYPE_CHECKING:
    import psutil

CALL_LIMIT_S = 10.0
START_LIMIT_S = 20.0
#: Open files a process needs: Kafka opens some hundred, a few for each partition.
OPEN_FILES = 1024
#: Time a program has to end before it is killed, seconds.
STOP_LIMIT_S = 10

#: supervisord, as we run it.
PROGRAM = "backend_demo.stack.embedded.supervisord"

#: Variable of a program that drops root's rights by itself.
DROPS_PRIVILEGES = "SUPERVISOR_PROGRAM_DROPS_PRIVILEGES"

ProcessState = Literal["STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN"]

#: Error codes of calls that find nothing to do.
_ALREADY_STARTED, _NOT_RUNNING = 60, 70


@dataclass(frozen=True)
class ProcessInfo:
    """What supervisord reports about a program."""

    name: str
    group: str
    state: ProcessState
    pid: int | None
    uptime_s: float | None


class Supervisor:
    """The supervisord of one state directory."""

    def __init__(self, state: StateDirectory) -> None:
        self.state = state
        self.socket = state.sockets / "supervisor.sock"
        self.url = f"unix://{self.socket}"
        self.log = state.logs / "supervisor.log"
        self._pid_file = state.sockets / "supervisor.pid"
        self._configuration = state.path / "supervisor.conf"

    def runs(self) -> bool:
        """Whether supervisord answers."""
        with contextlib.suppress(ServiceFailed):
            return bool(self._call("getState")["statecode"] == 1)
        return False

    def launch(self, programs: Iterable[Program]) -> None:
        """Starts supervisord, which starts no program by itself. Raises PrerequisiteMissing, ServiceFailed."""
        _allow_files()
        self._configuration.write_text(configuration(self, programs))
        for old in (self.log, self.log.with_name(self.log.name + ".1")):
            old.unlink(missing_ok=True)  # restarts are counted from it, since this start
        command = [sys.executable, "-m", PROGRAM, "--nodaemon", "-c", str(self._configuration)]
        with open(self.state.logs / "supervisor.out", "wb") as output:
            process = subprocess.Popen(  # noqa: S603 - words, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.state.path,
                umask=0o077,
                env=environment.of_programs(),
                start_new_session=True,  # Ctrl-C in the terminal of `bdemo up` must not reach it
            )
        deadline = time.monotonic() + START_LIMIT_S
        while not self.runs():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                last = (self.state.logs / "supervisor.out").read_text(errors="replace").strip().splitlines()[-1:]
                raise ServiceFailed(f"the supervisor did not start: {''.join(last)}", hint=f"see {self.log}")
            time.sleep(0.02)

    def processes(self) -> dict[str, ProcessInfo]:
        """Every program, by name."""
        return {
            info["name"]: ProcessInfo(
                info["name"],
                info["group"],
                info["statename"],
                info["pid"] or None,
                float(info["now"] - info["start"]) if info["pid"] else None,
            )
            for info in self._call("getAllProcessInfo")
        }

    def start(self, process: ProcessInfo) -> None:
        """Starts a program, without waiting for it."""
        self._call("startProcess", f"{process.group}:{process.name}", False, ignore=(_ALREADY_STARTED,))

    def stop(self, process: ProcessInfo) -> None:
        """Stops a program, keeps it stopped, and returns when it has ended."""
        deadline = time.monotonic() + STOP_LIMIT_S + 5
        while (state := self.processes()[process.name].state) not in ("STOPPED", "FATAL"):
            if time.monotonic() > deadline:
                raise ServiceFailed(f"{process.name} does not stop", hint="try: bdemo down")
            if state != "STOPPING":  # asked again: it may have ended by itself and be about to be restarted
                self.ask_to_stop(process)
            time.sleep(0.05)

    def ask_to_stop(self, process: ProcessInfo) -> None:
        """Begins to stop a program: it is not started again when it ends."""
        self._call("stopProcess", f"{process.group}:{process.name}", False, ignore=(_NOT_RUNNING,))

    def shut_down(self) -> None:
        """Stops the services, then the servers, then supervisord; returns when it has ended, or after a time limit."""
        pid = int(self._call("getPID"))
        self._call("shutdown")
        deadline = time.monotonic() + 2 * STOP_LIMIT_S + 5
        while _exists(pid) and time.monotonic() < deadline:
            time.sleep(0.05)

    def process(self) -> psutil.Process | None:
        """The process of supervisord by its pid file, even if it does not answer; None when it does not run."""
        import psutil

        with contextlib.suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int(self._pid_file.read_text()))
            if str(self._configuration) in process.cmdline():
                return process
        return None

    def clean(self) -> None:
        """Removes the files that a killed supervisord has left."""
        for path in (self.socket, self._pid_file, *self.state.sockets.glob("supervisor.sock.*")):
            path.unlink(missing_ok=True)

    def restarts(self) -> Counter[str]:
        """How often each program has ended by itself since supervisord started, from its log."""
        counts: Counter[str] = Counter()
        for path in (self.log.with_name(self.log.name + ".1"), self.log):
            with contextlib.suppress(FileNotFoundError), open(path, errors="replace") as lines:
                counts.update(match[1] for line in lines if (match := _EXITED.search(line)))
        return counts

    def _call(self, method: str, *arguments: Any, ignore: tuple[int, ...] = ()) -> Any:
        with xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(str(self.socket))) as server:
            try:
                return getattr(server.supervisor, method)(*arguments)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode in ignore:
                    return None
                raise ServiceFailed(
                    f"the supervisor refused {method}: {fault.faultString}", hint=f"see {self.log}"
                ) from fault
            except (OSError, http.client.HTTPException, xmlrpc.client.Error) as problem:
                raise ServiceFailed(f"the supervisor does not answer: {problem}", hint="try: bdemo up") from problem


def configuration(supervisor: Supervisor, programs: Iterable[Program]) -> str:
    """The configuration file of supervisord. Raises ConfigurationInvalid for a path that the file cannot hold."""
    programs = list(programs)
    sections: dict[str, dict[str, str]] = {
        "unix_http_server": {"file": str(supervisor.socket), "chmod": "0600"},
        "supervisord": {
            "logfile": str(supervisor.log),
            "logfile_maxbytes": "2MB",
            "logfile_backups": "1",
            "pidfile": str(supervisor.socket.with_suffix(".pid")),
            **({"user": "root"} if os.geteuid() == 0 else {}),  # else it complains that privileges were not dropped
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
    }
    for priority, group in enumerate(("servers", "services"), 1):
        members = ",".join(program.name for program in programs if program.group == group)
        sections[f"group:{group}"] = {"programs": members, "priority": str(priority)}
    for program in programs:
        sections[f"program:{program.name}"] = {
            "command": shlex.join(program.command),
            "autostart": "false",
            "autorestart": str(not program.once).lower(),
            # five ends in a minute, each within ten seconds of a start, and the program is FATAL; pauses grow
            "startsecs": "0" if program.once else "10",
            "startretries": "4",
            "stopsignal": program.stop_signal,
            "stopwaitsecs": str(STOP_LIMIT_S),
            "killasgroup": "true",
            "redirect_stderr": "true",
            # relative to the state directory, where supervisord runs: it expands `%` twice in this one value
            "stdout_logfile": f"{supervisor.state.logs.name}/{program.name}.log",
            "stdout_logfile_maxbytes": "5MB",
            "stdout_logfile_backups": "2",
            **({"environment": f'{DROPS_PRIVILEGES}="yes"'} if program.drops_privileges else {}),
        }
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in values.items())
        for name, values in sections.items()
    )


def _value(text: str) -> str:
    if re.search(r"\s[;#]|\n", text):
        raise ConfigurationInvalid(
            f"invalid path {text!r}: supervisord takes the comment sign in it for a comment",
            hint="choose another --state-dir",
        )
    return text.replace("%", "%%")


_EXITED = re.compile(r" exited: (\S+) \(")


class _UnixTransport(xmlrpc.client.Transport):
    """XML-RPC through a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=CALL_LIMIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CALL_LIMIT_S)
        self.sock.connect(self._path)


def _exists(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _allow_files() -> None:
    """Raises the limit of open files of this process, which the servers inherit. Raises PrerequisiteMissing."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        raise PrerequisiteMissing(
            f"the stack needs {OPEN_FILES} open files per process, and the limit is {hard}",
            hint=f"raise it before `bdemo up`: ulimit -n {OPEN_FILES}",
        )
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))
