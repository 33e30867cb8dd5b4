"""Settings of the benchmark."""

from dataclasses import dataclass

from looped.choices import DEVICES, PRECISIONS
from looped.rules import (
    check_choices,
    require,
    require_one_of,
    require_positive,
    require_whole,
    setting,
)
from looped.sizes import PROMPTS, SIZES

DEFAULT_PARTS = ("training", "evaluation", "data", "logging", "startup")
PARTS = (*DEFAULT_PARTS, "checkpoints", "grid", "scaling")


@dataclass(frozen=True)
class BenchmarkOptions:
    """What to measure, and where the figures go."""

    parts: str = setting(",".join(DEFAULT_PARTS), f"what to measure, of {', '.join(PARTS)}")
    cells: str = setting("auto", "size:b, several with commas; auto: what suits the device")
    prompts: str = setting("joint,interleaved", "prompts to train and evaluate with")
    n_examples: int = setting(63, "in-context examples N")
    batch_size: int = setting(64, "prompts per step")
    seeds: int | None = setting(None, "replicas of a program; auto: 3 on a GPU, else 1")
    rounds: int = setting(3, "measurements of which a median is taken; pairs for training")
    seconds: float = setting(1.0, "of each measurement, at least; one step at least")
    precision: str = setting("auto", "ours; plain is always fp32", PRECISIONS)
    device: str = setting("auto", "auto: a GPU where there is one", DEVICES)
    json: str = setting("auto", "file to write the figures to; auto: none")
    figure: str = setting("auto", "file to draw part scaling to; auto: none")
    read: str = setting("auto", "an earlier benchmark's JSON, taken instead of measuring")
    log: bool | None = setting(None, "tell MLflow; auto: if `mlflow run` began this")

    def __post_init__(self) -> None:
        check_choices(self)
        require_whole("rounds", self.rounds, 1)
        require_positive("seconds", self.seconds)
        for name in ("n_examples", "batch_size"):
            require_whole(name, getattr(self, name), 1)
        if self.seeds is not None:
            require_whole("seeds", self.seeds, 1)
        for part in self.part_names:
            require_one_of("parts", part, PARTS)
        for prompt in self.prompts.split(","):
            require_one_of("prompts", prompt, PROMPTS)
        for cell in self.cell_words("cpu"):
            size, _, b = cell.partition(":")
            require_one_of("size of a cell", size, tuple(SIZES))
            require(b.isdecimal() and int(b) > 0, "b of a cell must be 1 or more", cell)
        draws_new_figure = self.figure != "auto" and self.read == "auto"
        rule = "figure needs part scaling among the parts"
        require(not draws_new_figure or "scaling" in self.part_names, rule, self.parts)

    @property
    def part_names(self) -> list[str]:
        """The parts in the order given."""
        return self.parts.split(",")

    def cell_words(self, device: str) -> list[str]:
        """The cells as words."""
        usual_cells = (
            "tiny:15,small:15,medium:15" if device == "cuda" else "tiny:5,small:10,medium:5"
        )
        return (usual_cells if self.cells == "auto" else self.cells).split(",")

    def n_seeds(self, device: str) -> int:
        """Replicas of a program."""
        return self.seeds or (3 if device == "cuda" else 1)
