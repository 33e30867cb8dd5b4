"""The time that a running grid still needs, by how fast its own trainings turn out to be.

A group's time has four parts: to begin, to train, to evaluate, to keep and tell of it. Each has
nominal seconds, for steps and evaluations their FLOPs at the speed that was measured or guessed
for the size. What a part takes in truth is compared with them, and what is left is scaled by that:
by groups of the same cell where there are some, else by those of the same size, else by all. What
happened lately counts for more, for another program may slow the machine. The groups that are left
are then given to the workers as the engine will give them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from looped.config import TrainConfig
from looped.grid.records.ledger import ENDED, LOST, Ledger, News
from looped.grid.records.standing import LEFT_OUT
from looped.grid.timing.pace import BEGIN, EVALUATE, TELL, TRAIN, WORK, Key, Pace
from looped.grid.timing.plan import Plan, Speeds, time_to_end, usual_speed

NOMINAL_BEGIN, NOMINAL_TELL = 1.0, 0.3
"""Seconds to begin a group and to keep and tell of a training, until some have been seen."""
LONGEST_PAUSE = 3.0
"""Times what a piece of work is expected to take: what takes longer is counted as that long, as a
machine that was asleep says little of the time to come. One that stays slow is followed even so."""
FEWEST_SECONDS = 3.0
"""Of training, before anything is said where no speed was measured."""


@dataclass(kw_only=True)
class _Group:
    """A group of trainings: what it costs nominally, and how far it is.

    Attributes:
        keys: the kinds of its work, from the general to its own.
        n_steps: of each training.
        step_seconds: nominal, of a step of all.
        evaluation_seconds: nominal, of one training.
        step_of: by the identity of those that have not ended, their step.
        evaluated: likewise the share of their evaluation that is done.
        is_running: whether a worker has it.
        moment: of the newest news of it, or when it began.
        factors: how much longer than nominal each part was thought to take then.
        has_stepped: whether a step was told of since it began.
    """

    keys: Sequence[Key]
    n_steps: int
    step_seconds: float
    evaluation_seconds: float
    step_of: dict[str, int]
    evaluated: dict[str, float] = field(default_factory=dict)
    is_running: bool = False
    moment: float = 0.0
    factors: dict[str, float] = field(default_factory=dict)
    has_stepped: bool = False

    @property
    def step(self) -> int:
        """The step of all that have not ended."""
        return min(self.step_of.values(), default=self.n_steps)

    @property
    def training_left(self) -> float:
        """The nominal seconds of the steps that are left."""
        return (self.n_steps - self.step) * self.step_seconds

    @property
    def evaluation_left(self) -> float:
        """The nominal seconds of the evaluations that are left."""
        shares = (1 - self.evaluated.get(identity, 0.0) for identity in self.step_of)
        return sum(shares) * self.evaluation_seconds

    @property
    def telling_left(self) -> float:
        """The nominal seconds of what comes after the evaluations."""
        return NOMINAL_TELL * len(self.step_of)


class TimeLeft:
    """Estimates when a grid will end, from the news of its trainings.

    Args:
        plan: what is left to train.
        speeds: measured before it began; empty where none were.

    All moments are seconds of one clock, whichever it is.
    """

    def __init__(self, plan: Plan, speeds: Speeds) -> None:
        self._plan, self._waits = plan, plan.waits()
        self._is_measured = bool(speeds)
        self._groups = [_group(group, plan, speeds) for group in plan.groups]
        self._place_of = {
            config.identity: (place, config)
            for place, group in enumerate(plan.groups)
            for config in group
        }
        self._memory = Pace(plan.n_workers)
        self._trained_seconds = 0.0
        self._freed_at: list[float] = []

    def hear(self, news: News, now: float) -> None:
        """Take in what a worker says of a training."""
        if news.identity not in self._place_of:
            return
        place, config = self._place_of[news.identity]
        group = self._groups[place]
        if news.identity not in group.step_of:
            return
        if news.state == LOST:
            group.is_running = group.has_stepped = False
        elif news.state in ENDED:
            self._hear_end(group, news, now)
        elif not group.is_running:
            group.is_running, group.has_stepped = True, False
            group.moment = self._freed_at.pop() if self._freed_at else now
            group.step_of[news.identity] = news.step or group.step_of[news.identity]
        elif news.evaluated:
            self._hear_evaluation(group, config, news.evaluated, now)
        elif news.step:
            self._hear_step(group, news, now)

    @property
    def nominal_left(self) -> float:
        """The nominal seconds of all that is left, whoever does it."""
        return sum(
            group.training_left + group.evaluation_left + group.telling_left
            for group in self._groups
        )

    def seconds_left(self, now: float) -> float | None:
        """Estimate the seconds until the last end; None while nothing is known."""
        if not self._is_measured and self._trained_seconds < FEWEST_SECONDS:
            return None
        running = {}
        queue = []
        for place, group in enumerate(self._groups):
            if group.step_of and group.is_running:
                running[place] = self._seconds_of(group, now)
            elif group.step_of:
                queue.append((place, self._seconds_of(group, now)))
        return time_to_end(running, queue, self._waits, self._plan.n_workers)

    def _hear_step(self, group: _Group, news: News, now: float) -> None:
        before = group.step
        group.step_of[news.identity] = news.step
        if news.reason:  # from where it goes on
            return
        n_steps = group.step - before
        if not group.has_stepped:
            self._learn(BEGIN, group, NOMINAL_BEGIN, now)
            group.has_stepped = True
        elif n_steps > 0:
            self._learn(TRAIN, group, n_steps * group.step_seconds, now)

    def _hear_evaluation(
        self, group: _Group, config: TrainConfig, share: float, now: float
    ) -> None:
        if group.step < group.n_steps:  # its last step came too soon to be told
            group.step_of[config.identity] = group.n_steps
            group.moment = now
        share_done = self._plan.evaluated(config, share)
        nominal = (
            share_done - group.evaluated.get(config.identity, 0.0)
        ) * group.evaluation_seconds
        group.evaluated[config.identity] = share_done
        self._learn(EVALUATE, group, nominal, now)

    def _hear_end(self, group: _Group, news: News, now: float) -> None:
        if news.step >= group.n_steps:
            if news.identity in group.evaluated:
                self._learn(TELL, group, NOMINAL_TELL, now)
            else:  # it was too short for more news
                self._learn_at_once(group, now)
        del group.step_of[news.identity]
        if not group.step_of:
            group.is_running = False
            self._freed_at = [*self._freed_at, now][-self._plan.n_workers :]

    def _learn(self, part: str, group: _Group, nominal: float, now: float) -> None:
        """Take in that a part of a group took the time since the newest news of it."""
        self._learn_seconds(part, group, nominal, now - group.moment)
        group.moment = now

    def _learn_at_once(self, group: _Group, now: float) -> None:
        """Take in that all that was left of one training took that time, each part its share."""
        nominal_of = {
            TRAIN: group.training_left, EVALUATE: group.evaluation_seconds, TELL: NOMINAL_TELL
        }  # fmt: skip
        thought = {part: self._factor(part, group) * nominal_of[part] for part in nominal_of}
        slower = (now - group.moment) / max(sum(thought.values()), 1e-9)
        for part, nominal in nominal_of.items():
            self._learn_seconds(part, group, nominal, slower * thought[part])
        group.moment = now

    def _learn_seconds(self, part: str, group: _Group, nominal: float, seconds: float) -> None:
        if nominal <= 0:
            return
        if self._memory.knows(part):
            thought = group.factors.get(part) or self._factor(part, group)
            seconds = min(seconds, LONGEST_PAUSE * nominal * thought)
        keys = group.keys if part in (TRAIN, EVALUATE) else group.keys[:1]
        self._memory.add(part, keys, seconds, nominal)
        group.factors[part] = self._factor(part, group)
        self._trained_seconds += seconds if part == TRAIN else 0.0

    def _factor(self, part: str, group: _Group) -> float:
        """Say how much longer than nominal a part of a group takes."""
        general = group.keys[:1]
        if part not in (TRAIN, EVALUATE):
            return self._memory.factor(part, general, 1.0)
        # without a measured speed the guess says nothing of this machine
        doubt = None if self._is_measured else 1e-3
        of_work = self._memory.factor(WORK, general, 1.0, doubt)
        return self._memory.factor(part, group.keys, of_work)

    def _seconds_of(self, group: _Group, now: float) -> float:
        """Estimate the seconds that are left of a group."""
        left = {
            BEGIN: 0.0 if group.has_stepped else NOMINAL_BEGIN,
            TRAIN: group.training_left,
            EVALUATE: group.evaluation_left,
            TELL: group.telling_left,
        }
        seconds = sum(
            nominal * self._factor(part, group) for part, nominal in left.items() if nominal
        )
        return max(0.0, seconds - (now - group.moment)) if group.is_running else seconds


def nominal_seconds(ledger: Ledger, plan: Plan, speeds: Speeds) -> float:
    """Sum the nominal seconds of all trainings of a grid, whether done or left.

    Steps that a training takes from a shorter one are none of its own.
    """
    groups = (
        _group([entry.config], plan, speeds, entry.first_step)
        for entry in ledger.entries.values()
        if entry.state != LEFT_OUT
    )
    return sum(group.training_left + group.evaluation_left + group.telling_left for group in groups)


def _group(
    configs: Sequence[TrainConfig], plan: Plan, speeds: Speeds, first_step: int | None = None
) -> _Group:
    """Say what a group costs, from where it stands or from a first step on."""
    first = configs[0]
    speed = speeds.get(first.size) or usual_speed(first.size)
    flops = sum(plan.evaluation_flops(config) for config in configs)
    return _Group(
        keys=[(), (first.size, first.prompt), (first.cell_identity,)],
        n_steps=first.steps,
        step_seconds=sum(config.step_flops for config in configs) / speed.training,
        evaluation_seconds=flops / speed.evaluation / len(configs),
        step_of={
            config.identity: plan.first_step(config) if first_step is None else first_step
            for config in configs
        },
    )
