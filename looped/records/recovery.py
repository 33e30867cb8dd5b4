"""What a run's configuration was, where ``config.json`` is lost: confirmed, or not said.

The folder's name ends with the identity of the configuration, so a guess either gives that
identity and is right, or does not. Guesses are made of the name, the saved model and the journal.
"""

import logging
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from looped.config import TrainConfig
from looped.names import Metric
from looped.records.damage import DamagedFileError, parse
from looped.records.folder import load_config, run_path
from looped.records.journal import last_record
from looped.tasks.kinds import TASK_KINDS
from looped.windows import FORMER_WINDOW

PRECISIONS = (("fp32", "cpu"), ("bf16", "cuda"), ("bf16", "cpu"), ("fp32", "cuda"))
"""With the device on which each is usual."""

logger = logging.getLogger("looped")


def config_of(folder: Path) -> TrainConfig:
    """Read a run's configuration, or recover it and say so.

    Raises:
        DamagedFileError: ``config.json`` is damaged and no guess is confirmed.
        ValueError: the folder is not named after its configuration.
    """
    try:
        return load_config(folder)
    except DamagedFileError as error:
        for guess in _guesses(folder):
            if run_path(folder.parent, guess).name == folder.name:
                logger.warning("%s; recovered, and confirmed by the folder's name", error)
                return guess
        raise


def _guesses(folder: Path) -> Iterator[TrainConfig]:
    settings = _of_name(folder.name) | _of_model(folder / "model" / "model.json")
    steps, rate = _of_journal(folder / "journal.jsonl")
    usual = TrainConfig()
    steps_guesses = {settings.pop("steps", usual.steps), usual.steps, steps}
    windows = {None, FORMER_WINDOW}
    for n_steps, learning_rate, window, (precision, device) in product(
        steps_guesses - {None}, {None, rate}, windows, PRECISIONS
    ):
        try:
            config = TrainConfig(
                **settings, steps=n_steps, learning_rate=learning_rate, loop_window=window
            )
            yield config.resolved(device, precision)
        except (ValueError, TypeError):
            continue


def _of_name(name: str) -> dict[str, Any]:
    """Read ``small-b10-s42[-task][-prompt][-draw][-by_prompt][-untied]-identity``."""
    words = name.split("-")[:-1]
    if len(words) < 3 or not (words[1][1:].isdecimal() and words[2][1:].isdecimal()):
        return {}
    settings: dict[str, Any] = {"size": words[0], "b": int(words[1][1:]), "seed": int(words[2][1:])}
    choices = {
        "task": tuple(TASK_KINDS.keys() - {"linear"}),
        "prompt": ("interleaved",),
        "b_draw": ("uniform", "poisson_lognormal"),
    }
    if "by_prompt" in words:
        settings["b_draw_unit"] = "prompt"
    settings["tied"] = "untied" not in words
    for word in words[3:]:
        settings |= {setting: word for setting, allowed in choices.items() if word in allowed}
    return settings


def _of_model(path: Path) -> dict[str, Any]:
    """Read what the saved model says of its training; the identity confirms it."""
    try:
        content = parse(path.read_bytes())["content"]
        facts, architecture = content["facts"], content["architecture"]
        task = dict(facts["task"])
        settings = {name: facts[name] for name in ("size", "b", "seed", "n_examples", "steps")}
        settings |= {"task": task.pop("name"), "prompt": architecture["prompt"], **task}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return settings


def _of_journal(path: Path) -> tuple[int | None, float | None]:
    """Read the last step, and the rate there."""
    try:
        record = last_record(path, "metrics")
    except (OSError, ValueError):
        record = None
    if record is None:
        return None, None
    return record["step"], record["values"].get(Metric.LEARNING_RATE)
