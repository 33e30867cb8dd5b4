"""The most memory that a training takes."""

import ctypes
from contextlib import suppress
from pathlib import Path

import torch


class PeakMemory:
    """Watches how much memory comes to be held from now on; one at a time in a process.

    Args:
        device: ``cuda`` counts what tensors hold on the GPU; ``cpu`` what the process holds beyond
            what it held before, where Linux tells.
    """

    def __init__(self, device: str) -> None:
        self.on_gpu = device == "cuda"
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
            return
        with suppress(OSError, AttributeError):  # else what was freed before would be used again
            ctypes.CDLL(None).malloc_trim(0)
        with suppress(OSError):  # without it the peak is that of the process's whole life
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self.before = _resident("VmRSS")

    def peak_mib(self) -> float | None:
        """Return the peak so far in MiB; None where nobody tells."""
        if self.on_gpu:
            return torch.cuda.max_memory_allocated() / 2**20
        peak = _resident("VmHWM")
        return None if peak is None or self.before is None else peak - self.before


def _resident(name: str) -> float | None:
    """Memory of this process in MiB as Linux counts it: ``VmRSS`` now, ``VmHWM`` at most."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return None
    (kib,) = (line.split()[1] for line in lines if line.startswith(name))
    return int(kib) / 2**10
