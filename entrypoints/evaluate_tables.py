"""Give a model of linear regression real tables to predict, beside least squares and ridge."""

import logging
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.command_line import arguments, outcome, terminal
from looped.names import Metric
from looped.rules import require, require_whole, setting

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from looped.evaluation.tables import TableEvaluation


@dataclass(frozen=True)
class TableOptions:
    """Which model, which tables, how far."""

    run_id: str | None = setting(None, "a training run")
    model: str | None = setting(None, "a registered model, models:/<name>@best, in place of a run")
    task: str | None = setting(None, arguments.TASK_HELP)
    table: str | None = setting(None, "name of a table; auto: every table that fits the model")
    b_max: int = setting(50, "loops to run")
    n_prompts: int = setting(2560, "prompts drawn from each table")

    def __post_init__(self) -> None:
        require_whole("b_max", self.b_max, 1)
        require_whole("n_prompts", self.n_prompts, 2)
        both = f"run_id={self.run_id} and model={self.model}"
        require((self.run_id is None) != (self.model is None), "give run_id or model", both)


@outcome.command("evaluate_tables")
def main(result: outcome.Outcome) -> int:
    """Evaluate a model on tables, log it to the model's run; return the exit code."""
    (options,) = arguments.parse("evaluate_tables", __doc__, TableOptions)
    logging.basicConfig(format="%(message)s")
    # torch and MLflow take seconds to load: only once the arguments are known to be good
    from looped.evaluation.tables import TABLES, check_fits, evaluate_table
    from looped.records.journal import TrackingError
    from looped.tasks.own import reference_of
    from looped.tasks.task_config import TaskConfig
    from looped.tracking import registry
    from looped.tracking.experiments import open_by_reference
    from looped.tracking.launcher import fail_launched
    from looped.tracking.runs import UnknownModelError, run_of
    from looped.tracking.stores.store import reachable

    try:
        if options.task is not None:
            reference_of(options.task)
        store = open_by_reference()
    except (ValueError, TrackingError) as error:
        return arguments.complain("evaluate_tables", error)
    client = store.client
    try:
        with reachable():
            run_id = run_of(client, str(options.run_id or options.model))
            model, facts = registry.load_with_facts(run_id)
            task = TaskConfig(**facts["task"])
            task.kind  # noqa: B018  # one of one's own must be here
            shape = (task, model.config.n_dims, model.config.n_points - 1)
            results = {}
            for table in [options.table] if options.table else TABLES:
                try:
                    check_fits(*shape, table)
                except ValueError as error:
                    if options.table:
                        raise
                    print(f"{table} is left out: {error}")
                    continue
                results[table] = evaluate_table(model, table, options.b_max, options.n_prompts)
                print("\n".join(_say(table, results[table], int(facts["b"]))))
            rule = "a table must fit the model"
            require(bool(results), rule, f"{task.word} in {shape[1]} dimensions")
            _log(client, run_id, results, int(facts["b"]))
            experiment_id = str(client.get_run(run_id).info.experiment_id)
            result.tell_place(store._replace(experiment_id=experiment_id), run_id)
            result.tell(
                numbers={table: _numbers(results[table]) for table in results},
                files={"table and figure": f"runs:/{run_id}/tables"},
            )
    except (UnknownModelError, ValueError, TrackingError, OSError) as error:
        fail_launched(client, str(error))
        return arguments.complain("evaluate_tables", error)
    return 0


def _numbers(result: "TableEvaluation") -> dict[str, list[float]]:
    """Give the NMSE of each predictor: the model's after every loop, others' alone."""
    predictors = {"model": result.model, **result.baselines}
    return {name: list(map(float, errors.nmse)) for name, errors in predictors.items()}


def _say(table: str, result: "TableEvaluation", b: int) -> list[str]:
    """Give each predictor's NMSE and its standard error, a line each."""
    last = len(result.model.nmse)
    rows = [(f"model, {loop} loops", result.model, loop - 1) for loop in sorted({b, last})]
    rows += [(name.replace("_", " "), errors, 0) for name, errors in result.baselines.items()]
    return [
        f"{table:14} {label:18} NMSE {errors.nmse[i]:7.4f} ± {errors.nmse_se[i]:.4f}"
        for label, errors, i in rows
        if i < last
    ]


def _log(
    client: "MlflowClient", run_id: str, results: dict[str, "TableEvaluation"], b: int
) -> None:
    """Log to the training run: metrics over loops, a table of numbers and a figure."""
    from looped.drawing import save
    from looped.evaluation import figures
    from looped.evaluation.files import write_csv
    from looped.tracking.launcher import note_on_launched
    from looped.tracking.metrics import log_series

    curves = {table: list(map(float, result.model.nmse)) for table, result in results.items()}
    level = {
        table: {name: float(errors.nmse[0]) for name, errors in result.baselines.items()}
        for table, result in results.items()
    }
    log_series(client, run_id, {Metric.TABLES + table: curve for table, curve in curves.items()})
    rows = [
        (table, name, loop, nmse, se, median)
        for table, result in results.items()
        for name, errors in {"model": result.model, **result.baselines}.items()
        for loop, (nmse, se, median) in enumerate(
            zip(errors.nmse, errors.nmse_se, errors.median, strict=True), 1
        )
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        header = ["table", "predictor", "loop", "nmse", "nmse_se", "relative_median"]
        write_csv(folder / "tables.csv", header, rows)
        save(figures.tables(b, curves, level), folder / "tables")
        client.log_artifacts(run_id, temporary, "tables")
    note_on_launched(client, "evaluate_tables", f"Logged to run {run_id}, `tables/`.")


if __name__ == "__main__":
    sys.exit(terminal.run(main))
