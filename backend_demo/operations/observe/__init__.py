"""The pipeline's state, read from the services' metrics."""
