"""Faust at batch speed: all that one poll returned is one unit of work. Knows batches and offsets, not sensors."""
