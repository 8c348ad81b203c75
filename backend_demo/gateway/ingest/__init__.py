"""Readings that arrive by HTTP: from the bytes of a body to acknowledged records of Kafka."""
