"""Pages on paper: sheets are full, no wider than they are, and tear nothing apart."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from joulecast.cli.main import main
from tests.joulecast.test_pages import open_in

pytestmark = pytest.mark.slow

VLLM, PYTORCH = (f"h100-sxm/llama-3.1-8b/{engine}" for engine in ("vllm", "pytorch"))
FACILITY = shlex.split("--server-overhead ecologits --pue 1.2 --carbon FR --price '0.18 EUR'")
TABLES = ("--table", PYTORCH, "--table", VLLM, "--table", f"{VLLM}-first-card")
COMMANDS: dict[str, tuple[str, ...]] = {
    "estimate": ("estimate", "log.csv", "--table", VLLM, "--group-by", "team", *FACILITY),
    "offline": ("estimate", "log.csv", "--table", VLLM, "--serving", "offline"),
    "compare": ("compare", "log.csv", *TABLES, *FACILITY),
    "models": ("estimate", "log.csv", "--group-by", "model", *FACILITY),
    "plan": (
        *("plan", "azure-2023-code", "--slo", "ttft_p99=12s,tpot_p99=500ms"),
        *("--on", "gpu=h100-sxm,h200-sxm,dtype=bfloat16,fp8", "--carbon", "FR"),
    ),
}  # fmt: skip
MOST_SHEETS = {"estimate": 5, "offline": 4, "compare": 4, "models": 4, "plan": 3}
WIDTHS = {"A4": 687, "Letter": 710}
"""Sheet -> its width less the margins, at 96 dots an inch."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("print")
    called = "llama-3.1-8b", "qwen2.5-7b", "gpt-4o"
    rows = [
        f"{9 * k},{40 + 31 * k % 2900},{1 + 13 * k % 500},team-{k % 3},{called[k % 3]}"
        for k in range(400)
    ]
    head = "timestamp,input_tokens,output_tokens,team,model\n"
    (folder / "log.csv").write_text(head + "\n".join(rows) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, words in COMMANDS.items():
            result = CliRunner().invoke(main, [*words, "--html", f"{name}.html"])
            assert result.exit_code == 0, result.output
    return {name: folder / f"{name}.html" for name in COMMANDS}


@pytest.mark.parametrize("sheet", WIDTHS)
@pytest.mark.parametrize("name", COMMANDS)
def test_sheets_are_few_and_no_wider_than_paper(
    name: str, sheet: str, made: dict[str, Path], browser: Any
) -> None:
    page = open_in(browser, made[name], "dark", WIDTHS[sheet])
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[sheet]
    sheets = len(re.findall(rb"/Type /Page\b", page.pdf(format=sheet)))
    assert sheets <= MOST_SHEETS[name]
    page.context.close()


@pytest.mark.parametrize("name", COMMANDS)
def test_pictures_keep_their_captions_and_ends_stay_together(
    name: str, made: dict[str, Path], browser: Any
) -> None:
    page = open_in(browser, made[name], "light", WIDTHS["A4"])
    page.emulate_media(media="print")
    kept = page.evaluate(
        "[...document.querySelectorAll('figure, .mapped, .whole, p, tr')]"
        ".map(e => getComputedStyle(e).breakInside)"
    )
    assert set(kept) == {"avoid"}
    assert page.locator(".whole h3").inner_text() == "To make it again"
    assert not page.locator("footer").is_visible()
    maps = page.evaluate(
        "[...document.querySelectorAll('.map')].map(e => e.getBoundingClientRect().top)"
    )
    assert len(set(maps)) == (1 if name in ("estimate", "offline") else 0)
    cut = page.evaluate(
        """[...document.querySelectorAll('.map td, .map th')].filter(cell => {
          if (!cell.firstChild || cell.firstChild.nodeType !== Node.TEXT_NODE) return false;
          const range = document.createRange(); range.selectNode(cell.firstChild);
          return range.getBoundingClientRect().width > cell.getBoundingClientRect().width;
        }).map(cell => cell.firstChild.textContent)"""
    )
    assert cut == []
    page.context.close()


HEADED = """() => {
  const table = [...document.querySelectorAll('.scroll table')].at(-1);
  let heading = table.parentElement;
  while (heading.tagName !== 'H2') heading = heading.previousElementSibling;
  const gap = document.createElement('div');
  gap.id = 'gap';
  heading.before(gap);
  for (const [k, part] of [heading, ...table.querySelectorAll('caption, thead th:first-child'),
                           ...[...table.querySelectorAll('tbody th')].slice(0, 2)].entries()) {
    const link = document.createElement('a');
    part.id = `part-${k}`;
    link.href = `#part-${k}`;
    link.textContent = k;
    document.body.append(link);
  }
}"""
"""Makes a gap above the heading of the last table, and what is to stay together targets of links,
whose sheets a PDF tells."""


@pytest.mark.parametrize("name", ["compare", "models"])
def test_heading_and_head_stay_with_the_first_rows(
    name: str, made: dict[str, Path], browser: Any
) -> None:
    page = open_in(browser, made[name], "light", WIDTHS["A4"])
    page.evaluate(HEADED)
    sheets = set()
    for height in range(0, 1200, 48):  # more than a sheet is high
        page.evaluate("height => { gap.style.height = `${height}px` }", height)
        pdf = page.pdf(format="A4")
        parts = re.findall(rb"/part-\d \[(\d+) 0 R /XYZ", pdf)
        assert len(parts) == (5 if name == "compare" else 4)
        assert len(set(parts)) == 1, height
        sheets |= set(parts)
    assert len(sheets) > 1
    page.context.close()


@pytest.mark.parametrize("name", COMMANDS)
def test_lines_of_grids_are_light(name: str, made: dict[str, Path], browser: Any) -> None:
    page = open_in(browser, made[name], "light", WIDTHS["A4"])
    page.emulate_media(media="print")
    strokes = page.evaluate(
        """[...document.querySelectorAll('svg [style*="var(--line)"]')]
        .map(line => getComputedStyle(line).stroke)"""
    )
    assert strokes
    for stroke in strokes:
        assert min(map(int, re.findall(r"\d+", stroke))) > 200
    page.context.close()
