"""`joulecast estimate` tells what input, cached, output tokens and waiting take."""

import json
import re
from pathlib import Path

import pytest

import joulecast as jc
from joulecast.views.numbers import energy_ends, joules
from joulecast.views.steps import DIVISION_NOTE
from tests.conftest import RunCli

VLLM = "h100-sxm/llama-3.1-8b/vllm"
CALLED = {"input": "input", "cached": "cached input", "output": "output"}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Requests over minutes, some of whose prompts were in a cache."""
    path = tmp_path / "log.csv"
    rows = [f"{9 * k},{40 + 31 * k % 900},{31 * k % 40},{1 + 13 * k % 90}" for k in range(40)]
    head = "timestamp,input_tokens,cached_tokens,output_tokens\n"
    path.write_text(head + "\n".join(rows) + "\n")
    return path


def rows_of_tokens(text: str) -> dict[str, list[str]]:
    """The table's rows, by what each is of."""
    table = text[text.index("how many") :].partition("\n\n")[0]
    cells = [re.split(r" {2,}", line.strip()) for line in table.splitlines()[2:]]
    return {row[0]: row[1:] for row in cells}


@pytest.mark.parametrize("served", [(), ("--serving", "offline"), ("--cached-column", "none")])
def test_the_text_has_the_attribution_of_the_json(
    served: tuple[str, ...], log: Path, run_cli: RunCli
) -> None:
    words = ("estimate", log, "--table", VLLM, *served)
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    text = run_cli(*words).stdout
    attribution, rows = document["attribution"], rows_of_tokens(text)
    for kind, called in CALLED.items():
        share = attribution[kind]
        assert (called in rows) == bool(share["tokens"])
        if called in rows:
            count, energy, ends, _, each = rows[called]
            assert count == f"{share['tokens']:,}"
            assert energy == joules(share["energy_j"])
            assert ends == " to ".join(energy_ends(*share["interval_j"]))
            assert each == joules(share["j_per_1000_tokens"])
    assert ("waiting" in rows) == (served != ("--serving", "offline"))
    if "waiting" in rows:
        assert rows["waiting"][0] == joules(attribution["idle_j"])
    shares = [cell for row in rows.values() for cell in row if cell.endswith("%")]
    assert sum(
        float(cell.removeprefix("< ").removesuffix(" %")) for cell in shares
    ) == pytest.approx(100, abs=0.2)
    assert DIVISION_NOTE in " ".join(text.split())


@pytest.mark.parametrize("served", [(), ("--serving", "offline")])
def test_the_page_has_it_too(
    served: tuple[str, ...], log: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    page = tmp_path / "page.html"
    words = ("estimate", log, "--table", VLLM, *served, "--html", page)
    attribution = json.loads(run_cli(*words, "--format", "json").stdout)["attribution"]
    text = page.read_text("utf-8")
    told = re.findall(r'<data value="([^"]+)" data-key="attribution\.([^"]+)"', text)
    numbers = {key: json.loads(value) for value, key in told}
    for kind in CALLED:
        for key in ("tokens", "energy_j", "j_per_1000_tokens"):
            assert numbers.get(f"{kind}.{key}") == (attribution[kind][key] or None)
    assert ("idle_j" in numbers) == (served == ())
    assert DIVISION_NOTE in text


def test_waiting_is_as_certain_as_its_watts(log: Path, run_cli: RunCli) -> None:
    made = jc.estimate(log, VLLM)
    attribution = made.attribution
    assert attribution is not None
    assert attribution.idle is not None
    rows = rows_of_tokens(run_cli("estimate", log, "--table", VLLM).stdout)
    low_w, high_w = attribution.idle.interval_w
    seconds = attribution.idle_j / attribution.idle.power_w
    assert rows["waiting"][1] == " to ".join(energy_ends(seconds * low_w, seconds * high_w))


def test_the_binned_method_tells_none(log: Path, run_cli: RunCli) -> None:
    text = run_cli("estimate", log, "--table", VLLM, "--method", "binned").stdout
    assert "of 1,000 tokens" not in text
    assert "divided equally" not in text
