"""What a training was fed, as a dataset input of its run: the UI shows it and filters by it."""

import json

from mlflow.entities import Dataset, DatasetInput, InputTag

from looped.config import TrainConfig
from looped.names import Tag
from looped.rules import digest


def dataset_of(config: TrainConfig) -> DatasetInput:
    """Describe the prompts of a training: its task, and which prompts are held out.

    The digest names the held-out stream: its prompts follow from the task, with its settings, and
    from the number of examples alone, so that trainings of one digest were judged on the same.

    Example:
        >>> dataset = dataset_of(TrainConfig(task="noisy_linear")).dataset
        >>> dataset.name
        'noisy_linear n_dims=5 noise_std=0.25'
    """
    task = config.task_config
    settings = {"n_dims": task.n_dims, **dict(task.settings)}
    words = [task.word, *(f"{name}={value:g}" for name, value in settings.items())]
    profile = {
        "n_examples": config.n_examples,
        "training": f"{config.batch_size} prompts drawn anew at each of {config.steps} steps",
        "held out": "prompts of a stream that no training reads",
    }
    dataset = Dataset(
        name=" ".join(words),
        digest=digest({"task": task.content, "n_examples": config.n_examples}),
        source_type="generated",
        source=json.dumps({"looped.tasks": task.content}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag(Tag.DATA_CONTEXT, "training")])
