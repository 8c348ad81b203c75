"""The command line: thin modules over stack, simulator and operations."""
