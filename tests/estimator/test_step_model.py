"""The fit, its error bar, and what it says of the shipped tables."""

import math
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from joulecast.estimator.steps.intervals import Spread, card_spread, interval_j, relative_sds
from joulecast.estimator.steps.metered_batches import MeteredBatch, metered_batches
from joulecast.estimator.steps.prices import fit_prices, held_out_errors
from joulecast.estimator.steps.work import TERMS, StepCounts
from joulecast.measurements.table.table import load_table
from joulecast.traces.cell_sums import CellSums
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID
from tests.conftest import workload_of

VLLM = "h100-sxm/llama-3.1-8b/vllm"
TRUTH = np.array([2.9, 1.6e-2, 3e-5, 6e-7, 3e-3, 5e-2])


@pytest.fixture(scope="module")
def batches() -> list[MeteredBatch]:
    return metered_batches(load_table(VLLM))


def remade(
    batches: list[MeteredBatch], energy_j: Callable[[MeteredBatch], list[tuple[str, float]]]
) -> list[MeteredBatch]:
    """The same batches, with runs of these energies per batch, on these cards [J]."""
    table = []
    for batch in batches:
        runs = [
            replace(batch.runs[0], energy_j=joules, batches=1, gpu=card)
            for card, joules in energy_j(batch)
        ]
        table.append(replace(batch, runs=runs))
        vars(table[-1])["counts"] = batch.counts  # the work is the same, and cached
    return table


def test_sums_and_lengths_say_the_same() -> None:
    lengths = [(5, 3), (700, 1), (8000, 500), (33, 9)]
    sums = workload_of(PAPER_GRID, lengths).total
    i, o = np.array(lengths).T
    by_hand = StepCounts(
        steps=0,
        tokens=sum(i + o - 1),
        context=sum(sum(a + k for k in range(1, b)) for a, b in lengths),
        pairs=sum(i * i) / 2,
        outputs=sum(o),
        requests=4,
    )
    assert StepCounts.of_sums(sums) == by_hand
    assert StepCounts.of_lengths(np.array(lengths)) == by_hand
    assert StepCounts.of_sums(CellSums(0, 0, 0, 0, 0, 0)) == StepCounts(0, 0, 0, 0, 0, 0)


def test_known_coefficients_are_found_again(batches: list[MeteredBatch]) -> None:
    exact = remade(batches, lambda batch: [("card", float(batch.work @ TRUTH))])
    prices = fit_prices(exact)
    assert prices.energy_j == pytest.approx(TRUTH, rel=1e-6)
    assert prices.residual_sd < 1e-9
    assert max(map(abs, held_out_errors(exact).values())) < 1e-6
    counts = StepCounts(10, 1000, 5000, 100, 70, 7)
    assert prices.total_j(counts) == pytest.approx(float(counts.array() @ TRUTH))
    assert sum(prices.parts_j(counts).values()) == pytest.approx(prices.total_j(counts))
    assert set(prices.parts_j(counts)) == set(TERMS)


@pytest.mark.slow
@pytest.mark.parametrize(("repeats", "card_sd"), [(1, 0.006), (3, 0.006), (1, 0.055)])
def test_the_interval_covers_what_it_says(
    batches: list[MeteredBatch], repeats: int, card_sd: float
) -> None:
    """Tables and metered traces made up with a known truth: 93 to 97 % lie within the interval."""
    generator = np.random.default_rng(7)
    shape_sd, repeat_sd = 0.02, 0.01
    trace = StepCounts(20_000, 2.6e7, 5e9, 2.7e10, 4e6, 19_000)
    true_j = float(trace.array() @ TRUTH)
    some = batches[::2]  # as telling as all, and twice as quick
    true_means_j = {batch.batch: float(batch.work @ TRUTH) for batch in some}
    hits, trials = 0, 1500
    for _ in range(trials):
        card = 1 + card_sd * generator.standard_normal()

        def runs(batch: MeteredBatch, card: float = card) -> list[tuple[str, float]]:
            shape = card * (1 + shape_sd * generator.standard_normal())
            mean_j = true_means_j[batch.batch] * shape
            noise = 1 + repeat_sd * generator.standard_normal(repeats)
            return [("card", mean_j * factor) for factor in noise.tolist()]

        table = remade(some, runs)
        prices = fit_prices(table)
        true_sds = card_sd, shape_sd, repeat_sd
        other, shape, noise = (1 + sd * generator.standard_normal() for sd in true_sds)
        metered_j = true_j * other * shape * noise
        sds = relative_sds(prices, Spread.of(table), trace, card_sd)
        low, high = interval_j(prices.total_j(trace), sds, prices.freedom)
        hits += low <= metered_j <= high
    assert 0.93 <= hits / trials <= 0.97


def test_what_the_interval_is_made_of(batches: list[MeteredBatch]) -> None:
    """Two cards that differ by 4 %, three runs on each that differ by 1 %."""

    def runs(batch: MeteredBatch) -> list[tuple[str, float]]:
        mean_j = float(batch.work @ TRUTH)
        return [
            (card, mean_j * bias * noise)
            for card, bias in (("a", 0.98), ("b", 1.02))
            for noise in (0.99, 1.0, 1.01)
        ]

    table = remade(batches, runs)
    prices, spread = fit_prices(table), Spread.of(table)
    assert spread.cards == 2
    assert spread.card_sd == pytest.approx(0.04 / math.sqrt(2), rel=1e-6)
    assert spread.inverse_runs == pytest.approx(1 / 6)
    sds = relative_sds(prices, spread, batches[0].counts, of_cards=0.006)
    assert sds["card"] == pytest.approx(spread.card_sd * math.sqrt(1.5))
    for servers, of_both in ((1, 1.5), (4, 0.75)):  # and two cards of the table
        sds = relative_sds(prices, spread, batches[0].counts, 0.06, servers)
        assert sds["card"] == pytest.approx(0.06 * math.sqrt(of_both))
    assert sds["repeat"] == pytest.approx(spread.repeat_sd * math.sqrt(5 / 6))
    assert sds["shape"] < 1e-9


def test_what_is_known_from_elsewhere_does_not_take_the_t_of_a_small_fit() -> None:
    """Welch and Satterthwaite: as many degrees of freedom as the fit's share of the variance."""
    low, high = interval_j(100.0, {"shape": 0.01, "card": 0.06}, 3)
    sd = math.hypot(0.01, 0.06)
    assert high - low == pytest.approx(200 * 1.96 * sd, rel=1e-3)
    low, high = interval_j(100.0, {"shape": 0.03, "card": 0.03}, 3)
    assert high - low == pytest.approx(200 * 2.179 * math.hypot(0.03, 0.03), rel=1e-3)  # t(12)


def test_cards_lie_further_apart_the_less_they_draw() -> None:
    """The same batches on several cards; docs/accuracy.md."""
    loads = 1.1, 1.0, 0.98, 0.96, 0.9, 0.8, 0.2
    of_h200 = [round(card_spread("h200-sxm", load), 3) for load in loads]
    assert of_h200 == [0.006, 0.006, 0.014, 0.021, 0.044, 0.055, 0.055]
    assert of_h200 == [round(card_spread("l40s", load), 3) for load in loads]  # none was metered
    assert card_spread("h100-sxm", 0.7) == pytest.approx(0.024)
    assert card_spread("h200-sxm", 0.8, 4) == card_spread("h200-sxm", 0.8) / 2


def test_an_interval_does_not_reach_zero() -> None:
    lows = [interval_j(100.0, {"shape": sd}, 10)[0] for sd in (0.1, 0.22, 0.23, 0.5, 0.9, 2.0)]
    assert lows == sorted(lows, reverse=True)
    assert lows[0] == pytest.approx(100 * (1 - 0.22281), rel=1e-4)
    assert lows[-1] > 0
    low, high = interval_j(100.0, {"shape": 0.9}, 10)
    assert 0 < low < 5
    assert high == pytest.approx(100 * (1 + 2.2281 * 0.9), rel=1e-4)  # t(0.975, 10) = 2.2281


@pytest.mark.parametrize(
    ("name", "median", "worst", "residual"),
    [
        ("vllm", 0.007, 0.082, 0.019),
        ("vllm-first-card", 0.009, 0.083, 0.022),
        ("pytorch", 0.035, 0.597, 0.122),
    ],
)
def test_what_the_shipped_tables_reach(
    name: str, median: float, worst: float, residual: float
) -> None:
    """The figures of docs/stepwise.md."""
    batches = metered_batches(load_table(f"h100-sxm/llama-3.1-8b/{name}"))
    errors = [abs(error) for error in held_out_errors(batches).values()]
    assert statistics.median(errors) == pytest.approx(median, abs=5e-4)
    assert max(errors) == pytest.approx(worst, abs=5e-4)
    prices = fit_prices(batches)
    assert prices.residual_sd == pytest.approx(residual, abs=5e-4)
    assert (prices.energy_j >= 0).all()


def test_too_few_batches_are_refused(table_folder: Path) -> None:
    runs = table_folder / "runs.csv"
    runs.write_text("\n".join(runs.read_text().splitlines()[:7]) + "\n")
    metadata = table_folder / "table.json"
    text = metadata.read_text().replace('"measured_cells": 32', '"measured_cells": 6')
    metadata.write_text(text)
    with pytest.raises(InputError, match="6 different batches, and the step model needs 7"):
        metered_batches(load_table(str(table_folder)))
