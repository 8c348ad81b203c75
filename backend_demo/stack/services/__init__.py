"""One file per service: everything about it."""
