"""How long steps last where a table of the very deployment is at hand."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from joulecast.estimator.online.own_pace import own_pace, table_times
from joulecast.estimator.online.wish import server_of
from joulecast.estimator.steps.continuous_batching import GRAPH_TOKENS, ContinuousBatching
from joulecast.estimator.steps.schedulers import scheduler_of
from joulecast.estimator.steps.work import Steps
from joulecast.estimator.stepwise import StepModel
from joulecast.estimator.unit_prices.fit import Metered, forecast_error
from joulecast.estimator.unit_prices.model import Scaling
from joulecast.estimator.unit_prices.pace import LAUNCH_S, Pace
from joulecast.estimator.unit_prices.prices import UnitPrices
from joulecast.estimator.unit_prices.shipped import load_unit_prices
from joulecast.estimator.unit_prices.sources import deployment_of, metered_of_table
from joulecast.estimator.variants.model import Sampled
from joulecast.measurements.engines.decoding import Decoding
from joulecast.measurements.table.table import EnergyTable, load_table

FULL = "h200-sxm/llama-3.1-8b/vllm"
STUDIES = Path(str(files("joulecast.measurements"))) / "studies" / "h200-sxm"
LIST = load_unit_prices("h200-sxm", "vllm")


@pytest.fixture(scope="module")
def batches() -> list[Metered]:
    return list(metered_of_table(load_table(FULL)))


def rms(prices: UnitPrices, metered: Sequence[Metered]) -> float:
    """Of the relative errors of times."""
    return float(np.sqrt(np.mean([forecast_error(prices, each)[1] ** 2 for each in metered])))


def few_at_once(table: EnergyTable) -> list[Metered]:
    """Batches of up to 64 requests, which recorded graphs decode."""
    metered = metered_of_table(table)
    return [each for each in metered if each.work.of("outputs").max() <= 64]


@pytest.mark.parametrize(
    ("name", "study", "share"),
    [
        (FULL, "llama-3.1-8b/vllm-sweeps", 0.88),
        (FULL, "llama-3.1-8b/vllm-batches", 0.8),
        ("h200-sxm/llama-3.1-8b/vllm-quick", "llama-3.1-8b/vllm-sweeps", 0.92),
        ("h200-sxm/qwen1.5-32b/vllm-quick", "qwen1.5-32b/vllm-batches", 1.08),
    ],
)
def test_a_table_tells_times_on_other_cards_better_than_the_list(
    name: str, study: str, share: float
) -> None:
    """Of Qwen1.5-32B as well: the list is 1.2 % off (rms), its table 1.3 %.

    The list was 2.3 % off there before padding was counted; and 4.7 % off Llama-3.1-8B's sweeps,
    of which 3.5 % are left, before graphs that feed prompts were launched in pieces and six more
    models were in the list. So the shares were 0.8 once, 0.85 of the quick plan, 0.95 of 32B.
    """
    others = few_at_once(load_table(STUDIES / study))
    own = own_pace(list(metered_of_table(load_table(name))), LIST, GRAPH_TOKENS)
    own_rms = rms(replace(LIST, pace=own), others)
    assert own_rms < share * rms(LIST, others)
    assert own_rms < 0.04


def timed_by(pace: Pace, batches: Sequence[Metered]) -> list[Metered]:
    """The same batches, taking as long as a pace says."""
    made = []
    for each in batches:
        deployment = each.deployment
        spare_w = deployment.power_limit_w - each.idle_power_w
        work_j = LIST.energy_j @ each.work.amounts
        seconds = float(pace.step_seconds(each.work, work_j, spare_w).sum())
        made.append(replace(each, seconds=seconds))
    return made


def test_a_pace_that_made_the_times_comes_back(batches: list[Metered]) -> None:
    """But for what few batches below the power limit tell, which stays nearer to the list."""
    truth = replace(LIST.pace.scaled({"layer": 0.7, "output": 0.6}), cache_byte=2.2e-13)
    made = timed_by(truth, batches)
    own = own_pace(made, LIST, GRAPH_TOKENS)
    assert own.layer == pytest.approx(truth.layer, rel=0.03)
    assert own.cache_byte == pytest.approx(truth.cache_byte, rel=0.1)
    assert truth.output < own.output < 0.9 * LIST.pace.output
    recorded = [each for each in made if each.work.of("outputs").max() <= GRAPH_TOKENS]
    assert rms(replace(LIST, pace=own), recorded) < 0.2 * rms(LIST, recorded)
    kept = {"layer", "output", "cache_byte", "host_layer"}
    for name, value in own.to_dict().items():
        assert name in kept or value == LIST.pace.to_dict()[name], name


@pytest.mark.parametrize("name", ["olmoe-1b-7b", "qwen3-30b-a3b"])
def test_a_layer_of_a_mixture_is_left_to_the_list(name: str) -> None:
    batches = list(metered_of_table(load_table(f"h200-sxm/{name}/vllm-quick")))
    own = own_pace(batches, LIST, GRAPH_TOKENS)
    assert own.layer == LIST.pace.layer
    assert own.output != LIST.pace.output


def test_large_batches_tell_the_host_and_not_the_pace(batches: list[Metered]) -> None:
    def slow(each: Metered) -> Metered:
        return replace(each, seconds=1.5 * each.seconds)

    is_large = [each.work.of("outputs").max() > GRAPH_TOKENS for each in batches]
    assert any(is_large)
    pairs = list(zip(batches, is_large, strict=True))
    own = own_pace(batches, LIST, GRAPH_TOKENS)
    assert own == own_pace(
        [slow(each) if large else each for each, large in pairs], LIST, GRAPH_TOKENS
    )
    assert own != own_pace(
        [each if large else slow(each) for each, large in pairs], LIST, GRAPH_TOKENS
    )
    none_left = [each for each, large in pairs if large]
    assert own_pace(none_left, LIST, GRAPH_TOKENS).layer == LIST.pace.layer


def test_launching_takes_no_longer_than_logs_show(batches: list[Metered]) -> None:
    table = load_table(FULL)
    launch = np.asarray(table_times(table, scheduler_of_vllm(table)).launch)
    assert set(launch[: GRAPH_TOKENS + 1]) == {0.0}
    few_s = 32 * min(LIST.pace.host_layer, LAUNCH_S)
    assert launch[GRAPH_TOKENS + 1 :] == pytest.approx(few_s)
    short = LIST.pace.scaled({"host_layer": 0.1})
    own = own_pace(batches, replace(LIST, pace=short), GRAPH_TOKENS)
    assert own.host_layer == short.host_layer


def scheduler_of_vllm(table: EnergyTable) -> ContinuousBatching:
    scheduler = scheduler_of(table)
    assert isinstance(scheduler, ContinuousBatching)
    return scheduler


@pytest.mark.parametrize(
    "name",
    [
        "h200-sxm/llama-3.1-8b/vllm-traffic",
        "h100-sxm/llama-3.1-8b/vllm-eager-quick",
        "h100-sxm/llama-3.1-8b/vllm-by-hand",
    ],
)
def test_tables_that_do_not_tell_have_the_lists_times(name: str) -> None:
    table = load_table(name)
    scheduler = scheduler_of_vllm(table)
    listed = Scaling(deployment_of(table.metadata, table.config)).step_times(scheduler)
    for told, of_list in zip(table_times(table, scheduler), listed, strict=True):
        np.testing.assert_array_equal(told, of_list)


def test_drawing_tokens_takes_as_much_more_over_a_table() -> None:
    table = load_table("h200-sxm/llama-3.1-8b/vllm-quick")
    deployment = deployment_of(table.metadata, table.config)
    drawn = Sampled(deployment, decoding=Decoding.of("top-p:0.9"), measured=table)
    model = StepModel.of(table)
    times, greedy = server_of(drawn, model).times, server_of(table, model).times
    for told, of_table in zip(times._replace(other=greedy.other), greedy, strict=True):
        np.testing.assert_array_equal(told, of_table)
    more_s = np.asarray(times.other) - np.asarray(greedy.other)
    np.testing.assert_allclose(more_s, drawn.cost.fed_seconds(np.arange(float(len(more_s)))))
    assert more_s[64] > 1e-4


def test_batches_of_a_table_are_scheduled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    table = load_table("h200-sxm/llama-3.1-8b/vllm-quick")
    scheduled: list[tuple[int, ...]] = []
    schedule = ContinuousBatching.schedule_batch

    def counted(scheduler: ContinuousBatching, *batch: int) -> Steps:
        scheduled.append(batch)
        return schedule(scheduler, *batch)

    monkeypatch.setattr(ContinuousBatching, "schedule_batch", counted)
    model = StepModel.of(table)
    times = server_of(table, model).times
    assert sorted(scheduled) == sorted({run.batch for run in table.runs if run.valid})
    for told, of_table in zip(times, table_times(table, scheduler_of_vllm(table)), strict=True):
        np.testing.assert_array_equal(told, of_table)
