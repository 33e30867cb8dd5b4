"""Write the tables of docs/findings.md anew from the kept trainings of results."""

import sys
from dataclasses import dataclass

from entrypoints import arguments, outcome, terminal
from looped.grid.options import require_path
from looped.grid.places import expanded
from looped.rules import setting


@dataclass(frozen=True)
class FindingsOptions:
    """What to read, and which page to fill."""

    results: str = setting("results", "the folder of kept trainings")
    page: str = setting("docs/findings.md", "the page, whose marks say where tables go")
    check: bool = setting(False, "change nothing, and fail if the page would change")

    def __post_init__(self) -> None:
        require_path("results", self.results)
        require_path("page", self.page)


@outcome.command("findings")
def main(result: outcome.Outcome) -> int:
    """Fill the page, or say whether it is as it would be filled; return the exit code."""
    (options,) = arguments.parse("findings", __doc__, FindingsOptions)
    # pandas and SciPy take a second to load: only once the arguments are known to be good
    from analysis.findings.page import fill
    from analysis.findings.tables import tables_of
    from looped.records.files import write_atomically

    results, page = expanded(options.results), expanded(options.page)
    if not list(results.glob("*/*/journal.jsonl")):
        rule = "results must hold folders of trainings"
        return arguments.complain("findings", f"{rule}, got {results}")
    try:
        before = page.read_text("utf-8")
        after = fill(before, tables_of(results))
    except (OSError, ValueError) as error:
        return arguments.complain("findings", error)
    result.tell(files={"page": str(page)})
    if before == after:
        print(f"{page} is as {results} has it")
        return 0
    if options.check:
        rule = f"{page} must be as `make findings` writes it from {results}"
        return arguments.complain("findings", f"{rule}, got other tables")
    write_atomically(page, after.encode())
    print(f"{page} is written anew from {results}")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
