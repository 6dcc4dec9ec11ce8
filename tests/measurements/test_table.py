import json
import math
import statistics
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joulecast.measurements.sweep.plans import spread_cells
from joulecast.measurements.table.checks import check_table
from joulecast.measurements.table.runs import COLUMNS
from joulecast.measurements.table.table import load_table, table_names
from joulecast.traces.errors import InputError
from tests.conftest import RunCli

QUICK = {
    "h100-sxm/llama-3.1-8b/vllm-quick": 12,
    "h100-sxm/llama-3.1-8b/vllm-quick-second": 8,
    "h100-sxm/llama-3.1-8b/vllm-tp2-quick": 10,
    "h200-sxm/llama-3.1-8b/vllm-quick": 9,
    "h200-sxm/qwen1.5-32b/vllm-quick": 7,
}
HAND_MADE = {"pytorch-by-hand": 26, "vllm-by-hand": 32}


@pytest.mark.parametrize("name", HAND_MADE)
def test_hand_made_tables_say_what_they_are(name: str) -> None:
    table = load_table(f"h100-sxm/llama-3.1-8b/{name}")
    assert len(table.measured) == HAND_MADE[name]
    assert len(table.cells) == 56
    assert table.metadata["measured_by"] == "hand"
    assert not table.is_complete
    assert {cell.coverage for cell in table.measured.values()} == {"measured"}
    notes = {check.name for check in check_table(table) if not check.passed}
    assert {"every cell of the grid is measured", "measured by joulecast"} <= notes


def test_every_shipped_table_loads() -> None:
    assert len(table_names()) == 30
    for name in table_names():
        table = load_table(name)
        if table.is_of_traffic:
            assert len(table.valid_windows) == 1
        elif name not in QUICK:
            assert len(table.cells) == 56


@pytest.mark.parametrize("name", QUICK)
def test_quick_tables_are_for_the_step_model_alone(name: str) -> None:
    table = load_table(name)
    assert len(table.runs) == QUICK[name]
    # The warmest run of two GPUs drifted by 16 degrees.
    assert sum(not run.valid for run in table.runs) == name.endswith("-tp2-quick")
    with pytest.raises(InputError, match="needs 6 at the least; measure more, or use --method"):
        _ = table.cells


def test_a_table_of_more_than_a_day_names_the_first_and_the_last() -> None:
    assert load_table("h200-sxm/llama-3.1-8b/vllm").measured_days == "2026-11-26 to 2026-11-27"
    for name in ("vllm", "vllm-by-hand", "vllm-traffic"):
        table = load_table(f"h100-sxm/llama-3.1-8b/{name}")
        assert table.measured_days == table.metadata["measured_on"]


def test_the_measured_vllm_table() -> None:
    """One H100, by `joulecast measure`; its log lies beside it."""
    table = load_table("h100-sxm/llama-3.1-8b/vllm")
    assert table.is_complete
    assert set(table.measured) == set(table.grid.cells())
    assert all(run.valid for run in table.runs)
    assert sum(len(runs) >= 3 for runs in table.capacity_runs.values()) >= 12
    small = [run for run in table.runs if not run.at_capacity]
    assert {run.batch_size for run in small} >= {1, 2, 4, 8, 16, 32, 64, 128, 256}
    assert all(run.seconds >= 5 for run in table.runs)
    assert all(run.tick_error_j < 0.02 * run.energy_j for run in table.runs)


def test_the_measured_pytorch_table() -> None:
    """One H100, by `joulecast measure`: every cell, small batches, and how B(I, O) was found."""
    table = load_table("h100-sxm/llama-3.1-8b/pytorch")
    assert table.is_complete
    assert set(table.measured) == set(table.grid.cells())
    assert (len(table.runs), sum(run.valid for run in table.runs)) == (94, 93)
    repeats = {cell: len(runs) for cell, runs in table.capacity_runs.items() if len(runs) > 1}
    assert set(repeats) < set(spread_cells(table.grid))
    assert sorted(repeats.values()) == [2] + 8 * [3]
    small = [run for run in table.runs if not run.at_capacity]
    assert len(small) == 20
    assert {run.batch_size for run in small} >= {1, 2, 4, 8, 16, 32, 64, 128, 192, 256}
    capacity = table.metadata["capacity"]
    tried = {(i, o): (largest, failed) for i, o, largest, failed in capacity["found"]}
    assert set(tried) == set(table.grid.cells())
    for (i, o), (largest, failed) in tried.items():
        assert table.measured[i, o].batch_size == largest
        assert failed == (None if largest == 1024 else largest + 1)
    assert capacity["gpu_seconds"] > 0
    assert capacity["tries"] == 92


def test_the_pytorch_table_against_the_hand_sweep_and_vllm() -> None:
    """Energy per request; the figures that docs/engines.md states and explains."""
    over_hand = differences("pytorch", "pytorch-by-hand")
    assert len(over_hand) == 26
    assert statistics.median(map(abs, over_hand.values())) == pytest.approx(0.0156, abs=1e-4)
    assert max(over_hand.values()) == pytest.approx(0.018, abs=1e-3)
    assert min(over_hand.values()) == pytest.approx(-0.109, abs=1e-3)
    over_vllm = [1 + by for by in differences("pytorch", "vllm").values()]
    assert min(over_vllm) == pytest.approx(1.21, abs=0.005)
    assert max(over_vllm) == pytest.approx(2.14, abs=0.005)
    assert statistics.median(over_vllm) == pytest.approx(1.42, abs=0.005)


def test_the_compiled_variant_takes_more() -> None:
    """The figures of docs/engines.md, which explains them."""
    compiled = load_table("h100-sxm/llama-3.1-8b/pytorch-compiled")
    assert compiled.metadata["engine_settings"]["compiled"] is True
    assert set(compiled.measured) == {*spread_cells(compiled.grid), (1024, 32)}
    more = differences("pytorch-compiled", "pytorch")
    assert len(more) == 13
    assert min(more.values()) == pytest.approx(0.06, abs=0.005)
    assert max(more.values()) == pytest.approx(1.50, abs=0.005)
    assert [run.reason for run in compiled.runs if not run.valid] == [
        "temperature drift: 53 to 69 deg C"
    ]


def test_equal_runs_of_pytorch_differ_where_it_decodes() -> None:
    """Relative sd; the figures of docs/engines.md."""
    runs = load_table("h100-sxm/llama-3.1-8b/pytorch").capacity_runs
    spread = {
        cell: statistics.stdev(joules) / statistics.mean(joules)
        for cell, group in runs.items()
        if len(joules := [run.batch_energy_j for run in group]) > 1
    }
    prompts = [sd for (_, o), sd in spread.items() if o == 8]
    decoding = [sd for (_, o), sd in spread.items() if o > 8]
    assert (min(prompts), max(prompts)) == pytest.approx((0.005, 0.015), abs=5e-4)
    assert (min(decoding), max(decoding)) == pytest.approx((0.024, 0.095), abs=5e-4)


def differences(name: str, base: str) -> dict[tuple[int, int], float]:
    """Of the energy per request in the cells that two shipped tables measured, over the base."""
    cells, others = (
        load_table(f"h100-sxm/llama-3.1-8b/{table}").measured for table in (name, base)
    )
    return {
        cell: cells[cell].request_energy_j / others[cell].request_energy_j - 1
        for cell in set(cells) & set(others)
    }


def test_the_measured_vllm_table_agrees_with_the_hand_sweep() -> None:
    """Energy per request; the figures that docs/measure.md states and explains."""
    over_hand = differences("vllm", "vllm-by-hand")
    assert len(over_hand) == 32
    assert statistics.median(map(abs, over_hand.values())) == pytest.approx(0.0043, abs=1e-4)
    assert {cell for cell, by in over_hand.items() if abs(by) > 0.06} == {(256, 128)}


def test_two_cards_agree_where_the_gpu_sets_the_pace() -> None:
    """The figures that docs/measure.md states: batches as long on both, and all others."""

    def means(name: str) -> dict[tuple[int, int, int], tuple[float, float]]:
        runs = [run for run in load_table(f"h100-sxm/llama-3.1-8b/{name}").runs if run.valid]
        groups = {run.key[:3]: [r for r in runs if r.key[:3] == run.key[:3]] for run in runs}
        return {
            key: (
                statistics.mean(run.batch_energy_j for run in group),
                statistics.mean(run.seconds / run.batches for run in group),
            )
            for key, group in groups.items()
        }

    second, first = means("vllm"), means("vllm-first-card")
    both = set(first) & set(second)
    ratios = {
        key: (second[key][0] / first[key][0] - 1, second[key][1] / first[key][1] - 1)
        for key in both
    }
    as_fast = [energy for energy, seconds in ratios.values() if abs(seconds) < 0.02]
    slower = {key: energy for key, (energy, seconds) in ratios.items() if abs(seconds) >= 0.02}
    assert (len(as_fast), len(slower)) == (55, 20)
    assert statistics.mean(as_fast) == pytest.approx(0.0068, abs=1e-4)
    assert statistics.stdev(as_fast) == pytest.approx(0.0059, abs=1e-4)
    assert max(map(abs, as_fast)) < 0.02
    assert max(slower.values()) == pytest.approx(0.120, abs=1e-3)
    assert min(slower.values()) == pytest.approx(-0.079, abs=1e-3)


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
        ("dtype", "int3", "no peak is known"),
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
