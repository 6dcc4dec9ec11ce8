"""Every kind of bad input: one line, with file and row where there is one, and nothing written."""

import gzip
import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from joulecast.estimator.paper import table4 as paper_table4
from joulecast.traces.errors import InputError
from tests.conftest import RunCli

TABLE = "h100-sxm/llama-3.1-8b/vllm"
BINNED = ("--table", TABLE, "--method", "binned")
HEAD = "input_tokens,output_tokens\n"


def csv_with(row: str) -> bytes:
    return f"{HEAD}1,2\n\n3,4\n{row}\n5,6\n".encode()


def json_with(line: str) -> bytes:
    return f'{{"input_tokens": 1, "output_tokens": 2}}\n{line}\n'.encode()


ROWS = {
    "negative": (csv_with("-3,4"), ':5: input_tokens is "-3"'),
    "negative output": (csv_with("3,-4"), ':5: output_tokens is "-4"'),
    "fractional": (csv_with("3,4.5"), ':5: output_tokens is "4.5"'),
    "huge": (csv_with("2147483649,4"), ':5: input_tokens is "2147483649" (2^31 or more)'),
    "very huge": (csv_with("1" + "0" * 60 + ",4"), ":5: input_tokens is"),
    "not a number": (csv_with("many,4"), ':5: input_tokens is "many"'),
    "missing": (csv_with(",4"), ":5: input_tokens is missing"),
    "too few fields": (csv_with("3"), ":5: the row has 1 fields"),
    "too many fields": (csv_with("3,4,5"), ":5: the row has 3 fields"),
    "not utf-8": (csv_with("7,8").replace(b"7,8", b"7,\xff8"), ":5: "),
    "after quoted line": (b'a,input_tokens,output_tokens\n"x\ny",1,2\n,-1,2\n', ":4: input_tokens"),
    "json negative": (
        json_with('{"input_tokens": -1, "output_tokens": 2}'),
        ':2: input_tokens is "-1"',
    ),
    "json text": (
        json_with('{"input_tokens": "x", "output_tokens": 2}'),
        ':2: input_tokens is "x"',
    ),
    "json true": (
        json_with('{"input_tokens": true, "output_tokens": 2}'),
        ':2: input_tokens is "true"',
    ),
    "json missing": (json_with('{"input_tokens": 1}'), ":2: output_tokens is missing"),
    "json broken": (json_with('{"input_tokens": 1, "outp'), ":2: the row is not JSON"),
    "json key twice": (
        json_with('{"input_tokens": 1, "input_tokens": 2, "output_tokens": 2}'),
        ':2: the row has the key "input_tokens" twice',
    ),
    "json list": (json_with("[1, 2]"), ":2: the row is not a JSON object"),
}
FILES = {
    "empty": (b"", "is empty"),
    "blank": (b"\n \n", "is empty"),
    "header only": (HEAD.encode(), "has a header but no requests"),
    "wrong columns": (b"a,b\n1,2\n", 'has no column "input_tokens", it has: a, b'),
    "no header": (b"12,34\n56,78\n", 'has no column "input_tokens"'),
    "one column": (b"input_tokens\n1\n", 'has no column "output_tokens"'),
    "uneven result of a benchmark": (
        b'{"input_lens": [1, 2], "output_lens": [3]}\n',
        "run 1: 2 of input_lens, 1 of output_lens",
    ),
    "summary of a benchmark": (
        b'{"completed": 2, "total_input_tokens": 3, "total_output_tokens": 3}\n',
        "is the summary of a benchmark, without its requests; run it with --save-detailed",
    ),
    "doubled column": (b"input_tokens,output_tokens,input_tokens\n1,2,3\n", "2 columns"),
    "binary": (bytes(range(256)) * 20, "is binary"),
    "broken utf-16": ("input_tokens,output_tokens\n1,2\n".encode("utf-16")[:-1], "is UTF-16 that"),
    "invalid row of utf-16": (
        "input_tokens,output_tokens\r\n1,2\r\n-1,2\r\n".encode("utf-16"),
        ":3: input_tokens",
    ),
    "invalid row between mixed line ends": (
        b"input_tokens,output_tokens\r\n1,2\r3,4\n5,x\n",
        ":4: output_tokens",
    ),
    "old Mac line ends": (b"a,b\r1,2\r", 'has no column "input_tokens", it has: a, b'),
    "broken json lines after a byte order mark": (
        b'\xef\xbb\xbf{"input_tokens": 1, "output_tokens": 2}\n{"input_tokens": 1, "outp\n',
        ":2: the row is not JSON",
    ),
    "bottomless array": (b"[" * 100_000, "is not a JSON array"),
    "bottomless objects": (b'{"a":' * 100_000, "are no JSON objects"),
    "odd format key": (b'{"format": "\\q"}\n{"format": 1}\n', 'has no column "input_tokens"'),
    "long first field": (b"x" * 300_000 + b",b\n1,2\n", 'has no column "input_tokens"'),
    "latin-1 header": (b"input_tokens,output_tokens,gr\xf6\xdfe\n1,2,3\n", "not UTF-8"),
    "truncated gzip": (gzip.compress(csv_with("1,2") * 9)[:-9], "truncated or corrupt"),
    "corrupt gzip": (
        gzip.compress(csv_with("1,2"))[:-6] + b"\0\0\0\0\0\0",
        "truncated or corrupt",
    ),
    "truncated zstd": (
        pa.compress(csv_with("1,2") * 99, codec="zstd", asbytes=True)[:-5],
        "truncated or corrupt",
    ),
    "bzip2": (b"BZh91AY&SY", "packed with bzip2"),
    "truncated parquet": (b"PAR1" + b"\0" * 50, "is not a whole Parquet file"),
    "json over lines, broken off": (b'{\n "input_tokens": 1,\n "output_', "breaks off"),
    "json over lines, invalid row": (
        b'{\n "input_tokens": 1,\n "output_tokens": -2\n}\n',
        ': row 1: output_tokens is "-2" (negative)',
    ),
    "web page": (b"<!DOCTYPE html>\n<html><body>Not found</body></html>", "is a web page; get"),
    "pickle": (b"\x80\x04\x95\x10\0\0\0\0\0\0\0}.", "is a Python pickle; write its requests as"),
    "tar": (
        b"a/trace.csv".ljust(257, b"\0") + b"ustar\x0000".ljust(255, b"\0"),
        "unpack it with tar xf",
    ),
    "SQLite": (b"SQLite format 3\0" + bytes(84), "--connect sqlite://"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "unpack it with 7z x"),
    "xz": (b"\xfd7zXZ\0\0\4", "unpack it with xz -dk"),
    "zip that breaks off": (
        b"PK\x03\x04\x14\0\0\0",
        "zip archive or an Excel file that breaks off",
    ),
    "json array of numbers": (b"[1, 2, 3]", "is not a JSON array of objects"),
    "only failed": (f"{HEAD}5,0\n".encode(), "has no request to estimate"),
    "only beyond": (f"{HEAD}9000,600\n".encode(), "has no request to estimate"),
}
CASES = ROWS | FILES


def assert_one_line(result, fragment: str) -> None:
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    assert fragment in result.stderr


@pytest.mark.parametrize("case", CASES)
def test_trace_files(case: str, run_cli: RunCli, tmp_path: Path) -> None:
    content, fragment = CASES[case]
    (tmp_path / "trace").write_bytes(content)
    output = tmp_path / "result.json"
    result = run_cli("estimate", tmp_path / "trace", *BINNED, "-o", output)
    assert_one_line(result, f"{tmp_path / 'trace'}{fragment if fragment[0] == ':' else ''}")
    assert fragment in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["trace"]


@pytest.mark.parametrize("case", CASES)
def test_the_same_from_standard_input(case: str, run_cli: RunCli) -> None:
    content, fragment = CASES[case]
    result = run_cli("estimate", "-", *BINNED, input=content)
    assert_one_line(result, fragment)
    if case not in ("only failed", "only beyond", "header only"):
        assert "<standard input>" in result.stderr


# DuckDB lets a doubled key pass when it skips errors, and takes the first.
@pytest.mark.parametrize("case", sorted(set(ROWS) - {"json key twice"}))
def test_skipping_counts_what_was_left_out(case: str, run_cli: RunCli, tmp_path: Path) -> None:
    content, _ = ROWS[case]
    (tmp_path / "trace").write_bytes(content)
    words = ("estimate", tmp_path / "trace", *BINNED, "--on-invalid", "skip")
    result = run_cli(*words, "--format", "json")
    assert result.exit_code == 0, result.output
    requests = json.loads(result.stdout)["requests"]
    assert requests["invalid"] == 1
    assert requests["total"] == requests["estimated"] + 1
    assert "1 invalid" in run_cli(*words).stdout


def test_the_row_is_named_in_the_right_file(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEAD + "1,2\n" * 10)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((HEAD + "1,2\n" * 10 + "1,x\n").encode()))
    result = run_cli("estimate", tmp_path / "*", *BINNED)
    assert_one_line(result, 'b.csv.gz:12: output_tokens is "x"')


def test_parquet_rows_and_types(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"input_tokens": [1, None, 3], "output_tokens": [1, 2, 3]}), path)
    assert_one_line(run_cli("estimate", path, *BINNED), "row 2: input_tokens is missing")
    pq.write_table(pa.table({"input_tokens": [True], "output_tokens": [1]}), path)
    assert_one_line(run_cli("estimate", path, *BINNED), "holds boolean")
    for kind in (pa.timestamp("us"), pa.date32(), pa.null()):
        columns = {"input_tokens": pa.array([None], kind), "output_tokens": [1]}
        pq.write_table(pa.table(columns), path)
        said = f"holds {kind}".partition("[")[0].removesuffix("32")
        assert_one_line(run_cli("estimate", path, *BINNED), said)
    nested = pa.array([{"a": 1, "b": [2]}])
    pq.write_table(pa.table({"x": nested, "input_tokens": [5], "output_tokens": [7]}), path)
    assert "1 of 1 estimated" in run_cli("estimate", path, *BINNED).stdout
    pq.write_table(pa.table({"input_tokens": [[1]], "output_tokens": [1]}), path)
    assert_one_line(run_cli("estimate", path, *BINNED), "holds array")


def test_a_bad_row_far_down_in_a_big_file(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "big.csv").write_text(HEAD + "12,34\n" * 300_000 + "12,-1\n" + "12,34\n" * 100_000)
    result = run_cli("estimate", tmp_path / "big.csv", *BINNED)
    assert_one_line(result, 'big.csv:300002: output_tokens is "-1"')


def test_a_stray_quote_never_swallows_rows_unsaid(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    for rows in (
        '10,20\n"30,40\n50,60\n70,80\n',
        '10,20\n"30,40\n50,60\n7"0,80\n9,9\n',
        '10,20\r"30,40\r50,60\r70",80,90\r9,9\r',
    ):
        path.write_text((HEAD.replace("\n", "\r") if "\r" in rows else HEAD) + rows)
        for skip in ((), ("--on-invalid", "skip")):
            result = run_cli("estimate", path, *BINNED, *skip)
            assert_one_line(result, "q.csv:3: the row")
            assert "quote" in result.stderr


def test_blank_lines_above_the_header(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n  \n" + HEAD + "1,2\n3,x\n")
    assert_one_line(run_cli("estimate", path, *BINNED), 't.csv:5: output_tokens is "x"')
    words = ("--on-invalid", "skip", "--format", "json")
    document = json.loads(run_cli("estimate", path, *BINNED, *words).stdout)
    assert document["requests"]["total"] == 2
    assert document["invalid_rows"] == {"not a number": 1}


def test_keys_may_be_missing_from_the_first_line(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"input_tokens": 1}\n5\n{"input_tokens": 3, "output_tokens": 4}\n')
    words = ("--on-invalid", "skip", "--format", "json")
    result = run_cli("estimate", path, *BINNED, *words)
    assert json.loads(result.stdout)["requests"]["invalid"] == 2


def test_columns_that_differ_in_case_alone(run_cli: RunCli, tmp_path: Path) -> None:
    columns = {"Input_Tokens": [9000], "input_tokens": [1], "output_tokens": [2]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    result = run_cli("estimate", tmp_path / "t.parquet", *BINNED, "--format", "json")
    assert json.loads(result.stdout)["requests"]["estimated"] == 1


def test_one_column_for_both_lengths(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    words = ("--input-column", "a", "--output-column", "a")
    result = run_cli("estimate", tmp_path / "t.csv", *BINNED, *words)
    assert_one_line(result, "both the input and the output column")


def test_times_that_are_no_times(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("input_tokens,output_tokens,arrival_s\n1,2,nan\n1,2,inf\n")
    result = run_cli("trace", "summary", tmp_path / "t.csv", "--format", "json")
    assert json.loads(result.stdout)["span_s"] is None


def test_a_shipped_name_wins_over_a_file_of_that_name(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def build(workloads: dict, *_: object) -> None:
        seen.append(workloads)
        raise InputError("this is enough of Table 4")

    monkeypatch.setattr(paper_table4, "build_table4", build)
    assert_one_line(run_cli("table4"), "enough")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "azure-2023-code").write_text(HEAD + "1,2\n")
    (tmp_path / "azure-2023-conv").mkdir()
    assert_one_line(run_cli("table4"), "enough")
    before, after = seen
    assert after == before
    assert (
        before["azure-2023-code"][1].total.requests
        == 8819 - before["azure-2023-code"][1].failed.requests
    )
    words = ("estimate", *BINNED, "--format", "json")
    assert json.loads(run_cli(*words, "azure-2023-code").stdout)["requests"]["total"] == 8819
    assert json.loads(run_cli(*words, "./azure-2023-code").stdout)["requests"]["total"] == 1


def test_a_paper_grid_workload_goes_everywhere(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(HEAD + "1,2\n8000,500\n9000,5\n")
    saved = tmp_path / "w.json"
    assert (
        run_cli("trace", "bin", tmp_path / "t.csv", "--grid", "paper", "-o", saved).exit_code == 0
    )
    assert "3 requests" in run_cli("trace", "summary", saved).stdout
    assert run_cli("trace", "bin", saved).stdout == saved.read_text()
    assert run_cli("estimate", saved, *BINNED).exit_code == 0


def test_a_workload_with_its_keys_in_another_order(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(HEAD + "1,2\n")
    document = json.loads(run_cli("trace", "bin", tmp_path / "t.csv").stdout)
    (tmp_path / "w.json").write_text(json.dumps(document, sort_keys=True, indent=1))
    assert run_cli("estimate", tmp_path / "w.json", *BINNED).exit_code == 0


def test_a_quote_closed_far_below_is_named(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text("note," + HEAD + 'a,1,2\n"b,3,4\n' + "c,5,6\n" * 500_000 + 'e",1,2\nf,1,2\n')
    for skip in ((), ("--on-invalid", "skip")):
        assert_one_line(run_cli("trace", "summary", path, *skip), "q.csv:3: ")


def test_tables_of_different_models_do_not_compare(
    run_cli: RunCli, tmp_path: Path, table_folder: Path
) -> None:
    path = table_folder / "table.json"
    path.write_text(path.read_text().replace("llama-3.1-8b", "olmo-7b"))
    words = ("compare", "azure-2023-code", "--table", TABLE, "--table", table_folder)
    assert_one_line(run_cli(*words), "a saving is between ways to run one model")


def test_parquet_files_of_unlike_types_are_read_each_as_it_is(
    run_cli: RunCli, tmp_path: Path
) -> None:
    for name, kind, rows in (("a", "TINYINT", (10, 20)), ("b", "INTEGER", (260, 300))):
        duckdb.sql(
            f"COPY (SELECT {rows[0]}::{kind} AS input_tokens, {rows[1]}::{kind} AS output_tokens) "
            f"TO '{tmp_path / name}.parquet'"
        )
    result = run_cli("trace", "bin", tmp_path / "*.parquet")
    assert result.exit_code == 0, result.output
    assert [cell[3] for cell in json.loads(result.stdout)["cells"]] == [10, 260]


@pytest.mark.parametrize("folder", ["input_tokens=7", "INPUT_TOKENS=7", "c0=7"])
def test_folders_are_no_columns(folder: str, run_cli: RunCli, tmp_path: Path) -> None:
    place = tmp_path / folder
    place.mkdir()
    (place / "t.csv").write_text(HEAD + "10,20\n30,40\n")
    (place / "t.jsonl").write_text('{"input_tokens": 10, "output_tokens": 20}\n')
    pq.write_table(pa.table({"input_tokens": [10], "output_tokens": [20]}), place / "t.parquet")
    for name, total in (("t.csv", 40), ("t.jsonl", 10), ("t.parquet", 10)):
        cells = json.loads(run_cli("trace", "bin", place / name).stdout)["cells"]
        assert sum(cell[3] for cell in cells) == total


def test_a_leading_tilde_is_part_of_a_name(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder, row in (("~", "10,20"), ("home", "999,888")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "z.csv").write_text(f"{HEAD}{row}\n")
    (cell,) = json.loads(run_cli("trace", "bin", "~/z.csv").stdout)["cells"]
    assert cell[3] == 10


def test_arrivals_with_utc_offsets(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00+00:00,10,20\n"
        "2024-05-10 02:01:00.5+02:00,30,40\n"
    )
    summary = json.loads(run_cli("trace", "summary", path, "--format", "json").stdout)
    assert summary["span_s"] == 60.5


def test_the_file_that_is_named_is_the_one_at_fault(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEAD + "1,2,3\n4,5\n")
    (tmp_path / "data.csv").write_text(HEAD + '1,2\n"4,5\n6,7\n8,9\n')
    result = run_cli("trace", "bin", tmp_path / "*.csv", "--on-invalid", "skip")
    assert result.exit_code == 1
    assert "data.csv:3" in result.stderr


@pytest.mark.parametrize("address", ["", "duckdb:a.db", "b.duckdb"])
def test_what_is_no_address_of_a_database(
    address: str, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("trace", "bin", "--connect", address, "--table-name", "t", "-o", "w.json")
    assert_one_line(run_cli(*words), "is no address of a database")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("limit", ["-1", "none", "-5MB", "x"])
def test_memory_limits_that_are_none(limit: str, run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEAD + "1,2\n")
    result = run_cli("trace", "bin", path, f"--memory-limit={limit}")
    assert_one_line(result, "is no size of memory")


def test_damaged_pages_are_laid_at_the_right_door(run_cli: RunCli, tmp_path: Path) -> None:
    rows = list(range(5000))
    for name in ("p0", "p1", "p2"):
        pq.write_table(
            pa.table({"input_tokens": rows, "output_tokens": rows}), tmp_path / f"{name}.parquet"
        )
    content = bytearray((tmp_path / "p2.parquet").read_bytes())
    content[4:400] = bytes(255 - byte for byte in content[4:400])
    (tmp_path / "p2.parquet").write_bytes(content)
    assert_one_line(run_cli("trace", "bin", tmp_path / "p*.parquet"), "p2.parquet: cannot be read")
