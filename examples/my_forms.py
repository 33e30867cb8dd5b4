"""Hill's curve: half of the gain has come after `half` loops beyond the first."""

from analysis.scaling.form.shapes import Parameter, Shape

hill = Shape(
    name="hill",
    formula="1 - 1 / (1 + ((b - 1) / half)^n)",
    parameters=(
        Parameter("half", 0.1, 100, (1.0, 5.0), "loops", is_log=True),
        Parameter("n", 0.2, 5, (0.7, 1.5), is_log=True),
    ),
    rise=lambda b, half, n: 1 - 1 / (1 + ((b - 1) / half) ** n),
)
