"""Products of bf16 on the CPU: the processor's, their scalar twin, and what is exactly so."""

import ctypes
import subprocess
from pathlib import Path

import pytest
import torch

from looped.kernels.cpu import library, processor

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
    if not processor.can_multiply("bf16"):
        pytest.skip("the processor has no AVX512-BF16")
    return compiled(tmp_path_factory.mktemp("native") / "native.so", *processor.target())


def in_panels(matrix):
    """Cut (rows, 16 n) into n panels of 16 columns, each row by row."""
    return matrix.unflatten(1, (-1, 16)).transpose(0, 1).contiguous()


def products(functions, name, a, b):
    """a: (M, K); b: (K, N), N a multiple of 16, and so is K where a gradient is summed."""
    (rows, terms), columns = a.shape, b.shape[1]
    left, right = a.contiguous(), in_panels(b)
    c = torch.zeros(columns // 16, rows, 16)
    if name == "multiply_transposed":
        left = torch.nn.functional.pad(a.T, (0, 16 - rows)).contiguous()
    if name == "add_outer":
        left, right, c = in_panels(a), in_panels(b.T), torch.zeros(rows, columns)
    room = torch.zeros(3 * 128 * 128)
    longs = map(ctypes.c_int64, (rows, columns, terms))
    pointers = [ctypes.c_void_p(part.data_ptr()) for part in (left, right, room, c)]
    getattr(functions, name)(*longs, *pointers)
    return c if name == "add_outer" else c.transpose(0, 1).flatten(1)


SHAPES = {
    "multiply": [(1, 16, 1), (7, 32, 13), (64, 48, 26)],
    "multiply_transposed": [(1, 16, 1), (16, 32, 13), (11, 16, 18)],
    "add_outer": [(1, 16, 16), (13, 32, 48), (64, 48, 32)],
}


@pytest.mark.parametrize(
    ("name", "shape"), [(name, shape) for name, shapes in SHAPES.items() for shape in shapes]
)
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


@pytest.mark.parametrize("name", SHAPES)
def test_the_processor_multiplies_as_its_twin(native, twin, name):
    generator = torch.Generator().manual_seed(1)
    rows, columns, terms = SHAPES[name][-1]
    a = torch.randn(rows, terms, generator=generator)
    b = torch.randn(terms, columns, generator=generator)
    size = a.abs() @ b.abs()
    difference = products(native, name, a, b) - products(twin, name, a, b)
    assert (difference.abs() <= 1e-6 * size).all()


def test_what_is_not_a_number_stays_so(twin):
    a = torch.full((2, 3), float.fromhex("0x1.fffffep127")).masked_fill_(
        torch.eye(2, 3) > 0, torch.nan
    )
    assert products(twin, "multiply", a, torch.ones(3, 16)).isnan().all()
