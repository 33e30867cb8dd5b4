"""Logged runs, read and chosen."""
