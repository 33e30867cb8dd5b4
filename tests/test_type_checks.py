"""What the tests' own type checks see: no less for being cheap."""

from collections.abc import Callable

import jaxtyping
import pytest
from jaxtyping import Float
from torch import Tensor
from type_checks import has_shapes


@pytest.mark.parametrize(
    ("annotation", "is_so"),
    [
        (int, False), (list[int] | None, False), (Callable[[int], str], False),
        (Float[Tensor, "a b"], True), (dict[str, Float[Tensor, " a"]], True),
        (Callable[[Float[Tensor, " a"]], int], True), ("Tensor", True),
    ],
)  # fmt: skip
def test_shapes_are_seen_however_deep(annotation, is_so):
    assert has_shapes(annotation) is is_so


@pytest.fixture
def half():
    """A function without shapes, checked as those of looped are."""
    beartype = pytest.importorskip("beartype")

    @jaxtyping.jaxtyped(typechecker=beartype.beartype)
    def half(number: int, *, name: str = "") -> int:
        return number / 2 if name == "wrong" else number // 2

    return half


def test_a_call_is_checked_where_the_signature_has_no_shapes(half):
    assert half(4) == half(number=4, name="x") == 2
    for arguments, options in (((4.0,), {}), ((4,), {"name": 3}), ((5,), {"name": "wrong"})):
        with pytest.raises(Exception, match=r"half\(\)"):
            half(*arguments, **options)


def test_checks_are_off_where_users_run_it(half, as_users_run_it):
    assert half(4.0, name=3) == 2
