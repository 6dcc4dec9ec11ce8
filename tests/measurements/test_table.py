import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joulecast.measurements.table.runs import COLUMNS
from joulecast.measurements.table.table import load_table
from joulecast.traces.errors import InputError
from tests.conftest import RunCli


def test_values_are_those_of_the_hand_sweep() -> None:
    vllm = load_table("h100-sxm/llama-3.1-8b/vllm-by-hand")
    assert vllm.measured[32, 8].batch_energy_j == pytest.approx(715.38)  # two batches in its window
    assert vllm.measured[8192, 512].batch_energy_j == 16392.87
    assert vllm.measured[8192, 512].batch_size == 51
    assert vllm.batch_energy_sd_j((32, 8)) is None
    pytorch = load_table("h100-sxm/llama-3.1-8b/pytorch-by-hand")
    assert pytorch.measured[2048, 32].request_energy_j == 5878.93 / 115


def edit_runs(folder: Path, line: int, **values: str) -> None:
    path = folder / "runs.csv"
    lines = path.read_text().splitlines()
    fields = lines[line - 1].split(",")
    for column, value in values.items():
        fields[COLUMNS.index(column)] = value
    lines[line - 1] = ",".join(fields)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("column", "value", "fragment"),
    [
        ("energy_j", "0", "not above 0"),
        ("energy_j", "-5", "not above 0"),
        ("energy_j", "nan", "not a finite number"),
        ("energy_j", "inf", "not a finite number"),
        ("energy_j", "", "not a number"),
        ("seconds", "0", "not above 0"),
        ("batch_size", "0", "whole number of 1 or more"),
        ("batch_size", "1.5", "whole number of 1 or more"),
        ("batch_size", "1025", "over the cap of 1024"),
        ("batches", "0", "whole number of 1 or more"),
        ("input_tokens", "-32", "whole number of 1 or more"),
        ("at_capacity", "yes", "neither true nor false"),
        ("mean_power_w", "70", "energy_j / seconds"),
        ("tick_error_j", "-1", "below 0"),
        ("valid", "false", "gives no reason"),
        ("energy_j", "1e-300", "beyond belief"),
        ("seconds", "1e300", "beyond belief"),
        ("batches", "1" + "0" * 400, "whole number of 1 or more"),
    ],
)
def test_impossible_values(
    column: str, value: str, fragment: str, table_folder: Path, run_cli: RunCli
) -> None:
    edit_runs(table_folder, 7, **{column: value})
    result = run_cli("table", "check", table_folder)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "runs.csv:7: " in result.stderr
    assert fragment in result.stderr


def lose_a_cell(lines: list[str]) -> None:
    del lines[8]


def double_a_cell(lines: list[str]) -> None:
    lines.append(lines[8])


def second_batch_size(lines: list[str]) -> None:
    fields = lines[8].split(",")
    fields[COLUMNS.index("batch_size")] = "7"
    fields[COLUMNS.index("run")] = "2"
    lines.append(",".join(fields))


def off_the_grid(lines: list[str]) -> None:
    lines[8] = lines[8].replace("8192,8,", "8191,8,")


def cut_off(lines: list[str]) -> None:
    lines[-1] = lines[-1][: len(lines[-1]) // 2]


def too_much_power(lines: list[str]) -> None:
    fields = lines[8].split(",")
    fields[COLUMNS.index("energy_j")] = "99999"
    fields[COLUMNS.index("mean_power_w")] = ""
    lines[8] = ",".join(fields)


def less_than_idle(lines: list[str]) -> None:
    fields = lines[8].split(",")
    fields[COLUMNS.index("energy_j")] = "100"
    fields[COLUMNS.index("mean_power_w")] = ""
    lines[8] = ",".join(fields)


def larger_than_largest(lines: list[str]) -> None:
    fields = lines[8].split(",")
    fields[COLUMNS.index("batch_size")] = "99"
    fields[COLUMNS.index("at_capacity")] = "false"
    lines.append(",".join(fields))


def no_runs(lines: list[str]) -> None:
    del lines[1:]


def wrong_header(lines: list[str]) -> None:
    lines[0] = lines[0].replace("energy_j", "joules")


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        (lose_a_cell, "31 cells at capacity, table.json says 32"),
        (double_a_cell, "repeats run 1 of (8192, 8)"),
        (second_batch_size, "largest batches [7, 55]"),
        (off_the_grid, "not on the table's grid"),
        (cut_off, "was it cut off?"),
        (too_much_power, "over 1.1 x the power limit"),
        (less_than_idle, "no more than the idle power"),
        (larger_than_largest, "more than its largest batch"),
        (no_runs, "has no runs"),
        (wrong_header, "its columns must be"),
    ],
)
def test_impossible_tables(change, fragment: str, table_folder: Path, run_cli: RunCli) -> None:
    path = table_folder / "runs.csv"
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n")
    result = run_cli("estimate", "azure-2023-code", "--table", table_folder)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert fragment in result.stderr
    assert str(path) in result.stderr


@pytest.mark.parametrize(
    ("key", "value", "fragment"),
    [
        ("gpu", "h900", 'unknown GPU "h900"'),
        ("gpu", 5, '"gpu" is 5, not a text'),
        ("dtype", "int3", '"dtype" is "int3", not a number format'),
        ("grid", {}, "a grid needs"),
        ("joulecast_table", 2, '"joulecast_table" is 2, not version 1'),
        ("power_limit_w", 0, "above 0"),
        ("power_limit_w", 10**400, "above 0"),
        ("idle_power_w", -5, "above 0"),
        ("idle_power_w", float("nan"), "not whole JSON"),
        ("model", "llama-9", 'did you mean "llama-3'),
        ("grid", {"input_edges": [10**400], "output_edges": [8]}, "none over 2^31"),
        ("engine_settings", {"x": float("inf")}, "not whole JSON"),
        ("power_limit_w", True, '"power_limit_w" is true, not a power'),
        ("complete", True, "32 of 56 cells"),
        ("measured_on", None, "lacks"),
    ],
)
def test_metadata(key: str, value: object, fragment: str, table_folder: Path) -> None:
    path = table_folder / "table.json"
    document = json.loads(path.read_text())
    document[key] = value
    if value is None:
        del document[key]
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="table") as caught:
        load_table(str(table_folder))
    assert fragment in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", "[" * 100_000])
def test_metadata_that_is_none(text: str, table_folder: Path) -> None:
    (table_folder / "table.json").write_text(text)
    with pytest.raises(InputError, match=r"table\.json"):
        load_table(str(table_folder))


def test_a_folder_that_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is this a table"):
        load_table(str(tmp_path))


def test_an_invalid_run_is_kept_but_does_not_count(table_folder: Path) -> None:
    truth = load_table(str(table_folder)).measured[32, 8]
    with (table_folder / "runs.csv").open("a") as file:
        file.write("32,8,1024,true,2,9999,14,,,,,2,,,false,foreign process\n")
    table = load_table(str(table_folder))
    assert table.measured[32, 8] == truth
    assert len(table.runs) == 33


def test_cells_are_means_over_their_runs(table_folder: Path) -> None:
    with (table_folder / "runs.csv").open("a") as file:
        file.write("32,8,1024,true,1,735.38,1.1,,,,,2,,,true,\n")
    table = load_table(str(table_folder))
    assert table.measured[32, 8].batch_energy_j == pytest.approx(725.38)
    assert table.batch_energy_sd_j((32, 8)) == pytest.approx(20 / math.sqrt(2))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(line=st.integers(0, 33), position=st.integers(0, 200), text=st.text(max_size=4))
def test_any_damage_is_one_line_or_a_table(table_folder, line, position, text) -> None:
    path = table_folder / "runs.csv"
    original = path.read_text()
    lines = original.splitlines()
    if line < len(lines):
        lines[line] = lines[line][:position] + text + lines[line][position + len(text) :]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        table = load_table(str(table_folder))
        message = ""
    except InputError as error:
        message = str(error)
    else:
        assert all(cell.request_energy_j > 0 for cell in table.cells.values())
    finally:
        path.write_text(original)
    assert "\n" not in message
