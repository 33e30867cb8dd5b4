"""How commands meet the terminal: each case is a process of its own."""

import gc
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from entrypoints.command_line import terminal

ROOT = Path(__file__).parents[2]
COMMAND = """
import logging, os, sys
from pathlib import Path
from entrypoints.command_line import terminal

def command():
    logging.basicConfig(format="%(message)s")
{body}

sys.exit(terminal.run(command))
"""


def start(body, *, before=(), **variables):
    code = COMMAND.format(body="\n".join(f"    {line}" for line in body.splitlines()))
    return subprocess.Popen(
        [*before, sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_closed_pipe_ends_the_printing_and_not_the_command(tmp_path):
    process = start(f"""\
print("first", flush=True)
while not os.path.exists({str(tmp_path / "closed")!r}):
    pass
for number in range(10_000):
    print(number, flush=True)
    logging.warning("a line")
Path({str(tmp_path / "done")!r}).write_text("")
return 7""")  # fmt: skip
    assert process.stdout.readline() == "first\n"
    process.stdout.close()
    process.stderr.close()
    (tmp_path / "closed").write_text("")
    assert process.wait(60) == 7
    assert (tmp_path / "done").exists()


def test_no_password_is_printed_logged_or_in_a_traceback():
    process = start("""\
address = "postgresql://me:s3#cret@10.0.0.2/db"
print("look at", address)
logging.warning("%s is away", address)
raise RuntimeError(address)""")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output == "look at postgresql://me:...@10.0.0.2/db\n"
    assert "postgresql://me:...@10.0.0.2/db is away" in errors
    assert "RuntimeError: postgresql://me:...@10.0.0.2/db" in errors
    assert "s3#cret" not in errors.replace('"postgresql://me:s3#cret@10.0.0.2/db"', "")


def test_a_notebooks_backend_is_not_this_processs():
    process = start(
        "print(os.environ['MPLBACKEND'], ' é')", MPLBACKEND="module://matplotlib_inline.x"
    )
    assert process.communicate(timeout=60)[0] == "agg  é\n"


def test_a_user_without_a_name_or_a_home_is_given_them(monkeypatch):
    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "x")  # so that what is set is undone
        monkeypatch.delenv(name)
    terminal._name_user()
    assert Path.home() == Path(terminal.NO_HOME)
    assert os.environ["LOGNAME"] == str(os.getuid())


@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None, reason="root alone becomes another user"
)
def test_a_process_of_a_nameless_user_begins():
    uid, read = "54321", "+dac_read_search"  # it may read Python's own files, wherever they are
    become = f"setpriv --reuid {uid} --regid {uid} --clear-groups"
    keep = f"--inh-caps {read} --ambient-caps {read} env -u HOME -u USER -u LOGNAME"
    before = f"{become} {keep}".split()
    process = start("import getpass; print(getpass.getuser(), Path.home())", before=before)
    output, errors = process.communicate(timeout=60)
    if "setpriv" in errors:
        pytest.skip(errors)
    assert output == f"{uid} {terminal.NO_HOME}\n"


@pytest.mark.parametrize("was_looking", [True, False])
def test_no_garbage_is_looked_for_while_a_command_keeps_all(was_looking):
    @terminal.keeping_all()
    def command():
        assert not gc.isenabled()
        raise RuntimeError

    (gc.enable if was_looking else gc.disable)()
    try:
        with pytest.raises(RuntimeError):
            command()
        assert (gc.isenabled(), gc.get_freeze_count()) == (was_looking, 0)
    finally:
        gc.enable()


def test_what_a_process_that_kept_all_leaves_is_not_looked_through():
    process = start("""\
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 1000))  # the first, so it runs last
with terminal.keeping_all():
    return 3""")
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (3, "True\n")
