"""A grid that trains nothing: its news, as workers of given speeds would send them."""

from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

from looped.grid.records.ledger import FINISHED, RUNNING, News
from looped.grid.records.standing import TO_DO, TO_GO_ON, Standing
from looped.grid.timing.plan import Plan, usual_speed

SECONDS_BETWEEN_NEWS = 1.0


@dataclass(kw_only=True)
class Machine:
    """How fast a simulated machine is.

    Attributes:
        speeds: FLOP/s of a training, by size, while the machine's pace is 1.
        evaluation: how many times as long a FLOP of an evaluation takes.
        begin, tell: seconds to begin a training, and to tell of it.
        changes: from which second on it runs at which pace.
    """

    speeds: dict[str, float]
    evaluation: float = 1.0
    begin: float = 1.0
    tell: float = 0.5
    changes: list[tuple[float, float]] = field(default_factory=list)

    def after(self, now: float, work: float) -> float:
        """Say when so many seconds of work at pace 1 are done."""
        pace = 1.0
        for at, later_pace in [*self.changes, (float("inf"), 1.0)]:
            if now < at:
                if now + work / pace <= at:
                    return now + work / pace
                work -= (at - now) * pace
                now = at
            pace = later_pace
        raise AssertionError


def plan_of(configs, n_workers, steps_before=None, b_max=20, n_prompts=256):
    """Plan to train each alone, the longest first; some go on from a step."""
    standings = {
        config.identity: Standing(state=TO_GO_ON, step=step) if step else Standing(state=TO_DO)
        for config in configs
        for step in [(steps_before or {}).get(config.identity, 0)]
    }
    ordered = sorted(configs, key=lambda config: -config.steps * config.step_flops)
    return Plan(
        groups=[[config] for config in ordered], standings=standings, b_max=b_max,
        n_prompts=n_prompts, n_workers=n_workers, n_threads=1, after={},
    )  # fmt: skip


def news_of(plan: Plan, machine: Machine) -> list[tuple[float, News]]:
    """Work a plan through; return what the workers say and when, in that order."""
    free = [(0.0, worker) for worker in range(plan.n_workers)]
    all_news = []
    for (config,) in plan.groups:
        now, worker = heappop(free)
        now = _train(plan, machine, config, now, all_news)
        heappush(free, (now, worker))
    return sorted(all_news, key=lambda item: item[0])


def _train(plan, machine, config, now, all_news):
    speed, step = machine.speeds[config.size], plan.first_step(config)
    news = News(identity=config.identity, state=RUNNING)
    now = machine.after(now, machine.begin / 2)
    all_news.append((now, news))
    if step:
        all_news.append((now, replace(news, step=step, reason="going on")))
    now = machine.after(now, machine.begin / 2)
    said_at = -1.0
    step_seconds = config.step_flops / speed
    while step < config.steps:
        n_steps = max(
            1, min(config.steps - step, round(max(0.3 / step_seconds, config.steps / 40)))
        )
        step += n_steps
        now = machine.after(now, n_steps * step_seconds)
        if now - said_at >= SECONDS_BETWEEN_NEWS or step == config.steps:
            said_at = now
            all_news.append((now, replace(news, step=step)))
    evaluation = machine.evaluation * plan.evaluation_flops(config) / speed
    n_batches = max(1, min(20, round(evaluation)))
    for batch in range(1, n_batches + 1):  # in which each FLOP takes as long
        now = machine.after(now, evaluation / n_batches)
        if batch == n_batches or now - said_at >= SECONDS_BETWEEN_NEWS:
            said_at = now
            all_news.append((now, replace(news, step=config.steps, evaluated=batch / n_batches)))
    now = machine.after(now, machine.tell)
    all_news.append((now, replace(news, state=FINISHED, step=config.steps)))
    return now


def usual_speeds(*sizes):
    """What sizes would do if none were better at it than is guessed."""
    return {size: usual_speed(size).training for size in sizes}
