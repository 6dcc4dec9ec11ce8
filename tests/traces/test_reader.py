import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from joulecast.traces.binning.cells import bin_trace
from joulecast.traces.binning.file_trace import open_trace
from joulecast.traces.grid import PAPER_GRID, POWER_OF_TWO_GRID
from joulecast.traces.load import load_with_lengths, load_workload
from joulecast.traces.workload import Workload
from tests.conftest import RunCli, workload_of

REQUESTS = [(100, 10), (32, 8), (33, 9), (9000, 5), (10, 600), (0, 1), (8192, 512)]
EXPECTED = workload_of(PAPER_GRID, REQUESTS)


def binned(path: Path | str, **options: str) -> Workload:
    return load_workload(str(path), PAPER_GRID, **options)


def azure_2023() -> str:
    return "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
        f"2023-11-16 18:17:0{k}.9799600,{i},{o}\n" for k, (i, o) in enumerate(REQUESTS)
    )


def azure_2024() -> str:
    times = ["2024-05-10 00:00:00.009930+00:00", "2024-05-10 00:00:07+00:00"]
    return "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
        f"{times[k % 2]},{i},{o}\n" for k, (i, o) in enumerate(REQUESTS)
    )


def burstgpt_1_1() -> str:
    head = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    return head + "".join(
        f"{5 + k},ChatGPT,{i},{o},{i + o},Conversation log\n" for k, (i, o) in enumerate(REQUESTS)
    )


def burstgpt_1_2() -> str:
    head = (
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,"
        "Log Type\n"
    )
    return head + "".join(
        f"{5 + k}.5,s{k},0.{k},GPT-4,{i},{o},{i + o},API log\n" for k, (i, o) in enumerate(REQUESTS)
    )


def mooncake() -> str:
    return "".join(
        json.dumps(
            {"timestamp": 3000 * k, "input_length": i, "output_length": o, "hash_ids": [1, 2]}
        )
        + "\n"
        for k, (i, o) in enumerate(REQUESTS)
    )


def plain_csv() -> str:
    return "input_tokens,output_tokens\n" + "".join(f"{i},{o}\n" for i, o in REQUESTS)


KNOWN = {
    "Azure LLM inference": [azure_2023, azure_2024],
    "BurstGPT": [burstgpt_1_1, burstgpt_1_2],
    "Mooncake": [mooncake],
    "joulecast": [plain_csv],
}
CASES = [(name, make) for name, makers in KNOWN.items() for make in makers]


@pytest.mark.parametrize(("name", "make"), CASES, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("packing", ["plain", "gzip", "zstd"])
def test_known_formats_by_their_columns(name: str, make, packing: str, tmp_path: Path) -> None:
    text = make().encode()
    packed = {
        "plain": lambda: text,
        "gzip": lambda: gzip.compress(text),
        "zstd": lambda: _zstd(text),
    }
    path = tmp_path / "trace.bin"  # the name says nothing on purpose
    path.write_bytes(packed[packing]())
    with open_trace(str(path)) as trace:
        assert trace.format.name == name
        assert bin_trace(trace, PAPER_GRID).without_arrivals() == EXPECTED


def _zstd(text: bytes) -> bytes:
    return pa.compress(text, codec="zstd", asbytes=True)


@pytest.mark.parametrize(
    ("make", "span_s"),
    [(azure_2023, 6), (azure_2024, 6.99007), (burstgpt_1_1, 6), (burstgpt_1_2, 6), (mooncake, 18)],
)
def test_arrival_times_in_seconds(make, span_s: float, tmp_path: Path, run_cli: RunCli) -> None:
    path = tmp_path / "trace"
    path.write_text(make())
    document = json.loads(run_cli("trace", "summary", path, "--format", "json").stdout)
    assert document["span_s"] == pytest.approx(span_s, abs=1e-5)


@pytest.mark.parametrize(
    "column_type", [pa.int8, pa.uint16, pa.int64, pa.float64, pa.string, lambda: pa.decimal128(12)]
)
def test_parquet_of_any_number_type(column_type, tmp_path: Path) -> None:
    lengths = [(1, 2), (100, 120), (33, 9)]
    columns = {
        name: pa.array(list(values)).cast(pa.int32()).cast(column_type())
        for name, values in zip(
            ("input_tokens", "output_tokens"), zip(*lengths, strict=True), strict=True
        )
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert binned(tmp_path / "t.parquet") == workload_of(PAPER_GRID, lengths)


def test_json_array(tmp_path: Path) -> None:
    rows = [{"input_tokens": i, "output_tokens": o} for i, o in REQUESTS]
    (tmp_path / "t.json").write_text(json.dumps(rows, indent=1))
    assert binned(tmp_path / "t.json") == EXPECTED


def test_glob_over_kinds_merges(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(plain_csv())
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(plain_csv().encode()))
    (tmp_path / "c.jsonl").write_text(
        "".join(json.dumps({"input_tokens": i, "output_tokens": o}) + "\n" for i, o in REQUESTS)
    )
    assert binned(tmp_path / "*") == EXPECTED + EXPECTED + EXPECTED


def test_requests_come_in_the_order_of_their_files(tmp_path: Path) -> None:
    """Whatever their layouts, and whether their lengths are stored alike."""
    requests = [(k, 1 + k % 700) for k in range(9000)]
    parts = [requests[start : start + 1500] for start in range(0, 9000, 1500)]
    for k, part in enumerate(parts):
        columns = {"input_tokens": [i for i, _ in part], "output_tokens": [o for _, o in part]}
        if k in (1, 4):
            rows = (dict(zip(columns, pair, strict=True)) for pair in part)
            (tmp_path / f"{k}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif k == 3:
            pq.write_table(pa.table(columns), tmp_path / f"{k}.parquet")
        else:
            rows = "".join(f"{i},{o}\n" for i, o in part)
            (tmp_path / f"{k}.csv").write_text(f"input_tokens,output_tokens\n{rows}")
    for pattern, files in (("[012].*", parts[:3]), ("*", parts)):
        workload, lengths = load_with_lengths(tmp_path / pattern, 9000)
        assert lengths is not None
        assert [(i, o) for i, o in lengths.tolist()] == [pair for part in files for pair in part]
        assert workload.total.requests == sum(map(len, files))
        assert [source["name"][0] for source in workload.sources] == list("012345"[: len(files)])


def test_multi_member_gzip_is_read_to_its_end(tmp_path: Path) -> None:
    head, *rows = plain_csv().splitlines(keepends=True)
    members = [gzip.compress((head + rows[0]).encode()), gzip.compress("".join(rows[1:]).encode())]
    (tmp_path / "t.gz").write_bytes(b"".join(members))
    assert binned(tmp_path / "t.gz") == EXPECTED


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_dialects(delimiter: str, line_end: str, tmp_path: Path) -> None:
    text = plain_csv().replace(",", delimiter).replace("\n", line_end)
    (tmp_path / "t").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert binned(tmp_path / "t") == EXPECTED


def test_named_columns(tmp_path: Path) -> None:
    rows = "".join(f'"said ""{i}""\nand more",{o},{i}\n' for i, o in REQUESTS)
    (tmp_path / "log.csv").write_text(f"prompt,completion,n prompt\n{rows}")
    options = {"input_column": "n prompt", "output_column": "completion"}
    assert binned(tmp_path / "log.csv", **options) == EXPECTED


@pytest.mark.parametrize("name", ["a[1].csv", "what?.csv", "sp ace's.csv", "ü*.csv"])
def test_file_names_are_taken_literally(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(plain_csv())
    (tmp_path / "a1.csv").write_text("input_tokens,output_tokens\n1,1\n")
    assert binned(tmp_path / name) == EXPECTED


@pytest.mark.parametrize("make", [plain_csv, mooncake])
def test_standard_input(make, run_cli: RunCli) -> None:
    result = run_cli("trace", "bin", "-", "--grid", "paper", input=make())
    assert result.exit_code == 0, result.output
    assert Workload.from_dict(json.loads(result.stdout)).without_arrivals() == EXPECTED


def test_failed_requests_are_counted_apart(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("input_tokens,output_tokens\n10,0\n20,0\n30,5\n")
    workload = binned(tmp_path / "t.csv")
    assert workload.failed == (2, 30)
    assert workload.total.requests == 1


def test_real_azure_traces(azure_folder: Path) -> None:
    for name, rows, mean_input, mean_output, beyond in (
        ("azure-2023-code", 8819, 2047.85, 27.88, 27),
        ("azure-2023-conv", 19366, 1154.70, 211.13, 563),
    ):
        workload = load_workload(str(azure_folder / f"{name}.csv"), POWER_OF_TWO_GRID)
        total = workload.total
        assert total.requests == rows
        assert round(total.input_tokens / rows, 2) == mean_input
        assert round(total.output_tokens / rows, 2) == mean_output
        assert workload.on_grid(PAPER_GRID).beyond.requests == beyond
        assert workload == load_workload(name), "the shipped workload is this trace's"


def test_shipped_workloads_have_the_published_statistics() -> None:
    for name, rows, mean_input, mean_output, beyond in (
        ("azure-2023-code", 8819, 2047.85, 27.88, 27),
        ("azure-2023-conv", 19366, 1154.70, 211.13, 563),
    ):
        workload = load_workload(name)
        total = workload.total
        assert total.requests == rows
        assert round(total.input_tokens / rows, 2) == mean_input
        assert round(total.output_tokens / rows, 2) == mean_output
        assert workload.on_grid(PAPER_GRID).beyond.requests == beyond
        assert workload.sources[0]["licence"] == "CC-BY-4.0"
