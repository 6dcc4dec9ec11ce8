"""jc.estimate and jc.compare: what the commands do, from Python."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import joulecast as jc
from joulecast.estimator.method import METHODS
from tests.conftest import RunCli, workload_of

VLLM, PYTORCH = (f"h100-sxm/llama-3.1-8b/{engine}" for engine in ("vllm", "pytorch"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    rows = "".join(f"{1 + 37 * k % 9001},{1 + 29 * k % 600}\n" for k in range(400))
    path.write_text("in,out\n" + rows)
    return path


COLUMNS = ("--input-column", "in", "--output-column", "out")


@pytest.mark.parametrize("method", METHODS)
def test_estimate_is_what_the_command_prints(method: str, log: Path, run_cli: RunCli) -> None:
    words = ("estimate", log, "--table", VLLM, "--method", method, "--carbon", "FR", *COLUMNS)
    printed = json.loads(run_cli(*words, "--format", "json").stdout)
    estimate = jc.estimate(log, VLLM, method, carbon="FR", input_column="in", output_column="out")
    assert estimate.to_dict() == printed


def test_compare_is_what_the_command_prints(log: Path, run_cli: RunCli) -> None:
    tables = ("--table", PYTORCH, "--table", VLLM)
    words = ("compare", log, *tables, *COLUMNS)
    printed = json.loads(run_cli(*words, "--format", "json").stdout)
    comparison = jc.compare(
        log, [PYTORCH, jc.load_table(VLLM)], input_column="in", output_column="out"
    )
    assert comparison.to_dict() == printed


@pytest.mark.slow
def test_the_default_is_the_step_model(log: Path, run_cli: RunCli) -> None:
    columns = {"input_column": "in", "output_column": "out"}
    assert jc.estimate(log, VLLM, **columns) == jc.estimate(log, VLLM, "stepwise", **columns)
    assert jc.compare(log, [VLLM], **columns).method == "stepwise"
    for command in ("estimate", "compare"):
        result = run_cli(command, log, "--table", VLLM, *COLUMNS, "--format", "json")
        assert json.loads(result.stdout)["method"] == "stepwise"


@pytest.mark.parametrize("command", ["estimate", "compare"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"engine_settings": {}}, "its engine_settings lack what a step model needs"),
        ({"engine": "sglang"}, "how sglang schedules requests is not known"),
    ],
)
def test_where_there_is_no_step_model_the_other_method_is_named(
    command: str, changes: dict, said: str, table_folder: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    """In one line, and before the trace is read."""
    metadata = json.loads((table_folder / "table.json").read_text())
    (table_folder / "table.json").write_text(json.dumps(metadata | changes))
    trace = tmp_path / "t.csv"
    trace.write_text("input_tokens,output_tokens\nnone,1\n")
    result = run_cli(command, trace, "--table", table_folder)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
    assert "--method binned" in result.stderr
    trace.write_text("input_tokens,output_tokens\n100,20\n")
    assert run_cli(command, trace, "--table", table_folder, "--method", "binned").exit_code == 0


def test_a_workload_stands_for_its_trace() -> None:
    workload = jc.load_workload("azure-2023-code")
    by_name, by_sums = (
        jc.estimate(trace, VLLM, "binned") for trace in ("azure-2023-code", workload)
    )
    assert by_sums.energy_j == by_name.energy_j
    assert by_sums.trace == workload.sources[0]["name"]
    with pytest.raises(jc.InputError, match="has no columns"):
        jc.estimate(workload, VLLM, input_column="in")


def test_cells_add_up_to_the_whole() -> None:
    for method in METHODS:
        estimate = jc.estimate("azure-2023-conv", VLLM, method)
        cells = estimate.cells
        assert sum(cell.energy_j or 0 for cell in cells) == pytest.approx(estimate.energy_j)
        counted = estimate.requests["estimated"] + estimate.requests["beyond_grid"]
        assert sum(cell.requests for cell in cells) == counted
        for kind, share in estimate.coverage.items():
            of_kind = sum(cell.energy_j or 0 for cell in cells if cell.coverage == kind)
            assert of_kind / estimate.energy_j == pytest.approx(share, abs=1e-12)


def test_left_out_cells_have_no_energy() -> None:
    workload = workload_of(jc.PAPER_GRID, [(100, 20), (9000, 20), (9000, 9000)])
    first, second, third = jc.estimate(workload, VLLM, "binned").cells
    assert (first.input_tokens, first.output_tokens) == (128, 32)
    assert first.energy_j is not None
    assert (second.input_tokens, second.output_tokens, second.energy_j) == (None, 32, None)
    assert (third.input_tokens, third.output_tokens, third.coverage) == (None, None, None)


def test_tokens_are_true_ones() -> None:
    for method in METHODS:
        estimate = jc.estimate(workload_of(jc.PAPER_GRID, [(100, 20), (50, 30)]), VLLM, method)
        assert estimate.joules_per_1000_tokens == pytest.approx(1000 * estimate.energy_j / 200)
        assert estimate.joules_per_output_token == pytest.approx(estimate.energy_j / 50)


@pytest.mark.slow
def test_savings_have_intervals_and_tables_a_rank() -> None:
    comparison = jc.compare("azure-2023-conv", [PYTORCH, VLLM, f"{VLLM}-first-card"])
    energies = [compared.estimate.energy_j for compared in comparison.ranked]
    assert energies == sorted(energies)
    first, second, _ = comparison.tables
    assert first.saving_percent == 0
    assert first.saving_interval_percent is None
    low, high = second.saving_interval_percent or (0, 0)
    assert low < second.saving_percent < high
    # How far the two reach adds as independent errors do, as logarithms: no saving exceeds 100 %.
    ours, theirs = (np.log(np.array(e.interval_j) / e.energy_j) for e in (
        second.estimate, first.estimate
    ))  # fmt: skip
    ratio = second.estimate.energy_j / first.estimate.energy_j
    most, least = np.hypot(ours[1], theirs[0]), np.hypot(ours[0], theirs[1])
    assert 1 - low / 100 == pytest.approx(ratio * np.exp(most))
    assert 1 - high / 100 == pytest.approx(ratio * np.exp(-least))
    binned = jc.compare("azure-2023-conv", [PYTORCH, VLLM], "binned")
    assert binned.tables[1].saving_interval_percent is None


def test_results_are_frozen_and_plain() -> None:
    estimate = jc.estimate("azure-2023-code", VLLM, pue=1.1, price="0.2 EUR")
    comparison = jc.compare("azure-2023-code", [VLLM, PYTORCH], "binned")
    for result in (estimate, estimate.cells[0], comparison, comparison.tables[0]):
        assert dataclasses.is_dataclass(result)
        with pytest.raises(dataclasses.FrozenInstanceError):
            result.trace = "other"  # type: ignore[union-attr, misc]
        json.dumps(result.to_dict(), allow_nan=False)


def test_results_show_themselves_in_a_notebook() -> None:
    trace = jc.load_workload("azure-2023-code")
    named = dataclasses.replace(trace, sources=({"name": "<b>code</b>"},))
    html = jc.estimate(named, VLLM)._repr_html_()
    assert "&lt;b&gt;code&lt;/b&gt;" in html
    assert "95 % interval" in html
    html = jc.compare("azure-2023-code", [PYTORCH, VLLM])._repr_html_()
    assert html.index(VLLM) < html.index(PYTORCH)  # the least first
    for result in (trace, jc.load_table(VLLM)):
        assert "<table>" in result._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ({"method": "guess"}, "none of: binned, stepwise"),
        ({"method": "binned", "host": VLLM}, "for the method stepwise"),
        ({"whole_batches": True}, "for the method binned"),
        ({"carbon": "Atlantis"}, "unknown region"),
        ({"table": "no-such"}, "unknown table"),
        ({"trace": "no-such"}, "unknown trace"),
    ],
)
def test_what_cannot_be_used_is_said(arguments: dict, fragment: str) -> None:
    with pytest.raises(jc.InputError, match=fragment):
        jc.estimate(**{"trace": "azure-2023-code", "table": VLLM, **arguments})


@pytest.mark.parametrize("tables", [[], VLLM])
def test_compare_takes_a_list(tables: list[str] | str) -> None:
    with pytest.raises(jc.InputError, match="a list of one or more tables"):
        jc.compare("azure-2023-code", tables)


def test_bars_of_a_comparison_have_the_lengths_of_the_energies(run_cli: RunCli) -> None:
    tables = ("--table", PYTORCH, "--table", VLLM)
    words = ("compare", "azure-2023-code", *tables, "--method", "binned")
    lines = run_cli(*words).stdout.splitlines()
    bars = [line.count("█") for line in lines if "█" in line]
    comparison = jc.compare("azure-2023-code", [PYTORCH, VLLM], "binned")
    energies = [compared.estimate.energy_j for compared in comparison.ranked]
    assert bars == [round(40 * energy / max(energies)) for energy in energies]
    intervals = run_cli("compare", "azure-2023-code", *tables).stdout
    assert "░" in intervals
    assert "95 % intervals, which the bars show" in intervals
    alone = run_cli("compare", "azure-2023-code", "--table", VLLM, "--method", "binned").stdout
    assert "█" not in alone
