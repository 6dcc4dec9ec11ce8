"""What an estimate of requests that come over time has to hold, whatever the requests."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

import joulecast as jc
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.kinds.cards import load_kind
from joulecast.estimator.over_time.serving import Quantiles, objectives_of
from joulecast.traces.errors import InputError
from tests.conftest import RunCli

H100 = "h100-sxm/llama-3.1-8b/vllm"
SCALED = {"model": "qwen2.5-7b", "gpu": "h200-sxm"}


def a_trace(
    path: Path, arrivals: np.ndarray, seed: int = 0, order: np.ndarray | None = None
) -> Path:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(20, 700, (len(arrivals), 2)).tolist()
    rows = [f"{at!r},{i},{o}" for at, (i, o) in zip(arrivals.tolist(), lengths, strict=True)]
    if order is not None:
        rows = [rows[k] for k in order]
    path.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows]) + "\n")
    return path


@pytest.fixture
def poisson(tmp_path: Path) -> Path:
    gaps = np.random.default_rng(1).exponential(0.5, 300)
    return a_trace(tmp_path / "poisson.csv", np.cumsum(gaps))


def serving_of(estimate: Estimate) -> dict:
    serving = estimate.to_dict()["serving"]
    assert serving["mode"] == "online"
    return serving


@pytest.mark.parametrize("on", [{"table": H100}, SCALED])
def test_energy_is_work_and_idling(poisson: Path, on: dict) -> None:
    estimate = jc.estimate(poisson, **on)
    serving = serving_of(estimate)
    assert estimate.energy_j == pytest.approx(serving["work_j"] + serving["idle_j"], rel=1e-12)
    assert sum(estimate.parts_j.values()) == pytest.approx(estimate.energy_j, rel=1e-12)
    slices = serving["timeline"]["slices"]
    assert sum(each["energy_j"] for each in slices) == pytest.approx(estimate.energy_j, rel=1e-12)
    assert sum(each["arrived"] for each in slices) == 300
    running = sum(each["running"] for each in slices[:-1]) * serving["timeline"]["slice_s"]
    assert running <= serving["mean_running"] * serving["span_s"]
    assert sum(cell.energy_j for cell in estimate.cells) == pytest.approx(estimate.energy_j)
    assert 0 < serving["busy_share"] <= 1


@pytest.mark.parametrize("model", ["qwen2.5-1.5b", "olmo-1b", "llama-3.2-1b"])
def test_small_prompts_one_by_one_draw_no_less_than_idling(model: str, tmp_path: Path) -> None:
    """Their graphs are launched in pieces, for which the GPU waits; from a table and without."""
    trace = tmp_path / "small.csv"
    rows = [f"{at:.2f},64,1" for at in 0.05 * np.arange(200)]
    trace.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows]) + "\n")
    estimate = jc.estimate(trace, model=model, gpu="h200-sxm")
    serving = serving_of(estimate)
    idle_w = serving["idle_j"] / ((1 - serving["busy_share"]) * serving["span_s"])
    assert serving["busy_share"] > 0.05
    assert estimate.energy_j > idle_w * serving["span_s"]


FEW = {"max_num_seqs": 8}


@pytest.mark.parametrize(
    "on",
    [
        *({"table": H100}, SCALED, {"table": H100, **FEW}, {**SCALED, **FEW}),
        *({"model": "qwen3-30b-a3b", "gpu": gpu} for gpu in ("h100-sxm", "h200-sxm")),
        {"model": "qwen2.5-1.5b", "gpu": "h200-sxm", **FEW},
        {"model": "tinyllama-1.1b", "gpu": "h100-sxm", **FEW},
        {"model": "tinyllama-1.1b", "gpu": "h200-sxm", "max_num_seqs": 1},
        {"model": "llama-3.1-8b", "gpu": "h100-sxm", "gpus": 4, **FEW},
        {"model": "olmoe-1b-7b", "gpu": "h200-sxm", "max_num_batched_tokens": 300, **FEW},
        {"model": "llama-3.1-8b", "gpu": "h200-sxm", "decoding": "top-p:0.9", **FEW},
    ],
)
def test_all_at_once_is_offline(tmp_path: Path, on: dict) -> None:
    """Steps that wait for their host among them, and steps with other limits."""
    trace = a_trace(tmp_path / "at-once.csv", np.zeros(200))
    online, offline = jc.estimate(trace, **on), jc.estimate(trace, **on, serving="offline")
    assert online.energy_j == pytest.approx(offline.energy_j, rel=1e-9)
    assert serving_of(online)["offline_j"] == offline.energy_j
    assert serving_of(online)["idle_j"] == 0
    limits = {name: on[name] for name in on if name.startswith("max_num")}
    assert offline.to_dict()["serving"] == {"mode": "offline", **limits}


@pytest.mark.parametrize("on", [{"table": H100}, SCALED])
def test_slower_arrivals_never_cost_less(poisson: Path, on: dict) -> None:
    speeds = (1000, 30, 10, 3, 1, 0.3, 0.1)
    energies = [jc.estimate(poisson, **on, speed=speed).energy_j for speed in speeds]
    for faster_j, slower_j in itertools.pairwise(energies):
        assert slower_j > 0.99 * faster_j
    assert energies[-1] > 3 * energies[0]


def test_the_order_of_rows_does_not_matter(poisson: Path, tmp_path: Path) -> None:
    gaps = np.random.default_rng(1).exponential(0.5, 300)
    order = np.random.default_rng(2).permutation(300)
    shuffled = a_trace(tmp_path / "shuffled.csv", np.cumsum(gaps), order=order)
    first, second = jc.estimate(poisson), jc.estimate(shuffled)
    assert first.energy_j == second.energy_j
    sorted_rows, any_order = serving_of(first), serving_of(second)
    # All at once, they are asked in the order of the rows.
    told = {key: sorted_rows[key] for key in ("offline_j", "arrivals_read")}
    assert sorted_rows == {**any_order, **told}


def test_two_replicas_are_two_servers_with_half_the_trace_each(tmp_path: Path) -> None:
    arrivals = np.cumsum(np.random.default_rng(1).exponential(0.5, 300))
    both = jc.estimate(a_trace(tmp_path / "all.csv", arrivals), replicas=2)
    text = (tmp_path / "all.csv").read_text().splitlines()
    halves = []
    for k in (0, 1):
        path = tmp_path / f"half-{k}.csv"
        path.write_text("\n".join([text[0], *text[1 + k :: 2]]) + "\n")
        halves.append(jc.estimate(path))
    work_j = sum(serving_of(half)["work_j"] for half in halves)
    assert serving_of(both)["work_j"] == pytest.approx(work_j, rel=1e-12)
    busy_s = sum(half.seconds for half in halves)
    assert both.seconds == pytest.approx(busy_s, rel=1e-12)
    idle_w = float(np.mean(list(load_kind("h100-sxm").idle_w.values())))
    idle_j = serving_of(both)["idle_j"]
    assert idle_j == pytest.approx(idle_w * (2 * serving_of(both)["span_s"] - busy_s), rel=0.01)


def test_who_sleeps_draws_nothing(tmp_path: Path) -> None:
    trace = a_trace(tmp_path / "quiet.csv", np.array([0.0, 1000.0, 5000.0]))
    awake, asleep = jc.estimate(trace), jc.estimate(trace, scale_to_zero_s=60)
    at_once = jc.estimate(trace, scale_to_zero_s=0)
    idle_w = serving_of(awake)["idle_j"] / (serving_of(awake)["span_s"] - awake.seconds)
    assert serving_of(asleep)["idle_j"] == pytest.approx(2 * 60 * idle_w, rel=1e-6)
    assert serving_of(at_once)["idle_j"] == 0
    assert serving_of(at_once)["work_j"] == serving_of(awake)["work_j"]


def test_an_idle_day_costs_its_idle_watts(run_cli: RunCli, tmp_path: Path) -> None:
    """2,000 requests over a day: the card alone idles for 2.8 kWh; all at once, they take 0.018."""
    arrivals = np.linspace(0, 85_899, 2000)
    trace = a_trace(tmp_path / "idle-day.csv", arrivals, seed=3)
    document = json.loads(run_cli("estimate", trace, "--table", H100, "--format", "json").stdout)
    serving = document["serving"]
    assert serving["idle_j"] / 3.6e6 == pytest.approx(2.8, abs=0.1)
    assert document["energy_j"] > 20 * serving["offline_j"]
    low_j, high_j = document["interval_j"]
    assert high_j / low_j > 1.2  # cards idle at different watts
    shown = run_cli("estimate", trace, "--table", H100).stdout
    assert "of the energy is drawn with nothing to do" in " ".join(shown.split())


def test_the_fewest_replicas_that_meet_a_bound(tmp_path: Path) -> None:
    arrivals = np.cumsum(np.random.default_rng(1).exponential(0.004, 3000))
    trace = a_trace(tmp_path / "busy.csv", arrivals)
    slo = "ttft_p99=1s"
    fewest = jc.estimate(trace, replicas="auto", slo=slo)
    count = serving_of(fewest)["replicas"]
    assert count > 1
    assert serving_of(fewest)["ttft_s"]["p99"] <= 1
    fewer = jc.estimate(trace, replicas=count - 1)
    assert serving_of(fewer)["ttft_s"]["p99"] > 1
    with pytest.raises(InputError, match="no number of replicas meets ttft_p50"):
        jc.estimate(trace, replicas="auto", slo="ttft_p50=1ms")


def test_a_rate_that_no_replica_can_serve_says_so(run_cli: RunCli) -> None:
    words = "estimate", "azure-2023-conv", "--rate", 40
    shown = " ".join(run_cli(*words).stdout.split())
    assert "THE REQUESTS COME FASTER THAN 1 REPLICA CAN SERVE THEM" in shown
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    needed = document["serving"]["replicas_needed"]
    assert needed > 1
    enough = json.loads(run_cli(*words, "--replicas", needed + 1, "--format", "json").stdout)
    assert enough["serving"]["replicas_needed"] is None


def test_smaller_limits_make_requests_wait(poisson: Path) -> None:
    plain, few = jc.estimate(poisson), jc.estimate(poisson, max_num_seqs=2)
    assert serving_of(few)["mean_waiting"] > serving_of(plain)["mean_waiting"]
    assert serving_of(few)["e2e_s"]["mean"] > serving_of(plain)["e2e_s"]["mean"]
    with pytest.raises(InputError, match="less than one for each of 1024 requests"):
        jc.estimate(poisson, max_num_batched_tokens=16)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"rate": -1}, "rate is -1"),
        ({"speed": math.nan}, "speed is nan"),
        ({"replicas": 0}, "replicas is 0"),
        ({"replicas": "auto"}, "go together"),
        ({"slo": "ttft_p99=2s"}, "go together"),
        ({"rate": "2"}, "rate is '2'"),
        ({"rate": True}, "rate is True"),
        ({"replicas": "auto", "slo": ["ttft_p99=2s"]}, "give a text such as"),
        ({"replicas": "auto", "slo": "ttft_p99=2s,ttft_p99=1s"}, "twice"),
        ({"speed": 1e-300}, "years; give a larger"),
        ({"rate": 1e-9}, "years; give a larger"),
        ({"replicas": "auto", "slo": "ttft=2"}, "give a list such as"),
        ({"router": "random"}, "is none of"),
        ({"serving": "batch"}, "is none of"),
        ({"serving": "offline", "rate": 3.0}, "leave it out, or --serving offline"),
        ({"scale_to_zero_s": -1}, "give 0 or more"),
        ({"method": "binned", "rate": 3.0}, "is for --method stepwise"),
        ({"table": "h100-sxm/llama-3.1-8b/pytorch", "rate": 3.0}, "--serving offline"),
    ],
)
def test_what_cannot_be_is_refused(poisson: Path, wish: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        jc.estimate(poisson, **wish)


def test_without_times_a_trace_is_served_at_once_or_at_a_rate(run_cli: RunCli) -> None:
    words = "estimate", "burstgpt-reconstructed"
    assert "offline, all requests at once" in run_cli(*words).stdout
    refused = run_cli(*words, "--serving", "online")
    assert refused.exit_code == 1
    assert "it is not known when its requests came" in refused.stderr
    shown = run_cli(*words, "--rate", 20).stdout
    assert "at random, 20 a second" in " ".join(shown.split())


@pytest.mark.parametrize("written", ["03/01/2025 09:00:00", "Sat 01 Mar 2025", "soon", ""])
def test_times_that_nobody_can_read_are_not_passed_over(
    written: str, tmp_path: Path, run_cli: RunCli
) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"timestamp,input_tokens,output_tokens\n{written},10,10\n{written},20,9\n")
    for words in ([], ["--serving", "online"]):
        refused = run_cli("estimate", path, *words)
        assert refused.exit_code == 1
        assert '"timestamp": none of 2 requests has a time that can be read' in refused.stderr
    for words in (["--serving", "offline"], ["--arrival-column", "none"], ["--rate", 2]):
        assert run_cli("estimate", path, *words).exit_code == 0


def test_what_idles_draws_idle_power(tmp_path: Path) -> None:
    """A burst of two minutes' work, and an hour later another: between them nothing runs."""
    path = a_trace(tmp_path / "bursts.csv", np.repeat([0.0, 3600.0], 150))
    estimate = jc.estimate(path, table="h200-sxm/mistral-7b/vllm-quick")
    slices = serving_of(estimate)["timeline"]["slices"]
    idle = [each["power_w"] for each in slices if each["running"] == 0]
    assert len(idle) > 10
    idle_w = estimate.serving.idle_j / ((1 - estimate.serving.busy_share) * estimate.serving.span_s)
    assert idle == pytest.approx([idle_w] * len(idle), rel=1e-9)


def test_bounds_are_read() -> None:
    first, second = objectives_of("ttft_p99=2s, tpot_p50=50ms")
    assert (first.latency, first.quantile, first.seconds) == ("ttft", "p99", 2.0)
    assert second.seconds == 0.05
    values = Quantiles.of(lambda: iter([np.array([1.0, 2.0, 3.0])]))
    assert values is not None
    assert first.is_met({"ttft": values}) is False
    assert second.is_met({"tpot": None}) is True


def test_rows_without_a_time_are_in_no_divisor(run_cli: RunCli, tmp_path: Path) -> None:
    trace = tmp_path / "missing.csv"
    rows = ["0,100,5", ",900,50", "2,100,5", "4,100,5"]
    trace.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows]) + "\n")
    words = "estimate", trace, "--on-invalid", "skip"
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    assert document["requests"]["estimated"] == 3
    assert document["requests"]["untimed"] == 1
    assert document["requests"]["total"] == 4
    assert document["estimated_tokens"] == {"input": 300, "output": 15}
    assert document["joules_per_request"] == pytest.approx(document["energy_j"] / 3)
    shown = " ".join(run_cli(*words).stdout.split())
    assert "3 of 4 estimated" in shown
    assert "1 without a time" in shown
    both = run_cli("compare", *words[1:], "--serving", "online", "--on", "gpu=h100-sxm").stdout
    assert "1 without a time" in " ".join(both.split())


def test_a_burst_that_one_server_cannot_take_says_how_many_could(tmp_path: Path) -> None:
    trace = a_trace(tmp_path / "burst.csv", np.linspace(0, 5, 2000))
    serving = serving_of(jc.estimate(trace))
    assert serving["replicas_needed"] is not None
    enough = serving_of(jc.estimate(trace, replicas=2 * serving["replicas_needed"]))
    assert enough["replicas_needed"] is None
    assert enough["ttft_s"]["p99"] < serving["ttft_s"]["p99"] / 4


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_what_ifs_are_said(mode: str, poisson: Path, run_cli: RunCli) -> None:
    words = "estimate", poisson, "--serving", mode, "--max-num-seqs", 8
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    assert document["serving"]["max_num_seqs"] == 8
    assert "at most 8" in run_cli(*words).stdout


def test_a_rate_takes_no_notice_of_times(tmp_path: Path) -> None:
    trace = tmp_path / "odd.csv"
    trace.write_text("arrival_s,input_tokens,output_tokens\nsoon,100,5\n,100,5\n")
    assert serving_of(jc.estimate(trace, rate=1))["arrivals"] == "at random, 1 a second"


def test_a_page_says_how_its_requests_were_served(
    poisson: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    run_cli("estimate", poisson, "--scale-to-zero", 9, "--html", page)
    text = page.read_text()
    assert "as its requests came" in text
    assert "as one offline batch" not in text
    assert "drawing nothing after 9 s" in text
    run_cli("compare", poisson, "--on", "gpu=h100-sxm", "--html", page)
    assert "as one offline batch" in page.read_text()
