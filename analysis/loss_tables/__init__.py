"""Losses that others measured: a table in, a law out; needs neither MLflow nor torch."""
