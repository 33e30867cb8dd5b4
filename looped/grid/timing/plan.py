"""What is left to train in a grid and how, and the seconds that it takes at given speeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple

from looped.config import TrainConfig
from looped.grid.records.standing import Standing
from looped.sizes import size_of
from looped.training.outcome import affordable_prompts, final_prompts


class Speed(NamedTuple):
    """FLOP/s of the steps of one training, and of its evaluation."""

    training: float
    evaluation: float


Speeds = Mapping[str, Speed]
"""By the name of a size."""

FASTEST, HALF_WIDTH = 8e10, 40
"""Speed of a wide model on one core of a usual machine; a model of that width has half of it."""
OTHER_SECONDS = 1.0
"""To open a training's records, to keep its model and to tell of it."""
LONGEST_QUEUE = 2_000
"""Groups from which on their order is left out of account."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is left to train, and how.

    Attributes:
        groups: resolved; those that train as one program, in the order in which they begin.
        standings: how far each training of the grid is, by identity.
        b_max: loops to evaluate to; 0 for no evaluation beyond b.
        n_prompts: held-out prompts; as many as the training affords if None.
        n_workers: groups trained at the same time.
        n_threads: threads of each.
        after: by the identity of a training that of the one at whose end it begins.
    """

    groups: Sequence[Sequence[TrainConfig]]
    standings: Mapping[str, Standing]
    b_max: int
    n_prompts: int | None
    n_workers: int
    n_threads: int
    after: Mapping[str, str]

    def first_step(self, config: TrainConfig) -> int:
        """Say how many steps of a training lie behind it, or are taken from a shorter one."""
        standing = self.standings[config.identity]
        return max(standing.step, standing.first_step)

    def flops(self, config: TrainConfig) -> int:
        """FLOPs that are left of a training and of its evaluation."""
        return training_flops(config, self.first_step(config), self.b_max, self.prompts(config))

    def evaluation_flops(self, config: TrainConfig) -> int:
        """FLOPs of its evaluation alone."""
        return training_flops(config, config.steps, self.b_max, self.prompts(config))

    def evaluated(self, config: TrainConfig, share: float) -> float:
        """Say which share of an evaluation's FLOPs is done with a share of its prompts.

        Each model's first prompts run through all loops, those that follow through b alone.
        """
        n_prompts = self.prompts(config)
        n_final = final_prompts(config, n_prompts)
        n_models = 2 if config.average == "tail" else 1
        n_whole, n_done = divmod(share * n_models * n_final, n_final)
        full, short = (
            config.model_config.forward_flops(n_loops)
            for n_loops in (config.loops_up_to(self.b_max), config.b)
        )
        flops = full * min(n_done, n_prompts) + short * max(0.0, n_done - n_prompts)
        of_model = full * n_prompts + short * (n_final - n_prompts)
        return (n_whole + flops / of_model) / n_models

    def prompts(self, config: TrainConfig) -> int:
        """Count the held-out prompts that are run through all loops."""
        return self.n_prompts or affordable_prompts(config)

    def seconds_of(self, config: TrainConfig, speeds: Speeds) -> float:
        """Estimate the time of what is left of one training."""
        speed, evaluation = speeds[config.size], self.evaluation_flops(config)
        training = self.flops(config) - evaluation
        return training / speed.training + evaluation / speed.evaluation + OTHER_SECONDS

    @property
    def to_train(self) -> list[TrainConfig]:
        """The trainings of all groups."""
        return [config for group in self.groups for config in group]

    def seconds(self, speeds: Speeds) -> float:
        """Estimate the time from the first beginning to the last end."""
        durations = [
            sum(self.seconds_of(config, speeds) for config in group) for group in self.groups
        ]
        return time_to_end({}, list(enumerate(durations)), self.waits(), self.n_workers)

    def waits(self) -> dict[int, set[int]]:
        """Say by a group's place in which other groups trainings are that it waits for."""
        places = {
            config.identity: place for place, group in enumerate(self.groups) for config in group
        }
        waits: dict[int, set[int]] = {}
        for place, group in enumerate(self.groups):
            for config in group:
                before = places.get(self.after.get(config.identity, ""))
                if before is not None and before != place:
                    waits.setdefault(place, set()).add(before)
        return waits


def usual_speed(size: str) -> Speed:
    """Guess the FLOP/s of a size that was not measured: wide models keep a core busy.

    Only ratios of sizes matter. Those measured on a CPU were, to small's, 0.12 (nano), 0.42 (tiny),
    0.71 (mini) and 0.86 to 1.05 (medium).

    Example:
        >>> speeds = [usual_speed(size).training for size in ("tiny", "small", "medium")]
        >>> [round(speed / speeds[1], 2) for speed in speeds]
        [0.41, 1.0, 1.27]
        >>> usual_speed("1x1x40x80").training / FASTEST  # a size of one's own
        0.5
    """
    width = size_of(size).n_embd
    speed = FASTEST * width**2 / (width**2 + HALF_WIDTH**2)
    return Speed(speed, speed)


def training_flops(
    config: TrainConfig, first_step: int = 0, b_max: int = 0, n_prompts: int = 0
) -> int:
    """FLOPs of the matrix products of a training and of its evaluations.

    Args:
        config: what is trained.
        first_step: steps that lie behind it already.
        b_max: loops to evaluate to, where that is more than b.
        n_prompts: held-out prompts that are run through all loops.
    """
    n_further = final_prompts(config, n_prompts) - n_prompts
    evaluation = n_prompts * config.model_config.forward_flops(config.loops_up_to(b_max))
    evaluation += n_further * config.model_config.forward_flops(config.b)
    n_models = 2 if config.average == "tail" else 1
    return (config.steps - first_step) * config.step_flops + n_models * evaluation


def time_to_end(
    running: Mapping[int, float],
    queue: Sequence[tuple[int, float]],
    waits: Mapping[int, set[int]],
    n_workers: int,
) -> float:
    """Say when the last group ends, if each free worker takes the first that waits for none.

    Args:
        running: seconds left of the groups that run, by their place.
        queue: places and durations of the others, in the order in which to begin them.
        waits: by place the groups that must have ended before it.
        n_workers: groups that run at the same time.

    Example:
        >>> time_to_end({0: 5.0}, [(1, 4.0), (2, 4.0)], {}, n_workers=2)
        8.0
        >>> time_to_end({0: 5.0}, [(1, 4.0), (2, 4.0)], {1: {0}}, n_workers=2)
        9.0
    """
    if len(queue) > LONGEST_QUEUE:
        total = sum(running.values()) + sum(duration for _, duration in queue)
        return max(total / n_workers, *(duration for _, duration in queue))
    ends: list[tuple[float, int]] = []
    for place, seconds in running.items():
        heappush(ends, (seconds, place))
    left = list(queue)
    unended = {place for _, place in ends} | {place for place, _ in left}
    now = 0.0
    while left:
        free = (
            index for index, (place, _) in enumerate(left) if not waits.get(place, set()) & unended
        )
        index = next(free, None if ends else 0)  # what waits for a failed one waits no longer
        if len(ends) < max(1, n_workers) and index is not None:
            place, duration = left.pop(index)
            heappush(ends, (now + duration, place))
        else:
            now, place = heappop(ends)
            unended.discard(place)
    return max((end for end, _ in ends), default=now)
