"""Environments and checkouts of a test's own, which need no network: made in a second."""

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[3]


def clean_environment(folder):
    """An environment that holds the dependencies of this one, and looped itself not."""
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    # as a path, not by `.pth`: what is installed here as editable is not found there
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def variables_without_conda():
    """This process's variables as on a machine without conda, and nothing of ours on its paths."""
    names = ("PYTHONPATH", "CONDA_EXE")
    variables = {name: value for name, value in os.environ.items() if name not in names}
    return variables | {"PATH": "/usr/bin:/bin"}


def checkout_set_up_without_conda(folder):
    """A checkout of this code as ``make setup`` leaves it on a machine without conda."""
    folder.mkdir()
    for name in ("MLproject", "conda.yaml", "looped", "analysis", "entrypoints"):
        (folder / name).symlink_to(ROOT / name)
    programs = clean_environment(folder / ".venv") / "bin"
    (programs / "mlflow").write_text(f'#!/bin/sh\nexec {programs}/python -m mlflow "$@"\n')
    (programs / "mlflow").chmod(0o755)
    put = [ROOT / "conda-stand-in", "--put-into", programs]
    subprocess.run(put, env=variables_without_conda(), check=True, capture_output=True)
    return folder
