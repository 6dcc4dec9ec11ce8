"""Pages in a real browser: numbers, accessibility, layout, and that they need nothing else."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import joulecast as jc
from joulecast.cli.main import main
from joulecast.measurements.table.table import load_table, table_folder
from joulecast.pages.compare import write_compare_page
from joulecast.pages.page import Numbers
from joulecast.traces.load import LoadedTrace
from joulecast.traces.public.catalog import load_embedded
from joulecast.traces.workload import Workload
from joulecast.views.report import json_text
from tests.conftest import RunCli

pytestmark = pytest.mark.slow

VLLM, PYTORCH = (f"h100-sxm/llama-3.1-8b/{engine}" for engine in ("vllm", "pytorch"))
BY_HAND = f"{PYTORCH}-by-hand"
LONG = "a-table-whose-name-is-far-longer-than-anybody-would-like-" * 3 + "vllm"
STEPWISE, BINNED = ("--method", "stepwise"), ("--method", "binned")
COSTS = ("--pue", "1.2", "--carbon", "FR", "--price", "0.18 EUR")
COMMANDS: dict[str, tuple[str, ...]] = {
    "stepwise": (
        "estimate", "log.csv", "--table", VLLM, *STEPWISE, "--host", f"{VLLM}-quick",
        "--on-invalid", "skip", *COSTS,
    ),
    "binned": ("estimate", "log.csv", "--table", BY_HAND, *BINNED, "--on-invalid", "skip"),
    "workload": ("estimate", "azure-2023-conv", "--table", VLLM, *STEPWISE),
    "reconstructed": (
        "estimate", "burstgpt-reconstructed", "--table", VLLM, *STEPWISE, "--carbon", "0",
    ),
    "compared": (
        "compare", "log.csv", "--table", PYTORCH, "--table", VLLM, "--table", f"{VLLM}-first-card",
        *STEPWISE, "--on-invalid", "skip", *COSTS,
    ),
    "compared binned": ("compare", "azure-2023-code", "--table", VLLM, "--table", BY_HAND, *BINNED),
    "tiny": ("estimate", "tiny.csv", "--table", LONG, *STEPWISE, *COSTS),
}  # fmt: skip
PAGES = [*COMMANDS, "compared long"]
Made = dict[str, tuple[Path, dict[str, Any]]]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Each page, and the JSON document that the same command prints."""
    folder = tmp_path_factory.mktemp("pages")
    rows = [f"{17 + 37 * k % 9001},{1 + 29 * k % 700}" for k in range(3000)]
    rows += ["100,0", "5,-3", "9000,600"]
    (folder / "log.csv").write_text("input_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    (folder / "tiny.csv").write_text("input_tokens,output_tokens\n1,1\n")
    shutil.copytree(table_folder(VLLM), folder / LONG)
    pages = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, words in COMMANDS.items():
            page = folder / f"{name}.html"
            result = CliRunner().invoke(main, [*words, "--format", "json", "--html", str(page)])
            assert result.exit_code == 0, result.output
            pages[name] = page, json.loads(result.stdout)
        pages["compared long"] = long_comparison(folder / "long.html")
    return pages


def long_comparison(page: Path) -> tuple[Path, dict[str, Any]]:
    """Nine tables of long names, and a trace of so many requests that all figures are long."""
    whole = load_embedded("azure-2023-conv").to_dict()
    whole["cells"] = [
        [*cell[:2], *(10**8 * number for number in cell[2:])] for cell in whole["cells"]
    ]
    workload = Workload.from_dict(whole)
    costs = {"pue": 1.2, "carbon": "FR", "price": "0.18 EUR"}
    two = jc.compare(workload, [LONG, VLLM], "stepwise", **costs)
    many = replace(two, tables=(two.tables[0], *[two.tables[1]] * 8))
    tables = [load_table(compared.estimate.table) for compared in many.tables]
    write_compare_page(page, many, tables, LoadedTrace(workload), "joulecast compare")
    return page, json.loads(json_text(many.to_dict()))


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Open a page anew."""
    contexts = []

    def open_page(path: Path, scheme: str = "light", width: int = 1200, **options: Any) -> Any:
        page = open_in(browser, path, scheme, width, **options)
        contexts.append(page.context)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def shown(browser: Any, made: Made) -> Iterator[Any]:
    """A page that is opened once for all tests that only look at it, in one view after the other.

    Axe puts a script into it, which the page's own rules forbid.
    """
    pages: dict[tuple[str, bool], Any] = {}

    def show(name: str, scheme: str = "light", width: int = 1200, with_axe: bool = False) -> Any:
        if (name, with_axe) not in pages:
            pages[name, with_axe] = open_in(
                browser, made[name][0], scheme, width, bypass_csp=with_axe
            )
        page = pages[name, with_axe]
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        return page

    yield show
    for page in pages.values():
        page.context.close()


def open_in(browser: Any, path: Path, scheme: str, width: int, **options: Any) -> Any:
    """A page that keeps what it asks for beside itself, and what it complains about."""
    viewport = {"width": width, "height": 800}
    page = browser.new_context(color_scheme=scheme, viewport=viewport, **options).new_page()
    page.asked, page.complaints = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("dialog", lambda dialog: page.complaints.append(dialog.message))
    page.goto(path.as_uri())
    return page


CUT = """[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1)
  .map(e => e.getAttribute('aria-label'))"""
"""Labels of tables that scroll sideways."""


def require_accessible(page: Any) -> Any:
    """What axe finds; fails where that is a violation."""
    from axe_playwright_python.sync_playwright import Axe

    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    return results


def value_at(document: Any, key: str) -> Any:
    for part in key.split("."):
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


@pytest.mark.parametrize("name", PAGES)
def test_the_numbers_are_those_of_the_json_to_the_digit(name: str, made: Made, shown: Any) -> None:
    document = made[name][1]
    page = shown(name)
    numbers = page.evaluate(
        "[...document.querySelectorAll('data')].map(e => [e.dataset.key, e.value])"
    )
    for key, value in numbers:
        assert json.loads(value) == value_at(document, key), key
    keys = {key for key, _ in numbers}
    is_comparison = "saving_percent" in document.get("tables", [{}])[0]
    ats = [f"tables.{k}." for k in range(len(document["tables"]))] if is_comparison else [""]
    for at in ats:
        for key in ("energy_kwh", "joules_per_request", "joules_per_1000_tokens"):
            assert at + key in keys
        for ideal in ("dense", "sparse", "roofline"):
            assert f"{at}excess_percent.{ideal}" in keys
    if name == "stepwise":
        assert {
            "interval_kwh.0",
            "interval_kwh.1",
            "carbon_g",
            "cost",
            "facility_energy_kwh",
        } <= keys
        assert {f"parts_j.{term}" for term in document["parts_j"]} <= keys
    for k, cell in enumerate(document.get("cells", [])):
        assert f"cells.{k}.requests" in keys
        assert (f"cells.{k}.energy_j" in keys) == (cell["energy_j"] is not None)
    kept = page.evaluate("document.getElementById('joulecast').textContent")
    assert json.loads(kept) == document


def test_what_is_shown_of_a_number_is_that_number(made: Made, shown: Any) -> None:
    document = made["stepwise"][1]
    page = shown("stepwise")
    texts = dict(
        page.evaluate(
            "[...document.querySelectorAll('data')].map(e => [e.dataset.key, e.textContent])"
        )
    )
    assert texts["energy_kwh"] == f"{document['energy_kwh']:#.4g} kWh"  # none is below 0.0001
    assert texts["requests.invalid"] == "1"
    assert texts["requests.failed"] == "1"
    assert texts["requests.total"] == "3,003"
    assert texts["cost"] == f"{document['cost']:#.4g} EUR"
    assert texts["carbon_g"] == f"{document['carbon_g']:#.4g} gCO2e"
    assert float(texts["joules_per_request"].removesuffix(" J")) == pytest.approx(
        document["joules_per_request"], rel=5e-4
    )
    cells = [text for key, text in texts.items() if re.fullmatch(r"cells\.\d+\.requests", key)]
    assert sum(int(text.replace(",", "")) for text in cells) == 3001


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 320)])
def test_axe_finds_no_violation(scheme: str, width: int, name: str, shown: Any) -> None:
    page = shown(name, scheme, width, with_axe=True)
    page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    passed = {rule["id"] for rule in require_accessible(page).response["passes"]}
    assert {"color-contrast", "svg-img-alt"} <= passed


@pytest.mark.parametrize("width", [1200, 390, 320])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_overlaps_or_sticks_out(name: str, width: int, shown: Any) -> None:
    page = shown(name, "light", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    overlapping = page.evaluate(
        """() => {
          const faults = [];
          for (const svg of document.querySelectorAll('figure svg')) {
            const frame = svg.getBoundingClientRect();
            const texts = [...svg.querySelectorAll('text')].filter(e => e.textContent.trim());
            const boxes = texts.map(e => e.getBoundingClientRect());
            const turned = texts.map(e => /rotate\\(-?(45|90)/.test(e.getAttribute('transform')));
            boxes.forEach((a, i) => {
              if (a.left < frame.left - 2 || a.right > frame.right + 2)
                faults.push('out of its picture: ' + texts[i].textContent);
              boxes.forEach((b, j) => {
                if (j <= i || (turned[i] && turned[j])) return;
                if (a.left + 1 < b.right && b.left + 1 < a.right
                    && a.top + 1 < b.bottom && b.top + 1 < a.bottom)
                  faults.push(texts[i].textContent + ' / ' + texts[j].textContent);
              });
            });
          }
          for (const cell of document.querySelectorAll('.map td, .headline li'))
            if (cell.scrollWidth > cell.clientWidth + 1 && !cell.querySelector('.tip'))
              faults.push('cut: ' + cell.textContent.trim());
          for (const cell of document.querySelectorAll('.map td')) {
            if (!cell.firstChild || cell.firstChild.nodeType !== Node.TEXT_NODE) continue;
            const range = document.createRange(); range.selectNode(cell.firstChild);
            if (range.getBoundingClientRect().width > cell.getBoundingClientRect().width)
              faults.push('wider than its cell: ' + cell.firstChild.textContent);
          }
          return faults;
        }"""
    )
    assert overlapping == []


@pytest.mark.parametrize("name", PAGES)
def test_every_axis_and_every_map_has_its_unit(name: str, shown: Any) -> None:
    page = shown(name)
    pictures = page.evaluate(
        "[...document.querySelectorAll('figure svg')].map(s => [...s.querySelectorAll('text')]"
        ".map(e => e.textContent))"
    )
    assert pictures
    for texts in pictures:
        unit = r"\[(tokens|%|[kMGT]?J|min|W|s|number)\]$"
        units = [text for text in texts if re.search(unit, text)]
        of_two = "requests of at most this length [%]", "time from the first arrival"
        assert len(units) == 1 + any(text.startswith(of_two) for text in texts), texts
    for caption in page.evaluate(
        "[...document.querySelectorAll('.maps .caption, .map .axis')].map(e => e.textContent)"
    ):
        assert re.search(r"\[(tokens|number|[kMGT]?J)\]", caption)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_one_small_file_that_asks_for_nothing(name: str, made: Made, shown: Any) -> None:
    path, _ = made[name]
    assert path.stat().st_size < 1_000_000
    page = shown(name)
    assert page.asked == [path.as_uri()]
    assert page.complaints == []
    assert not re.search(r'(?:src|href)="(?!#)', path.read_text("utf-8"))


def test_pointing_at_a_cell_tells_its_values(made: Made, opened: Any) -> None:
    path, document = made["stepwise"]
    page = opened(path)
    cell = page.locator(".map").nth(1).locator("td:has(.tip)").first
    tip = cell.locator(".tip")
    assert not tip.is_visible()
    cell.hover()
    assert tip.is_visible()
    energy_j = json.loads(tip.locator("data").nth(1).get_attribute("value"))
    assert energy_j == document["cells"][0]["energy_j"]
    assert "tokens" in tip.inner_text()
    page.mouse.move(0, 0)
    assert not tip.is_visible()


def test_a_finger_does_too(made: Made, opened: Any) -> None:
    page = opened(made["stepwise"][0], "light", 390, has_touch=True, is_mobile=True)
    cell = page.locator(".map").first.locator("td:has(.tip)").first
    cell.tap()
    assert cell.locator(".tip").is_visible()


@pytest.mark.parametrize("name", PAGES)
def test_paper_is_white_whatever_the_screen_and_nothing_is_cut(
    name: str, made: Made, opened: Any
) -> None:
    page = opened(made[name][0], "dark", 718)  # A4 at 96 dots an inch, less its margins
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    cut = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(e => e.offsetParent"
        " && e.scrollWidth > e.parentElement.clientWidth + 1).length"
    )
    assert cut == 0
    for caption in page.locator(".maps .caption").all():
        assert caption.is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.parametrize("media", ["screen", "print"])
def test_the_marks_of_a_map_are_explained(media: str, made: Made, opened: Any) -> None:
    for name, is_measured in (("binned", True), ("stepwise", False)):
        page = opened(made[name][0])
        page.emulate_media(media=media)
        caption = page.locator(".maps .caption").nth(1)
        assert caption.is_visible()
        assert "~\N{NO-BREAK SPACE}interpolated, ?\N{NO-BREAK SPACE}extrapolated" in (
            caption.inner_text()
        )
        assert ("unmarked cells are measured" in caption.inner_text()) == is_measured


def test_light_and_dark_differ_and_their_pictures_with_them(shown: Any) -> None:
    light, dark = (
        shown("stepwise", scheme).evaluate(
            "[getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('figure svg text')).fill]"
        )
        for scheme in ("light", "dark")
    )
    assert light[0] != dark[0]
    assert light[1] != dark[1]


def test_a_name_that_is_markup_stays_a_name(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "<img src=x onerror=alert(1)> & $x_1$ <script>alert(2)<!--.csv"
    Path(name).write_text("input_tokens,output_tokens\n100,20\n")
    words = ("estimate", name, "--table", VLLM, "--method", "stepwise", "--html", "p.html")
    assert run_cli(*words).exit_code == 0
    page = opened(tmp_path / "p.html")
    assert name in page.locator("h1").inner_text()
    assert name in page.locator("pre").inner_text().replace("'", "")
    assert page.complaints == []
    assert page.asked == [(tmp_path / "p.html").as_uri()]


def test_a_page_stays_small_however_many_lengths_there_are(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{k},{1 + k * 7919 % 100_003}\n" for k in range(1, 100_000))
    Path("long.csv").write_text("input_tokens,output_tokens\n" + rows)
    words = ("estimate", "long.csv", "--table", VLLM, *BINNED, "--html", "p.html")
    assert run_cli(*words).exit_code == 0
    assert Path("p.html").stat().st_size < 400_000


def test_what_was_typed_is_on_the_page(run_cli: RunCli, tmp_path: Path) -> None:
    page = tmp_path / "p.html"
    words = ("estimate", "azure-2023-code", "--table", VLLM, "--price", "0.18 EUR")
    assert run_cli(*words, "--html", page).exit_code == 0
    command = f"joulecast {' '.join(words[:-1])} &#39;0.18 EUR&#39; --html {page}"
    assert command in page.read_text("utf-8")


def test_a_number_that_is_not_in_the_document_is_an_error() -> None:
    with pytest.raises(KeyError):
        Numbers({"a": 1.5})("b")
    assert Numbers({"a": [1.5, 2.5]})("a.1") == '<data value="2.5" data-key="a.1">2.5</data>'
