"""Laws, answers and reports into MLflow."""
