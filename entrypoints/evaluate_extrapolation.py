"""Run trained models far beyond their b, beside what a statistician would predict."""

import logging
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.command_line import arguments, outcome, terminal
from looped.counting import counted
from looped.grid.options import require_path
from looped.grid.places import runs_folder
from looped.grid.stopping import StopRequest
from looped.names import Metric, Param, Tag
from looped.rules import require, require_whole, setting

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

    from looped.evaluation.evaluation import Evaluation
    from looped.model import LoopedTransformer
    from looped.tracking.stores.store import Store


@dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate, and how far."""

    run_id: str | None = setting(None, "a training run; auto: all without such an evaluation")
    model: str | None = setting(None, "a registered model, models:/<name>@best, in place of a run")
    task: str | None = setting(None, arguments.TASK_HELP)
    metric: str | None = setting(
        None, "a metric of your own to log beside the error, as my_metrics.py:within_tenth"
    )
    b_max: int = setting(50, "loops to run")
    n_prompts: int = setting(12_800, "held-out prompts, the same for every model")
    experiment: str | None = setting(None, arguments.EXPERIMENT_HELP)
    runs_dir: str | None = setting(
        None, "folder that keeps the baselines' scores; auto: where train keeps runs"
    )

    def __post_init__(self) -> None:
        require_whole("b_max", self.b_max, 1)
        require_whole("n_prompts", self.n_prompts, 2)
        require_path("runs_dir", self.runs_dir)
        both = f"{self.run_id} and {self.model}"
        require(self.run_id is None or self.model is None, "give run_id or model, not both", both)


class _Stopped(Exception):  # noqa: N818
    """The evaluation was asked to stop."""


@outcome.command("evaluate_extrapolation")
def main(result: outcome.Outcome) -> int:
    """Evaluate what was chosen; return the exit code."""
    (options,) = arguments.parse("evaluate_extrapolation", __doc__, EvaluateOptions)
    stop_request = StopRequest()
    logging.basicConfig(format="%(message)s")
    # torch and MLflow take seconds to load: only once the arguments are known to be good
    from looped.records.folder import FolderInUseError
    from looped.records.journal import TrackingError
    from looped.records.model_files import DamagedModelError
    from looped.tracking.launcher import fail_launched, note_on_launched
    from looped.tracking.runs import UnknownModelError, run_of
    from looped.tracking.stores.store import reachable
    from looped.training.progress import Progress

    progress = Progress()

    def show(name: str, prompts_done: int, n_prompts: int) -> None:
        if stop_request():
            raise _Stopped
        progress.show_evaluation(name, prompts_done, n_prompts)

    reference = options.run_id or options.model
    code, lines, run_ids = 0, [], []
    numbers: dict[str, dict[str, float]] = {}
    try:
        store = _open(options, reference)
    except (ValueError, TrackingError) as error:
        return arguments.complain("evaluate_extrapolation", error)
    try:
        with reachable():
            run_ids = (
                [run_of(store.client, reference)] if reference else _unevaluated(store, options)
            )
            for run_id in run_ids:
                try:
                    line, numbers[run_id] = _evaluate(store.client, run_id, options, show)
                    lines.append(line)
                except (UnknownModelError, DamagedModelError) as error:
                    code = arguments.complain("evaluate_extrapolation", error)
                else:
                    print(lines[-1])
    except (UnknownModelError, ValueError, TrackingError, FolderInUseError, OSError) as error:
        fail_launched(store.client, str(error))
        return arguments.complain("evaluate_extrapolation", error)
    except _Stopped:
        reason = f"stopped after {len(lines)} of {counted(len(run_ids), 'model')}"
        fail_launched(store.client, reason, "KILLED")
        print(reason, file=sys.stderr)
        return stop_request.exit_code
    if not run_ids:
        print(
            f"every finished training of this experiment is evaluated to {options.b_max} loops "
            f"on {options.n_prompts:,} prompts or more"
        )
    nothing = "Nothing could be evaluated." if run_ids else "Nothing was left to evaluate."
    result.tell(numbers=numbers)
    note = "\n".join(f"- {line}" for line in lines) or nothing
    try:
        with reachable():
            note_on_launched(store.client, "evaluate_extrapolation", note)
            result.tell_place(store, run_ids[0] if len(run_ids) == 1 else "")
    except TrackingError as error:
        return arguments.complain("evaluate_extrapolation", error)
    return code


def _open(options: EvaluateOptions, reference: str | None) -> "Store":
    """Open the store: anywhere for what is named, else in an experiment, which is said."""
    from looped.plugins import loading
    from looped.tasks.own import reference_of
    from looped.tracking.experiments import open_by_reference, open_to_read

    if options.task is not None:
        reference_of(options.task)  # which is then known, wherever its file lies
    if options.metric is not None:
        loading.pin("metrics", options.metric)
    if reference:
        return open_by_reference()
    store, remark = open_to_read(options.experiment)
    arguments.remark(remark)
    return store


def _unevaluated(store: "Store", options: EvaluateOptions) -> list[str]:
    """Find the finished trainings that nobody evaluated so far or on so many prompts."""
    from looped.evaluation.behaviour import window_start
    from looped.tracking.runs import list_trainings

    def is_evaluated(run: "Run") -> bool:
        tags, params = run.data.tags, run.data.params
        b_max, n_prompts = (int(tags.get(tag, 0)) for tag in (Tag.EVALUATED_TO, Tag.EVALUATED_ON))
        b = int(params.get(Param.RESOLVED + "b", 1))
        is_untied = b > 1 and params.get(Param.RESOLVED + "tied") == "False"
        b_max_due = b if is_untied else options.b_max
        # what was evaluated before states were followed is evaluated again
        is_told = Tag.DYNAMICS in tags or is_untied or window_start(b, b_max_due) is None
        return b_max >= b_max_due and n_prompts >= options.n_prompts and is_told

    runs = list(list_trainings(*store))
    require(bool(runs), "the experiment must hold finished trainings", "none")
    return [run.info.run_id for run in runs if not is_evaluated(run)]


def _evaluate(
    client: "MlflowClient",
    run_id: str,
    options: EvaluateOptions,
    show: Callable[[str, int, int], None],
) -> tuple[str, dict[str, float]]:
    """Evaluate one training run's model, log it to that run; say in a line, and give, what came."""
    from looped import tasks
    from looped.evaluation import files, own_metric
    from looped.evaluation.baseline_scores import score_baselines
    from looped.evaluation.behaviour import say
    from looped.evaluation.dynamics import with_dynamics
    from looped.evaluation.evaluation import by_prompt
    from looped.evaluation.held_out import evaluate
    from looped.records.record_rules import KEPT_PROMPTS
    from looped.tasks.task_config import TaskConfig
    from looped.tracking import metrics, registry
    from looped.tracking.metrics import baselines_lock, log_baselines, log_evaluation

    run = client.get_run(run_id)
    _require_writable(client, run)
    model, facts = registry.load_with_facts(run_id)
    name, root = str(run.info.run_name), runs_folder(options.runs_dir)
    task, b = TaskConfig(**facts["task"]), int(facts["b"])
    n_examples = model.config.n_points - 1
    n_loops = options.b_max if model.config.n_stacks == 1 else b

    tail_model = registry.load_tail(run_id)
    n_in_all = options.n_prompts * (1 if tail_model is None else 2)

    def evaluation_of(model: "LoopedTransformer", before: int = 0) -> "Evaluation":
        def on_batch(prompts_done: int) -> None:
            show(name, before + prompts_done, n_in_all)

        task_to_draw = tasks.from_config(task)
        evaluation = evaluate(model, task_to_draw, n_loops, options.n_prompts, on_batch)
        return with_dynamics(model, task_to_draw, b, evaluation)

    evaluation = evaluation_of(model)
    tail_evaluation = (
        None if tail_model is None else evaluation_of(tail_model, before=options.n_prompts)
    )
    record = evaluation.record(b, tail_evaluation)
    summary = record["summary"]
    is_to_keep = options.n_prompts >= run.data.metrics.get(Metric.PROMPTS_KEPT, 0)
    # with trainings that end now, so that the baselines are scored and logged once
    with closing(baselines_lock(root)), tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scores = score_baselines(task, n_examples, n_loops, options.n_prompts, root)
        files.write(folder / "evaluation", name, b, record, scores)
        if is_to_keep and b <= options.b_max:
            kept_errors = by_prompt(evaluation, tail_evaluation, task, n_examples, b)
            record[KEPT_PROMPTS] = kept_errors.save(folder / "evaluation")
        log_evaluation(client, run_id, record)
        client.log_artifacts(run_id, str(folder / "evaluation"), "evaluation")
        log_baselines(client, run.info.experiment_id, task, n_examples, record, scores, root)
    ends = "" if model.config.n_stacks == 1 else "; untied, it has no loops beyond"
    if options.metric is not None:
        metric = own_metric.measure(model, task, n_loops, options.n_prompts, options.metric)
        metrics.log_series(client, run_id, metric.curves)
        ends += f"; {metric.words(min(b, n_loops))}"
    if evaluation.dynamics:
        ends = f"; {say(evaluation.dynamics)}{ends}"
    ends += f" ({counted(options.n_prompts, 'prompt')}; run {run_id})"
    dynamics = {Metric.DYNAMICS + key: value for key, value in record["dynamics"].items()}
    return f"{name}: {_say(summary, b)}{ends}", summary | dynamics


def _require_writable(client: "MlflowClient", run: "Run") -> None:
    """Write a tag as it is, so that a server that lets this user only read says so at once."""
    if Tag.KIND in run.data.tags:
        client.set_tag(run.info.run_id, Tag.KIND, run.data.tags[Tag.KIND])


def _say(summary: dict[str, float], b: int) -> str:
    at_end = f"{summary['nmse_at_b_max']:.4g} after {counted(summary['b_max'], 'loop')}"
    first, last = (round(summary[name]) for name in ("band_first", "band_last"))
    as_good = "no other is as good" if first == last else f"as good from {first} to {last}"
    best = f"best {summary['nmse_at_best']:.4g} after {summary['best_loop']:.0f} ({as_good})"
    if "nmse_at_b" not in summary:
        return f"NMSE {at_end}, {best}"
    return f"NMSE {summary['nmse_at_b']:.4g} after b = {b}, {at_end}, {best}"


if __name__ == "__main__":
    sys.exit(terminal.run(main))
