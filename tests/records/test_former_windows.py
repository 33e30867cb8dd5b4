"""Runs from when automatic windows were of 15 loops stay what they are."""

import json
from dataclasses import asdict

import pytest

from looped.config import TrainConfig
from looped.records.folder import load_config
from looped.records.recovery import config_of

ADDED = ("b_draw_unit", "tied", "loss_window", "grad_window")
"""Settings that were not written then."""


@pytest.mark.parametrize(
    "settings", [{"b": 20}, {"b": 10, "b_draw": "uniform"}, {"b": 15}], ids=str
)
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_window_of_15_is_read_and_recovered_as_one(settings, is_lost, tmp_path):
    config = TrainConfig(**settings, loop_window=15).resolved("cpu", "fp32")
    folder = tmp_path / f"{config.name}-{config.identity}"
    folder.mkdir()
    settings_then = {name: value for name, value in asdict(config).items() if name not in ADDED}
    text = "{" if is_lost else json.dumps({"config": settings_then, "identity": config.identity})
    (folder / "config.json").write_text(text)
    config_read = config_of(folder) if is_lost else load_config(folder)
    assert config_read.identity == config.identity
    assert config_read.windows == config.windows == (15, 15)
    full = TrainConfig(**settings).resolved("cpu", "fp32")
    assert (full.identity == config.identity) == (settings == {"b": 15})
