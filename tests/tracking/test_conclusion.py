"""The end of a training: the baselines of its task are one process's at a time."""

import os
import threading
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import replace

from small_trainings import TINY

from looped.evaluation import baseline_scores
from looped.records.folder import RunFolder
from looped.tracking import conclusion
from looped.tracking.opening import open_run
from looped.training import loop, resolve


def test_trainings_that_end_together_score_and_log_the_baselines_in_turn(
    store, tmp_path, monkeypatch
):
    score, meeting = baseline_scores.score_baselines, threading.Barrier(2, timeout=1.0)
    outcomes, n_met = [], 0

    def score_slowly(*arguments):
        nonlocal n_met
        try:
            meeting.wait()
            n_met += 1
        except threading.BrokenBarrierError:  # as it should be: nobody else is in here
            pass
        return score(*arguments)

    monkeypatch.setattr(baseline_scores, "score_baselines", score_slowly)
    with ExitStack() as stack:
        threads = []
        for seed in (1, 2):
            config = resolve.resolve(replace(TINY, seed=seed))
            folder = stack.enter_context(closing(RunFolder(tmp_path / "runs", config)))
            tracker = open_run(config, folder)
            stack.callback(tracker.finish, "KILLED", "test")
            loop.train(config, folder, b_max=4)

            def conclude(arguments=(config, folder, tracker, False)):
                outcomes.append(conclusion.conclude(*arguments))

            threads.append(threading.Thread(target=conclude))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert n_met == 0
    assert len(outcomes) == 2
    assert all(outcome.note and not outcome.problems for outcome in outcomes)
    runs = store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]])
    counts = Counter(run.data.tags.get("baseline") for run in runs)
    assert counts.pop(None) == 2
    assert len(counts) > 2
    assert set(counts.values()) == {1}


def test_without_a_store_a_training_is_concluded_in_one_line(tmp_path):
    config = resolve.resolve(TINY)
    with closing(RunFolder(tmp_path, config)) as folder:
        loop.train(config, folder)
        outcome = conclusion.conclude(config, folder, None, True)
    assert outcome.reason
    assert (outcome.note, outcome.registered, outcome.problems) == ("", "", ())
