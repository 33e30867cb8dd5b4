"""How long the commands take to begin."""

import statistics
from pathlib import Path

from entrypoints.benchmarks import commands
from entrypoints.benchmarks.workbench import Row, Rows, Workbench, cell_name


def measure(bench: Workbench) -> Rows:
    """Time ``--help`` of every command, then trainings up to the end of their first step."""
    rounds = bench.options.rounds
    with commands.temporary_place() as place:
        helps = [
            _row(
                f"startup-{name}-help",
                f"{name} --help",
                [commands.ask_for_help(place, name) for _ in range(rounds)],
            )
            for name in command_names()
        ]
        yield from sorted(helps, key=lambda row: -row["seconds"])
    with commands.temporary_place() as place:
        first_prompt = bench.options.prompts.partition(",")[0]
        few = (rounds + 1) // 2
        for config in bench.configs:
            if config.prompt != first_prompt:
                continue
            times = [commands.to_first_step(place, config, "offline") for _ in range(few)]
            what = f"train to its first step, {cell_name(config)}, offline"
            yield _row(f"startup-train-{cell_name(config)}", what, times)
        commands.make_store(place)
        config = bench.smallest_config
        times = [commands.to_first_step(place, config, "online") for _ in range(few)]
        what = f"train to its first step, {cell_name(config)}, online"
        yield _row(f"startup-train-{cell_name(config)}-online", what, times)


def command_names() -> list[str]:
    """Name the commands: the modules of this package's parent that run by themselves."""
    folder = Path(__file__).parents[2]
    return sorted(
        path.stem for path in folder.glob("*.py") if 'if __name__ == "__main__"' in path.read_text()
    )


def _row(name: str, what: str, courses: list[commands.Course]) -> Row:
    times = [course.seconds for course in courses]
    return {
        "name": name,
        "what": what,
        "seconds": statistics.median(times),
        "lowest": min(times),
        "highest": max(times),
        "processor": statistics.median(course.processor for course in courses),
    }
