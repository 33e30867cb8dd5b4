"""Stores of MLflow: addresses, the embedded database, what can be reached and written."""
