"""Titles tell apart what differs in what decides the outcome, and are short where nothing does."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from looped.config import TrainConfig
from looped.titles import cell_titles, title_of

SETTINGS = {
    "b": (1, 5, 10),
    "steps": (100, 7500),
    "n_examples": (15, 63),
    "n_dims": (2, 5),
    "prompt": ("joint", "interleaved"),
    "loss_window": (None, 2.0, 0.5, 10.0),
    "grad_window": (None, 2.0),
    "learning_rate_factor": (1.0, 2.0),
    "precision": ("fp32", "bf16"),
    "tied": (True, False),
    "log_every": (25, 50),
    "kernels": ("auto", "off"),
    "average": ("tail", "off"),
}
CHOICES = {name: st.sampled_from(values) for name, values in SETTINGS.items()}


@given(st.lists(st.fixed_dictionaries(CHOICES), min_size=1, max_size=8))
def test_cells_have_one_title_each_and_no_two_the_same(all_settings):
    configs = [
        TrainConfig(**settings).resolved("cpu", settings["precision"]) for settings in all_settings
    ]
    one_of_each = {config.cell_identity: config for config in configs}
    titles = cell_titles(one_of_each.values())
    assert titles.keys() == one_of_each.keys()
    assert len(set(titles.values())) == len(titles)
    reseeded = [replace(config, seed=3) for config in one_of_each.values()]
    assert cell_titles(reseeded) == titles


def test_what_all_share_or_decides_nothing_is_not_said():
    configs = [
        TrainConfig(b=b, n_dims=2, steps=1000, log_every=20 + b).resolved("cpu", "fp32")
        for b in (1, 4)
    ]
    assert list(cell_titles(configs).values()) == ["tiny-b1", "tiny-b4"]


def test_a_window_of_all_loops_is_none():
    assert title_of(TrainConfig(b=5, loop_window=15)) == "tiny-b5-s42"
    both = TrainConfig(b=10, loop_window=5).resolved("cpu", "fp32")
    assert title_of(both) == "tiny-b10-s42 loss_window=5 grad_window=5"
    assert title_of(TrainConfig(b=10, loss_window=0.5)) == "tiny-b10-s42 loss_window=0.5"
    assert title_of(TrainConfig(learning_rate=0.002)) == "tiny-b5-s42 learning_rate=0.002"
