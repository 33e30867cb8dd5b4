"""What this machine's processor can do, and the compiler's options that follow.

Only what the system lists counts: a processor may have what its system keeps from programs.
"""

import platform
from collections.abc import Mapping
from pathlib import Path

WIDEST = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})
PATHS: tuple[tuple[frozenset[str], tuple[str, ...]], ...] = (
    (WIDEST, ()),
    (frozenset({"avx2", "fma"}), ("-mno-avx512f",)),
    (frozenset(), ("-mno-avx",)),
)
"""What an x86 processor must say that it can do for a path, the fastest first, and its options."""

AMX = frozenset({"amx_tile", "amx_bf16"})
PRODUCTS: Mapping[str, tuple[tuple[frozenset[str], tuple[str, ...]], ...]] = {
    "fp32": ((frozenset(), ()),),
    "bf16": ((AMX, ("-DBF16", "-DAMX")), (frozenset(), ("-DBF16",))),
}
"""What it must say for products of a precision, the fastest first, and their options."""


def can_multiply(precision: str) -> bool:
    """Tell whether the processor has instructions for products of that precision.

    Those of bf16 are AVX512-BF16's; without them PyTorch's own operations run.
    """
    return precision == "fp32" or features() >= WIDEST | {"avx512_bf16"}


def products(precision: str) -> list[tuple[str, ...]]:
    """Return the compiler's options for each way to multiply that the processor lists."""
    return [options for needs, options in PRODUCTS[precision] if features() >= needs]


def target() -> tuple[str, ...]:
    """Return the compiler's options for the processor, as far as the system lets it be used."""
    if platform.machine() in ("arm64", "aarch64"):  # where -march=native is no old friend
        return ("-mcpu=native",)
    return ("-march=native", *next(options for needs, options in PATHS if features() >= needs))


def features() -> frozenset[str]:
    """What the processor says that it can do; all that is asked for where the system is silent."""
    words = frozenset(listing().partition(":")[2].split())
    return words or frozenset().union(*(needs for needs, _ in PATHS))


def listing() -> str:
    """What the processor can do, as far as Linux tells; a home may be shared by machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
