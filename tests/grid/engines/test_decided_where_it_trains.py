"""What is left automatic is decided by the machine that trains, and kept as what really ran."""

import json
from dataclasses import replace

import pytest
from small_trainings import TINY

from looped.grid.engines import engine
from looped.grid.engines.engine import decided_for, work_through
from looped.grid.options import RunOptions
from looped.grid.records.ledger import FAILED, FINISHED
from looped.grid.run_trainings import Nest
from looped.records.folder import run_path
from looped.records.journal import read
from looped.records.record_rules import DECIDED
from looped.training import resolve

FOR_A_CLUSTER = replace(TINY, steps=4).resolved("cpu", "fp32")
"""As an engine of several machines plans it: what its nodes can do is not known."""


@pytest.fixture
def trained(tmp_path):
    """Trains a group as a worker does; gives the news, and what each folder says that ran."""

    def train(*group, nest=None, **options):
        news = []
        settings = {"runs_dir": str(tmp_path), "tracking": "offline", "evaluate": False}
        run_options = RunOptions(**settings | options)
        work_through(group, news.append, lambda: False, run_options, nest or Nest())
        return news, [_what_ran(tmp_path, config) for config in group]

    return train


def _what_ran(root, config):
    path = run_path(root, config)
    if not path.exists():
        return None
    config_kept = json.loads((path / "config.json").read_text())["config"]
    (start,) = (each for each in read(path / "journal.jsonl")[0] if each["kind"] == "start")
    assert {name: start[name] for name in DECIDED} == {name: config_kept[name] for name in DECIDED}
    return start


@pytest.mark.parametrize(("serves", "kernels"), [(True, "fused"), (False, "off")])
@pytest.mark.parametrize("is_short_of_memory", [True, False])
def test_a_node_decides_and_the_journal_says_what_ran(
    trained, monkeypatch, serves, kernels, is_short_of_memory
):
    works = []

    def serves_for(flops, precision="fp32"):
        works.append(flops)
        return serves

    monkeypatch.setattr(resolve.library, "serves", serves_for)
    monkeypatch.setattr(resolve, "wants_recomputation", lambda config: is_short_of_memory)
    assert FOR_A_CLUSTER.kernels == "auto"
    news, (start,) = trained(FOR_A_CLUSTER, nest=Nest(flops=10**15))
    assert news[-1].state == FINISHED
    assert (start["device"], start["precision"]) == ("cpu", "fp32")
    assert (start["kernels"], start["checkpoint_loops"]) == (kernels, is_short_of_memory)
    assert works[0] == 10**15  # kernels are compiled once for the whole grid


def test_what_a_node_decides_differently_trains_apart(trained, monkeypatch):
    first, second = FOR_A_CLUSTER, replace(FOR_A_CLUSTER, seed=7)

    def decide(config, work):
        return replace(config, kernels="off", checkpoint_loops=config.seed == second.seed)

    monkeypatch.setattr(engine, "resolve", decide)
    _, starts = trained(first, second)
    assert [(start["replicas"], start["checkpoint_loops"]) for start in starts] == [
        (1, False), (1, True),
    ]  # fmt: skip


def test_what_a_node_cannot_train_fails_alone_in_one_line(trained):
    for_gpus = replace(FOR_A_CLUSTER, device="cuda", seed=7)
    news, (nothing, start) = trained(for_gpus, FOR_A_CLUSTER)
    assert nothing is None
    assert start["replicas"] == 1
    ends = {each.identity: each for each in news if each.state in (FAILED, FINISHED)}
    assert ends[FOR_A_CLUSTER.identity].state == FINISHED
    assert ends[for_gpus.identity].state == FAILED
    rule = "device must be one that this machine has, got cuda without a GPU"
    assert ends[for_gpus.identity].reason == rule


def test_an_evaluation_that_a_node_has_no_memory_for_fails_before_it_trains(trained):
    news, starts = trained(FOR_A_CLUSTER, evaluate=True, b_max=100_000, n_prompts=10_000_000)
    assert starts == [None]
    assert [each.state for each in news] == [FAILED]
    assert "for its evaluation" in news[0].reason


@pytest.mark.parametrize(("device", "precision"), [("cpu", "fp32"), ("cuda", "bf16")])
def test_before_that_an_engine_decides_what_an_identity_depends_on(device, precision):
    config = decided_for(TINY, device, "device must be that of the cluster")
    assert (config.device, config.precision) == (device, precision)
    assert (config.kernels, config.checkpoint_loops) == ("auto", False)
    alone = replace(TINY, device=device, precision=precision, kernels="off")
    assert config.identity == alone.identity
    other_device = {"cpu": "cuda", "cuda": "cpu"}[device]
    with pytest.raises(ValueError, match=f"must be that of the cluster, got {other_device}"):
        decided_for(
            replace(TINY, device=other_device), device, "device must be that of the cluster"
        )
