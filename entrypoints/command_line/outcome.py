"""What a command came to: said in words as it goes, and with ``--json`` as one object at its end.

With ``--json`` standard output holds that object and nothing else; what is said on the way goes to
standard error. ``docs/commands.md`` lists the fields.
"""

import contextlib
import functools
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from looped.tracking.stores.store import Store

FLAG = "--json"
HELP = "print one JSON object at the end on standard output, all else on standard error"

_problems: list[str] = []
"""What the command that runs complained of."""


class Outcome:
    """The object of one command, filled as the command goes.

    Args:
        command: its name.
        is_asked: whether it will be printed; MLflow is asked for nothing otherwise.
    """

    def __init__(self, command: str, is_asked: bool = False) -> None:
        self.is_asked = is_asked
        self.content: dict[str, Any] = {
            "command": command,
            "exit_code": 1,
            "problems": [],
            "store": None,
            "experiment": None,
            "run_id": None,
            "numbers": {},
            "files": {},
            "links": {},
        }

    def tell(self, **facts: object) -> None:
        """Set fields; where both are mappings, add to what is there."""
        for name, fact in facts.items():
            before = self.content.get(name)
            is_added = isinstance(before, dict) and isinstance(fact, Mapping)
            self.content[name] = {**before, **fact} if is_added else fact  # type: ignore[dict-item]

    def tell_place(
        self, store: "Store", run_id: str = "", links: Mapping[str, str] | None = None
    ) -> None:
        """Say where in MLflow it is: the store, the experiment, the run, and links to them.

        Args:
            store: told of it.
            run_id: of the command; empty where it made none.
            links: pages of MLflow's UI, by what each is; the run's own where left out.
        """
        if not self.is_asked:
            return
        from looped.tracking.experiments import store_name
        from looped.tracking.ui.links import to_run

        experiment = store.client.get_experiment(store.experiment_id)
        self.tell(
            store=store_name(),
            experiment={"id": str(experiment.experiment_id), "name": experiment.name},
            run_id=run_id or None,
            links=links or ({"this run": to_run(store.experiment_id, run_id)} if run_id else {}),
        )

    def text(self) -> str:
        """Write the object as JSON, in which a number that is none is null."""
        return json.dumps(_plain(self.content), indent=2)


def command(name: str) -> Callable[[Callable[[Outcome], int]], Callable[[], int]]:
    """Make a command's ``main`` of what it does, which is given an outcome to fill."""

    def decorate(body: Callable[[Outcome], int]) -> Callable[[], int]:
        @functools.wraps(body)
        def main() -> int:
            outcome = Outcome(name, is_asked(sys.argv))
            _problems.clear()
            if not outcome.is_asked:
                return body(outcome)
            with _standard_output_kept() as output:
                try:
                    code = body(outcome)
                    outcome.tell(exit_code=code)
                    return code
                except SystemExit as end:
                    outcome.tell(exit_code=end.code)
                    raise
                finally:
                    outcome.tell(problems=list(_problems))
                    with contextlib.suppress(BrokenPipeError):
                        print(outcome.text(), file=output, flush=True)

        return main

    return decorate


def note_problem(line: str) -> None:
    """Remember what was complained of, for the object."""
    _problems.append(line)


def is_asked(words: Sequence[str]) -> bool:
    """Tell whether a command line asks for the object: ``--json``, or what MLflow makes of it.

    Example:
        >>> is_asked(["--json"]), is_asked(["--json", "true", "--b", "5"])
        (True, True)
        >>> is_asked(["--json", "false"]), is_asked(["--json", "speed.json"])
        (False, False)
    """
    return without_flag(words) != list(words) and FLAG in words and not _is_refused(words)


def without_flag(words: Sequence[str]) -> list[str]:
    """Leave out ``--json`` and the truth after it; with another word after it, it is an option.

    Example:
        >>> without_flag(["--json", "--b", "5"]), without_flag(["--json", "True"])
        (['--b', '5'], [])
        >>> without_flag(["--json", "speed.json"])
        ['--json', 'speed.json']
    """
    if FLAG not in words:
        return list(words)
    place = list(words).index(FLAG)
    value = words[place + 1 : place + 2]
    if value and value[0].lower() in ("true", "false"):
        return [*words[:place], *words[place + 2 :]]
    if value and not value[0].startswith("--"):
        return list(words)
    return [*words[:place], *words[place + 1 :]]


def _is_refused(words: Sequence[str]) -> bool:
    place = list(words).index(FLAG)
    return [word.lower() for word in words[place + 1 : place + 2]] == ["false"]


@contextlib.contextmanager
def _standard_output_kept() -> Iterator[TextIO]:
    """Send to standard error what is printed, by child processes as well; yield the output."""
    output = sys.stdout
    kept_number = None
    with contextlib.suppress(io.UnsupportedOperation, OSError, AttributeError):
        number = output.fileno()
        output.flush()
        kept_number = os.dup(number)
        os.dup2(sys.stderr.fileno(), number)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            if kept_number is None:
                yield output
            else:
                with os.fdopen(os.dup(kept_number), "w") as own_output:
                    yield own_output
    finally:
        if kept_number is not None:
            os.dup2(kept_number, number)
            os.close(kept_number)


def _plain(value: Any) -> Any:
    """Turn what NumPy and paths are into what JSON has."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(value, "item"):
        return _plain(value.item())
    return str(value)
