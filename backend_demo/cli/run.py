"""`bdemo run`."""


def run() -> None:
    """To be written."""
