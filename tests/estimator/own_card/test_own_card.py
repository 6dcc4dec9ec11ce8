"""Estimates for the very card that replays were metered on."""

import csv
import dataclasses
import json
import math
from pathlib import Path

import pytest

import joulecast as jc
from joulecast.estimator.online.validate import model_for, server_for, validate_online
from joulecast.estimator.own_card.replays import card_replays, on_card, served_for
from joulecast.estimator.validate import shipped_tables_for
from joulecast.measurements.replay import SHIPPED, SHIPPED_ONLINE, Replay
from joulecast.traces.errors import InputError
from tests.conftest import RunCli

FOLDER = SHIPPED_ONLINE / "h200-sxm" / "llama-3.1-8b"
CARD = FOLDER / "conv-0.8x-third.json"
SAME_CARD = FOLDER / "chat-fourth.json"
OTHER_CARD = FOLDER / "conv-0.8x.json"
AT_LIMIT = FOLDER / "code-6x-third.json"
OFFLINE = SHIPPED / "h200-sxm" / "llama-3.1-8b"
ON = {"gpu": "h200-sxm"}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few requests at a time, which draw little of the card's limit, in two groups."""
    path = tmp_path_factory.mktemp("card") / "log.csv"
    rows = [f"{0.5 * k},{300 + 7 * (k % 50)},{60 + k % 40},{'ab'[k % 3 == 0]}" for k in range(200)]
    path.write_text("\n".join(["arrival_s,input_tokens,output_tokens,team", *rows]) + "\n")
    return path


def test_another_replay_of_the_card_is_nearer_than_without() -> None:
    (told,), (other,) = card_replays(CARD), card_replays(SAME_CARD)
    served = served_for(other.replay, shipped_tables_for(other.replay))
    usual = validate_online("chat", other.replay, shipped_tables_for(other.replay))
    server = server_for(other.replay, shipped_tables_for(other.replay))
    model = on_card(model_for(served, other.replay), served, [told])
    own = validate_online("chat", other.replay, (), dataclasses.replace(server, model=model))
    assert usual.error_percent > 6
    assert abs(own.error_percent) < usual.error_percent / 2
    assert own.is_within
    assert own.estimate.serving.latencies == usual.estimate.serving.latencies
    assert own.estimate.serving.steps == usual.estimate.serving.steps


def test_all_parts_go_by_the_card_and_sum_to_the_whole(log: Path) -> None:
    how = {**ON, "group_by": "team"}
    usual, own = jc.estimate(log, **how), jc.estimate(log, card=CARD, **how)
    card = own.own_card
    assert usual.own_card is None
    assert card.card == Replay.load(CARD).runs[0].card
    assert -0.12 < card.relative < -0.02
    factor = 1 + card.relative
    assert own.serving.work_j == pytest.approx(factor * usual.serving.work_j)
    idle_w = Replay.load(CARD).runs[0].idle_power_w
    usual_w = usual.attribution.idle.power_w
    assert own.serving.idle_j == pytest.approx(usual.serving.idle_j * idle_w / usual_w)
    assert own.seconds == usual.seconds
    assert sum(own.parts_j.values()) == pytest.approx(own.energy_j)
    assert sum(group.energy_j for group in own.groups) == pytest.approx(own.energy_j)
    assert sum(cell.energy_j for cell in own.cells) == pytest.approx(own.energy_j)
    assert own.serving.timeline.energy_j.sum() == pytest.approx(own.energy_j)
    shares_j = sum(share.energy_j for share in own.attribution.shares.values())
    assert shares_j + own.attribution.idle_j == pytest.approx(own.energy_j)
    requests_j = sum(sum(part["energy_j"]) for part in own.request_columns())
    assert requests_j == pytest.approx(own.energy_j)
    assert own.parts_j["context"] == pytest.approx(factor * usual.parts_j["context"])
    assert own.ideal_j == usual.ideal_j
    assert own.relative_sds["card"] < 0.6 * usual.relative_sds["card"]
    assert own.interval_percent < usual.interval_percent


def test_requests_take_their_own_parts_by_the_card(log: Path) -> None:
    how = {**ON, "serving": "offline"}
    usual, own = jc.estimate(log, **how), jc.estimate(log, card=CARD, **how)
    factor = own.energy_j / usual.energy_j
    assert factor == pytest.approx(1 + own.own_card.relative)
    for theirs, ours in zip(usual.request_columns(), own.request_columns(), strict=True):
        assert ours["energy_j"] == pytest.approx(
            [factor * energy_j for energy_j in theirs["energy_j"]]
        )


def test_at_the_limit_cards_hardly_differ() -> None:
    at_limit = jc.equal_requests(2000, 2000, 20)
    own = jc.estimate(at_limit, card=CARD, **ON)
    assert abs(own.own_card.relative) < 0.02
    told = jc.estimate(at_limit, card=AT_LIMIT, **ON)
    assert abs(told.own_card.relative) < 0.02


def test_several_replays_tell_more_in_whatever_order() -> None:
    trace = jc.equal_requests(40, 100, 100)
    told_by_a_minute = jc.estimate(trace, card=CARD, **ON)
    both = jc.estimate(trace, card=[CARD, SAME_CARD], **ON)
    swapped = jc.estimate(trace, card=[Replay.load(SAME_CARD), Replay.load(CARD)], **ON)
    assert both.own_card.deviation_sd < told_by_a_minute.own_card.deviation_sd
    assert swapped.energy_j == pytest.approx(both.energy_j)
    assert both.own_card.replays == (CARD.name, SAME_CARD.name)


@pytest.mark.parametrize(
    "how", [{"model": "qwen2.5-7b"}, {"dtype": "fp8"}, {"decoding": "top-p:0.9"}, {"rate": 3.0}]
)
def test_replays_tell_of_the_card_whatever_serves_on_it(how: dict) -> None:
    trace = jc.equal_requests(40, 300, 60)
    usual, own = jc.estimate(trace, **ON, **how), jc.estimate(trace, card=CARD, **ON, **how)
    assert own.own_card.relative < 0
    assert own.energy_j < usual.energy_j
    assert own.relative_sds["card"] <= usual.relative_sds["card"] / (1 + own.own_card.relative)
    assert sum(own.parts_j.values()) == pytest.approx(own.energy_j)


def test_replays_of_requests_at_once_tell_as_well() -> None:
    path = min(OFFLINE.glob("*.json"))
    own = jc.estimate(jc.equal_requests(40, 300, 60), card=path, **ON)
    assert own.own_card.card == Replay.load(path).valid_runs[0].card
    assert 0 < own.own_card.deviation_sd < math.sqrt(1.25)


def test_every_output_says_the_card(log: Path, tmp_path: Path, run_cli: RunCli) -> None:
    page = tmp_path / "page.html"
    words = ("estimate", str(log), "--gpu", "h200-sxm", "--card", str(CARD))
    text = run_cli(*words, "--html", str(page))
    assert text.exit_code == 0
    card = Replay.load(CARD).runs[0].card
    for shown in (
        " ".join(text.stdout.split()),
        page.read_text(),
        jc.estimate(log, card=CARD, **ON)._repr_html_(),
    ):
        assert f"{card}: takes " in shown
        assert "less than its kind for this work" in shown
        assert CARD.name in shown
    assert "what is not known of this card" in " ".join(text.stdout.split())
    document = json.loads(run_cli(*words, "--format", "json").stdout)["own_card"]
    assert document["card"] == card
    assert document["replays"] == [CARD.name]
    (row,) = csv.DictReader(run_cli(*words, "--format", "csv").stdout.splitlines())
    assert row["own_card.replays"] == CARD.name
    assert float(row["own_card.deviation"]) == pytest.approx(document["deviation"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--card", str(CARD), "--card", str(CARD)), "is the same replay"),
        (("--card", str(CARD), "--card", str(OTHER_CARD)), "was metered on GPU-c4685265"),
        (("--card", str(CARD), "--gpus", "2"), "was metered on 1 card, and 2 cards will serve"),
        (("--card", str(CARD), "--gpu", "h100-sxm"), "was metered on h200-sxm"),
        (("--card", str(CARD), "--replicas", "2"), "--replicas 2"),
        (("--card", str(CARD), "--replicas", "auto", "--slo", "ttft_p50=1s"), "--replicas auto"),
        (("--card", str(CARD), "--idle-watts", "120"), "--card tells"),
        (("--card", __file__), "is not whole JSON"),
    ],
)
def test_what_tells_of_no_such_card_is_refused_in_a_line(
    log: Path, words: tuple[str, ...], message: str, run_cli: RunCli
) -> None:
    gpu = () if "--gpu" in words else ("--gpu", "h200-sxm")
    result = run_cli("estimate", str(log), *gpu, *words)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1


def test_replays_that_cannot_tell_are_refused(log: Path) -> None:
    replay = Replay.load(CARD)
    settings = {**replay.facts["engine_settings"], "decoding_strategy": "top-p:0.9"}
    for fact, value, message in (
        ("engine_settings", settings, "was metered with --decoding top-p:0.9"),
        ("model", "nobody", 'tells nothing of its card: unknown model "nobody"'),
        ("engine", "sglang", "tells nothing of its card: "),
    ):
        other = dataclasses.replace(replay, facts={**replay.facts, fact: value})
        with pytest.raises(InputError, match=message):
            jc.estimate(log, card=other, **ON)
    with pytest.raises(InputError, match="card is 3; give the file of a replay"):
        jc.estimate(log, card=3, **ON)
    (run,) = replay.runs
    failed = dataclasses.replace(replay, runs=[dataclasses.replace(run, reason="too hot")])
    with pytest.raises(InputError, match="has no valid run: too hot"):
        jc.estimate(log, card=failed, **ON)
    halved = dataclasses.replace(run, energy_j=run.energy_j / 2)
    with pytest.raises(InputError, match="took so much less than its estimate"):
        jc.estimate(log, card=dataclasses.replace(replay, runs=[halved]), **ON)
    with pytest.raises(InputError, match="the binned method knows no card"):
        jc.estimate(log, "h200-sxm/llama-3.1-8b/vllm", "binned", card=replay, serving="offline")


def test_no_replays_leave_any_card_of_the_kind(log: Path) -> None:
    usual = jc.estimate(log, **ON)
    for none in (None, [], ()):
        own = jc.estimate(log, card=none, replicas=1, **ON)
        assert (own.energy_j, own.interval_j, own.own_card) == (
            usual.energy_j,
            usual.interval_j,
            None,
        )


def test_usage_says_what_goes_with_one_model_alone(log: Path, run_cli: RunCli) -> None:
    result = run_cli("estimate", str(log), "--card", str(CARD), "--method", "binned")
    assert result.exit_code == 2
    assert "--card is for --method stepwise" in result.stderr
