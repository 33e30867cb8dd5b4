"""Do faults to the commands on purpose and count what is lost.

    python -m entrypoints.benchmarks.faults                        # all of them, about 20 minutes
    python -m entrypoints.benchmarks.faults --scenarios train,disk --kills 2

Prints a table in Markdown, a row as each is done, and every loss in a line under it; the exit code
is 1 if anything was lost. Each scenario has a folder and a store of its own, which are gone
afterwards.
"""

import random
import sys
import time
from dataclasses import dataclass

from entrypoints.benchmarks.faults.scenarios import SCENARIOS, Plan
from entrypoints.command_line import arguments
from looped.rules import require, require_one_of, require_whole, setting


@dataclass(frozen=True)
class FaultOptions:
    """What to try, and how often."""

    scenarios: str = setting(",".join(SCENARIOS), "what to try, with commas between")
    kills: int = setting(4, "random moments at which each command is killed")
    away: float = setting(60.0, "seconds that the server is away")
    seed: int = setting(7, "of the random moments")

    def __post_init__(self) -> None:
        for name in self.names:
            require_one_of("scenarios", name, tuple(SCENARIOS))
        require_whole("kills", self.kills, 1)
        require_whole("seed", self.seed, 0)
        require(0 <= self.away <= 3600, "away must lie between 0 and 3600 seconds", self.away)

    @property
    def names(self) -> list[str]:
        """The scenarios in the order given."""
        return self.scenarios.split(",")


def main() -> int:
    """Try, print, and say with the exit code whether anything was lost."""
    summary = (__doc__ or "").splitlines()[0]
    (options,) = arguments.parse("faults", summary, FaultOptions)
    plan = Plan(options.kills, options.away, random.Random(options.seed))
    print(f"random moments of seed {options.seed}\n")
    print("| fault | tried | lost | seconds |\n|---|---|---|---|", flush=True)
    lines: list[str] = []
    for name in options.names:
        start = time.monotonic()
        account = SCENARIOS[name](plan)
        tries = account.skipped or f"{account.tries:,}"
        seconds = time.monotonic() - start
        print(f"| {account.fault} | {tries} | {len(account.lost)} | {seconds:.0f} |", flush=True)
        lines += [f"- {account.fault}: {line}" for line in account.lost]
    print("\n" + ("\n".join(lines) or "Nothing was lost."))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
