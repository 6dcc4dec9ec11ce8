"""Plans: winners as estimates one by one say, ties, reasons, prices, and no matter the order."""

import itertools
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import joulecast as jc
from joulecast.estimator.planning import search
from joulecast.estimator.planning.embodied import embodied_carbon
from joulecast.estimator.planning.fleets import FleetOption
from joulecast.estimator.planning.result import FleetPlan
from joulecast.estimator.planning.terms import Terms
from joulecast.measurements.hardware import gpu_names
from joulecast.pages.plan import plan_page
from joulecast.traces.errors import InputError
from joulecast.views.planning.answer import answer_lines

SLO = "ttft_p99=1s,tpot_p99=30ms"
GPUS, COUNTS, DTYPES = ("h100-sxm", "l40s"), (1, 2), ("bfloat16", "fp8")
ON = "gpu=h100-sxm,l40s,gpus=1,2,dtype=bfloat16,fp8"
PRICES = {"h100-sxm": "2.5 USD", "l40s": "0.7 USD"}


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of a busy chat."""
    generator = np.random.default_rng(3)
    arrivals = np.cumsum(generator.exponential(0.06, 1000))
    lengths = generator.integers(20, 900, (1000, 2)) // (1, 4) + 1
    rows = [f"{s:.3f},{i},{o}" for s, (i, o) in zip(arrivals, lengths.tolist(), strict=True)]
    path = tmp_path_factory.mktemp("plans") / "chat.csv"
    path.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows]))
    return path


@pytest.fixture(scope="module")
def made(trace: Path) -> FleetPlan:
    return jc.plan(trace, [ON], slo=SLO, price="0.2 USD", gpu_prices=PRICES)


def test_winners_are_those_of_estimates_one_by_one(trace: Path, made: FleetPlan) -> None:
    estimates = {}
    for gpu, gpus, dtype in itertools.product(GPUS, COUNTS, DTYPES):
        how = {"gpu": gpu, "gpus": gpus, "dtype": dtype, "price": 0.2}
        estimates[f"gpu={gpu},dtype={dtype},gpus={gpus}"] = jc.estimate(
            trace, **how, replicas="auto", slo=SLO
        )
    assert {option.spec for option in made.options} == set(estimates)

    def cards(spec: str) -> int:
        return estimates[spec].serving.replicas * int(spec[-1])

    def cost(spec: str) -> float:
        estimate = estimates[spec]
        hours = cards(spec) * estimate.serving.span_s / 3600
        rent = hours * float(PRICES[estimate.basis.gpu].split()[0])
        return rent + 0.2 * estimate.energy_j / 3.6e6

    for option in made.options:
        estimate = estimates[option.spec]
        assert option.energy_j == pytest.approx(estimate.energy_j, rel=1e-12)
        assert option.interval_j == pytest.approx(estimate.interval_j, rel=1e-12)
        assert option.cost == pytest.approx(cost(option.spec), rel=1e-12)
    by_energy = min(estimates, key=lambda spec: estimates[spec].energy_j)
    by_gpus = min(estimates, key=lambda spec: (cards(spec), estimates[spec].energy_j))
    best = {goal: made.best(goal).spec for goal in ("gpus", "energy", "cost")}
    assert best == {"gpus": by_gpus, "energy": by_energy, "cost": min(estimates, key=cost)}
    costs = [option.cost for option in made.ranked("cost")]
    assert costs == sorted(costs)


def test_the_order_of_options_does_not_matter(trace: Path, made: FleetPlan) -> None:
    specs = [option.spec for option in made.options]
    random.Random(5).shuffle(specs)
    again = jc.plan(trace, [*specs, ON], slo=SLO, price="0.2 USD", gpu_prices=PRICES)
    assert again.to_dict() == made.to_dict()


def test_a_deployment_that_is_named_twice_is_one_option(trace: Path) -> None:
    on = ["gpu=h100-sxm", "gpu=h100-sxm,gpus=1", "engine=vllm,dtype=bfloat16"]
    assert len(jc.plan(trace, on, slo=SLO).options) == 1


def test_nothing_serves_in_time(trace: Path) -> None:
    made = jc.plan(trace, [ON], slo="tpot_p50=1ms")
    assert made.options == ()
    assert made.best("gpus") is made.best("energy") is made.best("cost") is None
    assert len(made.not_planned) == 8
    for other in made.not_planned:
        assert other.lack == "too slow"
        assert "even for a request alone: tpot_p50 " in other.reason
        assert other.reason.endswith(" of 1 ms")
    assert len(made.to_frame()) == 8


def test_no_more_gpus_than_may_be_taken(trace: Path) -> None:
    how = {"slo": "ttft_p99=1s,tpot_p99=24ms", "rate": 60}
    free = jc.plan(trace, ["gpu=l40s"], **how).options[0]
    assert free.gpus > 2
    capped = jc.plan(trace, ["gpu=l40s", "gpu=l40s,gpus=4"], most_gpus=free.gpus - 1, **how)
    reasons = {other.spec: other.reason for other in capped.not_planned}
    most = free.gpus - 1
    allowed = f"and --most-gpus {most} allows no more"
    assert reasons["gpu=l40s"] == f"takes more than {most} replicas ({most} GPUs), {allowed}"
    alone = jc.plan(trace, ["gpu=l40s"], most_gpus=1, **how).not_planned[0]
    assert alone.lack == "too many GPUs"
    assert alone.reason == "takes more than 1 replica (1 GPU), and --most-gpus 1 allows no more"
    assert jc.plan(trace, ["gpu=l40s"], most_gpus=free.gpus, **how).options[0].gpus == free.gpus
    too_many = jc.plan(trace, ["gpu=l40s,gpus=4"], most_gpus=2, **how).not_planned[0]
    assert too_many.lack == "too many GPUs"
    assert too_many.reason == "has 4 GPUs, and --most-gpus 2 allows no more"


def test_a_number_of_replicas_can_be_named(trace: Path) -> None:
    made = jc.plan(trace, ["gpu=l40s,replicas=1,60"], slo="tpot_p99=24ms", rate=60)
    (option,) = made.options
    assert option.replicas == option.gpus == 60
    (other,) = made.not_planned
    assert other.reason.startswith("with so many replicas: tpot_p99 ")


def test_what_cannot_be_estimated_is_listed_with_its_reason(trace: Path) -> None:
    on = [
        *("gpu=h100-sxm", "gpu=a100-sxm4-80gb,dtype=fp8", "model=llama-3.1-70b,gpu=l4"),
        *("gpus=3", "engine=pytorch", "max-num-seqs=9999,max-num-batched-tokens=8"),
        *("speculate=llama-3.2-1b:4:0.7", "engine=pytorch,eager=yes", "decoding=beam:4"),
    ]
    made = jc.plan(trace, on, slo=SLO)
    assert [option.spec for option in made.options] == ["gpu=h100-sxm"]
    assert len(made.not_planned) == len(on) - 1
    for other in made.not_planned:
        assert other.lack == "not estimated"
        assert other.reason
        assert "\n" not in other.reason


def test_an_answer_without_options_says_that_some_could_not_be_estimated(trace: Path) -> None:
    made = jc.plan(trace, ["gpu=l40s", "gpu=a100-sxm4-80gb,dtype=fp8"], slo="tpot_p50=1ms")
    assert {other.lack for other in made.not_planned} == {"too slow", "not estimated"}
    assert answer_lines(made) == [
        "None of these deployments that could be estimated serves the trace in time."
    ]


def test_how_tokens_are_chosen_makes_another_option(trace: Path) -> None:
    on = ["gpu=h100-sxm,eager=yes,no,decoding=greedy,top-p:0.9"]
    made = jc.plan(trace, on, slo="ttft_p99=60s")
    options = {option.name: option for option in made.options}
    assert options.keys() == {
        "h100-sxm, bfloat16",
        "h100-sxm, bfloat16, eager",
        "h100-sxm, bfloat16, top-p:0.9",
        "h100-sxm, bfloat16, eager, top-p:0.9",
    } - {f"{other.spec}" for other in made.not_planned}
    for name, how in {"eager": {"eager": True}, "top-p:0.9": {"decoding": "top-p:0.9"}}.items():
        alone = jc.estimate(trace, gpu="h100-sxm", replicas="auto", slo="ttft_p99=60s", **how)
        energy_j = options[f"h100-sxm, bfloat16, {name}"].energy_j
        assert energy_j == pytest.approx(alone.energy_j, rel=1e-12)


def test_a_draft_is_planned_with_offline_alone(trace: Path) -> None:
    on = ["gpu=h100-sxm", "gpu=h100-sxm,speculate=llama-3.2-1b:4:0.7,0.9"]
    with pytest.raises(InputError, match=r"is not DRAFT,K,ACCEPTANCE"):
        jc.plan(trace, on, slo=SLO)
    on = ["gpu=h100-sxm", "gpu=h100-sxm,speculate=llama-3.2-1b:4:0.7,llama-3.2-1b:4:0.9"]
    made = jc.plan(trace, on, slo=SLO)
    assert [option.name for option in made.options] == ["h100-sxm, bfloat16"]
    assert len(made.not_planned) == 2
    for other in made.not_planned:
        assert "speculation over time is not forecast" in other.reason
    made = jc.plan(trace, on, serving="offline")
    names = [option.name for option in made.ranked("energy")]
    assert "h100-sxm, bfloat16, speculating llama-3.2-1b,4,0.9" in names
    assert len(names) == 3


def test_who_serves_fewer_requests_is_no_option(tmp_path: Path) -> None:
    long = tmp_path / "long.csv"
    rows = [f"{k},{100 if k % 9 else 60_000},20" for k in range(90)]
    long.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows]))
    made = jc.plan(long, ["gpu=h100-sxm", "gpu=a10"], slo="tpot_p50=1s")
    assert [option.basis.gpu for option in made.options] == ["h100-sxm"]
    (other,) = made.not_planned
    assert other.lack == "not all requests"
    assert other.reason.startswith("serves 80 of 90 requests: 10 are longer than its memory holds")


def an_option(made: FleetPlan, spec: str, low_j: float, energy_j: float, high_j: float):
    estimate = replace(made.options[0].estimate, energy_j=energy_j, interval_j=(low_j, high_j))
    return FleetOption(spec, estimate, Terms(None, {"h100-sxm": 2.0}))


def test_ties_go_by_energy_and_then_by_name(made: FleetPlan) -> None:
    options = [
        an_option(made, *option)
        for option in (("b", 90, 100, 110), ("c", 50, 60, 70), ("a", 90, 100, 110))
    ]
    tied = replace(made, options=tuple(options))
    for goal in ("gpus", "energy", "cost"):
        assert [option.spec for option in tied.ranked(goal)] == ["c", "a", "b"]


def test_where_intervals_overlap_the_ranking_is_not_certain(made: FleetPlan) -> None:
    names = "apart", "over", "best"
    numbers = (130, 140, 150), (105, 115, 125), (90, 100, 110)
    options = [an_option(made, name, *n) for name, n in zip(names, numbers, strict=True)]
    plan = replace(made, by="energy", options=tuple(options[::-1]))
    assert plan.best("energy").spec == "best"
    assert [option.spec for option in plan.rivals("energy")] == ["over"]
    assert [option.spec for option in plan.rivals("gpus")] == ["over"]
    rows = plan.to_dict()["options"]
    assert [row["may_precede_the_one_above"] for row in rows] == [False, True, False]


def test_a_batch_job_is_told_by_when_it_ends(trace: Path) -> None:
    made = jc.plan(trace, ["gpu=h100-sxm,l40s"], "energy", serving="offline", gpu_prices=PRICES)
    for option in made.options:
        alone = jc.estimate(trace, gpu=option.basis.gpu, serving="offline")
        assert option.energy_j == pytest.approx(alone.energy_j, rel=1e-12)
        assert option.span_s == pytest.approx(alone.seconds, rel=1e-12)
        rent = float(PRICES[option.basis.gpu].split()[0]) * alone.seconds / 3600
        assert option.cost == pytest.approx(rent)
    assert made.scope.startswith("all GPUs of one server")


def test_embodied_carbon_is_of_cards_with_a_published_figure(trace: Path) -> None:
    on = ["gpu=h100-sxm,h200-sxm"]
    made = jc.plan(trace, on, slo=SLO, carbon=100, embodied=True, lifetime_years=5)
    options = {option.basis.gpu: option for option in made.options}
    h100 = options["h100-sxm"]
    assert h100.embodied_g == pytest.approx(164_000 * h100.span_s / (5 * 8766 * 3600))
    assert options["h200-sxm"].embodied_g is None
    assert jc.plan(trace, on, slo=SLO).options[0].embodied_g is None
    assert embodied_carbon().keys() <= set(gpu_names())
    for figure in embodied_carbon().values():
        assert figure.address.startswith("https://")


def test_a_price_that_lacks_leaves_the_cost_open(trace: Path) -> None:
    made = jc.plan(trace, ["gpu=h100-sxm,l40s"], "cost", slo=SLO, gpu_prices={"l40s": 1})
    assert [option.cost is None for option in made.options] == [False, True]
    assert made.best("cost").basis.gpu == "l40s"
    assert any("the least cost of those with a price (" in line for line in answer_lines(made))
    both = jc.plan(trace, ["gpu=h100-sxm,l40s"], slo=SLO, gpu_prices=PRICES)
    assert any("the least cost (" in line for line in answer_lines(both))


def test_servers_and_building_are_in_cost_and_carbon_as_in_an_estimate(trace: Path) -> None:
    costs = {"server_overhead": "300 W/server", "pue": 1.3, "price": 0.2, "carbon": "FR"}
    made = jc.plan(trace, ["gpu=l40s,gpus=1,2"], slo=SLO, gpu_prices={"l40s": 1}, **costs)
    for option in made.options:
        basis = option.basis
        alone = jc.estimate(
            trace, gpu=basis.gpu, gpus=basis.gpus, replicas=option.replicas, **costs
        ).to_dict()
        row = option.to_dict()
        for key in ("it_energy_j", "facility_energy_j", "carbon_g"):
            assert row[key] == pytest.approx(alone[key], rel=1e-12)
        assert row["electricity_cost"] == pytest.approx(alone["cost"], rel=1e-12)
        assert row["cost"] == pytest.approx(option.gpu_hours + alone["cost"], rel=1e-12)


def test_slower_traffic_takes_more_joules_and_less_power(trace: Path) -> None:
    whole, half = (jc.plan(trace, ["gpu=h100-sxm"], slo=SLO, speed=speed) for speed in (1, 0.5))
    assert half.options[0].energy_j > whole.options[0].energy_j
    rows = [made.to_dict()["options"][0] for made in (whole, half)]
    assert rows[1]["mean_power_w"] < rows[0]["mean_power_w"]
    for row in rows:
        assert row["mean_power_w"] == pytest.approx(row["energy_j"] / row["span_s"])


def test_limits_are_of_all_that_name_none(trace: Path) -> None:
    made = jc.plan(trace, ["gpu=h100-sxm", "max-num-seqs=64"], slo=SLO, max_num_seqs=32)
    assert sorted(option.estimate.limits["max_num_seqs"] for option in made.options) == [32, 64]


def test_progress_is_told_of_every_option(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    every = search.Search.all_of
    monkeypatch.setattr(
        search.Search, "all_of", lambda self, candidates, _: every(self, candidates, told.append)
    )
    jc.plan(trace, ["gpu=h100-sxm,max-num-seqs=8..64"], slo="ttft_p50=9s")
    assert told == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("how", "fragment"),
    [
        ({}, "say how long requests may wait"),
        ({"slo": "soon"}, "give a list such as ttft_p99=2s"),
        ({"slo": SLO, "by": "cost"}, "by cost: takes prices"),
        ({"slo": SLO, "by": "heat"}, "none of: gpus, energy, cost"),
        ({"slo": SLO, "replicas": 2}, "name it with a deployment"),
        ({"slo": SLO, "most_gpus": 0}, "at most 0 GPUs"),
        ({"slo": SLO, "on": "gpu=l40s"}, "takes a list of deployments"),
        ({"slo": SLO, "on": ["nonesuch"]}, "nonesuch"),
        ({"slo": SLO, "serving": "offline"}, "slo"),
        ({"slo": SLO, "on": ["gpu=l40s", "gpu=nope"]}, 'unknown GPU "nope"'),
        ({"slo": SLO, "on": ["gpu=l40s", "model=nope"]}, 'unknown model "nope"'),
        ({"slo": SLO, "on": ["gpu=l40s", "engine=nope"]}, 'unknown engine "nope"'),
        ({"slo": SLO, "on": ["gpu=l40s", "dtype=nope"]}, '"nope" is no number format'),
        ({"slo": SLO, "on": ["gpu=l40s", "decoding=nope"]}, "is no decoding strategy"),
        ({"slo": SLO, "on": ["gpu=l40s", "speculate=nope:4:0.7"]}, 'unknown model "nope"'),
        ({"slo": SLO, "on": ["gpus=3"]}, "none of these deployments could be estimated: gpus=3: "),
        ({"slo": SLO, "on": ["gpus=3,5"]}, "(and 1 more)"),
        ({"slo": SLO, "on": ["max-num-seqs=8"], "max_num_seqs": 16}, "leave one of the two out"),
        (
            {"slo": SLO, "on": ["gpu=l40s"], "by": "cost", "gpu_prices": {"l4": 1}},
            "nothing that serves the trace has a cost; give --gpu-price of l40s",
        ),
        ({"slo": SLO, "lifetime_years": 4}, "add --embodied"),
        ({"slo": SLO, "embodied": True, "lifetime_years": -1}, "a lifetime of -1 years"),
        ({"slo": SLO, "gpu_prices": {"l40": 1}}, 'did you mean "l4'),
        ({"slo": SLO, "gpu_prices": {"l4": "cheap"}}, "l4=cheap: is no price of a GPU hour"),
        ({"slo": SLO, "gpu_prices": {"l4": "1 USD"}, "price": "1 EUR"}, "several currencies"),
    ],
)
def test_what_cannot_be_planned(trace: Path, how: dict, fragment: str) -> None:
    with pytest.raises(InputError, match=r"^[^\n]+$") as caught:
        jc.plan(trace, **how)
    assert fragment in str(caught.value)


def test_a_trace_without_times_takes_a_rate_or_is_a_batch_job(tmp_path: Path) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text("input_tokens,output_tokens\n" + "300,40\n" * 200)
    with pytest.raises(InputError, match=r"give --rate, requests a second.* --serving offline"):
        jc.plan(trace, ["gpu=l40s"], slo=SLO)
    assert jc.plan(trace, ["gpu=l40s"], slo=SLO, rate=2).options
    assert jc.plan(trace, ["gpu=l40s"], serving="offline").options


def test_options_of_several_models_are_told_apart(trace: Path) -> None:
    on = ["model=qwen2.5-7b,llama-3.2-1b,gpu=h100-sxm,dtype=bfloat16,fp8"]
    made = jc.plan(trace, on, slo=SLO)
    names = {option.spec: option.name for option in made.options}
    assert len(set(names.values())) == len(names) == 4
    for spec, name in names.items():
        model = "qwen2.5-7b" if "qwen" in spec else "llama-3.2-1b"
        assert name.startswith(f"{model} on h100-sxm, ")
    document = made.to_dict()
    assert [option["name"] for option in document["options"]] == list(names.values())
    answer = " ".join(answer_lines(made))
    assert made.options[0].name in answer
    assert made.options[0].name in plan_page(made, "joulecast plan")
    single = jc.plan(trace, ["model=qwen2.5-7b,gpu=h100-sxm"], slo=SLO)
    assert single.options[0].name == "h100-sxm, bfloat16"
