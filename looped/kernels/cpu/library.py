"""Compiles the CPU's kernels for the machine at hand, once, and loads them."""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCES = tuple(FOLDER / name for name in ("chain.cpp", "blocks.h", "pointwise.h", "products.h"))
# Sums may be fused with products; nothing else that changes what NaN or infinity do.
FLAGS = ("-O3", "-std=c++17", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")
LIBRARY = ("-shared", "-fPIC")
COMPILERS = ("c++", "g++", "clang++")

WORTH_COMPILING = 200_000_000_000
"""FLOPs of a task that earn back the two seconds of compiling, which come once a machine."""


def serves(flops: int) -> bool:
    """Tell whether to use the kernels for so much work: if they lie compiled, or it pays to."""
    compiler = _compiler()
    is_built = compiler is not None and _path(compiler).exists()
    return (is_built or flops >= WORTH_COMPILING) and library() is not None


@cache
def library() -> ctypes.CDLL | None:
    """Load the kernels, compiled if need be; None, with one warning, where that cannot be."""
    compiler = _compiler()
    if compiler is None:
        _warn(f"no C++ compiler ({', '.join(COMPILERS)})")
        return None
    path = _path(compiler)
    try:
        if not path.exists():
            _build(compiler, path)
        return ctypes.CDLL(str(path))
    except subprocess.CalledProcessError as error:
        _warn(f"{compiler} failed: {(error.stderr.strip().splitlines() or ['without a word'])[0]}")
    except OSError as error:
        _warn(str(error))
    return None


def _warn(reason: str) -> None:
    logging.getLogger("looped").warning("fused kernels for the CPU are off: %s", reason)


@cache
def _compiler() -> str | None:
    wish = os.environ.get("CXX")
    return next((c for c in ([wish] if wish else COMPILERS) if shutil.which(c)), None)


@cache
def _path(compiler: str) -> Path:
    """Where the library lies: named after all that decides what it holds."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    parts = [
        *(source.read_text("utf-8") for source in SOURCES),
        *FLAGS,
        *_target(),
        version.stdout,
        _processor(),
    ]
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "looped" / f"chain-{name}.so"


def _target() -> tuple[str, ...]:
    is_arm = platform.machine() in ("arm64", "aarch64")  # where -march=native is no old friend
    return ("-mcpu=native",) if is_arm else ("-march=native",)


def _processor() -> str:
    """What the processor can do, as far as Linux tells; a home may be shared by machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _build(compiler: str, path: Path) -> None:
    """Compile beside the place and move there, so that nobody loads half a library."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        target = Path(folder) / path.name
        command = [compiler, *FLAGS, *_target(), *LIBRARY, "-o", str(target), str(SOURCES[0])]
        subprocess.run(command, capture_output=True, text=True, check=True)
        target.replace(path)


if __name__ == "__main__":
    library()
