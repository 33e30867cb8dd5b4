"""Draw and judge what the runs of an experiment show: figures, tables, claims, one page."""

import logging
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints import arguments
from looped.rules import require_whole, setting

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from analysis.report.content import Report


@dataclass(frozen=True)
class ReportOptions:
    """Which runs to report on, and where to."""

    task: str | None = setting(
        None, "as tagged, or with its settings, 'linear n_dims=10'; auto: all"
    )
    recipe: str | None = setting(
        None, "the tag recipe of the runs, or how it begins; auto: each task's most numerous"
    )
    sizes: str | None = setting(None, "those to show, as tiny,small; auto: all")
    bs: str | None = setting(None, "those to show, as 1,5,10; auto: all")
    resamples: int = setting(1000, "of the laws' bootstrap")
    out: str | None = setting(None, "folder to write the files to as well; auto: none")

    def __post_init__(self) -> None:
        require_whole("resamples", self.resamples, 100)
        arguments.words("sizes", self.sizes)
        arguments.loop_counts("bs", self.bs)


def main() -> int:
    """Read, draw, judge, log; return the exit code."""
    (options,) = arguments.parse("report", __doc__, ReportOptions)
    logging.basicConfig(format="%(message)s")
    # MLflow, pandas and matplotlib take seconds to load: only once the arguments are good
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    from analysis.report import content
    from analysis.report.subject import choose
    from analysis.runs import load
    from looped.tracking.launcher import current_experiment, fail_launcher

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    client = MlflowClient()
    try:
        experiment_id = current_experiment(client)
        runs = load.read_runs(client, experiment_id, with_training=True)
        subjects = choose(
            runs,
            load.baseline_nmse(client, experiment_id, runs),
            task=options.task,
            recipe=options.recipe,
            sizes=arguments.words("sizes", options.sizes),
            bs=arguments.loop_counts("bs", options.bs),
        )
        for subject in subjects:
            print(f"{subject.task}: {subject.account}")
        report = content.make(subjects, options.resamples)
        for reason in report.lacks:
            print(f"missing: {reason}")
        for line in _log(client, experiment_id, report, options):
            print(line)
    except (ValueError, OSError, MlflowException) as error:
        fail_launcher(client, str(error))
        return arguments.complain("report", error)
    return 0


def _log(
    client: "MlflowClient", experiment_id: str, report: "Report", options: ReportOptions
) -> list[str]:
    """Log the report to the run that ``mlflow run`` made or to a new one; say where it is."""
    from analysis.publish import report_log
    from analysis.report import files

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "report"
        title = f"Looped transformers: experiment {client.get_experiment(experiment_id).name}"
        files.write(folder, report, title)
        launched = os.environ.get("MLFLOW_RUN_ID")
        run_id = launched or str(client.create_run(experiment_id).info.run_id)
        client.update_run(run_id, name="report")
        when = round(time.time() * 1000)
        report_log.log_report(client, run_id, report, asdict(options), folder, when)
        if options.out:
            shutil.copytree(folder, options.out, dirs_exist_ok=True)
    if not launched:
        client.set_terminated(run_id, "FINISHED")
    counted = ", ".join(
        f"{count:.0f} {name.removeprefix('claims/').replace('_', ' ')}"
        for name, count in report_log.counts(report).items()
        if name.startswith("claims/")
    )
    lines = [f"claims: {counted}", f"page, figures and tables: artifacts report/ of run {run_id}"]
    return lines + ([f"and in {Path(options.out).resolve()}"] if options.out else [])


if __name__ == "__main__":
    sys.exit(main())
