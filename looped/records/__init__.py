"""A run on disk: its folder, its journal, its checkpoints, its model."""
