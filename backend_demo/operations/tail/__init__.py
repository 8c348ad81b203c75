"""Follows Kafka topics, MQTT messages and the gateway's live stream."""
