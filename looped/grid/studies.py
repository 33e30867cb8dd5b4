"""Ready studies: what a question adds to the lists of a grid, and what it trains by default.

A study keeps what it is given and adds to it, so it composes with every other parameter, and the
trainings that it shares with another grid are not trained twice.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import Field, field, fields, replace
from typing import Any

from looped.b_draw import DISTRIBUTIONS
from looped.sizes import PROMPTS

STUDIES = (
    *("full", "sizes", "more-data", "larger-b", "random-b"),
    *("window", "truncation", "untied", "rate", "prompts", "quick"),
)
"""``full`` adds nothing: three sizes, four b and three seeds."""

_ADDED: Mapping[str, tuple[str, Callable[[Iterable[Any]], Iterable[Any]]]] = {
    "sizes": ("sizes", lambda _: ("nano", "mini", "base")),
    "more-data": ("steps", lambda steps: (factor * n for factor in (2, 4) for n in steps)),
    "larger-b": ("bs", lambda _: (20, 30, 40)),
    "random-b": ("b_draw", lambda _: DISTRIBUTIONS),
    "window": ("loss_window", lambda _: (0.5, 1.0)),
    "truncation": ("grad_window", lambda _: (0.5, 1.0)),
    "untied": ("tied", lambda _: (True, False)),
    "prompts": ("prompt", lambda _: PROMPTS),
    "rate": ("learning_rate_factor", lambda _: (0.5, 2.0)),
}
"""Of each study that adds to a list: which, and what it adds to the values given."""

_QUICK: Mapping[str, Any] = {
    "sizes": ("tiny", "small"),
    "bs": (1, 2, 4, 8),
    "seeds": (42, 451, 1984, 1, 2),
    "n_dims": (2,),
    "n_examples": (15,),
    "batch_size": (32,),
    "steps": (1000,),
    "warmup": (100,),
    "b_max": 24,
    "n_prompts": 3072,
    "register": False,
}
"""40 real trainings that leave the plateau and gain by looping, small enough for two cores."""

FILE_ENDING = ".toml"
"""Ends the names of studies that are files; what they set was read into the settings before."""


def left_to_study(declared: "Field[Any]", default: Any) -> Any:
    """Declare a setting of a command anew, shown as ``auto``, for a study may change it.

    Else MLflow would log the default beside what a study made of it, and nothing would tell a
    default from the same value given.

    Args:
        declared: as another command has it.
        default: if none is given.
    """
    words = ",".join(
        "auto" if value is None else str(value)
        for value in (default if isinstance(default, tuple) else (default,))
    )
    usual = "" if words == "auto" else f"; auto: {words}, or the study's own"
    metadata = {"help": f"{declared.metadata['help']}{usual}", "choices": None, "shown": "auto"}
    return field(default=default, metadata=metadata)


def apply_studies(studies: str, settings: Any, fixed_names: Container[str] = ()) -> Any:
    """Return what studies make of the settings of a grid, one after another.

    Args:
        studies: of ``STUDIES``, with a comma between two: ``quick,random-b``.
        settings: lists to cross, or how to train and evaluate. ``quick`` has values of its own
            in place of defaults; what was given otherwise stands.
        fixed_names: names of settings that stand although they equal the default.
    """
    for study in studies.split(","):
        settings = _apply(study, settings, fixed_names)
    return settings


def _apply(study: str, settings: Any, fixed_names: Container[str]) -> Any:
    names = [setting.name for setting in fields(settings)]
    if study == "quick":
        untouched = [
            setting.name
            for setting in fields(settings)
            if setting.name not in fixed_names
            and getattr(settings, setting.name) == setting.default
        ]
        return replace(settings, **{name: _QUICK[name] for name in untouched if name in _QUICK})
    name, further = _ADDED.get(study, ("", tuple))
    if name not in names:
        return settings
    values = getattr(settings, name)
    additions = dict.fromkeys(value for value in further(values) if value not in values)
    return replace(settings, **{name: (*values, *additions)})
