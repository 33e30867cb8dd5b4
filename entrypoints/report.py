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

from entrypoints.command_line import arguments, outcome, readers, terminal
from looped.grid.options import require_path
from looped.grid.places import expanded, runs_folder
from looped.names import Metric, Weights
from looped.rules import check_choices, require_whole, setting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analysis.report.content import Report
    from analysis.report.subject import Subject
    from analysis.runs.logged_run import LoggedRun
    from looped.config import TrainConfig
    from looped.tracking.stores.store import Store


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
    clusters: str = setting(
        "auto",
        "what errs by itself: each run, or a size's seed over all b; auto: seeds, if they recur",
        ("auto", "run", "seed"),
    )
    weights: str = setting(readers.AUTO, arguments.WEIGHTS_HELP, arguments.WEIGHTS)
    resamples: int = setting(1000, "of the laws' bootstrap")
    claims: str | None = setting(
        None, "claims of your own to judge, as my_claims.py:loops_help, with commas between them"
    )
    figures: str | None = setting(
        None, "figures of your own to draw, as my_figures.py:seeds, with commas between them"
    )
    experiment: str | None = setting(None, arguments.EXPERIMENT_HELP)
    out: str | None = setting(None, "folder to write the files to as well; auto: none")
    runs_dir: str | None = setting(
        None, "folder whose journals MLflow should hold as runs; auto: where train keeps them"
    )

    def __post_init__(self) -> None:
        check_choices(self)
        require_whole("resamples", self.resamples, 100)
        arguments.words("sizes", self.sizes)
        arguments.loop_counts("bs", self.bs)
        arguments.words("claims", self.claims)
        arguments.words("figures", self.figures)
        require_path("runs_dir", self.runs_dir)
        require_path("out", self.out)


@outcome.command("report")
@terminal.keeping_all()
def main(result: outcome.Outcome) -> int:
    """Read, draw, judge, log; return the exit code."""
    (options,) = arguments.parse("report", __doc__, ReportOptions)
    logging.basicConfig(format="%(message)s")
    # MLflow, pandas and matplotlib take seconds to load: only once the arguments are good
    from analysis.answers.lengths.claims import ALL_CLAIMS
    from analysis.claims.rules import rules_digests, rules_reading
    from analysis.report import content
    from analysis.report.own_parts import find
    from analysis.runs import load, untold
    from analysis.runs.weights import of_weights
    from looped.records.journal import TrackingError
    from looped.tracking.experiments import open_to_read
    from looped.tracking.launcher import fail_launched
    from looped.tracking.stores.store import reachable

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        own_parts = find(
            arguments.words("claims", options.claims), arguments.words("figures", options.figures)
        )
        store, remark = open_to_read(options.experiment)
    except (ValueError, TrackingError) as error:
        return arguments.complain("report", error)
    arguments.remark(remark)
    code, shortfall = 0, ""
    try:
        with reachable():
            runs = load.read_runs(*store, with_training=True)
            shortfall = untold.shortfall(store, runs, str(runs_folder(options.runs_dir)))
            arguments.remark(shortfall)
            baselines = load.baseline_nmse(*store, runs)
            subjects = _choose(runs, baselines, options)
            is_asked = options.weights == Weights.TAIL  # then other recipes may lack it
            groups = [each.runs if is_asked else each.runs_of_task for each in subjects]
            compared_runs = [run for group in groups for run in group if run.is_evaluated]
            runs = of_weights(store.client, options.weights, compared_runs, runs)
            ids = {run.run_id for run in compared_runs}
            runs = load.with_prompt_errors(store.client, runs, ids)
            subjects = _choose(runs, baselines, options)
            for subject in subjects:
                print(f"{subject.task}: {subject.account}")
            runs_judged = [run for subject in subjects for run in subject.runs_of_task]
            kept_rules = load.kept_rules(store.client, runs_judged)
            rules = rules_reading(kept_rules, rules_digests(ALL_CLAIMS))
            report = content.make(subjects, options.resamples, rules, options.clusters, own_parts)
            arguments.remark(report.rules)
            for reason in report.lacks:
                print(f"missing: {reason}")
            configs = {run.run_id: run.config for run in runs}
            for line in _log(store, report, options, result, configs):
                print(line)
            for task, text in report.headlines.items():
                print(f"{task}: {text}")
            for line in report.own_verdicts:
                print(line)
    except (ValueError, OSError, TrackingError) as error:
        fail_launched(store.client, str(error))
        code = arguments.complain("report", error)
    arguments.remark(shortfall, sys.stderr)
    return code or int(bool(shortfall))


def _choose(
    runs: "Sequence[LoggedRun]",
    baselines: "Mapping[str, Mapping[str, float]]",
    options: ReportOptions,
) -> "list[Subject]":
    from analysis.report import subject

    return subject.choose(
        runs,
        baselines,
        task=options.task,
        recipe=options.recipe,
        sizes=arguments.words("sizes", options.sizes),
        bs=arguments.loop_counts("bs", options.bs),
    )


def _log(
    store: "Store",
    report: "Report",
    options: ReportOptions,
    result: outcome.Outcome,
    configs: "Mapping[str, TrainConfig]",
) -> list[str]:
    """Log the report to the run that ``mlflow run`` made or to a new one; say where it is."""
    from analysis.publish import report_log
    from analysis.report import files
    from looped.tracking.launcher import command_run
    from looped.tracking.ui import cells, links
    from looped.tracking.ui.experiment import prepare_experiment

    client = store.client
    prepare_experiment(store)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "report"
        title = f"Looped transformers: experiment {client.get_experiment(store.experiment_id).name}"
        files.write(folder, report, title)
        if options.out:  # before MLflow is told, which may let this user only read
            shutil.copytree(folder, expanded(options.out), dirs_exist_ok=True)
        with command_run(store, "report") as run_id:
            when = round(time.time() * 1000)
            report_log.log_report(client, run_id, report, asdict(options), folder, when)
    cells.show_cells(store, known_configs=configs)
    counts = ", ".join(
        f"{count:.0f} {name.removeprefix(Metric.CLAIMS).replace('_', ' ')}"
        for name, count in report_log.counts(report).items()
        if name.startswith(Metric.CLAIMS)
    )
    folder_here = expanded(options.out).resolve() if options.out else None
    links_of_report = links.of_report(store, run_id, folder_here)
    result.tell_place(store, run_id, links_of_report)
    result.tell(
        numbers=report_log.counts(report),
        missing=list(report.lacks),
        files={"page": f"runs:/{run_id}/report/report.html"}
        | ({} if folder_here is None else {"folder": folder_here}),
    )
    lines = [f"claims: {counts}", f"page, figures and tables: artifacts report/ of run {run_id}"]
    lines += [] if folder_here is None else [f"and in {folder_here}"]
    return [*lines, links.written(links_of_report)]


if __name__ == "__main__":
    sys.exit(terminal.run(main))
