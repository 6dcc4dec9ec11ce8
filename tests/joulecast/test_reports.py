"""Every result as a table, as JSON and as CSV: in files, and on terminals of all kinds."""

import csv
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from joulecast.cli import options
from joulecast.cli.main import main
from joulecast.traces.grid import PAPER_GRID
from joulecast.views.parts import encodable, facts_table
from joulecast.views.report import Report, emit
from tests.conftest import RunCli, workload_of

VLLM, PYTORCH = (f"h100-sxm/llama-3.1-8b/{engine}" for engine in ("vllm", "pytorch"))
COMMANDS: dict[str, tuple[str, ...]] = {
    "estimate": (
        "estimate", "azure-2023-conv", "--table", VLLM, "--method", "stepwise", "--explain",
        "--pue", "1.2", "--carbon", "FR", "--price", "0.18 EUR",
    ),
    "estimate binned": ("estimate", "azure-2023-code", "--table", VLLM, "--method", "binned"),
    "compare": (
        "compare", "azure-2023-code", "--table", PYTORCH, "--table", VLLM, "--method", "stepwise",
        "--pue", "1.2",
    ),
    "flops": ("flops", "llama-3.1-8b"),
    "flops of a request": ("flops", "llama-3.1-8b", "--input", "512", "--output", "64"),
    "regions": ("regions", "no"),
    "table check": ("table", "check", PYTORCH),
    "table list": ("table", "list"),
    "table show": ("table", "show", VLLM),
    "table over table": ("table", "show", PYTORCH, "--over", VLLM, "--quantity", "batch-size"),
    "paper": ("paper",),
    "table4": ("table4",),
    "tables": ("tables",),
    "trace list": ("trace", "list"),
    "trace summary": ("trace", "summary", "azure-2023-code"),
    "validate": ("validate",),
}  # fmt: skip
"""Every command that makes a report, but `doctor`, which tells of the machine."""
SLOW = {"estimate", "compare", "paper", "table4", "validate"}
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in COMMANDS]
NUMBER = re.compile(r"(?<![\w./-])[+-]?\d[\d,]*(?:\.\d+)?(?![\w./-])")
ReportOf = Callable[[str], Report]


@pytest.fixture(scope="session")
def report_of() -> ReportOf:
    """The report of a command in `COMMANDS`."""
    return cache(lambda name: made_by(*COMMANDS[name]))


def made_by(*words: str) -> Report:
    """The report that a command makes."""
    reports: list[Report] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options, "emit", lambda report, *_: reports.append(report))
        result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 0, result.output
    return reports[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_shape_of_output(
    name: str,
    report_of: ReportOf,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = {}
    for output_format in ("table", "json", "csv"):
        emit(report_of(name), output_format, None)
        emit(report_of(name), output_format, tmp_path / output_format)
        texts[output_format] = capsys.readouterr().out
        assert (tmp_path / output_format).read_text() == texts[output_format]
    assert max(map(len, texts["table"].splitlines())) <= 100
    assert isinstance(json.loads(texts["json"]), dict)
    header, *rows = csv.reader(texts["csv"].splitlines())
    assert rows
    assert all(len(row) == len(header) for row in rows)
    assert "published" not in header


@pytest.mark.parametrize("output_format", ["table", "json", "csv"])
@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("trace", "summary", "azure-2023-code"), "--output"),
        (("flops", "llama-3.1-8b"), "--output-file"),
    ],
)
def test_a_file_gets_what_standard_output_would(
    words: tuple[str, ...], option: str, output_format: str, run_cli: RunCli, tmp_path: Path
) -> None:
    printed = run_cli(*words, "--format", output_format)
    written = run_cli(*words, "--format", output_format, option, tmp_path / "out")
    assert (printed.exit_code, written.exit_code, written.stdout) == (0, 0, "")
    assert (tmp_path / "out").read_text() == printed.stdout


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a report looks like on a terminal."""

    def show(report: Report, width: int, encoding: str = "utf-8", shape: str = "table") -> str:
        keyboard, screen = pty.openpty()
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        chunks: list[bytes] = []
        reader = threading.Thread(target=_read, args=(keyboard, chunks))
        reader.start()
        with os.fdopen(screen, "w", encoding=encoding) as stdout, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stdout)
            emit(report, shape, None)
        reader.join()
        os.close(keyboard)
        return b"".join(chunks).decode(encoding).replace("\r\n", "\n")

    for name in ("COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "dumb")  # without colours
    return show


def _read(keyboard: int, chunks: list[bytes]) -> None:
    try:
        while chunk := os.read(keyboard, 65536):
            chunks.append(chunk)
    except OSError:  # the other end was closed
        pass


@pytest.mark.parametrize("width", [100, 80, 60, 40])
@pytest.mark.parametrize("name", NAMES)
def test_no_line_is_too_long_and_no_number_is_cut(
    name: str, width: int, report_of: ReportOf, show: Callable[..., str]
) -> None:
    text = show(report_of(name), width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "…" not in text
    missing = Counter(NUMBER.findall(show(report_of(name), 100))) - Counter(NUMBER.findall(text))
    assert not missing


@pytest.mark.parametrize("width", [100, 40])
@pytest.mark.parametrize("name", NAMES)
def test_a_terminal_of_ascii_gets_ascii(
    name: str, width: int, report_of: ReportOf, show: Callable[..., str]
) -> None:
    text, full = (show(report_of(name), width, encoding) for encoding in ("ascii", "utf-8"))
    assert re.search(r"\\[ux]", text) is None
    assert len(text.splitlines()) == len(full.splitlines())
    rules = [line for line in full.splitlines() if "──" in line]
    assert {rule.replace("─", "-") for rule in rules} <= set(text.splitlines())


@pytest.mark.slow
def test_bars_and_intervals_have_letters_of_ascii(
    report_of: ReportOf, show: Callable[..., str]
) -> None:
    assert re.search(r"\(\+- \d\.\d %\)", show(report_of("estimate"), 100, "ascii"))
    bars = re.findall(r"[█▓░]+", show(report_of("compare"), 100))
    drawn = re.findall(r" ([#=-]*#[#=-]*) ", show(report_of("compare"), 100, "ascii"))
    assert len(bars) == 2
    assert drawn == [bar.translate(str.maketrans("█▓░", "#=-")) for bar in bars]


def test_an_encoding_is_asked_letter_by_letter() -> None:
    assert encodable("± ─ █ é 漢", "utf-8") == "± ─ █ é 漢"
    assert encodable("± ─ █ é 漢", "latin-1") == "± - # é \\u6f22"
    assert encodable("± ─ █ é 漢", "cp437") == "± ─ █ é \\u6f22"
    assert encodable("± ─ █ é 漢", "ascii") == "+- - # \\xe9 \\u6f22"


def test_a_pipe_of_ascii_gets_ascii() -> None:
    words = [sys.executable, "-m", "joulecast", *COMMANDS["table show"]]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, capture_output=True, env=env, check=True)
    assert b"------" in done.stdout
    assert b"\\" not in done.stdout
    done.stdout.decode("ascii")


def test_json_is_json_in_every_encoding(show: Callable[..., str]) -> None:
    report = Report({"name": "é漢\x1b\x9b\x7f"}, [{"name": "é"}], "")
    assert show(report, 40, "ascii", "json") == (
        '{\n  "name": "\\u00e9\\u6f22\\u001b\\u009b\\u007f"\n}\n'
    )
    assert show(report, 40, "utf-8", "json") == '{\n  "name": "é漢\\u001b\\u009b\\u007f"\n}\n'


def test_a_terminal_without_a_width_gets_the_usual_one(
    report_of: ReportOf, show: Callable[..., str]
) -> None:
    assert show(report_of("table show"), 0) == show(report_of("table show"), 100)


def test_columns_of_the_environment_are_believed(
    report_of: ReportOf, show: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = show(report_of("table show"), 60)
    monkeypatch.setenv("COLUMNS", "60")
    assert show(report_of("table show"), 100) == narrow


def test_a_value_goes_on_below_its_name_where_there_is_no_room(show: Callable[..., str]) -> None:
    facts = facts_table([("cost of electricity", "0.03831 EUR (at 0.18 EUR per kWh)")])
    report = Report({}, [], facts)
    assert show(report, 60).split("\n")[0].rstrip() == (
        "cost of electricity  0.03831 EUR (at 0.18 EUR per kWh)"
    )
    assert [line.rstrip() for line in show(report, 40).splitlines()] == [
        "cost of electricity: 0.03831 EUR (at",
        "  0.18 EUR per kWh)",
    ]


def test_a_list_has_the_names_of_groups(report_of: ReportOf, show: Callable[..., str]) -> None:
    names = re.findall(r"^  (\w+ \w+)  ", show(report_of("tables"), 60), re.MULTILINE)
    assert {"ours mean", "ours sd", "paper sd", "paper output"} <= set(names)


@pytest.mark.slow
def test_long_names_give_way_to_numbers(show: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    workload_of(PAPER_GRID, [(100, 20), (200, 30)]).save(path)
    rows = ("burstgpt", "azure-2024-code", "azure-2024-conv", "a_very_long_name_of_my_own" * 2)
    report = made_by("table4", *(word for row in rows for word in ("--trace", f"{row}={path}")))
    full = show(report, 100)
    assert len(NUMBER.findall(full)) > 20
    for width in (80, 60, 40):
        text = show(report, width)
        assert max(map(cell_len, text.splitlines())) <= width
        assert not Counter(NUMBER.findall(full)) - Counter(NUMBER.findall(text))
