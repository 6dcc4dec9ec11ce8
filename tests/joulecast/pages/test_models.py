"""`joulecast estimate --group-by model --html`: numbers, intervals and bases, and that it fits."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import joulecast as jc
from joulecast.cli.main import main
from joulecast.pages.models import models_page
from joulecast.views.numbers import joules
from tests.conftest import RunCli
from tests.joulecast.test_pages import CUT, open_in, require_accessible, value_at

pytestmark = pytest.mark.slow

FACILITY = shlex.split("--server-overhead ecologits --pue 1.2 --carbon FR --price '0.18 EUR'")
TITLE = "</title><script>alert(1)</script> <b>Chats</b> & code"
NAMES = {"<b>mine</b> & more": "qwen2.5-7b", "llama-3.1-8b": "llama-3.1-8b"}
COMMANDS: dict[str, tuple[str, ...]] = {
    "online": (*FACILITY, "--title", TITLE),
    "offline": ("--serving", "offline", "--gpu", "a100-sxm4-80gb"),
    "binned": ("--method", "binned", "--where", "model ~ llama", "--pue", "1.1"),
}
Made = dict[str, tuple[Path, dict[str, Any]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a log of an hour, of two models that are known and one that is not."""
    path = tmp_path_factory.mktemp("models")
    called = [*NAMES, "gpt-4o", "meta-llama/Llama-3.1-8B-Instruct"]
    rows = [f"{9 * k},{40 + 31 * k % 900},{k % 90},{called[k % 4]}" for k in range(400)]
    (path / "log.csv").write_text("timestamp,input_tokens,output_tokens,model\n" + "\n".join(rows))
    (path / "names.json").write_text(json.dumps(NAMES))
    return path


@pytest.fixture(scope="module")
def made(folder: Path) -> Made:
    """Each page, and the JSON document of the same command."""
    pages = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, options in COMMANDS.items():
            page = folder / f"{name}.html"
            words = ["estimate", "log.csv", "--group-by", "model", "--models", "names.json"]
            words += [*options, "--format", "json", "--html", str(page)]
            result = CliRunner().invoke(main, words)
            assert result.exit_code == 0, result.output
            pages[name] = page, json.loads(result.stdout)
    return pages


@pytest.mark.parametrize("name", COMMANDS)
def test_the_numbers_are_those_of_the_json(name: str, made: Made, browser: Any) -> None:
    path, document = made[name]
    page = open_in(browser, path, "light", 1200)
    numbers = page.evaluate(
        "[...document.querySelectorAll('data')].map(e => [e.dataset.key, e.value])"
    )
    for key, value in numbers:
        assert json.loads(value) == value_at(document, key), key
    keys = {key for key, _ in numbers}
    ats = [f"models.{k}." for k in range(len(document["models"]))]
    assert {
        f"{at}{key}" for at in ("", *ats) for key in ("energy_kwh", "requests.estimated")
    } <= keys
    has_intervals = name != "binned"
    for at in ("", *ats):
        assert ({f"{at}interval_kwh.0", f"{at}interval_kwh.1"} <= keys) == has_intervals
    if name == "online":
        intervals = "it_interval_j", "facility_interval_j", "carbon_interval_g", "cost_interval"
        assert {f"{at}{key}.{end}" for at in ats for key in intervals for end in (0, 1)} <= keys
        assert {f"{at}serving.{key}" for at in ats for key in ("work_j", "idle_j")} <= keys
    for k in range(len(document["not_estimated"])):
        assert f"not_estimated.{k}.requests" in keys
    kept = page.evaluate("document.getElementById('joulecast').textContent")
    assert json.loads(kept) == document
    assert page.complaints == []
    assert page.asked == [path.as_uri()]
    page.context.close()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_answer_leads_and_every_model_has_its_basis(
    name: str, made: Made, folder: Path, browser: Any, run_cli: RunCli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    path, document = made[name]
    page = open_in(browser, path, "light", 1200)
    answer = page.locator(".answer" if name == "online" else "h1").inner_text()
    options = [word for word in COMMANDS[name] if word not in ("--title", TITLE)]
    words = ("estimate", "log.csv", "--group-by", "model", "--models", "names.json", *options)
    text = " ".join(run_cli(*words).stdout.split())
    assert text.startswith(" ".join(answer.replace("\N{NO-BREAK SPACE}", " ").split()))
    facts = page.locator("header .facts th").all_inner_texts()
    assert {"scope", "basis", "method", "serving", "requests"} <= set(facts)
    bases = page.locator("td[data-label=basis]").all_inner_texts()
    assert bases == [each["basis"] for each in document["models"]]
    drawn = page.locator("figure svg text").all_text_contents()
    for each in document["models"]:
        assert joules(each["energy_j"]) in drawn
    words = " ".join(page.evaluate("document.body.innerText").split())
    for other in document["not_estimated"]:
        assert other["reason"] in words
    assert "gpt-4o" in words or name == "binned"
    page.context.close()


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("scheme", "width", "media"),
    [("light", 1200, "screen"), ("dark", 320, "screen"), ("light", 718, "print")],
)
def test_it_fits_and_axe_finds_no_violation(
    scheme: str, width: int, media: str, name: str, made: Made, browser: Any
) -> None:
    page = open_in(browser, made[name][0], scheme, width, bypass_csp=True)
    page.emulate_media(media=media, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CUT) == []
    require_accessible(page)
    page.context.close()


def test_a_title_and_names_are_no_markup(made: Made, browser: Any) -> None:
    page = open_in(browser, made["online"][0], "light", 1200)
    assert page.locator("h1").inner_text() == TITLE
    assert page.title() == TITLE
    assert "in the log: <b>mine</b> & more" in page.evaluate("document.body.innerText")
    page.context.close()


def test_what_fits_no_picture_is_in_the_table(folder: Path) -> None:
    few = jc.estimate_models(folder / "log.csv", NAMES)
    model, estimate = next(iter(few.estimates.items()))
    many = jc.ModelEstimates(
        few.trace,
        few.reading,
        {f"{model}-{k}": estimate for k in range(14)},
        {f"{model}-{k}": (model,) for k in range(14)},
        (),
    )
    page = models_page(many, "joulecast estimate")
    assert "; 4 more are in the table" in page
    assert len(re.findall(r'data-key="models\.\d+\.energy_kwh"', page)) == 14


def test_a_page_of_models_is_written_whole_or_not_at_all(folder: Path, run_cli: RunCli) -> None:
    log = folder / "log.csv"
    over = run_cli("estimate", log, "--group-by", "model", "--html", log)
    assert over.exit_code != 0
    assert log.read_text().startswith("timestamp,")
    lost = run_cli("estimate", log, "--group-by", "model", "--html", folder / "no" / "page.html")
    assert lost.exit_code != 0
    assert lost.stdout == ""
