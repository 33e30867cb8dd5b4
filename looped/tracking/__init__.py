"""A run in MLflow: told from its journal, named, found again, registered, loaded."""
