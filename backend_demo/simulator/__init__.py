"""Simulated sensors: what they measure, what goes wrong with it, and how it is published."""
