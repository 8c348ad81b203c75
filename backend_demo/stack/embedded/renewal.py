"""Renews the certificate of a stack that runs for longer than it.

A program of its own, which no client can reach: the proxy and the gateway, which clients do reach, never read the key
of the authority. They take the new certificate by themselves.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import structlog

from backend_demo.log import set_up
from backend_demo.stack.state import certificates

log = structlog.get_logger(__name__)

#: Interval of its looks, seconds.
LOOK_S = 3600.0


def main(folder: str, address: str, look_s: str = str(LOOK_S)) -> None:
    """Looks for ever."""
    os.nice(19)
    set_up("info", service="certificates")
    while True:
        try:
            certificates.make(Path(folder), address)
        except OSError as problem:  # such as a full disk: the old certificate is good for a month to come
            log.error("cannot renew the certificate", folder=folder, reason=str(problem))
        time.sleep(float(look_s))


if __name__ == "__main__":
    main(*sys.argv[1:])
