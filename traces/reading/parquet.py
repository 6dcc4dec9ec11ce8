"""What the footer of a Parquet file says of its columns; pyarrow would be slow to import."""

import glob
from pathlib import Path

import duckdb

from joulecast.traces.reading.nested import KeyPath


def parquet_schema(
    path: Path, database: duckdb.DuckDBPyConnection
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[KeyPath, ...]]:
    """Names and types of the columns, in file order, and where values lie within structs.

    Raises:
        duckdb.Error: It is no whole Parquet file.
    """
    nodes = database.execute(
        "SELECT name, num_children, concat_ws(' ', type, type_length, converted_type, scale, "
        "precision, logical_type) FROM parquet_schema(?)",
        [glob.escape(str(path.absolute()))],
    ).fetchall()
    names, types, nested = [], [], []
    open_: list[tuple[KeyPath, int, bool]] = []  # groups around, what each lacks, whether a struct
    for name, inner, kind in nodes[1:]:  # the first is the row itself
        above = open_[-1][0] if open_ else ()
        is_value = all(is_struct for _, _, is_struct in open_)
        if not open_:
            names.append(name)
            types.append(kind)
        elif is_value and not inner:
            nested.append((*above, name))
        if open_:
            group, lacking, is_struct = open_.pop()
            open_.append((group, lacking - 1, is_struct))
        if inner:
            open_.append(((*above, name), inner, kind == ""))
        while open_ and open_[-1][1] == 0:
            open_.pop()
    return tuple(names), tuple(types), tuple(nested)
