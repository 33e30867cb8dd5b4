"""The numbers that pages state are those of ``results/`` and of the code; README has no other."""

import json
import math
import re
import tomllib

import numpy as np
import pytest
from kept_journals import RESULTS, bits, curves, losses_beyond, mean_and_interval
from page_blocks import ROOT, prose_of

from analysis.claims.claims import CLAIMS
from analysis.scaling.form.forms import FORMS
from looped.config import TrainConfig
from looped.grid.studies import _QUICK
from looped.sizes import SIZES, ModelConfig

SIZE_NAMES = ("tiny", "small", "medium")
NUMBER = re.compile(r"\d[\d,.]*")
NO_MEASUREMENT = (
    "ICLR 2024",
    "its 95 % band",
    "each cell's mean and 95 % band over loops",
    "95 % interval over seeds",
    "10 to 20 minutes on two cores",  # 13 minutes of processor time: results/quick/README.md
    "½ log₂(1 / NMSE)",
    "1 is what predicting 0 gives",
    "Yang et al. (November 2026)",
    "b = 1 do not stand a second loop",  # tested below
    "of the 36 trainings 18 were surely still learning when they ended, and of 17 the "
    "curves cannot tell",
    "half of the study's 18 claims",
)
"""Phrases with numbers that are none of ours, or tested in tests/claims/test_kept_study.py."""


def text_of(name):
    return " ".join((ROOT / name).read_text("utf-8").split())


def n_params(size):
    return ModelConfig(SIZES[size], n_dims=5, n_points=64).n_params()


def gain(study, size, b, weights=""):
    mean, interval = mean_and_interval(
        bits(study, size, b, weights) - bits(study, size, 1, weights)
    )
    return mean, interval


def finding():
    return (
        f"15 loops bring tiny, with {n_params('tiny'):,} weights, to where small is after one, "
        f"with {n_params('small'):,}"
    )


def lead():
    return mean_and_interval(bits("h100", "tiny", 15) - bits("h100", "small", 1))


def ratios():
    """Return those of the joint prompt, on a GPU and on a CPU, as README has them."""
    gpu = json.loads((RESULTS / "h100/benchmark.json").read_text())["cells"]
    cpu = json.loads((RESULTS / "cpu/benchmark-avx512.json").read_text())["parts"]["training"]
    return (
        [f"{cell['ratio']:.0f}" for cell in gpu if cell["prompt"] == "joint"],
        [f"{cell['ratio']:.1f}" for cell in cpu if cell["name"].endswith("joint")],
    )


def readme_statements():
    """Return each statement of README.md that holds a measured number, as it must read."""
    trainings = curves("h100")
    (tiny_gain, tiny_interval), (small_gain, small_interval) = (
        gain("quick", size, 8, "tail_") for size in ("tiny", "small")
    )
    low, high = (
        [f"{end(losses_beyond('h100', 'tiny', b, 50)):.3g}" for end in (min, max)] for b in (5, 15)
    )
    default = TrainConfig()
    minutes = re.search(r"6 min\s+36 s", text_of("results/h100/README.md"))[0]
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    on_gpu, on_cpu = (" | ".join(of_sizes) for of_sizes in ratios())
    bs = sorted({key[1] for key in curves("quick")})
    return [
        f"{finding()}:**",
        f"from small's by {lead()[0]} bits {lead()[1]}",
        f"({len(trainings)} trainings on one H100",
        f"Python {python.removeprefix('>=')} or later",
        f"trains {len(curves('quick'))} small models",
        f"sizes at b = {', '.join(map(str, bs[:-1]))} and {bs[-1]} with five seeds",
        f"in {_QUICK['n_dims'][0]} dimensions",
        f"{tiny_gain} bits {tiny_interval} to tiny's expressivity and {small_gain} "
        f"{small_interval} to small's",
        "about 10⁴, 10⁵ and 10⁶ weights",
        f"| `b` | {default.b} |",
        f"| `seed` | {default.seed} |",
        f"| `steps`, `batch_size` | {default.steps}, {default.batch_size} |",
        f"took {minutes} on one H100",
        f"| one H100, b = 15, three seeds at once, bf16 | {on_gpu} |",
        f"| two CPU cores with AVX-512, b = 5, 10 and 5, float32 | {on_cpu} |",
        "one pass to 50 loops",
        f"50 loops leave it with {low[0]} to {low[1]} times the error that it had at b = 5, "
        f"and with {high[0]} to {high[1]} times that at b = 15",
        f"compares {len(FORMS)} forms",
        f"see the {len(trainings)} runs of the study",
        f"one of {default.steps:,} steps",
        f"Sizes end at {n_params('large') / 1e6:.1f} million weights",
    ]


def plain_text(page):
    """Return a page's prose without its blocks and where its links go."""
    text = re.sub(r"\]\([^)]*\)", "]", prose_of(ROOT / page))
    return " ".join(text.split())


def test_every_number_of_readme_is_one_that_is_checked():
    text = plain_text("README.md") + " trains 40 small models"  # which stands in a block
    for statement in [*readme_statements(), *NO_MEASUREMENT]:
        assert statement in text, statement
        text = text.replace(statement, "")
    text = re.sub(r"`[^`]*`", "", text)
    assert NUMBER.findall(text) == []


def test_what_readme_says_in_words_is_so():
    n_seeds = [len({key[2] for key in curves(study)}) for study in ("h100", "quick")]
    assert n_seeds == [3, 5]
    one_and_two = [curve[:2] for key, curve in curves("h100").items() if key[1] == 1]
    assert all(two > 2 * one for one, two in one_and_two)  # b = 1 does not stand a second loop
    widest = [max(losses_beyond("h100", "tiny", b, 50)) for b in (5, 10, 15)]
    assert widest == sorted(widest, reverse=True)
    about = [math.log10(n_params(size)) for size in SIZE_NAMES]
    assert about == pytest.approx([4, 5, 6], abs=0.1)
    assert len(CLAIMS) == 18
    assert "trains 40 small models" in text_of("README.md")


def test_the_study_states_its_means_and_gains():
    text = text_of("docs/the-study.md")
    means = {size: [f"{bits('h100', size, b).mean():.2f}" for b in (1, 15)] for size in SIZE_NAMES}
    tiny, small, medium = (" to ".join(means[size]) for size in SIZE_NAMES)
    assert f"tiny rises from {tiny} bits, small from {small} and medium from {medium}" in text
    assert finding() in text
    assert f"has {lead()[0]} bits {lead()[1]} more than small at b = 1" in text
    tiny, small, medium = (" ".join(gain("h100", size, 15)) for size in SIZE_NAMES)
    tiny = tiny.replace(" [", " bits [")
    assert f"15 loops add {tiny} to tiny, {small} to small and {medium} to medium" in text


@pytest.mark.parametrize("b", [1, 5, 10, 15])
def test_the_losses_beyond_b_are_those_of_the_journals(b):
    cells = [
        f"{min(losses):.3g} to {max(losses):.3g}"
        for losses in (losses_beyond("h100", size, b, 50) for size in SIZE_NAMES)
    ]
    assert f"| b = {b} | {' | '.join(cells)} |" in text_of("docs/extrapolation.md")


def test_the_kept_study_lists_the_errors_of_its_journals():
    text = text_of("results/h100/README.md")
    for size, b in {key[:2] for key in curves("h100")}:
        row = [f"{curves('h100')[size, b, seed][b - 1]:.4g}" for seed in (42, 451, 1984)]
        assert f"| {size} | {b} | {' | '.join(row)} |" in text


def table_rows(cells, is_gpu):
    """Write rows of the table of steps as docs/performance.md has them."""
    for cell in cells:
        ratio, low, high = (cell[name] for name in ("ratio", "ratio_low", "ratio_high"))
        digits = 1 if is_gpu else 2
        yield f"{ratio:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def test_the_tasks_page_states_what_a_dial_showed():
    text, hops = text_of("docs/tasks.md"), (1, 2, 4)
    records = [list(map(json.loads, journal.read_text().splitlines()))
               for journal in sorted(RESULTS.glob("dial/*/journal.jsonl"))]  # fmt: skip
    configs = [json.loads((journal.parent / "config.json").read_text())["config"]
               for journal in sorted(RESULTS.glob("dial/*/journal.jsonl"))]  # fmt: skip
    curve_of = {
        (config.get("hops", 2), config["b"], config["seed"]): record["loops"]["tail_nmse"]
        for config, of_run in zip(configs, records, strict=True)
        for record in of_run
        if record["kind"] == "evaluation"
    }
    bits_of = {key: -0.5 * math.log2(curve[key[1] - 1]) for key, curve in curve_of.items()}

    def at(depth, b):
        return np.array([bits_of[depth, b, seed] for seed in (42, 451, 1984)])

    for depth in hops:
        cells = [" ".join(mean_and_interval(at(depth, b))) for b in (1, 2, 4, 8)]
        assert f"| {depth} | {' | '.join(cells)} |" in text
    gain, interval = mean_and_interval(at(2, 2) - at(2, 1))
    assert f"the second loop brings {gain} bits {interval}" in text
    curves_of_four = np.log([curve_of[4, 4, seed][:4] for seed in (42, 451, 1984)])
    first, second, third, last = (f"{error:.2f}" for error in np.exp(curves_of_four.mean(axis=0)))
    assert f"leaves {first}, {second}, {third} and {last} of the variance" in text


def test_the_steps_of_the_performance_page_are_those_of_the_benchmarks():
    text = text_of("docs/performance.md")
    gpu = json.loads((RESULTS / "h100/benchmark.json").read_text())["cells"]
    cpu = json.loads((RESULTS / "cpu/training.json").read_text())["parts"]["training"]
    avx512 = json.loads((RESULTS / "cpu/benchmark-avx512.json").read_text())["parts"]["training"]
    for row in [*table_rows(gpu, True), *table_rows([*cpu, *avx512], False)]:
        assert f"| {row} |" in text


def test_the_growth_of_the_performance_page_is_that_of_the_benchmarks():
    text = text_of("docs/performance.md")
    points = json.loads((RESULTS / "h100/scaling.json").read_text())
    for label in ("b", "replicas", "batch"):
        times = [
            f"{point['ms']:.{2 if point['ms'] < 10 else 1}f}"
            for point in points
            if point["label"] == label
        ]
        assert f"| ms | {' | '.join(times)} |" in text
    parts = json.loads((RESULTS / "cpu/benchmark.json").read_text())["parts"]
    for growth in parts["scaling"]:
        exponent = f"{growth['time_exponent']:.2f} ± {growth['time_se']:.2f}"
        assert f"| {exponent} |" in text, growth["name"]
    for cell in parts["checkpoints"]:
        ratio = f"{cell['ratio']:.2f} ({cell['ratio_low']:.2f} to {cell['ratio_high']:.2f})"
        assert f"| {ratio} |" in text, cell["name"]
