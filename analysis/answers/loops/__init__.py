"""Loops run after training: the curve of each model, and one law of all curves."""
