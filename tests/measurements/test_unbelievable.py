"""Runs, replays and windows that say they are valid, and cannot be."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from joulecast.estimator.validate import shipped_tables_for, validate
from joulecast.measurements.replay import SHIPPED, Replay
from joulecast.measurements.table.table import load_table, table_folder
from joulecast.traces.errors import InputError

CODE = SHIPPED / "h100-sxm" / "llama-3.1-8b" / "azure-2023-code.json"


def spoilt(changes: dict[str, Any], run: dict[str, Any], path: Path) -> Path:
    document = json.loads(CODE.read_text())
    document["runs"][0] |= run
    path.write_text(json.dumps(document | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "run", "message"),
    [
        ({}, {"energy_j": 1}, "a valid run drew 0.0 W, no more than its card with nothing to do"),
        ({}, {"seconds": 1000}, "a valid run drew 16.9 W, no more than its card"),
        ({}, {"idle_power_w": 5000}, "no more than its card with nothing to do (5000 W)"),
        ({}, {"temperature_start_c": 20, "temperature_end_c": 95}, "drifted by 75 K"),
        ({"lengths": [[9000, 1]] * 400}, {}, "a request has 9,001 tokens, and the engine takes"),
        (
            {"engine_steps": {"steps": 397, "tokens": 10, "preempted": 0}},
            {},
            "its requests have 868,221 tokens to feed, and the engine counted 10 with 0",
        ),
        (
            {"engine_steps": {"steps": 397, "tokens": 10, "preempted": 500}},
            {},
            "and the engine counted 10 with 500 preemptions",
        ),
    ],
)
def test_replays_that_cannot_be(
    changes: dict[str, Any], run: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        Replay.load(spoilt(changes, run, tmp_path / "r.json"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",true,\n", ",true,throttling: hot\n", "is valid, and says why it is not: throttling"),
        (",61.0,", ",20.0,", "K; a valid one drifts by 15 K at most"),
    ],
)
def test_runs_that_cannot_be(old: str, new: str, message: str, tmp_path: Path) -> None:
    shutil.copytree(table_folder("h100-sxm/llama-3.1-8b/vllm"), tmp_path / "t")
    runs = tmp_path / "t" / "runs.csv"
    text = runs.read_text()
    assert old in text
    runs.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        load_table(tmp_path / "t")


def test_logs_of_another_variant_are_no_windows_of_a_table(tmp_path: Path) -> None:
    shutil.copytree(table_folder("h100-sxm/llama-3.1-8b/vllm-traffic"), tmp_path / "t")
    for path in table_folder("h100-sxm/llama-3.1-8b/vllm-fp8-traffic").glob("traffic-1.*"):
        shutil.copy(path, tmp_path / "t" / path.name)
    with pytest.raises(InputError, match="quantization is fp8 there, none in table"):
        load_table(tmp_path / "t")


def test_a_replay_of_other_settings_is_not_held_against_a_hand_sweep(tmp_path: Path) -> None:
    """What that does not say of its settings is not known to be the same."""
    settings = json.loads(CODE.read_text())["engine_settings"] | {"kv_block_tokens": 7}
    replay = Replay.load(spoilt({"engine_settings": settings}, {}, tmp_path / "r.json"))
    with pytest.raises(InputError, match="kv_block_tokens is 7 in the replay"):
        validate("r", replay, shipped_tables_for(replay))
