"""Signals of processes that tests start."""

import signal


def hear_everything() -> None:
    """As `preexec_fn`: what starts the tests may ignore a terminal that closes, as nohup does."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
