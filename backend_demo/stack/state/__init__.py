"""The state directory of one stack."""
