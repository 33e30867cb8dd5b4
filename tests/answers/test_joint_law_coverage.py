"""The script behind the joint law's table of coverage."""

import pytest

from entrypoints.benchmarks.coverage import joint_law as coverage
from entrypoints.benchmarks.coverage.joint_law import Scenario


def test_a_row_is_printed_for_each_scenario(monkeypatch, capsys):
    scenarios = (Scenario(n_sizes=3, phi=0.5), Scenario(n_sizes=2, phi=1.0, off=0.15))
    monkeypatch.setattr(coverage, "SCENARIOS", scenarios)
    monkeypatch.setattr("sys.argv", ["joint_law", "2"])
    coverage.main()
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split("|")[1].strip() for row in rows] == [
        "3 sizes, phi = 0.5",
        "2 sizes, phi = 1, 0.15 bits off the law",
    ]
    assert {row.count("|") for row in rows} == {header.count("|")}


def test_without_noise_all_is_covered():
    study = coverage._study(Scenario(n_sizes=3, phi=0.7, noise=(1e-3,)), [0])
    assert all(study[name] for name in coverage.PARAMETERS)
    assert study["width"] == pytest.approx(0, abs=0.05)
