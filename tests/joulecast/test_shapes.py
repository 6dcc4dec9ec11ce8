"""Every result as a table, as JSON and as CSV, on standard output and in a file."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from joulecast.views.report import Report, emit
from tests.conftest import RunCli
from tests.joulecast.conftest import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_shape_of_output(
    name: str,
    report_of: Callable[[str], Report],
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
