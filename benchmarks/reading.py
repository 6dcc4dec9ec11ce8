"""How long reading a large trace takes, beside other readers that make the same sums.

    python benchmarks/reading.py [--rows 1,10,44] [--folder FOLDER] [--runs 3]

Makes Azure-2024-like files (rows in millions; CSV, JSON lines, Parquet), then times whole
processes in turns, start-up included, and prints the best wall time and the largest peak memory of
each as the table of docs/performance.md.
"""

import argparse
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INPUTS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
OUTPUTS = (0, 8, 16, 32, 64, 128, 256, 512)
JOULECAST = str(Path(sys.executable).parent / "joulecast")
TABLE = "h100-sxm/llama-3.1-8b/vllm"
KINDS = ("csv", "parquet", "jsonl")
NO_TIMES = ("--arrival-column", "none")  # the others do not read them either

PANDAS = """
import sys, numpy as np, pandas as pd
path, inputs, outputs = sys.argv[1], eval(sys.argv[2]), eval(sys.argv[3])
columns = ["ContextTokens", "GeneratedTokens"]
if path.endswith("csv"): frame = pd.read_csv(path, usecols=columns)
elif path.endswith("parquet"): frame = pd.read_parquet(path, columns=columns)
else: frame = pd.read_json(path, lines=True)[columns]
i, o = frame.ContextTokens, frame.GeneratedTokens
cells = frame.assign(
    row=np.searchsorted(inputs, i), column=np.searchsorted(outputs, o), ii=i * i, oo=o * o, io=i * o
)
print(len(cells.groupby(["row", "column"]).agg(["count", "sum"])))
"""

POLARS = """
import sys, polars as pl
path, inputs, outputs = sys.argv[1], eval(sys.argv[2]), eval(sys.argv[3])
schema = {"ContextTokens": pl.Int64, "GeneratedTokens": pl.Int64}
if path.endswith("csv"): frame = pl.scan_csv(path, schema_overrides=schema)
elif path.endswith("parquet"): frame = pl.scan_parquet(path)
else: frame = pl.scan_ndjson(path, schema=schema)
i, o = pl.col("ContextTokens"), pl.col("GeneratedTokens")
def index(lengths, edges):
    total = pl.lit(0, pl.UInt8)
    for edge in edges: total = total + (lengths > edge).cast(pl.UInt8)
    return total
cells = frame.select(i, o).with_columns(row=index(i, inputs), column=index(o, outputs))
sums = [x.sum().alias(n) for n, x in dict(a=i, b=i * i, c=o, d=o * o, e=i * o).items()]
print(cells.group_by("row", "column").agg(pl.len(), *sums).collect(engine="streaming").height)
"""

DUCKDB = """
import sys, duckdb
path, inputs, outputs = sys.argv[1], eval(sys.argv[2]), eval(sys.argv[3])
if path.endswith("csv"):
    types = "{'TIMESTAMP': 'VARCHAR', 'ContextTokens': 'BIGINT', 'GeneratedTokens': 'BIGINT'}"
    source = f"read_csv('{path}', columns={types})"
elif path.endswith("parquet"): source = f"'{path}'"
else:
    types = "{'ContextTokens': 'BIGINT', 'GeneratedTokens': 'BIGINT'}"
    source = f"read_json('{path}', columns={types}, format='newline_delimited')"
def index(x, edges, first=0):
    if not edges: return str(first)
    k = len(edges) // 2
    below, above = index(x, edges[:k], first), index(x, edges[k + 1:], first + k + 1)
    return f"CASE WHEN {x} <= {edges[k]} THEN {below} ELSE {above} END"
lengths = f"(SELECT ContextTokens i, GeneratedTokens o FROM {source})"
sql = (
    f"SELECT {index('i', inputs)} r, {index('o', outputs)} c, count(*), sum(i), sum(i * i), "
    f"sum(o), sum(o * o), sum(i * o) FROM {lengths} GROUP BY ALL"
)
print(len(duckdb.sql(sql).fetchall()))
"""


def files(folder: Path, rows: int) -> dict[str, Path]:
    """The three files, made if they are not there.

    In a process of its own: a process that starts others hands its peak memory on to them.
    """
    paths = {kind: folder / f"azure-like-{rows}.{kind}" for kind in KINDS}
    if not all(path.exists() for path in paths.values()):
        maker = multiprocessing.get_context("spawn").Process(target=make_files, args=(paths, rows))
        maker.start()
        maker.join()
    return paths


def make_files(paths: dict[str, Path], rows: int) -> None:
    """Write the three files, all with the same rows."""
    import duckdb
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(2024)
    time_type = pa.timestamp("us", tz="UTC")
    now = 1_715_299_200_000_000  # 2024-05-10
    with pq.ParquetWriter(
        paths["parquet"],
        pa.schema(
            [("TIMESTAMP", time_type), ("ContextTokens", "int64"), ("GeneratedTokens", "int64")]
        ),
    ) as writer:
        for start in range(0, rows, 1_000_000):
            n = min(1_000_000, rows - start)
            times = now + np.cumsum(rng.exponential(13_745, n)).astype(np.int64)
            now = int(times[-1])
            inputs = np.clip(rng.lognormal(7.0, 1.1, n), 1, 60_000).astype(np.int64)
            outputs = np.clip(rng.lognormal(3.5, 1.4, n), 1, 8_000).astype(np.int64)
            columns = [pa.array(times, time_type), pa.array(inputs), pa.array(outputs)]
            writer.write_table(pa.Table.from_arrays(columns, schema=writer.schema))
    with duckdb.connect() as database:
        database.execute("SET memory_limit = '4GB'; SET timezone = 'UTC'")
        written = (
            "SELECT strftime(TIMESTAMP, '%Y-%m-%d %H:%M:%S.%f') || '+00:00' AS \"TIMESTAMP\", "
            f"ContextTokens, GeneratedTokens FROM '{paths['parquet']}'"
        )
        database.execute(f"COPY ({written}) TO '{paths['csv']}' (HEADER)")
        database.execute(f"COPY ({written}) TO '{paths['jsonl']}' (FORMAT json)")


def commands(path: Path, result: Path) -> dict[str, list[str]]:
    """Who reads, and how."""
    edges = [str(INPUTS), str(OUTPUTS)]
    readers = {"DuckDB": DUCKDB, "Polars": POLARS, "pandas": PANDAS}
    ours = {
        "joulecast trace bin": [JOULECAST, "trace", "bin", str(path), *NO_TIMES, "-o", str(result)],
        "joulecast estimate": [  # binned: the step model would take longer than the reading
            JOULECAST, "estimate", str(path), "--table", TABLE, "--method", "binned", *NO_TIMES,
        ],
    }  # fmt: skip
    if path.suffix == ".jsonl" and path.stat().st_size > 5e8:
        del readers["pandas"]  # takes minutes, and more memory than most machines have
    return ours | {
        name: [sys.executable, "-c", code, str(path), *edges] for name, code in readers.items()
    }


def measure(command: list[str]) -> tuple[float, float]:
    """Wall time [s] and peak memory [MB] of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"failed: {' '.join(command)[:200]}")
    process.returncode = 0
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e6


def compare(path: Path, result: Path, runs: int) -> None:
    """Time everyone on one file, in turns, and print a row for each."""
    readings: dict[str, list[tuple[float, float]]] = {}
    for run in range(runs):
        for name, command in commands(path, result).items():
            if name == "pandas" and run > 0:
                continue  # far off, and slow
            readings.setdefault(name, []).append(measure(command))
    seconds = {name: min(s for s, _ in measured) for name, measured in readings.items()}
    fastest = min(seconds["DuckDB"], seconds["Polars"])
    for name, measured in readings.items():
        peak = max(megabytes for _, megabytes in measured)
        ratio = seconds[name] / fastest
        print(f"| {name} | {seconds[name]:.2f} | {ratio:.2f} | {peak:.0f} |", flush=True)


def main() -> None:
    """Make the files and compare the readers on each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="1,10,44", help="millions, with commas between")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "reading")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores\n")
    for millions in options.rows.split(","):
        for kind, path in files(options.folder, int(float(millions) * 1e6)).items():
            size = path.stat().st_size / 1e6
            print(f"\n| {millions} million rows, {kind}, {size:,.0f} MB | s | ratio | peak MB |")
            print("| --- | --- | --- | --- |")
            compare(path, options.folder / "workload.json", options.runs)


if __name__ == "__main__":
    main()
