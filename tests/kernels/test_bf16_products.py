"""Products of bf16 on the CPU: the processor's, their scalar twin, and what is exactly so."""

import ctypes
import subprocess
from pathlib import Path

import pytest
import torch

from looped.kernels.cpu import library

pytestmark = pytest.mark.skipif(library.library() is None, reason="there is no C++ compiler")

PLAIN = (*library.FLAGS[1:], "-O1", *library.LIBRARY, f"-I{library.FOLDER}", "-DBF16")


def compiled(path, *options):
    source = Path(__file__).with_name("products.cpp")
    command = [*library._compiler(), *PLAIN, *options, "-o", str(path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return ctypes.CDLL(str(path))


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("twin") / "twin.so", "-DSCALAR_TWIN")


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    if not library.can_multiply("bf16"):
        pytest.skip("the processor has no AVX512-BF16")
    return compiled(tmp_path_factory.mktemp("native") / "native.so", *library._target())


def products(functions, name, a, b):
    """a: (M, K); b: (K, N)."""
    is_transposed = name != "multiply"
    (rows, terms), columns = a.shape, b.shape[1]
    left = a.T if is_transposed else a
    wide = -(-left.shape[1] // 16) * 16
    padded = torch.zeros(left.shape[0] + 2, wide)  # kernels look at whole vectors
    padded[: len(left), : left.shape[1]] = left
    panels, room = torch.zeros(2, 4 * 128 * 128)
    c = torch.zeros(rows, columns)
    longs = map(ctypes.c_int64, (rows, columns, terms))
    pointers = [ctypes.c_void_p(part.data_ptr()) for part in (b, panels, room, c)]
    getattr(functions, name)(
        *longs, ctypes.c_void_p(padded.data_ptr()), ctypes.c_int64(wide), *pointers
    )
    return c


@pytest.mark.parametrize("name", ["multiply", "multiply_transposed", "add_transposed"])
@pytest.mark.parametrize("shape", [(1, 16, 1), (7, 32, 13), (64, 48, 26), (31, 16, 63)])
def test_the_twin_sums_exact_products_of_rounded_numbers(twin, name, shape):
    rows, columns, terms = shape
    generator = torch.Generator().manual_seed(rows)
    a = torch.randn(rows, terms, generator=generator)
    b = torch.randn(terms, columns, generator=generator)
    c = products(twin, name, a, b)
    rounded = [part.bfloat16().double() for part in (a, b)]
    size = rounded[0].abs() @ rounded[1].abs()
    assert ((c - rounded[0] @ rounded[1]).abs() <= 1e-6 * size).all()
    whole = torch.arange(terms * columns).view(terms, columns) % 7 - 3.0
    ones = torch.ones(rows, terms)
    assert torch.equal(products(twin, name, ones, whole), ones @ whole)  # no rounding: exact


@pytest.mark.parametrize("name", ["multiply", "multiply_transposed", "add_transposed"])
def test_the_processor_multiplies_as_its_twin(native, twin, name):
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(64, 63, generator=generator), torch.randn(63, 48, generator=generator)
    size = a.abs() @ b.abs()
    difference = products(native, name, a, b) - products(twin, name, a, b)
    assert (difference.abs() <= 1e-6 * size).all()


def test_what_is_not_a_number_stays_so(twin):
    a = torch.full((2, 3), float.fromhex("0x1.fffffep127")).masked_fill_(
        torch.eye(2, 3) > 0, torch.nan
    )
    assert products(twin, "multiply", a, torch.ones(3, 16)).isnan().all()
