"""How long hosts take to launch steps, found again where it is known."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from joulecast.estimator.steps.continuous_batching import GRAPH_TOKENS, ContinuousBatching
from joulecast.estimator.steps.host_pace import (
    HOST_SPREAD,
    PIECES_S,
    WAITING_SHARE_OF_TDP,
    HostPace,
    fit_host_pace,
    step_work,
)
from joulecast.estimator.steps.hosts import hosts_of
from joulecast.estimator.steps.intervals import interval_j
from joulecast.estimator.steps.metered_batches import MeteredBatch, metered_batches
from joulecast.estimator.stepwise import estimate_stepwise
from joulecast.measurements.replay import Replay
from joulecast.measurements.table.table import load_table
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.workload import Workload
from tests.conftest import RunCli

VLLM = "h100-sxm/llama-3.1-8b/vllm"
QUICK = "h100-sxm/llama-3.1-8b/vllm-quick"
PYTORCH = "h100-sxm/llama-3.1-8b/pytorch"
REPLAYS = Path(__file__).parents[2] / "measurements" / "replays"
GPU_SECONDS = np.array([6.4e-3, 2.2e-5, 3.9e-8, 9e-10, 4.4e-6, 2e-4])


@pytest.fixture(scope="module")
def shipped() -> list[MeteredBatch]:
    return metered_batches(load_table(VLLM))


def metered(batch: MeteredBatch, seconds: float, energy_j: float) -> MeteredBatch:
    """The same batch, in one run that took so long and so much."""
    run = replace(batch.runs[0], seconds=seconds, energy_j=energy_j, batches=1)
    return replace(batch, runs=[run])


def on_a_host(
    batches: list[MeteredBatch], launch_seconds: float, pieces_seconds: float = 0.0
) -> list[MeteredBatch]:
    """The same batches, as long as they take where launches take so long, whole or in pieces."""
    timed = []
    for batch in batches:
        work = step_work(batch.steps, np.ones(len(batch.steps.decoding), dtype=bool))
        gpu = work @ GPU_SECONDS[:5]
        host = np.where(batch.steps.is_launched, launch_seconds, 0.0)
        host[batch.steps.is_pieced] = pieces_seconds
        seconds = float(np.maximum(gpu, host).sum() + batch.counts.requests * GPU_SECONDS[5])
        timed.append(metered(batch, seconds, batch.energy_j))
    return timed


def test_steps_beyond_the_graphs_are_launched() -> None:
    rules = ContinuousBatching(8, 4, 100, 4, steps_to_release=0, graph_tokens=2)
    steps = rules.schedule(np.array([[5, 3], [6, 2]]))
    assert (steps.decoding + steps.prompt_tokens).tolist() == [8, 4, 2]
    assert steps.is_launched.tolist() == [True, True, False]
    settings = load_table(VLLM).metadata["engine_settings"]
    for changes, tokens in (
        ({}, GRAPH_TOKENS),
        ({"max_cudagraph_capture_size": 256}, 256),
        ({"eager": True}, 0),
    ):
        changed = ContinuousBatching.from_settings({**settings, **changes}, "t")
        assert changed.graph_tokens == tokens


@pytest.mark.parametrize("launch_seconds", [0.045, 0.06, 0.08])
def test_a_known_pace_is_found_again(launch_seconds: float, shipped: list[MeteredBatch]) -> None:
    made = on_a_host(shipped, launch_seconds)
    pace = fit_host_pace(made, 700)
    assert pace is not None
    assert pace.launch_seconds == pytest.approx(launch_seconds, rel=0.06)
    assert pace.gpu_seconds[:3] == pytest.approx(GPU_SECONDS[:3], rel=0.03)


def test_a_known_pace_is_found_again_where_graphs_are_launched_in_pieces(
    shipped: list[MeteredBatch],
) -> None:
    """Taken for computing, their launches would make tokens seem to take longer than they do."""
    made = on_a_host(shipped, 0.06, 0.02)
    pace, blind = fit_host_pace(made, 700, 0.02), fit_host_pace(made, 700)
    assert pace is not None
    assert blind is not None
    assert pace.launch_seconds == pytest.approx(0.06, rel=0.06)
    assert pace.gpu_seconds[:3] == pytest.approx(GPU_SECONDS[:3], rel=0.03)
    off = np.abs(np.array([blind.gpu_seconds, pace.gpu_seconds]) / GPU_SECONDS - 1).max(axis=1)
    assert off[0] > 2 * off[1]


def test_another_host_is_told_by_few_batches(shipped: list[MeteredBatch]) -> None:
    """As `--plan quick` has them; stumbles of single batches do not matter much."""
    pace = fit_host_pace(on_a_host(shipped, 0.035), 700)
    assert pace is not None
    few = [
        batch for batch in shipped if batch.batch in {run.batch for run in load_table(QUICK).runs}
    ]
    there = on_a_host(few, 0.07)
    there[0] = metered(there[0], 1.3 * there[0].seconds, there[0].energy_j)
    assert pace.launch_seconds_on(there) == pytest.approx(0.07, rel=0.06)
    assert pace.launch_seconds_on([b for b in few if not b.steps.is_launched.any()]) is None


def test_where_all_steps_are_alike_there_is_no_pace(shipped: list[MeteredBatch]) -> None:
    assert fit_host_pace(metered_batches(load_table(PYTORCH)), 700) is None
    few = [batch for batch in shipped if not batch.steps.is_launched.any()]
    assert fit_host_pace(few, 700) is None


def test_waiting_by_hand() -> None:
    """Steps of 8, 4 and 2 tokens, the first two launched, at 10 ms a token and 50 ms a launch."""
    steps = ContinuousBatching(8, 4, 100, 4, steps_to_release=0, graph_tokens=2).schedule(
        np.array([[5, 3], [6, 2]])
    )
    pace = HostPace(np.array([0, 0.01, 0, 0, 0, 0]), 0.05, 200)
    assert pace.waiting_seconds(steps, 0.05) == pytest.approx(0.01)  # 50 - 40 ms, once
    assert pace.waiting_seconds(steps, 0.0) == 0
    assert pace.waiting_seconds(steps, 0.1) == pytest.approx(0.02 + 0.06)


def test_waiting_for_graphs_in_pieces_by_hand() -> None:
    """The same steps, the second a graph of 40 ms that its host launches in pieces for 60 ms."""
    steps = ContinuousBatching(8, 4, 100, 4, steps_to_release=0, graph_tokens=4).schedule(
        np.array([[5, 3], [6, 2]])
    )
    assert steps.is_launched.tolist() == [True, False, False]
    assert steps.is_pieced.tolist() == [False, True, False]
    pace = HostPace(np.array([0, 0.01, 0, 0, 0, 0]), 0.05, 200, pieces_seconds=0.06)
    waits = pace.waits(steps, [0.05, 0.1])
    # 60 - 40 ms, less 10 that a request takes to decode, as it is taken to have before.
    assert waits == pytest.approx(np.array([[0, 0.01, 0], [0.02, 0.07, 0]]))
    # What a simulation in time has for them is not asked: all at once costs the same either way.
    followed = replace(steps, seconds=np.array([0.09, 0.045, 0.02]))
    assert pace.waits(followed, [0.05, 0.1]) == pytest.approx(waits)
    assert not replace(pace, pieces_seconds=0.0).waits(steps, [0.05])[0].any()


def test_batches_of_a_table_do_not_pay_for_waiting_for_pieces() -> None:
    table = load_table("h200-sxm/qwen2.5-1.5b/vllm-quick")
    batches = metered_batches(table)
    hosts = hosts_of(table, batches, None)
    assert hosts is not None
    assert hosts.pace.pieces_seconds == pytest.approx(28 * PIECES_S)
    small = [
        batch
        for batch in hosts.without_waiting(batches)
        if batch.steps.is_pieced.any() and not batch.steps.is_launched.any()
    ]
    assert small
    for batch in small:
        gpu = step_work(batch.steps, batch.steps.is_pieced) @ hosts.pace.gpu_seconds[:5]
        waiting_s = np.maximum(0, 28 * PIECES_S - gpu).sum()
        assert batch.waiting_j == pytest.approx(hosts.pace.waiting_power_w * waiting_s)
    assert max(batch.waiting_j for batch in small) > 0


def test_several_gpus_wait_together() -> None:
    """Twice the power, in half as many cards' worth of a table: all that is a power is of both."""
    shipped = load_table(QUICK)
    # On a card that nothing is known of, as are all that share a model.
    runs = tuple(replace(run, gpu="GPU-here") for run in shipped.runs)
    table = replace(shipped, runs=runs)
    twice = tuple(replace(run, energy_j=2 * run.energy_j) for run in runs)
    metadata = {**table.metadata, "gpu_count": 2, "power_limit_w": 1400.0, "idle_power_w": 250.0}
    both = replace(table, metadata=metadata, runs=twice)
    assert (both.tdp_w, table.tdp_w) == (1400, 700)
    hosts = [hosts_of(each, metered_batches(each), None) for each in (table, both)]
    waiting = [host.pace.waiting_power_w for host in hosts if host is not None]
    assert waiting == [WAITING_SHARE_OF_TDP * 700, WAITING_SHARE_OF_TDP * 1400]
    lengths = np.tile([100, 400], (1000, 1))
    workload = Workload.of_lengths(PAPER_GRID, lengths)
    single, double = (estimate_stepwise(workload, each, "x", lengths) for each in (table, both))
    assert double.energy_j == pytest.approx(2 * single.energy_j)
    assert double.seconds == pytest.approx(single.seconds)
    assert double.ideal_j == single.ideal_j


def test_waiting_takes_less_than_any_batch(shipped: list[MeteredBatch]) -> None:
    """An engine that hardly uses its GPU, at 130 W all the time, in a few batches and in many."""
    for few in (shipped, shipped[:10]):
        made = [metered(batch, batch.seconds, 130 * batch.seconds) for batch in on_a_host(few, 0.2)]
        pace = fit_host_pace(made, 700)
        assert pace is not None
        assert 0 < pace.waiting_power_w <= 0.9 * 130 + 1e-9


def test_what_the_shipped_tables_tell(shipped: list[MeteredBatch]) -> None:
    """The figures of docs/stepwise.md."""
    paces = {}
    for name in ("vllm", "vllm-first-card"):
        table = load_table(f"h100-sxm/llama-3.1-8b/{name}")
        pace = fit_host_pace(metered_batches(table), table.gpu.tdp_w)
        assert pace is not None
        paces[name] = pace
    assert paces["vllm"].waiting_power_w == pytest.approx(200, abs=5)
    assert paces["vllm-first-card"].waiting_power_w == pytest.approx(197, abs=5)
    quick = metered_batches(load_table(QUICK))
    assert paces["vllm"].launch_seconds_on(quick) == pytest.approx(0.058, abs=0.003)
    assert paces["vllm"].launch_seconds < paces["vllm-first-card"].launch_seconds < 0.045
    few = fit_host_pace(quick, 700)
    assert few is not None
    assert few.waiting_power_w == WAITING_SHARE_OF_TDP * 700


@pytest.mark.slow
def test_hosts_of_any_pace_lie_within_the_interval() -> None:
    """Long outputs on hosts as they differ, each metered with errors of the other kinds too."""
    replay = Replay.load(REPLAYS / "vllm" / "long-outputs.json")
    table, lengths = load_table(VLLM), np.array(replay.lengths)
    workload = Workload.of_lengths(PAPER_GRID, lengths)
    estimate = estimate_stepwise(workload, table, "x", lengths)
    assert estimate.relative_sds is not None
    assert estimate.relative_sds["host"] > 0.01
    pace = fit_host_pace(metered_batches(table), table.gpu.tdp_w)
    assert pace is not None
    steps = ContinuousBatching.from_settings(table.metadata["engine_settings"], "t").schedule(
        lengths
    )
    own = pace.waiting_seconds(steps, pace.launch_seconds)
    generator = np.random.default_rng(5)
    others = {key: sd for key, sd in estimate.relative_sds.items() if key != "host"}
    sd = math.sqrt(sum(own_sd**2 for own_sd in others.values()))
    low, high = estimate.interval_j or (0, 0)
    hits = 0
    for _ in range(1000):
        launch = pace.launch_seconds * math.exp(HOST_SPREAD * generator.standard_normal())
        longer = pace.waiting_seconds(steps, launch) - own
        metered_j = (estimate.energy_j + pace.waiting_power_w * longer) * (
            1 + sd * generator.standard_normal()
        )
        hits += low <= metered_j <= high
    assert hits >= 930
    assert interval_j(estimate.energy_j, others, 70)[1] < high


@pytest.mark.slow
def test_a_slower_host_costs_more_and_is_explained(run_cli: RunCli, tmp_path: Path) -> None:
    trace = tmp_path / "long.csv"
    trace.write_text("input_tokens,output_tokens\n" + "100,400\n" * 1000)
    words = "estimate", trace, "--table", VLLM
    plain = json.loads(run_cli(*words, "--format", "json").stdout)
    slower = json.loads(run_cli(*words, "--host", QUICK, "--format", "json").stdout)
    assert plain["energy_j"] * 1.02 < slower["energy_j"] < plain["energy_j"] * 1.15
    assert slower["seconds"] > 1.1 * plain["seconds"]
    assert slower["relative_sds"]["host"] < plain["relative_sds"]["host"]
    assert sum(slower["parts_j"].values()) == pytest.approx(slower["energy_j"])
    longer_j = slower["parts_j"]["waiting"] - plain["parts_j"]["waiting"]
    assert longer_j == pytest.approx(slower["energy_j"] - plain["energy_j"])
    shown = run_cli(*words, "--host", QUICK, "--explain").stdout
    assert "waiting for the host to launch steps" in shown
    again = json.loads(run_cli(*words, "--host", VLLM, "--format", "json").stdout)
    assert again["energy_j"] == pytest.approx(plain["energy_j"], rel=2e-3)


def test_a_host_is_told_by_a_table_of_the_same_kind(run_cli: RunCli) -> None:
    words = "estimate", "azure-2023-code", "--table", VLLM
    result = run_cli(*words, "--host", PYTORCH)
    assert result.exit_code == 1
    assert (
        "engine is pytorch there, vllm in h100-sxm/llama-3.1-8b/vllm; a host is told by"
        in result.stderr
    )
    result = run_cli("estimate", "azure-2023-code", "--table", PYTORCH, "--host", PYTORCH)
    assert result.exit_code == 1
    assert "leave --host out" in result.stderr
    result = run_cli(*words, "--method", "binned", "--host", QUICK)
    assert result.exit_code == 2
    assert "--host is for --method stepwise" in result.stderr


@pytest.mark.slow
def test_drawn_requests_wait_as_the_real_ones_do() -> None:
    replay = Replay.load(REPLAYS / "vllm" / "long-outputs.json")
    lengths = np.array(replay.lengths)
    workload = Workload.of_lengths(PAPER_GRID, lengths)
    table, host = load_table(VLLM), load_table(QUICK)
    real = estimate_stepwise(workload, table, "x", lengths, host)
    drawn = estimate_stepwise(workload, table, "x", host=host)
    assert real.parts_j is not None
    assert drawn.parts_j is not None
    assert real.parts_j["waiting"] > 500
    assert drawn.parts_j["waiting"] == pytest.approx(real.parts_j["waiting"], rel=0.15)
