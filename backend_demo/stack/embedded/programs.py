"""The programs of the embedded stack, and what must be there before the first of them starts."""

from __future__ import annotations

import sys
import threading
from collections.abc import Container
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.stack.base import Report, ServiceStatus
from backend_demo.stack.services.service import Program
from backend_demo.stack.services.table import SERVICES
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.threads import Stopped, at_once

if TYPE_CHECKING:
    from backend_demo.settings import Settings

#: The program that renews the certificate of the stack.
RENEWAL = "certificates"


def prepare(settings: Settings, state: StateDirectory, report: Report) -> list[Program]:
    """Fetches and configures all servers at once; returns every program, also those of copies to come."""
    stop = threading.Event()

    def fetching(name: str, detail: str) -> None:
        if stop.is_set():
            raise Stopped
        report(ServiceStatus(name, "fetching", detail=detail))

    found = at_once(
        {
            name: partial(service.programs, settings, state, partial(fetching, name))
            for name, service in SERVICES.items()
            if service.programs
        },
        stop,
    )
    return [program for programs in found.values() for program in programs]


def certificate(settings: Settings, state: StateDirectory) -> dict[str, Path]:
    """The settings of the certificate that the stack makes, if it is open to the network and has none."""
    if not settings.listen or settings.tls_cert is not None:
        return {}
    from backend_demo.stack.state import certificates

    made = certificates.make(state.tls, settings.listen)
    return {"tls_cert": made.certificate, "tls_key": made.key}


def renewal(settings: Settings, state: StateDirectory) -> list[Program]:
    """The program that renews the certificate of the stack, if it is one that the stack has made."""
    if not settings.listen or settings.tls_cert is None or settings.tls_cert.parent != state.tls:
        return []
    command = (sys.executable, "-m", "backend_demo.stack.embedded.renewal", str(state.tls), settings.listen)
    return [Program(RENEWAL, "servers", command)]


def background(known: Container[str]) -> list[str]:
    """Those of the supervisor's programs that start when the stack is up: nobody waits for them."""
    wanted = [service.background() for service in SERVICES.values() if service.background]
    return [program for program in (*wanted, RENEWAL) if program and program in known]
