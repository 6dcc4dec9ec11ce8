"""Plain PyTorch where it was not measured: prices, the pace of its host, its largest batches."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from joulecast.estimator.binned import estimate_binned
from joulecast.estimator.paper.forecast import forecast_binned, largest_batch
from joulecast.estimator.unit_prices.carry import carry
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.model import Scaling, scaling_on
from joulecast.estimator.unit_prices.pytorch import fit_pytorch_prices, forecast_run, timed_runs
from joulecast.estimator.unit_prices.shipped import (
    PYTORCH_TABLE,
    fit_pytorch_list,
    load_unit_prices,
)
from joulecast.estimator.unit_prices.sources import deployment_of
from joulecast.estimator.unit_prices.static_batches import batch_limit, static_batching_for
from joulecast.estimator.unit_prices.work import TERMS
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.replay import SHIPPED, Replay
from joulecast.measurements.table.studies import load_study
from joulecast.measurements.table.table import EnergyTable, load_table
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID, POWER_OF_TWO_GRID
from joulecast.traces.public.catalog import load_embedded
from joulecast.traces.workload import Workload

ROOT = Path(__file__).parents[3]
H200 = ROOT / "measurements/campaign-2026-11-26/h200-sxm/llama-3.1-8b-pytorch/replays"


@pytest.fixture(scope="module")
def table() -> EnergyTable:
    return load_table(PYTORCH_TABLE)


def pytorch_on(gpu: str, model: str = "llama-3.1-8b") -> Deployment:
    return Deployment.of(model, load_gpu(gpu), "pytorch")


def test_shipped_prices_are_those_of_the_shipped_table() -> None:
    stored, fitted = load_unit_prices("h100-sxm", "pytorch"), fit_pytorch_list()
    assert fitted.energy_j == pytest.approx(stored.energy_j, rel=1e-3)
    assert fitted.pace.array() == pytest.approx(stored.pace.array(), rel=0.01)
    assert fitted.errors == pytest.approx(stored.errors, rel=0.02)
    assert stored.provenance["tables"] == [PYTORCH_TABLE]


def test_prices_are_as_physics_has_it() -> None:
    """Weights are read once as under vLLM; the cache is copied, which reads it three times."""
    own, vllm = (load_unit_prices("h100-sxm", engine).energy_j for engine in ("pytorch", "vllm"))
    ratio = {term: own[TERMS.index(term)] / vllm[TERMS.index(term)] for term in TERMS[:6]}
    assert ratio["weight_bytes"] == pytest.approx(1, abs=0.2)
    assert 2 < ratio["cache_bytes"] < 3.5
    assert ratio["linear_flops"] == 1


def test_the_hosts_paces_are_those_that_were_timed_by_themselves() -> None:
    """33 to 36 ms a step of seen shapes, 79 to 99 ms of new ones (docs/engines.md)."""
    pace = load_unit_prices("h100-sxm", "pytorch").pace
    seen = 32 * pace.eager_layer
    assert 0.027 < seen < 0.037
    assert 0.070 < seen + pace.new_shape < 0.100


def test_the_first_batch_of_a_size_is_new(table: EnergyTable) -> None:
    runs = timed_runs(table)
    by_batch: dict[tuple[int, int, int], list[float]] = {}
    for run in runs:
        by_batch.setdefault(run.batch, []).append(run.new_steps)
    assert by_batch[256, 8, 2] == [8 / 18]  # 18 batches, of which the first was new
    assert by_batch[8192, 8, 32] == [8, 0, 8]  # the third on another card, in another process


def test_a_study_of_few_batches_is_met_as_the_page_says() -> None:
    """Second windows, which hold no plans, of another GPU and host; docs/accuracy.md."""
    scaling = scaling_on("h200-sxm", "pytorch")
    prices = scaling.carried_prices().prices
    runs = timed_runs(load_study("h200-sxm/llama-3.1-8b/pytorch-batches-repeated"))
    settled = [run for run in runs if run.new_steps == 0]
    assert len(settled) == 10
    told = np.array([forecast_run(prices, run, scaling.deployment) for run in settled])
    metered = np.array([(run.energy_j, run.seconds) for run in settled])
    off = np.abs(told / metered - 1)
    assert np.round(100 * np.median(off, axis=0), 1).tolist() == [5.6, 4.3]


def test_batches_that_were_left_out(table: EnergyTable) -> None:
    """docs/accuracy.md has all of them."""
    left_out = {(1024, 128, 261), (8192, 64, 32), (512, 8, 522), (256, 64, 256)}
    prices = fit_pytorch_prices(table, load_unit_prices("h100-sxm", "vllm"), without=left_out)
    deployment = deployment_of(table.metadata, table.config)
    for run in timed_runs(table):
        if run.batch in left_out:
            energy_j, _ = forecast_run(prices, run, deployment)
            assert energy_j == pytest.approx(run.energy_j, rel=0.07), run.batch


@pytest.mark.skipif(not H200.exists(), reason="the campaign of 2026-11-26 does not ship")
def test_replays_of_another_gpu_are_met_as_the_page_says() -> None:
    """Carried from the H100: energy, its interval and time, as docs/accuracy.md has them."""
    page = (ROOT / "docs/accuracy.md").read_text(encoding="utf-8")
    scaling = scaling_on("h200-sxm", "pytorch")
    cells = []
    for path in sorted(H200.glob("*.json")):
        replay = Replay.load(path)
        lengths, (run,) = np.array(replay.lengths), replay.valid_runs
        workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths)
        estimate = scaling.step_model(workload).estimate(workload, path.stem, lengths)
        assert estimate.interval_j is not None
        assert estimate.seconds is not None
        low_j, high_j = estimate.interval_j
        assert low_j < run.energy_j < high_j
        error, late = estimate.energy_j / run.energy_j - 1, estimate.seconds / run.seconds - 1
        half = high_j / estimate.energy_j - 1
        cells.append(f"{100 * error:+.1f} % (± {100 * half:.0f} %), time {100 * late:+.1f} %")
    assert f"| the H100's prices, carried | {' | '.join(cells)} |" in page


def test_replays_of_another_card_and_host_are_inside() -> None:
    scaling = scaling_on("h100-sxm", "pytorch")
    errors = []
    for path in sorted((SHIPPED / "pytorch").glob("*.json")):
        replay = Replay.load(path)
        lengths = np.array(replay.lengths)
        workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths)
        estimate = scaling.step_model(workload).estimate(workload, path.stem, lengths)
        (run,) = replay.valid_runs
        assert estimate.interval_j is not None
        low_j, high_j = estimate.interval_j
        assert low_j < run.energy_j < high_j
        errors.append(abs(estimate.energy_j / run.energy_j - 1))
    assert len(errors) == 4
    assert max(errors) < 0.08


def test_the_host_is_no_part_of_the_gpu() -> None:
    prices, h100 = load_unit_prices("h100-sxm", "pytorch"), load_gpu("h100-sxm")
    for name, plans in (("rtx-a6000", False), ("a100-sxm4-80gb", False), ("h200-sxm", True)):
        pace = carry(prices, h100, load_gpu(name)).prices.pace
        assert pace.eager_layer == prices.pace.eager_layer
        assert pace.new_shape == (prices.pace.new_shape if plans else 0.0)
    carried = carry(prices, h100, load_gpu("rtx-a6000")).prices.pace
    assert carried.weight_byte == pytest.approx(prices.pace.weight_byte * 3350 / 768)
    assert carried.linear_flop == pytest.approx(prices.pace.linear_flop * 989.4 / 154.8)


def test_a_slow_host_costs_idle_power_alone() -> None:
    """One request decodes: the GPU waits, and a plan of 50 ms costs what idling does."""
    prices, deployment = load_unit_prices("h100-sxm", "pytorch"), pytorch_on("h100-sxm")
    steps = static_batching_for(deployment).schedule_batch(128, 100, 1)
    quick = replace(prices, pace=replace(prices.pace, new_shape=0.0))
    spents = [each.spent(steps, deployment) for each in (quick, prices)]
    energies = [prices.energy_of(spent, 1) for spent in spents]
    waited_s = 100 * prices.pace.new_shape
    assert spents[1].seconds - spents[0].seconds == pytest.approx(waited_s)
    assert energies[1] - energies[0] == pytest.approx(prices.idle_power_w * waited_s)


def test_largest_batches_are_those_that_were_found(table: EnergyTable) -> None:
    """The five that the cache decides were searched for 1 % too cautiously (docs/engines.md)."""
    deployment = pytorch_on("h100-sxm")
    cautious = {(32, 512), (128, 512), (256, 256), (256, 512), (512, 512)}
    assert len(table.searched) == 56
    for cell, found in table.searched.items():
        limit = batch_limit(deployment, cell)
        if cell in cautious:
            assert found <= limit <= 1.015 * found, cell
        else:
            assert limit == found, cell


def test_smaller_cards_hold_smaller_batches() -> None:
    scheduler = static_batching_for(pytorch_on("rtx-a6000"))
    large = static_batching_for(pytorch_on("h100-sxm"))
    for cell in PAPER_GRID.cells():
        assert largest_batch(scheduler, cell) <= largest_batch(large, cell)
    assert largest_batch(scheduler, (8192, 512)) == 15
    small = static_batching_for(pytorch_on("rtx-4090"))
    assert small.longest_request is not None
    with pytest.raises(InputError, match="does not fit into the GPU's memory"):
        small.require_fits(np.array([[10, 10], [small.longest_request, 1]]))
    clipped = small.clip(np.array([[10, 10], [10**6, 1], [3, 10**6]]))
    assert (clipped.sum(axis=1) <= small.longest_request).all()
    assert (clipped > 0).all()
    small.require_fits(clipped)


@pytest.mark.parametrize("trace", ["azure-2023-code", "azure-2023-conv"])
def test_the_papers_estimate_with_batches_forecast(trace: str, table: EnergyTable) -> None:
    workload = load_embedded(trace)
    model = scaling_on("h100-sxm", "pytorch").step_model(workload)
    forecast = forecast_binned(workload, model, trace)
    measured = estimate_binned(workload, table, trace)
    assert forecast.interval_j is not None
    low_j, high_j = forecast.interval_j
    assert low_j < measured.energy_j < high_j
    assert forecast.energy_j == pytest.approx(measured.energy_j, rel=0.08)
    assert forecast.ideal_j["dense"] == pytest.approx(measured.ideal_j["dense"])
    assert forecast.requests == measured.requests
    assert sum(cell.energy_j or 0 for cell in forecast.cells) == pytest.approx(
        forecast.energy_j, rel=1e-6
    )


def test_what_a_card_cannot_hold_is_left_out_of_the_papers_estimate() -> None:
    lengths = np.array([[100, 20]] * 8 + [[8000, 20]] * 2)
    workload = Workload.of_lengths(PAPER_GRID, lengths)
    scaling = Scaling(pytorch_on("rtx-4090", "mistral-7b"))
    model = scaling.step_model(workload)
    short = replace(model.scheduler, longest_request=4000)
    estimate = forecast_binned(workload, replace(model, scheduler=short), "made up")
    assert estimate.requests["estimated"] == 8
    assert estimate.requests["beyond_memory"] == 2


def test_another_model_is_less_well_known() -> None:
    workload = load_embedded("azure-2023-code")
    halves = {}
    for model in ("llama-3.1-8b", "qwen2.5-7b"):
        scaling = Scaling(pytorch_on("h100-sxm", model))
        estimate = scaling.step_model(workload).estimate(workload, "code")
        assert estimate.interval_j is not None
        low_j, high_j = estimate.interval_j
        halves[model] = (high_j - low_j) / 2 / estimate.energy_j
        assert estimate.basis is not None
        assert estimate.basis.kind == ("measured" if model == "llama-3.1-8b" else "model scaled")
    assert halves["qwen2.5-7b"] > 1.3 * halves["llama-3.1-8b"]
