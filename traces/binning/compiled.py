"""The query of `traces.binning.query`, compiled beforehand for what most traces look like.

Importing Ibis and compiling takes longer than DuckDB takes for ten million rows. `make queries`
compiles anew; a test holds the file against that.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from joulecast.traces.grid import GRIDS, Grid
from joulecast.traces.reading.sniff import TraceFile

REQUESTS = "requests"
KINDS = ("VARCHAR", "BIGINT", "INTEGER", "DOUBLE")
"""DuckDB's types of text and of the numbers that Parquet files usually have."""


def named_views(groups: Sequence[Sequence[TraceFile]]) -> dict[str, Sequence[TraceFile]]:
    """Groups of files by the view that they go into; one alone goes into `REQUESTS`."""
    if len(groups) == 1:
        return {REQUESTS: groups[0]}
    return {f"{REQUESTS}_{k}": group for k, group in enumerate(groups)}


def compiled_query(views: Mapping[str, tuple[str, ...]], grid: Grid) -> str | None:
    """SQL of `bin_requests` on DuckDB; None for what was not compiled.

    Args:
        views: View -> types of its columns, as `traces.reading.scan.create_view` gives them.
        grid: The cells.
    """
    if list(views) != [REQUESTS]:
        return None
    queries = json.loads(_path().read_text(encoding="utf-8"))
    for name, known in GRIDS.items():
        if grid == known:
            sql: str | None = queries.get(_key(views[REQUESTS][:2], name))
            return sql
    return None


def compile_queries() -> dict[str, str]:
    """All that the file holds, compiled by Ibis."""
    import ibis

    from joulecast.traces.binning.query import bin_requests
    from joulecast.traces.reading.lengths import with_tokens

    types = {"VARCHAR": "string", "BIGINT": "int64", "INTEGER": "int32", "DOUBLE": "float64"}
    return {
        _key((kind, kind), name): ibis.to_sql(
            bin_requests(
                with_tokens(
                    ibis.table({"input": types[kind], "output": types[kind]}, name=REQUESTS)
                ),
                grid,
            ),
            dialect="duckdb",
            pretty=False,
        )
        for kind in KINDS
        for name, grid in GRIDS.items()
    }


def _key(kinds: tuple[str, ...], grid: str) -> str:
    return f"{' '.join(kinds)}, {grid}"


def _path() -> Path:
    return Path(str(files("joulecast.traces.binning") / "cell_queries.json"))


def main() -> None:
    """Write the file."""
    _path().write_text(json.dumps(compile_queries(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
