"""`joulecast plan`: the answer first, every option, the JSON, the picture, and wrong words."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

import joulecast as jc
from joulecast.estimator.planning.frontier import frontier
from tests.conftest import RunCli

ON = ("--on", "gpu=h100-sxm,l40s,gpus=1,2", "--on", "gpu=a100-sxm4-80gb,dtype=fp8")
MONEY = ("--gpu-price", "h100-sxm=2.5 EUR", "--gpu-price", "l40s=0.8 EUR", "--price", "0.2 EUR")
CARBON = ("--carbon", "FR", "--embodied", "--lifetime", "5")
FILES_PAGE = (Path(__file__).parents[3] / "docs/files.md").read_text()


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A plan of half a minute of chat."""
    generator = np.random.default_rng(4)
    seconds = np.cumsum(generator.exponential(0.1, 300))
    lengths = generator.integers(20, 500, (300, 2)).tolist()
    rows = [f"{s:.3f},{i},{o}" for s, (i, o) in zip(seconds, lengths, strict=True)]
    path = tmp_path_factory.mktemp("plan") / "chat.csv"
    path.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows]))
    return "plan", str(path), "--slo", "ttft_p99=2s,tpot_p99=50ms", *ON


def headings_of(stdout: str) -> str:
    """The headings of the options."""
    lines = stdout.splitlines()
    below = next(k for k, line in enumerate(lines) if "option" in line and "GPUs" in line)
    return " ".join(lines[below - 1 : below + 1])


def test_the_answer_comes_first_and_nothing_is_left_out(words, run_cli: RunCli) -> None:
    result = run_cli(*words, *MONEY, *CARBON)
    assert result.exit_code == 0, result.output
    assert all(len(line) <= 100 for line in result.stdout.splitlines())
    shown = " ".join(result.stdout.split())
    sentence = shown.partition(" requests 300 of ")[0]
    for goal in ("the fewest GPUs (", "the least energy (", "the least cost ("):
        assert goal in sentence
    assert "of all GPUs of the fleet, from the first arrival to the last token" in shown
    assert "gpu=a100-sxm4-80gb,dtype=fp8 not estimated NVIDIA A100" in shown
    assert "5 years of use" in shown
    assert re.search(r"^model +llama-3\.1-8b$", result.stdout, re.MULTILINE)
    assert re.search(r"^mean W +that energy over that time, ", result.stdout, re.MULTILINE)
    assert "mean W" in headings_of(result.stdout)
    assert "NVIDIA, HGX H100 Product Carbon Footprint Summary" in shown
    assert "No published figure of embodied carbon is known of: l40s." in shown
    assert "within 15 % in 84" in shown
    for basis in ("measured", "gpu scaled"):
        assert basis in shown


def test_every_key_of_the_json_is_described_and_numbers_are_those_of_python(
    words, run_cli: RunCli
) -> None:
    document = json.loads(run_cli(*words, *MONEY, *CARBON, "--format", "json").stdout)
    (row,) = re.findall(r"^\| `plan` \| (.*) \|$", FILES_PAGE, re.MULTILINE)
    (estimate,) = re.findall(r"^\| `estimate` \| (.*) \|$", FILES_PAGE, re.MULTILINE)
    keys = {*document, *(key for option in document["options"] for key in option)}
    keys |= {key for other in document["not_planned"] for key in other}
    assert keys <= set(re.findall(r"`(\w+)`", row + estimate))
    prices = {"h100-sxm": "2.5 EUR", "l40s": "0.8 EUR"}
    made = jc.plan(
        words[1], ON[1::2], slo=words[3], price="0.2 EUR", gpu_prices=prices, carbon="FR",
        embodied=True, lifetime_years=5,
    )  # fmt: skip
    assert json.loads(json.dumps({**made.to_dict(), "trace": None})) == {**document, "trace": None}
    for option in document["options"]:
        low_j, high_j = option["interval_j"]
        assert low_j < option["energy_j"] < high_j
        assert option["basis"] in ("measured", "model scaled", "gpu scaled")
        assert option["cost"] == pytest.approx(option["gpu_cost"] + option["electricity_cost"])
        assert (option["embodied_g"] is None) == (option["gpu"] != "h100-sxm")


def test_csv_has_a_row_for_each(words, run_cli: RunCli) -> None:
    rows = list(csv.DictReader(io.StringIO(run_cli(*words, "--format", "csv").stdout)))
    assert len(rows) == 5
    assert [bool(row["energy_j"]) for row in rows] == [True] * 4 + [False]
    assert rows[-1]["lack"] == "not estimated"


@pytest.mark.parametrize("goal", ["gpus", "energy"])
def test_rows_are_ranked_by_what_is_asked(goal: str, words, run_cli: RunCli) -> None:
    document = json.loads(run_cli(*words, "--by", goal, "--format", "json").stdout)
    key = {"gpus": "gpus_in_all", "energy": "energy_j"}[goal]
    values = [option[key] for option in document["options"]]
    assert values == sorted(values)
    assert document["options"][0]["spec"] == document["best"][goal]["spec"]
    assert document["best"]["cost"] is None


def test_nothing_in_time_is_said_and_not_drawn(words, run_cli: RunCli, tmp_path: Path) -> None:
    hopeless = [*words[:3], "tpot_p50=1ms", *words[4:6]]
    result = run_cli(*hopeless)
    assert result.exit_code == 0
    assert result.stdout.startswith("None of these deployments serves the trace in time.")
    assert "even for a request alone: tpot_p50" in " ".join(result.stdout.split())
    assert re.search(r"^model +llama-3\.1-8b$", result.stdout, re.MULTILINE)
    page = tmp_path / "plan.html"
    result = run_cli(*words[:3], "e2e_mean=1ms", "--on", "gpu=h100-sxm", "--html", page)
    assert re.search(r"e2e_mean \d\.\d+ s of 1 ms", " ".join(result.stdout.split()))
    assert "llama-3.1-8b" in page.read_text().partition("<h2>")[0]
    page.unlink()
    result = run_cli(*hopeless, "--plot", tmp_path / "plan.png")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "there is nothing to draw" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_picture(words, run_cli: RunCli, tmp_path: Path) -> None:
    picture = tmp_path / "plan.png"
    result = run_cli(*words, "--plot", picture)
    assert result.exit_code == 0, result.output
    assert "energy against latency" in result.stderr
    height, width, _ = imread(picture).shape
    assert width > height > 400
    result = run_cli("plan", words[1], "--serving", "offline", *ON, "--plot", tmp_path / "b.svg")
    assert result.exit_code == 0, result.output


def test_nothing_on_the_frontier_is_beaten_in_both(words) -> None:
    options = jc.plan(words[1], ON[1::2], slo=words[3]).options

    def wait_s(option: jc.FleetOption) -> float:
        return option.estimate.serving.latencies["tpot"].p99

    line = frontier(options, wait_s)
    for option in options:
        is_beaten = any(
            wait_s(other) <= wait_s(option) and other.energy_j < option.energy_j
            for other in options
        )
        assert (option in line) != is_beaten


def test_a_notebook_shows_it(words) -> None:
    html = jc.plan(words[1], ON[1::2], slo=words[3])._repr_html_()
    assert "serves the trace in time with the fewest GPUs" in html
    assert "not estimated" in html


@pytest.mark.parametrize(
    ("more", "fragment"),
    [
        (("--on", "gpus=1..6"), "does not come to 6"),
        (("--on", "nonesuch"), "nonesuch"),
        (("--on", "gpu=nope"), 'unknown GPU "nope"'),
        (("--by", "cost", "--gpu-price", "l4=2"), "nothing that serves the trace has a cost"),
        (("--gpu-price", "h100-sxm"), "give each GPU once"),
        (("--gpu-price", "h100-sxm=1", "--gpu-price", "h100-sxm=2"), "give each GPU once"),
        (("--gpu-price", "h100=1"), 'unknown GPU "h100"'),
        (("--by", "cost"), "give --gpu-price"),
        (("--lifetime", "4"), "add --embodied"),
        (("--serving", "offline"), "slo: of requests that arrive over time"),
        (("-o", "/nowhere/plan.json"), "cannot be written"),
    ],
)
def test_wrong_words_are_one_line(more, fragment: str, words, run_cli: RunCli) -> None:
    result = run_cli(*words, *more)
    assert result.exit_code == 1, result.output
    assert result.stderr.count("\n") == 1
    assert fragment in result.stderr
    assert result.stdout == ""
