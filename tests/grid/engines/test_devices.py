"""Workers of several GPUs, by a list of devices that is made up: no GPU is needed."""

import os
import signal
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_work import failing, never, where

from looped.config import TrainConfig
from looped.grid.engines import local_engine
from looped.grid.engines.devices import VISIBLE, flops_of, longest_first, part, visible_devices
from looped.grid.engines.local_engine import LocalEngine, run_locally
from looped.grid.options import GridOptions
from looped.grid.records.ledger import FAILED, FINISHED, KILLED, RUNNING

CONFIGS = [
    replace(TrainConfig(), size=size, b=b, seed=seed).resolved("cuda", "bf16")
    for size in ("tiny", "small", "medium")
    for b in (1, 10)
    for seed in (42, 451)
]
FOUR = ["0", "3", "GPU-8f2c", "MIG-1f"]
SHORT_TO_LONG = [replace(CONFIGS[0], steps=steps) for steps in (1_000, 30_000)]


class Desk:
    def __init__(self, folder):
        self.folder = folder
        self.news = []

    def hear(self, news):
        self.news.append(news)

    def tick(self):
        pass

    def should_stop(self):
        return False


@pytest.mark.parametrize(
    ("n_devices", "variable", "names"),
    [
        (8, None, list("01234567")),
        (0, None, []),
        (0, "", []),
        (0, "-1", []),
        (2, "6, 7", ["6", "7"]),
        (2, "GPU-aa,GPU-bb,GPU-gone", ["GPU-aa", "GPU-bb"]),
        (1, "MIG-aa,MIG-bb,MIG-aa", ["MIG-aa", "MIG-bb"]),
        (0, "MIG-gone", []),
        (1, "5,-1,6", ["5"]),
    ],
)
def test_the_devices_are_those_that_cuda_would_show(n_devices, variable, names):
    assert visible_devices(n_devices, variable) == names


@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    n_parts=st.integers(1, 9),
)
def test_groups_are_parted_until_none_is_more_than_its_share(sizes, n_parts):
    seeds = iter(range(100))
    groups = [
        [replace(CONFIGS[place % 12], seed=next(seeds)) for _ in range(size)]
        for place, size in enumerate(sizes)
    ]
    parts = part(groups, n_parts)
    assert [each for group in parts for each in group] == [each for g in groups for each in g]
    share = sum(map(flops_of, groups)) / n_parts
    assert all(len(group) == 1 or flops_of(group) <= share for group in parts)


def test_the_longest_comes_first_and_a_shorter_one_before_what_waits_for_it():
    short, long = SHORT_TO_LONG
    middle = replace(CONFIGS[0], steps=20_000, seed=1)
    groups = [[middle], [long], [short]]
    assert longest_first(groups, {}) == [[long], [middle], [short]]
    after = {long.identity: short.identity}
    assert longest_first(groups, after) == [[short], [long], [middle]]


def test_on_gpus_a_grid_is_spread_over_all_of_them():
    four = LocalEngine(GridOptions(), FOUR)
    groups = four.groups(CONFIGS, "auto")
    one = LocalEngine(GridOptions(), ["0"]).groups(CONFIGS, "auto")
    assert len(one) < 4 <= len(groups)
    assert four.at_once(groups, 1) == 4
    work = [flops_of(group) for group in longest_first(groups, {})]
    busy = [0] * 4
    for each in work:  # each to the worker that is free first
        busy[busy.index(min(busy))] += each
    longest = max(flops_of([config]) for config in CONFIGS)
    assert max(busy) <= 4 / 3 * max(longest, sum(work) / 4)
    assert four.groups(CONFIGS, "2") == LocalEngine(GridOptions(), ["0"]).groups(CONFIGS, "2")
    assert LocalEngine(GridOptions(workers=2), FOUR).at_once(groups, 1) == 2


def endings(news):
    return {each.identity: each for each in news if each.state != RUNNING}


def run(tmp_path, groups, work, devices, n_workers=None):
    desk = Desk(tmp_path)
    run_locally(groups, work, never, n_workers or len(devices), 1, desk, None, devices)
    return endings(desk.news)


@pytest.mark.crash
def test_each_worker_sees_one_gpu_and_another_takes_the_place_of_one_that_dies(
    tmp_path, monkeypatch
):
    monkeypatch.setenv(VISIBLE, "7,GPU-8f2c")
    groups = [[replace(CONFIGS[0], seed=seed)] for seed in range(4)]
    ends = run(tmp_path, groups, partial(where, dies_at=1), ["7", "GPU-8f2c"])
    ends = [ends[config.identity] for (config,) in groups]
    assert [each.state for each in ends] == [FINISHED, KILLED, FINISHED, FINISHED]
    assert ends[1].reason == f"its worker died of {signal.SIGKILL.name}"
    assert {each.reason for each in ends} >= {"7", "GPU-8f2c"}
    assert os.environ[VISIBLE] == "7,GPU-8f2c"


@pytest.mark.crash
def test_a_worker_whose_training_failed_on_its_gpu_is_given_no_more(tmp_path):
    groups = [[replace(CONFIGS[0], seed=seed)] for seed in range(3)]
    ends = run(tmp_path, groups, partial(failing, fails_at=0), ["3"])
    pids = [ends[config.identity].step for (config,) in groups]
    states = [ends[config.identity].state for (config,) in groups]
    assert states == [FAILED, FINISHED, FINISHED]
    assert pids[0] != pids[1] == pids[2]


def test_one_gpu_is_left_as_the_user_set_it(tmp_path, monkeypatch):
    devices_given = []
    monkeypatch.setattr(local_engine, "run_locally", lambda *words: devices_given.append(words[-1]))
    for devices in (["5"], ["5", "6"]):
        LocalEngine(GridOptions(), devices).run([CONFIGS[:1]], never, None, Desk(tmp_path), 1, {})
    assert devices_given == [(), ["5", "6"]]
