"""What pages say was left out: it adds up to all requests, and rows that are none are told."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.conftest import RunCli

pytestmark = pytest.mark.slow

VLLM = "h100-sxm/llama-3.1-8b/vllm"
ROWS = 300
COMMANDS = {
    "estimate": ("estimate", "log.csv", "--table", VLLM),
    "binned": ("estimate", "log.csv", "--table", VLLM, "--method", "binned"),
    "models": ("estimate", "log.csv", "--group-by", "model"),
    "compare": ("compare", "log.csv", "--table", VLLM, "--on", "gpu=h200-sxm"),
}


class _Text(HTMLParser):
    """The text of a page, each cell and each paragraph on a line of its own, by headings."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.text += "## " if tag == "h2" else ""

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        self.text += "\n" if tag in ("th", "td", "p", "h2") else ""


def left_out_section(page: Path) -> str:
    parser = _Text()
    parser.feed(page.read_text())
    before, meaning, _ = parser.text.partition("## What the number")
    assert meaning
    return re.sub(r"\n\s*", "\n", before.rpartition("## ")[2])


def write_log() -> None:
    """In the working folder, of three models, one of which is not known."""
    models = "Llama-3.1-8B", "gpt-4o", "qwen2.5-7b"
    rows = [f"{9 * k},{40 + 31 * k % 900},{1 + k % 90},{models[k % 3]}" for k in range(ROWS)]
    head = "timestamp,input_tokens,output_tokens,model\n"
    Path("log.csv").write_text(head + "\n".join(rows) + "\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_share_that_was_asked_for_has_its_row(
    command: str, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_log()
    result = run_cli(*COMMANDS[command], "--share", "0.5", "--html", "page.html")
    assert result.exit_code == 0, result.output
    section = left_out_section(Path("page.html"))
    counts = dict(re.findall(r"^(.+)\n([\d,]+)$", section, re.MULTILINE))
    assert int(counts["left out: by the share that was asked for"]) > 0
    assert sum(map(int, counts.values())) == 2 * int(counts["all"]) == 2 * ROWS


@pytest.mark.parametrize("command", COMMANDS)
def test_rows_that_are_no_requests_are_told(
    command: str, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_log()
    result = run_cli(*COMMANDS[command], "--where", "model ~ Llama", "--html", "page.html")
    assert result.exit_code == 0, result.output
    section = left_out_section(Path("page.html"))
    assert "Nothing was left out" not in section
    assert "All 100 requests of the trace are estimated." in section
    assert "Of 300 rows that were read, these are no requests of the trace: 200 not" in section
    assert run_cli(*COMMANDS[command], "--html", "page.html").exit_code == 0
    whole = left_out_section(Path("page.html"))
    assert "rows that were read" not in whole
    assert ("Nothing was left out: all 300 requests" in whole) == (command != "models")
