"""What the footer of a Parquet file says of its columns; pyarrow would be slow to import."""

import base64
import glob
from collections.abc import Sequence
from pathlib import Path

import duckdb

_ARROW_DURATION = 18
"""What Arrow's schema format calls the type (format/Schema.fbs)."""


def parquet_schema(
    path: Path, database: duckdb.DuckDBPyConnection
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and types of the columns, in file order.

    Raises:
        duckdb.Error: It is no whole Parquet file.
    """
    nodes = database.execute(
        "SELECT name, num_children, concat_ws(' ', type, type_length, converted_type, scale, "
        "precision, logical_type) FROM parquet_schema(?)",
        [glob.escape(str(path.absolute()))],
    ).fetchall()
    names, types = [], []
    children = 0  # of the column at hand that are still to come
    for name, inner, kind in nodes[1:]:  # the first is the row itself
        if children == 0:
            names.append(name)
            types.append(kind)
        else:
            children -= 1
        children += inner or 0
    return tuple(names), tuple(types)


def duration_columns(paths: Sequence[Path], database: duckdb.DuckDBPyConnection) -> dict[str, Path]:
    """Columns that Arrow wrote as durations -> a file that has them; DuckDB takes them for counts.

    Only Arrow's own schema in the footer tells. It is rarely worth the time to import pyarrow and
    read it: without a byte of the type's number in it, there is no duration.
    """
    schemas = database.execute(
        "SELECT file_name, value FROM parquet_kv_metadata(?) WHERE key = 'ARROW:schema'::BLOB",
        [[glob.escape(str(path.absolute())) for path in paths]],
    ).fetchall()
    suspects = [Path(name) for name, value in schemas if _ARROW_DURATION in base64.b64decode(value)]
    if not suspects:
        return {}
    import pyarrow as pa
    import pyarrow.parquet as pq

    return {
        field.name: path
        for path in suspects
        for field in pq.read_schema(path)
        if pa.types.is_duration(field.type)
    }
