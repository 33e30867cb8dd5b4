"""Compiles the CPU's kernels for the machine at hand, once, and loads them.

They are kept in the user's cache, and what lies there runs inside every training: it is loaded only
from a folder that nobody else can write to, and only if it still has the checksum that its name
ends with. A library that was cut short, as by a power cut, would end the process without a word.
"""

import ctypes
import hashlib
import logging
import os
import secrets
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from looped.kernels.cpu import processor

FOLDER = Path(__file__).parent
SOURCES = (FOLDER / "chain.cpp", *sorted(FOLDER.glob("*.h")))
# Sums may be fused with products; nothing else that changes what NaN or infinity do.
FLAGS = ("-O3", "-std=c++17", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")
LIBRARY = ("-shared", "-fPIC")
FAULTS = {1: "the system does not let programs use the tiles", 2: "products come out wrong"}
"""What ``begin`` of ``chain.cpp`` may say on a processor that lists the instructions."""

COMPILERS = ("c++", "g++", "clang++")

WORTH_COMPILING = 200_000_000_000
"""FLOPs of a task that earn back the two seconds of compiling, which come once a machine."""


class KernelError(RuntimeError):
    """Why the kernels cannot be had on this machine."""


def serves(flops: int, precision: str = "fp32") -> bool:
    """Tell whether to use the kernels for so much work: if they lie compiled, or it pays to."""
    if not processor.can_multiply(precision):
        return False
    pays = flops >= WORTH_COMPILING or _is_built(precision)
    return pays and library(precision) is not None


@cache
def library(precision: str = "fp32") -> ctypes.CDLL | None:
    """Load the kernels, compiled if need be; None, with one warning, where that cannot be."""
    try:
        return load(precision)
    except KernelError as error:
        logging.getLogger("looped").warning("fused kernels for the CPU are off: %s", error)
    return None


@cache
def load(precision: str = "fp32") -> ctypes.CDLL:
    """Load the kernels, compiled if need be.

    Args:
        precision: of the products' operands; see ``processor.can_multiply``.

    Raises:
        KernelError: why that cannot be.
    """
    compiler = _compiler()
    if compiler is None:
        wish = os.environ.get("CXX")
        rule = f"CXX must be one, got {wish}" if wish else f"none of {', '.join(COMPILERS)}"
        raise KernelError(f"no C++ compiler ({rule})")
    try:
        with _opened(_folder()) as folder:
            return _first_that_works(folder, compiler, precision)
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        raise KernelError(str(error)) from error


def _first_that_works(folder: int, compiler: tuple[str, ...], precision: str) -> ctypes.CDLL:
    """Load the library of the fastest products that the compiler, system and processor have."""
    reason = ""
    for options in processor.products(precision):
        if reason:
            logging.getLogger("looped").info("looking for other products: %s", reason)
        stem = _stem(compiler, options)
        try:
            functions = _load_whole(folder, stem) or _build(folder, compiler, options)
        except subprocess.CalledProcessError as error:
            words = (error.stderr.strip().splitlines() or ["without a word"])[0]
            reason = f"{' '.join((*compiler, *options))} failed: {words}"
            continue
        fault = functions.begin()
        if not fault:
            return functions
        reason = f"{FAULTS[fault]} ({' '.join((*compiler, *options))})"
    raise KernelError(reason)


@cache
def _compiler() -> tuple[str, ...] | None:
    """Find the compiler: its words, as CXX may hold several, ``ccache g++``."""
    wish = os.environ.get("CXX")
    try:
        choices = [tuple(shlex.split(wish))] if wish else [(name,) for name in COMPILERS]
    except ValueError:  # a quote that does not end
        return None
    return next((words for words in choices if words and shutil.which(words[0])), None)


def _is_built(precision: str) -> bool:
    """Tell whether a library lies there that claims to be the one; nothing of it is read."""
    compiler = _compiler()
    try:
        return compiler is not None and any(
            any(_folder().glob(f"{_stem(compiler, options)}-*.so"))
            for options in processor.products(precision)
        )
    except (OSError, RuntimeError):
        return False


def _folder() -> Path:
    """Where compiled libraries are kept."""
    wish = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(wish) if os.path.isabs(wish) else Path.home() / ".cache"
    return root / "looped"


@cache
def _stem(compiler: tuple[str, ...], products: tuple[str, ...] = ()) -> str:
    """How the library's name begins: named after all that decides what it holds."""
    version = subprocess.run(
        [*compiler, "--version"], capture_output=True, text=True, errors="replace", check=False
    )
    parts = [
        *(source.read_text("utf-8") for source in SOURCES),
        *FLAGS,
        *products,
        *processor.target(),
        version.stdout,
        processor.listing(),
    ]
    return f"chain-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open the folder of libraries, made if missing; whoever swaps it later is not followed.

    Raises:
        OSError: it cannot be made, or is no folder of the user's that nobody else can write to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if not _is_private(os.fstat(folder)):
            raise PermissionError(
                f"{path} must belong to this user and be writable by nobody else "
                "(remove it, and it is made again)"
            )
        yield folder
    finally:
        os.close(folder)


def _is_private(facts: os.stat_result) -> bool:
    """Tell whether a file belongs to this user, who alone can write to it."""
    return facts.st_uid == os.geteuid() and not facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _load_whole(folder: int, stem: str) -> ctypes.CDLL | None:
    """Load the first library of that name that is whole; None where there is none."""
    for name in _libraries(folder, stem):
        with _whole_file(folder, name) as file:
            if file is not None:
                # stays open: a library that is loaded later must not come to the same path
                return _loaded(_path_of(os.dup(file), name))
    return None


def _loaded(path: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(path)
    except OSError as error:  # mounted noexec, say
        reason = str(error).removeprefix(f"{path}: ")
        raise OSError(f"programs must be allowed to run from {_folder()}: {reason}") from error


def _libraries(folder: int, stem: str) -> list[str]:
    names = sorted(os.listdir(folder))
    return [name for name in names if name.startswith(f"{stem}-") and name.endswith(".so")]


@contextmanager
def _whole_file(folder: int, name: str) -> Iterator[int | None]:
    """Open a library; give None where its content has not the checksum in its name."""
    file = None
    with suppress(OSError):  # a link, or gone since; a pipe would be waited for
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        yield file if file is not None and _is_whole(file, name) else None
    finally:
        if file is not None:
            os.close(file)


def _is_whole(file: int, name: str) -> bool:
    facts = os.fstat(file)
    if not stat.S_ISREG(facts.st_mode) or not _is_private(facts):
        return False
    with os.fdopen(file, "rb", closefd=False) as reader:
        return name == _name(name.rpartition("-")[0], reader.read())


def _name(stem: str, content: bytes) -> str:
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:32]}.so"


def _path_of(file: int, name: str) -> str:
    """Name an open file: on Linux the very one that was read, whatever has its name by now."""
    path = f"/proc/self/fd/{file}"
    return path if os.path.exists(path) else str(_folder() / name)


def _build(folder: int, compiler: tuple[str, ...], products: tuple[str, ...] = ()) -> ctypes.CDLL:
    """Compile elsewhere and move there when whole; what is not whole there is removed."""
    stem = _stem(compiler, products)
    with tempfile.TemporaryDirectory() as aside:
        target = Path(aside) / "chain.so"
        options = (*FLAGS, *products, *processor.target(), *LIBRARY)
        command = [*compiler, *options, "-o", str(target), str(SOURCES[0])]
        subprocess.run(command, capture_output=True, text=True, errors="replace", check=True)
        content = target.read_bytes()
    name = _name(stem, content)
    _write_whole(folder, name, content)
    for neighbour in _libraries(folder, stem):
        with _whole_file(folder, neighbour) as file:
            if file is None:
                _remove(folder, neighbour)
    loaded_library = _load_whole(folder, stem)
    if loaded_library is None:
        raise OSError(f"{_folder() / name} was written and does not read as it was")
    return loaded_library


def _write_whole(folder: int, name: str, content: bytes) -> None:
    """Write a file that is there whole or not at all, whenever the machine stops."""
    temporary = f".{name}.{secrets.token_hex(8)}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=folder), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        _remove(folder, temporary)
        raise
    os.fsync(folder)


def _remove(folder: int, name: str) -> None:
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)


if __name__ == "__main__":
    library()
