"""Drawn tokens: what that costs over greedy decoding, and eager steps."""

import json

import numpy as np
import pytest

import joulecast as jc
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.model import Scaling
from joulecast.estimator.unit_prices.sources import deployment_of
from joulecast.estimator.variants.break_even import equal_requests
from joulecast.estimator.variants.model import Sampled
from joulecast.estimator.variants.sampling import SamplingCost
from joulecast.estimator.variants.wish import Wish
from joulecast.measurements.engines.decoding import Decoding
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.table.table import load_table
from joulecast.traces.errors import InputError
from tests.conftest import RunCli

H200 = Deployment.of("llama-3.1-8b", load_gpu("h200-sxm"))
TRACE = "azure-2023-code"


@pytest.mark.parametrize(
    ("strategy", "batch_size", "percent"),
    [  # as metered over greedy windows, docs/decoding.md
        ("temperature:0.8", 8, 0.43),
        ("temperature:0.8", 128, 0.84),
        ("top-p:0.9", 1, 0.86),
        ("top-p:0.9", 8, 4.20),
        ("top-p:0.9", 64, 3.79),
    ],
)
def test_drawing_costs_what_windows_say(strategy: str, batch_size: int, percent: float) -> None:
    greedy_j = equal_requests(Scaling(H200), batch_size).energy_j
    drawn = equal_requests(Sampled(H200, decoding=Decoding.of(strategy)), batch_size)
    assert 100 * (drawn.energy_j / greedy_j - 1) == pytest.approx(percent, abs=0.3)
    assert drawn.relative_sds is not None
    assert drawn.relative_sds["drawing"] > 0


def test_cost_grows_with_what_is_sampled_and_is_none_of_nothing() -> None:
    cost = SamplingCost.of(Decoding.of("top-p:0.9"), H200)
    sampled = np.array([0.0, 1, 4, 8, 64, 128, 256, 1024])
    for values in (cost.step_seconds(sampled), cost.step_work_j(sampled)):
        assert values[0] == 0
        assert (np.diff(values) > 0).all()
        assert values[6] == pytest.approx(2 * values[5])


def test_elsewhere_it_is_known_less_well() -> None:
    here = SamplingCost.of(Decoding.of("sampling"), H200)
    there = SamplingCost.of(Decoding.of("sampling"), Deployment.of("qwen2.5-7b", load_gpu("l40s")))
    assert there.relative_sd > here.relative_sd
    assert there.seconds[1] > here.seconds[1]


@pytest.mark.slow
def test_a_measured_table_stays_what_it_rests_on() -> None:
    greedy = jc.estimate(TRACE, serving="offline")
    drawn = jc.estimate(TRACE, decoding="top-p:0.9", serving="offline")
    assert drawn.basis is not None
    assert drawn.basis.kind == "measured"
    assert drawn.basis.decoding == "top-p:0.9"
    assert 1 < drawn.energy_j / greedy.energy_j < 1.06
    assert sum((drawn.parts_j or {}).values()) == pytest.approx(drawn.energy_j)
    assert jc.estimate(TRACE, decoding="greedy", serving="offline") == greedy


@pytest.mark.slow
def test_over_time_steps_last_longer() -> None:
    how = {"gpu": "h200-sxm", "model": "qwen2.5-7b", "rate": 2.0}
    greedy, drawn = (jc.estimate(TRACE, decoding=each, **how) for each in ("greedy", "top-p:0.9"))
    assert greedy.serving is not None
    assert drawn.serving is not None
    waits = [each.serving.latencies["tpot"].p50 for each in (greedy, drawn)]
    assert waits[0] < waits[1] < 1.5 * waits[0]
    assert drawn.energy_j == pytest.approx(greedy.energy_j, rel=0.05)  # more share a step


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--decoding", "beam:4"), "no trace is served with beams"),
        (("--decoding", "sampling", "--engine", "pytorch"), "was measured with vllm alone"),
        (("--decoding", "top-k:5"), "is no decoding strategy"),
        (("--decoding", "sampling", "--method", "binned"), "is for --method stepwise"),
        (("--eager", "--engine", "pytorch"), "compiles nothing as it is; leave --eager out"),
    ],
)
def test_what_was_not_measured_is_refused_in_a_line(
    words: tuple[object, ...], says: str, run_cli: RunCli
) -> None:
    result = run_cli("estimate", TRACE, *words)
    assert result.exit_code == 1
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_eager_steps_wait_for_the_host_and_the_interval_knows(run_cli: RunCli) -> None:
    words = ("estimate", TRACE, "--gpu", "h200-sxm", "--eager", "--format", "json")
    told = json.loads(run_cli(*words).stdout)
    assert told["eager"]
    assert told["basis_notes"] == "eager: what hosts of h100-sxm take to launch a layer"
    on_h100 = jc.estimate(TRACE, eager=True, serving="offline")
    assert on_h100.basis is not None
    assert (on_h100.basis.kind, on_h100.basis.notes) == ("measured", ())
    assert equal_requests(Scaling(eager_h200()), 1).relative_sds["host"] > 0.2  # type: ignore[index]


def eager_h200() -> Deployment:
    from dataclasses import replace

    return replace(H200, is_eager=True)


@pytest.mark.parametrize("batch", [(1024, 256, 2), (4096, 256, 32)])
def test_eager_steps_of_the_lists_own_host_last_as_the_clock_has_it(
    batch: tuple[int, int, int],
) -> None:
    """Small batches wait for the host in every step."""
    table = load_table("h100-sxm/llama-3.1-8b/vllm-eager-quick")
    run = next(run for run in table.runs if run.batch == batch)
    serves = Scaling(deployment_of(table.metadata, table.config))
    seconds = equal_requests(serves, run.batch_size, run.input_tokens, run.output_tokens).seconds
    assert seconds == pytest.approx(run.seconds / run.batches, rel=0.05)


@pytest.mark.parametrize("text", ["gpu=h200-sxm,eager=maybe", "eager=", "speculate"])
def test_specs_that_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        Wish.of_text(text)


def test_specs_name_all_of_it() -> None:
    wish = Wish.of_text("eager=no,decoding=top-p:0.9,speculate=llama-3.2-1b:4:0.7")
    assert wish == Wish(decoding="top-p:0.9", speculate="llama-3.2-1b,4,0.7")
    assert Wish.of_text("eager=yes").eager is True
