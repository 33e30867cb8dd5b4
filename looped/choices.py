"""What can be chosen, and the rules that a choice must keep. Imports nothing heavy.

Symbols: ``b`` is the trained loop count and ``loop_window`` is T of Yang et al.
(arXiv:2311.12424); ``n_examples`` is the N in-context examples of a prompt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from looped import b_draw
from looped.b_draw import UNITS
from looped.plugins.loading import remember, text_of
from looped.rules import check_choices, require, require_positive, require_whole, setting
from looped.sizes import NUMBERS, PROMPTS, SIZES, ModelConfig, Size, size_of, written
from looped.tasks.kinds import TASK_KINDS, task_setting
from looped.tasks.own import read_options, write_options
from looped.tasks.task_config import TaskConfig
from looped.windows import FORMER_WINDOW, check_window

INITS = ("lecun", "gpt2", "pytorch")
PRECISIONS = ("auto", "fp32", "bf16")
DEVICES = ("auto", "cpu", "cuda")
KERNELS = ("auto", "fused", "off")
AVERAGES = ("tail", "off")
BEFORE_SETTINGS: Mapping[str, Any] = {"average": "off", "loop_window": FORMER_WINDOW}
"""What trainings did whose records are older than the setting, where that is not the default."""


@dataclass(frozen=True)
class Choices:
    """The settings of a training, by their rules; ``TrainConfig`` says what follows from them.

    A value of None is written ``auto`` on the command line.

    Raises:
        ValueError: a setting breaks its rule; the message states the rule, then what came.
    """

    size: str = setting("tiny", "size of the model", tuple(SIZES), NUMBERS)
    b: int = setting(5, "loops to train at")
    seed: int = setting(42, "fixes the initial weights and the order of the data")
    task: str = setting(
        "linear", "function class to learn in context", tuple(TASK_KINDS), "FILE.py:NAME"
    )
    task_options: str | None = setting(
        None, "settings of a task of your own, as scale=2,width=0.5; auto: its defaults"
    )
    n_dims: int = setting(5, "length of an x")
    noise_std: float = task_setting("noise_std")
    sparsity: int = task_setting("sparsity")
    tree_depth: int = task_setting("tree_depth")
    n_hidden: int = task_setting("n_hidden")
    hops: int = task_setting("hops")
    n_bits: int = task_setting("n_bits")
    prompt: str = setting(
        "joint", "joint: a token for each (x, y); interleaved: one for each x and y", PROMPTS
    )
    n_examples: int = setting(63, "in-context examples N")
    steps: int = setting(7500, "gradient steps")
    batch_size: int = setting(64, "prompts per step")
    learning_rate: float | None = setting(None, "Adam's rate; auto: the size's own")
    learning_rate_factor: float = setting(1.0, "times the size's own rate; 1 with any other rate")
    beta1: float = setting(0.9, "Adam's decay of the first moment")
    beta2: float = setting(0.999, "Adam's decay of the second moment")
    warmup: int = setting(500, "steps of linear warm-up; the rate is constant after it")
    grad_clip: float = setting(1.0, "largest norm of the gradient")
    b_draw: str = setting(
        "fixed", "b of each step: fixed, or drawn anew with mean b", b_draw.DISTRIBUTIONS
    )
    b_draw_unit: str = setting(
        "step", "what draws a b of its own: a step, or every prompt of it", UNITS
    )
    tied: bool = setting(True, "false: a stack of its own for each of the b loops")
    loop_window: int | None = setting(None, "loss_window and grad_window in one; auto: all loops")
    loss_window: float | None = setting(
        None, "last loops that the loss sees, below 1 a share of b; auto: loop_window"
    )
    grad_window: float | None = setting(
        None, "loops that a gradient goes back through, as loss_window; auto: loop_window"
    )
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
        object.__setattr__(self, "size", written(self.size))
        self._name_source()
        for name in ("b", "n_examples", "batch_size", "log_every"):
            require_whole(name, getattr(self, name), 1)
        for name in ("seed", "steps", "warmup"):
            require_whole(name, getattr(self, name), 0)
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{name} must lie in [0, 1)", value)
        require_positive("grad_clip", self.grad_clip)
        require_positive("learning_rate_factor", self.learning_rate_factor)
        require_positive("learning_rate", self.rate)
        rule = "checkpoint_seconds must be at least 0"
        require(self.checkpoint_seconds >= 0, rule, self.checkpoint_seconds)
        if self.b_draw != "fixed":  # every loop count that a step can have is given its probability
            require(self.b <= b_draw.LARGEST, f"a drawn b must be at most {b_draw.LARGEST}", self.b)
        if self.loop_window is not None:
            require_whole("loop_window", self.loop_window, 1)
        check_window("loss_window", self.loss_window)
        check_window("grad_window", self.grad_window)
        rule = "an untied model has a stack for each of its b loops, so b_draw must be fixed"
        require(self.tied or self.b_draw == "fixed", rule, self.b_draw)
        # Building them checks what they check.
        if self.task in TASK_KINDS:
            self.task_config.require_examples(self.n_examples)
        self.model_config  # noqa: B018

    def _name_source(self) -> None:
        """Say which source a task of one's own is, and all its settings, before anything is."""
        options = read_options(self.task_options)
        if self.task in TASK_KINDS:
            rule = f"task_options are of tasks of one's own, and must be auto for {self.task}"
            return require(not options, rule, self.task_options)
        task = TaskConfig(self.task, self.n_dims, **options)
        object.__setattr__(self, "task", task.name)
        object.__setattr__(self, "task_options", write_options(dict(task.settings)))

    def __getstate__(self) -> dict[str, Any]:
        """Take the text of a task of one's own along to a worker process."""
        reference = self.task_config.reference
        return self.__dict__ | ({"_text": text_of(reference)} if reference else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        text = state.pop("_text", None)
        self.__dict__.update(state)
        if text is not None and (reference := self.task_config.reference):
            remember(reference, text)

    @property
    def size_config(self) -> Size:
        """The numbers of its size."""
        return size_of(self.size)

    @property
    def rate(self) -> float:
        """The learning rate after the warm-up."""
        return self.size_config.rate(self.learning_rate_factor, self.learning_rate)

    @property
    def is_untied(self) -> bool:
        """Whether there is more than one stack."""
        return not self.tied and self.b > 1

    @property
    def task_config(self) -> TaskConfig:
        """The function class, without the settings that belong to other tasks."""
        if self.task not in TASK_KINDS:
            return TaskConfig(self.task, self.n_dims, **read_options(self.task_options))
        names = TASK_KINDS[self.task].setting_names
        return TaskConfig(self.task, self.n_dims, **{name: getattr(self, name) for name in names})

    @property
    def model_config(self) -> ModelConfig:
        """The model's shape."""
        size, n_stacks = self.size_config, self.b if self.is_untied else 1
        return ModelConfig(size, self.n_dims, self.n_examples + 1, self.prompt, n_stacks)
