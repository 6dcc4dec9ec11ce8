"""The SQL that reads lengths, on columns of every kind, and what reading imports."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from joulecast.traces.binning.file_trace import open_trace
from joulecast.traces.grid import PAPER_GRID, POWER_OF_TWO_GRID, Grid
from joulecast.traces.load import load_workload
from joulecast.traces.reading.lengths import Stored, kind_of
from joulecast.traces.reading.problems import MAX_TOKENS
from joulecast.traces.workload import Failed
from tests.conftest import workload_of

LENGTHS = [*range(-2, 40), 511, 512, 513, 8191, 8192, 8193, 16384, MAX_TOKENS]
ODD = ["", "x", "-3", "1.5", "1e3", " 7", "0x10", "nan", "inf", "-0", "2147483648", "99999999999"]


def write(path: Path, kind: str) -> None:
    pairs = [(i, o) for i in LENGTHS for o in LENGTHS]
    if kind in ("csv", "jsonl"):
        pairs = [*pairs, *((x, 5) for x in ODD), *((5, x) for x in ODD)]
    if kind == "csv":
        lines = "".join(f"{i},{o}\n" for i, o in pairs)
        path.write_text("input_tokens,output_tokens\n" + lines)
    elif kind == "jsonl":
        lines = (json.dumps({"input_tokens": i, "output_tokens": o}) for i, o in pairs)
        path.write_text("\n".join(lines) + "\n")
    else:
        odd = [1.5, float("nan"), float("inf"), 2.0**31, None] if kind == "double" else [None]
        types = {"int64": pa.int64(), "int32": pa.int32(), "double": pa.float64()}
        inputs, outputs = zip(*pairs, *((x, 5) for x in odd), *((5, x) for x in odd), strict=True)
        columns = {"input_tokens": inputs, "output_tokens": outputs}
        pq.write_table(pa.table({k: pa.array(v, types[kind]) for k, v in columns.items()}), path)


@pytest.mark.parametrize(
    "grid", [PAPER_GRID, POWER_OF_TWO_GRID, Grid((1, 2**31 - 1), (126, 2**31))]
)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "int64", "int32", "double"])
def test_every_kind_of_column_is_binned_alike(kind: str, grid: Grid, tmp_path: Path) -> None:
    """Around every edge, and edges up to the largest that a grid may have."""
    path = tmp_path / "trace"
    write(path, kind)
    workload = load_workload(path, grid, on_invalid="skip")
    # Of the odd texts, " 7" and "1e3" are lengths, and "-0" is none and 0 at once.
    odd = [7, 1000, 0] if kind in ("csv", "jsonl") else []
    pairs = [(i, o) for i in LENGTHS for o in LENGTHS if i >= 0 and o >= 0]
    pairs += [(length, 5) for length in odd] + [(5, length) for length in odd]
    failed = [i for i, o in pairs if o == 0]
    expected = workload_of(grid, [(i, o) for i, o in pairs if o > 0])
    assert workload.cells == expected.cells
    assert workload.failed == Failed(len(failed), sum(failed))
    n = len(LENGTHS)
    assert sum(workload.invalid.values()) == (
        4 * n - 4 + {"csv": 18, "jsonl": 18, "double": 10}.get(kind, 2)
    )


@pytest.mark.parametrize(
    ("type_name", "kind"),
    [
        *[(name, "text") for name in ("VARCHAR", "string", "varchar(20)", "string(5)")],
        *[(name, "whole") for name in ("TINYINT", "UHUGEINT", "INTEGER", "bigint", "!uint8")],
        *[(name, "real") for name in ("DOUBLE", "FLOAT", "DECIMAL(12,0)", "!float64")],
        *[(name, None) for name in ("BIGINT[]", "TIMESTAMP", "BOOLEAN", "INTERVAL", "DECIMAL[]")],
        *[(name, None) for name in ("STRUCT(a BIGINT)", "array<int>", "interval('s')", "UUID")],
    ],
)
def test_kinds_of_columns_by_the_names_of_their_types(type_name: str, kind: str | None) -> None:
    assert kind_of(type_name) == kind


def test_small_whole_numbers_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    columns = {"input_tokens": [0, 1, 127], "output_tokens": [1, 0, 127]}
    pq.write_table(pa.table({k: pa.array(v, pa.int8()) for k, v in columns.items()}), path)
    with open_trace(str(path)) as trace:
        assert trace.stored == Stored("whole", "whole")
    assert load_workload(path).failed == (1, 1)
    assert load_workload(path).total[:2] == (2, 127)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "int64"])
def test_reading_imports_little(kind: str, tmp_path: Path) -> None:
    """Ibis, pyarrow, numpy and rich take longer to import than ten million rows to read."""
    path = tmp_path / "trace"
    if kind == "int64":
        pq.write_table(pa.table({"input_tokens": [5, 7], "output_tokens": [1, 2]}), path)
    else:
        head, rows = "input_tokens,output_tokens\n", "5,1\n7,2\n"
        lines = '{"input_tokens": 5, "output_tokens": 1}\n' * 2
        path.write_text(lines if kind == "jsonl" else head + rows)
    workload = tmp_path / "w.json"
    code = f"""
import sys
from joulecast.cli.main import main
heavy = {{"ibis", "sqlglot", "pyarrow", "pandas"}}
main(["trace", "bin", {str(path)!r}, "-o", {str(workload)!r}], standalone_mode=False)
print("binned with", sorted({{"numpy", "rich", *heavy}} & set(sys.modules)))
main(["trace", "summary", {str(path)!r}], standalone_mode=False)
print("summarised with", sorted(heavy & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "binned with []\n" in ran.stdout
    assert "summarised with []\n" in ran.stdout
    assert load_workload(workload).total.requests == 2
