"""Faults done to the commands on purpose, and what is lost by them."""
