"""What follows from the settings of a training: windows, recipe, name, FLOPs, identity."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import ceil
from typing import Any

from looped import b_draw
from looped.choices import Choices
from looped.rules import digest
from looped.windows import ALL, FORMER_WINDOW, Window, Windows, recipe_of


@dataclass(frozen=True)
class TrainConfig(Choices):
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

    def resolved_on(self, device: str) -> "TrainConfig":
        """Return it resolved for a device, which decides on a precision that was left automatic."""
        automatic = "bf16" if device == "cuda" else "fp32"
        return self.resolved(device, automatic if self.precision == "auto" else self.precision)

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
        return self._identity_with(self.seed)

    @cached_property
    def cell_identity(self) -> str:
        """Name the cell that it belongs to: its identity, whatever its seed.

        Example:
            >>> TrainConfig(seed=1).cell_identity == TrainConfig(seed=2).cell_identity
            True
        """
        return self._identity_with(0)

    def _identity_with(self, seed: int) -> str:
        size = asdict(self.size_config)
        del size["learning_rate"]  # the rate in use is in the recipe or the size's own
        place = {"size": size, "b": self.b, "seed": seed, "task": self.task_config.content}
        loss, grad = self.windows
        apart = {"loop_window": None, "loss_window": loss, "grad_window": grad}
        windows = {"loop_window": loss} if loss == grad else apart
        rate = {"learning_rate": self.rate}
        return digest(self.base_recipe | self._unusual | windows | rate | place)
