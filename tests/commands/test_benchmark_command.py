"""The benchmark: what it finds is kept and shown whole; how long anything takes is not tested."""

import importlib.util
import json
import math
import os
import re
import time
from dataclasses import replace

import numpy as np
import pytest

from entrypoints import benchmark
from entrypoints.benchmarks import commands, growth, log, results, timing
from entrypoints.benchmarks.options import PARTS, BenchmarkOptions
from entrypoints.benchmarks.parts import scaling, startup
from entrypoints.benchmarks.timing import Probe
from looped.config import TrainConfig
from looped.sizes import SIZES
from looped.tasks.kinds import TASK_KINDS
from looped.training import loop
from looped.training.resolve import resolve

SMALL = (
    "--cells", "tiny:1", "--n_examples", "3", "--batch_size", "2", "--rounds", "1",
    "--seconds", "0.01", "--device", "cpu",
)  # fmt: skip


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def planted_curve(name="b", power=1.5):
    xs = [1, 2, 4, 8, 16]
    probes = [Probe(0.002 + 0.003 * x**power, 10.0 * x) for x in xs]
    return scaling.curve(name, xs, probes, [float(x) for x in xs])


def benchmark_results():
    about = {"device": "CPU", "threads": 2, "torch": "2", "precision": "fp32", "matrix_tflops": 0.1}
    return {
        "about": about,
        "options": {"parts": "scaling"},
        "parts": {"scaling": [planted_curve()]},
    }


def test_what_it_measures_is_printed_and_kept(call, tmp_path):
    path = tmp_path / "new" / "results.json"
    words = ("--parts", "training,evaluation,data", "--prompts", "joint", "--json", str(path))
    code, lines = call(benchmark, *SMALL, *words)
    assert code == 0
    kept_results = json.loads(path.read_text())
    parts = kept_results["parts"]
    assert list(parts) == ["training", "evaluation", "data"]
    assert lines == results.markdown(kept_results).splitlines()  # the JSON holds all that is said
    (step,) = parts["training"]
    assert step["name"] == "tiny-b1-joint" and step["seeds"] == 1
    assert step["ratio_low"] <= step["ratio"] <= step["ratio_high"]
    assert step["ratio"] == pytest.approx(step["plain_ms"] / step["ours_ms"])
    tasks = [row["name"] for row in parts["data"]]
    assert tasks == [f"data-{name}" for name in TASK_KINDS]
    for part, rows in parts.items():
        begin = lines.index(f"### {part}") + 2
        titles, rule, *body = (cells(line) for line in lines[begin : begin + 2 + len(rows)])
        assert titles == [title for title, _ in results.COLUMNS[part]]
        assert rule == ["---"] * len(titles)
        assert [row[0] for row in body] == [row["name"] for row in rows]
        assert all(len(row) == len(titles) and all(row) for row in body)
    assert all(math.isfinite(value) for value in results.figures(kept_results).values())


def test_every_part_has_a_module_and_columns():
    assert set(results.COLUMNS) == set(PARTS)
    assert all(callable(benchmark.module_of(part).measure) for part in PARTS)


def test_commands_are_found_and_asked_for_help(tmp_path):
    names = startup.command_names()
    assert {"train", "grid", "benchmark", "fit_scaling"} <= set(names)
    assert "options" not in names
    before = time.time()
    course = commands.ask_for_help(commands.Place(tmp_path), "train")
    assert before <= course.start < course.start + course.seconds <= time.time()
    assert 0 < course.processor <= course.seconds * os.cpu_count()
    with pytest.raises(commands.CommandError, match="size must be one of"):
        commands.run(commands.Place(tmp_path), "train", {"size": "huge"})


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_planted_exponents_are_recovered(power):
    xs = [2, 3, 5, 8, 13, 21]
    fit = growth.exponent(xs, [7 * x**power for x in xs])
    assert fit.value == pytest.approx(power)
    assert fit.se == pytest.approx(0, abs=1e-9)


def test_a_fixed_cost_is_not_taken_for_slow_growth():
    xs = [2**k for k in range(11)]
    fit = growth.exponent(xs, [5 + x for x in xs])
    assert 0.9 < fit.value < 1
    assert fit.value > growth.exponent(xs[:6], [5 + x for x in xs[:6]]).value


def test_the_standard_error_is_that_of_many_noisy_measurements():
    generator = np.random.default_rng(0)
    xs = np.geomspace(1, 1000, 20)
    fits = [
        growth.exponent(list(xs), list(xs * np.exp(0.1 * generator.normal(size=20))))
        for _ in range(400)
    ]
    spread = np.std([fit.value for fit in fits])
    assert np.sqrt(np.mean([fit.se**2 for fit in fits])) == pytest.approx(spread, rel=0.15)


def test_the_upper_half_has_three_points_where_there_are_three():
    assert growth.upper_half([1, 2, 4, 8, 16]) == slice(-3, None)
    assert growth.upper_half([1, 2, 100]) == slice(-3, None)
    assert growth.upper_half([1, 100]) == slice(-2, None)
    assert growth.exponent([1, 100], [1, 100]) == (pytest.approx(1), math.inf)


def test_a_straight_line_is_recovered():
    fit = growth.line([1, 2, 5, 10], [4.0, 5.0, 8.0, 13.0])
    assert fit == (pytest.approx(3), pytest.approx(1))


def test_width_and_replicas_count_their_own_flops():
    base = TrainConfig(size="small", b=5)
    axes = scaling.AXES
    single, fourfold = (scaling.flops_of(axes["replicas"].case(base, n)) for n in (1, 4))
    assert single == base.step_flops and fourfold == 4 * single
    assert scaling.flops_of(axes["width"].case(base, 64)) == base.step_flops
    assert scaling.flops_of(axes["width"].case(base, 128)) > 3 * base.step_flops


def test_a_width_is_of_its_own_configuration_and_the_sizes_cannot_be_written_to():
    base = resolve(TrainConfig(size="small", b=1, steps=1, batch_size=2, n_examples=3))
    wide = scaling.AXES["width"].case(base, 32).config
    assert loop.seeded_model(wide).config.size == replace(SIZES["small"], n_embd=32, n_mlp=128)
    assert replace(wide, seed=1).model_config == wide.model_config
    narrow_flops, wide_flops = (
        timing.in_fresh_process(scaling.flops_of, scaling.Case(config)) for config in (base, wide)
    )
    assert (narrow_flops, wide_flops) == (base.step_flops, wide.step_flops)
    assert wide_flops < narrow_flops / 3
    timing.probe("ours", wide, seeds=1, rounds=0, least=0.0)  # it trains
    assert loop.seeded_model(base).config.size == SIZES["small"]
    with pytest.raises(TypeError):
        SIZES["small"] = SIZES["tiny"]


def test_what_a_fresh_process_is_given_is_there():
    """A server of forks leaves out what it cannot import, without a word."""
    assert all(importlib.util.find_spec(module) for module in timing.PRELOADED)


def test_planning_costs_time_for_every_training():
    _, few, many = (scaling.planning(count) for count in (1, 1, 600))  # the first one imports
    assert many.seconds > few.seconds


def test_results_are_logged_and_drawn_again(call, store, tmp_path):
    path, figure = tmp_path / "results.json", tmp_path / "figure.png"
    results.write_json(benchmark_results(), path)
    words = ("--read", str(path), "--figure", str(figure), "--log", "true")
    code, lines = call(benchmark, *words)
    assert code == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
    run = store.get_run(lines[-1].split()[-1])
    assert run.info.status == "FINISHED"
    assert run.data.tags["looped.kind"] == "benchmark"
    assert run.data.params["about.device"] == "CPU"
    exponent = run.data.metrics["benchmark/scaling-b/time_exponent"]
    assert exponent == benchmark_results()["parts"]["scaling"][0]["time_exponent"]
    history = store.get_metric_history(run.info.run_id, "benchmark/scaling-b/ms")
    assert [sample.step for sample in history] == [1, 2, 4, 8, 16]
    artifacts = {file.path for file in store.list_artifacts(run.info.run_id, "benchmark")}
    assert artifacts == {
        f"benchmark/{name}" for name in ("benchmark.json", "benchmark.md", "scaling.png")
    }


def test_it_logs_to_the_run_that_mlflow_run_made(store, monkeypatch):
    launcher_id = store.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launcher_id)
    store.log_param(launcher_id, "device", "auto")  # as `mlflow run` does
    assert log.log(benchmark_results()) == launcher_id
    assert store.get_run(launcher_id).info.status == "FINISHED"  # `mlflow run` says so once more


def test_a_failure_is_left_on_the_run_that_mlflow_run_made(call, store, monkeypatch):
    launcher_id = store.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launcher_id)
    code, lines = call(benchmark, "--read", "missing.json")
    assert code == 1 and "missing.json" in lines[0]
    assert "missing.json" in store.get_run(launcher_id).data.tags["looped.reason"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--parts", "speed"), "parts must be one of training, .*, got speed"),
        (("--cells", "huge:1"), f"size of a cell must be one of {', '.join(SIZES)}, got huge"),
        (("--cells", "tiny:0"), "b of a cell must be 1 or more, got tiny:0"),
        (("--rounds", "0"), "rounds must be a whole number of at least 1, got 0"),
        (("--seconds", "0"), "seconds must be a finite number above 0, got 0.0"),
        (("--figure", "f.png"), "figure needs part scaling among the parts, got training"),
        (("--read", "missing.json"), "read must name a benchmark's JSON, got missing.json"),
    ],
)
def test_bad_options_are_refused_in_one_line(call, words, message):
    code, lines = call(benchmark, *words)
    assert code != 0 and len(lines) == 1
    assert re.search(message, lines[0])


def test_defaults_leave_out_what_takes_minutes():
    assert set(PARTS) - set(BenchmarkOptions().part_names) == {"checkpoints", "grid", "scaling"}
