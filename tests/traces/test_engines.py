"""The same requests through every engine: DuckDB, Spark on two workers, a table in a database."""

import contextlib
import itertools
import json
import random
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import ibis
import psutil
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulecast.traces.binning.cells import LIMB_BITS, LIMBS, bin_trace, cell_sums
from joulecast.traces.binning.databases import DatabaseTrace
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID, POWER_OF_TWO_GRID
from joulecast.traces.load import load_from_spark, load_from_table, load_workload
from joulecast.traces.reading.lengths import Stored
from joulecast.traces.reading.problems import MAX_TOKENS
from joulecast.traces.workload import Failed
from tests.conftest import RunCli, workload_of

pytestmark = pytest.mark.slow  # Spark starts a Java machine

ROWS = 50_000
ODD = [
    *("17", "17.0", "1.7e1", " 17 ", "+17", "1_7", "17.", "", "-3", "2.5", "x", "nan", "inf"),
    *("1e400", "-1e400", "2147483647", "2147483648", "1e-400", "17d", "17f", "0x11", "true"),
    *("1__7", "-0", "NaN", "Infinity", "-inf", "1e3", ".5e1", "seventeen", "1,7", "1 7", "-2.5"),
    *("1e-3", "99999999999999999"),
]


@pytest.fixture(scope="module")
def requests() -> tuple[list[int], list[int]]:
    rng = random.Random(6)
    inputs = [min(int(rng.lognormvariate(7, 1.2)), 60_000) for _ in range(ROWS)]
    return inputs, [min(int(rng.lognormvariate(3, 1.6)), 4_000) for _ in range(ROWS)]


@pytest.fixture(scope="module")
def one_file(requests, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one") / "trace.csv"
    pa.csv.write_csv(table_of(*requests), path)
    return path


@pytest.fixture(scope="module")
def many_files(requests, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows in 37 files of three formats."""
    folder = tmp_path_factory.mktemp("many")
    ends = [round(ROWS * k / 37) for k in range(38)]
    for k, (start, end) in enumerate(itertools.pairwise(ends)):
        part = table_of(*(lengths[start:end] for lengths in requests))
        if k % 3 == 0:
            pa.csv.write_csv(part, folder / f"{k}.csv")
        elif k % 3 == 1:
            pq.write_table(part, folder / f"{k}.parquet")
        else:
            lines = (json.dumps(row) + "\n" for row in part.to_pylist())
            (folder / f"{k}.jsonl").write_text("".join(lines))
    return folder


def table_of(inputs: list[int], outputs: list[int]) -> pa.Table:
    return pa.table(
        {"other": ["a"] * len(inputs), "input_tokens": inputs, "output_tokens": outputs}
    )


def counted(workload) -> str:
    """A workload as it is saved, but for where it comes from."""
    return json.dumps({**workload.to_dict(), "sources": []})


def test_one_file_or_37_in_three_formats(requests, one_file: Path, many_files: Path) -> None:
    whole = load_workload(one_file)
    pairs = list(zip(*requests, strict=True))
    succeeded = workload_of(POWER_OF_TWO_GRID, [(i, o) for i, o in pairs if o])
    failed = [i for i, o in pairs if not o]
    assert whole == replace(succeeded, failed=Failed(len(failed), sum(failed)))
    assert failed
    assert counted(load_workload(f"{many_files}/*")) == counted(whole)


def test_spark_with_two_workers(one_file: Path, many_files: Path, spark: str) -> None:
    whole = counted(load_workload(one_file))
    assert counted(load_from_spark(str(one_file), spark)) == whole
    assert counted(load_from_spark(f"{many_files}/*", spark)) == whole
    assert counted(load_from_spark(f"file://{one_file}", spark)) == whole


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_every_kind_of_invalid_length_on_spark(kind: str, tmp_path: Path, spark: str) -> None:
    pairs = (
        [(a, "5") for a in ODD]
        + [("5", b) for b in ODD]
        + list(zip(ODD, reversed(ODD), strict=True))
    )
    path = tmp_path / f"odd.{kind}"
    if kind == "csv":
        rows = "".join(f'"{a}",x,"{b}"\n' if "," in a + b else f"{a},x,{b}\n" for a, b in pairs)
        path.write_text(f"input_tokens,other,output_tokens\n{rows}1,2\n1,2,3,4\n")
    else:
        rows = [{"input_tokens": a, "output_tokens": b} for a, b in pairs]
        rows += [{"input_tokens": 5}, {"input_tokens": None, "output_tokens": 5}]
        rows += [
            {"input_tokens": True, "output_tokens": 2.5},
            {"input_tokens": 7.0, "output_tokens": 3},
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ours = load_workload(path, on_invalid="skip")
    assert len(ours.invalid) >= 5
    assert counted(load_from_spark(str(path), spark, on_invalid="skip")) == counted(ours)
    with pytest.raises(InputError, match="invalid rows, such as one"):
        load_from_spark(str(path), spark)


@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
def test_a_spark_worker_that_is_killed_changes_nothing(
    one_file: Path, many_files: Path, tmp_path: Path
) -> None:
    """Two worker processes; one is killed while it has work."""
    path = tmp_path / "w.json"
    words = ["trace", "bin", f"{many_files}/*", "--engine", "spark", "-o", path]
    words += ["--master", "local-cluster[2,1,1024]"]
    joulecast = psutil.Popen([sys.executable, "-m", "joulecast", *words])
    killed = False
    while joulecast.poll() is None:
        for process in joulecast.children(recursive=True) if not killed else ():
            with contextlib.suppress(psutil.Error):
                if "CoarseGrainedExecutorBackend" in " ".join(process.cmdline()):
                    time.sleep(0.5)
                    process.kill()
                    killed = True
                    break
        time.sleep(0.05)
    assert killed
    assert joulecast.returncode == 0
    assert counted(load_workload(path)) == counted(load_workload(one_file))


def test_a_table_in_a_database(requests, one_file: Path, tmp_path: Path, run_cli: RunCli) -> None:
    with duckdb.connect(str(tmp_path / "log.db")) as database:
        database.execute(f"CREATE SCHEMA logs; CREATE TABLE logs.requests AS FROM '{one_file}'")
    address = f"duckdb://{tmp_path}/log.db"
    whole = load_workload(one_file)
    assert counted(load_from_table(address, "logs.requests")) == counted(whole)
    out = tmp_path / "w.json"
    words = ("trace", "bin", "--connect", address, "--table-name", "logs.requests", "-o", out)
    assert run_cli(*words).exit_code == 0
    assert counted(load_workload(out)) == counted(whole)
    with pytest.raises(InputError, match="no such table"):
        load_from_table(address, "elsewhere")
    with pytest.raises(InputError, match='has no column "prompt"'):
        load_from_table(address, "logs.requests", input_column="prompt")


def test_a_table_in_another_database(tmp_path: Path) -> None:
    """SQLite has neither 32 bits nor a cast that tells text from numbers."""
    pytest.importorskip("regex")  # of Ibis's backend
    path = tmp_path / "log.db"
    rows = [(5, 7), (9000, MAX_TOKENS), (MAX_TOKENS, MAX_TOKENS), (3, 0)]
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE requests(prompt_tokens INTEGER, completion_tokens INTEGER)")
        database.executemany("INSERT INTO requests VALUES (?, ?)", rows)
        database.execute("CREATE TABLE spoilt AS SELECT * FROM requests")
        odd = [(-1, 5), (5, -1), (None, 3), (2**32, 3), (2**62, None)]
        database.executemany("INSERT INTO spoilt VALUES (?, ?)", odd)
        database.execute("CREATE TABLE texts(prompt_tokens TEXT, completion_tokens TEXT)")
        database.commit()
    address = f"sqlite://{path}"
    expected = replace(workload_of(POWER_OF_TWO_GRID, rows[:3]), failed=Failed(1, 3))
    assert load_from_table(address, "requests") == expected
    with pytest.raises(InputError, match='one whose input length "-1" is negative'):
        load_from_table(address, "spoilt")
    skipped = load_from_table(address, "spoilt", on_invalid="skip")
    assert skipped.cells == expected.cells
    assert skipped.invalid == {"2^31 or more": 2, "missing": 1, "negative": 2}
    with pytest.raises(InputError, match="keeps lengths as text, and sqlite has no cast that"):
        load_from_table(address, "texts")


@pytest.mark.parametrize(
    ("files", "source", "complaint"),
    [
        ({"a.csv": 'input_tokens,output_tokens,n\n1,2,"x\n3,4,y"\n'}, "a.csv", "quoted line break"),
        ({"a.csv": 'input_tokens,output_tokens,n\n1,2,"x\n3,4,y\n'}, "a.csv", "stray quote"),
        (
            {
                "a.csv": "input_tokens,output_tokens\n100,2\n",
                "b.csv": "output_tokens,input_tokens\n2,100\n",
            },
            "file://*.csv",
            "different headers",
        ),
        ({"a.gz": "input_tokens,output_tokens\n1,2\n"}, "a.gz", "goes by the name"),
        ({"_a.csv": "input_tokens,output_tokens\n1,2\n"}, "_a.csv", "hides files"),
        ({}, "file://nowhere.csv", "Spark cannot read it"),
    ],
)
def test_what_spark_would_misread_is_refused(
    files: dict[str, str], source: str, complaint: str, tmp_path: Path, spark: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    scheme, _, pattern = source.rpartition("://")
    source = f"{scheme}://{tmp_path}/{pattern}" if scheme else f"{tmp_path}/{pattern}"
    for mode in ("error", "skip"):
        with pytest.raises(InputError, match=complaint):
            load_from_spark(source, spark, on_invalid=mode)


def test_spark_that_runs_already_goes_on_as_it_was(spark: str, tmp_path: Path) -> None:
    from pyspark.sql import SparkSession

    path = tmp_path / "t.csv"
    path.write_text("input_tokens,output_tokens\n5,7\n")
    assert load_from_spark(str(path), spark) == load_workload(path)
    running = SparkSession.getActiveSession()
    assert running is not None
    assert running.range(3).count() == 3
    assert running.conf.get("spark.sql.caseSensitive") == "false"
    assert running.catalog.listTables() == []
    with pytest.raises(InputError, match=r"runs here already, with the master local\[2\]"):
        load_from_spark(str(path), "local[1]")
    with pytest.raises(InputError, match="memory_limit and watch are for reading with DuckDB"):
        load_from_spark(str(path), spark, memory_limit="1GB")


def test_nan_is_no_missing_value_on_spark(tmp_path: Path, spark: str) -> None:
    lengths = pa.array([1.0, None, float("nan"), 2.5])
    table = pa.table({"input_tokens": lengths, "output_tokens": [1, 1, 1, 1]})
    pq.write_table(table, tmp_path / "t.parquet")
    expected = {"fractional": 1, "missing": 1, "not a number": 1}
    path = str(tmp_path / "t.parquet")
    assert load_workload(path, on_invalid="skip").invalid == expected
    assert load_from_spark(path, spark, on_invalid="skip").invalid == expected


def test_the_database_itself_is_safe(tmp_path: Path, run_cli: RunCli) -> None:
    path = tmp_path / "log.db"
    with duckdb.connect(str(path)) as database:
        database.execute("CREATE TABLE t AS SELECT 1 AS input_tokens, 2 AS output_tokens")
    before = path.read_bytes()
    words = ("trace", "bin", "--connect", f"duckdb://{path}", "--table-name", "t")
    result = run_cli(*words, "-o", path)
    assert result.exit_code == 1
    assert "is a trace that was given" in result.stderr
    assert path.read_bytes() == before
    with pytest.raises(InputError, match="no such database"):
        load_from_table(f"duckdb://{tmp_path}/nosuch.db", "t")
    assert [left.name for left in tmp_path.iterdir()] == ["log.db"]


def test_passwords_are_neither_shown_nor_kept(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_from_table("postgress://me:secret@localhost:1/db", "requests")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("--connect", "duckdb://x.db"), "go together"),
        (("a.csv", "--connect", "duckdb://x.db", "--table-name", "t"), "give a TRACE, or"),
        ((), "give a TRACE, or"),
        (("a.csv", "--master", "local[2]"), "--master is for --engine spark"),
    ],
)
def test_options_that_do_not_go_together(words, fragment: str, run_cli: RunCli) -> None:
    result = run_cli("trace", "bin", *words)
    assert result.exit_code == 2
    assert fragment in result.stderr


@pytest.fixture(scope="module")
def another_engine() -> Iterator[Any]:
    """DuckDB as Ibis reaches any database."""
    database = ibis.duckdb.connect()
    yield database
    database.disconnect()


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, MAX_TOKENS), st.integers(0, MAX_TOKENS), st.integers(1, 400)),
        min_size=1,
        max_size=30,
    )
)
def test_sums_in_limbs_are_exact(another_engine, rows) -> None:
    """The engines that sum in 64 bits: limbs put together equal whole numbers."""
    table = pa.table(
        {
            "input": [i for i, _, n in rows for _ in range(n)],
            "output": [o for _, o, n in rows for _ in range(n)],
        }
    )
    another_engine.con.register("arrow", table)
    stored = Stored("whole", "whole", is_duckdb=False)
    trace = DatabaseTrace("logs", "error", (), stored, another_engine, "SELECT * FROM arrow")
    groups = trace.ask(cell_sums(stored, PAPER_GRID))
    total = sum(
        group[f"input_times_output_{k}"] << (LIMB_BITS * k)
        for group in groups
        for k in range(LIMBS)
    )
    assert total == sum(i * o * n for i, o, n in rows)
    assert bin_trace(trace, PAPER_GRID).total.input_times_output == total


def test_the_largest_lengths_in_the_largest_numbers(tmp_path: Path) -> None:
    """3 million of the longest requests: their squares alone sum to 2^83."""
    path = tmp_path / "t.parquet"
    n = 3_000_000
    column = pa.array([MAX_TOKENS]).take(pa.array([0] * n))
    pq.write_table(pa.table({"input_tokens": column, "output_tokens": column}), path)
    total = load_workload(path).total
    assert total.input_tokens_squared == total.input_times_output == n * MAX_TOKENS**2
