"""What the command ``benchmark`` measures with, and a few programs run by hand.

``parts`` has a module for each part; ``workbench``, ``timing`` and ``commands`` are what the parts
share; ``results``, ``growth``, ``drawing`` and ``log`` make something of the figures. By hand run
``grid_scale``, ``long_lists``, ``law_speed``, ``training_curves`` and the programs of ``coverage``,
which measure how often intervals and verdicts hold.
"""
