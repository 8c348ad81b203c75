"""`bdemo env`."""


def env() -> None:
    """To be written."""
