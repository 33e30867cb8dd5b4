"""Curves over loops that a table of losses holds, fitted in bits."""

import pandas as pd

from analysis.answers.loops.loop_curves import fit_curves
from analysis.loss_tables.reading import LossTable
from analysis.loss_tables.units import Conversion


def curves_of(table: LossTable, conversion: Conversion) -> pd.DataFrame | str:
    """Fit a curve to the losses of each model after several loops; say why where there is none.

    Args:
        table: the losses.
        conversion: how they become bits.

    Returns:
        As ``TableFit.curves`` of ``laws``.
    """
    if "loop" not in table.rows:
        return "curves over loops need losses after several loops, got no column loop"
    keys = [name for name in ("size", "b", "seed", "length") if name in table.rows]
    rows, curves, loops = [], [], []
    for place, group in table.rows.groupby(keys, sort=False, dropna=False):
        ordered_rows = group.sort_values("loop")
        if len(ordered_rows) < 2:
            continue
        bits = conversion.bits(ordered_rows["value"].to_numpy(float))
        counts = ordered_rows["loop"].to_numpy(int)
        best = int(bits.argmax())
        rows.append(
            dict(zip(keys, place, strict=True))
            | {"n_evaluated": len(bits), "best_loop": counts[best], "best_bits": bits[best]}
            | {"last_loop": counts[-1], "last_bits": bits[-1]}
        )
        curves.append(bits.tolist())
        loops.append(counts.tolist())
    if not rows:
        return "curves over loops need a model's loss after two loop counts or more, got one each"
    measured_values = pd.DataFrame(rows)
    starts = measured_values["b"].fillna(measured_values["best_loop"]).to_list()
    return pd.concat([measured_values, fit_curves(curves, starts, loops)], axis=1)
