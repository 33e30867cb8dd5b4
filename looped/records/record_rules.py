"""What a record of a journal may be: its kinds, and which metrics and tags it may set.

A journal may come from anywhere, and MLflow is told what it says: a record that we would not
have written is refused, so that no journal names, nests or supersedes a run.
"""

import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from looped.choices import DEVICES, KERNELS, PRECISIONS
from looped.names import Metric, Tag
from looped.records.prompt_errors import MOST_KEPT
from looped.rules import require, require_one_of

END_STATUSES = ("FINISHED", "FAILED", "KILLED")

METRIC_FAMILIES = (Metric.TRAIN, Metric.FINAL, Metric.BEST)
"""Any metric of these may stand in a journal, and of the others those that follow."""
METRICS = frozenset(
    {
        *(Metric.STEPS_PER_S, Metric.TOKENS_PER_S, Metric.PEAK_MIB, Metric.ESCAPE_STEP),
        *(Metric.NMSE, Metric.NMSE_SE, Metric.BITS, Metric.PROMPTS),
        *(Metric.TAIL_NMSE, Metric.TAIL_NMSE_SE, Metric.TAIL_BITS),
    }
)
NEEDED_METRICS = (Metric.NMSE, Metric.NMSE_SE, Metric.BITS, Metric.PROMPTS)
"""An outcome without them says nothing."""
TAGS = frozenset({Tag.ESCAPE_STEP, Tag.PLATEAU, Tag.DIVERGED, Tag.CONVERGENCE, Tag.UNCONVERGED})
NEEDED_CURVES = ("nmse", "nmse_se", "nmse_median", "nmse_q05", "nmse_q95", "state_change")

CHANGES = ("state_change", "prediction_change")
"""Curves that begin at loop 2, and so do their namesakes of the tail."""

DECIDED: Mapping[str, tuple[object, ...]] = {
    "device": DEVICES[1:],
    "precision": PRECISIONS[1:],
    "kernels": KERNELS[1:],
    "checkpoint_loops": (False, True),
}
"""What a start says of how its machine runs the training, none of it left automatic."""

KEPT_PROMPTS = "kept_prompts"
"""Of an evaluation: how many prompts' own errors are in a file; see ``prompt_errors``."""

LAST_TIME = 253_402_300_799_999  # milliseconds since 1970: the end of the year 9999
LAST_STEP = 10**15
MOST_PROMPTS = 10**6
"""Held-out prompts of an evaluation: baselines are scored on as many."""
LONGEST_WORD = 250

_LARGEST = sys.float_info.max
_WORD = re.compile(r"[a-z0-9_]{1,64}")
_ID = re.compile(r"[\w.-]{1,64}")
_FOLDER = re.compile(r"[\w.-]{1,255}")


def check_record(record: Any) -> None:
    """Raise ValueError unless a value is a record that we could have written."""
    require(isinstance(record, dict), "a record must be a JSON object", _shown(record))
    kind = record.get("kind")
    require(isinstance(kind, str) and kind in _CHECKS, _KINDS_RULE, _shown(kind))
    _check_whole("time", record.get("time"), 1, LAST_TIME)
    if kind != "end":
        _check_whole("step", record.get("step"), 0, LAST_STEP)
    _CHECKS[kind](record)


def _check_start(record: Mapping[str, Any]) -> None:
    program = record.get("program", "0")
    is_id = isinstance(program, str) and _ID.fullmatch(program) is not None
    require(is_id, "the program of a start must be an id", _shown(program))
    training = record.get("training", "0")
    is_name = isinstance(training, str) and _FOLDER.fullmatch(training) is not None
    require(is_name, "the training of a start must be a folder's name", _shown(training))
    for name in ("replicas", "threads"):
        _check_whole(name, record.get(name, 1), 1, LAST_STEP)
    for name, choices in DECIDED.items():  # journals from before say nothing of it
        is_decided = name not in record or record[name] in choices
        require(is_decided, f"{name} must be one of {choices}", _shown(record.get(name)))


def _check_metrics(record: Mapping[str, Any]) -> None:
    for name, value in _object(record, "values").items():
        if not _is_metric(name):
            require(False, "a metric must be one of ours", _shown(name))
        _check_number(name, value)


@lru_cache(maxsize=1000)
def _is_metric(name: str) -> bool:
    family = next((family for family in METRIC_FAMILIES if name.startswith(family)), "")
    is_of_family = bool(family) and _WORD.fullmatch(name.removeprefix(family)) is not None
    return is_of_family or name in METRICS


def _check_evaluation(record: Mapping[str, Any]) -> None:
    _check_whole("n_prompts", record.get("n_prompts"), 2, MOST_PROMPTS)
    _check_whole(KEPT_PROMPTS, record.get(KEPT_PROMPTS, 0), 0, MOST_KEPT)
    curves, summary = _object(record, "loops"), _object(record, "summary")
    dynamics = _object(record, "dynamics") if "dynamics" in record else {}
    for name in (*curves, *summary, *dynamics):
        is_word = _WORD.fullmatch(name) is not None
        require(is_word, "a curve must have a name like ours", _shown(name))
    missing_names = [name for name in NEEDED_CURVES if name not in curves]
    require(not missing_names, "an evaluation must hold every curve", f"no {missing_names[:1]}")
    _check_numbers("examples", record.get("examples"))
    for name, curve in curves.items():
        _check_numbers(name, curve)
        n_loops = len(curves["nmse"]) - name.endswith(CHANGES)
        require(len(curve) == n_loops, f"{name} must be of {n_loops} loops", len(curve))
    require(len(curves["nmse"]) > 0, "an evaluation must have loops", 0)
    for name, value in (*summary.items(), *dynamics.items()):
        _check_number(name, value)
    _check_whole("b_max", round(summary.get("b_max", 0)), 1, LAST_STEP)


def _check_outcome(record: Mapping[str, Any]) -> None:
    _check_metrics(record)
    missing_names = [name for name in NEEDED_METRICS if name not in record["values"]]
    require(not missing_names, "an outcome must hold its error", f"no {missing_names[:1]}")
    for name in (Metric.NMSE, Metric.NMSE_SE):
        require(record["values"][name] >= 0, f"{name} must not be negative", record["values"][name])
    _check_text("advice", record.get("advice", ""))
    for name, value in _object(record, "tags").items():
        require(name in TAGS, "a tag must be one of ours", _shown(name))
        is_word = isinstance(value, str) and len(value) <= LONGEST_WORD and value.isprintable()
        require(is_word, f"the tag {name} must be a word", _shown(value))


def _check_end(record: Mapping[str, Any]) -> None:
    status = record.get("status")
    require_one_of("status", status if isinstance(status, str) else _shown(status), END_STATUSES)
    _check_text("reason", record.get("reason"))


def _check_diverged(record: Mapping[str, Any]) -> None:
    _check_text("reason", record.get("reason"))


def _check_text(name: str, value: Any) -> None:
    require(isinstance(value, str), f"{name} must be a text", _shown(value))


def _object(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    values = record.get(name)
    require(isinstance(values, dict), f"{name} must be a JSON object", _shown(values))
    assert isinstance(values, dict)
    return values


def _check_whole(name: str, value: Any, least: int, most: int) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    if not is_whole:  # what came is written only then: a journal has thousands of numbers
        require(False, f"{name} must be a whole number in [{least}, {most}]", _shown(value))


def _check_number(name: str, value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # math.isfinite fails on whole numbers beyond the largest float
    if not (is_number and abs(value) <= _LARGEST):
        require(False, f"{name} must be a finite number", _shown(value))


def _check_numbers(name: str, values: Any) -> None:
    require(isinstance(values, list), f"{name} must be a list", _shown(values))
    for value in values:
        _check_number(name, value)


def _shown(value: Any) -> str:
    """Show what came, whatever it is, in a few letters."""
    if isinstance(value, dict | list):
        return "a JSON object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and abs(value) > LAST_TIME:
        return "a larger one"
    return repr(value)[:80]


_CHECKS = {
    "start": _check_start,
    "metrics": _check_metrics,
    "evaluation": _check_evaluation,
    "outcome": _check_outcome,
    "diverged": _check_diverged,
    "end": _check_end,
}
_KINDS_RULE = f"kind must be one of {', '.join(_CHECKS)}"
