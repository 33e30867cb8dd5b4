"""One function class: which task, and a value for each of its settings. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Any

from looped.plugins import loading
from looped.plugins.reference import Reference
from looped.rules import digest, require, require_whole
from looped.tasks import own
from looped.tasks.kinds import TASK_KINDS, TaskKind


@dataclass(frozen=True, init=False)
class TaskConfig:
    """A function class and its settings, which are read like attributes: ``task.noise_std``.

    Args:
        name: one of ``TASK_KINDS``, or a task of one's own: ``my_tasks.py:Quadratic``.
        n_dims: length of an x.
        settings: a value for each setting of that task, and for no other; of a task of one's own
            those that are not the defaults will do.

    Attributes:
        name: as given; of a task of one's own with the source that is meant.

    Raises:
        ValueError: a rule is broken.

    Example:
        >>> TaskConfig("sparse_linear", 5, sparsity=2).sparsity
        2
    """

    name: str
    n_dims: int
    settings: tuple[tuple[str, Any], ...]

    def __init__(self, name: str, n_dims: int, **settings: Any) -> None:
        require_whole("n_dims", n_dims, 1)
        if name not in TASK_KINDS:
            name, settings = _own(name, n_dims, settings)
            pairs = tuple(settings.items())
        else:
            kind = TASK_KINDS[name]
            for unknown in settings.keys() - set(kind.setting_names):
                require(
                    settings[unknown] is None, f"task {name} has no {unknown}", settings[unknown]
                )
            for declared in kind.settings:
                declared.check(declared.name, settings.get(declared.name), n_dims)
            pairs = tuple((setting, settings[setting]) for setting in kind.setting_names)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "n_dims", n_dims)
        object.__setattr__(self, "settings", pairs)

    def __getattr__(self, name: str) -> Any:
        for setting_name, value in self.__dict__.get("settings", ()):
            if setting_name == name:
                return value
        raise AttributeError(f"{type(self).__name__} has no {name}")

    def require_examples(self, n_examples: int) -> None:
        """Raise ValueError unless prompts of so many examples can hold the task."""
        for declared in self.kind.settings:
            value = getattr(self, declared.name)
            rule = f"{declared.name} must be at most n_examples={n_examples}"
            require(not declared.is_of_examples or value <= n_examples, rule, value)

    @property
    def reference(self) -> Reference | None:
        """Where a task of one's own is; None for the package's."""
        return None if self.name in TASK_KINDS else Reference.parse(self.name)

    @property
    def lack(self) -> str:
        """Say why prompts cannot be drawn here; nothing where they can."""
        if self.reference is None or not (reason := loading.missing(self.reference)):
            return ""
        return f"{reason}; {own.how_to_give(self.reference.name)}"

    @property
    def kind(self) -> TaskKind:
        """What the task is, whatever its settings.

        Raises:
            ValueError: it is a task of one's own, and is not here.
        """
        return own.kind_of(self.reference) if self.reference else TASK_KINDS[self.name]

    @property
    def word(self) -> str:
        """A short name, for people and for the names of runs and registered models."""
        return self.reference.short if self.reference else self.name

    def answers_to(self, word: str) -> bool:
        """Tell whether a person may mean it by a word, whichever source it is."""
        reference = self.reference
        if reference is None:
            return word == self.name
        if word in (self.word, reference.name):
            return True
        task = own.meant(word)
        return task is not None and (task.module, task.name) == (reference.module, reference.name)

    @property
    def bayes(self) -> str | None:
        """Name the baseline that nothing beats, where there is one, whether the task is here."""
        return own.BAYES if self.reference else TASK_KINDS[self.name].bayes

    @property
    def dial(self) -> str | None:
        """Name the setting that says how many steps lead to the answer."""
        return None if self.reference else TASK_KINDS[self.name].dial

    @property
    def title(self) -> str:
        """The task in words: ``noisy linear regression (noise_std 0.25)``."""
        try:
            return self.kind.title.format(**dict(self.settings))
        except ValueError:  # it is not here, and its name must do
            further = ", ".join(f"{name} {value:g}" for name, value in self.settings)
            return f"{self.word} ({further})" if further else self.word

    @property
    def content(self) -> dict[str, Any]:
        """What decides the prompts: the task, wherever its file lies, and its settings."""
        name = self.reference.content if self.reference else self.name
        return {"name": name, "n_dims": self.n_dims, **dict(self.settings)}

    @property
    def arguments(self) -> dict[str, Any]:
        """What ``TaskConfig`` makes it of again."""
        return {"name": self.name, "n_dims": self.n_dims, **dict(self.settings)}

    def baselines_identity(self, n_examples: int, n_loops: int, n_prompts: int) -> str:
        """Name what decides the scores of the task's baselines on the held-out prompts.

        Args:
            n_examples: in-context examples N.
            n_loops: steps of gradient descent.
            n_prompts: the first so many prompts of the held-out stream.
        """
        counts = {"n_examples": n_examples, "n_loops": n_loops, "n_prompts": n_prompts}
        return digest({"task": self.content, **counts})

    def prompts_identity(self, n_examples: int) -> str:
        """Name what decides the stream of held-out prompts, the same for every model.

        Args:
            n_examples: in-context examples N.
        """
        return digest({"task": self.content, "n_examples": n_examples})


def _own(name: str, n_dims: int, settings: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Say which source a task of one's own is, and complete its settings.

    One that says so already stands as it is: it may be of a run that was made elsewhere.
    """
    if "@" in name and (pinned := Reference.parse(name)).digest:
        return str(pinned), settings
    reference = own.reference_of(name)
    return str(reference), own.completed(reference, settings, n_dims)
