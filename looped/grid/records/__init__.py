"""What is kept of a grid: its folder, its run in MLflow, and where each training stands."""
