"""The figures and tables of a report, one module each."""
