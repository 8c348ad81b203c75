"""Answers made of rows: formats, pages, streams."""
