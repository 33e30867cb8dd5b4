"""How a model's shape is padded for a GPU's kernels, and which shapes they serve."""

import math
from dataclasses import dataclass

from looped.sizes import ModelConfig

EPSILON = 1e-5
"""What LayerNorm adds to the variance; PyTorch's default."""

HEAD_SIZE = 16
MLP_CHUNK = 64
MOST_TOKENS = 128
MOST_WIDTH = 128


@dataclass(frozen=True)
class PaddedShape:
    """Sizes of one block in a kernel; see ``gpu.block`` for the letters.

    A GPU's tensor cores multiply tiles whose sides are powers of two from 16 on.
    """

    n_layer: int
    n_head: int
    tokens: int
    width: int
    padded_tokens: int
    padded_width: int
    padded_head: int
    padded_mlp: int

    @property
    def attention_width(self) -> int:
        """Width of all heads together."""
        return self.n_head * self.padded_head

    @classmethod
    def of(cls, config: ModelConfig) -> "PaddedShape | None":
        """Pad a model's shape for a GPU; None where its kernels do not serve it."""
        size = config.size
        shape = cls(
            n_layer=size.n_layer,
            n_head=size.n_head,
            tokens=config.n_tokens,
            width=size.n_embd,
            padded_tokens=_power_of_two(config.n_tokens),
            padded_width=_power_of_two(size.n_embd),
            padded_head=_power_of_two(size.n_embd // size.n_head),
            padded_mlp=-(-size.n_mlp // MLP_CHUNK) * MLP_CHUNK,
        )
        fits = (
            shape.padded_tokens <= MOST_TOKENS
            and shape.padded_width <= MOST_WIDTH
            and shape.attention_width <= MOST_WIDTH
            and _power_of_two(shape.attention_width) == shape.attention_width
        )
        return shape if fits else None


def segment_loops(tracked: int) -> int:
    """Of how many loops to keep the activations: about the root, as there are segments."""
    return math.isqrt(tracked - 1) + 1


def _power_of_two(least: int) -> int:
    """The smallest power of two, 16 or more, that is not below ``least``."""
    return max(16, 1 << (least - 1).bit_length())
