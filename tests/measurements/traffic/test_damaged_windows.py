"""Logs of a traffic window that read well, and are not what was measured."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from joulecast.measurements.replay import SHIPPED
from joulecast.measurements.table.checks import check_table
from joulecast.measurements.table.table import load_table, table_folder
from joulecast.traces.errors import InputError
from tests.conftest import RunCli

TABLE = "h100-sxm/llama-3.1-8b/vllm-traffic"
Rows = list[list[str]]


def set_all(rows: Rows, column: int, value: str) -> Rows:
    return [[*row[:column], value, *row[column + 1 :]] for row in rows]


def damaged(tmp_path: Path, kind: str, change: Callable[[list[str], Rows], Rows]) -> Path:
    """A copy of a shipped table, with the rows of a log changed."""
    folder = tmp_path / "t"
    shutil.copytree(table_folder(TABLE), folder)
    path = folder / f"traffic-1.{kind}.csv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    start = next(k for k, line in enumerate(lines) if not line.startswith("#"))
    rows = change(lines[start].split(","), [line.split(",") for line in lines[start + 1 :]])
    text = "\n".join([*lines[: start + 1], *map(",".join, rows)]) + "\n"
    path.write_bytes(gzip.compress(text.encode()))
    return folder


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("steps", lambda names, rows: rows[: len(rows) * 2 // 3], "; the engine counted 4,643"),
        ("steps", lambda names, rows: rows[:2000] + rows[2050:], "; the engine counted 4,643"),
        ("steps", lambda names, rows: set_all(rows, names.index("output_at"), ""), "the output_at"),
        ("steps", lambda names, rows: set_all(rows, names.index("context"), "0"), "the context of"),
        ("steps", lambda names, rows: set_all(rows, names.index("pairs"), "1e18"), "the pairs of"),
        (
            "steps",
            lambda names, rows: set_all(rows, names.index("pairs"), "0"),
            "prompt pairs, and",
        ),
        (
            "requests",
            lambda names, rows: set_all(rows[:1], names.index("input_tokens"), "3000") + rows[1:],
            "tokens, and the steps of",
        ),
        (
            "requests",
            lambda names, rows: set_all(rows, names.index("cut"), "1"),
            "1,153 requests were cut off, and traffic-1.steps.csv.gz tells of 0",
        ),
        ("requests", lambda names, rows: rows[:100], "has 100 requests of the 1,153"),
        (
            "requests",
            lambda names, rows: set_all(rows, names.index("produced"), "0"),
            "1,153 requests got other outputs than they asked for",
        ),
        ("ticks", lambda names, rows: rows[: len(rows) * 2 // 3], "no tick came"),
    ],
)
def test_logs_that_are_not_whole_are_refused(
    tmp_path: Path, kind: str, change: Callable[[list[str], Rows], Rows], told: str
) -> None:
    folder = damaged(tmp_path, kind, change)
    with pytest.raises(InputError, match=told):
        load_table(folder)


def test_validate_takes_a_table_of_traffic(run_cli: RunCli) -> None:
    result = run_cli("validate", SHIPPED / "h100-sxm" / "llama-3.1-8b", "--table", TABLE)
    assert result.exit_code == 0, result.output
    assert "2 of 2" in result.stdout


@pytest.mark.parametrize("kept", [20, 0])
def test_readings_that_are_missing_are_noted(kept: int, tmp_path: Path) -> None:
    folder = damaged(tmp_path, "states", lambda names, rows: rows[:kept])
    (states,) = (c for c in check_table(load_table(folder)) if c.name.startswith("temperature"))
    assert not states.passed
    assert states.found.startswith(f"{kept} readings in 75 s")
    assert all(c.passed for c in check_table(load_table(TABLE)) if c.name.startswith("temperature"))


def test_a_table_of_traffic_does_not_tell_its_hosts_pace(run_cli: RunCli, tmp_path: Path) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text("input_tokens,output_tokens\n5,5\n")
    vllm = TABLE.removesuffix("-traffic")
    result = run_cli("estimate", trace, "--table", vllm, "--method", "stepwise", "--host", TABLE)
    assert result.exit_code == 1
    assert result.stderr.endswith(
        f"{TABLE}: has no run that tells how long its host takes to launch a step; measure --plan "
        "quick there\n"
    )
