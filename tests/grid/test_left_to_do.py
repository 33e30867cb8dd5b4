"""What a grid finds left to do before it begins."""

from dataclasses import replace

import pytest
from small_trainings import TINY

from looped.grid import plan
from looped.grid.options import GridOptions, RunOptions
from looped.grid.plan import left_to_do
from looped.grid.records.ledger import UNTOLD
from looped.grid.records.standing import DONE_BEFORE, FAILED_BEFORE, TO_DO, TO_GO_ON, Standing
from looped.records.origin import Origin

CONFIGS = [replace(TINY, seed=seed).resolved("cpu", "fp32") for seed in range(6)]
STATES = (TO_DO, DONE_BEFORE, TO_GO_ON, FAILED_BEFORE, TO_GO_ON, TO_DO)
HAVE_ENDED = (2, 5)
"""Seeds whose journals say that they have finished, which the store does not know."""


@pytest.fixture
def left(tmp_path, monkeypatch):
    """Gives the seeds to train and to tell of, and the standings that follow."""
    monkeypatch.setattr(plan, "is_finished", lambda root, config: config.seed in HAVE_ENDED)
    standing_kept = Standing(state=DONE_BEFORE, nmse=0.5, reason="as its journal says")
    monkeypatch.setattr(plan, "standing_on_disk", lambda root, config: standing_kept)

    def left(resume="auto", **options):
        standings = {
            config.identity: Standing(state=state)
            for config, state in zip(CONFIGS, STATES, strict=True)
        }
        run_options = RunOptions(runs_dir=str(tmp_path), resume=resume)
        work = left_to_do(CONFIGS, standings, GridOptions(**options), run_options, Origin.here())
        seeds = [[config.seed for config in part] for part in (work.to_train, work.untold)]
        return seeds, [standings[config.identity] for config in CONFIGS]

    return left


def test_what_jobs_ended_while_nobody_listened_is_told_and_not_trained(left):
    seeds, standings = left(engine="slurm")
    assert seeds == [[0, 4], [2, 5]]
    expected = [TO_DO, DONE_BEFORE, UNTOLD, FAILED_BEFORE, TO_GO_ON, UNTOLD]
    assert [standing.state for standing in standings] == expected
    assert (standings[2].step, standings[2].nmse) == (TINY.steps, 0.5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 2, 4, 5]),
        ({"retry_failed": True}, [0, 2, 3, 4, 5]),
        ({"engine": "slurm", "resume": "never"}, [0, 2, 4, 5]),
    ],
)
def test_all_that_is_not_done_is_trained_otherwise(left, options, expected):
    seeds, standings = left(**options)
    assert seeds == [expected, []]
    assert [standing.state for standing in standings] == list(STATES)
