"""Which of the compiled products run: the fastest that compiler, system and processor have."""

import ctypes
import re
import subprocess

import pytest

from looped.kernels.cpu import library, processor


class Products(ctypes.CDLL):
    """A compiled library that says of itself what ``begin`` does."""

    def __init__(self, fault):
        self.fault = fault

    def begin(self):
        return self.fault


@pytest.mark.parametrize(
    ("outcomes", "choice", "reason"),
    [
        ([0, 0], 0, ""),
        ([1, 0], 1, "the system does not let programs use the tiles (c++ -DBF16 -DAMX)"),
        ([2, 0], 1, "products come out wrong (c++ -DBF16 -DAMX)"),
        (["no such instruction", 0], 1, "c++ -DBF16 -DAMX failed: no such instruction"),
        ([1, 2], None, "products come out wrong (c++ -DBF16)"),
    ],
)
def test_other_products_are_taken_where_the_fastest_cannot_be(
    outcomes, choice, reason, monkeypatch, tmp_path, caplog
):
    flags = " ".join(processor.WIDEST | processor.AMX | {"avx512_bf16"})
    monkeypatch.setattr(processor, "listing", lambda: f"flags : {flags}")
    monkeypatch.setattr(library, "_stem", lambda *_: "none")
    monkeypatch.setattr(library, "_load_whole", lambda *_: None)
    libraries = []

    def build(folder, compiler, options):
        outcome = outcomes[len(libraries)]
        libraries.append(Products(outcome))
        if isinstance(outcome, str):
            raise subprocess.CalledProcessError(1, compiler, stderr=outcome)
        return libraries[-1]

    monkeypatch.setattr(library, "_build", build)
    with caplog.at_level("INFO", "looped"):
        if choice is None:
            with pytest.raises(library.KernelError, match=re.escape(reason)):
                library._first_that_works(0, ("c++",), "bf16")
        else:
            assert library._first_that_works(0, ("c++",), "bf16") is libraries[choice]
            assert (reason in caplog.text) if reason else not caplog.text
