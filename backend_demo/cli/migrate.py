"""`bdemo migrate`."""


def migrate() -> None:
    """To be written."""
