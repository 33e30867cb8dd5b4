"""Type checks under pytest that cost what they are worth.

jaxtyping's hook makes a checked twin of every function when it is defined, which takes some
milliseconds: of a function within a function each time the outer one is called. That took a third
of a small training. A nested function is therefore checked where it is first defined, a few times.
"""

from collections import Counter
from functools import partial

import jaxtyping

FEW = 3

_check = jaxtyping.jaxtyped
_definitions: Counter = Counter()


def _checked(*, typechecker):
    decorate = partial(_check, typechecker=typechecker)

    def decorate_a_few_times(thing):
        code = getattr(thing, "__code__", None)
        if code is not None and "<locals>" in thing.__qualname__:
            _definitions[code] += 1
            if _definitions[code] > FEW:
                return thing
        return decorate(thing)

    return decorate_a_few_times


def check_nested_functions_a_few_times():
    """Let what the hook decorates from here on be checked so."""
    jaxtyping.jaxtyped = _checked
