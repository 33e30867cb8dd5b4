"""Where laws registered before the rooms look for ``load_law``; see ``scaling.law_file``."""

from analysis.scaling.law_file import LAW, load_law, save_law

__all__ = ["LAW", "load_law", "save_law"]
