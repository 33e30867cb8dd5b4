"""The champion of a registered law, where another machine moves it meanwhile."""

from types import SimpleNamespace

import pandas as pd
import pytest

from analysis.publish import law_registry

NEW = SimpleNamespace(name="a-law", version="3")


class Registry:
    """A registered law whose alias another machine moves while two versions are compared."""

    def __init__(self, alias):
        self.alias = alias
        self.judged = []

    def get_registered_model(self, _):
        aliases = {} if self.alias is None else {law_registry.ALIAS: self.alias}
        return SimpleNamespace(aliases=aliases)

    def set_registered_model_alias(self, _, alias, version):
        assert alias == law_registry.ALIAS
        self.alias = version


@pytest.mark.parametrize(
    ("before", "moved_to", "beats", "champion"),
    [
        (None, "2", (), "2"),  # the first of two, and the other is better
        ("1", "2", ("1",), "2"),
        ("1", "2", ("1", "2"), "3"),
        ("1", "1", ("1",), "3"),
        ("1", "1", (), "1"),
    ],
)
def test_it_is_compared_with_the_one_that_leads_when_it_acts(
    monkeypatch, before, moved_to, beats, champion
):
    registry = Registry(before)

    def judge(_, __, leader, *___):
        registry.judged.append(leader)
        if len(registry.judged) == 1:
            registry.alias = moved_to
        leads = leader is None or leader in beats
        return leads, f"against {leader}"

    monkeypatch.setattr(law_registry, "_judge", judge)
    outcome = law_registry._let_the_better_lead(registry, NEW, None, {})
    assert registry.alias == champion
    assert outcome == f"against {moved_to}"


def test_laws_are_compared_on_the_cells_held_out_from_both():
    keys = {"left_out": ["b", "b"], "size": ["tiny", "tiny"]}
    held_out = pd.DataFrame(
        {**keys, "b": [5.0, 10.0], "measured": [3.0, 4.0], "predicted": [3.1, 9.0]}
    )
    leader_held_out = pd.DataFrame(
        {**keys, "b": [5.0, 15.0], "measured": [2.0, 4.0], "predicted": [2.8, 4.0]}
    )
    comparison = law_registry.compare_on_same_cells(held_out, leader_held_out)
    assert comparison == (pytest.approx(0.1), pytest.approx(0.2), 1)
    assert (
        law_registry.compare_on_same_cells(held_out, leader_held_out.assign(size="small")) is None
    )
