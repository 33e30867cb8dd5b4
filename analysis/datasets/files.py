"""Writes a data set: its tables as CSV and Parquet, its card, and the checksums of all of these."""

import hashlib
import io
from pathlib import Path

import pandas as pd

from analysis.datasets.card import card_of
from analysis.datasets.tables import Tables
from looped.datasets.loading import CARD, CHECKSUMS
from looped.records.files import write_atomically


def write_dataset(folder: Path, name: str, source: Path, tables: Tables) -> list[Path]:
    """Write the files of a data set, the checksums last.

    The same trainings give the same bytes; those of Parquet only where PyArrow is of the version
    that the file of checksums names.

    Args:
        folder: of the data set, made if missing.
        name: of the data set.
        source: the folder of trainings that the tables were made of.
        tables: of the data set.

    Returns:
        The files, the checksums last.
    """
    import pyarrow

    contents = {CARD: card_of(name, source, tables).encode()}
    for table_name, table in tables.by_name.items():
        contents[f"{table_name}.csv"] = csv_of(table)
        contents[f"{table_name}.parquet"] = parquet_of(table)
    lines = [
        f"# {CARD} and CSV: the same bytes wherever they are made",
        f"# Parquet: the same bytes with PyArrow {pyarrow.__version__}",
        *(f"{hashlib.sha256(contents[file]).hexdigest()}  {file}" for file in sorted(contents)),
    ]
    contents[CHECKSUMS] = "".join(f"{line}\n" for line in lines).encode()
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in contents.items():
        write_atomically(folder / file, content)
    return [folder / file for file in contents]


def csv_of(table: pd.DataFrame) -> bytes:
    r"""Write a table with every digit that its numbers need, and nothing where one is missing.

    Example:
        >>> csv_of(pd.DataFrame({"loop": [1, 2], "nmse": [0.1, float("nan")]}))
        b'loop,nmse\n1,0.1\n2,\n'
    """
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text.encode()


def parquet_of(table: pd.DataFrame) -> bytes:
    """Write a table as Parquet with zstd, without what pandas would add of itself."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    buffer = io.BytesIO()
    pq.write_table(columns, buffer, compression="zstd")
    return buffer.getvalue()
