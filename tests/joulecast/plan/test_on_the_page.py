"""What the page of a plan shows beside its tables: the frontier, and nothing of what is not."""

import json
import re
from pathlib import Path

import pytest

import joulecast as jc
from joulecast.pages.plan import plan_page
from joulecast.views.numbers import joules, money
from tests.conftest import RunCli

ON = ("gpu=h100-sxm,l40s,gpus=1,2", "gpu=a100-sxm4-80gb")
SLO = "ttft_p99=2s,tpot_p99=50ms"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of chat."""
    rows = [f"{0.2 * k:.1f},{40 + 31 * k % 900},{1 + 13 * k % 300}" for k in range(300)]
    path = tmp_path_factory.mktemp("plan") / "chat.csv"
    path.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows]))
    return path


def pictures_of(page: str) -> list[str]:
    """What the pictures of energy against waiting tell who cannot see them."""
    return re.findall(r'<svg role="img" aria-label="(Energy against [^"]*)"', page)


def test_each_bound_has_a_picture_that_names_what_nothing_beats(log: Path) -> None:
    plan = jc.plan(log, ON, slo=SLO)
    page = plan_page(plan, "joulecast plan")
    first, second = pictures_of(page)
    assert "time to first token, p99" in first
    assert "time per output token, p99" in second
    best = min(plan.options, key=lambda option: option.energy_j)
    for text in (first, second):
        assert f"{plan.options.index(best) + 1}. " in text
        assert joules(best.energy_j) in text
        assert f"<figcaption>{text.partition('. ')[2]}</figcaption>" in page
    beaten = [
        option for option in plan.options
        if any(
            other.energy_j < option.energy_j
            and other.estimate.serving.latencies["ttft"].p99
            < option.estimate.serving.latencies["ttft"].p99
            for other in plan.options
        )
    ]  # fmt: skip
    assert beaten
    assert all(joules(option.energy_j) not in first for option in beaten)
    drawn = page.partition(first)[2].partition("</svg>")[0]
    assert re.findall(r"#[0-9a-f]{6}\b", drawn) == []


def test_a_batch_job_is_drawn_by_its_time(log: Path) -> None:
    page = plan_page(jc.plan(log, ON, serving="offline"), "joulecast plan")
    (text,) = pictures_of(page)
    assert text.startswith("Energy against time to finish.")


@pytest.mark.parametrize("slo", ["ttft_p99=2s", "tpot_p50=1ms"])
def test_fewer_than_two_options_have_no_picture(slo: str, log: Path) -> None:
    plan = jc.plan(log, ["gpu=h100-sxm"], slo=slo)
    assert len(plan.options) < 2
    page = plan_page(plan, "joulecast plan")
    assert "Energy against" not in page


def test_money_and_carbon_have_their_intervals(log: Path) -> None:
    prices = {"h100-sxm": "2.5 EUR", "l40s": "0.8 EUR", "a100-sxm4-80gb": "1.5 EUR"}
    plan = jc.plan(
        log, ON, slo=SLO, price="0.2 EUR", carbon="FR", gpu_prices=prices, server_overhead="30 %"
    )
    table = plan_page(plan, "joulecast plan").partition("<h2>Money and carbon")[2]
    table = table.partition("</table>")[0]
    document = plan.to_dict()["options"]
    for place, row in enumerate(document):
        for key in ("cost_interval", "carbon_interval_g"):
            for end, value in enumerate(row[key]):
                assert f'<data value="{value}" data-key="options.{place}.{key}.{end}">' in table
        assert plan.options[place].carbon_interval_g == tuple(row["carbon_interval_g"])
    html = plan._repr_html_()
    low, high = (money(end, "EUR") for end in document[0]["cost_interval"])
    assert f"({low.removesuffix(' EUR')} to {high})" in html


def test_the_terminal_tells_how_certain_money_and_carbon_are(log: Path, run_cli: RunCli) -> None:
    words = "plan", log, "--slo", SLO, "--on", "gpu=h100-sxm"
    row = ("--carbon", "FR", "--price", "0.2 EUR", "--gpu-price", "h100-sxm=0.01 EUR")
    shown = run_cli(*words, *row).stdout
    document = json.loads(run_cli(*words, *row, "--format", "json").stdout)["options"][0]
    spreads = [
        f"± {100 * (document[ends][1] / document[key] - 1):.1f} %"
        for key, ends in (
            ("energy_j", "interval_j"),
            ("cost", "cost_interval"),
            ("carbon_g", "carbon_interval_g"),
        )
    ]
    assert spreads[1] != spreads[0] == spreads[2]
    assert re.search(".*".join(map(re.escape, spreads)), shown.replace("\n", " ")) is not None
    assert "its interval is that of the electricity" in " ".join(shown.split())


def test_rent_and_the_making_of_cards_say_that_they_have_none(log: Path, run_cli: RunCli) -> None:
    words = "plan", log, "--slo", SLO, "--on", "gpu=h100-sxm"
    result = run_cli(*words, "--gpu-price", "h100-sxm=2.5", "--embodied")
    rent = run_cli(*words, "--gpu-price", "h100-sxm=2.5", "--by", "cost", "--format", "json")
    assert json.loads(rent.stdout)["options"][0]["cost_interval"] is None
    shown = " ".join(result.stdout.split())
    assert "Cost is the hours of the GPUs, which have no interval." in shown
    assert "Embodied carbon has no interval" in shown
    assert result.stdout.count("±") == 1


def test_where_nothing_is_planned_no_energy_is_explained(log: Path, run_cli: RunCli) -> None:
    plan = jc.plan(log, ["gpu=h100-sxm"], slo="tpot_p50=1ms", carbon="FR", gpu_prices={"l4": 1})
    page = plan_page(plan, "joulecast plan")
    assert "even for a request alone" in page
    words = "plan", log, "--slo", "tpot_p50=1ms", "--on", "gpu=h100-sxm", "--carbon", "FR"
    shown = run_cli(*words).stdout
    assert "even for a request alone" in " ".join(shown.split())
    for text in (page.partition("<script")[0], shown):
        assert not re.search("of all GPUs of the fleet|What the numbers mean|Carbon and cost", text)
