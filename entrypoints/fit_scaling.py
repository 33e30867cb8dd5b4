"""Fit the scaling function E_LM = b(E_M) to the runs of an experiment, or to a table of losses."""

import logging
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints import table_law
from entrypoints.command_line import arguments, outcome, readers, terminal
from looped.grid.options import require_path
from looped.grid.places import runs_folder
from looped.names import Tag
from looped.rules import check_choices, require_whole, setting

if TYPE_CHECKING:
    from analysis.answers.answers import Answers
    from analysis.runs.logged_run import LoggedRun
    from analysis.runs.selection import Selection
    from looped.tracking.stores.store import Store

MEASURES = ("mean", "median")
FORMS = (
    "power", "power/per_size",
    *(f"logarithmic/{gain}" for gain in ("shared_gain", "of_E_M", "per_size")),
    *(
        f"{shape}/{gain}"
        for shape in ("saturating_power", "saturating_exponential")
        for gain in ("shared_gain", "of_E_M", "per_size", "all_per_size", "shared_ceiling")
    ),
    *(
        f"stretched_exponential/{gain}"
        for gain in ("shared_gain", "of_E_M", "per_size", "shared_ceiling")
    ),
    *(f"rise_and_fall/{gain}" for gain in ("shared_gain", "of_E_M", "per_size", "all_per_size")),
)  # fmt: skip
"""Names of ``analysis.scaling.FORMS``, which takes a second to load."""

OF_ANY_LAW = ("form", "loss", "clusters", "resamples", "seed")
OF_RUNS = ("task", "recipe", "measure", "weights", "runs_dir")


@dataclass(frozen=True)
class FitOptions:
    """Which runs to fit what to."""

    task: str | None = setting(None, "as tagged, or with its settings, 'linear n_dims=10'")
    recipe: str | None = setting(None, "the tag recipe of the runs, or how it begins")
    sizes: str | None = setting(None, "those to fit, as tiny,small; auto: all")
    bs: str | None = setting(None, "those to fit, as 1,5,10; auto: all")
    plateaued: bool = setting(False, "keep runs that never learned")
    measure: str = setting("mean", "E from the mean error over prompts, or the median", MEASURES)
    weights: str = setting(readers.AUTO, arguments.WEIGHTS_HELP, arguments.WEIGHTS)
    form: str | None = setting(
        None,
        f"to predict with, of {', '.join(FORMS)}, or your own, my_forms.py:hill; "
        "auto: the comparison chooses",
    )
    loss: str = setting("huber", "of residuals", ("huber", "soft_l1", "squared"))
    clusters: str = setting(
        "auto",
        "what errs by itself: each run, or a size's seed over all b; auto: seeds, if they recur",
        ("auto", "run", "seed"),
    )
    resamples: int = setting(1000, "resamples of the bootstrap")
    seed: int = setting(0, "seed of the bootstrap")
    register: bool | None = setting(
        None, "register the law; auto: that of runs, and not that of a table"
    )
    experiment: str | None = setting(None, arguments.EXPERIMENT_HELP)
    runs_dir: str | None = setting(
        None, "folder whose journals MLflow should hold as runs; auto: where train keeps them"
    )

    def __post_init__(self) -> None:
        check_choices(self)
        require_whole("resamples", self.resamples, 100)
        require_whole("seed", self.seed, 0)
        arguments.words("sizes", self.sizes)
        arguments.loop_counts("bs", self.bs)
        require_path("runs_dir", self.runs_dir)


@outcome.command("fit_scaling")
@terminal.keeping_all()
def main(result: outcome.Outcome) -> int:
    """Fit, answer, log; return the exit code: 1 as well where MLflow lacks finished trainings."""
    options, of_table = arguments.parse(
        "fit_scaling", __doc__, FitOptions, table_law.LossTableOptions
    )
    if of_table.table is not None:
        return _fit_table(of_table, options, result)
    logging.basicConfig(format="%(message)s")
    # MLflow and pandas take seconds to load: only once the arguments are known to be good
    from analysis.answers.answers import answer
    from analysis.answers.lengths.lengths import MANY_RUNS
    from analysis.answers.text import describe
    from analysis.runs import load, untold
    from analysis.runs.weights import of_weights
    from analysis.scaling.fit import fit_scaling
    from looped.records.journal import TrackingError
    from looped.tracking.experiments import open_to_read
    from looped.tracking.launcher import fail_launched
    from looped.tracking.stores.store import reachable

    try:
        store, remark = open_to_read(options.experiment)
    except (ValueError, TrackingError) as error:
        return arguments.complain("fit_scaling", error)
    arguments.remark(remark)
    code, shortfall = 0, ""
    try:
        with reachable():
            runs = load.read_runs(*store)
            shortfall = untold.shortfall(store, runs, str(runs_folder(options.runs_dir)))
            arguments.remark(shortfall)
            selection = _select(store, runs, options)
            all_runs = runs
            runs = of_weights(store.client, options.weights, selection.runs, all_runs)
            kept_ids = {run.run_id for run in runs}
            runs_without_mean = [run for run in all_runs if run.run_id not in kept_ids]
            selection, remark = from_b_1(_select(store, runs, options))
            arguments.remark(remark)
            if len(selection.runs) <= MANY_RUNS:
                curves = load.with_curves(store.client, selection.runs)
                selection = replace(selection, runs=curves)
            fit = fit_scaling(
                selection.table.assign(expressivity=selection.table[_column(options)]),
                form=options.form,
                loss=options.loss,
                clusters=options.clusters,
                resamples=options.resamples,
                seed=options.seed,
            )
            answers = answer(selection, fit, runs, options.resamples, runs_without_mean)
            print(describe(answers), end="")
            lines, unregistered = _log(store, answers, options, result)
            for line in lines:
                print(line)
            if unregistered:
                code = arguments.complain("fit_scaling", unregistered)
    except (ValueError, TrackingError) as error:
        fail_launched(store.client, str(error))
        code = arguments.complain("fit_scaling", error)
    arguments.remark(shortfall, sys.stderr)
    return code or int(bool(shortfall))


def _fit_table(
    of_table: table_law.LossTableOptions, options: FitOptions, result: outcome.Outcome
) -> int:
    of_law = {
        "sizes": arguments.words("sizes", options.sizes),
        "bs": arguments.loop_counts("bs", options.bs),
        "with_plateaued": options.plateaued,
        **{name: getattr(options, name) for name in OF_ANY_LAW},
    }
    for name in OF_RUNS:
        came, default = getattr(options, name), FitOptions.__dataclass_fields__[name].default
        if came != default:
            rule = f"{name} is of runs and must be {readers.AUTO if default is None else default}"
            return arguments.complain("fit_scaling", f"{rule} with a table, got {came}")
    return table_law.fit(of_table, of_law, options.experiment, bool(options.register), result)


def _column(options: FitOptions) -> str:
    return "expressivity" if options.measure == "mean" else "expressivity_median"


def _select(store: "Store", runs: "list[LoggedRun]", options: FitOptions) -> "Selection":
    from analysis.runs import load, selection

    return selection.select(
        runs,
        task=options.task,
        recipe=options.recipe,
        sizes=arguments.words("sizes", options.sizes),
        bs=arguments.loop_counts("bs", options.bs),
        with_plateaued=options.plateaued,
        bayes=load.bayes_nmse(*store, runs),
    )


def from_b_1(selection: "Selection") -> "tuple[Selection, str]":
    """Leave out sizes without runs at b = 1, whose E_M nothing measures, and say so in a line.

    Where no size has any, all stay: the law says what it takes.
    """
    from analysis.runs.selection import left_out_words, sizes_without_base

    table, sizes = selection.table, sizes_without_base(selection.table)
    if not sizes:
        return selection, ""
    selection_kept = replace(
        selection,
        table=table[~table["size"].isin(sizes)].reset_index(drop=True),
        runs=[run for run in selection.runs if run.config.size not in sizes],
    )
    return selection_kept, left_out_words(sizes)


def _log(
    store: "Store", answers: "Answers", options: FitOptions, result: outcome.Outcome
) -> tuple[list[str], str]:
    """Log the fit to the run that ``mlflow run`` made or to a new one.

    Returns:
        Lines that say where it is, and why its law is not registered although that was asked for.
    """
    from analysis.answers import files
    from analysis.publish import answers_log, law_registry
    from looped.tracking.launcher import command_run
    from looped.tracking.packaging import quietly
    from looped.tracking.ui import links
    from looped.tracking.ui.experiment import prepare_experiment

    client, lines, unregistered = store.client, [], ""
    named_version: tuple[str, str] | None = None
    prepare_experiment(store)
    with command_run(store, "fit_scaling") as run_id:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "scaling"
            files.write(folder, answers)
            when = round(time.time() * 1000)
            answers_log.log_answers(client, run_id, answers, asdict(options), folder, when)
        if options.register is not False:
            first = answers.selection.runs[0]
            name = law_registry.registered_name(first.task, first.config.prompt)
            tags = {
                Tag.TASK: first.task,
                Tag.RECIPE: first.config.recipe_identity,
                Tag.WEIGHTS: first.weights,
            }
            try:
                with quietly():
                    version, alias = law_registry.register(
                        client, run_id, answers.fit, name, tags, answers.selection.account
                    )
            except law_registry.LawRegistryError as error:  # takes nothing from the run
                unregistered = str(error)
            else:
                number = str(version.version)
                uri, named_version = f"models:/{name}/{number}", (name, number)
                result.tell(law=uri, champion=alias)
                lines.append(f'load it: mlflow.pyfunc.load_model("{uri}"); {alias}')
    links_of_law = links.of_law(store, run_id, named_version)
    result.tell_place(store, run_id, links_of_law)
    result.tell(
        form=answers.fit.best_form,
        status=answers.fit.status.name,
        verdict=answers.fit.verdict,
        numbers=answers_log.metrics(answers),
        files={"tables and figures": f"runs:/{run_id}/scaling"},
    )
    lines.append(links.written(links_of_law))
    return [f"tables and figures: artifacts scaling/ of run {run_id}", *lines], unregistered


if __name__ == "__main__":
    sys.exit(terminal.run(main))
