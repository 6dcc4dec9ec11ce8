"""Requests that are all alike, and which row of a file each request is."""

from pathlib import Path

import numpy as np
import pytest

import joulecast as jc
from joulecast.traces.errors import InputError
from joulecast.traces.inputs.equal import equal_lengths
from joulecast.traces.load import load_trace


@pytest.mark.parametrize("lengths", [(1, 1), (1000, 200), (20_000, 3000)])
def test_equal_requests_are_the_workload_of_such_lengths(lengths: tuple[int, int]) -> None:
    made = jc.equal_requests(30, *lengths)
    assert made == jc.Workload.of_lengths(jc.POWER_OF_TWO_GRID, np.tile(lengths, (30, 1)))
    assert equal_lengths(made) == (*lengths, None)
    assert load_trace(made, most_lengths=30).lengths.tolist() == [list(lengths)] * 30
    assert load_trace(made, most_lengths=29).lengths is None


def test_equal_requests_tell_cached_tokens() -> None:
    made = jc.equal_requests(4, 100, 7, 60)
    assert made.cached_tokens == 240
    loaded = load_trace(made, most_lengths=10)
    assert loaded.cached.tolist() == [60] * 4
    assert jc.estimate(made).trace == "4 requests of 100 (60 cached) + 7 tokens"


def test_other_workloads_are_not_taken_for_equal() -> None:
    assert equal_lengths(jc.load_workload("azure-2023-code")) is None
    assert equal_lengths(jc.load_workload([(5, 9), (9, 5)])) is None
    assert equal_lengths(jc.load_workload([(5, 9), (5, 8)])) is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((0, 5, 5), "requests is 0"),
        ((1, 5.0, 5), "input is 5.0"),
        ((1, 5, -1), "output is -1"),
        ((1, 5, 2**31), "below 2"),
        ((1, 5, 5, 6), "cached is 6; give a whole number from 0 to the 5 of the input"),
    ],
)
def test_what_no_requests_have_is_refused(words: tuple, told: str) -> None:
    with pytest.raises(InputError, match=told):
        jc.equal_requests(*words)


def test_rows_count_failed_requests_and_follow_the_order_of_arrival(tmp_path: Path) -> None:
    for k, rows in enumerate((["5,10,3", "4,11,0", "3,12,2"], ["2,13,1", "1,14,6"])):
        text = "\n".join(["arrival_s,input_tokens,output_tokens", *rows])
        (tmp_path / f"{k}.csv").write_text(text + "\n")
    whole = load_trace(str(tmp_path / "*.csv"), with_rows=True)
    assert whole.rows.tolist() == [1, 3, 4, 5]
    assert whole.lengths[:, 0].tolist() == [10, 12, 13, 14]
    timed = load_trace(str(tmp_path / "*.csv"), with_rows=True, with_arrivals=True).timed
    assert timed.rows.tolist() == [5, 4, 3, 1]
    assert timed.lengths[:, 0].tolist() == [14, 13, 12, 10]


def test_rows_of_logs_that_mean_more_are_those_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("prompt_tokens,completion_tokens,requests\n10,4,1\n30,6,3\n7,2,1\n")
    loaded = load_trace(log, with_rows=True, count_column="requests")
    assert sorted(set(loaded.rows.tolist())) == [1, 2, 3]
    assert loaded.rows.tolist().count(2) == 3
