"""What the registry says of a model and of each of its versions, in Markdown."""

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.config import TrainConfig


def create_if_missing(client: MlflowClient, name: str, description: str) -> None:
    """Make a registered model of a name, unless it is there: what that says of itself stays."""
    try:
        client.create_registered_model(name, description=description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def describe_model(config: TrainConfig) -> str:
    """Say what the versions of a registered model have in common.

    Args:
        config: of the training of any of them.
    """
    return (
        f"Looped transformers of the size `{config.size}`, trained on "
        f"{config.task_config.title} in {config.n_dims} dimensions with {config.n_examples} "
        f"examples in a prompt ({config.prompt} prompt).\n\n"
        "Each version is one training, at its own b and seed; `best` is the one with the lowest "
        "held-out error. `n_loops`, how often to loop, is a parameter of each call.\n"
    )


def describe_version(config: TrainConfig, nmse: float) -> str:
    """Say what a version is.

    Args:
        config: of its training.
        nmse: held-out error after b loops.

    Example:
        >>> describe_version(TrainConfig(), 0.01234).splitlines()[0]
        '**tiny-b5-s42**: NMSE 0.01234 after b = 5 loops on held-out prompts.'
    """
    loops = f"b = {config.b} {'loop' if config.b == 1 else 'loops'}"
    return (
        f"**{config.name}**: NMSE {nmse:.4g} after {loops} on held-out prompts.\n\n"
        f"{config.model_config.n_params():,} parameters, {config.steps:,} steps of "
        f"{config.batch_size} prompts, seed {config.seed}; the run's note says more.\n"
    )
