"""A grid of a size of one's own is planned and trained as those of the table are."""

import pytest

from entrypoints import grid

WORDS = ("--sizes 1x1x8x32 --bs 1,2 --seeds 3 --steps 2 --n_dims 2 --n_examples 4 "
         "--batch_size 2 --warmup 0 --n_prompts 4 --b_max 3 --workers 1 --register false "
         "--device cpu")  # fmt: skip


@pytest.mark.slow  # a dry run judges a pilot, and a worker loads torch
@pytest.mark.usefixtures("store")
def test_a_grid_of_an_own_size_is_forecast_and_trained(call, tmp_path):
    words = [*WORDS.split(), "--runs_dir", str(tmp_path / "runs")]
    code, lines = call(grid, "--dry_run", "true", *words)
    assert code == 0 and any(line.startswith("2 trainings: 2 to do") for line in lines), lines
    code, lines = call(grid, *words)
    assert code == 0 and lines[-1] == "2 trainings: 2 finished now", lines
