"""Replicas idle each at watts of their own, but for what all of them share."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

import joulecast as jc
from joulecast.estimator.kinds.cards import load_kind

TABLE = "h100-sxm/llama-3.1-8b/vllm"
OF_KIND = len(load_kind("h100-sxm").idle_w)
LISTED, OF_LIST = {"gpu": "h200-sxm", "model": "olmo-7b"}, 12
CASES = [
    ({"table": TABLE}, OF_KIND),
    (LISTED, OF_LIST),
    ({"gpu": "a100-sxm4-80gb"}, 0),
    ({"gpu": "h200-sxm", "idle_watts": 120}, 0),
]


def a_trace(path: Path, arrival_s: Sequence[float]) -> Path:
    rows = [f"{at},100,20" for at in arrival_s]
    path.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows]) + "\n")
    return path


def relative_idle_sd(trace: Path, **how: object) -> float:
    """Sd of what waiting takes, relative to that."""
    estimate = jc.estimate(trace, **how)
    assert estimate.serving is not None
    assert estimate.relative_sds is not None
    return estimate.relative_sds["idle"] * estimate.energy_j / estimate.serving.idle_j


@pytest.mark.parametrize(("on", "cards"), CASES)
def test_only_what_differs_from_card_to_card_averages_out(
    tmp_path: Path, on: dict[str, object], cards: int
) -> None:
    quiet = a_trace(tmp_path / "quiet.csv", [60 * k for k in range(101)])
    alone, fleet = (relative_idle_sd(quiet, **on, replicas=count) for count in (1, 16))
    assert fleet / alone == pytest.approx(math.sqrt((cards / 16 + 1) / (cards + 1)), rel=1e-3)


@pytest.mark.parametrize("router", ["round-robin", "least-loaded"])
def test_replicas_that_sleep_count_by_how_long_they_are_awake(tmp_path: Path, router: str) -> None:
    """Of two that sleep after 10 s, the second wakes once more than the first."""
    on = {**LISTED, "router": router, "scale_to_zero_s": 10}
    trace = a_trace(tmp_path / "three.csv", [0, 1000, 2000])
    alone, both = (relative_idle_sd(trace, **on, replicas=count) for count in (1, 2))
    common = 1 / (OF_LIST + 1)
    apart = (10**2 + 20**2) / 30**2
    assert both / alone == pytest.approx(math.sqrt(common + (1 - common) * apart), rel=1e-3)


@pytest.mark.parametrize(("gpu", "is_metered"), [("h200-sxm", True), ("b200-sxm", False)])
def test_at_work_they_average_out_alike(tmp_path: Path, gpu: str, is_metered: bool) -> None:
    """Prices per unit of work hold idle power all the time."""
    trace = a_trace(tmp_path / "at-once.csv", [0] * 4000)
    alone, fleet = (
        jc.estimate(trace, model="olmo-7b", gpu=gpu, replicas=count).relative_sds or {}
        for count in (1, 16)
    )
    assert (fleet["card"] < 0.4 * alone["card"]) is is_metered
