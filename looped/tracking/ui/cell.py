"""The cells of an experiment: its trainings sorted by all but the seed, each cell with a name."""

import logging
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from looped.config import TrainConfig
from looped.names import Tag
from looped.rules import digest
from looped.titles import cell_titles, title_of, without_seed
from looped.tracking.logged import config_of, params_of

TAGS = (Tag.NAME, Tag.PLATEAU, Tag.DIVERGED, Tag.EVALUATED_TO, Tag.EVALUATED_ON)
"""Those that are read of a training."""
_FORMAT = 2
"""Of a summary: one of another is made anew."""

logger = logging.getLogger("looped")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The finished trainings that differ in their seed alone, the newest of each.

    Attributes:
        key: what they have in common, digested; see ``TrainConfig.cell_identity``.
        name: its title, and of cells that share one what tells them apart.
        config: of one of them.
        runs: those that learned.
        n_left_out: those that stayed on the plateau or diverged.
    """

    key: str
    name: str
    config: TrainConfig
    runs: Sequence[Run]
    n_left_out: int

    @property
    def title(self) -> str:
        """As its trainings are named, without the seed; cells may share it."""
        return without_seed(self.config, title_of(self.config))

    @property
    def content(self) -> str:
        """Digest what a summary is made from."""
        names = (Tag.EVALUATED_TO, Tag.EVALUATED_ON)
        runs = [
            [run.info.run_id, *(run.data.tags.get(name) for name in names)] for run in self.runs
        ]
        content = {"name": self.name, "left_out": self.n_left_out, "format": _FORMAT}
        return digest(content | {"runs": sorted(map(str, runs))})


def cells_of(
    client: MlflowClient, runs: Sequence[Run], known_configs: Mapping[str, TrainConfig]
) -> list[Cell]:
    """Sort trainings, the first begun first, into cells.

    Args:
        client: of their store.
        runs: with their ``TAGS``.
        known_configs: what some of them trained, by their ids; of the others it is read.
    """
    params = params_of(client, [run for run in runs if run.info.run_id not in known_configs])
    newest: dict[str, dict[str, tuple[TrainConfig, Run]]] = {}
    for run in runs:
        run_id = run.info.run_id
        try:
            config = known_configs.get(run_id) or config_of(params[run_id])
        except (KeyError, ValueError) as error:  # told by a later version, or by somebody else
            logger.debug("run %s is of no cell (%s)", run_id, error)
            continue
        newest.setdefault(config.cell_identity, {})[config.identity] = (config, run)
    configs = {key: next(iter(of_cell.values()))[0] for key, of_cell in newest.items()}
    names = cell_titles(configs.values())
    cells = []
    for key, by_identity in newest.items():
        runs_that_learned = [run for _, run in by_identity.values() if _has_learned(run)]
        cells.append(
            Cell(
                key=key,
                name=names[key],
                config=configs[key],
                runs=runs_that_learned,
                n_left_out=len(by_identity) - len(runs_that_learned),
            )
        )
    return cells


def chosen(cells: Sequence[Cell], keys: Container[str] | None) -> list[Cell]:
    """Leave out cells that were not asked for, unless one was whose name theirs goes by.

    Args:
        cells: all of an experiment.
        keys: of those that were asked for; None means all.
    """
    if keys is None:
        return list(cells)
    titles = {cell.title for cell in cells if cell.key in keys}
    return [cell for cell in cells if cell.title in titles]


def _has_learned(run: Run) -> bool:
    return "true" not in (run.data.tags.get(Tag.PLATEAU), run.data.tags.get(Tag.DIVERGED))
