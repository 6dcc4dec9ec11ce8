"""Traces are binned by queries that were compiled beforehand; they are those of Ibis."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from joulecast.traces.binning import compiled as reader
from joulecast.traces.binning.binning import bin_trace
from joulecast.traces.binning.compiled import KINDS, compile_queries, compiled_query
from joulecast.traces.binning.duckdb_files import open_trace
from joulecast.traces.grid import GRIDS, PAPER_GRID, POWER_OF_TWO_GRID, Grid
from joulecast.traces.load import load_workload
from joulecast.traces.reading.problems import MAX_TOKENS

LENGTHS = [*range(-2, 40), 511, 512, 513, 8191, 8192, 8193, 16384, MAX_TOKENS]
ODD = ["", "x", "-3", "1.5", "1e3", " 7", "0x10", "nan", "inf", "-0", "2147483648", "99999999999"]


def test_the_file_is_what_ibis_compiles() -> None:
    """If this fails: `make queries`."""
    path = Path(reader.__file__).parent / "cell_queries.json"
    assert json.loads(path.read_text()) == compile_queries()


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


@pytest.mark.parametrize("grid", [PAPER_GRID, POWER_OF_TWO_GRID])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "int64", "int32", "double"])
def test_compiled_and_fresh_queries_agree(
    kind: str, grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trace"
    write(path, kind)
    asked = []

    def counted(*arguments: object) -> str | None:
        asked.append(compiled_query(*arguments))
        return asked[-1]

    monkeypatch.setattr(reader, "compiled_query", counted)
    ready = load_workload(path, grid, on_invalid="skip")
    assert asked[0] is not None
    monkeypatch.setattr(reader, "compiled_query", lambda *_: None)
    fresh = load_workload(path, grid, on_invalid="skip")
    assert ready == fresh
    # By hand: two of the lengths are negative, one is 0.
    n = len(LENGTHS)
    assert ready.invalid["negative"] >= 2 * n + 2 * (n - 2)
    assert ready.failed.requests >= n - 2
    assert sum(ready.invalid.values()) + ready.failed.requests + ready.total.requests == (
        n * n + {"csv": 24, "jsonl": 24, "double": 10}.get(kind, 2)
    )


def test_other_grids_and_kinds_are_compiled_when_asked(tmp_path: Path) -> None:
    """Edges up to the largest that a grid may have; 8-bit lengths."""
    path = tmp_path / "t.parquet"
    columns = {"input_tokens": [0, 1, 127], "output_tokens": [1, 0, 127]}
    pq.write_table(pa.table({k: pa.array(v, pa.int8()) for k, v in columns.items()}), path)
    grid = Grid((1, 2**31 - 1), (126, 2**31))
    with open_trace(str(path)) as trace:
        assert trace.kinds == {"requests": ("TINYINT", "TINYINT")}
        assert compiled_query(trace.kinds, grid) is None
        workload = bin_trace(trace, grid)
    assert {cell: sums.requests for cell, sums in workload.cells.items()} == {(0, 0): 1, (1, 1): 1}
    assert workload.failed == (1, 1)
    path.write_text(f"input_tokens,output_tokens\n{MAX_TOKENS},{MAX_TOKENS}\n")
    assert list(load_workload(path, grid).cells) == [(1, 1)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "int64"])
def test_binning_a_usual_trace_imports_little(kind: str, tmp_path: Path) -> None:
    """Ibis, pyarrow, numpy and rich take longer to import than ten million rows to read."""
    path = tmp_path / "trace"
    if kind == "int64":
        columns = {"input_tokens": [5, 7], "output_tokens": [1, 2]}
        pq.write_table(pa.table(columns), path)
    else:
        head, rows = "input_tokens,output_tokens\n", "5,1\n7,2\n"
        lines = '{"input_tokens": 5, "output_tokens": 1}\n' * 2
        path.write_text(lines if kind == "jsonl" else head + rows)
    code = (
        "import sys; from joulecast.cli.main import main\n"
        f"main(['trace', 'bin', {str(path)!r}, '-o', {str(tmp_path / 'w.json')!r}], "
        "standalone_mode=False)\n"
        "print(sorted({'ibis', 'pyarrow', 'numpy', 'rich', 'pandas'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]", ran.stdout
    assert load_workload(tmp_path / "w.json").total.requests == 2


def test_columns_that_only_look_like_durations(tmp_path: Path) -> None:
    """A footer with the type's number in a name is looked at more closely, and is fine."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"input_tokens": [5], "output_tokens": [7], "a\x12b": [1]}), path)
    assert load_workload(path).total.input_tokens == 5
    pq.write_table(
        pa.table({"input_tokens": [5], "output_tokens": [7], "t": pa.array([1], pa.duration("s"))}),
        path,
    )
    assert load_workload(path).total.input_tokens == 5


def test_every_usual_kind_and_grid_is_there() -> None:
    for kind in KINDS:
        for grid in GRIDS.values():
            assert compiled_query({"requests": (kind, kind)}, grid)
            assert compiled_query({"requests_0": (kind, kind)}, grid) is None
