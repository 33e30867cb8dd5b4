"""Least squares for many small laws at once, resamples of them, and what these tell of errors."""
