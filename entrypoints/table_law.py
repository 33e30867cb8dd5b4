"""The law of a table of losses: what ``fit_scaling`` does when it is given one."""

import logging
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entrypoints.command_line import arguments, outcome
from looped.grid.options import require_path
from looped.grid.places import expanded
from looped.rules import check_choices, require, setting

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from analysis.loss_tables.laws import TableFit
    from looped.tracking.stores.store import Store

UNITS = ("nmse", "mse", "nats", "bits", "bpb", "perplexity", "expressivity")
"""Names of ``analysis.loss_tables.units.UNITS``, which takes a second to load."""


@dataclass(frozen=True)
class LossTableOptions:
    """Which table to fit in place of runs, and what its losses are."""

    table: str | None = setting(
        None, "file of losses to fit in place of runs: .csv, .tsv, .jsonl or .parquet"
    )
    columns: str | None = setting(
        None,
        "what the table calls size, b, seed, value, value_se, loop, n_params, n_once, n_rec and "
        "length, as size=model,b=r,value=loss; auto: by these names",
    )
    where: str | None = setting(
        None, "rows of the table to take, as sampled=0,split=val; auto: all"
    )
    unit: str | None = setting(None, f"of the table's losses, one of {', '.join(UNITS)}")
    bits: str = setting(
        "ratio",
        "how a loss becomes bits: log2 of reference / loss (half of it for squared errors), or "
        "reference - loss",
        ("ratio", "difference"),
    )
    reference: float | None = setting(
        None, "loss at which E is 0; auto: 1 for nmse, else so that the largest at b = 1 is 2 bits"
    )
    floor: float | None = setting(None, "part of the loss that no model goes below; auto: none")
    out: str | None = setting(
        None, "folder for what comes of a table; without `mlflow run` MLflow is then left alone"
    )

    def __post_init__(self) -> None:
        check_choices(self)
        require_path("table", self.table)
        require_path("out", self.out)
        pairs("columns", self.columns)
        pairs("where", self.where)
        if self.table is None:
            for name in ("columns", "where", "unit", "reference", "floor", "out"):
                came = getattr(self, name)
                require(came is None, f"{name} is of a table, which must be given (table)", came)
            return
        rule = f"unit must be one of {', '.join(UNITS)} with a table"
        hint = "" if self.unit is None else arguments.close(self.unit, UNITS)
        require(self.unit in UNITS, rule, f"{self.unit or 'none'}{hint}")


def pairs(name: str, text: str | None) -> dict[str, str]:
    """Read pairs, as ``size=model,b=r``.

    Raises:
        ValueError: something is no pair, or a name is said twice.

    Example:
        >>> pairs("columns", "size=model,b=r")
        {'size': 'model', 'b': 'r'}
    """
    mapping: dict[str, str] = {}
    for word in arguments.words(name, text) or ():
        left, sign, right = (part.strip() for part in word.partition("="))
        rule = f"{name} must be pairs with commas between them, as name=value"
        require(bool(left and sign and right), rule, word)
        require(left not in mapping, f"{name} must name each thing once", f"{left} twice")
        mapping[left] = right
    return mapping


def fit(
    options: LossTableOptions,
    of_law: Mapping[str, Any],
    experiment: str | None,
    register: bool,
    result: outcome.Outcome,
) -> int:
    """Fit, print, write, log; return the exit code.

    Args:
        options: which table.
        of_law: how its law is asked for, as ``laws.fit_table`` takes it.
        experiment: to log to, by name; made if it is not there.
        register: whether to register the law.
        result: what the command came to.
    """
    from mlflow.tracking import MlflowClient

    from analysis.loss_tables import text, written
    from analysis.loss_tables.laws import fit_table
    from looped.records.journal import TrackingError
    from looped.tracking.launcher import fail_launched, launched_run
    from looped.tracking.stores.store import open_store, reachable

    logging.basicConfig(format="%(message)s")
    try:
        table_fit = fit_table(
            expanded(str(options.table)),
            str(options.unit),
            columns=pairs("columns", options.columns),
            where=pairs("where", options.where),
            bits=options.bits,
            reference=options.reference,
            floor=options.floor,
            **of_law,
        )
        print(text.describe(table_fit), end="")
        is_told = options.out is None or register or launched_run() is not None
        unregistered = ""
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "scaling" if options.out is None else expanded(options.out)
            written.write(folder, table_fit)
            _tell(result, table_fit)
            if options.out is not None:
                _write_law(folder, table_fit, result)
            if is_told:
                store = open_store(lambda client: _experiment(client, experiment))
                with reachable():
                    unregistered = _log(store, table_fit, options, of_law, folder, register, result)
    except (ValueError, OSError, TrackingError) as error:
        if launched_run():
            fail_launched(MlflowClient(), str(error))
        return arguments.complain("fit_scaling", error)
    return arguments.complain("fit_scaling", unregistered) if unregistered else 0


def _experiment(client: "MlflowClient", name: str | None) -> str:
    from looped.tracking.stores.store import current_experiment

    if name is None:
        return current_experiment(client)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return str(client.create_experiment(name))
    require(experiment.lifecycle_stage == "active", "experiment must not be deleted", name)
    return str(experiment.experiment_id)


def _tell(result: outcome.Outcome, table_fit: "TableFit") -> None:
    from analysis.publish.answers_log import law_metrics

    law = table_fit.fit
    if isinstance(law, str):
        result.tell(form=None, status=None, verdict=law)
    else:
        result.tell(form=law.best_form, status=law.status.name, verdict=law.verdict)
    result.tell(numbers=law_metrics(law, table_fit.joint), account=table_fit.account)


def _write_law(folder: Path, table_fit: "TableFit", result: outcome.Outcome) -> None:
    """Put the law beside the other files, for ``predict_scaling``."""
    import shutil

    from analysis.publish import law_packaging, table_log
    from looped.tracking.packaging import quietly

    result.tell(files={"tables and figures": str(folder.resolve())})
    print(f"tables and figures: {folder}")
    if isinstance(table_fit.fit, str):
        return
    path = folder / law_packaging.ARTIFACT
    shutil.rmtree(path, ignore_errors=True)
    conversion = table_log.conversion_text(table_fit)
    with quietly():
        law_packaging.save_for_serving(path, table_fit.fit, "", table_fit.account, conversion)
    size, b = table_fit.fit.run_table.sizes[0], 2 * int(table_fit.fit.run_table.bs[-1])
    print(f"predict by it: looped predict --law {path} --size {size} --b {b}")
    result.tell(law=str(path.resolve()))


def _log(
    store: "Store",
    table_fit: "TableFit",
    options: LossTableOptions,
    of_law: Mapping[str, Any],
    folder: Path,
    register: bool,
    result: outcome.Outcome,
) -> str:
    """Log to the run that ``mlflow run`` made or to a new one; say where it is.

    Returns:
        Why its law is not registered although that was asked for; empty otherwise.
    """
    from analysis.publish import table_log
    from analysis.publish.law_registry import LawRegistryError
    from looped.tracking.launcher import command_run
    from looped.tracking.packaging import quietly
    from looped.tracking.ui import links
    from looped.tracking.ui.experiment import prepare_experiment

    prepare_experiment(store)
    named_version: tuple[str, str] | None = None
    unregistered = ""
    options_asked = {**vars(options), **of_law, "register": register}
    with command_run(store, "fit_scaling") as run_id:
        when = round(time.time() * 1000)
        table_log.log_table_fit(store.client, run_id, table_fit, options_asked, folder, when)
        if register and isinstance(table_fit.fit, str):
            unregistered = f"register=true must be of a law, got none ({table_fit.fit})"
        elif register:
            try:
                with quietly():
                    name, version, standing = table_log.register_table_law(
                        store.client, run_id, table_fit
                    )
            except LawRegistryError as error:  # takes nothing from the run
                unregistered = str(error)
            else:
                named_version, uri = (name, version), f"models:/{name}/{version}"
                result.tell(law=uri, champion=standing)
                print(f'load it: mlflow.pyfunc.load_model("{uri}"); {standing}')
    pages = links.of_law(store, run_id, named_version)
    if isinstance(table_fit.fit, str):
        pages = {"the run": pages["the law"]}
    result.tell_place(store, run_id, pages)
    result.tell(files={"artifacts": f"runs:/{run_id}/scaling"})
    print(f"tables and figures: artifacts scaling/ of run {run_id}")
    print(links.written(pages))
    return unregistered
