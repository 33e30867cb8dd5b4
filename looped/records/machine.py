"""Which machine this is: more than its host name, which containers and laptops share.

Whether a process lives is asked with a lock of its folder, and a lock says something on the
machine of that process alone.
"""

import uuid
from functools import cache
from pathlib import Path

from looped.rules import digest

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_IS_RANDOM = 1 << 40
"""The bit of a network address that Python sets where it had to make one up."""


@cache
def this_machine() -> str:
    """Name this machine and its boot, as ``<machine>.<boot>``.

    A part is empty where the machine does not say it, and so is all where it says neither:
    containers often have no machine id, and only Linux has a boot id.
    """
    name = f"{_digest(_machine_id())}.{_digest(_read(BOOT_ID))}"
    return "" if name == "." else name


def is_this_machine(name: str) -> bool:
    """Tell whether a machine that was named once is surely this one.

    The boot decides, since containers of one machine may each have a machine id; the machine id
    does where the machine was booted since.
    """
    machine, _, boot = name.partition(".")
    machine_here, _, boot_here = this_machine().partition(".")
    return (boot != "" and boot == boot_here) or (machine != "" and machine == machine_here)


def _machine_id() -> str:
    stated = next(filter(None, map(_read, MACHINE_IDS)), "")
    if stated or BOOT_ID.exists():
        return stated
    address = uuid.getnode()  # where there is no Linux to ask
    return "" if address & _IS_RANDOM else f"{address:x}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _digest(text: str) -> str:
    """Return a text as a tag may show it: a machine id is not to be published."""
    return digest({"machine": text}) if text else ""
