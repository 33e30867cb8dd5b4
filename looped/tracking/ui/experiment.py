"""What an experiment is given when the first of its runs begins: kind, description, views."""

import logging

from mlflow.exceptions import MlflowException

from looped.names import Tag
from looped.tracking.stores.store import Store
from looped.tracking.ui.views import CELLS, TRAININGS, VIEWS

EXPERIMENT_KIND = "custom_model_development"
"""What MLflow is told that an experiment is, so that its UI opens it as one of trained models."""

DESCRIPTION = f"""\
Looped transformers: one stack of blocks, applied b times, learns a function class in context.

- The menu **Views** holds *{TRAININGS.name}* (a table) and *{CELLS.name}* (charts). MLflow \
opens an experiment on a page for prompts and traces; **Model training**, top left, leads to the \
runs.
- `held_out/nmse` is the squared error after b loops over the variance of y, on held-out prompts: \
1 is no better than guessing 0, and lower is better. `held_out/bits` is 1/2 log2(1 / NMSE).
- `loops/nmse` is the same after each loop, which is its step: compare runs to see it drawn.
- The tag `looped.kind` says what a run is: a training, a grid of them, a cell (the mean over the \
seeds of a size and b), a baseline, a fit or a report.
"""

logger = logging.getLogger("looped")

_prepared: set[tuple[str, str]] = set()


def prepare_experiment(store: Store) -> None:
    """Give an experiment what it lacks of its kind, description and views, once a process.

    What is there, or was changed by a person, stays. It is for the eye alone: where MLflow does
    not take it, nothing fails.
    """
    place = (store.client.tracking_uri, store.experiment_id)
    if place in _prepared:
        return
    wanted_tags = {
        Tag.EXPERIMENT_KIND: EXPERIMENT_KIND,
        Tag.NOTE: DESCRIPTION,
        **dict(view.tag for view in VIEWS),
    }
    try:
        tags = store.client.get_experiment(store.experiment_id).tags
        for name in wanted_tags.keys() - tags.keys():
            store.client.set_experiment_tag(store.experiment_id, name, wanted_tags[name])
    except MlflowException as error:
        logger.debug("experiment %s stays without its views (%s)", store.experiment_id, error)
        return
    _prepared.add(place)
