"""What a job of Slurm's does, in this process."""

import os
import signal

from toy_work import counting

from looped.config import TrainConfig
from looped.grid.engines.slurm.group_job import GroupJob
from looped.grid.engines.slurm.job_files import read_news
from looped.grid.records.ledger import KILLED

CONFIG = TrainConfig(kernels="off").resolved("cpu", "fp32")


def test_a_limit_that_no_step_fits_into_is_said(tmp_path, monkeypatch):
    def work(group, send, should_stop):
        os.kill(os.getpid(), signal.SIGUSR2)
        assert should_stop()
        counting(group, send, should_stop, tmp_path, 0)

    def none(job):
        raise AssertionError("it would be queued for ever")

    monkeypatch.setattr("toy_work.FINISHED", KILLED)
    job = GroupJob([CONFIG], work, {}, tmp_path / "news" / "a.json", tmp_path, 1, none)
    job()
    (news,) = read_news(tmp_path / "news" / "a.json").values()
    assert news.state == KILLED
    assert "give slurm a longer time" in news.reason
