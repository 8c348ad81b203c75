"""One way to each server: its clients' options, credentials, time limits and pauses before a new attempt."""
