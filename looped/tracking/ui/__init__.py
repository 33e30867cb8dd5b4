"""What a person meets in MLflow's UI: links, saved views, descriptions, summaries of cells."""
