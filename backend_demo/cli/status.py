"""`bdemo status`."""


def status() -> None:
    """To be written."""
