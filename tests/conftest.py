"""What holds for all tests."""

import signal

# the background job of a shell ignores SIGINT, and so would every program that the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)
