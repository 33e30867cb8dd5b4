"""Run trained models far beyond their b, beside what a statistician would predict."""

import logging
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints import arguments
from looped.grid.stopping import StopRequest
from looped.rules import require, require_whole, setting

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from entrypoints.progress import Progress


@dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate, and how far."""

    run_id: str | None = setting(None, "a training run; auto: all without such an evaluation")
    model: str | None = setting(None, "a registered model, models:/<name>@best, in place of a run")
    b_max: int = setting(50, "loops to run")
    n_prompts: int = setting(12_800, "held-out prompts, the same for every model")
    runs_dir: str = setting("runs", "folder that keeps the baselines' scores")

    def __post_init__(self) -> None:
        require_whole("b_max", self.b_max, 1)
        require_whole("n_prompts", self.n_prompts, 2)
        both = f"{self.run_id} and {self.model}"
        require(self.run_id is None or self.model is None, "give run_id or model, not both", both)


def main() -> int:
    """Evaluate what was chosen; return the exit code."""
    (options,) = arguments.parse("evaluate_extrapolation", __doc__, EvaluateOptions)
    should_stop = StopRequest()
    logging.basicConfig(format="%(message)s")
    # torch and MLflow take seconds to load: only once the arguments are known to be good
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    from entrypoints.progress import Progress
    from looped.records.model_files import DamagedModelError
    from looped.tracking.launcher import note_on_launcher
    from looped.tracking.registry import UnknownModelError, run_of

    client = MlflowClient()
    reference = options.run_id or options.model
    code, done = 0, []
    try:
        run_ids = [run_of(client, reference)] if reference else _waiting(client, options)
        for run_id in run_ids:
            progress = Progress(run_id, 0, should_stop)
            try:
                done.append(_evaluate(client, run_id, options, progress))
            except (UnknownModelError, DamagedModelError) as error:
                code = arguments.complain("evaluate_extrapolation", error)
            else:
                print(done[-1])
    except (UnknownModelError, MlflowException) as error:
        return arguments.complain("evaluate_extrapolation", error)
    except KeyboardInterrupt:
        print(f"stopped after {len(done)} of {len(run_ids)} models", file=sys.stderr)
        return should_stop.exit_code
    if not run_ids:
        print(
            f"every finished training of this experiment is evaluated to {options.b_max} loops "
            f"on {options.n_prompts:,} prompts or more"
        )
    nothing = "Nothing could be evaluated." if run_ids else "Nothing was left to evaluate."
    note = "\n".join(f"- {line}" for line in done) or nothing
    note_on_launcher(client, "evaluate_extrapolation", note)
    return code


def _waiting(client: "MlflowClient", options: EvaluateOptions) -> list[str]:
    """Find the finished trainings that nobody evaluated so far or on so many prompts."""
    from looped.tracking.launcher import current_experiment
    from looped.tracking.runs import trained_runs

    def is_done(tags: dict[str, str]) -> bool:
        b_max, prompts = (int(tags.get(f"evaluation.{name}", 0)) for name in ("b_max", "prompts"))
        return b_max >= options.b_max and prompts >= options.n_prompts

    runs = trained_runs(client, current_experiment(client))
    return [run.info.run_id for run in runs if not is_done(run.data.tags)]


def _evaluate(
    client: "MlflowClient", run_id: str, options: EvaluateOptions, progress: "Progress"
) -> str:
    """Evaluate one training run's model, log it to that run, and say in a line what came."""
    from looped import tasks
    from looped.config import TaskConfig
    from looped.evaluation import files
    from looped.evaluation.held_out import evaluate
    from looped.tracking import registry
    from looped.tracking.metrics import log_baselines, log_evaluation

    model, facts = registry.load_with_facts(run_id)
    run = client.get_run(run_id)
    progress.name = name = str(run.info.run_name)
    task, b = TaskConfig(**facts["task"]), int(facts["b"])
    n_examples = model.config.n_points - 1
    evaluation = evaluate(
        model,
        tasks.from_config(task),
        options.b_max,
        options.n_prompts,
        lambda done: progress.evaluated(done, options.n_prompts),
    )
    record = evaluation.record(b)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scores = files.compare(folder, name, b, task, n_examples, record, Path(options.runs_dir))
        log_evaluation(client, run_id, record)
        client.log_artifacts(run_id, str(folder / "evaluation"), "evaluation")
    experiment_id = run.info.experiment_id
    log_baselines(client, experiment_id, task, n_examples, record, scores)
    return f"{name}: {_say(record['summary'], b)} ({options.n_prompts:,} prompts; run {run_id})"


def _say(summary: dict[str, float], b: int) -> str:
    at_end = f"{summary['nmse_at_b_max']:.4g} after {summary['b_max']:.0f} loops"
    best = f"best {summary['nmse_at_best']:.4g} after {summary['best_loop']:.0f}"
    if "nmse_at_b" not in summary:
        return f"NMSE {at_end}, {best}"
    return f"NMSE {summary['nmse_at_b']:.4g} after b = {b}, {at_end}, {best}"


if __name__ == "__main__":
    sys.exit(main())
