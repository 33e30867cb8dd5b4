"""Products of bf16 on the CPU: the processor's, their scalar twin, and what is exactly so."""

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from looped import TrainConfig, tasks
from looped.kernels.cpu import library, processor
from looped.training import loop, resolve
from looped.training.stacked_model import StackedModel

pytestmark = pytest.mark.skipif(library.library() is None, reason="there is no C++ compiler")

HERE = Path(__file__).parent
PLAIN = (*library.FLAGS[1:], "-O1", *library.LIBRARY, f"-I{library.FOLDER}")
WAYS = {"AVX512-BF16": ("-DBF16",), "AMX": ("-DBF16", "-DAMX")}
LISTED = {"AVX512-BF16": processor.WIDEST | {"avx512_bf16"}, "AMX": processor.AMX}


def compiled(path, source, *options):
    command = [*library._compiler(), *PLAIN, *options, "-o", str(path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return ctypes.CDLL(str(path))


@pytest.fixture(scope="module", params=WAYS)
def way(request):
    return request.param


@pytest.fixture(scope="module")
def twin(way, tmp_path_factory):
    path = tmp_path_factory.mktemp("twin") / "twin.so"
    return compiled(path, HERE / "products.cpp", *WAYS[way], "-DSCALAR_TWIN")


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """Carries AMX's instructions out where the processor has none."""
    if platform.machine() != "x86_64" or not sys.platform.startswith("linux"):
        pytest.skip("AMX is emulated on x86 with Linux")
    if not processor.can_multiply("bf16"):
        pytest.skip("what is beside AMX's products takes AVX512-BF16")
    return compiled(tmp_path_factory.mktemp("amx") / "amx.so", HERE / "amx_emulator.cpp")


@pytest.fixture(scope="module")
def own_products(way, tmp_path_factory):
    if not processor.can_multiply("bf16"):
        pytest.skip("the processor has no AVX512-BF16")
    path = tmp_path_factory.mktemp("native") / "native.so"
    return compiled(path, HERE / "products.cpp", *WAYS[way], *processor.target())


@pytest.fixture
def native(way, own_products, request):
    """The processor's products; those of AMX emulated if it is without them."""
    if processor.features() >= LISTED[way] and own_products.allow():
        yield own_products
        return
    emulator = request.getfixturevalue("emulator")
    emulator.start()
    yield own_products
    emulator.stop()
    assert emulator.multiplied() > 0


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
    "multiply": [(1, 16, 1), (7, 32, 13), (64, 80, 70)],
    "multiply_transposed": [(1, 16, 1), (16, 32, 13), (11, 16, 18)],
    "add_outer": [(1, 16, 16), (13, 32, 48), (64, 48, 64)],
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


def test_the_processor_multiplies_as_its_twin(native, twin):
    for name, shapes in SHAPES.items():
        for rows, columns, terms in shapes:
            generator = torch.Generator().manual_seed(1)
            a = torch.randn(rows, terms, generator=generator)
            b = torch.randn(terms, columns, generator=generator)
            difference = products(native, name, a, b) - products(twin, name, a, b)
            assert (difference.abs() <= 1e-6 * (a.abs() @ b.abs())).all(), (name, rows)


def test_they_are_seen_to_be_right(native, twin):
    assert native.are_right() == twin.are_right() == 1


@pytest.mark.parametrize("way", ["AMX"], indirect=True)
def test_a_processor_that_multiplies_wrongly_is_seen(own_products, emulator):
    if processor.features() >= processor.AMX:
        pytest.skip("the processor's own products cannot be spoilt")
    emulator.start()
    try:
        before = emulator.multiplied()
        assert own_products.are_right() == 1
        n_products = emulator.multiplied() - before
        for which in range(1, n_products + 1):
            emulator.spoil(which)
            assert own_products.are_right() == 0, which
    finally:
        emulator.stop()


def test_what_is_not_a_number_stays_so(twin):
    a = torch.full((2, 3), float.fromhex("0x1.fffffep127")).masked_fill_(
        torch.eye(2, 3) > 0, torch.nan
    )
    assert products(twin, "multiply", a, torch.ones(3, 16)).isnan().all()


@pytest.fixture(scope="module")
def amx(emulator, tmp_path_factory):
    path = tmp_path_factory.mktemp("chain") / "chain.so"
    return compiled(path, library.FOLDER / "chain.cpp", *WAYS["AMX"], *processor.target())


@pytest.mark.parametrize("prompt", ["joint", "interleaved"])
def test_a_whole_step_in_amx_has_the_gradient_of_the_other_products(
    amx, emulator, prompt, monkeypatch
):
    settings = {"prompt": prompt, "n_examples": 20, "batch_size": 3, "steps": 1}
    config = TrainConfig(size="tiny", b=2, precision="bf16", kernels="fused", **settings)
    model = StackedModel([loop.seeded_model(config)], [resolve.resolve(config)])
    xs, ys = tasks.from_config(config.task_config).batch(0, 0, 3, 21)
    losses, _, gradient = model.gradients(xs[None], ys[None])
    is_emulated = not processor.features() >= processor.AMX or amx.begin() != 0
    if is_emulated:
        emulator.start()
    try:
        monkeypatch.setattr(model.cpu_chain, "functions", amx)
        in_amx, _, gradient_in_amx = model.gradients(xs[None], ys[None])
    finally:
        if is_emulated:
            emulator.stop()
    torch.testing.assert_close(in_amx, losses, rtol=1e-3, atol=0)
    assert (gradient_in_amx - gradient).norm() < 2e-3 * gradient.norm()  # 1e-4 to 3e-4 were seen
    assert not torch.equal(gradient_in_amx, gradient)
