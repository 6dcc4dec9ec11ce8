"""A quick table of PyTorch, whose B(I, O) a search found, serves both methods."""

import json
import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from joulecast.estimator.binned import estimate_binned
from joulecast.estimator.steps.schedulers import scheduler_of
from joulecast.estimator.stepwise import StepModel
from joulecast.estimator.validate import validate
from joulecast.measurements.replay import SHIPPED, Replay
from joulecast.measurements.sweep.plans import quick_batches
from joulecast.measurements.table.table import EnergyTable, load_table, table_folder
from joulecast.traces.errors import InputError
from joulecast.traces.load import load_workload

PYTORCH = "h100-sxm/llama-3.1-8b/pytorch"


@pytest.fixture(scope="module")
def full() -> EnergyTable:
    return load_table(PYTORCH)


@pytest.fixture(scope="module")
def quick(full: EnergyTable) -> EnergyTable:
    """The shipped table, had it been measured with the quick plan."""
    batches = quick_batches(full)
    runs = tuple(run for run in full.runs if run.batch in batches and run.run == 1)
    return replace(full, name="quick", runs=runs)


def test_a_quick_table_knows_every_largest_batch(full: EnergyTable, quick: EnergyTable) -> None:
    assert len(quick.measured) == 5
    assert len(quick.runs) == 10
    assert quick.largest_batches == full.largest_batches
    assert {cell: energy.batch_size for cell, energy in quick.cells.items()} == {
        cell: energy.batch_size for cell, energy in full.measured.items()
    }
    assert scheduler_of(quick) == scheduler_of(full)


def test_its_other_cells_are_met_as_the_page_says(full: EnergyTable, quick: EnergyTable) -> None:
    """The figures of docs/interpolation.md."""
    errors = {
        cell: quick.cells[cell].request_energy_j / energy.request_energy_j - 1
        for cell, energy in full.measured.items()
        if cell not in quick.measured
    }
    assert statistics.median(map(abs, errors.values())) == pytest.approx(0.022, abs=0.0005)
    assert statistics.fmean(errors.values()) == pytest.approx(-0.023, abs=0.0005)
    assert max(errors.items(), key=lambda item: abs(item[1])) == (
        (256, 512),
        pytest.approx(-0.148, abs=0.0005),
    )
    coverage = {energy.coverage for cell, energy in quick.cells.items() if cell in errors}
    assert coverage == {"interpolated", "extrapolated"}
    for cell, energy in quick.measured.items():
        assert quick.cells[cell] == energy


@pytest.mark.parametrize(
    ("trace", "error"), [("azure-2023-code", -0.022), ("azure-2023-conv", -0.025)]
)
def test_binned_estimates_from_it(
    trace: str, error: float, full: EnergyTable, quick: EnergyTable
) -> None:
    workload = load_workload(trace)
    whole, few = (estimate_binned(workload, table, trace) for table in (full, quick))
    assert few.energy_j / whole.energy_j - 1 == pytest.approx(error, abs=0.0005)
    assert few.coverage["extrapolated"] > 0.2
    assert few.ideal_j == pytest.approx(whole.ideal_j)


@pytest.mark.slow
def test_both_methods_are_held_against_the_replays(quick: EnergyTable) -> None:
    errors: dict[str, list[float]] = {"binned": [], "stepwise": []}
    for path in sorted((SHIPPED / "pytorch").glob("*.json")):
        validation = validate(path.stem, Replay.load(path), [quick])
        assert validation.checked["stepwise"].is_within
        assert not validation.has_other_batches
        for method, checked in validation.checked.items():
            errors[method].append(checked.error_percent)
    assert errors["stepwise"] == pytest.approx([-1.4, -9.1, -0.2, -2.3], abs=0.1)
    assert errors["binned"] == pytest.approx([-5.7, -26.1, 7.6, -4.4], abs=0.1)


def test_without_a_search_few_cells_still_do_not_do(quick: EnergyTable) -> None:
    metadata = {**quick.metadata, "capacity": {"how": "not told"}}
    table = replace(quick, metadata=metadata)
    for use in (lambda: table.cells, lambda: scheduler_of(table), lambda: StepModel.of(table)):
        with pytest.raises(InputError, match="5 measured cells; interpolating needs 6"):
            use()


def test_cells_that_hold_no_request_are_filled_in(quick: EnergyTable) -> None:
    """As those that a model has no positions for; the search left them out, or found 0."""
    kept = [row for row in quick.metadata["capacity"]["found"] if row[1] != 512]
    kept.append([8192, 512, 0, 1])
    table = replace(quick, metadata={**quick.metadata, "capacity": {"how": "x", "found": kept}})
    assert table.largest_batches.keys() == quick.largest_batches.keys()
    for cell, size in quick.largest_batches.items():
        near = pytest.approx(size, rel=0.5) if cell[1] == 512 else size
        assert table.largest_batches[cell] == near
        assert table.cells[cell].batch_size == table.largest_batches[cell]


def test_runs_and_search_agree(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    shutil.copytree(table_folder(PYTORCH), folder)
    document = json.loads((folder / "table.json").read_text())
    for row in document["capacity"]["found"]:
        if row[:2] == [1024, 128]:
            row[2:] = [262, 263]
    (folder / "table.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"\(1024, 128\) has runs at capacity with batches of 261"):
        load_table(folder)
