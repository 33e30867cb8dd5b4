"""Worlds in which each hypothesis holds, and worlds in which its opposite does."""

import math

from planted_runs import BASE, GAIN, Plant, World

STEPS = tuple({"steps": 7500 * times} for times in (1, 2, 4))
LARGER = {"bs": (1, 5, 10, 15, 20, 30, 40)}
LONGER = {"variants": STEPS, **LARGER}


def doublings(config):
    return math.log2(config.steps / 7500)


def is_medium(config):
    return config.size == "medium"


def is_short(run):
    return run.config.steps == 7500


def is_studied(run):
    return run.config.b <= 15


def is_fixed(run):
    return run.config.b_draw == "fixed"


def drawn_too(distribution):
    return {"variants": ({}, {"b_draw": distribution})}


def lost_if_drawn(bits):
    return World(lost=lambda config: 1.0 if config.b_draw == "fixed" else bits)


HELPED = World(lost=lambda config: 1.0 - 0.3 * doublings(config))
UNHELPED = World(lost=lambda config: 1.0)
LOSES = World(lost=lambda c: 1.0)
GAINS = LOSES.but(
    bits=lambda c: BASE[c.size] + GAIN[c.b] + (0.2 if is_medium(c) and c.b > 15 else 0)
)
NO_GAIN = LOSES.but(
    bits=lambda c: BASE[c.size] + GAIN[c.b] + (0 if is_medium(c) or c.b <= 15 else 0.2)
)
KEEPS = World(lost=lambda c: 5.0 - (0.11 * c.b if is_medium(c) else 0))
KEEPS_NO_MORE = World(lost=lambda c: 5.0 - (0 if is_medium(c) else 0.11 * c.b))

PLANTS = {
    "more-data-equal-loops": Plant(is_short, UNHELPED, HELPED, {"variants": STEPS}),
    "more-data-equal-flops": Plant(is_short, UNHELPED, HELPED, {"variants": STEPS}),
    "larger-b-quality-equal-steps": Plant(is_studied, NO_GAIN, GAINS, LARGER),
    "larger-b-extrapolation-equal-steps": Plant(is_studied, KEEPS_NO_MORE, KEEPS, LARGER),
    "larger-b-quality-equal-flops": Plant(is_short, NO_GAIN, GAINS, LONGER),
    "larger-b-extrapolation-equal-flops": Plant(is_short, KEEPS_NO_MORE, KEEPS, LONGER),
    **{
        f"random-b-{distribution.replace('_', '-')}-equal-{what}": Plant(
            is_fixed, lost_if_drawn(1.0), lost_if_drawn(0.3), drawn_too(distribution)
        )
        for distribution in ("uniform", "poisson_lognormal")
        for what in ("steps", "flops")
    },
}
