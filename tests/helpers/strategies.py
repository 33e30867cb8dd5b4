import torch
from hypothesis import strategies as st

from looped.model import LoopedTransformer
from looped.sizes import PROMPTS, ModelConfig, Size
from looped.tasks.kinds import TASK_KINDS
from looped.tasks.task_config import TaskConfig

seeds = st.integers(0, 2**31 - 1)
steps = st.integers(0, 2**32 - 1)


@st.composite
def sizes(draw):
    n_head = draw(st.integers(1, 3))
    return Size(
        n_layer=draw(st.integers(1, 3)),
        n_head=n_head,
        n_embd=n_head * draw(st.integers(4, 6)),  # a LayerNorm of 1 or 2 numbers forgets them
        n_mlp=draw(st.integers(1, 16)),
        learning_rate=draw(st.floats(1e-5, 1e-1)),
    )


def model_configs(prompts=PROMPTS):
    return st.builds(
        ModelConfig,
        size=sizes(),
        n_dims=st.integers(1, 4),
        n_points=st.integers(2, 6),
        prompt=st.sampled_from(prompts),
    )


@st.composite
def task_configs(draw, names=tuple(TASK_KINDS)):
    name = draw(st.sampled_from(names))
    n_dims = draw(st.integers(4 if name == "pointer_chain" else 1, 6))
    options = {
        "noise_std": st.floats(0.05, 3),
        "sparsity": st.integers(1, n_dims),
        "tree_depth": st.integers(1, 5),
        "n_hidden": st.integers(1, 8),
        "hops": st.integers(1, 3),
        "n_bits": st.integers(1, n_dims),
    }
    return TaskConfig(
        name, n_dims, **{option: draw(options[option]) for option in TASK_KINDS[name].setting_names}
    )


@st.composite
def prompted_models(draw, prompts=PROMPTS):
    """A model in float64 whose every weight is random, and a batch of its prompts."""
    config, batch = draw(model_configs(prompts)), draw(st.integers(1, 3))
    torch.manual_seed(draw(seeds))
    model = LoopedTransformer.from_config(config).double()
    with torch.no_grad():
        for weights in model.parameters():  # no bias stays 0, no gain 1
            weights.add_(torch.randn_like(weights), alpha=0.3)
    shape = (batch, config.n_points)
    return (
        model,
        torch.randn(*shape, config.n_dims, dtype=torch.float64),
        torch.randn(shape, dtype=torch.float64),
    )


@st.composite
def loops_and_windows(draw, most=5):
    n_loops = draw(st.integers(1, most))
    return n_loops, draw(st.integers(1, n_loops))
