"""Where cards lie among their kind, and prices of a mean one."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from joulecast.estimator.kinds.cards import NOISE, Comparison, Kind, load_kind
from joulecast.estimator.kinds.shipped import GRAPHS, shipped_comparisons, shipped_idle_w
from joulecast.estimator.online.validate import model_for
from joulecast.estimator.steps.intervals import card_spread
from joulecast.estimator.steps.metered_batches import MeteredBatch, batches_of_steps
from joulecast.estimator.table_law import TableLaw
from joulecast.measurements.replay import SHIPPED_ONLINE, Replay
from joulecast.measurements.table.runs import Run
from joulecast.measurements.table.table import EnergyTable, load_table

GPU, LIMIT_W = "h200-sxm", 700.0
LLAMA = "h200-sxm/llama-3.1-8b/vllm"


@pytest.fixture(scope="module")
def table() -> EnergyTable:
    """Of the shipped runs, as if one card that nobody knows had made them."""
    shipped = load_table(LLAMA)
    metadata = {**shipped.metadata, "idle_power_w": 111.0, "cards": {"GPU-here": {}}}
    runs = [replace(run, gpu="GPU-here") for run in shipped.runs]
    return replace(shipped, metadata=metadata, runs=runs)


def on_card(batches: Sequence[MeteredBatch], deviation: float) -> list[MeteredBatch]:
    """The same batches as a card takes them that lies so far above; larger ones wait for hosts."""

    def taken(run: Run) -> Run:
        spread = card_spread(GPU, run.power_w / LIMIT_W) if run.batch_size <= GRAPHS else 0.0
        return replace(run, energy_j=run.energy_j * (1 + deviation * spread))

    return [replace(batch, runs=[taken(run) for run in batch.runs]) for batch in batches]


def test_two_cards_are_told_by_what_they_differ_in() -> None:
    """Two unknown z and one difference of theirs: a closed form."""
    spread = card_spread(GPU, 0.75)
    kind = Kind.of(GPU, {}, [Comparison("same", 0.75, {"a": 100.0, "b": 104.0})])
    apart = math.log(1.04) / spread
    told = 2 / (2 + 2 * (NOISE / spread) ** 2)
    assert kind.deviations == pytest.approx([-told * apart / 2, told * apart / 2])
    assert kind.covariance[0, 0] == pytest.approx(1 - told / 2)
    assert kind.covariance[0, 1] == pytest.approx(told / 2)


def test_the_z_of_many_cards_are_found_again() -> None:
    rng = np.random.default_rng(3)
    deviations = dict(zip("abcdefghij", rng.normal(size=10).tolist(), strict=True))
    comparisons = [
        Comparison(
            f"work {load}",
            load,
            {
                card: 1000 * load * math.exp(z * card_spread(GPU, load) + rng.normal(0, NOISE))
                for card, z in deviations.items()
            },
        )
        for load in (0.7, 0.75, 0.8, 0.9, 0.99)
    ]
    kind = Kind.of(GPU, {}, comparisons)
    mean = np.mean(list(deviations.values()))
    true = np.array([deviations[card] - mean for card in kind.cards])
    told = kind.deviations - kind.deviations.mean()
    assert np.abs(told - true).max() < 0.35
    # What the mean card takes stays unknown: as little as ten draws tell of their mean.
    ones = np.full(10, 0.1)
    assert ones @ kind.covariance @ ones == pytest.approx(1 / 10)


def test_prices_are_those_of_a_mean_card(table: EnergyTable) -> None:
    batches = batches_of_steps(table)
    # Some card whose z is known by many others, in two sorts of work.
    others = {f"GPU-{k}": 1000.0 for k in range(400)}
    works = [
        Comparison(
            "work", load, {**others, "GPU-here": 1000.0 * math.exp(1.5 * card_spread(GPU, load))}
        )
        for load in (0.7, 0.8)
    ]
    kind = Kind.of(GPU, {}, works)
    centred = TableLaw.of(table, None, on_card(batches, 1.5), kind)
    mean = TableLaw.of(table, None, batches, Kind(GPU))
    for batch in batches:
        total_j = centred.prices.total_j(batch.counts)
        assert total_j == pytest.approx(mean.prices.total_j(batch.counts), rel=0.012)
    assert centred.cards > 20
    assert mean.cards == pytest.approx(1)


def test_batches_that_wait_for_their_host_are_left_as_they_are() -> None:
    batches = batches_of_steps(load_table(LLAMA))
    centred = load_kind(GPU).centred(batches, LIMIT_W).batches
    large = [batch for batch in centred if batch.batch[2] > GRAPHS and batch.batch[1] > 2]
    as_run = {batch.batch: batch.energy_j for batch in batches}
    assert len(large) > 10
    assert all(batch.energy_j == as_run[batch.batch] for batch in large)
    assert sum(batch.energy_j != as_run[batch.batch] for batch in centred) > 20


def test_of_cards_that_nobody_knows_nothing_changes(table: EnergyTable) -> None:
    batches = batches_of_steps(table)
    mean = load_kind(GPU).centred(batches, LIMIT_W)
    assert [batch.energy_j for batch in mean.batches] == [batch.energy_j for batch in batches]
    assert mean.cards == pytest.approx(1)
    assert mean.notes == ()
    assert TableLaw.of(table).idle_power_w == 111.0


def test_a_shipped_table_idles_as_its_kind_does() -> None:
    """Two formats of one model, metered on cards that idle at 126 and at 136 W, idle alike."""
    plain, fp8 = (
        load_table(f"h100-sxm/llama-3.1-8b/{name}") for name in ("vllm", "vllm-fp8-quick")
    )
    assert abs(plain.metadata["idle_power_w"] - fp8.metadata["idle_power_w"]) > 5
    mean_w = np.mean(list(load_kind("h100-sxm").idle_w.values()))
    assert [TableLaw.of(each).idle_power_w for each in (plain, fp8)] == pytest.approx([mean_w] * 2)


def test_what_ships_is_what_is_measured() -> None:
    for gpu in ("h100-sxm", "h200-sxm"):
        kind = load_kind(gpu)
        again = Kind.of(gpu, shipped_idle_w(gpu), shipped_comparisons(gpu))
        assert kind.cards == again.cards
        assert kind.deviations == pytest.approx(again.deviations)
        assert kind.idle_w == again.idle_w


def test_h200s_lie_as_far_apart_as_intervals_have_it() -> None:
    """The mean square of z, with what is not known of it, is 1 by the law."""
    for gpu in ("h100-sxm", "h200-sxm"):
        kind = load_kind(gpu)
        square = float(np.mean(kind.deviations**2 + np.diag(kind.covariance)))
        assert 0.5 < square < 1.5


def test_a_replay_is_held_against_prices_that_its_card_tells_nothing_of() -> None:
    path = SHIPPED_ONLINE / GPU / "llama-3.1-8b" / "conv-1.7x-tenth.json"
    replay = Replay.load(path)
    card = replay.valid_runs[0].card
    model = model_for(load_table(LLAMA), replay)
    assert card in load_kind(GPU).cards
    assert card not in load_kind(GPU, without=card).cards
    without = TableLaw.of(load_table(LLAMA), kind=load_kind(GPU, without=card))
    assert model.law.prices.energy_j == pytest.approx(without.prices.energy_j, rel=1e-12)
    assert model.law.prices.energy_j[0] != TableLaw.of(load_table(LLAMA)).prices.energy_j[0]


def test_an_estimate_says_what_is_changed_of_its_table() -> None:
    law = TableLaw.of(load_table("h200-sxm/qwen1.5-32b/vllm-quick"))
    prices, idles = law.notes
    assert "work that 3 cards of the kind share" in prices
    assert " of its 7 batches are taken as on a mean card" in prices
    assert idles == "idle power is the mean of 25 cards, 124 W (its own: 123 W)"
    assert law.idle_cards == 25


def test_cards_that_share_no_work_are_not_counted_in() -> None:
    works = [
        Comparison("one", 0.8, {"a": 1.0, "b": 1.1}),
        Comparison("two", 0.8, {"c": 1.0, "d": 1}),
    ]
    kind = Kind.of(GPU, {}, works)
    batches = batches_of_steps(load_table(LLAMA))
    runs = [replace(batch, runs=[replace(run, gpu="a") for run in batch.runs]) for batch in batches]
    assert kind.centred(runs, LIMIT_W).among == 2
