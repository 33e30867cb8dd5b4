"""The trainings that were kept, as tidy tables: ``load("h100-joint")``.

Needs pandas, and neither torch nor MLflow.
"""

from looped.datasets.loading import Dataset, load, names

__all__ = ["Dataset", "load", "names"]
