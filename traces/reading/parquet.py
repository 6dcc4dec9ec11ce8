"""What the footer of a Parquet file says of its columns; pyarrow would be slow to import."""

import glob
from pathlib import Path

import duckdb


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
