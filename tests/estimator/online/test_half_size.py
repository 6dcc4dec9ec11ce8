"""Lengths of 32 bits, half the size: no number changes, and none is too large for them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from joulecast.estimator.attribution.served import columns_of
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.online.fleet import Fleet
from joulecast.estimator.online.online import Plan, estimate_online
from joulecast.estimator.online.wish import server_of
from joulecast.estimator.steps.in_time import replica
from joulecast.estimator.steps.in_time.advance import advance
from joulecast.estimator.steps.in_time.compiled import compiled
from joulecast.estimator.steps.work import CachedSums, StepCounts
from joulecast.estimator.stepwise import StepModel
from joulecast.measurements.table.table import load_table
from joulecast.traces.cell_sums import CellSums
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.load import load_trace
from joulecast.traces.requests import TimedRequests
from joulecast.traces.workload import Workload

COUNT, TOKENS = 100_000, 100_000
"""Their sum is 2.3 times what 32 bits hold, and the square of a length as well."""

LONGEST = 2**31 - 1


@pytest.fixture(scope="module")
def many() -> "np.ndarray[Any, np.dtype[np.int32]]":
    return np.full((COUNT, 2), TOKENS, dtype=np.int32)


def test_sums_of_many_long_requests(many: "np.ndarray[Any, np.dtype[np.int32]]") -> None:
    total, squared = COUNT * TOKENS, COUNT * TOKENS**2
    sums = CellSums(COUNT, total, squared, total, squared, squared)
    assert CellSums.of_lengths(many) == sums
    workload = Workload.of_lengths(PAPER_GRID, many, many[:, 0])
    assert workload.total == sums
    assert workload.cached_tokens == total
    assert workload.with_lengths(many, None).total == sums


def test_sums_of_the_longest_lengths_there_are() -> None:
    longest = np.full((3, 2), LONGEST, dtype=np.int32)
    expected = CellSums(3, 3 * LONGEST, 3 * LONGEST**2, 3 * LONGEST, 3 * LONGEST**2, 3 * LONGEST**2)
    assert CellSums.of_lengths(longest) == expected


def test_work_of_many_long_requests(many: "np.ndarray[Any, np.dtype[np.int32]]") -> None:
    cached = many[:, 0] // 2
    assert CachedSums.of_lengths(many, cached) == pytest.approx(
        (COUNT * TOKENS / 2, COUNT * TOKENS**2 / 4, COUNT * TOKENS**2 / 2)
    )
    counts = StepCounts.of_lengths(many, cached)
    assert counts == StepCounts.of_lengths(many.astype(np.int64), cached.astype(np.int64))
    assert counts.tokens == COUNT * (TOKENS / 2 + TOKENS - 1)


def test_estimates_of_long_requests_are_the_same() -> None:
    table = load_table("h100-sxm/llama-3.1-8b/vllm")
    server = server_of(table, StepModel.of(table))
    generator = np.random.default_rng(5)
    lengths = np.stack(
        [generator.integers(90_000, 100_000, 30), generator.integers(1, 2_000, 30)], 1
    )
    requests = TimedRequests.at_rate(lengths, 0.1, generator, lengths[:, 0] // 3)
    half = replace(
        requests, lengths=lengths.astype(np.int32), cached=(lengths[:, 0] // 3).astype(np.int32)
    )

    def estimate(asked: TimedRequests) -> Estimate:
        workload = Workload.of_lengths(PAPER_GRID, asked.lengths, asked.cached)
        return estimate_online(server, workload, asked, "long", Plan(replicas=2))

    whole, small = estimate(requests), estimate(half)
    assert small.served is not None
    assert small.served.lengths.dtype == np.int32
    assert small.to_dict() == whole.to_dict()
    assert _per_request(small) == _per_request(whole)


def _per_request(estimate: Estimate) -> list[dict[str, list[Any]]]:
    served, attribution = estimate.served, estimate.attribution
    assert served is not None
    assert attribution is not None
    return [*columns_of(served, attribution, estimate.energy_j, estimate.interval_j, "measured")]


def test_times_of_a_file_come_with_lengths_of_half_the_size(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    rows = ["2,7,1,3", f"0,{LONGEST},{LONGEST},{LONGEST}", "1,0,5,0"]
    path.write_text("\n".join(["arrival_s,input_tokens,output_tokens,cached_tokens", *rows]) + "\n")
    timed = load_trace(str(path), with_arrivals=True).timed
    assert timed is not None
    assert timed.lengths.dtype == np.int32
    assert timed.lengths.tolist() == [[LONGEST, LONGEST], [0, 5], [7, 1]]
    assert timed.arrival_s.tolist() == [0.0, 1.0, 2.0]
    assert timed.cached is not None
    assert timed.cached.tolist() == [LONGEST, 0, 3]
    lengths, cached, _ = timed.untimed()
    assert cached is not None
    assert int((lengths[:, 0] * cached).sum()) == LONGEST**2 + 21
    read = load_trace(str(path), most_lengths=10).lengths
    assert read is not None
    assert read.dtype == np.int64


def test_a_length_beyond_32_bits_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"arrival_s,input_tokens,output_tokens\n0,7,1\n1,{LONGEST + 1},1\n")
    with pytest.raises(InputError, match=r"log\.csv:3: .*2147483648.*2\^31 or more"):
        load_trace(str(path), with_arrivals=True)


def test_machine_code_takes_both_sizes_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would be compiled once more, for seconds."""
    pytest.importorskip("numba")
    monkeypatch.setattr(replica, "fewest_to_compile", lambda: 1)
    table = load_table("h100-sxm/llama-3.1-8b/vllm")
    server = server_of(table, StepModel.of(table))
    fleet = Fleet(server.scheduler, server.times, server.model.gauge, 1, "round-robin", None, 60.0)
    lengths = np.full((3, 2), 70_000)
    whole = TimedRequests(np.arange(3.0), lengths, lengths[:, 0] // 2)
    half = TimedRequests(
        np.arange(3.0), lengths.astype(np.int32), (lengths[:, 0] // 2).astype(np.int32)
    )
    runs = [fleet.serve(whole)]
    loop: Any = compiled(advance)
    before = list(loop.signatures)
    runs.append(fleet.serve(half))
    assert loop.signatures == before
    assert runs[0].last_s.tolist() == runs[1].last_s.tolist()


def test_a_pace_of_the_trace_s_own_takes_no_copy() -> None:
    requests = TimedRequests(np.array([0.0, 1.0]), np.ones((2, 2), dtype=np.int32))
    assert requests.faster(1.0).arrival_s is requests.arrival_s
    assert requests.faster(2.0).arrival_s.tolist() == [0.0, 0.5]
