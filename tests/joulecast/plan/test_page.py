"""`joulecast plan --html`: the page in a browser, its numbers, and that it fits."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.joulecast.test_pages import CUT, open_in, require_accessible, value_at

pytestmark = pytest.mark.slow

WORDS = (
    *("plan", "azure-2023-code", "--slo", "ttft_p99=12s,tpot_p99=500ms"),
    *("--on", "gpu=h100-sxm,h200-sxm,dtype=bfloat16,fp8", "--on", "gpu=l4", "--on", "gpus=3"),
)
MONEY = ("--gpu-price", "h100-sxm=2.5 EUR", "--price", "0.2 EUR", "--carbon", "FR", "--embodied")
PLANS = {
    "plain": WORDS,
    "with money": (*WORDS, *MONEY),
    "hopeless": (*WORDS[:3], "tpot_p50=1ms", *WORDS[4:]),
    "a batch job": ("plan", "azure-2023-code", "--serving", "offline", *WORDS[4:]),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    from click.testing import CliRunner

    from joulecast.cli.main import main

    folder = tmp_path_factory.mktemp("pages")
    pages = {}
    for name, words in PLANS.items():
        page = folder / f"{name}.html"
        result = CliRunner().invoke(main, [*words, "--format", "json", "--html", str(page)])
        assert result.exit_code == 0, result.output
        pages[name] = page, json.loads(result.stdout)
    return pages


@pytest.mark.parametrize("name", PLANS)
def test_the_numbers_are_those_of_the_json(name: str, made, browser: Any) -> None:
    path, document = made[name]
    page = open_in(browser, path, "light", 1200)
    numbers = page.evaluate(
        "[...document.querySelectorAll('data')].map(e => [e.dataset.key, e.value])"
    )
    assert bool(numbers) == bool(document["options"])
    for key, value in numbers:
        assert json.loads(value) == value_at(document, key), key
    kept = page.evaluate("document.getElementById('joulecast').textContent")
    assert json.loads(kept) == document
    words = page.evaluate("document.body.innerText")
    for other in document["not_planned"]:
        assert other["reason"] in " ".join(words.split())
    assert page.complaints == []
    assert page.asked == [path.as_uri()]
    page.context.close()


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 320)])
def test_it_fits_and_axe_finds_no_violation(
    scheme: str, width: int, name: str, made, browser: Any
) -> None:
    page = open_in(browser, made[name][0], scheme, width, bypass_csp=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CUT) == []
    require_accessible(page)
    page.context.close()
