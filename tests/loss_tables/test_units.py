"""How a loss becomes bits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.loss_tables.units import DIFFERENCE, RATIO, UNITS, WAYS, Conversion
from analysis.runs.expressivity import expressivity
from entrypoints import table_law

CONVERSIONS = [
    Conversion(unit="nmse"),
    Conversion(unit="nmse", floor=0.001),
    Conversion(unit="mse", reference=7.0),
    Conversion(unit="nats", reference=9.0),
    Conversion(unit="nats", reference=9.0, floor=1.5),
    Conversion(unit="nats", reference=9.0, way=DIFFERENCE),
    Conversion(unit="bits", reference=8.0, way=DIFFERENCE),
    Conversion(unit="bpb", reference=1.0),
    Conversion(unit="perplexity", reference=50.0),
    Conversion(unit="perplexity", reference=50.0, floor=1.2),
    Conversion(unit="perplexity", reference=50.0, way=DIFFERENCE),
    Conversion(unit="expressivity"),
]


@pytest.mark.parametrize("conversion", CONVERSIONS, ids=str)
@given(shares=st.lists(st.floats(0.01, 5), min_size=1, max_size=4))
def test_bits_lead_back_to_the_loss(conversion, shares):
    least = conversion.floor or max(UNITS[conversion.unit].above, 0)
    values = least + np.array(shares)
    assert conversion.values(conversion.bits(values)) == pytest.approx(values, rel=1e-9)


@pytest.mark.parametrize("conversion", CONVERSIONS, ids=str)
def test_the_reference_is_no_bits_and_errors_are_slopes(conversion):
    if conversion.origin is not None:
        assert conversion.bits([conversion.origin]) == pytest.approx(0, abs=1e-12)
    values, step = np.array([2.0, 3.5]), 1e-6
    slopes = (conversion.bits(values + step) - conversion.bits(values - step)) / (2 * step)
    if conversion.unit != "expressivity":
        assert (slopes < 0).all()  # a smaller loss is more bits
    errors = conversion.bits_error(values, np.full(2, 0.01))
    assert errors == pytest.approx(0.01 * np.abs(slopes), rel=1e-5)


def test_an_nmse_becomes_what_that_of_our_runs_does():
    values = [0.5, 0.01, 1.3]
    assert (Conversion(unit="nmse").bits(values) == expressivity(values)).all()


def test_one_loss_in_four_units_has_the_same_bits():
    bits = np.array([3.2, 2.9])
    units = {"bits": bits, "nats": bits * math.log(2), "perplexity": 2**bits, "bpb": bits}
    references = {"bits": 8.0, "nats": 8 * math.log(2), "perplexity": 2.0**8, "bpb": 8.0}
    for way, expected in ((RATIO, np.log2(8 / bits)), (DIFFERENCE, 8 - bits)):
        for unit, values in units.items():
            conversion = Conversion(unit=unit, way=way, reference=references[unit])
            assert conversion.bits(values) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"unit": "accuracy"}, "unit must be one of nmse, mse"),
        ({"unit": "nmse", "way": "log"}, "bits must be one of ratio, difference, got log"),
        ({"unit": "mse", "way": DIFFERENCE}, "must be of losses that are logarithms"),
        ({"unit": "nats", "way": DIFFERENCE, "floor": 1.0}, "floor must be auto"),
        ({"unit": "expressivity", "reference": 1.0}, "where values are bits of E already, got 1"),
        ({"unit": "perplexity", "reference": 1.0}, "reference must be above 1, got 1"),
        ({"unit": "nats", "reference": 1.0, "floor": 2.0}, "reference must be above the floor"),
    ],
)
def test_bad_settings_are_refused(settings, rule):
    with pytest.raises(ValueError, match=rule):
        Conversion(**settings)


def test_the_command_knows_the_units():
    assert tuple(UNITS) == table_law.UNITS
    assert {"ratio", "difference"} == set(WAYS)
