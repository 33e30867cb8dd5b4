"""The 36 runs of ``results/h100``, read once."""

import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
READ = (
    "import pathlib, pickle, sys; from analysis.runs.journals import read_folder; "
    "pickle.dump(read_folder(pathlib.Path('results/h100')), sys.stdout.buffer)"
)


@cache
def kept_runs():
    """Read by a process without beartype, which would check 10,980 records for half a minute."""
    return pickle.loads(subprocess.check_output([sys.executable, "-c", READ], cwd=ROOT))
