"""Write the tables and pictures of docs/findings.md anew from the kept trainings of results."""

import sys
from dataclasses import dataclass
from pathlib import Path

from entrypoints.command_line import arguments, outcome, terminal
from looped.grid.options import require_path
from looped.grid.places import expanded
from looped.rules import setting

PAGES = ("findings.md", "findings-in-numbers.md")


@dataclass(frozen=True)
class FindingsOptions:
    """What to read, and which pages to fill."""

    results: str = setting("results", "the folder of kept trainings")
    docs: str = setting("docs", f"the folder of {' and '.join(PAGES)}, and of their pictures")
    check: bool = setting(False, "change nothing, and fail if a page would change")

    def __post_init__(self) -> None:
        require_path("results", self.results)
        require_path("docs", self.docs)


@outcome.command("findings")
def main(result: outcome.Outcome) -> int:
    """Fill the pages, or say whether they are as they would be filled; return the exit code."""
    (options,) = arguments.parse("findings", __doc__, FindingsOptions)
    # pandas and SciPy take a second to load: only once the arguments are known to be good
    from analysis.findings.page import fill
    from analysis.findings.pictures import pictures_of
    from analysis.findings.tables import tables_of
    from looped.drawing import save_png
    from looped.records.files import write_atomically

    results, docs = expanded(options.results), expanded(options.docs)
    if not list(results.glob("*/*/journal.jsonl")):
        rule = "results must hold folders of trainings"
        return arguments.complain("findings", f"{rule}, got {results}")
    try:
        before = {docs / name: (docs / name).read_text("utf-8") for name in PAGES}
        tables = tables_of(results)
        after = {page: fill(text, tables) for page, text in before.items()}
    except (OSError, ValueError) as error:
        return arguments.complain("findings", error)
    result.tell(files={page.stem: str(page) for page in after})
    changed_pages = [page for page in after if before[page] != after[page]]
    if options.check and changed_pages:
        rule = f"{_listed(changed_pages)} must be as `make findings` writes it from {results}"
        return arguments.complain("findings", f"{rule}, got other tables")
    if not options.check:
        for page in changed_pages:
            write_atomically(page, after[page].encode())
        for name, figure in pictures_of(results).items():
            save_png(figure, docs / f"{name}.png")
    same_pages = [page for page in after if page not in changed_pages]
    for pages, words in ((changed_pages, f"written anew from {results}"),
                         (same_pages, f"as {results} has it")):  # fmt: skip
        if pages:
            print(f"{_listed(pages)}: {words}")
    return 0


def _listed(pages: list[Path]) -> str:
    return ", ".join(map(str, pages))


if __name__ == "__main__":
    sys.exit(terminal.run(main))
