"""Faults that must never pass unnoticed, each with the tests that notice it.

    python tests/helpers/mutation/named_faults.py            # all; exit code 1 if one survives
    python tests/helpers/mutation/named_faults.py injection  # those whose name holds a word

Unlike those of ``mutants`` they are chosen. One whose place is gone is put where the code went.
"""

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """What is done to a source.

    Attributes:
        name: the fault in words.
        path: of the source.
        text: that stands there once.
        faulty_text: that comes in its place.
        tests: that must notice.
    """

    name: str
    path: str
    text: str
    faulty_text: str
    tests: str


FAULTS = [
    Fault(
        "the stack is untied: other weights in every second loop",
        "looped/model.py",
        "        for block in stack.blocks:  # type: ignore[union-attr]\n"
        "            z = block(z)\n",
        "        self._turn = 1 - getattr(self, '_turn', 1)\n"
        "        for block in stack.blocks:\n"
        "            z = block(z) if self._turn == 0 else z + 1.001 * (block(z) - z)\n",
        "tests/test_model.py",
    ),
    Fault(
        "the stack is untied: each loop has a copy of the weights",
        "looped/model.py",
        "        for block in stack.blocks:",
        "        import copy\n        for block in copy.deepcopy(stack.blocks):",
        "tests/test_model.py",
    ),
    Fault(
        "the stack of replicas is untied: only the first loop teaches it",
        "looped/training/stacked_model.py",
        "running_weights = {name: values[:running] for name, values in weights.items()}",
        "running_weights = {name: (values if loop == 1 else values.detach())[:running]"
        " for name, values in weights.items()}",
        "tests/training/test_stacked_model.py",
    ),
    Fault(
        "the injection is dropped",
        "looped/model.py",
        "z = z + p + self.positions",
        "z = (p if not z.any() else z) + self.positions",
        "tests/test_model.py",
    ),
    Fault(
        "the injection of replicas is dropped",
        "looped/training/stacked_model.py",
        "z + p[:running, :joined], at)",
        "p[:running, :joined] if loop == 1 else z, at)",
        "tests/training/test_stacked_model.py",
    ),
    Fault(
        "the window is off by one: one loop fewer without gradient",
        "looped/model.py",
        "in range(1, n_loops - grad_loops + 1):",
        "in range(1, n_loops - grad_loops):",
        "tests/test_model.py",
    ),
    Fault(
        "the window is off by one: one loop too few is seen",
        "looped/model.py",
        "in range(n_loops - grad_loops + 1, n_loops + 1):",
        "in range(n_loops - grad_loops + 2, n_loops + 1):",
        "tests/test_model.py",
    ),
    Fault(
        "the window of replicas is off by one",
        "looped/training/stacked_model.py",
        "if loop <= loops.of_each[0] - loops.windows.loss:",
        "if loop < loops.of_each[0] - loops.windows.loss:",
        "tests/training/test_stacked_model.py",
    ),
    Fault(
        "the window of a drawn b is off by one",
        "looped/training/stacked_model.py",
        "self.seen.clamp(max=drawn_loops)",
        "self.seen.clamp(max=drawn_loops + 1)",
        "tests/training/test_stacked_model.py tests/training/test_loop.py",
    ),
    Fault(
        "the gradient is cut one loop too late",
        "looped/windows.py",
        "(n_loops - loop + 1) % self.grad == 0",
        "(n_loops - loop) % self.grad == 0",
        "tests/training/test_stacked_model.py",
    ),
    Fault(
        "the standard error over prompts is without the root",
        "looped/evaluation/evaluation.py",
        "deviation / math.sqrt(errors.shape[-1])",
        "deviation / errors.shape[-1]",
        "tests/evaluation/test_held_out.py",
    ),
    Fault(
        "the standard error of baselines is without the root",
        "looped/evaluation/baseline_scores.py",
        "errors.shape[1] ** 0.5",
        "errors.shape[1]",
        "tests/evaluation/test_baseline_scores.py",
    ),
    Fault(
        "the standard error over seeds is without the root",
        "analysis/claims/by_seed.py",
        "/ math.sqrt(len(part))",
        "/ len(part)",
        "tests/claims/test_claims.py::test_an_interval_is_students",
    ),
    Fault(
        "a hypothesis is judged where a loss is possible, not where it is shown",
        "analysis/claims/findings.py",
        "if low > premise.least:",
        "if high > premise.least:",
        "tests/claims/test_findings.py tests/claims/test_hypotheses.py",
    ),
    Fault(
        "an absolute value is contradicted at the level of one side",
        "analysis/claims/by_seed.py",
        "(2 if sense is Sense.WITHIN else 1)",
        "1",
        "tests/claims/test_planted_verdicts.py",
    ),
    Fault(
        "a small b has longer to lose than a large one",
        "analysis/claims/measures/study.py",
        'cells.bits_lost("medium", b, b + loops)',
        'cells.bits_lost("medium", b)',
        "tests/claims/test_planted_verdicts.py",
    ),
    Fault(
        "the rules of today are kept as those from before a grid's first training",
        "looped/grid/runner.py",
        "rules = rules_before if is_begun else self._claim_rules",
        "rules = self._claim_rules",
        "tests/grid/records/test_kept_rules.py",
    ),
    Fault(
        "the lock of a folder is not taken",
        "looped/records/folder.py",
        "            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "            pass\n",
        "tests/records/test_folder.py",
    ),
    Fault(
        "the champion is the wrong way round",
        "looped/tracking/registry.py",
        "best = min(errors,",
        "best = max(errors,",
        "tests/tracking/test_registry.py::test_best_moves_only_to_a_lower_error",
    ),
    Fault(
        "the fsync of a file is removed",
        "looped/records/files.py",
        "        os.fsync(file.fileno())\n",
        "",
        "tests/records/test_durability.py",
    ),
    Fault(
        "the fsync of the folder is removed",
        "looped/records/files.py",
        "        os.fsync(folder)\n",
        "        pass\n",
        "tests/records/test_durability.py",
    ),
    Fault(
        "the lock of the baselines is private to a run",
        "looped/tracking/conclusion.py",
        "baselines_lock(root)",
        "baselines_lock(folder.path)",
        "tests/tracking/test_conclusion.py",
    ),
    Fault(
        "steps that were told already are told again",
        "looped/tracking/tracker.py",
        'if record["kind"] != "metrics" or record["step"] > self._progress["step"]',
        "if True",
        "tests/tracking/test_told_once.py",
    ),
    Fault(
        "finite is asked of the loss alone",
        "looped/training/curve.py",
        "all(map(math.isfinite, values))",
        "math.isfinite(values[0])",
        "tests/training/test_curve_limits.py",
    ),
    Fault(
        "neighbouring blocks of a curve are taken for independent",
        "looped/training/convergence.py",
        "variance * (1 + alike) / (1 - alike)",
        "variance",
        "tests/training/test_convergence.py",
    ),
    Fault(
        "a fall is called sure by one standard error",
        "looped/training/convergence.py",
        "T_OF_BLOCKS = 2.447",
        "T_OF_BLOCKS = 1.0",
        "tests/training/test_convergence.py",
    ),
    Fault(
        "the mean of the tail begins a step early",
        "looped/windows.py",
        "-(-n_steps // TAIL_SHARE) + 1",
        "-(-n_steps // TAIL_SHARE)",
        "tests/training/test_tail_mean.py",
    ),
    Fault(
        "a mean that misses steps of the tail is kept as whole",
        "looped/training/replicas.py",
        "self.tail.is_whole[row] = False",
        "pass",
        "tests/training/test_tail_mean.py",
    ),
    Fault(
        "the difference of two runs is taken for one's deviation",
        "analysis/scaling/solving/scales.py",
        "/ 2**0.5 / 0.6745",
        "/ 0.6745",
        "tests/scaling/test_run_table.py",
    ),
    Fault(
        "claims reach as far as the longest evaluation",
        "analysis/claims/cells.py",
        "lengths[len(lengths) // 2]",
        "lengths[-1]",
        "tests/claims/test_cells.py",
    ),
    Fault(
        "a run is ended by somebody who does not hold its folder",
        "looped/tracking/dead_runs.py",
        "        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "        pass\n",
        "tests/tracking/test_dead_runs.py",
    ),
    Fault(
        "the journal is not asked before a run is killed",
        "looped/tracking/dead_runs.py",
        "end = recorded_end(folder, run_id)",
        "end = None",
        "tests/tracking/test_dead_runs.py",
    ),
    Fault(
        "a grid says what it trained without asking the store",
        "looped/grid/records/balance.py",
        "        if not finished.get(identity)\n",
        "        if not finished\n",
        "tests/grid/records/test_balance.py",
    ),
]


def main() -> int:
    """Put each fault into a copy, one at a time, and run its tests."""
    from mutants import Mutated, copy_of_the_tree, run_tests

    words = sys.argv[1:]
    faults = [fault for fault in FAULTS if not words or any(word in fault.name for word in words)]
    n_bad = 0
    with copy_of_the_tree() as folder:
        for tests in sorted({fault.tests for fault in faults}):
            if run_tests(tests.split(), 600, folder / "log") != "survived":
                words = f"named_faults: {tests} must pass without a fault, got:\n"
                raise SystemExit(words + (folder / "log").read_text())
        for fault in faults:
            path = Path(fault.path)
            source = path.read_bytes()
            if source.count(fault.text.encode()) != 1:
                outcome = "NOT THERE: its text must stand once in the source"
            else:
                faulty_source = source.replace(fault.text.encode(), fault.faulty_text.encode())
                with Mutated(path, faulty_source):
                    outcome = run_tests(fault.tests.split(), 300, folder / "log")
            n_bad += not outcome.startswith("killed")
            print(f"{outcome:<9} {fault.path}: {fault.name}", flush=True)
    print(f"{len(faults) - n_bad} of {len(faults)} named faults are noticed")
    return int(n_bad > 0)


if __name__ == "__main__":
    sys.exit(main())
