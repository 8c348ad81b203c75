"""Faust at batch speed: the records of one poll are one unit of work. Knows batches and offsets, not sensors."""
