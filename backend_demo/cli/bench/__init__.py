"""`bdemo bench`."""
