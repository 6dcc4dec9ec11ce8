"""Tables in memory, arrays and lists of pairs are read as files of the same rows are."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import joulecast as jc
from joulecast.traces.load import load_distributions, load_trace

ROWS = [(100, 10), (3000, 200), (50, 0), (7, 9), (9000, 600)]
COLUMNS = ["input_tokens", "output_tokens"]
MOMENTS = pd.to_datetime(["2024-03-01T00:00:00"] * 5) + pd.to_timedelta([0, 5, 6, 2, 9.5], "s")


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=COLUMNS).assign(**columns)


@pytest.fixture
def expected(tmp_path: Path) -> jc.Workload:
    """What a file of the same rows is."""
    frame().to_csv(tmp_path / "rows.csv", index=False)
    return jc.load_workload(tmp_path / "rows.csv")


def refusal(trace: Any, **reading: Any) -> str:
    with pytest.raises(jc.InputError) as caught:
        jc.load_workload(trace, **reading)
    assert "\n" not in str(caught.value)
    assert "--" not in str(caught.value), "options are for the command line"
    return str(caught.value)


STRUCTURED = np.array(ROWS, dtype=[("input_tokens", "i4"), ("output_tokens", "u8")])
FORMS: dict[str, Callable[[], Any]] = {
    "pairs": lambda: ROWS,
    "tuple of lists": lambda: tuple(map(list, ROWS)),
    "pairs of floats": lambda: [(float(i), o) for i, o in ROWS],
    "pairs of numpy's numbers": lambda: list(np.array(ROWS)),
    "array": lambda: np.array(ROWS),
    "array backwards": lambda: np.array(ROWS[::-1])[::-1],
    "array by columns": lambda: np.asfortranarray(ROWS),
    "a part of an array": lambda: np.repeat(np.array(ROWS), 3, axis=0)[::3],
    "array of floats": lambda: np.array(ROWS, dtype="f4"),
    "array of the other byte order": lambda: np.array(ROWS, dtype=">i4"),
    "array of texts": lambda: np.array(ROWS).astype(str),
    "array of bytes": lambda: np.array(ROWS).astype("S"),
    "array of objects": lambda: np.array(ROWS, dtype=object),
    "masked array": lambda: np.ma.array(ROWS),
    "structured array": lambda: STRUCTURED,
    "record array": lambda: STRUCTURED.view(np.recarray),
    "pandas": frame,
    "pandas, nullable": lambda: frame().convert_dtypes(),
    "pandas, of Arrow": lambda: frame().convert_dtypes(dtype_backend="pyarrow"),
    "pandas, objects": lambda: frame().astype(object),
    "pandas, texts": lambda: frame().astype(str),
    "pandas, categories": lambda: frame().astype(str).astype("category"),
    "pandas, indexed": lambda: frame().set_index("input_tokens"),
    "pandas, beside what cannot be read": lambda: frame(
        a=np.zeros(5, dtype=complex), b=pd.period_range("2024", periods=5)
    ),
    "polars": lambda: pl.DataFrame(ROWS, COLUMNS, orient="row"),
    "polars, lazy": lambda: pl.DataFrame(ROWS, COLUMNS, orient="row").lazy(),
    "polars, beside objects": lambda: pl.DataFrame(ROWS, COLUMNS, orient="row").with_columns(
        pl.Series("o", [object()] * 5, dtype=pl.Object)
    ),
    "arrow": lambda: pa.Table.from_pandas(frame()),
    "arrow, a batch": lambda: pa.RecordBatch.from_pandas(frame()),
    "arrow, a reader": lambda: pa.Table.from_pandas(frame()).to_reader(max_chunksize=2),
    "arrow, dictionaries": lambda: pa.table(
        {name: pa.array(map(str, v)).dictionary_encode() for name, v in frame().items()}
    ),
    "arrow, beside what cannot be read": lambda: pa.Table.from_pandas(frame()).append_column(
        "half", pa.array(np.zeros(5, dtype="f2"))
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_table_is_read_as_a_file_of_its_rows(form: str, expected: jc.Workload) -> None:
    assert jc.load_workload(FORMS[form]()) == expected


def test_tables_go_wherever_a_path_goes() -> None:
    table = frame(arrival_s=MOMENTS)
    forecast = jc.estimate(table)
    assert forecast.serving is not None
    assert forecast.trace == "pandas table"
    tables = ["h100-sxm/llama-3.1-8b/pytorch", "h100-sxm/llama-3.1-8b/vllm"]
    assert jc.compare(np.array(ROWS), tables).trace == "NumPy array"
    assert jc.summarise(pl.DataFrame(table)).span_s == 9.5
    assert load_distributions(ROWS)[0].lengths == (7, 100, 3000, 9000)
    _, lengths = jc.load_with_lengths(pa.Table.from_pandas(table), 100)
    assert lengths is not None
    assert lengths.tolist() == [list(row) for row in ROWS if row[1]]


def test_a_table_stays_as_it_was() -> None:
    table = frame(arrival_s=MOMENTS).set_index("arrival_s")
    before = table.copy(deep=True)
    jc.load_workload(table)
    pd.testing.assert_frame_equal(table, before)


SPANS: dict[str, tuple[Any, str]] = {
    "dates": (MOMENTS, "dates and times"),
    "seconds of dates": (MOMENTS.as_unit("ms"), "dates and times"),
    "dates with a zone": (MOMENTS.tz_localize("Europe/Paris"), "dates and times"),
    "durations": (MOMENTS - MOMENTS[0], "dates and times"),
    "numbers": ([0, 5, 6, 2, 9.5], "seconds"),
    "counted since 1970": (MOMENTS.as_unit("ms").astype("int64"), "milliseconds since 1970"),
    "texts": (MOMENTS.astype(str), "dates and times"),
    "objects": (pd.Series(list(MOMENTS.to_pydatetime()), dtype=object), "dates and times"),
}


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
@pytest.mark.parametrize("times", SPANS)
def test_arrival_times_of_every_type(times: str, library: str) -> None:
    values, unit = SPANS[times]
    table = frame(arrival_s=values)
    given = {"polars": pl.DataFrame, "arrow": pa.Table.from_pandas}.get(library, lambda t: t)(table)
    summary = jc.summarise(given)
    assert summary.arrivals is not None
    assert (summary.span_s, summary.arrivals.unit, summary.arrivals.missing) == (9.5, unit, 0)
    assert bool(summary.arrivals.zoned) == (times in ("dates with a zone", "durations"))
    assert summary.arrivals.out_of_order == 1


def test_nanoseconds_with_a_zone_are_read_from_files_too(tmp_path: Path) -> None:
    table = pa.Table.from_pandas(frame(arrival_s=MOMENTS.tz_localize("UTC")))
    assert table.schema.field("arrival_s").type == pa.timestamp("ns", "UTC")
    pq.write_table(table, tmp_path / "t.parquet")
    assert jc.summarise(tmp_path / "t.parquet").span_s == 9.5


def test_an_index_of_times_is_a_column() -> None:
    named = frame().set_index(MOMENTS.rename("arrival_s"))
    assert jc.summarise(named).span_s == 9.5
    unnamed = frame().set_index(MOMENTS)
    assert jc.summarise(unnamed).span_s is None
    assert jc.summarise(unnamed, arrival_column="index").span_s == 9.5


def test_a_request_without_a_time_is_named() -> None:
    table = frame(arrival_s=[MOMENTS[0], pd.NaT, *MOMENTS[2:]])
    with pytest.raises(jc.InputError, match=r"^pandas table: the row at position 1 \(counted from"):
        jc.estimate(table)
    assert jc.estimate(table, on_invalid="skip").requests["untimed"] == 1


def test_columns_are_named_as_for_files(expected: jc.Workload) -> None:
    other = frame().set_axis(["asked", "said"], axis=1)
    assert jc.load_workload(other, input_column="asked", output_column="said") == expected
    text = refusal(other)
    assert text == (
        'pandas table: has no column "input_tokens", it has: asked, said; name the columns with '
        "input_column and output_column"
    )
    numbered = pd.DataFrame(ROWS)
    numbers: Any = {"input_column": 0, "output_column": 1}
    assert jc.load_workload(numbered, **numbers) == expected
    azure = frame().set_axis(["ContextTokens", "GeneratedTokens"], axis=1)
    assert jc.load_workload(azure).sources[0]["format"] == "Azure LLM inference"


BAD = {
    -1: '"-1" (negative)',
    2.5: '"2.5" (fractional)',
    2**31: '"2147483648" (2^31 or more)',
    10**30: '"1000000000000000000000000000000" (2^31 or more)',
    "many": '"many" (not a number)',
    True: '"True" (not a number)',
    None: "missing",
    pd.NA: "missing",
    float("nan"): "missing",
}


@pytest.mark.parametrize("value", BAD, ids=str)
def test_an_invalid_row_is_named_by_its_position(value: Any) -> None:
    pairs = [(1, 1), (1, value), (1, 2)]
    objects = pd.DataFrame(pairs, columns=COLUMNS, dtype=object)
    for given, name in ((pairs, "list of pairs"), (objects, "pandas table")):
        assert refusal(given) == (
            f"{name}: the row at position 1 (counted from 0): output_tokens is {BAD[value]}; "
            'lengths are counts, 0 or more; mend the row or pass on_invalid="skip"'
        )
        skipped = jc.load_workload(given, on_invalid="skip")
        assert (skipped.total.requests, sum(skipped.invalid.values())) == (2, 1)


def test_an_index_names_the_row_besides() -> None:
    table = frame(output_tokens=[1, 2, -3, 4, 5]).set_axis(list("abcde"))
    assert "the row at position 2 (counted from 0, index c): output_tokens" in refusal(table)


@pytest.mark.parametrize("rows", [300_000])
def test_positions_hold_in_large_tables(rows: int) -> None:
    lengths = np.full((rows, 2), 7)
    lengths[rows - 3, 0] = -4
    table = pd.DataFrame(lengths, columns=COLUMNS)
    for given in (lengths, table, pl.DataFrame(table), pa.Table.from_pandas(table)):
        assert f"the row at position {rows - 3} (counted from 0" in refusal(given)
    lengths[:, 0] = np.arange(rows)
    loaded = load_trace(pl.DataFrame(table.assign(input_tokens=lengths[:, 0])), most_lengths=rows)
    assert loaded.lengths is not None
    np.testing.assert_array_equal(loaded.lengths, lengths)


REFUSED: dict[str, tuple[Any, str]] = {
    "no rows": (frame()[:0], "pandas table: has no rows"),
    "no rows, NumPy": (np.zeros((0, 2)), "NumPy array: has no rows"),
    "no columns": (pd.DataFrame(), "pandas table: has no columns"),
    "no columns, Polars": (pl.DataFrame(), "Polars table: has no columns"),
    "nothing": ([], "the list is empty"),
    "three columns": (np.zeros((4, 3)), "NumPy array: has shape (4, 3); give (n, 2)"),
    "one dimension": (np.zeros(4), "NumPy array: has shape (4,); give (n, 2)"),
    "two in a row of a row": (np.zeros(3, dtype=[("a", "i4", 2)]), "NumPy array: has shape (3,)"),
    "complex": (np.zeros((4, 2), dtype=complex), "NumPy array: cannot be read (complex128)"),
    "booleans": (frame(output_tokens=True), 'column "output_tokens" holds boolean'),
    "lists": (pl.DataFrame({"input_tokens": [[1]], "output_tokens": [1]}), "array of bigint"),
    "objects": (frame(output_tokens=[[1]] * 5), 'output_tokens is "[1]" (not a number)'),
    "unreadable": (frame(input_tokens=np.zeros(5, dtype=complex)), "holds complex128, which"),
    "twice": (pd.concat([frame(), frame()], axis=1), '2 columns "input_tokens"; rename'),
    "levels": (pd.concat([frame()], axis=1, keys=["a"]), "several levels (MultiIndex)"),
    "generator": ((row for row in ROWS), "a generator gives its rows once"),
    "zip": (zip([1], [2], strict=True), "a zip gives its rows once"),
    "series": (frame()["input_tokens"], "Series is one column"),
    "array of Arrow": (pa.array([1]), "Int64Array is one column"),
    "dict": ({"input_tokens": [1]}, "a dict object is no trace; make a table of it"),
    "number": (3, "a int object is no trace; give a path"),
    "None": (None, "a NoneType object is no trace; give a path"),
    "ragged": ([(1, 2), (3,)], "the row at position 1 (counted from 0) holds 1 values"),
    "dicts": ([{"input_tokens": 1}], "the row at position 0 (counted from 0) is of type dict"),
    "triples": ([(1, 2, 3)], "holds 3 values; give pairs"),
    "numbers": ([1, 2], "the row at position 0 (counted from 0) is of type int"),
    "mixed": (["a.csv", (1, 2)], "position 1 of the list (counted from 0) holds a tuple"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_trace_is_refused_in_a_line(case: str) -> None:
    given, part = REFUSED[case]
    assert part in refusal(given)


def test_times_that_are_none_are_said() -> None:
    day = dt.time(9, 30)
    summary = jc.summarise(frame(arrival_s=[day] * 5))
    assert summary.span_s is None
    assert summary.arrivals is not None
    assert summary.arrivals.missing == 4
