"""The looped transformer: one weight-tied stack of GPT-2 blocks, applied again and again.

The loop is z <- f(z + p) from z = 0, with p the embedded prompt (input injection; Yang et al.,
arXiv:2311.12424). f adds the position embedding, runs the blocks and the final
LayerNorm; all of it is inside the loop. Our z is their Y_t, our p their P.

What is written here says what the model is, and serves whoever loads one. Training does not call
this ``forward`` but its stacked twin, ``looped.training.stacked_model``, and the kernels of that.
``tests/training/test_stacked_model.py`` holds the two together: the same losses, errors at the
query and gradients, whatever the prompt, the loops and the window.
"""

import math
from importlib import import_module
from warnings import warn

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from looped.choices import INITS
from looped.sizes import ModelConfig, Size


class Block(nn.Module):
    """GPT-2's block: pre-norm, causal attention, MLP with the tanh form of GELU."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.n_head = size.n_head
        self.attention_norm = nn.LayerNorm(size.n_embd)
        self.qkv = nn.Linear(size.n_embd, 3 * size.n_embd)
        self.attention_out = nn.Linear(size.n_embd, size.n_embd)
        self.mlp_norm = nn.LayerNorm(size.n_embd)
        self.mlp_in = nn.Linear(size.n_embd, size.n_mlp)
        self.mlp_out = nn.Linear(size.n_mlp, size.n_embd)

    def forward(self, z: Float[Tensor, "batch token embd"]) -> Float[Tensor, "batch token embd"]:
        """Add what attention and the MLP have to say to the residual stream."""
        z = z + self.attention_out(self._attend(self.qkv(self.attention_norm(z))))
        hidden = functional.gelu(self.mlp_in(self.mlp_norm(z)), approximate="tanh")
        return z + self.mlp_out(hidden)  # type: ignore[no-any-return]

    def _attend(self, qkv: Tensor) -> Tensor:
        batch, tokens, width = qkv.shape
        split = qkv.view(batch, tokens, 3, self.n_head, width // (3 * self.n_head))
        q, k, v = split.permute(2, 0, 3, 1, 4)  # each (B, H, L, D)
        heads = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return heads.transpose(1, 2).flatten(-2)


class Stack(nn.Module):
    """A stack of its own for one loop of an untied model: blocks and final norm."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.n_layer))
        self.final_norm = nn.LayerNorm(size.n_embd)


class LoopedTransformer(nn.Module):
    """A model that learns functions in context, in as many loops as the call asks for.

    Args:
        size: widths and depth, a row of ``SIZES`` or any ``Size``.
        n_dims: length of an x.
        n_points: points of a prompt, N + 1: the in-context examples and the query.
        prompt: ``joint`` or ``interleaved`` (see ``ModelConfig``).
        init: ``lecun`` (normal, std 1/sqrt(fan_in)), ``gpt2`` (normal, std 0.02) or
            ``pytorch`` (what PyTorch gives its modules). The first two scale the projections
            into the residual stream by 1/sqrt(2 n_layer) and start biases at 0. Drawn from
            PyTorch's global generator, like any module's weights.
        n_stacks: 1 for a looped model. With more it is the untied twin, whose loop t applies the
            t-th stack (blocks and final norm) and which has no loops beyond the last; embedding,
            positions and read-out are one. Its first stack starts as the looped model does.

    Raises:
        ValueError: a setting breaks its rule.

    Example:
        >>> import torch
        >>> from looped import SIZES, LoopedTransformer
        >>> model = LoopedTransformer(SIZES["tiny"], n_dims=5, n_points=64)
        >>> sum(weights.numel() for weights in model.parameters())  # however often it is looped
        11647
        >>> xs, ys = torch.randn(2, 64, 5), torch.randn(2, 64)
        >>> model(xs, ys, n_loops=10).shape  # a prediction after each loop: (loop, batch, query)
        torch.Size([10, 2, 1])
    """

    def __init__(
        self,
        size: Size,
        n_dims: int,
        n_points: int,
        prompt: str = "joint",
        init: str = "lecun",
        n_stacks: int = 1,
    ) -> None:
        super().__init__()
        if init not in INITS:
            raise ValueError(f"init must be one of {', '.join(INITS)}, got {init}")
        self.config = config = ModelConfig(size, n_dims, n_points, prompt, n_stacks)
        self.read_in = nn.Linear(config.n_features, size.n_embd)
        self.positions = nn.Embedding(config.n_tokens, size.n_embd)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.n_layer))
        self.final_norm = nn.LayerNorm(size.n_embd)
        self.read_out = nn.Linear(size.n_embd, 1)
        if init != "pytorch":
            self._initialise(self, init)
            # A position embedding is a linear map of a one-hot position: its fan_in is n_tokens.
            std = config.n_tokens**-0.5 if init == "lecun" else 0.02
            nn.init.normal_(self.positions.weight, std=std)
        # drawn after all that a looped model has, which therefore starts the same
        self.later_stacks = nn.ModuleList(Stack(size) for _ in range(n_stacks - 1))
        if init != "pytorch":
            self._initialise(self.later_stacks, init)

    @classmethod
    def from_config(cls, config: ModelConfig, init: str = "lecun") -> "LoopedTransformer":
        """Build the model that a configuration describes.

        Example:
            >>> from looped import LoopedTransformer, TrainConfig
            >>> config = TrainConfig(size="tiny", n_dims=3, prompt="interleaved").model_config
            >>> LoopedTransformer.from_config(config).config == config
            True
        """
        shape = config.size, config.n_dims, config.n_points, config.prompt
        return cls(*shape, init, config.n_stacks)

    @classmethod
    def from_run(cls, run_id: str) -> "LoopedTransformer":
        """Deprecated: ``looped.load`` does the same."""
        warn("looped.load does what from_run did, which will go", DeprecationWarning, stacklevel=2)
        # by name: the model itself knows nothing of MLflow
        model: LoopedTransformer = import_module("looped").load(run_id)
        return model

    def _initialise(self, part: nn.Module, init: str) -> None:
        residual_scale = 1 / math.sqrt(2 * self.config.size.n_layer)
        for name, module in part.named_modules():
            if isinstance(module, nn.Linear):
                std = module.in_features**-0.5 if init == "lecun" else 0.02
                is_residual = name.endswith(("attention_out", "mlp_out"))
                nn.init.normal_(module.weight, std=std * (residual_scale if is_residual else 1))
                nn.init.zeros_(module.bias)

    def forward(
        self,
        xs: Float[Tensor, "batch point dim"],
        ys: Float[Tensor, "batch point"],
        n_loops: int,
        grad_loops: int | None = None,
    ) -> Float[Tensor, "loop batch query"]:
        """Predict every query's y after each loop.

        Args:
            xs: the x's of each prompt; the last one is the query.
            ys: their y's; the last is never read.
            n_loops: how often to apply the stack.
            grad_loops: return the last ``grad_loops`` loops only, and run the earlier ones
                without a gradient (the window T of Yang et al.); all loops if None.

        Returns:
            Predictions of shape (loop, batch, query). The joint prompt has one query, the last
            point. With the interleaved prompt every point is one, and entry [t, i, j] sees
            x_1..x_j and y_1..y_{j-1} of prompt i.

        Raises:
            ValueError: ``n_loops`` or ``grad_loops`` is out of range (an untied model has as many
                loops as stacks), or the prompt's shape is not the model's.

        Example:
            >>> from looped import SIZES, LoopedTransformer, make_task
            >>> model = LoopedTransformer(SIZES["tiny"], 5, n_points=8, prompt="interleaved")
            >>> xs, ys = make_task("linear", n_dims=5).batch(0, 0, batch_size=2, n_points=8)
            >>> model(xs, ys, n_loops=6, grad_loops=4).shape  # after loops 3, 4, 5 and 6
            torch.Size([4, 2, 8])
        """
        grad_loops = n_loops if grad_loops is None else grad_loops
        if n_loops < 1:
            raise ValueError(f"n_loops must be at least 1, got {n_loops}")
        if not 1 <= grad_loops <= n_loops:
            raise ValueError(f"grad_loops must lie in [1, n_loops={n_loops}], got {grad_loops}")
        p = self.embed(xs, ys)
        z = torch.zeros_like(p)
        with torch.no_grad():
            for number in range(1, n_loops - grad_loops + 1):
                z = self.loop(z, p, number)
        predictions = []
        for number in range(n_loops - grad_loops + 1, n_loops + 1):
            z = self.loop(z, p, number)
            predictions.append(self.predict(z))
        return torch.stack(predictions)

    def embed(
        self, xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"]
    ) -> Float[Tensor, "batch token embd"]:
        """Turn prompts into p, the embedded tokens that every loop is given."""
        longest, n_dims = self.config.n_points, self.config.n_dims
        is_joint = self.config.prompt == "joint"  # its query has a position of its own, the last
        n_points = xs.shape[1] if xs.ndim == 3 else 0
        is_prompt = xs.shape == (*ys.shape, n_dims) and 1 <= n_points <= longest
        if not is_prompt or (is_joint and n_points < longest):
            raise ValueError(
                f"xs must hold {'' if is_joint else 'at most '}{longest} points of {n_dims} "
                f"dimensions per prompt, and ys a number for each, "
                f"got shapes {tuple(xs.shape)} and {tuple(ys.shape)}"
            )
        return self.read_in(prompt_tokens(self.config, xs, ys))  # type: ignore[no-any-return]

    def loop(
        self,
        z: Float[Tensor, "batch token embd"],
        p: Float[Tensor, "batch token embd"],
        number: int = 1,
    ) -> Float[Tensor, "batch token embd"]:
        """Apply the stack once: f(z + p).

        Args:
            z: the state.
            p: the embedded prompts.
            number: of the loop, from 1 on, which tells an untied model's stacks apart.

        Raises:
            ValueError: an untied model has no such loop.
        """
        n_stacks = self.config.n_stacks
        if n_stacks > 1 and number > n_stacks:
            rule = f"an untied model has its {n_stacks} loops and none beyond"
            raise ValueError(f"{rule}, got loop {number}")
        is_first = n_stacks == 1 or number == 1
        stack = self if is_first else self.later_stacks[number - 2]
        z = z + p + self.positions.weight[: p.shape[1]]
        for block in stack.blocks:  # type: ignore[union-attr]
            z = block(z)
        return stack.final_norm(z)  # type: ignore[no-any-return,operator]

    def predict(self, z: Float[Tensor, "batch token embd"]) -> Float[Tensor, "batch query"]:
        """Read the predictions out of the state at the queries' tokens."""
        queries = z[:, -1:] if self.config.prompt == "joint" else z[:, ::2]
        return self.read_out(queries).squeeze(-1)  # type: ignore[no-any-return]


def prompt_tokens(
    config: ModelConfig, xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"]
) -> Float[Tensor, "batch token feature"]:
    """Write prompts as tokens; the query's y becomes 0."""
    prompt_ys = functional.pad(ys[:, :-1], (0, 1)).unsqueeze(-1)
    if config.prompt == "joint":
        return torch.cat([xs, prompt_ys], dim=-1)
    y_tokens = functional.pad(prompt_ys, (0, config.n_dims - 1))
    return torch.stack([xs, y_tokens], dim=2).flatten(1, 2)  # x_1, y_1, x_2, ...
