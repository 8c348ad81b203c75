"""`bdemo trace`."""
