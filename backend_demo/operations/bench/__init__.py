"""How fast a pipeline is, and whether it was exact: drain, MQTT to row, latency; docs/bench.md says how."""
