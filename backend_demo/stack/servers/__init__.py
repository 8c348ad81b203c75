"""The embedded servers: how each is fetched, configured and started."""
