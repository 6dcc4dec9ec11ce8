"""Figures of servers, buildings, carbon and cost have their intervals wherever they are told."""

import csv
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import joulecast as jc
from joulecast.views.numbers import grams, joules, money
from tests.conftest import RunCli

VLLM, PYTORCH = (f"h100-sxm/llama-3.1-8b/{engine}" for engine in ("vllm", "pytorch"))
FACILITY = shlex.split("--server-overhead ecologits --pue 1.2 --carbon FR --price '0.18 EUR'")
SHOWN: dict[str, tuple[str, Callable[[float], str]]] = {
    "it_energy_j": ("it_interval_j", joules),
    "facility_energy_j": ("facility_interval_j", joules),
    "carbon_g": ("carbon_interval_g", grams),
    "cost": ("cost_interval", lambda amount: money(amount, "EUR")),
}
"""Key of a figure -> key of its interval, and how both are written."""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Of two models and two users."""
    path = tmp_path / "log.csv"
    rows = [
        f"{9 * k},{40 + 31 * k % 900},{1 + 13 * k % 90},{model},u{k % 2}"
        for k, model in enumerate(20 * ["llama-3.1-8b", "qwen2.5-7b"])
    ]
    path.write_text("timestamp,input_tokens,output_tokens,model,user\n" + "\n".join(rows) + "\n")
    return path


def numbers_shown(text: str) -> str:
    """A text whose lines in columns are told apart by single spaces alone."""
    return " ".join(text.split())


def expected_cells(document: dict[str, Any]) -> list[str]:
    """What is to be read of each figure: its value, and the two ends of its interval."""
    shown = []
    for key, (interval_key, show) in SHOWN.items():
        low, high = document[interval_key]
        shown += [show(document[key]), f"{show(low)} to", show(high)]
    return shown


@pytest.mark.parametrize("command", ["compare", "models"])
def test_a_footprint_has_its_interval_in_a_table(command: str, log: Path, run_cli: RunCli) -> None:
    words: list[object] = ["estimate", log, "--group-by", "model", *FACILITY]
    if command == "compare":
        words = ["compare", log, "--table", VLLM, "--table", PYTORCH, *FACILITY]
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    text = run_cli(*words).stdout
    table = text[text.rindex(" IT energy ") :]
    for each in document["tables" if command == "compare" else "models"]:
        for part in expected_cells(each):
            assert part in table
    latex = run_cli(*words, "--format", "latex").stdout
    first = document["tables" if command == "compare" else "models"][0]
    value, low, high, *_ = expected_cells(first)
    assert re.search(
        rf"{re.escape(value)} \([\d.]+ kWh; {re.escape(low)} {re.escape(high)}\)", latex
    )


def test_a_comparison_says_how_certain_its_figures_are(log: Path, run_cli: RunCli) -> None:
    words = ("compare", log, "--table", VLLM, "--table", PYTORCH)
    assert "figures per request and per token are as certain" in numbers_shown(
        run_cli(*words).stdout
    )
    binned = run_cli(*words, "--method", "binned", "--pue", "1.2").stdout
    assert "No interval: " in binned
    assert " to" not in binned[binned.rindex(" facility energy") : binned.index(" ranked ")]


def test_the_page_of_a_comparison_has_them_too(log: Path, tmp_path: Path, run_cli: RunCli) -> None:
    page = tmp_path / "page.html"
    words = ("compare", log, "--table", VLLM, "--table", PYTORCH, *FACILITY)
    assert run_cli(*words, "--html", page).exit_code == 0
    keys = set(re.findall(r'data-key="([^"]+)"', page.read_text("utf-8")))
    for interval_key, _ in SHOWN.values():
        assert {f"tables.{k}.{interval_key}.{end}" for k in (0, 1) for end in (0, 1)} <= keys


def test_a_notebook_has_the_interval_of_a_footprint(log: Path) -> None:
    costs = {"pue": 1.2, "carbon": "FR", "price": "0.18 EUR"}
    made = jc.compare(log, [VLLM, PYTORCH], **costs)
    html = made._repr_html_()
    assert html is not None
    for compared in made.tables:
        low, high = compared.estimate.footprint["facility_interval_j"]
        assert f"{joules(low)} to {joules(high)}" in html


@pytest.mark.parametrize("method", ["stepwise", "binned"])
def test_rows_of_groups_tell_what_they_stand_on(method: str, log: Path, run_cli: RunCli) -> None:
    words = ("estimate", log, "--group-by", "user", "--table", VLLM, "--method", method)
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    rows = list(csv.DictReader(run_cli(*words, "--format", "csv").stdout.splitlines()))
    assert [row["name"] for row in rows] == [group["name"] for group in document["groups"]]
    low_j, high_j = map(str, document["interval_j"] or ("", ""))
    for row in rows:
        assert (row["basis"], row["scope"]) == ("measured", "GPU energy")
        assert float(row["whole_energy_j"]) == document["energy_j"]
        assert (row["whole_interval_low_j"], row["whole_interval_high_j"]) == (low_j, high_j)
