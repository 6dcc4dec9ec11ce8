"""What the page of a plan shows beside its tables: the frontier, and nothing of what is not."""

import re
from pathlib import Path

import pytest

import joulecast as jc
from joulecast.pages.plan import plan_page
from joulecast.views.numbers import joules

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
    colours = set(
        re.findall(r"#[0-9a-f]{6}\b", page.partition("Energy against")[2].partition("</svg>")[0])
    )
    assert colours == set()


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
