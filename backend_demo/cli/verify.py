"""`bdemo verify`."""


def verify() -> None:
    """To be written."""
