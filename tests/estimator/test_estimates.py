import json
import math
import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import joulecast as jc
from joulecast.estimator.binned import count_batches, estimate_binned
from joulecast.estimator.compare import compare_tables, saving_from_excess
from joulecast.estimator.estimate import excess_percent
from joulecast.estimator.flops import binned_flops, load_flops
from joulecast.estimator.ideal import Roofline, ideal_energy, implied_flops_per_s
from joulecast.estimator.stepwise import StepModel
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.models import load_shape
from joulecast.measurements.table.table import load_table
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.public.catalog import load_embedded
from tests.conftest import RunCli, workload_of

VLLM = "h100-sxm/llama-3.1-8b/vllm"
PYTORCH = "h100-sxm/llama-3.1-8b/pytorch"
request_lists = st.lists(
    st.tuples(st.integers(0, 12_000), st.integers(1, 700)), min_size=1, max_size=60
).filter(lambda requests: any(i <= 8192 and o <= 512 for i, o in requests))


def ceiling(edges: tuple[int, ...], length: int) -> int | None:
    return min((edge for edge in edges if edge >= length), default=None)


@given(requests=request_lists)
@pytest.mark.parametrize("name", [VLLM, PYTORCH])
def test_binned_total_is_the_formula_over_the_requests(name: str, requests) -> None:
    table = load_table(name)
    expected_j = 0.0
    for i, o in requests:
        cell = ceiling(PAPER_GRID.input_edges, i), ceiling(PAPER_GRID.output_edges, o)
        if None not in cell:
            expected_j += 1 / table.cells[cell].batch_size * table.cells[cell].batch_energy_j
    estimate = estimate_binned(workload_of(PAPER_GRID, requests), table, "t")
    assert estimate.energy_j == pytest.approx(expected_j, rel=1e-12)
    assert sum(estimate.coverage.values()) == pytest.approx(1)


def test_binned_total_of_a_real_trace_from_its_formula(azure_folder) -> None:
    table = load_table(VLLM)
    expected_j, estimated = 0.0, 0
    for line in (azure_folder / "azure-2023-conv.csv").read_text().splitlines()[1:]:
        _, i, o = line.split(",")
        cell = ceiling(PAPER_GRID.input_edges, int(i)), ceiling(PAPER_GRID.output_edges, int(o))
        if None not in cell:
            estimated += 1
            expected_j += table.cells[cell].batch_energy_j / table.cells[cell].batch_size
    estimate = estimate_binned(load_embedded("azure-2023-conv"), table, "conv")
    assert estimate.requests["estimated"] == estimated
    assert estimate.energy_j == pytest.approx(expected_j, rel=1e-12)


@given(requests=request_lists)
def test_whole_batches_round_up_per_cell(requests) -> None:
    table = load_table(VLLM)
    counts: dict[tuple[int, int], int] = {}
    for i, o in requests:
        cell = ceiling(PAPER_GRID.input_edges, i), ceiling(PAPER_GRID.output_edges, o)
        if None not in cell:
            counts[cell] = counts.get(cell, 0) + 1
    expected_j = sum(
        math.ceil(n / math.floor(table.cells[cell].batch_size)) * table.cells[cell].batch_energy_j
        for cell, n in counts.items()
    )
    workload = workload_of(PAPER_GRID, requests)
    whole = estimate_binned(workload, table, "t", whole_batches=True)
    assert whole.energy_j == pytest.approx(expected_j, rel=1e-12)
    assert whole.energy_j >= estimate_binned(workload, table, "t").energy_j * (1 - 1e-12)


def test_whole_batches_are_part_of_the_methods_name_in_results() -> None:
    for whole, text in ((False, "binned"), (True, "binned, whole batches")):
        estimate = jc.estimate("azure-2023-code", VLLM, "binned", whole_batches=whole)
        assert (estimate.method, estimate.whole_batches) == ("binned", whole)
        comparison = jc.compare("azure-2023-code", [VLLM], "binned", whole_batches=whole)
        assert comparison.method == "binned"
        for document in (estimate.to_dict(), comparison.to_dict()):
            assert document["method"] == text
        html = estimate._repr_html_() or ""
        assert f"{text}<" in html


@settings(max_examples=30)
@given(requests=request_lists, more=request_lists)
def test_more_requests_never_cost_less(requests, more) -> None:
    table = load_table(VLLM)
    alone = estimate_binned(workload_of(PAPER_GRID, requests), table, "t")
    both = estimate_binned(workload_of(PAPER_GRID, requests + more), table, "t")
    assert both.energy_j > alone.energy_j
    for name, ideal_j in alone.ideal_j.items():
        assert both.ideal_j[name] > ideal_j


def test_ideal_is_tdp_over_peak_times_flops() -> None:
    workload = workload_of(PAPER_GRID, [(32, 8)] * 1000)
    flops, gpu = load_flops("llama-3.1-8b"), load_gpu("rtx-a6000")
    expected_j = 300 / 309.7e12 * 1000 * 553479372800
    assert ideal_energy(workload, flops, gpu, "bfloat16", "sparse") == pytest.approx(expected_j)


def test_the_papers_vllm_figures_imply_more_than_the_dense_peak() -> None:
    gpu = load_gpu("rtx-a6000")
    implied = implied_flops_per_s(100, 126.59, gpu.peak("bfloat16", "sparse"))
    assert implied == pytest.approx(244.6e12, rel=1e-3)
    assert implied > gpu.peak("bfloat16", "dense")


def test_roofline_of_one_decode_step_is_its_memory_traffic() -> None:
    roofline = Roofline(
        load_flops("llama-3.1-8b"), load_shape("llama-3.1-8b"), load_gpu("h100-sxm"), "bfloat16"
    )
    with_a_step, prefill = (roofline.batch_energy(1024, steps, 1) for steps in (2, 1))
    weights = 2 * (6_979_321_856 + 128_256 * 4096)  # layers and output head, bfloat16
    cache = 131_072 * 1025
    assert with_a_step - prefill == pytest.approx(700 * (weights + cache) / 3.35e12)
    prefill_j = 700 * load_flops("llama-3.1-8b").forward(1024, 0) / 989.4e12
    assert prefill == pytest.approx(prefill_j)


def test_eight_bits_halve_the_ideal_and_most_of_what_a_decode_step_reads() -> None:
    """A byte a weight of the layers, at a peak of 1,978.9 TFLOP/s; the rest is as it was."""
    table = load_table(VLLM)
    variant = {**table.metadata["engine_settings"], "quantization": "fp8"}
    quantized = replace(table, metadata={**table.metadata, "engine_settings": variant})
    assert (quantized.dtype, quantized.compute_dtype) == ("bfloat16", "float8")
    assert (table.quantization, table.compute_dtype) == (None, "bfloat16")
    roofline = Roofline.of(quantized)
    with_a_step, prefill = (roofline.batch_energy(1024, steps, 1) for steps in (2, 1))
    weights = 6_979_321_856 + 2 * 128_256 * 4096
    cache = 131_072 * 1025
    assert with_a_step - prefill == pytest.approx(700 * (weights + cache) / 3.35e12)
    workload = load_embedded("azure-2023-code")
    for estimates in (
        [estimate_binned(workload, each, "t") for each in (table, quantized)],
        [StepModel.of(each).estimate(workload, "t") for each in (table, quantized)],
    ):
        plain, few = estimates
        assert few.energy_j == plain.energy_j
        for peak in ("dense", "sparse"):
            assert few.ideal_j[peak] == pytest.approx(plain.ideal_j[peak] / 2, rel=1e-3)
        assert plain.ideal_j["roofline"] / 2 < few.ideal_j["roofline"] < plain.ideal_j["roofline"]
        assert few.dense_peak_flops_per_s == pytest.approx(1978.9e12, rel=1e-3)


@settings(max_examples=30)
@given(requests=request_lists)
def test_no_estimate_beats_physics(requests) -> None:
    for name in (VLLM, PYTORCH):
        estimate = estimate_binned(workload_of(PAPER_GRID, requests), load_table(name), "t")
        ideal = estimate.ideal_j
        assert estimate.energy_j > ideal["roofline"] >= ideal["dense"] * (1 - 1e-9)
        assert ideal["dense"] == pytest.approx(2 * ideal["sparse"], rel=1e-3)


def test_nothing_to_estimate_is_said() -> None:
    with pytest.raises(InputError, match="no request to estimate: 1 beyond the table's grid"):
        estimate_binned(workload_of(PAPER_GRID, [(9000, 9000)]), load_table(VLLM), "t")


def test_compare_saves_over_the_first() -> None:
    workload = load_embedded("azure-2023-code")
    first, second = compare_tables(
        estimate_binned, workload, [load_table(PYTORCH), load_table(VLLM)], "code"
    ).tables
    assert first.saving_percent == 0
    ratio = second.estimate.energy_j / first.estimate.energy_j
    assert second.saving_percent == pytest.approx(100 * (1 - ratio))
    expected = saving_from_excess(
        second.estimate.excess_percent["dense"], first.estimate.excess_percent["dense"]
    )
    assert second.saving_percent == pytest.approx(expected)


def test_estimate_json_is_the_interface(run_cli: RunCli) -> None:
    words = ("estimate", "azure-2023-conv", "--table", VLLM, "--method", "binned")
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    assert set(document) >= {
        "trace", "table", "method", "requests", "energy_j", "energy_kwh", "interval_j",
        "joules_per_request", "joules_per_output_token", "ideal_j", "excess_percent", "coverage",
    }  # fmt: skip
    requests = document["requests"]
    assert requests["total"] == 19366
    assert requests["beyond_grid"] == 563
    assert requests["estimated"] == 19366 - 563
    assert (
        set(document["ideal_j"])
        == set(document["excess_percent"])
        == {"dense", "sparse", "roofline"}
    )
    assert set(document["coverage"]) == {"measured", "interpolated", "extrapolated"}
    assert document["energy_kwh"] == document["energy_j"] / 3.6e6
    for name, ideal_j in document["ideal_j"].items():
        expected = excess_percent(document["energy_j"], ideal_j)
        assert document["excess_percent"][name] == pytest.approx(expected)


def test_few_requests_are_warned_of(run_cli: RunCli, tmp_path: Path) -> None:
    """N / B of a full batch is far less than requests alone take; the note has the number."""
    trace = tmp_path / "t.csv"
    words = ("estimate", trace, "--table", VLLM, "--method", "binned")

    def note(rows: str, *more: str) -> str:
        trace.write_text("input_tokens,output_tokens\n" + rows)
        return " ".join(run_cli(*words, *more).stdout.split())

    assert "The request fills 0.0013 of a full batch" in note("512,64\n")  # 1 of 784
    assert "The 392 requests fill 0.5 of a full batch" in note("512,64\n" * 392)
    enough = note("512,64\n" * 784)
    assert "of a full batch" not in enough
    assert "of 500 to 4,000 requests at once, it came out from 59 % too low to 88 %" in enough
    rounded = note("512,64\n" * 785 + "32,8\n", "--whole-batches")
    assert "The 786 requests fill 1.0 full batches" in rounded
    assert "that makes 3, which is" in rounded


@pytest.mark.parametrize(("name", "times"), [(VLLM, 32), (PYTORCH, 54)])
def test_a_request_alone_took_as_much_as_the_note_says(name: str, times: int) -> None:
    table = load_table(name)
    alone_j = [run.batch_energy_j for run in table.runs if run.batch == (128, 32, 1) and run.valid]
    estimate = estimate_binned(workload_of(PAPER_GRID, [(128, 32)]), table, "t")
    assert fmean(alone_j) / estimate.energy_j == pytest.approx(times, abs=0.55)


def test_what_few_requests_take_is_as_the_docs_say() -> None:
    """The table of docs/method.md, from runs of the shipped vLLM table."""
    page = (Path(__file__).parents[2] / "docs" / "method.md").read_text()
    rows = re.findall(
        r"^\| (\d+) of \((\d+), (\d+)\) \| ([\d.]+) \| (\d+) J \| (\d+) J \|$", page, re.MULTILINE
    )
    assert len(rows) > 4
    table = load_table(VLLM)
    for row in rows:
        count, i, o = map(int, row[:3])
        runs = [run for run in table.runs if run.batch == (i, o, count) and run.valid]
        estimate = estimate_binned(workload_of(PAPER_GRID, [(i, o)] * count), table, "t")
        assert float(row[3]) == pytest.approx(count_batches(estimate.cells), rel=0.05)
        assert int(row[4]) == round(fmean(run.batch_energy_j for run in runs))
        assert int(row[5]) == round(estimate.energy_j)


@pytest.mark.slow
def test_shares_are_of_the_energy_that_is_estimated(run_cli: RunCli, tmp_path: Path) -> None:
    trace = tmp_path / "t.csv"
    words = ("estimate", trace, "--table", VLLM, "--method", "binned")
    for rows, whose in (
        ("512,64\n", "(shares of the energy)"),
        ("512,64\n9000,3\n", "(shares of the energy of the 1 request that is estimated)"),
        ("512,64\n512,64\n5,0\n", "(shares of the energy of the 2 requests that are estimated)"),
    ):
        trace.write_text("input_tokens,output_tokens\n" + rows)
        shown = " ".join(run_cli(*words).stdout.split())
        assert f"100.0 % measured, 0.0 % interpolated, 0.0 % extrapolated {whose}" in shown
        html = jc.estimate(trace, VLLM, "binned")._repr_html_() or ""
        assert whose in html
        page = tmp_path / "p.html"
        assert run_cli(*words, "--html", page).exit_code == 0
        text = " ".join(re.sub(r"<[^>]+>", "", page.read_text("utf-8")).split())
        assert f"Of the energy{whose[21:-1]}, 100.0 % is from cells that were measured" in text


@pytest.mark.slow
def test_costs(run_cli: RunCli) -> None:
    words = ("estimate", "azure-2023-code", "--table", VLLM, "--format", "json")
    costs = ("--pue", "1.5", "--carbon", "400", "--price", "0.25")
    document = json.loads(run_cli(*words, *costs).stdout)
    assert document["facility_energy_j"] == pytest.approx(1.5 * document["energy_j"])
    assert document["carbon_g"] == pytest.approx(400 * 1.5 * document["energy_kwh"])
    assert document["cost"] == pytest.approx(0.25 * 1.5 * document["energy_kwh"])


def test_rounding_up_inflates_flops_as_the_docs_say() -> None:
    """FLOPs are linear in the sums of a workload, so its true ones are known exactly."""
    law = load_flops("llama-3.1-8b")
    for name, expected in (("azure-2023-code", 1.437), ("azure-2023-conv", 1.451)):
        workload = load_embedded(name).on_grid(PAPER_GRID)
        s = workload.inside
        n, i, ii, o, oo, io = s
        pairs = ii + (io + o - i - n) + (oo - 3 * o + 2 * n) / 2
        true = law.per_token * (i + o - n) + law.per_pair * pairs + law.per_pass * o
        assert binned_flops(workload, law) / true == pytest.approx(expected, abs=0.0005)
