"""The columns of the tables: each by its name, its kind, and what it means with its unit."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from looped.names import Metric


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: at its head.
        kind: of its values, as pandas names it: ``str``, ``int64``, ``float64`` or ``bool``.
        meaning: with its unit, in a line.
    """

    name: str
    kind: str
    meaning: str


_LOG2 = "1/2 log2(1 / nmse), in bits"

KEY = (
    Column("run", "str", "names the training; the same in all three tables"),
    Column("size", "str", "name of the model's size"),
    Column(Metric.N_PARAMS, "int64", "weights of the model, with its position embedding"),
    Column("b", "int64", "loops that the model was trained at"),
    Column("seed", "int64", "of the initial weights and of the order of the data"),
    Column("prompt", "str", "joint: a token for each (x, y); interleaved: one for each x and y"),
    Column("task", "str", "function class, with those of its settings that are not the defaults"),
    Column("loss_window", "int64", "last loops that the loss sees; b is all"),
)
"""Of every table: which training a row is of."""

LOOPS = (
    *KEY,
    Column("weights", "str", "last: after the last step; tail: mean over the last tenth of steps"),
    Column("loop", "int64", "loops run in the call that is evaluated, beyond b too"),
    Column("n_prompts", "int64", "held-out prompts, the same ones for all trainings of a task"),
    Column("nmse", "float64", "mean squared error at the query after that loop, over Var(y)"),
    Column("nmse_se", "float64", "standard error of nmse over prompts"),
    Column("nmse_median", "float64", "median over prompts of the squared error, over Var(y)"),
    Column("nmse_q05", "float64", "their 5 % quantile; of the last weights only"),
    Column("nmse_q95", "float64", "their 95 % quantile; of the last weights only"),
    Column("bits", "float64", _LOG2),
    Column("bits_se", "float64", "standard error of bits over prompts (delta method)"),
    Column("state_change", "float64", "norm of the state's change over its norm; none at loop 1"),
)

STEPS = (
    *KEY,
    Column("step", "int64", "gradient steps taken"),
    Column("n_prompts", "int64", "training prompts averaged: all since the row before"),
    Column("nmse", "float64", "online: mean squared error after the last loop, over Var(y)"),
    Column("bits", "float64", _LOG2),
    Column("loss", "float64", "mean over the queries and loops that the loss sees"),
)

RUNS = (
    *KEY,
    Column("n_params_without_positions", "int64", "weights without the position embedding"),
    Column("identity", "str", "names what decides the outcome, all settings together"),
    Column("recipe", "str", "names how it was trained, whatever size, b, seed and task"),
    Column("n_layer", "int64", "blocks of one loop"),
    Column("n_head", "int64", "heads of attention"),
    Column("n_embd", "int64", "width"),
    Column("n_mlp", "int64", "hidden units of the MLP"),
    Column("n_dims", "int64", "length of an x"),
    Column("noise_std", "float64", "of the noise on y, where the task has any"),
    Column("sparsity", "float64", "weights that are not 0, where the task has such"),
    Column("tree_depth", "float64", "where the task is one of trees"),
    Column("n_hidden", "float64", "units of the network to learn, where the task has one"),
    Column("n_examples", "int64", "in-context examples N"),
    Column("steps", "int64", "gradient steps of the training"),
    Column("batch_size", "int64", "prompts per step"),
    Column("learning_rate", "float64", "Adam's rate after the warm-up, constant"),
    Column("beta1", "float64", "Adam's decay of the first moment"),
    Column("beta2", "float64", "Adam's decay of the second moment"),
    Column("warmup", "int64", "steps of linear warm-up"),
    Column("grad_clip", "float64", "largest norm of the gradient"),
    Column("b_draw", "str", "b of each step: fixed, or the distribution with mean b"),
    Column("b_draw_unit", "str", "what draws a b of its own: a step or a prompt"),
    Column("tied", "bool", "whether all loops share their weights"),
    Column("grad_window", "int64", "last loops that a gradient goes back through; b is all"),
    Column("init", "str", "initial weights"),
    Column("precision", "str", "of the training; evaluations are in fp32"),
    Column("device", "str", "that it was trained on"),
    Column("step_flops", "int64", "FLOPs of the matrix products of one gradient step"),
    Column("train_flops", "int64", "those of the whole training"),
    Column("infer_flops", "int64", "those of one prompt through b loops"),
    Column("n_prompts", "int64", "held-out prompts of nmse, the most it was measured on"),
    Column("nmse", "float64", "after b loops with the last step's weights, over Var(y)"),
    Column("nmse_se", "float64", "its standard error over prompts"),
    Column("bits", "float64", _LOG2),
    Column("bits_se", "float64", "standard error of bits over prompts (delta method)"),
    Column("tail_nmse", "float64", "as nmse, with the mean of the last tenth's weights"),
    Column("tail_nmse_se", "float64", "its standard error over prompts"),
    Column("tail_bits", "float64", "1/2 log2(1 / tail_nmse), in bits"),
    Column("tail_bits_se", "float64", "its standard error over prompts"),
    Column("escape_step", "float64", "first step whose smoothed error is under 0.9; none if never"),
    Column("plateau", "bool", "whether it never learned: nmse above 0.95"),
    Column("diverged", "bool", "whether it ended far above the variance of y"),
    Column("convergence", "str", "when it ended: learning, settled or cannot tell"),
    Column("late_slope", "float64", "of log error on log step over the last 40 % of the steps"),
    Column("late_slope_se", "float64", "its standard error"),
)

TABLES: Mapping[str, tuple[Column, ...]] = MappingProxyType(
    {"runs": RUNS, "loops": LOOPS, "steps": STEPS}
)
"""By the name of their files."""
