"""The environment of services and servers: a few variables of the shell that said `bdemo up` or `run`, and no others.

Libraries read the environment where nobody looks: Faust takes its settings from it before those of the code, asyncpg
reads PGSSLMODE, Java JAVA_TOOL_OPTIONS. Every process would also carry the keys and tokens of its user's shell.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

#: Where programs, files and the user's certificates are; PYTHONPATH: where this package may be.
NAMES = (
    *("PATH", "HOME", "TMPDIR", "TZ", "XDG_CACHE_HOME", "XDG_STATE_HOME"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONPATH"),
)

#: The settings of OpenTelemetry, which have no others.
PREFIXES = ("OTEL_",)

#: What a service in a terminal has beside those: the terminal's own, and those of Python and its debuggers.
TERMINAL_NAMES = ("TERM", "COLORTERM", "NO_COLOR", "COLUMNS", "LINES", "LANG")
TERMINAL_PREFIXES = ("LC_", "PYTHON", "PYDEVD_", "DEBUGPY_", "COVERAGE_")

#: Without it Java finds no file whose path is not ASCII; messages of the servers are English.
FIXED = {"LC_ALL": "C.UTF-8"}


def of_programs(shell: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a child process that is a service or a server, from that of the shell."""
    return {**_chosen(shell, NAMES, PREFIXES), **FIXED}


@contextlib.contextmanager
def of_a_terminal() -> Iterator[None]:
    """Takes from this process all variables but those that a service in a terminal has; gives them back at the end."""
    before = dict(os.environ)
    kept = _chosen(before, (*NAMES, *TERMINAL_NAMES), (*PREFIXES, *TERMINAL_PREFIXES))
    _replace(kept)
    try:
        yield
    finally:
        _replace(before)


def _chosen(shell: Mapping[str, str], names: tuple[str, ...], prefixes: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in shell.items() if name in names or name.startswith(prefixes)}


def _replace(variables: Mapping[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)
