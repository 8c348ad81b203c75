"""The Grafana dashboards, made from the metrics. `python -m backend_demo.dashboards` writes their files."""
