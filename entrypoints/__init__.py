"""The commands of MLproject, one module each, named after what it does.

Each reads its arguments with ``arguments``, makes one call into looped or analysis, and says what
came, in words or as one object (``outcome``). ``train``, ``evaluate_extrapolation`` and ``grid``
end in good order when they are stopped. ``console`` is the command ``looped``. ``benchmarks``
holds what the command ``benchmark`` measures.
"""
