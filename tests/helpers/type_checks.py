"""Type checks under pytest that cost what they are worth.

jaxtyping's hook makes a checked twin of every function when it is defined, which takes some
milliseconds: of a function within a function each time the outer one is called. That took a third
of a small training. A nested function is therefore checked where it is first defined, a few times.

Each call of a twin takes some 15 microseconds, for the shapes of its arguments to agree. A function
whose signature has no shapes is checked by beartype alone, which takes one.
"""

from collections import Counter
from functools import partial, wraps
from types import FunctionType
from typing import get_args

import jaxtyping

FEW = 3

_check = jaxtyping.jaxtyped
_definitions: Counter = Counter()


def has_shapes(annotation):
    """Whether an annotation holds a type of jaxtyping's, or cannot be looked through."""
    if isinstance(annotation, str) or str(getattr(annotation, "__module__", "")).startswith(
        "jaxtyping"
    ):
        return True
    parts = annotation if isinstance(annotation, list | tuple) else get_args(annotation)
    return any(map(has_shapes, parts))


def _check_without_shapes(function, typechecker):
    checked_function = typechecker(function)

    @wraps(function)
    def check(*arguments, **options):
        if jaxtyping.config.jaxtyping_disable:
            return function(*arguments, **options)
        return checked_function(*arguments, **options)

    return check


def _checked(*, typechecker):
    decorate = partial(_check, typechecker=typechecker)

    def decorate_a_few_times(thing):
        code = getattr(thing, "__code__", None)
        if code is not None and "<locals>" in thing.__qualname__:
            _definitions[code] += 1
            if _definitions[code] > FEW:
                return thing
        if isinstance(thing, FunctionType) and not any(
            map(has_shapes, thing.__annotations__.values())
        ):
            return _check_without_shapes(thing, typechecker)
        return decorate(thing)

    return decorate_a_few_times


def check_nested_functions_a_few_times():
    """Let what the hook decorates from here on be checked so."""
    jaxtyping.jaxtyped = _checked
