"""Logs of APIs, proxies and servers, read as they are."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from joulecast.traces.binning.file_trace import open_trace
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.load import load_from_spark, load_from_table, load_workload
from joulecast.traces.reading.layout import layout
from tests.conftest import RunCli, workload_of

REQUESTS = [(100, 10), (32, 8), (33, 9), (9000, 5), (10, 600), (0, 1), (8192, 512)]
EXPECTED = workload_of(PAPER_GRID, REQUESTS)
Row = dict[str, Any]


def completion(i: Any, o: Any, k: int = 0) -> Row:
    """What the chat completions API returns."""
    return {
        "id": f"chatcmpl-{k}",
        "object": "chat.completion",
        "created": 1_740_000_000 + 3 * k,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": 'He said "hi".'}}],
        "usage": {
            "prompt_tokens": i,
            "completion_tokens": o,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 5},
        },
    }


def response(i: Any, o: Any, k: int = 0) -> Row:
    """What the Responses API returns."""
    usage = {"input_tokens": i, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": o}
    return {"id": f"resp_{k}", "created_at": 1_740_000_000.5 + 3 * k, "usage": usage}


def batched(body: Row, k: int = 0) -> Row:
    """A row of the Batch API's output file."""
    answer = {"status_code": 200, "request_id": f"r{k}", "body": body}
    return {"id": f"batch_req_{k}", "custom_id": f"{k}", "response": answer, "error": None}


def batched_completion(i: Any, o: Any, k: int = 0) -> Row:
    return batched(completion(i, o, k), k)


def batched_response(i: Any, o: Any, k: int = 0) -> Row:
    return batched(response(i, o, k), k)


def litellm(i: Any, o: Any, k: int = 0) -> Row:
    """What LiteLLM logs; what it got back is in the row, too, and may count otherwise."""
    return {
        "status": "success",
        "prompt_tokens": i,
        "completion_tokens": o,
        "startTime": 1_740_000_000.25 + 3 * k,
        "response": completion(1, 1, k),
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }


KINDS = {
    "OpenAI completions": completion,
    "OpenAI responses": response,
    "OpenAI batch of completions": batched_completion,
    "OpenAI batch of responses": batched_response,
    "OpenAI usage": litellm,
}


def lines(*rows: Row | str) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def written(path: Path, *rows: Row | str) -> Path:
    path.write_text(lines(*rows))
    return path


def span_s(path: Path, run_cli: RunCli) -> float | None:
    return json.loads(run_cli("trace", "summary", path, "--format", "json").stdout)["span_s"]


@pytest.mark.parametrize(("name", "make"), KINDS.items(), ids=KINDS)
@pytest.mark.parametrize("layout", ["lines", "gzip", "array"])
def test_known_logs(name: str, make, layout: str, tmp_path: Path, run_cli: RunCli) -> None:
    rows = [make(i, o, k) for k, (i, o) in enumerate(REQUESTS)]
    text = json.dumps(rows, indent=1) if layout == "array" else lines(*rows)
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(text.encode()) if layout == "gzip" else text.encode())
    with open_trace(str(path)) as trace:
        assert trace.format.name == name
    assert load_workload(path, PAPER_GRID).without_arrivals().without_cached() == EXPECTED
    assert span_s(path, run_cli) == 18


SPEND_LOGS = (
    "request_id,call_type,total_tokens,prompt_tokens,completion_tokens,startTime,metadata\n"
)


def test_the_spend_logs_of_litellm(tmp_path: Path, run_cli: RunCli) -> None:
    """As PostgreSQL writes them: timestamps, and JSON in quotes."""
    path = tmp_path / "spend.csv"
    rows = "".join(
        f'r{k},acompletion,{i + o},{i},{o},2025-03-01 09:00:0{k}.5,"{{""usage"": {{}}}}"\n'
        for k, (i, o) in enumerate(REQUESTS)
    )
    path.write_text(SPEND_LOGS + rows)
    assert load_workload(path, PAPER_GRID).without_arrivals().without_cached() == EXPECTED
    assert span_s(path, run_cli) == 6
    failed = 'r9,acompletion,0,0,0,2025-03-01 09:00:07,"{""status"": ""failure""}"\n'
    path.write_text(SPEND_LOGS + rows + failed)
    assert load_workload(path, PAPER_GRID).failed == (1, 0)


@pytest.mark.parametrize(
    "arrivals",
    [
        pa.array([1.5, 4.0]),
        pa.array([1_500_000, 4_000_000], pa.timestamp("us")),
        pa.array([1_500_000, 4_000_000], pa.timestamp("us", tz="UTC")),
        pa.array(["1.5", "1970-01-01T00:00:04Z"]),
    ],
    ids=["seconds", "timestamp", "with time zone", "text"],
)
def test_start_times_however_they_are_kept(arrivals, tmp_path: Path, run_cli: RunCli) -> None:
    path = tmp_path / "log.parquet"
    table = {"prompt_tokens": [5, 6], "completion_tokens": [7, 8], "startTime": arrivals}
    pq.write_table(pa.table(table), path)
    assert span_s(path, run_cli) == 2.5
    assert load_workload(path).total.output_tokens == 15


def test_a_table_of_usage_in_a_database(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "log.db"
    with duckdb.connect(str(path)) as database:
        database.execute("CREATE TABLE spend AS SELECT 5 AS prompt_tokens, 7 AS completion_tokens")
    assert load_from_table(f"duckdb://{path}", "spend").total.input_tokens == 5


# A failed call has no usage: its row is invalid, and no request of no tokens.
FAILED_CALLS: dict[str, Row] = {
    "no response": {"id": "b", "custom_id": "x", "response": None, "error": {"code": "expired"}},
    "no body": batched({}) | {"response": {"status_code": 500, "body": None}},
    "an error for a body": batched({"error": {"message": "too long"}}),
    "no usage": batched({"id": "chatcmpl", "usage": None}),
    "null for a length": batched_completion(None, 5),
    "nothing of it": {},
}


@pytest.mark.parametrize("case", FAILED_CALLS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_failed_calls_are_named_or_counted(case: str, place: int, tmp_path: Path) -> None:
    rows: list[Row] = [batched_completion(100, 10), batched_completion(7, 3)]
    rows.insert(place, FAILED_CALLS[case])
    path = written(tmp_path / "log", *rows)
    column = "response.body.usage.prompt_tokens"
    with pytest.raises(InputError) as caught:
        load_workload(path)
    assert str(caught.value).startswith(f"{path}:{place + 1}: {column} is missing; ")
    workload = load_workload(path, on_invalid="skip")
    assert dict(workload.invalid) == {"missing": 1}
    assert workload.failed == (0, 0)
    assert workload.total[:2] == (2, 107)


def test_a_failed_call_may_be_the_first_of_an_array(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(json.dumps([FAILED_CALLS["no response"], batched_completion(100, 10)]))
    with pytest.raises(InputError, match=r"row 1: response\.body\.usage\.prompt_tokens is missing"):
        load_workload(path)
    workload = load_workload(path, on_invalid="skip")
    assert (workload.total.input_tokens, dict(workload.invalid)) == (100, {"missing": 1})


def test_an_array_whose_first_objects_are_long(tmp_path: Path) -> None:
    """Its keys are looked for beyond the first block that is read."""
    path = tmp_path / "log"
    failed = FAILED_CALLS["no response"] | {"note": "é" * 100_000}
    path.write_text(json.dumps([failed, failed, batched_completion(100, 10)], ensure_ascii=False))
    assert load_workload(path, on_invalid="skip").total.input_tokens == 100


ODD = {
    "text": ('"many"', 'is "many" (not a number)', "not a number"),
    "an array": ("[5]", 'is "[5]" (not a number)', "not a number"),
    "an object": ('{"a": 5}', 'is "{"a":5}" (not a number)', "not a number"),
    "true": ("true", 'is "true" (not a number)', "not a number"),
    "negative": ("-5", 'is "-5" (negative)', "negative"),
    "fractional": ("1.5", 'is "1.5" (fractional)', "fractional"),
    "too large": ("2147483648", 'is "2147483648" (2^31 or more)', "2^31 or more"),
}


@pytest.mark.parametrize("case", ODD)
def test_nested_lengths_are_held_to_the_same_rules(case: str, tmp_path: Path) -> None:
    value, said, reason = ODD[case]
    row = json.dumps(completion(3, "O")).replace('"O"', value)
    path = written(tmp_path / "log", completion(100, 10), "", row, completion(-1, 10))
    with pytest.raises(InputError) as caught:
        load_workload(path)
    assert f"{path}:3: usage.completion_tokens {said}; lengths are counts" in str(caught.value)
    workload = load_workload(path, on_invalid="skip")
    assert workload.total[:2] == (1, 100)
    assert sum(workload.invalid.values()) == 2
    assert workload.invalid[reason] >= 1


@pytest.mark.parametrize("usage", ['"none"', "[1, 2]", "17", "true"])
def test_something_else_where_the_object_should_be(usage: str, tmp_path: Path) -> None:
    row = f'{{"usage": {usage}}}'
    path = written(tmp_path / "log", completion(100, 10), row, completion(7, 3))
    with pytest.raises(InputError, match=r'log:2: the row has something in "usage" that is no ob'):
        load_workload(path)
    workload = load_workload(path, on_invalid="skip")
    assert (workload.total[:2], dict(workload.invalid)) == ((2, 107), {"missing": 1})


def test_nested_keys_given_twice(tmp_path: Path) -> None:
    """An error where they are wanted, as in the row itself; else nobody looks at them."""
    unwanted = (
        '{"z": 1, "z": 2, "usage": {"a": 1, "a": 2, "prompt_tokens": 4, "completion_tokens": 1}}'
    )
    twice = '{"usage": {"prompt_tokens": 5, "prompt_tokens": 6, "completion_tokens": 1}}'
    path = written(tmp_path / "log", completion(100, 10), unwanted)
    assert load_workload(path).total.input_tokens == 104
    written(path, completion(100, 10), unwanted, twice)
    with pytest.raises(InputError, match=r'log:3: the row has the key "usage.prompt_tokens" twice'):
        load_workload(path)
    assert load_workload(path, on_invalid="skip").total.input_tokens == 109


def test_naming_nested_columns(tmp_path: Path) -> None:
    """Keys that have dots themselves, too, as those of OpenTelemetry."""
    rows = [
        {"span": {"gen_ai.usage.prompt_tokens": i, "made": {"tokens": {"`out`'\"": o}}}}
        for i, o in REQUESTS
    ]
    path = written(tmp_path / "log", *rows)
    columns = {
        "input_column": "span.gen_ai.usage.prompt_tokens",
        "output_column": "span.made.tokens.`out`'\"",
    }
    assert load_workload(path, PAPER_GRID, **columns) == EXPECTED


def test_a_column_really_called_so_wins(tmp_path: Path) -> None:
    row = {**completion(1, 1), "usage.prompt_tokens": 50}
    path = written(tmp_path / "log", row)
    assert load_workload(path).total.input_tokens == 50
    assert load_workload(path).total.output_tokens == 1
    text = "usage.prompt_tokens,usage.completion_tokens\n60,5\n"
    (tmp_path / "log.csv").write_text(text)
    assert load_workload(tmp_path / "log.csv").total.input_tokens == 60


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"input_column": "usage.prompt"}, r'no column "usage.prompt", it has: .*usage.prompt_tok'),
        ({"input_column": "usage"}, r'column "usage" holds objects'),
        ({"input_column": "choices.index"}, r'no column "choices.index"'),
    ],
)
def test_nested_columns_that_are_none(columns, said: str, tmp_path: Path) -> None:
    path = written(tmp_path / "log", completion(1, 1))
    with pytest.raises(InputError, match=said):
        load_workload(path, **columns)


def test_what_the_row_says_itself_comes_before_what_lies_within_it(tmp_path: Path) -> None:
    row = litellm(7, 8) | {"ContextTokens": 2, "GeneratedTokens": 2}
    assert load_workload(written(tmp_path / "log", row)).total.input_tokens == 2
    assert load_workload(written(tmp_path / "log", litellm(7, 8))).total.input_tokens == 7
    both = {"input_tokens": 9, "output_tokens": 9}
    assert load_workload(written(tmp_path / "log", litellm(7, 8) | both)).total.input_tokens == 9


def test_files_whose_rows_have_other_keys_are_read_together(tmp_path: Path) -> None:
    """Rows may lack keys: only where the wanted ones lie matters."""
    written(tmp_path / "a", completion(100, 10))
    written(tmp_path / "b", completion(7, 3) | {"service_tier": "default", "n": {"m": 1}})
    (tmp_path / "c").write_text(json.dumps([completion(1, 1)]))
    with open_trace(f"{tmp_path}/*") as trace:
        assert len({layout(file, trace.format) for file in trace.files}) == 2
    assert load_workload(f"{tmp_path}/*").total.input_tokens == 108
    written(tmp_path / "d", response(1, 1))
    with pytest.raises(InputError, match=r"is OpenAI completions and .*d is OpenAI responses"):
        load_workload(f"{tmp_path}/*")


def test_responses_of_two_kinds_in_one_file_are_not_mixed_up(tmp_path: Path) -> None:
    path = written(tmp_path / "log", response(1, 1), completion(100, 10))
    with pytest.raises(InputError, match=r"log:1: usage\.prompt_tokens is missing"):
        load_workload(path)
    assert dict(load_workload(path, on_invalid="skip").invalid) == {"missing": 1}


def test_objects_in_objects_without_end(tmp_path: Path) -> None:
    deep = '{"a": ' * 400 + "1" + "}" * 400
    row = json.dumps(completion(3, 4))[:-1] + f', "metadata": {deep}}}'
    assert load_workload(written(tmp_path / "log", row)).total.input_tokens == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["OpenAI completions", "OpenAI batch of completions"])
def test_spark_reads_nested_lengths_alike(name: str, tmp_path: Path, spark: str) -> None:
    make = KINDS[name]
    rows: list[Row | str] = [make(i, o, k) for k, (i, o) in enumerate(REQUESTS)]
    odd = [make(None, 4), make("x", 4), make(3, -1), make(3, [4]), make(2.5, 4), {}]
    odd += [{"usage": None, "response": None}, {"usage": "x", "response": "x"}]
    path = written(tmp_path / "log.jsonl", *rows, *odd)
    here = load_workload(path, PAPER_GRID, on_invalid="skip")
    there = load_from_spark(str(path), spark, PAPER_GRID, on_invalid="skip")
    assert there == here.without_cached()
    assert (here.arrivals is not None) == ("created" in str(rows))
    assert dict(here.invalid) == {"missing": 4, "not a number": 2, "negative": 1, "fractional": 1}
    assert here.cells == EXPECTED.cells
