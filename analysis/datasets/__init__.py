"""Kept trainings made into the tables that ``looped.datasets`` loads."""
