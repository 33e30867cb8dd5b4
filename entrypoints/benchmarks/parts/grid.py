"""What a grid takes for each cell beside its training."""

from entrypoints.benchmarks import commands
from entrypoints.benchmarks.workbench import Rows, Workbench

FEW, MANY = 2, 8
KINDS = {
    "offline": {"tracking": "offline", "evaluate": "false", "register": "false"},
    "online": {"tracking": "online", "evaluate": "false", "register": "false"},
    "online-evaluated": {"tracking": "online", "evaluate": "true", "register": "false"},
    "online-registered": {"tracking": "online", "evaluate": "true", "register": "true"},
}


def measure(bench: Workbench) -> Rows:
    """Time grids of few and of many cells of one step each, by one worker, one after another.

    The difference tells what a cell takes, the rest what the grid takes by itself.
    """
    cell = bench.smallest_config
    common = ("prompt", "n_examples", "batch_size", "precision", "device")
    for name, options in KINDS.items():
        with commands.temporary_place() as place:
            if options["tracking"] == "online":
                commands.make_store(place)
            settings = {key: getattr(cell, key) for key in common} | options
            settings |= {"sizes": cell.size, "bs": cell.b, "steps": 1, "workers": 1}
            settings["b_max"] = cell.b + 1  # what further loops take is no overhead
            if options["evaluate"] == "true":  # the baselines are scored once for all
                warm = {"seeds": "999", "runs_dir": place.folder / "runs"}
                commands.run(place, "grid", settings | warm)
            courses = []
            for n_cells in (FEW, MANY):
                seeds = ",".join(str(1000 * n_cells + seed) for seed in range(n_cells))
                changes = {"seeds": seeds, "runs_dir": place.folder / "runs"}
                courses.append(commands.run(place, "grid", settings | changes))
        few, many = courses
        per_cell = (many.seconds - few.seconds) / (MANY - FEW)
        yield {
            "name": f"grid-{name}",
            "kind": name.replace("-", ", "),
            "few": FEW,
            "many": MANY,
            "few_s": few.seconds,
            "many_s": many.seconds,
            "per_cell_s": per_cell,
            "per_cell_processor_s": (many.processor - few.processor) / (MANY - FEW),
            "fixed_s": few.seconds - FEW * per_cell,
        }
