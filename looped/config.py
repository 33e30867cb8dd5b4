"""What can be chosen, and the rules that a choice must keep. Imports nothing heavy.

Symbols: ``b`` is the trained loop count and ``loop_window`` is T of Yang et al.
(arXiv:2311.12424); ``n_examples`` is the N in-context examples of a prompt.
"""

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from looped import b_draw
from looped.rules import (
    check_choices,
    digest,
    require,
    require_one_of,
    require_positive,
    require_whole,
    setting,
)
from looped.sizes import PROMPTS, SIZES, ModelConfig
from looped.task_kinds import TASK_KINDS, TaskKind, task_setting

INITS = ("lecun", "gpt2", "pytorch")
PRECISIONS = ("auto", "fp32", "bf16")
DEVICES = ("auto", "cpu", "cuda")
KERNELS = ("auto", "fused", "off")
AVERAGES = ("tail", "off")
DEFAULT_LOOP_WINDOW = 15


@dataclass(frozen=True, init=False)
class TaskConfig:
    """A function class and its settings, which are read like attributes: ``task.noise_std``.

    Args:
        name: one of ``TASK_KINDS``.
        n_dims: length of an x.
        settings: a value for each setting of that task, and for no other.

    Raises:
        ValueError: a rule is broken.

    Example:
        >>> TaskConfig("sparse_linear", 5, sparsity=2).sparsity
        2
    """

    name: str
    n_dims: int
    settings: tuple[tuple[str, Any], ...]

    def __init__(self, name: str, n_dims: int, **settings: Any) -> None:
        require_one_of("task", name, tuple(TASK_KINDS))
        require_whole("n_dims", n_dims, 1)
        kind = TASK_KINDS[name]
        for unknown in settings.keys() - set(kind.setting_names):
            require(settings[unknown] is None, f"task {name} has no {unknown}", settings[unknown])
        for declared in kind.settings:
            declared.check(declared.name, settings.get(declared.name), n_dims)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "n_dims", n_dims)
        pairs = tuple((setting, settings[setting]) for setting in kind.setting_names)
        object.__setattr__(self, "settings", pairs)

    def __getattr__(self, name: str) -> Any:
        for setting_name, value in self.__dict__.get("settings", ()):
            if setting_name == name:
                return value
        raise AttributeError(f"{type(self).__name__} has no {name}")

    @property
    def kind(self) -> TaskKind:
        """What the task is, whatever its settings."""
        return TASK_KINDS[self.name]

    @property
    def title(self) -> str:
        """The task in words: ``noisy linear regression (noise_std 0.25)``."""
        return self.kind.title.format(**dict(self.settings))

    @property
    def content(self) -> dict[str, Any]:
        """The task's name and those settings that it has."""
        return {"name": self.name, "n_dims": self.n_dims, **dict(self.settings)}

    def baselines_identity(self, n_examples: int, n_loops: int, n_prompts: int) -> str:
        """Name what decides the scores of the task's baselines on the held-out prompts.

        Args:
            n_examples: in-context examples N.
            n_loops: steps of gradient descent.
            n_prompts: the first so many prompts of the held-out stream.
        """
        counts = {"n_examples": n_examples, "n_loops": n_loops, "n_prompts": n_prompts}
        return digest({"task": self.content, **counts})


@dataclass(frozen=True)
class TrainConfig:
    """One training run; each field is a parameter of the ``train`` entry point.

    A value of None is written ``auto`` on the command line.

    Raises:
        ValueError: a setting breaks its rule; the message states the rule, then what came.

    Example:
        >>> config = TrainConfig(size="small", b=10, seed=451)
        >>> config.name, config.rate, config.window
        ('small-b10-s451', 0.0005, 10)
        >>> TrainConfig(b=3, loop_window=5)
        Traceback (most recent call last):
        ValueError: loop_window must lie in [1, b=3], got 5
    """

    size: str = setting("tiny", "size of the model", tuple(SIZES))
    b: int = setting(5, "loops to train at")
    seed: int = setting(42, "fixes the initial weights and the order of the data")
    task: str = setting("linear", "function class to learn in context", tuple(TASK_KINDS))
    n_dims: int = setting(5, "length of an x")
    noise_std: float = task_setting("noise_std")
    sparsity: int = task_setting("sparsity")
    tree_depth: int = task_setting("tree_depth")
    n_hidden: int = task_setting("n_hidden")
    prompt: str = setting(
        "joint", "joint: a token for each (x, y); interleaved: one for each x and y", PROMPTS
    )
    n_examples: int = setting(63, "in-context examples N")
    steps: int = setting(7500, "gradient steps")
    batch_size: int = setting(64, "prompts per step")
    learning_rate: float | None = setting(None, "Adam's rate; auto: the size's own")
    beta1: float = setting(0.9, "Adam's decay of the first moment")
    beta2: float = setting(0.999, "Adam's decay of the second moment")
    warmup: int = setting(500, "steps of linear warm-up; the rate is constant after it")
    grad_clip: float = setting(1.0, "largest norm of the gradient")
    b_draw: str = setting(
        "fixed", "b of each step: fixed, or drawn anew with mean b", b_draw.DISTRIBUTIONS
    )
    loop_window: int | None = setting(None, "last loops that the loss sees; auto: 15 or all")
    init: str = setting("lecun", "initial weights", INITS)
    precision: str = setting("auto", "auto: bf16 on a GPU, fp32 elsewhere", PRECISIONS)
    device: str = setting("auto", "auto: a GPU where there is one", DEVICES)
    kernels: str = setting(
        "auto", "auto: fused ones where they are faster; off: PyTorch's own", KERNELS
    )
    checkpoint_loops: bool = setting(
        False,
        "for large b: keep the activations of about sqrt(T) loops, and compute the others again",
    )
    average: str = setting(
        "tail",
        "tail: keep the mean of the last tenth's weights beside the last step's; off: do not",
        AVERAGES,
    )
    log_every: int = setting(25, "steps from one sample of a curve to the next")
    checkpoint_seconds: float = setting(20.0, "seconds from one checkpoint to the next")

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("b", "n_examples", "batch_size", "log_every"):
            require_whole(name, getattr(self, name), 1)
        for name in ("seed", "steps", "warmup"):
            require_whole(name, getattr(self, name), 0)
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{name} must lie in [0, 1)", value)
        require_positive("grad_clip", self.grad_clip)
        require_positive("learning_rate", self.rate)
        seconds = self.checkpoint_seconds
        require(seconds >= 0, "checkpoint_seconds must be at least 0", seconds)
        if self.b_draw != "fixed":  # every loop count that a step can have is given its probability
            require(self.b <= b_draw.LARGEST, f"a drawn b must be at most {b_draw.LARGEST}", self.b)
        if self.loop_window is not None:
            require_whole("loop_window", self.loop_window, 1)
        if self.loop_window is not None and self.b_draw == "fixed":
            rule = f"loop_window must lie in [1, b={self.b}]"
            require(self.loop_window <= self.b, rule, self.loop_window)
        # Building them checks what they check.
        self.task_config, self.model_config  # noqa: B018

    @property
    def rate(self) -> float:
        """The learning rate after the warm-up."""
        if self.learning_rate is None:
            return SIZES[self.size].learning_rate
        return self.learning_rate

    @property
    def window(self) -> int:
        """T: the last loops, which the loss and the gradient see.

        A step whose drawn loops are fewer sees them all, so T has nothing to do with b there.
        """
        return self._default_window if self.loop_window is None else self.loop_window

    @property
    def _default_window(self) -> int:
        is_fixed = self.b_draw == "fixed"
        return min(DEFAULT_LOOP_WINDOW, self.b) if is_fixed else DEFAULT_LOOP_WINDOW

    def loops_of_step(self, step: int) -> int:
        """Say how many loops a step runs, counting steps from 0."""
        return b_draw.draw(self.b_draw, self.b, step)

    @property
    def task_config(self) -> TaskConfig:
        """The function class, without the settings that belong to other tasks."""
        names = TASK_KINDS[self.task].setting_names
        return TaskConfig(self.task, self.n_dims, **{name: getattr(self, name) for name in names})

    @property
    def model_config(self) -> ModelConfig:
        """The model's shape."""
        return ModelConfig(SIZES[self.size], self.n_dims, self.n_examples + 1, self.prompt)

    @property
    def name(self) -> str:
        """A readable name: ``small-b10-s42``, and the task, prompt or draw that is no default."""
        words = (self.task, self.prompt, self.b_draw)
        further = [word for word in words if word not in ("linear", "joint", "fixed")]
        return "-".join([self.size, f"b{self.b}", f"s{self.seed}", *further])

    @property
    def step_flops(self) -> int:
        """FLOPs of the matrix products of one gradient step; their mean where b is drawn."""
        distribution = b_draw.distribution(self.b_draw, self.b)
        return round(sum(share * self.flops_of(n_loops) for n_loops, share in distribution.items()))

    def flops_of(self, n_loops: int) -> int:
        """FLOPs of the matrix products of a gradient step of so many loops."""
        window = min(n_loops, self.window)
        return self.batch_size * self.model_config.train_flops(n_loops, window)

    def resolved(self, device: str, precision: str) -> "TrainConfig":
        """Return this configuration with nothing left automatic."""
        return replace(
            self,
            learning_rate=self.rate,
            loop_window=self.window,
            device=device,
            precision=precision,
        )

    @property
    def recipe(self) -> dict[str, Any]:
        """How the model was trained, whatever its size, b, seed and task.

        Values that only restate what the size or b imply are None, so that all runs of a
        study share one recipe. What is the same in all runs made before it could be chosen is
        named only where it is not so: those runs keep their recipes.
        """
        is_size_rate = self.rate == SIZES[self.size].learning_rate
        is_default_window = self.window == self._default_window
        b_draw = {} if self.b_draw == "fixed" else {"b_draw": self.b_draw}
        names = "prompt n_examples steps batch_size beta1 beta2 warmup grad_clip init precision"
        return (
            {name: getattr(self, name) for name in names.split()}
            | b_draw
            | {
                "learning_rate": None if is_size_rate else self.rate,
                "loop_window": None if is_default_window else self.window,
            }
        )

    @property
    def recipe_identity(self) -> str:
        """Name the recipe."""
        return digest(self.recipe)

    @cached_property
    def identity(self) -> str:
        """Name what decides the outcome: runs of one identity are one experiment.

        The device, how often to log or save and what is averaged are left out: they decide rounding
        and records.
        """
        size = asdict(SIZES[self.size])
        del size["learning_rate"]  # the rate in use is in the recipe or the size's own
        place = {"size": size, "b": self.b, "seed": self.seed, "task": self.task_config.content}
        rates = {"learning_rate": self.rate, "loop_window": self.window}
        return digest({**self.recipe, **rates, **place})
