"""What ``-P slurm=partition=gpu,time=120`` asks the cluster for, read and checked."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from looped.rules import require

NUMBERS = ("array_parallelism", "cpus_per_task", "signal_delay_s", "time")
"""Keys with a whole number of at least 1; ``time`` is in minutes, the delay in seconds."""

WORDS = (
    *("account", "comment", "constraint", "exclude", "gpus_per_node", "gpus_per_task", "gres"),
    *("mail_type", "mail_user", "mem", "mem_per_cpu", "mem_per_gpu", "nodelist", "partition"),
    *("qos", "reservation", "setup"),
)
"""Keys whose value goes to ``sbatch`` as it came; ``setup`` is a line of shell before each job."""

KEYS = tuple(sorted(NUMBERS + WORDS))
NOT_OF_SUBMITIT = ("reservation",)
"""Keys that submitit passes on without knowing them."""

MOST_AT_ONCE = 100
"""Jobs of one array that run at once, unless ``array_parallelism`` says how many."""
SIGNAL_SECONDS = 90
"""Before the time limit, when a job is told to stop, unless ``signal_delay_s`` says when."""


@dataclass(frozen=True)
class SlurmSettings:
    """What each job asks for.

    Attributes:
        requests: by the name that submitit has for it, as the user gave it.

    Example:
        >>> settings = SlurmSettings.read("partition=gpu,gpus_per_task=1,time=120")
        >>> settings.requests["time"], settings.device, settings.cores
        (120, 'cuda', 1)
    """

    requests: Mapping[str, Any]

    @classmethod
    def read(cls, text: str | None) -> "SlurmSettings":
        """Read the setting; None asks for nothing.

        A part without ``=`` belongs to the value before it: ``nodelist=a1,a2,time=60``.

        Raises:
            ValueError: a key is not known, given twice, or its value breaks its rule.
        """
        requests: dict[str, Any] = {}
        parts: list[str] = []
        for part in (text or "").split(","):
            if "=" in part or not parts:
                parts.append(part)
            else:
                parts[-1] += f",{part}"
        for part in parts if text else []:
            key, equals, value = (word.strip() for word in part.partition("="))
            rule = "slurm must be key=value pairs with commas between them"
            require(bool(key and equals and value), rule, part or "nothing")
            _require_known(key)
            require(key not in requests, f"slurm must name {key} once", text)
            requests[key] = _number(key, value) if key in NUMBERS else value
        return cls(requests)

    @property
    def device(self) -> str:
        """What a job trains on: a GPU where it asks for one."""
        numbers = [str(self.requests.get(key, "0")) for key in ("gpus_per_node", "gpus_per_task")]
        resources = str(self.requests.get("gres", "")).split(",")
        numbers += [each for each in resources if each.partition(":")[0] == "gpu"]
        has_gpu = any(number.rpartition(":")[2] != "0" for number in numbers)
        return "cuda" if has_gpu else "cpu"

    @property
    def cores(self) -> int:
        """Of each job."""
        return int(self.requests.get("cpus_per_task", 1))

    @property
    def at_once(self) -> int:
        """The most jobs that run at the same time."""
        return int(self.requests.get("array_parallelism", MOST_AT_ONCE))

    def for_submitit(self, name: str) -> dict[str, Any]:
        """Return what submitit's executor takes.

        Args:
            name: of the jobs, in the queue.
        """
        parameters = {
            key: value for key, value in self.requests.items() if key not in NOT_OF_SUBMITIT
        }
        if "setup" in parameters:
            parameters["setup"] = [parameters["setup"]]
        further = {key: self.requests[key] for key in NOT_OF_SUBMITIT if key in self.requests}
        return {
            "time": None,  # the partition's own, where none is asked for
            "signal_delay_s": SIGNAL_SECONDS,
            "array_parallelism": self.at_once,
            "wckey": None,
            # srun does not take the cores from its job by itself
            "srun_args": ["--cpus-per-task", str(self.cores)],
            **parameters,
            "job_name": name,
            "additional_parameters": {"requeue": True, **further},
        }


def _require_known(key: str) -> None:
    if key in KEYS:
        return
    alike = difflib.get_close_matches(key, KEYS, 1)
    hint = f" (did you mean {alike[0]}?)" if alike else ""
    raise ValueError(f"slurm must have keys of {', '.join(KEYS)}, got {key}{hint}")


def _number(key: str, value: str) -> int:
    is_whole = value.isdecimal() and len(value) <= 9 and int(value) >= 1
    unit = {"time": " of minutes", "signal_delay_s": " of seconds"}.get(key, "")
    require(is_whole, f"slurm's {key} must be a whole number{unit}, at least 1", value)
    return int(value)
