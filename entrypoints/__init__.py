"""The commands of MLproject, one module each, named after what it does.

Each reads its arguments with ``arguments``, makes one call into looped or analysis, and says what
came. ``train``, ``evaluate_extrapolation`` and ``grid`` end in good order when they are stopped;
``progress`` shows how far a training or an evaluation is. ``benchmarks`` holds what the command
``benchmark`` measures.
"""
