"""Tasks of one's own: what they are in a configuration, and what is said before they train."""

import pickle
import re
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from page_blocks import ROOT
from small_trainings import TINY

from entrypoints.command_line import arguments
from looped import TrainConfig, make_task, register_task
from looped.evaluation.baselines import baselines_for
from looped.evaluation.task_check import require_sound
from looped.grid.lists import Lists, cross
from looped.plugins import loading
from looped.records.folder import RunFolder, load_config, run_path
from looped.tasks import Task, from_config
from looped.tasks.own import crossed, read_options, write_options
from looped.tasks.task_config import TaskConfig
from looped.tracking.logged import config_of
from looped.tracking.registry import registered_name

QUADRATIC = f"{ROOT}/examples/my_tasks.py:Quadratic"
OWN = replace(TINY, task=QUADRATIC, task_options="scale=2")
GOOD = """
import torch
from looped import Task, TaskSetting

class Line(Task):
    title = "lines"
    def draw(self, draws, batch):
        return draws.normal(batch, self.n_dims)
    def evaluate(self, params, xs):
        return torch.einsum("bpd,bd->bp", xs, params) / self.n_dims**0.5
"""


def in_file(tmp_path, text):
    path = tmp_path / "my_lines.py"
    path.write_text(text)
    return f"{path}:Line"


def refusal(config):
    with pytest.raises(ValueError, match="got") as refused:
        require_sound(TaskConfig(config, 2), 5)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_its_identity_is_of_its_source_and_settings_wherever_the_file_lies(tmp_path):
    text = (ROOT / "examples" / "my_tasks.py").read_text()
    (tmp_path / "my_tasks.py").write_text(text + "\nA_REMARK = 1\n")
    copy = replace(OWN, task=f"{tmp_path}/my_tasks.py:Quadratic")
    assert copy.identity == OWN.identity
    assert replace(OWN, task_options=None).identity != OWN.identity
    assert replace(OWN, task=QUADRATIC, task_options="scale=2.0").identity == OWN.identity
    (tmp_path / "my_tasks.py").write_text(text.replace("xs**2 - 1", "1 - xs**2"))
    assert replace(OWN, task=f"{tmp_path}/my_tasks.py:Quadratic").identity != OWN.identity
    assert OWN.task_config.title == "quadratic regression (scale 2)"
    word = OWN.task_config.word
    assert word == f"Quadratic-{OWN.task_config.reference.digest[:6]}"
    assert OWN.name == f"tiny-b2-s42-{word}"
    assert registered_name(OWN) == f"looped-{word}-tiny-d2-n5-scale2"


def test_records_are_read_back_where_the_task_is_not(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path, OWN.resolved("cpu", "fp32"))
    folder.close()
    for name in ("_objects", "_texts"):
        monkeypatch.setattr(loading, name, {})
    monkeypatch.setattr(loading, "_text_at", lambda reference: pytest.fail("it was looked for"))
    config = load_config(folder.path)
    assert config == OWN.resolved("cpu", "fp32")
    assert run_path(tmp_path, config) == folder.path
    params = {f"resolved.{name}": str(value) for name, value in vars(config).items()}
    assert config_of(params).identity == config.identity


def test_a_worker_gets_the_text_with_the_configuration(tmp_path, monkeypatch):
    config = replace(TINY, task=in_file(tmp_path, GOOD))
    parcel = pickle.dumps(config)
    (tmp_path / "my_lines.py").unlink()
    for name in ("_objects", "_texts"):
        monkeypatch.setattr(loading, name, {})
    arrived = pickle.loads(parcel)
    assert arrived == config
    xs, ys = from_config(arrived.task_config).batch(0, 0, 3, 4)
    assert (tuple(xs.shape), tuple(ys.shape)) == ((3, 4, 2), (3, 4))


def test_the_example_is_sound_and_its_bayes_predictor_exact():
    require_sound(OWN.task_config, OWN.n_examples)
    task = make_task(QUADRATIC, 2, scale=2)
    answers = baselines_for(task)
    assert tuple(answers) == ("nearest_neighbours", "least_squares", "bayes")
    xs, ys = task.batch(1, 0, 64, 16)
    errors = {
        name: (answer(xs, ys)[0, :, 0] - ys[:, -1]).square() for name, answer in answers.items()
    }
    assert errors["bayes"].max() < 1e-6 < errors["least_squares"].mean()


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(
    ("line", "change", "message"),
    [
        ('title = "lines"', "", 'must have a title, as title = "quadratic regression", got'),
        ('title = "lines"', 'title = "lines {slope}"', "none but its settings in braces"),
        ('title = "lines"', 'title = "lines"; baselines = ()', "names or functions"),
        ('title = "lines"', 'title = "lines"; baselines = (lambda xs, ys: ys[:, 0],)',
         "must have plain names that differ, none of them bayes, got <lambda>"),
        ('title = "lines"', 'title = "lines"; baselines = ("gues",)', "must be a function or one"),
        ('title = "lines"', 'title = "lines"; bayes = lambda self, xs, ys: 0 / 0',
         "the baseline bayes of Line-\\w+ must answer prompts, got ZeroDivisionError"),
        ('title = "lines"', 'title = "lines"; bayes = lambda self, xs, ys: ys',
         "must answer 8 prompts with as many"),
        ("self.n_dims**0.5", "1", "must have variance 1 .* got .*divide y by 1.4"),
        ("self.n_dims**0.5", "self.n_dims**0.5 + 1", "must have mean 0"),
        ("return torch.einsum", "return torch.einsum('bd,bpd->b', params, xs) # ",
         "must draw ys of shape"),
        ("draws.normal(batch, self.n_dims)", "torch.randn(batch, self.n_dims)",
         "the same at every call"),
        ("self.n_dims**0.5", "self.size", "must draw prompts, got AttributeError"),
        ("(Task)", "", "must be a class made from looped.Task"),
    ],
)  # fmt: skip
def test_what_is_lacking_is_said_in_a_line(tmp_path, line, change, message):
    assert line in GOOD
    word = in_file(tmp_path, GOOD.replace(line, change))
    assert re.search(message, refusal(word))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("scale=0", "scale must be a finite number above 0, got 0"),
        (
            "scale=x",
            "task_options must be settings with numbers, as scale=2,width=0.5, got scale=x",
        ),
        ("width=1", "settings of Quadratic must be among scale, got width"),
        ("scale=1,scale=2", "task_options must have a setting once"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        replace(OWN, task=QUADRATIC, task_options=options)


def test_a_grid_crosses_a_setting_that_is_given_twice():
    assert crossed((None,)) == (None,)
    assert crossed(("a=1", "b=2", "a=3", "b=4")) == ("a=1,b=2", "a=1,b=4", "a=3,b=2", "a=3,b=4")
    lists = Lists(sizes=("tiny",), bs=(1,), seeds=(1,), task=(QUADRATIC,))
    grid = cross(replace(lists, task_options=("scale=1", "scale=2")))
    assert [config.task_options for config in grid] == ["scale=1", "scale=2"]
    assert read_options(write_options({"a": 2.0, "b": 0.1})) == {"a": 2, "b": 0.1}


class Sine(Task):
    title = "sines"

    def draw(self, draws, batch):
        return draws.normal(batch, self.n_dims)

    def evaluate(self, params, xs):
        return 2**0.5 * torch.sin(9 * torch.einsum("bpd,bd->bp", xs, params))


def test_a_registered_class_trains_under_its_name(monkeypatch):
    monkeypatch.setattr(loading, "_registered", {})
    name = register_task(Sine)
    config = replace(TINY, task="Sine")
    assert config.task_config.word == name
    assert isinstance(from_config(config.task_config), Sine)
    assert Path(__file__).stem in config.task


def test_identities_of_before_are_what_they_were():
    assert TrainConfig().identity == "6f9c975ad8d1"
    assert TrainConfig(task="noisy_linear", size="small", b=10).task_config.content == {
        "name": "noisy_linear", "n_dims": 5, "noise_std": 0.25,
    }  # fmt: skip


def test_help_names_what_is_installed_and_imports_nothing(monkeypatch):
    entries = {"tasks": {"cubic": EntryPoint("cubic", "my_lab.tasks:Cubic", "looped.tasks")}}
    monkeypatch.setattr(loading, "_entries", lambda kind: entries.get(kind, {}))
    text = arguments.build_parser("train", "", TrainConfig).format_help()
    assert text.endswith("installed tasks: cubic\n")
    assert "my_lab" not in sys.modules
    with pytest.raises(ValueError, match=r"parity, cubic, or <file>.py:<Name>, got cubi$"):
        TrainConfig(task="cubi")
    rule = "Cubic must be in a module that is there, got my_lab"
    with pytest.raises(ValueError, match=rule):
        TrainConfig(task="cubic")
