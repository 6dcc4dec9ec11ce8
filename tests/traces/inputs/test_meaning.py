"""What rows mean is decided of tables in memory and of several traces as it is of files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import joulecast as jc
from joulecast.traces.load import LoadedTrace, load_trace
from tests.conftest import RunCli

LOG = pd.DataFrame(
    {
        "request_id": ["a", "a", "b", "c"],
        "prompt_tokens": [100, 100, 50, 60],
        "completion_tokens": [5, 10, 20, 30],
        "cached_tokens": [64, 64, 0, 16],
        "model": ["m", "m", "n", "m"],
        "num_requests": [1, 1, 3, 1],
    }
)
"""The first two rows are parts of one answer, and the third sums three requests."""

LIBRARIES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda table: table,
    "pandas, categories": lambda table: table.astype({"model": "category"}),
    "polars": pl.DataFrame,
    "polars, lazy": lambda table: pl.DataFrame(table).lazy(),
    "arrow": pa.Table.from_pandas,
    "a reader": lambda table: pa.Table.from_pandas(table).to_reader(),
    "structured array": lambda table: table.to_records(index=False),
}


def read(trace: Any, **reading: Any) -> LoadedTrace:
    return load_trace(trace, most_lengths=99, **reading)


def lengths_and_cached(loaded: LoadedTrace) -> tuple[list[list[int]], list[int] | None]:
    assert loaded.lengths is not None
    return loaded.lengths.tolist(), None if loaded.cached is None else loaded.cached.tolist()


def refusal(trace: Any, **reading: Any) -> str:
    with pytest.raises(jc.InputError) as caught:
        read(trace, **reading)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "reading",
    [
        {},
        {"group_by": "model"},
        {"where": "model = m and completion_tokens > 5"},
        {"count_column": "none", "id_column": "none", "cached_column": "none"},
    ],
    ids=str,
)
def test_a_table_is_read_as_a_file_of_it(
    library: str, reading: dict[str, Any], tmp_path: Path
) -> None:
    LOG.to_csv(tmp_path / "log.csv", index=False)
    of_file = read(tmp_path / "log.csv", **reading)
    of_table = read(LIBRARIES[library](LOG), **reading)
    assert of_table.workload == of_file.workload
    assert lengths_and_cached(of_table) == lengths_and_cached(of_file)
    assert of_table.groups == of_file.groups
    assert of_table.reading is not None
    assert of_file.reading is not None
    assert of_table.reading.columns == of_file.reading.columns
    assert of_table.reading.left_out == of_file.reading.left_out


def test_cached_tokens_counts_and_doubled_ids_of_a_table() -> None:
    loaded = read(LOG)
    assert lengths_and_cached(loaded) == (
        [[100, 10], [16, 6], [17, 7], [17, 7], [60, 30]],
        [64, 0, 0, 0, 16],
    )
    assert loaded.reading is not None
    assert (loaded.reading.rows, loaded.reading.requests) == (4, 5)
    assert loaded.reading.left_out == {"repeated": 1}
    assert "--" not in "".join(loaded.reading.remarks), "options are for the command line"
    assert "where='model = \"NAME\"' keeps one" in loaded.reading.remarks[-1]
    estimate = jc.estimate(LOG)
    assert estimate.cached_tokens == 80
    assert estimate.reading == loaded.reading


def test_groups_of_a_table_and_their_frame() -> None:
    estimate = jc.estimate(LOG, group_by="model")
    groups = estimate.to_frame("groups").set_index("name")
    assert groups["requests"].to_dict() == {"m": 2, "n": 3}
    assert groups["energy_j"].sum() == pytest.approx(estimate.energy_j)
    with pytest.raises(jc.InputError, match="not read by groups; give group_by"):
        jc.estimate(LOG).to_frame("groups")
    numbered: Any = {"input_column": 0, "output_column": 1, "group_by": 2}
    grouped = read(pd.DataFrame([[5, 6, "x"], [7, 8, "y"]]), **numbered).groups
    assert grouped is not None
    assert list(grouped) == ["x", "y"]


def test_groups_in_time_of_a_table() -> None:
    moments = pd.to_datetime(["2024-03-01T10:00", "2024-03-01T11:00", "2024-03-02T10:00"])
    table = pd.DataFrame({"arrival_s": moments, "input_tokens": 5, "output_tokens": [1, 2, 3]})
    groups = read(table, group_by="day").groups
    assert groups is not None
    assert [group.total.requests for group in groups.values()] == [2, 1]


@pytest.mark.parametrize(
    ("reading", "text"),
    [
        ({"where": "nope = 1"}, 'has no column "nope"'),
        ({"where": "model = zzz"}, "pandas table: no row meets where model = zzz"),
        ({"group_by": "nope"}, "name the columns with group_by"),
        ({"cached_column": "nope"}, "name the columns with cached_column"),
        ({"prefix_cache": 512}, "names no blocks of prompts"),
        ({"count_column": "completion_tokens", "where": "model ="}, "is not understood"),
    ],
)
def test_what_cannot_be_read_of_a_table_is_told(reading: dict[str, Any], text: str) -> None:
    told = refusal(LOG, **reading)
    assert text in told
    assert "--" not in told, "options are for the command line"


def test_a_column_that_cannot_be_read_is_named() -> None:
    objects = pl.Series("request_id", [object()] * 4, dtype=pl.Object)
    table = pl.DataFrame(LOG.drop(columns="request_id")).with_columns(objects)
    assert refusal(table) == (
        'Polars table: column "request_id" holds Object, which cannot be read; make numbers of it, '
        "dates and times, or texts"
    )
    assert read(table, id_column="none").workload.total.requests == 6


def test_names_that_are_missing_are_no_names() -> None:
    table = LOG.assign(num_requests=1, request_id=np.nan)
    nan = pl.DataFrame(table).with_columns(pl.lit(float("nan")).alias("request_id"))
    for given in (table, nan, table.to_records(index=False)):
        assert read(given).workload.total.requests == 4


def test_structs_are_looked_into() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    table = pl.DataFrame([{"usage": usage, "model": "m"}] * 2)
    for given in (table, table.to_arrow()):
        assert lengths_and_cached(read(given)) == ([[9, 5]] * 2, [4, 4])


def test_blocks_of_prompts_in_a_table() -> None:
    rows = [(0, 1100, 3, [1, 2, 3]), (9, 1600, 3, [1, 2, 3, 4])]
    names = ["timestamp", "input_length", "output_length", "hash_ids"]
    for given in (pd.DataFrame(rows, columns=names), pl.DataFrame(rows, names, orient="row")):
        assert lengths_and_cached(read(given, prefix_cache=4096))[1] == [0, 1536]


@pytest.mark.parametrize("name", ["Total", "e"])
def test_a_row_of_sums_in_a_table(name: str) -> None:
    table = pd.DataFrame(
        {"input_tokens": [1, 2, 3, 4], "output_tokens": [1, 2, 3, 4]}, index=list("abcd")
    )
    table.loc[name] = table.sum()
    for given in (table, table.rename_axis("user"), table.reset_index(names="user")):
        loaded = read(given)
        assert loaded.reading is not None
        if name == "Total":
            assert loaded.workload.total.requests == 4
            assert loaded.reading.left_out == {"totals": 1}
        else:
            assert loaded.workload.total.requests == 5
            assert "with where='input_tokens != 10'" in loaded.reading.remarks[0]


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files, of which one has cached tokens, counts and models."""
    monkeypatch.chdir(tmp_path)
    LOG.to_csv("log.csv", index=False)
    Path("plain.csv").write_text("prompt_tokens,completion_tokens\n7,9\n")
    Path("plain.jsonl").write_text('{"prompt_tokens": 7, "completion_tokens": 9}\n')


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("other", ["plain.csv", "plain.jsonl"])
def test_two_files_of_which_one_has_cached_tokens(other: str, run_cli: RunCli) -> None:
    for given in (["log.csv", other], [other, "log.csv"], [LOG, other], [other, pl.DataFrame(LOG)]):
        loaded = read(given)
        lengths, cached = lengths_and_cached(loaded)
        assert cached is not None
        expected = [[100, 10], [16, 6], [17, 7], [17, 7], [60, 30]]
        if given[0] is other:
            assert (lengths, cached) == ([[7, 9], *expected], [0, 64, 0, 0, 0, 16])
        else:
            assert (lengths, cached) == ([*expected, [7, 9]], [64, 0, 0, 0, 16, 0])
        assert loaded.workload.cached_tokens == 80
        assert loaded.reading is not None
        assert (loaded.reading.rows, loaded.reading.requests) == (5, 6)
    ran = run_cli("estimate", "log.csv", other, "--format", "json")
    document = json.loads(ran.stdout)
    assert document["reading"]["columns"]["cached"] == ["cached_tokens"]
    assert document["cached"]["tokens"] == 80


@pytest.mark.usefixtures("two")
def test_files_that_say_the_same_in_other_columns_are_refused() -> None:
    LOG.rename(columns={"cached_tokens": "prompt_cache_hit_tokens"}).to_csv("o.csv", index=False)
    assert refusal(["log.csv", "o.csv"]) == (
        'log.csv, o.csv: cached tokens are in "cached_tokens" of one file and in '
        '"prompt_cache_hit_tokens" of o.csv; bin them apart, and give their workloads together'
    )
    told = refusal(["log.csv", "plain.csv"], where="model = m")
    assert told.startswith('plain.csv: has no column "model"')


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("reading", [{"where": "model = m"}, {"group_by": "model"}])
def test_a_workload_among_logs_tells_no_requests_apart(reading: dict[str, str]) -> None:
    jc.load_workload("log.csv").save(Path("w.json"))
    assert read(["w.json", "plain.csv"]).reading is not None
    assert jc.summarise(["w.json", LOG]).cached == (160, 160 / 420)
    told = refusal(["w.json", "plain.csv"], **reading)
    assert told.startswith("w.json: is a workload, in which requests are not told apart")


@pytest.mark.usefixtures("two")
def test_models_of_several_traces(run_cli: RunCli) -> None:
    first = LOG.assign(model=["llama-3.1-8b"] * 2 + ["m"] * 2)
    second = first.assign(model="other", request_id=list("wxyz"))
    first.to_csv("first.csv", index=False)
    second.to_csv("second.csv", index=False)
    Path("models.json").write_text('{"other": "llama-3.1-8b"}')
    models = {"other": "llama-3.1-8b"}
    of_files = jc.estimate_models(["first.csv", "second.csv"], models)
    of_tables = jc.estimate_models([first, pl.DataFrame(second)], models)
    ran = run_cli(
        *("estimate", "first.csv", "second.csv", "--group-by", "model"),
        *("--models", "models.json", "--format", "json"),
    )
    document = json.loads(ran.stdout)
    assert document["trace"] == of_files.trace == "first.csv, second.csv"
    assert document["energy_j"] == of_files.energy_j == of_tables.energy_j
    assert of_files.names == {"llama-3.1-8b": ("llama-3.1-8b", "other")}
    assert [other.requests for other in of_tables.not_estimated] == [4]
    with pytest.raises(jc.InputError, match="Arrow stream: can be read once"):
        jc.estimate_models(pa.Table.from_pandas(first).to_reader())
    assert "-: can be read once" in run_cli("estimate", "-", "--group-by", "model").stderr


def test_results_with_cached_tokens_are_tables_again() -> None:
    table = LOG.drop(columns=["num_requests", "model"]).assign(arrival_s=[0, 1, 2, 5])
    loaded = load_trace(table, with_arrivals=True)
    assert loaded.timed is not None
    again = load_trace(loaded.timed.to_frame(), with_arrivals=True)
    assert again.workload.cached == loaded.workload.cached == read(table).workload.cached
    assert loaded.workload.to_frame()["cached_tokens"].sum() == 80
