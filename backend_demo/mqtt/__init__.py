"""MQTT as the proxy speaks it: packets, topic filters, record headers, and the users with their rights."""
