"""Answers that pages and texts lead with: their numbers, how sure they are, and what is below."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from joulecast.cli.main import main
from joulecast.views.answers.compare import saving_text
from joulecast.views.numbers import joules
from tests.conftest import RunCli
from tests.joulecast.test_pages import open_in, require_accessible, value_at

pytestmark = pytest.mark.slow

VLLM, PYTORCH = (f"h100-sxm/llama-3.1-8b/{engine}" for engine in ("vllm", "pytorch"))
TITLE = "</title><script>alert(1)</script> <b>Chats</b> & code"
COMMANDS: dict[str, tuple[str, ...]] = {
    "online": (
        *("estimate", "log.csv", "--table", VLLM, "--group-by", "team", "--title", TITLE),
        *("--pue", "1.2", "--carbon", "FR"),
    ),
    "first is best": ("compare", "log.csv", "--table", VLLM, "--table", PYTORCH),
    "saving": ("compare", "log.csv", "--table", PYTORCH, "--table", VLLM, "--title", TITLE),
    "uncertain": ("compare", "log.csv", "--table", VLLM, "--table", f"{VLLM}-first-card"),
    "binned": ("compare", "log.csv", "--method", "binned", "--table", VLLM, "--table", PYTORCH),
    "compared online": (
        *("compare", "log.csv", "--on", "gpu=h100-sxm", "--on", "gpu=l40s"),
        *("--serving", "online"),
    ),
}  # fmt: skip
Made = dict[str, tuple[Path, dict[str, Any]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a log of an hour."""
    path = tmp_path_factory.mktemp("answers")
    rows = [f"{9 * k},{40 + 31 * k % 2900},{1 + 13 * k % 500},team-{k % 3}" for k in range(400)]
    head = "timestamp,input_tokens,output_tokens,team\n"
    (path / "log.csv").write_text(head + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def made(folder: Path) -> Made:
    """Each page, and the JSON document of the same command."""
    pages = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, words in COMMANDS.items():
            page = folder / f"{name}.html"
            result = CliRunner().invoke(main, [*words, "--format", "json", "--html", str(page)])
            assert result.exit_code == 0, result.output
            pages[name] = page, json.loads(result.stdout)
    return pages


def answer_of(page: Any) -> str:
    """The sentence, below the title if there is one."""
    below = page.locator(".answer")
    shown = below if below.count() else page.locator("h1")
    return " ".join(shown.inner_text().split())


@pytest.mark.parametrize("name", COMMANDS)
def test_numbers_of_the_answer_are_those_of_the_json(name: str, made: Made, browser: Any) -> None:
    path, document = made[name]
    page = open_in(browser, path, "light", 1200)
    numbers = page.evaluate(
        "[...document.querySelectorAll('data')].map(e => [e.dataset.key, e.value])"
    )
    for key, value in numbers:
        assert json.loads(value) == value_at(document, key), key
    shown = page.evaluate(
        "[...document.querySelectorAll('header data')].map(e => [e.dataset.key, e.textContent])"
    )
    keys = {key for key, _ in shown}
    energies = [] if name == "online" else [table["energy_j"] for table in document["tables"]]
    at = f"tables.{energies.index(min(energies))}." if energies else ""
    ends = set() if name == "binned" else {f"{at}interval_j.0", f"{at}interval_j.1"}
    assert {f"{at}energy_j", f"{at}energy_kwh", *ends} <= keys
    sizes = {"MJ": 1e6, "kJ": 1e3, "J": 1.0}  # the lower end has the unit of the upper one
    unit = next(text.split()[-1] for key, text in shown if key.endswith("energy_j"))
    for key, text in shown:
        number, _, told = text.replace(",", "").partition(" ")
        if key.split(".")[-1] == "energy_j" or ".interval_j." in f".{key}":
            size = sizes[told or unit]
            assert float(number) * size == pytest.approx(value_at(document, key), rel=6e-3)
    page.context.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("online", "It takes about "),
        ("first is best", f"{VLLM} takes the least GPU energy, about "),
        ("saving", f"{VLLM} takes the least GPU energy, about "),
        ("compared online", " takes the least GPU energy, about "),
    ],
)
def test_an_answer_leads_the_page_and_the_text(
    name: str, words: str, made: Made, folder: Path, browser: Any, run_cli: RunCli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    page = open_in(browser, made[name][0], "light", 1200)
    answer = answer_of(page)
    assert words in answer
    facts = page.locator("header .facts th").all_inner_texts()
    assert {"scope", "basis", "serving", "method"} <= set(facts)
    command = [word for word in COMMANDS[name] if word not in ("--title", TITLE)]
    text = " ".join(run_cli(*command).stdout.split())
    assert text.startswith(answer.replace("\N{NO-BREAK SPACE}", " "))
    for fact in ("scope GPUs, ", "basis ", "95 %"):
        assert fact in text
    page.context.close()


def test_a_saving_is_said_as_what_it_is(made: Made, browser: Any) -> None:
    energies = {k: made["first is best"][1]["tables"][k]["energy_j"] for k in (0, 1)}
    page = open_in(browser, made["first is best"][0], "light", 1200)
    ratio = energies[1] / energies[0]
    assert ratio > 2
    assert f"{PYTORCH} takes {ratio:.1f} times as much (95 %: " in answer_of(page)
    assert f"{ratio:.1f} times as much" in page.locator("table").all_inner_texts()[1]
    page.context.close()
    page = open_in(browser, made["saving"][0], "light", 1200)
    assert f": {100 - 100 / ratio:.1f} % less than {PYTORCH} (95 %: " in answer_of(page)
    page.context.close()


@pytest.mark.parametrize(
    ("saving_percent", "text"),
    [
        (61.74, "61.7 % less"),
        (0.0, "0.0 % less"),
        (-10.06, "10.1 % more"),
        (-99.9, "99.9 % more"),
        (-100.0, "2.0 times as much"),
        (-210.0, "3.1 times as much"),
    ],
)
def test_words_of_a_saving(saving_percent: float, text: str) -> None:
    assert saving_text(saving_percent) == text


def test_what_is_not_certain_is_said_so(made: Made, browser: Any) -> None:
    for name, words in (
        ("uncertain", "Which takes the least is not certain: intervals overlap ("),
        ("binned", "How certain that is cannot be told: the binned method has no intervals."),
        ("saving", None),
    ):
        path, document = made[name]
        page = open_in(browser, path, "light", 1200)
        texts = " ".join(page.locator("header p").all_inner_texts())
        assert ("certain" in texts) == (words is not None)
        assert words is None or words in texts
        ends = document["tables"][1]["saving_interval_percent"]
        assert ends is None or (ends[0] <= 0 <= ends[1]) == (name == "uncertain")
        page.context.close()


@pytest.mark.parametrize("name", ["online", "saving"])
def test_a_title_stands_above_and_is_no_markup(name: str, made: Made, browser: Any) -> None:
    page = open_in(browser, made[name][0], "light", 1200)
    assert page.locator("h1").inner_text() == TITLE
    assert page.title() == TITLE
    assert page.complaints == []
    page.context.close()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--title", "A title"), "--title is of the page; give --html FILE, too"),
        (("--title", " ", "--html", "p.html"), "--title: is empty"),
    ],
)
@pytest.mark.parametrize("command", ["estimate", "compare", "plan"])
def test_a_title_needs_a_page(
    command: str, words: tuple[str, ...], reason: str, run_cli: RunCli
) -> None:
    table = () if command == "plan" else ("--table", VLLM)
    result = run_cli(command, "azure-2023-code", *table, *words)
    assert result.exit_code == 2
    assert reason in result.output


def test_energy_over_time_ends_at_the_estimate(made: Made, browser: Any) -> None:
    path, document = made["online"]
    slices = document["serving"]["timeline"]["slices"]
    assert sum(each["energy_j"] for each in slices) == pytest.approx(document["energy_j"])
    page = open_in(browser, path, "light", 1200)
    texts = page.locator("figure svg text").all_text_contents()
    assert f"GPU energy so far, in the end {joules(document['energy_j'])}" in texts
    assert f"mean: {document['mean_power_w']:,.0f} W" in texts
    page.context.close()


def test_bars_tell_their_values(made: Made, browser: Any) -> None:
    for name in ("online", "saving"):
        path, document = made[name]
        page = open_in(browser, path, "light", 1200)
        texts = page.locator("figure svg text").all_text_contents()
        drawn = [table["energy_j"] for table in document["tables"]] if name == "saving" else [
            document["energy_j"], *document["ideal_j"].values(), *document["parts_j"].values(),
        ]  # fmt: skip
        for energy_j in drawn:
            assert joules(energy_j) in texts
        page.context.close()


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_empty_and_maps_stand_level(name: str, made: Made, browser: Any) -> None:
    page = open_in(browser, made[name][0], "light", 1200)
    empty = page.evaluate(
        """() => {
          const faults = [];
          for (const head of document.querySelectorAll('h2, h3')) {
            const next = head.nextElementSibling;
            if (!next || (next.tagName <= head.tagName && /^H/.test(next.tagName))
                || !next.textContent.trim()) faults.push(head.textContent);
          }
          for (const pair of document.querySelectorAll('.pair'))
            if (pair.children.length % 2) faults.push('a place beside ' + pair.textContent);
          for (const fact of document.querySelectorAll('.facts td, .headline li'))
            if (!fact.textContent.trim()) faults.push('an empty fact');
          const tables = [...document.querySelectorAll('.map')].map(e => e.getBoundingClientRect());
          if (tables.some(e => Math.abs(e.top - tables[0].top) > 1)) faults.push('maps');
          const items = [...document.querySelectorAll('.headline li')];
          const right = Math.max(...items.map(e => e.getBoundingClientRect().right));
          if (items.length && right - items.at(-1).getBoundingClientRect().right > 1)
            faults.push('a place beside the last figure');
          return faults;
        }"""
    )
    assert empty == []
    page.context.close()


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("scheme", "width", "media"),
    [("light", 1200, "screen"), ("dark", 390, "screen"), ("light", 718, "print")],
)
def test_axe_finds_no_violation(
    scheme: str, width: int, media: str, name: str, made: Made, browser: Any
) -> None:
    page = open_in(browser, made[name][0], scheme, width, bypass_csp=True)
    page.emulate_media(media=media, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    require_accessible(page)
    page.context.close()


def test_a_phone_shows_energies_of_groups_without_scrolling(made: Made, browser: Any) -> None:
    page = open_in(browser, made["online"][0], "light", 390)
    groups = page.locator("[aria-label='Energy by group']")
    assert groups.evaluate("e => e.scrollWidth <= e.clientWidth")
    assert groups.locator("td[data-label=energy]").count() == 3
    page.context.close()


@pytest.mark.parametrize("sheet", ["A4", "Letter"])
def test_a_page_prints(sheet: str, made: Made, browser: Any) -> None:
    page = open_in(browser, made["online"][0], "dark", 718)
    sheets = len(re.findall(rb"/Type /Page\b", page.pdf(format=sheet)))
    assert 3 <= sheets <= 6
    page.context.close()
