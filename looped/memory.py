"""The most memory that a training takes."""

from contextlib import suppress
from pathlib import Path

import torch


class PeakMemory:
    """Watches from now on; one at a time.

    Args:
        device: ``cuda`` counts what tensors hold on the GPU; ``cpu`` what the process holds, with
            PyTorch itself, where Linux tells.
    """

    def __init__(self, device: str) -> None:
        self.on_gpu = device == "cuda"
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        else:
            _forget_peak()

    def peak_mib(self) -> float | None:
        """Return the peak so far in MiB; None where nobody tells."""
        return torch.cuda.max_memory_allocated() / 2**20 if self.on_gpu else _resident_peak_mib()


def _forget_peak() -> None:
    with suppress(OSError):  # the peak is then that of the process's whole life
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _resident_peak_mib() -> float | None:
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return None
    (kib,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(kib) / 2**10
