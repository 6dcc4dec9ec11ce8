"""Rates of a load, times its tokens, plus waiting, are the estimate of that load."""

from pathlib import Path

import numpy as np
import pytest

import joulecast as jc
from joulecast.estimator.rates.card import Load
from joulecast.traces.errors import InputError
from joulecast.traces.load import load_trace

pytestmark = pytest.mark.slow


def told_by(load: Load) -> float:
    """What the JSON of a load says of its tokens and waiting [J]."""
    document = load.to_dict(None)
    tokens_j = sum(
        document[kind]["tokens"] * document[kind]["j_per_1000_tokens"] / 1000
        for kind in ("input", "cached", "output")
        if document[kind]["tokens"]
    )
    return tokens_j + document["idle_j"]


def test_every_load_sums_to_its_estimate() -> None:
    card = jc.rate_card(jc.equal_requests(300, 800, 100, 300), model="qwen2.5-7b", gpu="l40s")
    assert [load.name for load in card.loads] == ["low", "medium", "busy", "all at once"]
    for load in card.loads:
        assert told_by(load) == pytest.approx(load.estimate.energy_j, rel=1e-12)
        low_j, high_j = load.estimate.interval_j
        assert low_j < load.estimate.energy_j < high_j
    outputs = [load.attribution.shares["output"].j_per_token for load in card.loads]
    assert outputs == sorted(outputs, reverse=True)
    assert card.mean_tokens == {"input": 800.0, "cached": 300.0, "output": 100.0}
    assert card.idle.interval_w[0] < card.idle.power_w < card.idle.interval_w[1]


def test_a_load_is_the_estimate_at_that_rate() -> None:
    requests = jc.equal_requests(200, 500, 50)
    card = jc.rate_card(requests, [3.0], model="llama-3.1-8b")
    estimate = jc.estimate(requests, model="llama-3.1-8b", rate=3.0)
    (load,) = card.loads
    assert load.name == "3/s"
    assert load.estimate.energy_j == estimate.energy_j
    assert load.requests_per_s == estimate.serving.requests_per_s


def test_a_trace_with_times_also_has_these_as_a_load() -> None:
    card = jc.rate_card("azure-2023-code", gpu="h100-sxm")
    assert card.loads[0].name == "as it came"
    own = jc.estimate("azure-2023-code")
    assert card.loads[0].estimate.energy_j == own.energy_j
    for load in card.loads:
        assert told_by(load) == pytest.approx(load.estimate.energy_j, rel=1e-9)


def test_a_facility_multiplies_rates() -> None:
    requests = jc.equal_requests(100, 500, 50)
    costs = {"pue": 1.5, "carbon": 100.0, "price": "0.2 EUR"}
    document = jc.rate_card(requests, [2.0], **costs).to_dict()
    output = document["loads"][0]["output"]
    facility = output["facility_per_1000_tokens"]
    kwh = 1.5 * output["j_per_1000_tokens"] / 3.6e6
    assert facility["carbon_g"] == pytest.approx(100 * kwh)
    assert facility["cost"] == pytest.approx(0.2 * kwh)
    assert facility["cost_interval"][1] > facility["cost"]
    assert document["idle"]["facility_per_hour"]["pue"] == 1.5
    assert document["scope"].startswith("GPU energy of a replica")
    assert document["basis"] == "measured"


def test_static_batches_have_a_card_of_all_at_once_alone() -> None:
    requests = jc.equal_requests(100, 500, 50)
    card = jc.rate_card(requests, engine="pytorch")
    assert [load.name for load in card.loads] == ["all at once"]
    with pytest.raises(InputError, match="static batches"):
        jc.rate_card(requests, [2.0], engine="pytorch")


@pytest.mark.parametrize("name", ["code", "conv"])
def test_a_card_holds_for_the_azure_traces_at_three_loads(azure_folder: Path, name: str) -> None:
    trace = azure_folder / f"azure-2023-{name}.csv"
    lengths = load_trace(trace, most_lengths=10**9).lengths
    first, second = np.array_split(lengths, 2)
    means = np.rint(first.mean(axis=0)).astype(int).tolist()
    capacity = jc.rate_card(first, [1.0]).capacity_per_s
    rates = [share * capacity for share in (0.02, 0.25, 0.8)]
    whole = jc.rate_card(trace, rates)
    of_first = jc.rate_card(first, rates)
    of_equal = jc.rate_card(jc.equal_requests(len(first), *means), rates)
    # To rounding for what the card is of, which is what `estimate --rate` says.
    for load in whole.loads:
        assert told_by(load) == pytest.approx(load.estimate.energy_j, rel=1e-9)
    assert whole.loads[-1].estimate.energy_j == jc.estimate(trace, rate=rates[-1]).energy_j
    # Beside the estimate of requests that are in no card; docs/rate-card.md has all of it.
    least, most = {"code": (-0.04, 0.011), "conv": (-0.092, 0.0)}[name]
    for rate, *loads in zip(rates, of_first.loads, of_equal.loads, strict=True):
        held_out = jc.estimate(second, rate=rate)
        tokens = held_out.estimated_tokens
        for load in loads:
            told_j = load.attribution.energy_of(tokens["input"], 0, tokens["output"])
            total_j = told_j + held_out.attribution.idle_j
            assert least < total_j / held_out.energy_j - 1 < most
