"""The threads that the CPU's kernels share prompts among.

They are our own: those of OpenMP, which PyTorch's operations run on, spin for milliseconds after
each operation that was large enough to be shared, on the very cores that the kernels need.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

import torch

_n_set_aside: ContextVar[int | None] = ContextVar("_n_set_aside", default=None)


def n_threads() -> int:
    """Count the kernels' threads: as many as PyTorch has, or had before ``cores_to_kernels``."""
    return _n_set_aside.get() or torch.get_num_threads()


@contextmanager
def cores_to_kernels() -> Iterator[None]:
    """Hold PyTorch's own operations to one thread meanwhile, so that no other is left spinning.

    For work that is mostly the kernels'; a step of the smallest models takes about half the time.

    Example:
        >>> with cores_to_kernels():
        ...     torch.get_num_threads(), n_threads() >= 1
        (1, True)
    """
    before = torch.get_num_threads()
    token = _n_set_aside.set(n_threads())
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _n_set_aside.reset(token)


@lru_cache(maxsize=1)
def pool(n_workers: int) -> ThreadPoolExecutor:
    """Return the threads themselves, which stay from call to call."""
    return ThreadPoolExecutor(n_workers)
