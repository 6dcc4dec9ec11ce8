"""Estimates of what nobody measured: chosen bases, and what cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest

import joulecast as jc
from joulecast.estimator.steps.work import LengthArray
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.model import Scaling, measured_table
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.models import load_config, model_names
from joulecast.measurements.table.table import load_table, table_names
from joulecast.traces.errors import InputError
from joulecast.traces.public.catalog import load_embedded
from joulecast.traces.sampling import sample_lengths
from joulecast.traces.workload import Workload
from tests.conftest import RunCli

TRACE = "azure-2023-conv"

POPULAR = [
    "llama-3.1-8b", "llama-3.1-70b", "llama-3.3-70b", "llama-3.2-1b", "llama-3.2-3b", "llama-2-7b",
    "llama-2-13b", "mistral-7b", "mistral-nemo-12b", "mistral-small-24b", "mixtral-8x7b",
    "mixtral-8x22b", "qwen2.5-0.5b", "qwen2.5-1.5b", "qwen2.5-3b", "qwen2.5-7b", "qwen2.5-14b",
    "qwen2.5-32b", "qwen2.5-72b", "qwen3-0.6b", "qwen3-4b", "qwen3-8b", "qwen3-14b", "qwen3-32b",
    "qwen3-30b-a3b", "qwen3-235b-a22b", "gemma-2-9b", "gemma-3-4b", "gemma-3-12b", "gemma-3-27b",
    "phi-4", "phi-3-mini", "deepseek-v2-lite", "deepseek-v3", "gpt-oss-20b", "gpt-oss-120b",
    "glm-4-9b-0414", "olmo-2-7b", "granite-3.3-8b", "falcon-7b", "gpt2", "tinyllama-1.1b",
]  # fmt: skip
CARDS = [
    "t4", "l4", "a10", "l40s", "rtx-4090", "rtx-a6000", "a100-sxm4-80gb", "h100-sxm", "h200-sxm",
    "b200-sxm", "mi300x",
]  # fmt: skip


def estimate(run_cli: RunCli, *words: object) -> dict:
    result = run_cli("estimate", TRACE, *words, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("words", "basis", "table"),
    [
        ((), "measured", "h100-sxm/llama-3.1-8b/vllm"),
        (("--model", "olmo-7b"), "measured", "h100-sxm/olmo-7b/vllm-quick"),
        (("--dtype", "fp8"), "measured", "h100-sxm/llama-3.1-8b/vllm-fp8-quick"),
        (("--gpus", "2"), "measured", "h100-sxm/llama-3.1-8b/vllm-tp2-quick"),
        (("--engine", "pytorch"), "measured", "h100-sxm/llama-3.1-8b/pytorch"),
        (("--gpu", "h200-sxm"), "measured", "h200-sxm/llama-3.1-8b/vllm"),
        (("--model", "qwen3-8b"), "model scaled", None),
        (("--gpus", "4"), "model scaled", None),
        (("--dtype", "int4"), "model scaled", None),
        (("--dtype", "float16"), "model scaled", None),
        (("--gpu", "l40s"), "gpu scaled", None),
        (("--gpu", "mi300x", "--model", "qwen2.5-32b"), "gpu scaled", None),
    ],
)
def test_the_best_basis_is_chosen_and_said(
    words: tuple[str, ...], basis: str, table: str | None, run_cli: RunCli
) -> None:
    document = estimate(run_cli, *words)
    assert (document["basis"], document["table"]) == (basis, table)
    assert document["energy_j"] > 0
    assert document["interval_j"][0] < document["energy_j"] < document["interval_j"][1]
    assert document["tables"]
    text = run_cli("estimate", TRACE, *words).stdout
    assert basis in text[: text.index("method ")]


def test_of_a_mixture_its_own_table_and_the_prices_of_all_agree(run_cli: RunCli) -> None:
    own = estimate(run_cli, "--model", "qwen3-30b-a3b")
    assert (own["basis"], own["table"]) == ("measured", "h100-sxm/qwen3-30b-a3b/vllm-quick")
    scaled = estimate(run_cli, "--model", "qwen3-30b-a3b", "--idle-watts", "127")
    assert scaled["parts_j"]["expert_flops"] > 0
    assert scaled["basis"] == "measured"
    assert scaled["energy_j"] == pytest.approx(own["energy_j"], rel=0.12)


def test_keys_of_what_serves(run_cli: RunCli) -> None:
    document = estimate(run_cli, "--model", "qwen2.5-14b", "--gpu", "l40s", "--gpus", "2")
    asked = {"model": "qwen2.5-14b", "gpu": "l40s", "engine": "vllm", "gpus": 2}
    assert asked.items() <= document.items()
    assert document["dtype"] == "bfloat16"
    assert sum(document["parts_j"].values()) == pytest.approx(document["energy_j"])
    assert document["parts_j"].keys() <= document["least_parts_j"].keys()
    assert {"model", "gpu", "shared", "card"} <= document["relative_sds"].keys()


def test_python_says_the_same_as_the_command(run_cli: RunCli) -> None:
    result = jc.estimate(TRACE, model="qwen2.5-7b", gpu="a100-sxm4-80gb")
    document = estimate(run_cli, "--model", "qwen2.5-7b", "--gpu", "a100-sxm4-80gb")
    assert result.to_dict() == document
    assert "gpu scaled" in result._repr_html_()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "llama-3.1-70b"), "2 could: --gpus 2"),
        (("--model", "nonsense"), 'unknown model "nonsense"'),
        (("--gpu", "h10"), "did you mean"),
        (("--gpu", "t4", "--dtype", "bfloat16"), "no peak is known for bfloat16"),
        (("--gpu", "a100-sxm4-80gb", "--dtype", "fp8"), "no peak is known for float8"),
        (("--engine", "pytorch", "--gpu", "t4"), "cannot hold them and a request under plain"),
        (("--engine", "pytorch", "--gpus", "2"), "runs on one GPU; leave --gpus out"),
        (("--engine", "pytorch", "--dtype", "fp8"), "has no quantized weights; leave --dtype out"),
        (("--engine", "pytorch", "--model", "olmoe-1b-7b"), "not measured with a mixture"),
        (("--gpus", "3"), "evenly; 1, 2, 4, 8, 16 can"),
        (("--model", ""), 'unknown model ""'),
        (("--gpu", ""), 'unknown GPU ""'),
        (("--gpu", "l4", "--method", "binned"), "binned needs one"),
        (("--gpu", "l4", "--idle-watts", "100"), "of 72 W draws more than 0 and less than 54 W"),
        (("--gpu", "l4", "--idle-watts", "60"), "less than 54 W"),
        (("--gpu", "l4", "--idle-watts", "50", "--decode-watts", "40"), "no more than the 50 W"),
        (("--gpu", "none.json"), "none.json"),
        (
            ("--gpu", "l4", "--host", "h100-sxm/llama-3.1-8b/vllm-quick"),
            "leave --host out",
        ),
        (
            ("--table", "h100-sxm/llama-3.1-8b/pytorch", "--gpu", "l4", "--engine", "vllm"),
            "cannot be scaled from",
        ),
        (("--table", "h100-sxm/llama-3.1-8b/pytorch", "--gpu", "l4"), "cannot be scaled from"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    words: tuple[str, ...], said: str, run_cli: RunCli
) -> None:
    result = run_cli("estimate", TRACE, *words)
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"gpus": "2"}, "'2' is no number of GPUs"),
        ({"gpus": 1.5}, "1.5 is no number of GPUs"),
        ({"idle_watts": "80"}, "idle watts are '80'"),
        ({"decode_watts": True}, "decode watts are True"),
    ],
)
def test_python_refuses_what_is_no_number(words: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        jc.estimate(TRACE, gpu="l40s", **words)


def test_watts_of_the_users_own_narrow_the_interval(run_cli: RunCli) -> None:
    bare = estimate(run_cli, "--gpu", "l40s")
    idle = estimate(run_cli, "--gpu", "l40s", "--idle-watts", "35")
    both = estimate(run_cli, "--gpu", "l40s", "--idle-watts", "35", "--decode-watts", "250")
    assert bare["interval_percent"] > idle["interval_percent"] > both["interval_percent"]
    more = estimate(run_cli, "--gpu", "l40s", "--idle-watts", "35", "--decode-watts", "300")
    assert more["energy_j"] > both["energy_j"]


def test_decode_watts_are_met() -> None:
    """A request that decodes alone then draws what was read off."""
    from joulecast.estimator.unit_prices.carry import OwnWatts, _one_decoding

    deployment = Deployment.of("llama-3.1-8b", load_gpu("l40s"))
    prices = Scaling(deployment, OwnWatts(40.0, 260.0)).carried_prices().prices
    spent = prices.spent(_one_decoding(), deployment)
    assert prices.energy_of(spent, 1) / spent.seconds == pytest.approx(260.0, rel=1e-3)


def test_a_data_sheet_of_the_users_own(tmp_path: Path, run_cli: RunCli) -> None:
    """The L40S under another name is the L40S."""
    gpu = load_gpu("l40s")
    sheet = {
        "product": "My L40S",
        "tdp_w": gpu.tdp_w,
        "memory_bytes": gpu.memory_bytes,
        "shown_memory_bytes": gpu.shown_memory_bytes,
        "memory_bytes_per_s": gpu.memory_bytes_per_s,
        "peak_flops": {"bfloat16": {"dense": gpu.peak("bfloat16")}},
    }
    (tmp_path / "mine.json").write_text(json.dumps(sheet))
    own = estimate(run_cli, "--gpu", tmp_path / "mine.json")
    shipped = estimate(run_cli, "--gpu", "l40s")
    assert own["gpu"] == "mine.json"
    assert own["energy_j"] == pytest.approx(shipped["energy_j"])


def test_a_config_of_the_users_own(tmp_path: Path, run_cli: RunCli) -> None:
    (tmp_path / "config.json").write_text(json.dumps(load_config("qwen3-8b")))
    own = estimate(run_cli, "--model", tmp_path)
    assert own["energy_j"] == pytest.approx(estimate(run_cli, "--model", "qwen3-8b")["energy_j"])
    config = load_config("qwen3-8b") | {"model_type": "mamba"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    result = run_cli("estimate", TRACE, "--model", tmp_path)
    assert result.exit_code == 1
    assert 'model_type "mamba", which is none of' in result.stderr


def test_a_data_sheet_with_the_name_of_a_shipped_gpu_is_its_own(
    tmp_path: Path, run_cli: RunCli
) -> None:
    sheet = {
        "product": "Mine", "tdp_w": 350, "memory_bytes": 48e9, "memory_bytes_per_s": 864e9,
        "peak_flops": {"bfloat16": {"dense": 362e12}},
    }  # fmt: skip
    (tmp_path / "h100-sxm.json").write_text(json.dumps(sheet))
    assert estimate(run_cli, "--gpu", tmp_path / "h100-sxm.json")["basis"] == "gpu scaled"


@pytest.mark.parametrize(
    ("gpu", "source", "most"), [("h200-sxm", "h200-sxm", 4), ("l40s", "h100-sxm", 2)]
)
def test_more_gpus_than_were_ever_metered_are_said_to_be(
    gpu: str, source: str, most: int, run_cli: RunCli, tmp_path: Path
) -> None:
    """No table of theirs ships; the numbers are those of the tables that do."""
    folders = [name for name in table_names() if name.startswith(f"{source}/")]
    assert max(load_table(name).gpu_count for name in folders) == most
    words = "estimate", TRACE, "--model", "qwen2.5-32b", "--gpu", gpu, "--gpus"
    said = f"{2 * most} {source} that share a model were never metered, {most} at most"
    shown = run_cli(*words, 2 * most, "--html", tmp_path / "page.html").stdout
    assert said in " ".join(shown.split())
    assert said in (tmp_path / "page.html").read_text(encoding="utf-8")
    for gpus, note in ((2 * most, said), (most, None)):
        document = json.loads(run_cli(*words, gpus, "--format", "json").stdout)
        assert document["basis_notes"] == note


def test_weights_that_are_published_in_fewer_bits_are_taken_so(run_cli: RunCli) -> None:
    assert estimate(run_cli, "--model", "gpt-oss-20b")["dtype"] == "int4"
    v3 = estimate(run_cli, "--model", "deepseek-v3", "--gpu", "b200-sxm", "--gpus", "8")
    assert v3["dtype"] == "fp8"
    assert v3["interval_j"][0] > 0


@pytest.mark.parametrize(
    ("told", "dtype"),
    [
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "fbgemm_fp8"}, "fp8"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8"),
        ({"quant_method": "awq", "bits": 4}, "int4"),
        ({"quant_method": "gptq", "bits": 4}, "int4"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {
            "num_bits": 8, "type": "float"}}}}, "fp8"),
        ({}, "bfloat16"),
    ],
)  # fmt: skip
def test_formats_of_published_weights(
    told: dict, dtype: str, tmp_path: Path, run_cli: RunCli
) -> None:
    config = load_config("qwen3-8b") | {"quantization_config": told}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert estimate(run_cli, "--model", tmp_path)["dtype"] == dtype


def test_models_that_are_published_in_float16_are_taken_so(run_cli: RunCli) -> None:
    told = estimate(run_cli, "--model", "llama-2-7b", "--gpu", "h200-sxm")
    assert (told["dtype"], told["basis"]) == ("float16", "measured")
    assert estimate(run_cli, "--model", "llama-3.1-8b", "--gpu", "h200-sxm")["dtype"] == "bfloat16"


def test_an_unknown_quantization_is_not_passed_over(tmp_path: Path, run_cli: RunCli) -> None:
    config = load_config("qwen3-8b") | {"quantization_config": {"quant_method": "gptq", "bits": 8}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    result = run_cli("estimate", TRACE, "--model", tmp_path)
    assert result.exit_code == 1
    assert "quantized in a way that is not known (gptq)" in result.stderr
    assert estimate(run_cli, "--model", tmp_path, "--dtype", "fp8")["dtype"] == "fp8"


def test_decode_watts_are_no_measurement_of_a_table(run_cli: RunCli) -> None:
    words = ("--model", "qwen2.5-7b", "--decode-watts", "380")
    assert estimate(run_cli, *words)["basis"] == "model scaled"


def test_requests_beyond_the_positions_are_left_out(tmp_path: Path, run_cli: RunCli) -> None:
    path = tmp_path / "t.csv"
    path.write_text("input_tokens,output_tokens\n1000,10\n200000,10\n")
    result = run_cli("estimate", path, "--model", "phi-4", "--format", "json")
    assert json.loads(result.stdout)["requests"]["beyond_positions"] == 1


def test_requests_that_the_memory_does_not_hold_are_left_out(
    tmp_path: Path, run_cli: RunCli
) -> None:
    path, page = tmp_path / "t.csv", tmp_path / "p.html"
    path.write_text("input_tokens,output_tokens\n1000,10\n120000,8000\n")
    words = ("estimate", path, "--gpu", "l4")
    requests = json.loads(run_cli(*words, "--format", "json").stdout)["requests"]
    assert (requests["estimated"], requests["beyond_memory"]) == (1, 1)
    shown = " ".join(run_cli(*words, "--html", page).stdout.split())
    assert "1 longer than the GPU's memory holds" in shown
    assert "longer than the GPU&#39;s memory holds" in page.read_text() or (
        "longer than the GPU's memory holds" in page.read_text()
    )
    path.write_text("input_tokens,output_tokens\n120000,8000\n")
    refused = run_cli(*words)
    assert refused.exit_code == 1
    assert "1 longer than the GPU's memory holds; give more --gpus" in refused.stderr


def drawn(trace: str, count: int) -> tuple[Workload, LengthArray]:
    """Requests with the lengths of a trace that ships."""
    workload = load_embedded(trace)
    lengths = sample_lengths(workload, count, np.random.default_rng(0), "gamma")
    return Workload.of_lengths(workload.grid, lengths), lengths


def test_more_requests_never_cost_less() -> None:
    workload, lengths = drawn(TRACE, 1000)
    model = Scaling(Deployment.of("qwen3-8b", load_gpu("l40s"))).step_model(workload)
    before = 0.0
    for count in (1, 10, 100, 1000):
        part = Workload.of_lengths(workload.grid, lengths[:count])
        energy_j = model.estimate(part, "t", lengths[:count]).energy_j
        assert energy_j > before
        before = energy_j


def test_a_workload_and_its_requests_agree() -> None:
    """Of a workload only sums are known; requests are drawn."""
    workload, lengths = drawn(TRACE, 5000)
    model = Scaling(Deployment.of("qwen3-8b", load_gpu("h100-sxm"))).step_model(workload)
    known = model.estimate(workload, "t", lengths)
    from_sums = model.estimate(workload, "t")
    assert from_sums.energy_j == pytest.approx(known.energy_j, rel=0.02)
    assert from_sums.relative_sds is not None
    assert from_sums.relative_sds["sampling"] > 0


def test_of_a_measured_deployment_its_own_table_is_taken() -> None:
    deployment = Deployment.of("llama-3.1-8b", load_gpu("h100-sxm"))
    table = measured_table(deployment)
    assert table is not None
    assert table.name == "h100-sxm/llama-3.1-8b/vllm"
    assert measured_table(Deployment.of("qwen3-8b", load_gpu("h100-sxm"))) is None


@pytest.mark.slow
@pytest.mark.parametrize("gpu", CARDS)
def test_popular_models_are_answered_or_refused(gpu: str) -> None:
    """Thirty models and more that vLLM's users serve, on eleven cards."""
    assert {*POPULAR} <= {*model_names()}
    workload, lengths = drawn("azure-2023-code", 300)
    answered, refused = 0, list[str]()
    for model in POPULAR:
        for gpus in (1, 8):
            try:
                scaling = Scaling(Deployment.of(model, load_gpu(gpu), gpus=gpus))
                result = scaling.step_model(workload).estimate(workload, "t", lengths)
            except InputError as error:
                refused.append(str(error))
                continue
            answered += 1
            assert result.interval_percent is not None
            # What eight cards of a kind that was not measured send each other is hardly known.
            assert 1 < result.interval_percent < (60 if gpus == 1 else 150), model
            assert result.basis is not None
            assert 0.15 * load_gpu(gpu).tdp_w * gpus < (result.mean_power_w or 0)
            assert (result.mean_power_w or 0) <= 1.001 * load_gpu(gpu).tdp_w * gpus
    assert answered >= 20
    reasons = (
        "cannot hold", "cannot share", "no request to estimate", "does not fit",
        "no peak is known for float8",  # DeepSeek-V3 is published in 8 bits
    )  # fmt: skip
    assert [line for line in refused if not any(said in line for said in reasons)] == []
