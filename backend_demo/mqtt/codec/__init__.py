"""The packets of MQTT 3.1, 3.1.1 and 5.0 as bytes and as values; pure, for both ends of a connection."""
