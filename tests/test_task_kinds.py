"""One record a task: everything that is said of tasks elsewhere follows from it."""

from dataclasses import fields

import pytest

from looped import make_task
from looped.config import TrainConfig
from looped.evaluation.baselines import BASELINES, baselines_for
from looped.tasks import TASKS
from looped.tasks.kinds import TASK_KINDS, TASK_SETTINGS
from looped.tasks.task_config import TaskConfig


def test_every_task_can_be_drawn_and_has_its_settings_in_the_configuration():
    assert TASKS.keys() == TASK_KINDS.keys()
    settings = {field.name: field for field in fields(TrainConfig)}
    for name, setting in TASK_SETTINGS.items():
        assert settings[name].default == setting.default
        assert settings[name].metadata["help"] == setting.help


def test_a_setting_belongs_to_one_task_and_its_words_differ():
    names = [setting.name for kind in TASK_KINDS.values() for setting in kind.settings]
    words = [TASK_SETTINGS[name].word for name in names]
    assert len(set(names)) == len(names)
    assert len({*words, "d", "n"}) == len(words) + 2


@pytest.mark.parametrize("name", TASK_KINDS)
def test_what_a_task_names_is_there(name):
    kind = TASK_KINDS[name]
    options = {setting.name: setting.default for setting in kind.settings}
    task = make_task(name, n_dims=5, **options)
    assert set(kind.baselines) <= set(BASELINES)
    assert tuple(baselines_for(task)) == kind.baselines
    assert kind.bayes is None or kind.bayes in kind.baselines
    assert "{" in kind.title or not options
    assert "{" not in task.config.title


def test_a_task_knows_its_own_settings_alone():
    config = TaskConfig("noisy_linear", 5, noise_std=0.5)
    assert config.noise_std == 0.5
    with pytest.raises(AttributeError, match="has no sparsity"):
        config.sparsity  # noqa: B018
    assert hash(config) == hash(TaskConfig("noisy_linear", 5, noise_std=0.5))
    assert config != TaskConfig("noisy_linear", 5, noise_std=0.25)


def test_the_table_cannot_be_written_to():
    with pytest.raises(TypeError):
        TASK_KINDS["cubic"] = TASK_KINDS["linear"]
