"""The Slurm engine: groups of trainings as jobs of a cluster's queue."""
