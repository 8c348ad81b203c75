"""A real-time IoT backend on one machine: MQTT, Kafka, Faust, PostgreSQL and a REST gateway, run by `bdemo`."""

__version__ = "0.1.0"
