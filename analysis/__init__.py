"""Reads logged runs: fits, claims, figures. Never imports torch."""
