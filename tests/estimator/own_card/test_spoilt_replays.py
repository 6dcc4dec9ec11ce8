"""Replays for --card that say what cannot be, or are of a card that serves otherwise."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import joulecast as jc
from joulecast.measurements.replay import SHIPPED_ONLINE
from joulecast.traces.errors import InputError
from tests.conftest import RunCli

MINUTE = SHIPPED_ONLINE / "h200-sxm/llama-3.1-8b/conv-0.8x-third.json"
MOST_APART = 0.055  # sd between cards of a kind, docs/accuracy.md


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    rows = [f"{2 * k},{200 + k},50" for k in range(30)]
    path.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows]) + "\n")
    return path


Spoil = Callable[[dict[str, Any]], None]


def of_file(**facts: Any) -> Spoil:
    return lambda replay: replay.update(facts)


def of_run(**facts: Any) -> Spoil:
    return lambda replay: replay["runs"][0].update(facts)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (of_file(dtype="fp8"), '"dtype" is "fp8", not a number format'),
        (of_file(power_limit_w=600.0), "at a power limit of 600 W a card, and at 700 W"),
        (of_file(gpu_count=2), '"gpu_count" is 2, and "card" names 1 card'),
        (of_run(idle_power_w=30.0), "draws 30 W, where others of the kind draw"),
        (of_run(idle_power_w=400.0), "draws 400 W, where others of the kind draw"),
    ],
)
def test_a_line_says_what_cannot_be(
    spoil: Spoil, message: str, log: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    replay = json.loads(MINUTE.read_text(encoding="utf-8"))
    spoil(replay)
    path = tmp_path / "spoilt.json"
    path.write_text(json.dumps(replay))
    told = run_cli("estimate", log, "--gpu", "h200-sxm", "--card", path)
    assert told.exit_code != 0
    assert message in " ".join(told.output.split())
    assert "spoilt.json" in told.output
    assert "Traceback" not in told.output


def test_windows_at_the_same_time_on_a_card_are_one(log: Path, tmp_path: Path) -> None:
    replay = json.loads(MINUTE.read_text(encoding="utf-8"))
    replay["runs"][0]["energy_j"] += 1
    copy = tmp_path / "copy.json"
    copy.write_text(json.dumps(replay))
    with pytest.raises(InputError, match="was metered while"):
        jc.estimate(log, gpu="h200-sxm", card=[MINUTE, copy])
    replay["runs"][0]["started_at"] = "yesterday"
    copy.write_text(json.dumps(replay))
    with pytest.raises(InputError, match="not an ISO 8601 time"):
        jc.estimate(log, gpu="h200-sxm", card=[MINUTE, copy])


@pytest.mark.parametrize(
    "how", [{"engine": "pytorch"}, {"model": "qwen3-30b-a3b"}, {"model": "qwen2.5-14b"}]
)
def test_cards_lie_no_further_apart_than_was_seen(log: Path, how: dict[str, str]) -> None:
    usual = jc.estimate(log, gpu="h200-sxm", serving="offline", **how)
    own = jc.estimate(log, gpu="h200-sxm", serving="offline", card=MINUTE, **how)
    card = own.own_card
    assert card is not None
    assert abs(card.relative) <= abs(card.deviation) * MOST_APART * 1.001
    assert own.seconds is not None
    assert own.energy_j / own.seconds > card.idle_power_w
    # What hosts and other causes add stays in the interval.
    assert own.interval_percent > 0.5 * usual.interval_percent


def test_who_waits_knows_no_less_with_the_card(tmp_path: Path) -> None:
    quiet = tmp_path / "quiet.csv"
    rows = [f"{60 * k},500,50" for k in range(30)]
    quiet.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows]) + "\n")
    for model in ("qwen2.5-14b", "llama-3.2-1b"):
        usual = jc.estimate(quiet, model=model, gpu="h200-sxm")
        own = jc.estimate(quiet, model=model, gpu="h200-sxm", card=MINUTE)
        assert own.interval_percent <= 1.02 * usual.interval_percent
