"""The service `mqtt`: takes MQTT messages into Kafka, and shows what is there to those who subscribe."""
