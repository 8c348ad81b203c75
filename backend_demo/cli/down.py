"""`bdemo down`."""


def down() -> None:
    """To be written."""
