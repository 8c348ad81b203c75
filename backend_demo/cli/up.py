"""`bdemo up`."""


def up() -> None:
    """To be written."""
