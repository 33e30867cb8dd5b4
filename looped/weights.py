"""Where models registered before the rooms look for ``load_model``; see ``records.model_files``."""

from looped.records.model_files import DESCRIPTION, WEIGHTS, load_model, save_model

__all__ = ["DESCRIPTION", "WEIGHTS", "load_model", "save_model"]
