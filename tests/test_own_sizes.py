"""Sizes of one's own: written as they are, the same experiment by whatever name."""

from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from strategies import sizes as any_sizes

from looped import TrainConfig, register_size, sizes
from looped.grid.lists import Lists
from looped.sizes import SIZES, STUDY_SIZES, Size, size_of, usual_rate, written


def numbers_of(size):
    return f"{size.n_layer}x{size.n_head}x{size.n_embd}x{size.n_mlp}"


@given(any_sizes())
def test_a_size_is_read_back_from_how_it_is_written(size):
    usual = replace(size, learning_rate=usual_rate(size.n_embd))
    assert written(numbers_of(size)) == numbers_of(size)
    assert size_of(numbers_of(size)) == usual
    spelling = written(f"{numbers_of(size)}x0.00002")
    assert size_of(spelling) == replace(size, learning_rate=2e-5)
    assert written(spelling) == spelling


@pytest.mark.parametrize("name", STUDY_SIZES)
def test_the_numbers_of_a_size_are_its_experiment(name):
    spelling = f"{numbers_of(SIZES[name])}x{SIZES[name].learning_rate:f}"
    assert TrainConfig(size=spelling).identity == TrainConfig(size=name).identity


def test_a_registered_name_is_short_for_the_numbers_that_records_have(monkeypatch):
    monkeypatch.setattr(sizes, "_registered", {})
    wide = Size(1, 2, 64, 128, learning_rate=2e-3)
    register_size("wide", wide)
    config = TrainConfig(size="wide")
    assert config.size == "1x2x64x128x0.002"
    assert config.model_config.size == wide
    monkeypatch.setattr(sizes, "_registered", {})
    assert TrainConfig(**vars(config) | {"seed": 42}) == config
    for name in ("tiny", "not a word"):
        with pytest.raises(ValueError, match="must be a plain word, and none of"):
            register_size(name, wide)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("1x3x8x32", "n_embd must be a multiple of n_head=3, got 8"),
        ("0x1x8x32", "n_layer must be a whole number of at least 1, got 0"),
        ("1x1x8", "size must be one of .*, or LAYERSxHEADSxWIDTHxMLP as 1x1x8x32, got 1x1x8"),
        ("1x1x8x32x0", "learning_rate must be a finite number above 0, got 0"),
        ("-1x1x8x32", "size must be one of"),
    ],
)
def test_what_is_no_size_is_refused(word, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(size=word)


def test_a_new_row_of_the_table_moves_no_default(monkeypatch):
    before = Lists(), TrainConfig(), size_of("1x1x13x40")
    wee = Size(1, 1, 13, 40, learning_rate=2e-3)
    monkeypatch.setattr(sizes, "SIZES", MappingProxyType({"wee": wee, **SIZES}))
    assert (Lists(), TrainConfig(), size_of("1x1x13x40")) == before
    assert Lists().sizes == STUDY_SIZES
    assert TrainConfig(size="wee").model_config.size == wee
