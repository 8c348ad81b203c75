"""The stack as child processes, under supervisor."""
