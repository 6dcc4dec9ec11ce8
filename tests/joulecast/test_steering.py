"""Whatever a file or a name holds, it steers no terminal: control characters are shown."""

import csv
import io
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from joulecast.measurements.replay import SHIPPED
from joulecast.measurements.table.table import load_table, table_folder
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.printable import STEERING, printable
from joulecast.views.parts import add_row, grid_table
from joulecast.views.report import Report, emit
from joulecast.views.table import table_list_report
from tests.conftest import RunCli, workload_of

pytestmark = pytest.mark.slow  # most commands run

VLLM = "h100-sxm/llama-3.1-8b/vllm"
EVIL = "a\x1b[31m\x9b2J\x07\r\n\u202eb\u2066c\x7f"
SHOWN = "a\\x1b[31m\\x9b2J\\x07\\r\\n\\u202eb\\u2066c\\x7f"
NAME = "a\x1b[31m\u202eb"
"""What the name of a file or folder may hold, too."""
PAPERS = ("burstgpt", "azure-2024-code", "azure-2024-conv", "azure-2023-code", "azure-2023-conv")
ROWS = (NAME, *PAPERS)
"""Rows of Table 4; its own traces would take their time."""


def steering(text: str) -> set[str]:
    return set(STEERING.findall(text)) - {"\n"}


@pytest.fixture
def evil_table(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(table_folder(VLLM), tmp_path / f"t{NAME}"))
    path = folder / "table.json"
    metadata = json.loads(path.read_text())
    metadata |= {"gpu_product": EVIL, "engine_version": EVIL, "weights": EVIL}
    metadata["engine_settings"][EVIL] = EVIL
    metadata["cards"] = {EVIL: {**next(iter(metadata["cards"].values())), "driver": EVIL}}
    path.write_text(json.dumps(metadata))
    return folder


@pytest.fixture
def evil_trace(tmp_path: Path) -> Path:
    """A workload, since rows under such a name are refused."""
    path = tmp_path / f"{NAME}.json"
    workload = workload_of(PAPER_GRID, [(100, 20), (200, 30)])
    replace(workload, sources=({"name": EVIL, "licence": EVIL},)).save(path)
    return path


def texts_in(document: Any) -> Iterator[str]:
    """Every text of a JSON document."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, list | dict):
        parts = document if isinstance(document, list) else [*document, *document.values()]
        for part in parts:
            yield from texts_in(part)


def test_letters_that_steer_are_shown_and_all_others_stay() -> None:
    assert printable(EVIL) == SHOWN
    kept = "é 漢 \N{NO-BREAK SPACE}\N{ZERO WIDTH JOINER}±─█ [bold] \\x1b עברית"
    assert printable(kept) == kept


@pytest.mark.parametrize("words", [
    ("estimate", "TRACE", "--table", "TABLE", "--method", "stepwise", "--host", "TABLE"),
    ("estimate", "TRACE", "--table", "TABLE", "--method", "binned"),
    ("compare", "TRACE", "--table", "TABLE", "--table", VLLM),
    ("table", "show", "TABLE"),
    ("table", "show", VLLM, "--over", "TABLE"),
    ("table", "check", "TABLE"),
    ("table4", "--table", "TABLE", "--table", "h100-sxm/llama-3.1-8b/pytorch",
     *(f"--trace={row}=TRACE" for row in ROWS)),
    ("trace", "summary", "TRACE"),
])  # fmt: skip
def test_names_are_shown_in_tables(
    words: tuple[str, ...], run_cli: RunCli, evil_table: Path, evil_trace: Path
) -> None:
    command = [
        word.replace("TABLE", str(evil_table)).replace("TRACE", str(evil_trace)) for word in words
    ]
    result = run_cli(*command)
    assert result.exit_code == 0, result.output
    assert steering(result.output) == set()
    assert "\\x1b[31m" in result.stdout.replace("\n", "")
    document = run_cli(*command, "--format", "json").stdout
    assert steering(document) == set()
    assert NAME in "".join(texts_in(json.loads(document)))


def test_a_list_of_tables(evil_table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    emit(table_list_report([load_table(str(evil_table))]), "table", None)
    text = capsys.readouterr().out
    assert steering(text) == set()
    assert "\\x1b[31m" in text


def test_pages_show_them_too(
    run_cli: RunCli, evil_table: Path, evil_trace: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    tables = "--table", evil_table, "--table", VLLM
    for words in (("estimate", evil_trace, *tables[:2]), ("compare", evil_trace, *tables)):
        result = run_cli(*words, "--html", page)
        assert result.exit_code == 0, result.output
        assert steering(result.output) == set()
        html = page.read_text()
        assert steering(html) == set()
        assert SHOWN in html
        script = html.partition('id="joulecast">')[2].partition("</script>")[0]
        assert json.loads(script)["trace"] == str(evil_trace)


def test_pictures_show_them_too(
    run_cli: RunCli, evil_table: Path, evil_trace: Path, tmp_path: Path
) -> None:
    from matplotlib import rc_context

    picture = tmp_path / "picture.svg"
    with rc_context({"svg.fonttype": "none"}):
        for words in (
            ("table", "show", evil_table, "--over", VLLM, "--plot", picture),
            ("trace", "plot", evil_trace, "-o", picture),
            ("table4", *(f"--trace={row}={evil_trace}" for row in ROWS), "--plot", picture),
        ):
            result = run_cli(*words)
            assert result.exit_code == 0, result.output
            text = picture.read_text()
            assert steering(text) == set()
            assert "\\x1b[31m" in text.replace("\n", "")


def test_a_replay(run_cli: RunCli, tmp_path: Path) -> None:
    shipped = next(iter(sorted(Path(SHIPPED).rglob("*.json"))))
    document = json.loads(shipped.read_text())
    document["trace"] = EVIL
    (tmp_path / f"{NAME}.json").write_text(json.dumps(document))
    picture = tmp_path / "picture.png"
    for words in (("validate", tmp_path), ("validate", tmp_path, "--plot", picture)):
        result = run_cli(*words)
        assert result.exit_code == 0, result.output
        assert steering(result.output) == set()
        assert "\\x1b[31m" in result.stdout.replace("\n", "")
    text = run_cli("validate", tmp_path, "--format", "json").stdout
    assert steering(text) == set()
    assert json.loads(text)["replays"][0]["trace"] == EVIL


def test_binning_says_what_it_wrote(run_cli: RunCli, evil_trace: Path, tmp_path: Path) -> None:
    workload = tmp_path / f"w{NAME}.json"
    result = run_cli("trace", "bin", evil_trace, "-o", workload, "--licence", EVIL)
    assert result.exit_code == 0, result.output
    assert steering(result.output) == set()
    assert json.loads(workload.read_text())["sources"][0]["licence"] == EVIL
    printed = run_cli("trace", "bin", evil_trace).stdout
    assert steering(printed) == set()
    assert json.loads(printed)["sources"][0]["licence"] == EVIL


def test_csv_is_data_for_programs_and_shown_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Report({}, [{"name": EVIL, EVIL: 1}], "")
    emit(report, "csv", tmp_path / "file.csv")
    with (tmp_path / "file.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"name": EVIL, EVIL: "1"}]

    class Terminal(io.StringIO):
        encoding = "utf-8"  # type: ignore[assignment]

        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    emit(report, "csv", None)
    assert steering(terminal.getvalue()) == set()
    assert "\\x1b[31m" in terminal.getvalue()


def test_a_line_end_in_a_name_makes_no_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    view = grid_table()
    view.add_column("name")
    add_row(view, "energy\n1 J")
    add_row(view, ("two", "lines"))
    emit(Report({}, [], view), "table", None)
    assert [line.strip() for line in capsys.readouterr().out.splitlines()][1:] == [
        "name", "─" * 11, "energy\\n1 J", "two", "lines", ""
    ]  # fmt: skip
