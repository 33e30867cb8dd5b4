"""What all kept studies say together: the tables of docs/findings.md, read from ``results``."""
