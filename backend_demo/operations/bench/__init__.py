"""Measures how fast a pipeline is and checks that it was exact: drain, MQTT to row, latency."""
