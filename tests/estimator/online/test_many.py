"""Many requests: what keeps memory and time small changes no number."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulecast.estimator.online.fleet import Fleet
from joulecast.estimator.online.online import Plan, Server, estimate_online
from joulecast.estimator.online.wish import server_of
from joulecast.estimator.over_time import serving
from joulecast.estimator.over_time.serving import latencies_of, token_seconds
from joulecast.estimator.over_time.timeline import quantiles_by_slice, slice_bounds
from joulecast.estimator.steps.in_time import compiled as compiling
from joulecast.estimator.steps.in_time import route as routing
from joulecast.estimator.steps.in_time.scheduling import make_room
from joulecast.estimator.steps.in_time.state import Requests, State
from joulecast.estimator.stepwise import StepModel
from joulecast.measurements.table.table import load_table
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.requests import TimedRequests
from joulecast.traces.workload import Workload


@pytest.fixture(scope="module")
def server() -> Server:
    table = load_table("h100-sxm/llama-3.1-8b/vllm")
    return server_of(table, StepModel.of(table))


@pytest.fixture
def requests() -> TimedRequests:
    generator = np.random.default_rng(3)
    lengths = generator.integers(1, 300, (300, 2))
    return TimedRequests.at_rate(lengths, 6.0, generator)


def test_machine_code_counts_no_array_as_in_use(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It did in every call, which took three quarters of the time."""
    pytest.importorskip("numba")
    monkeypatch.setattr(compiling, "_folder", lambda: tmp_path)
    loop: Any = compiling.compiled.__wrapped__(make_room)  # which hands on all that it is given
    numbers, moments = np.zeros(32, dtype=np.int64), np.zeros(3)
    rules = server.scheduler.rules_for(np.ones((1, 2), dtype=np.int64))
    asked = Requests(moments, *[numbers] * 8, moments, moments, numbers)
    assert loop(rules, asked, State(numbers, moments, *[numbers] * 6)) is False
    machine_code = "".join(loop.inspect_asm().values())
    assert "make_room" in machine_code
    assert "NRT_incref" not in machine_code
    assert "NRT_decref" not in machine_code


@settings(max_examples=60)
@given(
    gaps=st.lists(st.sampled_from([0.0, 0.1, 0.7, 1.0, 2.5, 40.0]), min_size=1, max_size=40),
    slice_s=st.sampled_from([0.1, 1.0, 7.0]),
    slices=st.integers(1, 60),
)
def test_slices_are_those_in_which_requests_come(
    gaps: list[float], slice_s: float, slices: int
) -> None:
    arrival_s = np.cumsum(gaps) - gaps[0]
    values = np.random.default_rng(len(gaps)).random(len(gaps))
    place = np.minimum((arrival_s / slice_s).astype(int), slices - 1)
    bounds = slice_bounds(arrival_s, slice_s, slices)
    assert np.diff(bounds).tolist() == np.bincount(place, minlength=slices).tolist()
    quantiles = quantiles_by_slice(lambda part: values[part], bounds, [50, 99])
    assert quantiles.shape == (2, slices)
    for k in range(slices):
        inside = values[place == k]
        if not len(inside):
            assert np.isnan(quantiles[:, k]).all()
            continue
        assert quantiles[:, k] == pytest.approx(np.percentile(inside, [50, 99]), rel=1e-12)


def test_times_of_tokens_are_of_requests_that_have_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_PIECE", 2)
    outputs = np.array([1, 3, 1, 1, 6])
    first_s, last_s = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([1.0, 5.0, 3.0, 4.0, 6.0])
    assert token_seconds(first_s, last_s, outputs).tolist() == [1.5, 0.2]
    latencies = latencies_of(np.zeros(5), first_s, last_s, outputs)
    assert latencies["tpot"] is not None
    assert latencies["tpot"].mean == pytest.approx(0.85)
    assert latencies["e2e"] is not None
    assert latencies["e2e"].p50 == 4.0
    assert first_s.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_lengths_of_half_the_size_are_served_alike(server: Server, requests: TimedRequests) -> None:
    fleet = Fleet(server.scheduler, server.times, server.model.gauge, 3, "round-robin", None, 60.0)
    whole = fleet.serve(requests)
    half = fleet.serve(replace(requests, lengths=requests.lengths.astype(np.int32)))
    for column in fields(whole):
        if column.name not in ("service", "over_time"):
            assert np.array_equal(getattr(whole, column.name), getattr(half, column.name))
    assert whole.service.counts == half.service.counts


def test_requests_that_all_fit_are_not_copied(server: Server, requests: TimedRequests) -> None:
    workload = Workload.of_lengths(PAPER_GRID, requests.lengths)
    estimate = estimate_online(server, workload, requests, "many", Plan(), requests.lengths)
    assert estimate.served is not None
    assert estimate.served.lengths is requests.lengths
    later = replace(requests, arrival_s=requests.arrival_s + 1)
    moved = estimate_online(server, workload, later, "later", Plan(), requests.lengths)
    assert moved.served is not None
    assert moved.served.arrival_s is not None
    assert moved.served.arrival_s[0] == 0
    assert moved.energy_j == pytest.approx(estimate.energy_j, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    replicas=st.integers(2, 6),
    rate=st.floats(1, 200),
    count=st.integers(1, 120),
    longest=st.integers(1, 200),
)
def test_a_replica_is_followed_no_later_than_it_must(
    server: Server, seed: int, replicas: int, rate: float, count: int, longest: int
) -> None:
    """Looking at every replica whenever a request comes gives the same replicas and times."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest + 1, (count, 2))
    arriving = TimedRequests.at_rate(lengths, rate, generator)
    fleet = Fleet(
        server.scheduler, server.times, server.model.gauge, replicas, "least-loaded", None, 60.0
    )
    told = fleet.serve(arriving)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routing, "next_end_s", lambda rules, state, shortest_s: -np.inf)
        always = fleet.serve(arriving)
    assert told.first_s == pytest.approx(always.first_s, rel=1e-12)
    assert told.last_s == pytest.approx(always.last_s, rel=1e-12)
