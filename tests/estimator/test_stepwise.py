"""The step model's estimate of a whole trace."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from joulecast import measurements
from joulecast.estimator.flops import load_flops
from joulecast.estimator.steps import serving, static_batching
from joulecast.estimator.steps.schedulers import scheduler_of
from joulecast.estimator.stepwise import StepModel, estimate_stepwise
from joulecast.measurements.table.table import load_table
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID, POWER_OF_TWO_GRID
from joulecast.traces.load import load_with_lengths
from joulecast.traces.public.catalog import load_embedded
from joulecast.traces.sampling import sample_lengths
from joulecast.traces.workload import Failed, Workload
from tests.conftest import RunCli, workload_of

VLLM = "h100-sxm/llama-3.1-8b/vllm"
PYTORCH = "h100-sxm/llama-3.1-8b/pytorch"


@cache
def model_of(name: str) -> StepModel:
    """What `estimate_stepwise` fits to a shipped table, once."""
    return StepModel.of(load_table(name))


@pytest.mark.parametrize(("table", "within"), [(VLLM, 0.04), (PYTORCH, 0.12)])
def test_a_batch_that_was_metered_costs_what_was_metered(table: str, within: float) -> None:
    """Full batches of one cell, which the table's runs are, within what the fit misses there."""
    loaded = load_table(table)
    for cell in ((512, 64), (1024, 128), (4096, 32)):
        metered = loaded.measured[cell]
        lengths = np.array([cell] * int(metered.batch_size))
        workload = workload_of(PAPER_GRID, [cell] * int(metered.batch_size))
        estimate = model_of(table).estimate(workload, "batch", lengths)
        assert estimate.interval_j is not None
        assert estimate.energy_j == pytest.approx(metered.batch_energy_j, rel=within)
        assert estimate.interval_j[0] < metered.batch_energy_j < estimate.interval_j[1]


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize(("table", "within"), [(VLLM, 0.003), (PYTORCH, 0.03)])
def test_drawn_lengths_stand_for_the_real_ones(
    table: str, within: float, azure_folder: Path
) -> None:
    """Static batches last as long as their longest, which the sums of a cell tell less well."""
    for name in ("code", "conv"):
        trace = azure_folder / f"azure-2023-{name}.csv"
        workload, lengths = load_with_lengths(trace, 50_000)
        assert lengths is not None
        assert len(lengths) == workload.total.requests
        real = model_of(table).estimate(workload, name, lengths)
        drawn = model_of(table).estimate(workload, name)
        assert drawn.energy_j == pytest.approx(real.energy_j, rel=within)
        assert drawn.ideal_j["dense"] == real.ideal_j["dense"]


@pytest.mark.parametrize("longest", [1024, 2000])
def test_outputs_beyond_the_grid_are_within_the_interval(longest: int) -> None:
    """Static batches last as long as their longest, which sums beyond the grid do not tell."""
    generator = np.random.default_rng(8)
    outputs = np.minimum(generator.integers(1, 2001, 4000), longest)
    lengths = np.stack([generator.integers(1, 2001, 4000), outputs], axis=1)
    workload = Workload.of_lengths(PAPER_GRID, lengths)
    real = model_of(PYTORCH).estimate(workload, "x", lengths)
    drawn = model_of(PYTORCH).estimate(workload, "x")
    assert drawn.interval_j is not None
    assert drawn.interval_j[0] < real.energy_j < drawn.interval_j[1]


@pytest.mark.slow
def test_a_part_stands_for_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """60,000 requests, simulated whole and from a sixth of them."""
    workload = load_embedded("azure-2023-conv")
    for _ in range(2):
        workload = workload + workload
    assert workload.total.requests > serving.MOST_SIMULATED
    generator = np.random.default_rng(3)
    lengths = sample_lengths(workload, workload.total.requests, generator)
    whole = model_of(VLLM).estimate(workload, "whole", lengths)
    monkeypatch.setattr(serving, "MOST_SIMULATED", 10_000)
    part = model_of(VLLM).estimate(workload, "part")
    assert part.energy_j == pytest.approx(whole.energy_j, rel=0.004)
    assert part.relative_sds is not None
    assert 0 < part.relative_sds["sampling"] < 0.01
    assert part.ideal_j["roofline"] == pytest.approx(whole.ideal_j["roofline"], rel=0.02)


@pytest.mark.slow
def test_any_size_and_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """A billion requests, many of them beyond the grid, cost a million times a thousand."""
    few = workload_of(POWER_OF_TWO_GRID, [(20_000, 900), (300, 40), (50, 700), (9000, 3)] * 250)
    many = Workload(
        few.grid,
        {cell: type(sums)(*(value * 10**6 for value in sums)) for cell, sums in few.cells.items()},
    )
    monkeypatch.setattr(serving, "MOST_SIMULATED", 4000)
    small, large = (model_of(VLLM).estimate(workload, "x") for workload in (few, many))
    assert large.requests["estimated"] == 10**9
    assert large.energy_j == pytest.approx(1e6 * small.energy_j, rel=0.04)
    assert small.coverage["extrapolated"] > 0.7
    assert sum(small.coverage.values()) == pytest.approx(1)


def test_no_card_draws_more_than_its_limit() -> None:
    """A table of few runs may tell times that are too short; the power limit bounds them."""
    shipped = load_table(VLLM)
    table = replace(shipped, runs=[replace(run, gpu="GPU-here") for run in shipped.runs])
    lengths = np.array([[512, 64]] * 300)
    workload = Workload.of_lengths(PAPER_GRID, lengths)
    plain = estimate_stepwise(workload, table, "x", lengths)
    assert plain.mean_power_w is not None
    assert 200 < plain.mean_power_w < table.metadata["power_limit_w"]
    capped = replace(table, metadata={**table.metadata, "power_limit_w": 200.0})
    estimate = estimate_stepwise(workload, capped, "x", lengths)
    assert estimate.energy_j == plain.energy_j
    assert estimate.seconds == pytest.approx(plain.energy_j / 200)
    assert estimate.mean_power_w == pytest.approx(200)


def test_more_requests_never_cost_less() -> None:
    lengths = sample_lengths(load_embedded("azure-2023-code"), 600, np.random.default_rng(0))
    energies_j = []
    for count in (1, 2, 10, 50, 200, 600):
        workload = workload_of(PAPER_GRID, [(i, o) for i, o in lengths[:count].tolist()])
        energies_j.append(model_of(VLLM).estimate(workload, "x", lengths[:count]).energy_j)
    assert energies_j == sorted(energies_j)


def test_the_ideal_is_of_the_true_lengths() -> None:
    flops = load_flops("llama-3.1-8b")
    requests = [(17, 1), (3000, 800), (8193, 13), (1, 2)]
    sums = workload_of(PAPER_GRID, requests).total
    assert flops.of_sums(sums) == sum(flops.request(i, o) for i, o in requests)
    table = load_table(VLLM)
    estimate = estimate_stepwise(workload_of(PAPER_GRID, requests), table, "x", np.array(requests))
    assert estimate.ideal_j["dense"] == pytest.approx(700 / 989.4e12 * flops.of_sums(sums))
    assert estimate.ideal_j["sparse"] == pytest.approx(estimate.ideal_j["dense"] / 2, rel=1e-3)
    assert estimate.ideal_j["roofline"] > estimate.ideal_j["dense"]


@pytest.mark.slow
def test_what_is_said_of_an_estimate(run_cli: RunCli) -> None:
    words = "estimate", "azure-2023-code", "--table", VLLM, "--serving", "offline"
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    assert document["method"] == "stepwise"
    assert document["requests"]["estimated"] == 8819
    low, high = document["interval_j"]
    assert low < document["energy_j"] < high
    assert sum(document["parts_j"].values()) == pytest.approx(document["energy_j"])
    assert set(document["parts_j"]) == set(document["least_parts_j"])
    assert set(document["relative_sds"]) == {
        "coefficients", "shape", "repeat", "card", "sampling", "host"
    }  # fmt: skip
    assert document["coverage"]["measured"] == 0
    assert 100 < document["energy_j"] / document["seconds"] <= 700 * (1 + 1e-9)
    explained = run_cli(*words, "--explain").stdout
    for text in ("where the joules go", "linear layers", "idle power (117 W)", "95 % interval"):
        assert text in explained
    assert "where the joules go" not in run_cli(*words).stdout
    assert run_cli(*words, "--format", "json").stdout == run_cli(*words, "--format", "json").stdout


@pytest.mark.slow
def test_tables_compare_by_either_method(run_cli: RunCli) -> None:
    words = "compare", "azure-2023-code", "--table", PYTORCH, "--table", VLLM, "--format", "json"
    binned, steps = (
        json.loads(run_cli(*words, "--method", method).stdout) for method in ("binned", "stepwise")
    )
    assert [document["method"] for document in (binned, steps)] == ["binned", "stepwise"]
    assert binned["tables"][1]["energy_j"] > steps["tables"][1]["energy_j"]
    assert 20 < steps["tables"][1]["saving_percent"] < 60


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--whole-batches",), "--whole-batches is for --method binned"),
        (("--method", "stepwise", "--whole-batches"), "--whole-batches is for --method binned"),
        (("--method", "binned", "--explain"), "--explain is for --method stepwise"),
    ],
)
def test_options_of_the_other_method_are_refused(
    words: tuple[str, ...], said: str, run_cli: RunCli
) -> None:
    result = run_cli("estimate", "azure-2023-code", "--table", VLLM, *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_nothing_to_estimate_is_said(tmp_path: Path, run_cli: RunCli) -> None:
    empty = replace(workload_of(PAPER_GRID, []), failed=Failed(3, 30))
    with pytest.raises(InputError, match=r"has no request to estimate: 3 failed$"):
        estimate_stepwise(empty, load_table(VLLM), "x")
    (tmp_path / "long.csv").write_text("input_tokens,output_tokens\n500000,10\n")
    words = "estimate", tmp_path / "long.csv", "--table", VLLM
    result = run_cli(*words)
    assert result.exit_code == 1
    assert "1 longer than the model has positions for (131,072 tokens" in result.stderr


def test_what_does_not_fit_is_left_out_however_the_trace_comes() -> None:
    generator = np.random.default_rng(3)
    lengths = generator.integers(1, 300, (2000, 2))
    lengths[700] = 60_000, 100
    table, workload = load_table(VLLM), Workload.of_lengths(PAPER_GRID, lengths)
    settings = table.metadata["engine_settings"] | {"kv_cache_tokens": 50_000}
    table = replace(table, metadata={**table.metadata, "engine_settings": settings})
    for each in (lengths, None):
        estimate = estimate_stepwise(workload, table, "x", each)
        assert estimate.requests["beyond_memory"] == 1
        assert estimate.requests["estimated"] == 1999
    endless = np.array([[10, 100_000]])
    with pytest.raises(InputError, match="1 longer than the GPU's memory holds; give more --gpus"):
        estimate_stepwise(Workload.of_lengths(PAPER_GRID, endless), table, "x", endless)


def test_an_empty_prompt_counts_as_one_token(tmp_path: Path, run_cli: RunCli) -> None:
    (tmp_path / "zero.csv").write_text("input_tokens,output_tokens\n0,10\n0,1\n12,3\n")
    words = "estimate", tmp_path / "zero.csv", "--table", VLLM
    result = run_cli(*words, "--format", "json")
    assert json.loads(result.stdout)["requests"]["estimated"] == 3


def kept(folder: Path, output_tokens: int) -> str:
    """The shipped vLLM table with only the runs of one output length."""
    shipped = Path(measurements.__file__).parent / "tables" / VLLM
    head, *lines = (shipped / "runs.csv").read_text().splitlines()
    lines = [line for line in lines if line.split(",")[1] == str(output_tokens)]
    folder.mkdir()
    (folder / "runs.csv").write_text("\n".join([head, *lines]) + "\n")
    metadata = json.loads((shipped / "table.json").read_text())
    cells = {tuple(line.split(",")[:2]) for line in lines if line.split(",")[3] == "true"}
    metadata |= {"measured_cells": len(cells), "complete": False}
    (folder / "table.json").write_text(json.dumps(metadata))
    return str(folder)


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize("output_tokens", [8, 512])
def test_what_a_table_does_not_tell_makes_the_interval_wide(
    output_tokens: int, tmp_path: Path
) -> None:
    """Runs of one output length leave terms that move together; the full table knows better."""
    workload = load_embedded("azure-2023-conv")
    truth_j = model_of(VLLM).estimate(workload, "x").energy_j
    partial = estimate_stepwise(workload, load_table(kept(tmp_path / "t", output_tokens)), "x")
    assert partial.interval_j is not None
    low, high = partial.interval_j
    assert low < truth_j < high
    assert partial.coverage["extrapolated"] > 0.3


def test_drawn_requests_are_no_longer_than_the_engine_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sums beyond the grid tell no longest length; what is drawn must still be served."""
    rare = [(300, 4)] * 2000 + [(8300, 4)] * 20 + [(131_000, 4)]
    monkeypatch.setattr(serving, "MOST_SIMULATED", 500)
    estimate = model_of(VLLM).estimate(workload_of(PAPER_GRID, rare), "x")
    assert estimate.requests["estimated"] == 2021


@pytest.mark.parametrize(
    ("changes", "lengths", "said"),
    [
        ({"engine": "sglang"}, (10, 10), "how sglang schedules requests is not known"),
        ({"chunked_prefill": "false"}, (10, 10), "its engine_settings lack"),
        ({"chunked_prefill": False}, (20_000, 5), "does not feed prompts in chunks"),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(
    changes: dict, lengths: tuple[int, int], said: str
) -> None:
    table = load_table(VLLM)
    settings = {**table.metadata["engine_settings"], **changes}
    engine = changes.get("engine", "vllm")
    metadata = {**table.metadata, "engine_settings": settings, "engine": engine}
    workload = workload_of(PAPER_GRID, [lengths])
    with pytest.raises(InputError, match=said):
        estimate_stepwise(workload, replace(table, metadata=metadata), "x", np.array([lengths]))


def test_endless_outputs_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_batching, "_MOST_STEPS", 100_000)
    lengths = np.array([[10, 130_000]] * 50)
    workload = Workload.of_lengths(PAPER_GRID, lengths)
    with pytest.raises(InputError, match="more than 100,000 can be followed"):
        estimate_stepwise(workload, load_table(PYTORCH), "x", lengths)


@pytest.mark.slow
@pytest.mark.parametrize(("table", "longest", "within"), [(VLLM, 4000, 0.02), (PYTORCH, 512, 0.1)])
def test_of_many_steps_a_part_stands_for_the_whole(
    table: str, longest: int, within: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long outputs take many steps, however few requests there are."""
    generator = np.random.default_rng(4)
    inputs, outputs = generator.integers(1, 2000, 1500), generator.integers(1, longest, 1500)
    lengths = np.stack([inputs, outputs], axis=1)
    workload, loaded = Workload.of_lengths(PAPER_GRID, lengths), load_table(table)
    whole = model_of(table).estimate(workload, "whole", lengths)
    assert whole.relative_sds is not None
    assert whole.relative_sds["sampling"] == 0
    scheduler = scheduler_of(loaded)
    steps = len(scheduler.schedule(lengths).decoding)
    assert 0.4 * steps < scheduler.fewest_steps(lengths) <= steps
    monkeypatch.setattr(serving, "MOST_STEPS", scheduler.fewest_steps(lengths) - 1)
    monkeypatch.setattr(serving, "_MOST_STEPS_OF_A_DRAW", 0.4 * steps)
    surplus, served = serving._surplus, []

    def watched(drawn, *rest):
        served.append(len(drawn))
        return surplus(drawn, *rest)

    monkeypatch.setattr(serving, "_surplus", watched)
    part = model_of(table).estimate(workload, "part", lengths)
    assert max(served) < 1200
    assert part.energy_j == pytest.approx(whole.energy_j, rel=within)
    assert part.relative_sds is not None
    assert part.relative_sds["sampling"] > 0
