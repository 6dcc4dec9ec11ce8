"""Comparisons for the very card that replays were metered on."""

import csv
import json
from pathlib import Path

import pytest

import joulecast as jc
from joulecast.measurements.replay import Replay
from joulecast.traces.errors import InputError
from tests.conftest import RunCli
from tests.estimator.own_card.test_own_card import CARD, OTHER_CARD, SAME_CARD

TABLE = "h200-sxm/llama-3.1-8b/vllm"
ON = ("--on", "gpu=h200-sxm")
FP8 = ("--on", "gpu=h200-sxm,dtype=fp8")
EQUAL = ("--requests", "40", "--input", "300", "--output", "60")


@pytest.mark.parametrize("card", [CARD, [CARD, SAME_CARD]])
@pytest.mark.parametrize("how", [{}, {"rate": 3.0}])
def test_each_is_what_an_estimate_for_the_card_is(card: object, how: dict) -> None:
    trace = jc.equal_requests(40, 300, 60)
    tables = [TABLE, "gpu=h200-sxm,model=qwen2.5-7b", "gpu=h200-sxm,dtype=fp8"]
    compared = [each.estimate for each in jc.compare(trace, tables, card=card, **how).tables]
    alone = [
        jc.estimate(trace, TABLE, card=card, **how),
        jc.estimate(trace, gpu="h200-sxm", model="qwen2.5-7b", card=card, **how),
        jc.estimate(trace, gpu="h200-sxm", dtype="fp8", card=card, **how),
    ]
    for ours, theirs in zip(compared, alone, strict=True):
        assert ours.energy_j == theirs.energy_j
        assert ours.interval_j == theirs.interval_j
        assert ours.own_card == theirs.own_card is not None
    usual = jc.compare(trace, tables, card=[], **how).tables
    assert all(each.estimate.own_card is None for each in usual)
    assert usual[0].estimate.energy_j > compared[0].energy_j


def test_every_output_says_the_card_once(tmp_path: Path, run_cli: RunCli) -> None:
    page = tmp_path / "page.html"
    words = ("compare", *EQUAL, *ON, *FP8, "--card", str(CARD))
    text = run_cli(*words, "--html", str(page))
    assert text.exit_code == 0
    uuid = Replay.load(CARD).runs[0].card
    comparison = jc.compare(
        jc.equal_requests(40, 300, 60), ["gpu=h200-sxm", "gpu=h200-sxm,dtype=fp8"], card=CARD
    )
    lead = page.read_text().partition("<h2>")[0]
    for shown in (" ".join(text.stdout.split()), lead, str(comparison._repr_html_())):
        assert shown.count(f"{uuid}: idles at 122 W, by what was metered on it: {CARD.name}") == 1
        assert shown.count("less than its kind for this work") == 2
        for compared in comparison.tables:
            assert f"): {compared.estimate.table}" in shown
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    cards = [table["own_card"] for table in document["tables"]]
    assert cards == [compared.estimate.own_card.to_dict() for compared in comparison.tables]
    assert cards[0]["above_its_kind_percent"] != cards[1]["above_its_kind_percent"]
    rows = list(csv.DictReader(run_cli(*words, "--format", "csv").stdout.splitlines()))
    assert [row["own_card.card"] for row in rows] == [uuid, uuid]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            (*ON, "--on", "gpu=h100-sxm"),
            f"h100-sxm/llama-3.1-8b/vllm: {CARD.name} was metered on h200-sxm, and h100-sxm is",
        ),
        (
            ("--table", TABLE, "--on", "gpu=h200-sxm,gpus=2"),
            f"vllm, bfloat16: {CARD.name} was metered on 1 card, and 2 cards will serve",
        ),
        ((*ON, "--on", "gpu=h100-sxm"), "a replay of the card that will, or gpu=h200-sxm\n"),
        ((*ON, "--on", "gpu=h200-sxm,gpus=2"), "give a replay of those, or gpus=1\n"),
        ((*ON, "--replicas", "2"), f"Error: --card: {CARD.name} is of one server"),
        ((*ON, "--card", str(CARD)), "is the same replay"),
        ((*ON, "--card", str(OTHER_CARD)), "was metered on GPU-c4685265"),
        ((*ON, "--card", __file__), "is not whole JSON"),
    ],
)
def test_what_is_not_of_the_card_is_refused_in_a_line(
    words: tuple[str, ...], message: str, tmp_path: Path, run_cli: RunCli
) -> None:
    result_file, page = tmp_path / "result.json", tmp_path / "page.html"
    files = ("--format", "json", "-o", str(result_file), "--html", str(page))
    result = run_cli("compare", *EQUAL, "--card", str(CARD), *words, *files)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not result.stdout
    assert not list(tmp_path.iterdir())


def test_binned_knows_no_card(run_cli: RunCli) -> None:
    words = ("compare", *EQUAL, "--table", TABLE, "--method", "binned", "--card", str(CARD))
    result = run_cli(*words)
    assert result.exit_code == 2
    assert "--card is for --method stepwise" in result.stderr
    with pytest.raises(InputError, match="the binned method knows no card"):
        jc.compare(jc.equal_requests(40, 300, 60), [TABLE], "binned", card=CARD)


def test_no_result_replaces_a_replay(tmp_path: Path, run_cli: RunCli) -> None:
    replay = tmp_path / "minute.json"
    replay.write_bytes(CARD.read_bytes())
    result = run_cli("compare", *EQUAL, *ON, "--card", str(replay), "--html", str(replay))
    assert result.exit_code == 1
    assert "is a replay that was given; write to another file" in result.stderr
    assert replay.read_bytes() == CARD.read_bytes()


def test_models_of_a_log_are_not_all_on_one_card() -> None:
    with pytest.raises(InputError, match="each model of a log has servers of its own"):
        jc.estimate_models("log.csv", card=CARD)
