"""Tables as Apache Parquet, with pyarrow (the extra ``data``)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from e91.recorded.tables import (
    TYPES,
    Column,
    Table,
    ordered,
    parsed_metadata,
    wanted_columns,
)

METADATA_KEY = b"e91"
"""Under which the schema holds the metadata, as JSON."""

_ROWS_OF_A_GROUP = 2**20


def write_parquet(
    file: IO[bytes], columns: Mapping[str, Column], metadata: Mapping[str, Any]
) -> None:
    """Write a table.

    Raises:
        ValueError: pyarrow is not installed.
    """
    arrow, parquet = _pyarrow()
    text = json.dumps(dict(metadata), sort_keys=True).encode()
    table = arrow.table(
        {name: arrow.array(columns[name].astype(TYPES[name])) for name in ordered(columns)},
        metadata={METADATA_KEY: text},
    )
    table = table.replace_schema_metadata({METADATA_KEY: text})
    parquet.write_table(table, file, row_group_size=_ROWS_OF_A_GROUP)


def read_parquet(file: Path, *, most_rows: int) -> Table:
    """Return the table of a Parquet file.

    Raises:
        ValueError: pyarrow is not installed; the file is damaged, misses columns, has other types
            than whole numbers, empty entries, or more than ``most_rows`` rows.
        OSError: It cannot be read.
    """
    arrow, parquet = _pyarrow()
    try:
        with file.open("rb") as raw:
            opened = parquet.ParquetFile(raw)
            wanted = wanted_columns(set(opened.schema_arrow.names), file)
            rows = opened.metadata.num_rows
            if rows > most_rows:
                raise ValueError(
                    f"`{file}` must have at most {most_rows:,} rows, but has {rows:,}."
                )
            for name in wanted:
                kind = opened.schema_arrow.field(name).type
                if not arrow.types.is_integer(kind):
                    raise ValueError(
                        f"`{name}` in `{file}` must hold whole numbers, but is {kind}."
                    )
            table = opened.read(columns=list(wanted))
            text = (opened.schema_arrow.metadata or {}).get(METADATA_KEY)
    except arrow.ArrowException as error:
        raise ValueError(f"`{file}` must be a whole Parquet file, but is damaged.") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"`{file}` must be a whole Parquet file, but is damaged.") from error
    columns = {}
    for name in wanted:
        if table[name].null_count:
            raise ValueError(f"`{name}` in `{file}` must have no empty entries, but has some.")
        columns[name] = np.asarray(table[name].to_numpy())
    return Table(columns, parsed_metadata(text, file) if text is not None else {})


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError(
            "Parquet files must be read and written with pyarrow, but it is not installed: "
            "pip install 'e91[data]'."
        ) from None
    return pyarrow, pyarrow.parquet
