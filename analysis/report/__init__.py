"""Everything that logged runs show, as figures, tables and one page."""
