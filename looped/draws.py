"""Random tensors that a stream's three numbers fix, on a CPU or a GPU."""

import numpy as np
import torch
from torch import Tensor


class Draws:
    """Random tensors from one stream, fixed by (seed, step, held_out) alone.

    The three make up the generator's key without a hash, so two streams never share one:
    no training seed can draw a held-out prompt.
    """

    def __init__(self, seed: int, step: int, held_out: bool = False, device: str = "cpu") -> None:
        assert 0 <= seed < 2**31 and 0 <= step < 2**32
        self.device = device
        if device == "cpu":
            key = np.array([2 * seed + held_out, step], dtype=np.uint64)
            self._numpy = np.random.Generator(np.random.Philox(key=key))
        else:
            self._torch = torch.Generator(device)
            self._torch.manual_seed((seed << 33) + (step << 1) + held_out)

    def normal(self, *shape: int) -> Tensor:
        """Independent N(0, 1)."""
        if self.device == "cpu":
            return torch.from_numpy(self._numpy.standard_normal(shape, dtype=np.float32))
        return torch.randn(shape, generator=self._torch, device=self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Independent and uniform on [0, 1)."""
        if self.device == "cpu":
            return torch.from_numpy(self._numpy.random(shape, dtype=np.float32))
        return torch.rand(shape, generator=self._torch, device=self.device)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Independent and uniform on 0, ..., high - 1."""
        if self.device == "cpu":
            return torch.from_numpy(self._numpy.integers(high, size=shape))
        return torch.randint(high, shape, generator=self._torch, device=self.device)
