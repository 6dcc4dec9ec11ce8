"""Files that are no rows yet: every form gives the requests that its example was made of."""

import gzip
import json
from pathlib import Path

import pytest

from joulecast.traces.binning.file_trace import open_trace
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.load import load_workload
from joulecast.traces.reading.rewriting.forms import FORMS
from tests.conftest import RunCli, workload_of
from tests.traces.rewriting.examples import AS_THEY_ARE, EXAMPLES, REQUESTS, SPAN_S, cut

EXPECTED = workload_of(PAPER_GRID, REQUESTS)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_every_form_has_an_example() -> None:
    assert {example.form for example in EXAMPLES.values()} == {form.name for form in FORMS}


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_the_requests_of_every_form(name: str, packed: bool, tmp_path: Path) -> None:
    example = EXAMPLES[name]
    if packed and name == "xlsx":
        pytest.skip("xlsx is packed")
    content = example.make(REQUESTS)
    path = written(tmp_path / "log", gzip.compress(content) if packed else content)
    with open_trace(str(path)) as trace:
        assert trace.sources == ({"name": "log", "kind": example.form, "format": example.format},)
        assert list(map(tuple, trace.lengths_and_cached()[0])) == REQUESTS
        if example.span_s is not None:
            timed, _ = trace.timed()
            assert timed.arrival_s[-1] - timed.arrival_s[0] == example.span_s
    assert load_workload(path, PAPER_GRID).without_arrivals() == EXPECTED


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_what_is_read_as_it_is(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / "log", AS_THEY_ARE[name](REQUESTS))
    with open_trace(str(path)) as trace:
        (file,) = trace.files
        assert (file.form, file.path) == (None, path)
        assert list(map(tuple, trace.lengths_and_cached()[0])) == REQUESTS
        timed, _ = trace.timed()
        assert timed.arrival_s[-1] - timed.arrival_s[0] == SPAN_S


ONE_LINE_EACH = {"UTF-16 LE", "UTF-16 BE", "UTF-16 without a mark", "mixed line ends"}
"""Cut at the end of a row, these are shorter files that are whole."""


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - ONE_LINE_EACH))
def test_a_file_that_breaks_off_is_no_shorter_trace(name: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    for content in cut(EXAMPLES[name].make(REQUESTS)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"^{path}"):
            load_workload(path)


def test_utf16_that_breaks_off_within_a_letter(tmp_path: Path) -> None:
    path = written(tmp_path / "log", EXAMPLES["UTF-16 LE"].make(REQUESTS)[:-1])
    with pytest.raises(InputError, match=r"log: is UTF-16 that breaks off"):
        load_workload(path)


LINES = {
    "xlsx": 8,
    "mixed line ends": 10,
    "UTF-16 LE": 6,
    "UTF-16 BE": 6,
    "UTF-16 without a mark": 6,
    "JSON lines in UTF-16": 5,
    "JSON lines with a mark": 5,
}
"""Where the fifth request stands, of forms whose lines are rows."""


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("value", [-1, "x", 2.5])
def test_an_invalid_row_is_named_by_its_place(name: str, value: object, tmp_path: Path) -> None:
    requests = [*REQUESTS[:4], (7, value), *REQUESTS[4:]]
    path = written(tmp_path / "log", EXAMPLES[name].make(requests))  # type: ignore[arg-type]
    where = f"log:{LINES[name]}" if name in LINES else "log: row 5"
    with pytest.raises(InputError, match=f'{where}: .* is "{value}"'):
        load_workload(path)
    skipped = load_workload(path, PAPER_GRID, on_invalid="skip")
    assert sum(skipped.invalid.values()) == 1
    assert skipped.total.requests == EXPECTED.total.requests


def test_a_row_that_is_no_object_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "log", b'{"data": [{"input_tokens": 1, "output_tokens": 2}, 5]}')
    with pytest.raises(InputError, match="log: row 2: the row is not a JSON object"):
        load_workload(path)
    twice = b'{\n"input_tokens": 1,\n"input_tokens": 3,\n"output_tokens": 2}'
    with pytest.raises(InputError, match='log: row 1: the row has the key "input_tokens" twice'):
        load_workload(written(path, twice))


def test_numbers_come_as_they_were_written(tmp_path: Path) -> None:
    """Those that are no counts stay none; counts keep their last digit."""
    path = written(tmp_path / "log", b'{"data": [{"input_tokens": 1e3, "output_tokens": 2.0}]}')
    assert load_workload(path).total.input_tokens == 1000
    huge = b'{"data": [%s {"input_tokens": 1, "output_tokens": 2, "id": %s}]}'
    many = b'{"input_tokens": 1, "output_tokens": 2},' * 9000
    assert load_workload(written(path, huge % (many, b"9" * 30))).total.requests == 9001
    with pytest.raises(InputError, match="log: has a number of thousands of digits"):
        load_workload(written(path, huge % (many, b"9" * 5000)))


@pytest.mark.parametrize("size", [0, 1, 65_500, 65_530, 131_060])
def test_words_that_are_no_json_across_blocks(size: int, tmp_path: Path) -> None:
    """NaN between values is null, within text it stays text, wherever a block ends."""
    row = '{"said": "NaN \\\\", "b": NaN, '
    row += '"c": "\\"Infinity\\"", "input_tokens": 1, "output_tokens": 2}'
    text = json.dumps({"pad": "\\" * size})[:-1] + ', "data": [' + ", ".join([row] * 3000) + "]}"
    path = written(tmp_path / "log", text.encode())
    with open_trace(str(path)) as trace:
        assert len(trace.lengths_and_cached()[0]) == 3000
        rows = [json.loads(line) for line in trace.files[0].path.read_text().splitlines()]
    assert {row["said"] for row in rows} == {"NaN \\"}
    assert {row["c"] for row in rows} == {'"Infinity"'}
    assert {row["b"] for row in rows} == {None}


def test_columns_that_are_named_make_an_object_a_row(tmp_path: Path) -> None:
    rows = b'{"a": 5, "b": 6, "data": [{"input_tokens": 1, "output_tokens": 2}]}\n'
    path = written(tmp_path / "log", rows * 2)
    assert load_workload(path, input_column="a", output_column="b").total.input_tokens == 10
    inner = b'{"things": [{"a": 5, "b": 6}, {"a": 5, "b": 6}]}\n'
    read = load_workload(written(path, inner), input_column="a", output_column="b")
    assert read.total.input_tokens == 10


def test_mixed_line_ends_far_from_the_head(tmp_path: Path) -> None:
    head = b"input_tokens,output_tokens\n" + b"1,2\n" * 50_000
    path = written(tmp_path / "log", head + b"3,4\r\n" * 50_000)
    assert load_workload(path).total.requests == 100_000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"data": []}, "has no column"),
        ({"resourceSpans": []}, "has no requests in it"),
        ({"input_lens": [1], "output_lens": [1], "start_times": []}, "0 of start_times"),
        ({"input_lens": [1], "errors": []}, 'has no "output_lens" in run 1'),
        ({"input_sequence_length": {"avg": 5}}, "summary of aiperf or genai-perf"),
        ({"experiments": [{"requests": []}]}, "profile of genai-perf"),
    ],
)
def test_what_has_no_requests(content: object, said: str, tmp_path: Path) -> None:
    path = written(tmp_path / "log", json.dumps(content, indent=1).encode())
    with pytest.raises(InputError, match=f"log: .*{said}"):
        load_workload(path)


def test_a_sample_of_guidellm_is_no_whole_trace(tmp_path: Path) -> None:
    report = json.loads(EXAMPLES["guidellm"].make(REQUESTS))
    report["benchmarks"][1]["metrics"]["request_totals"]["successful"] = 1000
    path = written(tmp_path / "log", json.dumps(report).encode())
    with pytest.raises(InputError, match="log: has 3 of the 1000 requests of a benchmark"):
        load_workload(path)


def test_an_object_unlike_the_first(tmp_path: Path) -> None:
    rows = b'{"data": [{"input_tokens": 1, "output_tokens": 2}]}\n{"error": "timeout"}\n'
    with pytest.raises(InputError, match='log: has no "data" in object 2'):
        load_workload(written(tmp_path / "log", rows))
    run = b'{"input_lens": [1], "output_lens": [2]}\n{"completed": 5}\n'
    with pytest.raises(InputError, match='log: has no "input_lens" in run 2'):
        load_workload(written(tmp_path / "log", run))


def test_aiperf_is_read_as_it_is(tmp_path: Path) -> None:
    def record(k: int, i: int, o: int) -> dict[str, object]:
        values = {"input_sequence_length": i, "output_sequence_length": o, "request_latency": 2.5}
        metrics = {key: {"value": value, "unit": "tokens"} for key, value in values.items()}
        metadata = {"request_start_ns": 1_759_813_207_532_900_363 + 3 * k * 10**9}
        return {"metadata": metadata, "metrics": metrics, "error": None}

    rows = (json.dumps(record(k, i, o)) for k, (i, o) in enumerate(REQUESTS))
    path = written(tmp_path / "log", "\n".join(rows).encode())
    with open_trace(str(path)) as trace:
        assert trace.format.name == "aiperf"
        timed, _ = trace.timed()
        assert timed.arrival_s[-1] - timed.arrival_s[0] == pytest.approx(SPAN_S)
    assert load_workload(path, PAPER_GRID).without_arrivals() == EXPECTED


def test_excel_without_what_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "log.xlsx", EXAMPLES["xlsx"].make(REQUESTS))
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(
        InputError, match=r"log\.xlsx: is an Excel file, which needs openpyxl; .*xlsx"
    ):
        load_workload(path)


def test_other_archives_are_named(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "log.zip"
    for member, said in [
        ("a.csv", "is a zip archive; unpack it with unzip"),
        ("a.npy", "NumPy"),
        ("xl/workbook.bin", "is a binary Excel file; save it as xlsx or CSV"),
    ]:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, "x")
        with pytest.raises(InputError, match=said):
            load_workload(path)


def test_the_glob_for_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    (folder / "march").mkdir(parents=True)
    with pytest.raises(InputError, match=r"logs: is a folder; give a file$"):
        load_workload(folder)
    rows = b'{"input_tokens": 1, "output_tokens": 2}\n'
    for k in range(3):
        (folder / "march" / f"{k}.jsonl.gz").write_bytes(gzip.compress(rows))
    (folder / "march" / "notes.md").write_text("of March")
    with pytest.raises(InputError) as error:
        load_workload(folder)
    pattern = str(error.value).rpartition(" such as ")[2]
    assert pattern == f"{folder}/**/*.jsonl.gz"
    assert load_workload(pattern).total.requests == 3
    (folder / "a.csv").write_text("input_tokens,output_tokens\n1,2\n")
    with pytest.raises(InputError, match=r"logs/\*\.csv$"):
        load_workload(folder)


def test_a_database_is_named_with_what_bins_it(tmp_path: Path, run_cli: RunCli) -> None:
    import duckdb

    path = tmp_path / "log.db"
    with duckdb.connect(str(path)) as database:
        database.execute("CREATE TABLE spend AS SELECT 5 AS input_tokens, 7 AS output_tokens")
    said = run_cli("trace", "summary", path).stderr
    words = said.strip().partition("joulecast ")[2].replace("TABLE", "spend").split()
    output = tmp_path / "binned.json"
    assert run_cli(*words, "-o", output).exit_code == 0
    assert load_workload(output).total.output_tokens == 7


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vLLM", "UTF-16 LE", "pretty objects"])
def test_spark_names_what_it_does_not_read(name: str, tmp_path: Path, spark: str) -> None:
    from joulecast.traces.load import load_from_spark

    path = written(tmp_path / "log", EXAMPLES[name].make(REQUESTS))
    with pytest.raises(InputError, match=r"log: is of the form .*, which Spark does not read; bin"):
        load_from_spark(str(path), spark)
