"""The commands of MLproject, one module each, named after what it does.

Each reads its arguments with ``arguments``, makes one call into looped or analysis, and says what
came, in words or as one object (``outcome``). ``train``, ``evaluate_extrapolation`` and ``grid``
end in good order when they are stopped. ``console`` is the command ``looped``. ``benchmarks``
holds what the command ``benchmark`` measures.
"""

import gc

# Loading torch and MLflow makes a million objects that stay. At its default (every 700 new ones)
# Python's search for unused ones takes a fifth of their loading.
gc.set_threshold(10_000)
