"""Live streams of readings, averages and dead letters."""
