"""What is true without any service: readings, topics, averages, verdicts. No I/O, no clock, no logging."""
