"""What can be chosen, and the rules that a choice must keep. Imports nothing heavy.

Symbols: ``b`` is the trained loop count and ``loop_window`` is T of Yang et al.
(arXiv:2311.12424); ``n_examples`` is the N in-context examples of a prompt.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import ceil
from typing import Any

from looped import b_draw
from looped.b_draw import UNITS
from looped.plugins.loading import remember, text_of
from looped.rules import check_choices, digest, require, require_positive, require_whole, setting
from looped.sizes import NUMBERS, PROMPTS, SIZES, ModelConfig, Size, size_of, written
from looped.tasks.kinds import TASK_KINDS, task_setting
from looped.tasks.own import read_options, write_options
from looped.tasks.task_config import TaskConfig
from looped.windows import ALL, FORMER_WINDOW, Window, Windows, check_window, recipe_of

INITS = ("lecun", "gpt2", "pytorch")
PRECISIONS = ("auto", "fp32", "bf16")
DEVICES = ("auto", "cpu", "cuda")
KERNELS = ("auto", "fused", "off")
AVERAGES = ("tail", "off")
BEFORE_SETTINGS: Mapping[str, Any] = {"average": "off", "loop_window": FORMER_WINDOW}
"""What trainings did whose records are older than the setting, where that is not the default."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run; each field is a parameter of the ``train`` entry point.

    A value of None is written ``auto`` on the command line.

    Raises:
        ValueError: a setting breaks its rule; the message states the rule, then what came.

    Example:
        >>> config = TrainConfig(size="small", b=10, seed=451)
        >>> config.name, config.rate, config.windows
        ('small-b10-s451', 0.0005, Windows(loss=10, grad=10))
        >>> TrainConfig(b=3, loop_window=0)
        Traceback (most recent call last):
        ValueError: loop_window must be a whole number of at least 1, got 0
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
    def windows(self) -> Windows:
        """The last loops that the loss sees, and how many a gradient goes back through.

        A step whose drawn loops are fewer sees them all.
        """
        return Windows(*(self._loops_in(window) for window in self._asked_windows))

    @property
    def _asked_windows(self) -> tuple[Window | None, Window | None]:
        both, loss, grad = self.loop_window, self.loss_window, self.grad_window
        return both if loss is None else loss, both if grad is None else grad

    def _loops_in(self, window: Window | None) -> int:
        if window is None:
            return self._all_loops
        n_loops = ceil(window * self.b) if window < 1 else int(window)
        return min(n_loops, self.b) if self.b_draw == "fixed" else n_loops

    @property
    def _all_loops(self) -> int:
        """All loops that a step can have, or 15: identities once named that where b was drawn."""
        longest = b_draw.longest(self.b_draw, self.b)
        return self.b if self.b_draw == "fixed" else max(FORMER_WINDOW, longest)

    def _window_word(self, window: Window | None) -> Window | str:
        """Return a window as it was asked for, or that it takes in all."""
        n_loops = self._loops_in(window)
        if n_loops >= self._all_loops:
            return ALL
        return n_loops if window is None or window >= 1 else window

    @property
    def draws_by_prompt(self) -> bool:
        """Whether the prompts of a step run loop counts of their own."""
        return self.b_draw_unit == "prompt" and self.b_draw != "fixed" and self.b > 1

    @property
    def is_untied(self) -> bool:
        """Whether there is more than one stack."""
        return not self.tied and self.b > 1

    @cached_property
    def policy(self) -> Mapping[str, Any]:
        """Settings that decide nothing in some trainings, which so belong to several recipes.

        A window of 15 is the same as all loops at b = 10; at b = 1 an untied model has one stack;
        a rate of 5e-4 is a size's own and half of another's.
        """
        loss, grad = map(self._window_word, self._asked_windows)
        own_rate = self.size_config.rate(self.learning_rate_factor)
        return {
            "loss_window": loss,
            "grad_window": grad,
            "tied": not self.is_untied,
            "b_draw_unit": "prompt" if self.draws_by_prompt else "step",
            "learning_rate": None if self.rate == own_rate else self.rate,
            "learning_rate_factor": self.learning_rate_factor,
        }

    def under(self, policy: Mapping[str, Any]) -> "TrainConfig":
        """Return this configuration with (part of) another's ``policy`` in place of its own."""
        settings: dict[str, Any] = {
            name: None if word == ALL else float(word) if name.endswith("window") else word
            for name, word in {**self.policy, **policy}.items()
        }
        return replace(self, **settings, loop_window=None)

    def follows(self, policy: Mapping[str, Any]) -> bool:
        """Tell whether ``under`` (part of) a policy this would be the very same training."""
        words = {**self.policy, **policy}
        policies = (words["loss_window"], words["grad_window"])
        windows = tuple(self._loops_in(None if word == ALL else word) for word in policies)
        is_alike = self.b == 1 or words["tied"] == self.policy["tied"]
        is_fixed = self.b == 1 or self.b_draw == "fixed"
        is_alike &= is_fixed or words["b_draw_unit"] == self.policy["b_draw_unit"]
        own_rate = self.size_config.rate(words["learning_rate_factor"])
        is_alike &= self.rate == (words["learning_rate"] or own_rate)
        return is_alike and windows == self.windows

    def loops_of_step(self, step: int) -> int | tuple[int, ...]:
        """Say how many loops a step (from 0 on) runs, or each of its prompts where those draw."""
        if self.draws_by_prompt:
            prompts = range(self.batch_size)
            return tuple(b_draw.draw(self.b_draw, self.b, step, prompt) for prompt in prompts)
        return b_draw.draw(self.b_draw, self.b, step)

    def loops_up_to(self, b_max: int) -> int:
        """Say how far to evaluate where ``b_max`` loops are asked for: an untied model has b."""
        return self.b if self.is_untied else max(self.b, b_max)

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

    @property
    def name(self) -> str:
        """A readable name: ``small-b10-s42``, and the task, prompt or draw that is no default."""
        words = [self.task_config.word, self.prompt, self.b_draw]
        words += ["by_prompt"] * self.draws_by_prompt + ["untied"] * self.is_untied
        further = [word for word in words if word not in ("linear", "joint", "fixed")]
        return "-".join([self.size, f"b{self.b}", f"s{self.seed}", *further])

    @property
    def step_flops(self) -> int:
        """FLOPs of the matrix products of one gradient step; their mean where b is drawn."""
        distribution = b_draw.distribution(self.b_draw, self.b)
        return round(sum(share * self.flops_of(n_loops) for n_loops, share in distribution.items()))

    def flops_of_step(self, step: int) -> int:
        """FLOPs of the matrix products of one gradient step with the loops that it runs."""
        loops = self.loops_of_step(step)
        if isinstance(loops, int):
            return self.flops_of(loops)
        return sum(map(self.flops_of, loops)) // self.batch_size

    def flops_of(self, n_loops: int) -> int:
        """FLOPs of the matrix products of a gradient step of so many loops."""
        return self.batch_size * self.model_config.train_flops(n_loops, self.windows)

    def resolved(self, device: str, precision: str) -> "TrainConfig":
        """Return this configuration with nothing left automatic."""
        loss, grad = (
            n_loops if window is None or window >= 1 else window
            for window, n_loops in zip(self._asked_windows, self.windows, strict=True)
        )
        is_one = loss == grad and loss >= 1
        return replace(
            self,
            learning_rate=self.rate,
            loop_window=int(loss) if is_one else None,
            loss_window=None if is_one else float(loss),
            grad_window=None if is_one else float(grad),
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
        loss, grad, _, _, rate, factor = self.policy.values()
        rates = {"learning_rate": rate} | ({"learning_rate_factor": factor} if factor != 1 else {})
        windows = recipe_of(loss, grad, b_draw.longest(self.b_draw, self.b))
        return self.base_recipe | self._unusual | rates | windows

    @property
    def base_recipe(self) -> dict[str, Any]:
        """The part of the recipe that is no ``policy``."""
        names = "prompt n_examples steps batch_size beta1 beta2 warmup grad_clip init precision"
        names += " b_draw" * (self.b_draw != "fixed")
        return {name: getattr(self, name) for name in names.split()}

    @property
    def _unusual(self) -> dict[str, Any]:
        is_usual = {"b_draw_unit": not self.draws_by_prompt, "tied": not self.is_untied}
        return {name: getattr(self, name) for name, is_so in is_usual.items() if not is_so}

    @cached_property
    def recipe_identity(self) -> str:
        """Name the recipe."""
        return digest(self.recipe)

    @cached_property
    def identity(self) -> str:
        """Name what decides the outcome: runs of one identity are one experiment.

        The device, how often to log or save and what is averaged are left out: they decide rounding
        and records.
        """
        size = asdict(self.size_config)
        del size["learning_rate"]  # the rate in use is in the recipe or the size's own
        place = {"size": size, "b": self.b, "seed": self.seed, "task": self.task_config.content}
        loss, grad = self.windows
        apart = {"loop_window": None, "loss_window": loss, "grad_window": grad}
        windows = {"loop_window": loss} if loss == grad else apart
        rate = {"learning_rate": self.rate}
        return digest(self.base_recipe | self._unusual | windows | rate | place)
