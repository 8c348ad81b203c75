"""Faults on purpose under load: which, when, and whether the stack has recovered."""
