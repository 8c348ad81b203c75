"""`bdemo top`."""
