"""The compiled library in the user's cache: damaged, foreign, or in a place that cannot hold it.

What is damaged kills a process that maps it, so each case is a process of its own. Their compiler
is quick: it copies the library that this process has compiled.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from looped.kernels.cpu import library, processor

pytestmark = pytest.mark.skipif(library.library() is None, reason="there is no C++ compiler")

LOAD = """
import logging, os, sys
logging.basicConfig(format="%(message)s", stream=sys.stdout)
from looped.kernels.cpu import library, processor
{before}
loaded = library.library()
print("serves" if loaded and loaded.workspace else "does not serve")
"""


QUICK_COMPILER = """#!/bin/sh
if [ "$1" = --version ]; then echo quick; exit; fi
while [ "$1" != -o ]; do shift; done
exec cp "{compiled}" "$2"
"""


@pytest.fixture(scope="module", autouse=True)
def quick_compiler(tmp_path_factory):
    stem = library._stem(library._compiler())
    compiled = next(library._folder().glob(f"{stem}-*.so"))
    path = tmp_path_factory.mktemp("compiler") / "quick"
    path.write_text(QUICK_COMPILER.format(compiled=compiled))
    path.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXX", str(path))
        yield path


def start(cache, before=""):
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", LOAD.format(before=before)],
        env=os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def load(cache, before=""):
    """Load the library in a process of its own; return the lines that it printed."""
    process = start(cache, before)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, (process.returncode, output)
    return output.splitlines()


@pytest.fixture(scope="module")
def built_cache(quick_compiler, tmp_path_factory):
    cache = tmp_path_factory.mktemp("built")
    assert load(cache) == ["serves"]
    return cache


@pytest.fixture
def cache(built_cache, tmp_path):
    """A cache that holds a good library."""
    shutil.copytree(built_cache, tmp_path / "cache")
    return tmp_path / "cache"


def only_file(cache):
    (path,) = (cache / "looped").iterdir()
    return path


NO_COMPILING = "library._build = lambda *_: sys.exit('it was compiled again')"


def test_what_lies_there_whole_is_loaded_as_it_is(cache):
    assert load(cache, NO_COMPILING) == ["serves"]


def truncate(path):
    os.truncate(path, 20_000)


def empty(path):
    os.truncate(path, 0)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def link(path):
    path.rename(path.parents[2] / "elsewhere.so")
    path.symlink_to(path.parents[2] / "elsewhere.so")


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def make_group_writable(path):
    path.chmod(0o660)


@pytest.mark.parametrize("damage", [truncate, empty, flip_a_bit, link, pipe, make_group_writable])
def test_a_bad_library_is_made_again(cache, damage):
    good = only_file(cache)
    content = good.read_bytes()
    damage(good)
    assert load(cache) == ["serves"]
    file_made = only_file(cache)
    assert file_made.is_file() and not file_made.is_symlink()
    assert file_made.stat().st_mode & 0o777 == 0o600
    assert len(file_made.read_bytes()) == len(content)
    assert load(cache, NO_COMPILING) == ["serves"]


def test_the_library_of_another_build_is_left_alone(cache):
    library_of_another = cache / "looped" / "chain-0123456789abcdef-0123.so"
    library_of_another.write_bytes(b"of another machine that shares this home")
    truncate(next(path for path in (cache / "looped").iterdir() if path != library_of_another))
    assert load(cache) == ["serves"]
    assert library_of_another.exists()


def assert_plain(lines, cause):
    warning, verdict = lines
    assert warning.startswith("fused kernels for the CPU are off: ")
    assert cause in warning
    assert verdict == "does not serve"


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_that_others_can_write_to_is_not_loaded_from(cache, mode):
    (cache / "looped").chmod(mode)
    assert_plain(load(cache), f"{cache / 'looped'} must belong to this user and be writable by")


def test_a_folder_of_another_user_is_not_loaded_from(cache):
    stranger = "os.geteuid = lambda user=os.geteuid(): user + 1"
    assert_plain(load(cache, stranger), "must belong to this user")


def test_a_library_of_another_user_is_not_loaded(cache):
    stranger = """
facts_of_folder = library._is_private
library._is_private = lambda facts: library.stat.S_ISDIR(facts.st_mode) and facts_of_folder(facts)
"""
    assert_plain(load(cache, stranger), "does not read as it was")


def test_a_linked_folder_is_not_followed(cache):
    (cache / "looped").rename(cache / "elsewhere")
    (cache / "looped").symlink_to(cache / "elsewhere")
    assert_plain(load(cache), str(cache / "looped"))


def test_a_cache_that_cannot_be_made_leaves_the_plain_path(tmp_path):
    (tmp_path / "file").touch()
    assert_plain(load(tmp_path / "file"), str(tmp_path / "file"))


def test_a_full_disk_leaves_the_plain_path_and_no_rubbish(tmp_path):
    full = """
import errno
def full(file): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
os.fsync = full
"""
    assert_plain(load(tmp_path, full), "No space left on device")
    assert list((tmp_path / "looped").iterdir()) == []


def test_a_user_without_a_home_trains_plainly(tmp_path):
    homeless = """
def home(): raise RuntimeError("Could not determine home directory.")
library.Path.home = home
"""
    assert_plain(load("", homeless), "Could not determine home directory.")


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
@pytest.mark.parametrize(
    ("options", "cause"), [("ro", "Read-only file system"), ("noexec", "must be allowed to run")]
)
def test_a_home_that_holds_no_programs_leaves_the_plain_path(tmp_path, options, cause):
    mount = ["mount", "-t", "tmpfs", "-o", f"size=9m,{options}", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        assert_plain(load(tmp_path), cause)
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_compiler_behind_a_cache_of_compilers(tmp_path, quick_compiler, monkeypatch):
    cache = tmp_path / "ccache"
    cache.write_text('#!/bin/sh\nexec "$@"\n')
    cache.chmod(0o700)
    monkeypatch.setenv("CXX", f"'{cache}' '{quick_compiler}'")
    assert load(tmp_path) == ["serves"]


def test_several_processes_build_at_once(tmp_path):
    processes = [start(tmp_path) for _ in range(6)]
    assert [process.communicate(timeout=300)[0] for process in processes] == ["serves\n"] * 6
    assert [process.returncode for process in processes] == [0] * 6
    assert only_file(tmp_path).suffix == ".so"


def test_one_that_was_built_meanwhile_stays(cache, quick_compiler, monkeypatch):
    """Compilers may differ from run to run: a neighbour's whole library is not removed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    compiler = (str(quick_compiler),)
    stem = library._stem(compiler)
    neighbour = only_file(cache)
    grown = neighbour.read_bytes() + b"\0"
    neighbour.rename(neighbour.with_name(library._name(stem, grown)))
    (cache / "looped" / library._name(stem, grown)).write_bytes(grown)
    with library._opened(cache / "looped") as folder:
        library._build(folder, compiler)
    assert len(list((cache / "looped").iterdir())) == 2


def test_it_is_synced_before_it_has_its_name_and_the_folder_after(tmp_path, monkeypatch):
    calls = []
    sync, rename = os.fsync, os.rename

    def synced(file):
        calls.append("sync folder" if os.path.isdir(f"/proc/self/fd/{file}") else "sync file")
        sync(file)

    def renamed(*names, **folders):
        calls.append("rename")
        rename(*names, **folders)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    with library._opened(tmp_path / "looped") as folder:
        library._write_whole(folder, "name.so", b"content")
    assert calls == ["sync file", "rename", "sync folder"]
    assert only_file(tmp_path).read_bytes() == b"content"


def test_a_folder_made_for_it_is_the_users_alone(tmp_path):
    umask = os.umask(0)
    try:
        with library._opened(tmp_path / "looped"):
            pass
    finally:
        os.umask(umask)
    assert (tmp_path / "looped").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("flags", "absent"),
    [("sse2", "__AVX__"), ("sse2 avx2 fma", "__AVX512F__"), ("avx2 fma avx512f", "__AVX512F__")],
)
def test_nothing_is_compiled_that_the_system_does_not_list(flags, absent, monkeypatch):
    """A processor may have what its system keeps from programs."""
    stem = library._stem(library._compiler())
    monkeypatch.setattr(processor, "listing", lambda: f"flags\t\t: {flags}")
    monkeypatch.delenv("CXX")
    command = [*library._compiler(), *processor.target(), "-dM", "-E", "-x", "c++", os.devnull]
    macros = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f"#define {absent} " not in macros
    assert not processor.can_multiply("bf16")
    assert library._stem.__wrapped__(library._compiler()) != stem


def test_machines_that_share_a_home_have_a_library_each(cache):
    lesser = "library.processor.listing = lambda: 'flags : avx2 fma'"
    assert load(cache, lesser) == ["serves"]
    assert len(list((cache / "looped").iterdir())) == 2
    assert load(cache, NO_COMPILING) == ["serves"]
    assert load(cache, f"{NO_COMPILING}; {lesser}") == ["serves"]
