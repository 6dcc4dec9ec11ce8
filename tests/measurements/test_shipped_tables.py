"""The tables that ship: what was measured, and what it says."""

import statistics
from pathlib import Path

import pytest

from joulecast.estimator.steps.check import step_checks
from joulecast.measurements.sweep.plans import spread_cells
from joulecast.measurements.table.checks import check_table
from joulecast.measurements.table.table import load_table, table_names
from joulecast.traces.errors import InputError
from tests.conftest import RunCli

QUICK = {
    "h100-sxm/llama-3.1-8b/vllm-quick": 12,
    "h100-sxm/llama-3.1-8b/vllm-quick-second": 8,
    "h100-sxm/llama-3.1-8b/vllm-tp2-quick": 10,
    "h100-sxm/gemma-2-9b/vllm-quick": 10,
    "h100-sxm/qwen2.5-7b/vllm-quick": 8,
    "h200-sxm/llama-3.1-8b/vllm-quick": 9,
    "h200-sxm/qwen1.5-32b/vllm-quick": 7,
    "h200-sxm/qwen2.5-14b/vllm-quick": 12,
    "h200-sxm/qwen1.5-32b/vllm-tp4-quick": 11,
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
    assert len(table_names()) == 46
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
    # The warmest run of two GPUs drifted by 16 degrees, one of four by 19.
    drifted = sum("kernels" not in (run.reason or "kernels") for run in table.runs)
    assert drifted == name.endswith(("-tp2-quick", "-tp4-quick"))
    with pytest.raises(InputError, match="needs 6 at the least; measure more, or use --method"):
        _ = table.cells


def test_runs_in_which_kernels_were_compiled_do_not_count() -> None:
    """Three of thirteen, which were run again."""
    table = load_table("h200-sxm/qwen3-30b-a3b/vllm-quick")
    assert len(table.runs) == 13
    invalid = [run for run in table.runs if not run.valid]
    assert [run.reason for run in invalid] == ["kernels: compiled fused_moe_kernel"] * 3
    assert {run.batch for run in invalid} < {run.batch for run in table.runs if run.valid}


def test_a_table_of_more_than_a_day_names_the_first_and_the_last() -> None:
    assert load_table("h200-sxm/llama-3.1-8b/vllm").measured_days == "2026-11-26 to 2026-11-27"
    for name in ("vllm", "vllm-by-hand", "vllm-traffic"):
        table = load_table(f"h100-sxm/llama-3.1-8b/{name}")
        assert table.measured_days == table.metadata["measured_on"]


LOST = (
    Path(__file__).parents[2]
    / "measurements/campaign-2026-11-26/h100-sxm/qwen1.5-32b-tp2-second/vllm-tp2-quick"
)
"""A quick table whose only batch of long prompts failed its gate twice."""


def test_a_table_that_lost_its_long_prompts_says_so(run_cli: RunCli) -> None:
    table = load_table(LOST)
    (invalid,) = (check for check in check_table(table) if check.name == "no invalid runs")
    assert invalid.found.endswith("; no valid one of batches of 4 at (8192, 16)")
    left_out, price_sd = step_checks(table)
    assert left_out.passed  # those that are there agree with each other
    assert not price_sd.passed
    assert "(8192, 8)" in price_sd.found
    code = run_cli("estimate", "azure-2023-code", "--table", LOST, "--method", "stepwise")
    assert "The table has no runs like these requests" in " ".join(code.stdout.split())
    whole = ("--table", "h100-sxm/qwen1.5-32b/vllm-quick", "--method", "stepwise")
    assert "no runs like" not in run_cli("estimate", "azure-2023-code", *whole).stdout


@pytest.mark.parametrize("name", table_names())
def test_shipped_tables_tell_what_requests_of_all_lengths_take(name: str) -> None:
    """But for those without small batches, and one of a mixture, whose law is another."""
    checks = step_checks(load_table(name))
    price_sds = [check for check in checks if "is known within" in check.name]
    assert len(price_sds) == 1
    gap = ("pytorch-compiled", "by-hand")
    assert price_sds[0].passed == (not name.endswith(gap)), price_sds[0].found


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
