"""Shapes of models: the study's three sizes and four more, and what prompts make of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from looped.rules import require, require_one_of, require_positive, require_whole
from looped.windows import Windows

PROMPTS = ("joint", "interleaved")


@dataclass(frozen=True)
class Size:
    """A weight class: one row of the table of sizes.

    ``n_layer`` blocks of width ``n_embd`` with ``n_head`` heads and an MLP of ``n_mlp``
    hidden units; ``learning_rate`` is the one that this size is trained with, by the study
    where the size is the study's.

    Example:
        >>> {"tiny", "small", "medium"} <= SIZES.keys()
        True
        >>> SIZES["tiny"].n_embd
        26
        >>> Size(n_layer=1, n_head=3, n_embd=32, n_mlp=64, learning_rate=1e-3)
        Traceback (most recent call last):
        ValueError: n_embd must be a multiple of n_head=3, got 32
    """

    n_layer: int
    n_head: int
    n_embd: int
    n_mlp: int
    learning_rate: float

    def __post_init__(self) -> None:
        for name in ("n_layer", "n_head", "n_embd", "n_mlp"):
            require_whole(name, getattr(self, name), 1)
        require_positive("learning_rate", self.learning_rate)
        rule = f"n_embd must be a multiple of n_head={self.n_head}"
        require(self.n_embd % self.n_head == 0, rule, self.n_embd)

    def rate(self, factor: float = 1.0, asked_rate: float | None = None) -> float:
        """Return the rate that is asked for, or so many times the size's own.

        Raises:
            ValueError: it is not so many times the size's own, and the factor is not 1.

        Example:
            >>> SIZES["tiny"].rate(0.5), SIZES["tiny"].rate(asked_rate=0.002)
            (0.0005, 0.002)
        """
        product = float(f"{self.learning_rate * factor:.12g}")  # 0.3 x 0.001 as a person writes it
        rule = f"learning_rate must be auto with a learning_rate_factor of {factor:g}"
        require(factor == 1 or asked_rate in (None, product), rule, asked_rate)
        return product if asked_rate is None else asked_rate


SIZES: Mapping[str, Size] = MappingProxyType(
    {
        "nano": Size(n_layer=1, n_head=1, n_embd=12, n_mlp=64, learning_rate=1e-3),
        "tiny": Size(n_layer=1, n_head=2, n_embd=26, n_mlp=128, learning_rate=1e-3),
        "mini": Size(n_layer=1, n_head=3, n_embd=48, n_mlp=192, learning_rate=7e-4),
        "small": Size(n_layer=2, n_head=4, n_embd=64, n_mlp=256, learning_rate=5e-4),
        "base": Size(n_layer=3, n_head=6, n_embd=96, n_mlp=384, learning_rate=5e-4),
        "medium": Size(n_layer=4, n_head=8, n_embd=128, n_mlp=768, learning_rate=5e-4),
        "large": Size(n_layer=6, n_head=12, n_embd=192, n_mlp=1152, learning_rate=3.5e-4),
    }
)
"""By name, the smallest first; read-only, since a run's identity depends on what stands here.

``STUDY_SIZES`` are the study's own. The others stand between and around them, each about 3.2 times
its smaller neighbour's weights, with heads of 12 to 16 and an MLP of 4 to 6 widths as theirs.
"""

STUDY_SIZES = ("tiny", "small", "medium")

NUMBERS = "LAYERSxHEADSxWIDTHxMLP"
"""How a size of one's own is written: ``1x1x8x32``, and behind it a rate if it has its own."""

RATES = ((32, 1e-3), (48, 7e-4), (128, 5e-4))
"""Of sizes of one's own up to so wide, as those of the table; wider ones have ``LARGE_RATE``."""
LARGE_RATE = 3.5e-4

_registered: dict[str, Size] = {}


def size_of(word: str) -> Size:
    """Return the size that a word means.

    Args:
        word: a name of ``SIZES`` or one that is registered; or the numbers of layers, heads, the
            width and the MLP's hidden units, as ``1x1x8x32``, and the rate if it is not that of
            ``RATES``, as ``1x1x8x32x0.002``.

    Raises:
        ValueError: it means none, or the numbers are no size.

    Example:
        >>> size_of("1x1x8x32")
        Size(n_layer=1, n_head=1, n_embd=8, n_mlp=32, learning_rate=0.001)
    """
    if word in SIZES or word in _registered:
        return SIZES[word] if word in SIZES else _registered[word]
    names = ", ".join(SIZES)
    match = re.fullmatch(r"(\d{1,9})x(\d{1,9})x(\d{1,9})x(\d{1,9})(?:x(\d*\.?\d+))?", word)
    require(match is not None, f"size must be one of {names}, or {NUMBERS} as 1x1x8x32", word)
    assert match is not None
    *numbers, rate = match.groups()
    n_layer, n_head, n_embd, n_mlp = map(int, numbers)
    return Size(n_layer, n_head, n_embd, n_mlp, float(rate) if rate else usual_rate(n_embd))


def usual_rate(n_embd: int) -> float:
    """Return the rate of a size of one's own that states none."""
    return next((rate for width, rate in RATES if n_embd <= width), LARGE_RATE)


def written(word: str) -> str:
    """Write a size as records have it: by its name in ``SIZES``, or else by its numbers.

    Example:
        >>> written("tiny"), written("1x1x8x32x0.001"), written("1x1x8x32x0.002")
        ('tiny', '1x1x8x32', '1x1x8x32x0.002')
    """
    if word in SIZES:
        return word
    size = size_of(word)
    numbers = "x".join(str(n) for n in (size.n_layer, size.n_head, size.n_embd, size.n_mlp))
    is_usual = size.learning_rate == usual_rate(size.n_embd)
    return numbers if is_usual else f"{numbers}x{Decimal(repr(size.learning_rate)):f}"


def register_size(name: str, size: Size) -> str:
    """Let a name stand for a size of one's own, in this process.

    Args:
        name: for ``TrainConfig(size=name)``; not one of ``SIZES``.
        size: its numbers.

    Returns:
        What runs say of the size: its numbers, so that whoever reads them needs no name.

    Raises:
        ValueError: the name is one of ``SIZES``, or no plain word.

    Example:
        >>> register_size("wide", Size(1, 2, 64, 128, learning_rate=2e-3))
        '1x2x64x128x0.002'
        >>> size_of("wide").n_embd
        64
    """
    rule = "the name of a size must be a plain word, and none of " + ", ".join(SIZES)
    require(name.isidentifier() and name not in SIZES, rule, name)
    _registered[name] = size
    return written(name)


@dataclass(frozen=True)
class ModelConfig:
    """A transformer and the prompts it reads; how often it loops is not part of it.

    Attributes:
        size: widths and depth.
        n_dims: length of an x.
        n_points: points of a prompt, N + 1: the in-context examples and the query.
        prompt: ``joint`` (a token holds x_i and y_i, the last one the query) or
            ``interleaved`` (x_1, y_1, x_2, ...; every point is a query).
        n_stacks: 1 where all loops share their weights; otherwise loop t has the t-th stack, and
            there are no loops beyond the last.

    Example:
        >>> shape = ModelConfig(SIZES["tiny"], n_dims=5, n_points=64)
        >>> shape.n_params(), shape.n_tokens, shape.n_queries
        (11647, 64, 1)
    """

    size: Size
    n_dims: int
    n_points: int
    prompt: str = "joint"
    n_stacks: int = 1

    def __post_init__(self) -> None:
        require_whole("n_stacks", self.n_stacks, 1)
        require_whole("n_dims", self.n_dims, 1)
        require_whole("n_points", self.n_points, 2)
        require_one_of("prompt", self.prompt, PROMPTS)

    @property
    def n_tokens(self) -> int:
        """Tokens of a whole prompt."""
        return self.n_points if self.prompt == "joint" else 2 * self.n_points

    @property
    def n_queries(self) -> int:
        """Predictions per prompt and loop."""
        return 1 if self.prompt == "joint" else self.n_points

    @property
    def n_features(self) -> int:
        """Numbers that a token holds."""
        return self.n_dims + 1 if self.prompt == "joint" else self.n_dims

    def n_params(self, position_embedding: bool = True) -> int:
        """Count the weights, with or without the learned position embedding."""
        width, hidden = self.size.n_embd, self.size.n_mlp
        attention = 4 * width * width + 4 * width
        mlp = 2 * width * hidden + hidden + width
        block = attention + mlp + 4 * width
        read_in, read_out, final_norm = (self.n_features + 1) * width, width + 1, 2 * width
        positions = self.n_tokens * width if position_embedding else 0
        stack = self.size.n_layer * block + final_norm
        return self.n_stacks * stack + read_in + read_out + positions

    def forward_flops(self, n_loops: int) -> int:
        """FLOPs of the matrix products that run one prompt through ``n_loops`` loops."""
        read_in, loop, read_out = self._flops()
        return read_in + n_loops * (loop + read_out)

    def train_flops(self, b: int, windows: Windows) -> int:
        """FLOPs of the matrix products of one prompt's part of a gradient step.

        Loops without a gradient run forward only; one that has it costs its forward pass and
        twice that backward, and so does a read-out, which only loops that the loss sees need. The
        prompt itself needs no gradient, so the read-in is paid twice, not three times.
        """
        read_in, loop, read_out = self._flops()
        tracked = windows.tracked(b)
        loops = (b - tracked) * loop + 3 * tracked * loop
        return 2 * read_in + loops + 3 * min(windows.loss, b) * read_out

    def _flops(self) -> tuple[int, int, int]:
        tokens, width, hidden = self.n_tokens, self.size.n_embd, self.size.n_mlp
        attention = 4 * tokens * width * width + 2 * tokens * tokens * width
        mlp = 2 * tokens * width * hidden
        loop = 2 * self.size.n_layer * (attention + mlp)
        return 2 * tokens * self.n_features * width, loop, 2 * self.n_queries * width
