"""Finds the object that a reference or a name means, and loads it once.

The text that an object was made from travels with the configuration that names it, so that a worker
process, here or on another machine, makes the same object of it whether it finds the file or not.
"""

import importlib
import importlib.util
import linecache
import os
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from looped.plugins.reference import Reference, is_reference
from looped.plugins.source import digest_of
from looped.rules import one_line, require

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "looped."
"""Begins the names of the groups of entry points: ``looped.tasks``, ``looped.forms``."""

_registered: dict[tuple[str, str], Reference] = {}
_objects: dict[tuple[str, str], Any] = {}  # by name and digest, wherever the file lies
_texts: dict[tuple[str, str], str] = {}


@cache
def _entries(kind: str) -> "dict[str, EntryPoint]":
    from importlib.metadata import entry_points  # which takes longer than the help of a command

    group = entry_points(group=f"{GROUP}{kind}")
    return {entry.name: entry for entry in group}


def names(kind: str) -> tuple[str, ...]:
    """Name the parts of a kind that are registered, or installed: nothing of them is imported.

    Args:
        kind: ``tasks``, ``sizes``, ``forms``, ...
    """
    return (*(name for each, name in _registered if each == kind), *sorted(_entries(kind)))


def register(kind: str, name: str, part: Any) -> Reference:
    """Let a name stand for an object of this process; a later one of the name takes its place.

    Args:
        kind: ``tasks``, ``forms``, ...
        name: which a setting may have from now on.
        part: a class or function, whose source can be read.

    Raises:
        ValueError: its source is nowhere to be read.
    """
    module = part.__module__
    file = _file_of(part)
    text = "".join(linecache.getlines(file))
    require(bool(text), f"{name} must be defined in a file or in a notebook's cell", "no source")
    is_script = module == "__main__" and Path(file).is_file()
    place = _as_given(Path(file)) if is_script else module
    reference = Reference(place, part.__qualname__)
    digest = digest_of(text, part.__qualname__, place)
    reference = replace(reference, version=_version(reference), digest=digest)
    _objects[reference.name, digest], _texts[reference.name, digest] = part, text
    _registered[kind, name] = reference
    return reference


def reference_to(kind: str, word: str) -> Reference:
    """Say what a word means, and import nothing of it; see ``pin``."""
    return _registered.get((kind, word)) or _by_entry(kind, word) or Reference.parse(word)


def pin(kind: str, word: str) -> Reference:
    """Find what a word means, load it, and say which source that is.

    Args:
        kind: ``tasks``, ``forms``, ...
        word: a reference, or a name that is registered or an entry point of ``looped.<kind>``.

    Raises:
        ValueError: there is no such thing, or it does not load.
    """
    reference = reference_to(kind, word)
    if reference.digest:
        load(reference)
        return reference
    text, path = _text_at(reference)
    reference = replace(
        reference,
        version=reference.version or _version(reference),
        digest=digest_of(text, reference.name, reference.place),
    )
    part = _load(reference, text, path)
    home = getattr(part, "__module__", None)
    if isinstance(part, type) and not reference.is_file and home != reference.place:
        return pin(kind, f"{home}:{part.__qualname__}")  # what it is made from stands there
    return reference


def load(reference: Reference) -> Any:
    """Load the object that a pinned reference means.

    Raises:
        ValueError: it is not there, or made from other lines.
    """
    key = reference.name, reference.digest
    if key in _objects:
        return _objects[key]
    try:
        text, path = _text_at(reference)
        _require_same(reference, text)
    except ValueError:
        if key not in _texts:
            raise
        text, path = _texts[key], reference.place
    return _load(reference, text, path)


def missing(reference: Reference) -> str:
    """Say why the object of a pinned reference is not here; nothing where it is.

    Nothing is imported or run for it: of an installed module the package alone is looked for.
    """
    key = reference.name, reference.digest
    if key in _objects or key in _texts:
        return ""
    if not reference.is_file and _is_importable(reference.place.partition(".")[0]):
        return ""
    try:
        _require_same(reference, _text_at(reference)[0])
    except ValueError as error:
        return str(error)
    return ""


def text_of(reference: Reference) -> str | None:
    """Return the text that an object was made from, where this process knows it."""
    return _texts.get((reference.name, reference.digest))


def remember(reference: Reference, text: str) -> None:
    """Keep a text, for where the file that it is from cannot be found."""
    _texts.setdefault((reference.name, reference.digest), text)


def _require_same(reference: Reference, text: str) -> None:
    here = digest_of(text, reference.name, reference.place)
    rule = f"{reference.place}:{reference.name} must be the source {reference.digest}"
    require(here == reference.digest, rule, f"{here}: it was changed since")


def _by_entry(kind: str, word: str) -> Reference | None:
    if is_reference(word) or word not in _entries(kind):
        return None
    entry = _entries(kind)[word]
    version = entry.dist.version if entry.dist else ""
    return replace(Reference.parse(entry.value.partition("[")[0].strip()), version=version)


def _text_at(reference: Reference) -> tuple[str, str]:
    """Read the text of a reference's place, and say where that is."""
    path = Path(reference.place).expanduser() if reference.is_file else _module_file(reference)
    if path is None or not path.is_file():
        where = f"(looked in {Path.cwd()})" if reference.is_file else "(not installed here)"
        what = "file" if reference.is_file else "module"
        rule = f"{reference.name} must be in a {what} that is there"
        raise ValueError(f"{rule}, got {reference.place} {where}")
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} must be a text that can be read, got: {one_line(error)}"
        ) from None


def _module_file(reference: Reference) -> Path | None:
    """Find a module's file, without importing the module itself."""
    if _is_importable(reference.place):
        spec = importlib.util.find_spec(reference.place)
        return Path(spec.origin) if spec and spec.origin else None
    return Path(*reference.place.split(".")).with_suffix(".py")  # in the working directory


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _load(reference: Reference, text: str, path: str) -> Any:
    key = reference.name, reference.digest
    try:
        module = _module(reference, text, path)
        part = getattr(module, reference.name)
    except Exception as error:
        came = f"{type(error).__name__}: {one_line(error)}"
        raise ValueError(f"{reference.place}:{reference.name} must load, got {came}") from error
    _objects[key], _texts[key] = part, text
    return part


def _module(reference: Reference, text: str, path: str) -> ModuleType:
    if not reference.is_file and _is_importable(reference.place):
        return importlib.import_module(reference.place)
    name = f"looped_own_{Path(path).stem}_{reference.digest}"
    module = ModuleType(name)
    module.__file__ = path
    folder = os.path.abspath(Path(path).parent)
    if folder not in sys.path and Path(folder).is_dir():
        sys.path.append(folder)  # last: it hides nothing
    sys.modules[name] = module
    try:
        exec(compile(text, path, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _file_of(part: Any) -> str:
    """Name the file, or the notebook's cell, that a class or function is written in."""
    members = vars(part).values() if isinstance(part, type) else (part,)
    codes = (getattr(member, "__code__", None) for member in members)
    file = next((code.co_filename for code in codes if code), None)
    return str(file or getattr(sys.modules.get(part.__module__), "__file__", ""))


def _as_given(path: Path) -> str:
    """Write a path as one would in the working directory."""
    absolute = path.absolute()
    is_inside = absolute.is_relative_to(Path.cwd())
    return str(absolute.relative_to(Path.cwd()) if is_inside else absolute)


def _version(reference: Reference) -> str:
    """Say which version of its package a module is of; nothing for what is not installed."""
    if reference.is_file:
        return ""
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    top = reference.place.partition(".")[0]
    try:
        return version(top)
    except (PackageNotFoundError, ValueError):  # of another name, or no package
        if "-packages" not in str(_module_file(reference)):
            return ""
    owners = packages_distributions().get(top, ())  # which reads about every package there is
    return version(owners[0]) if owners else ""
