"""The stack as containers, through docker compose."""
