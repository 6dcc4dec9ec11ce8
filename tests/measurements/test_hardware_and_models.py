import json
from pathlib import Path

import pytest

from joulecast.measurements.hardware import gpu_names, load_gpu
from joulecast.measurements.models import load_config, load_shape, model_names
from joulecast.traces.errors import InputError


def test_the_gpus_asked_for_ship() -> None:
    assert gpu_names() == ["a100-pcie-80gb", "h100-sxm", "h200-sxm", "rtx-6000-ada", "rtx-a6000"]


@pytest.mark.parametrize("name", gpu_names())
def test_every_figure_is_possible_and_has_a_source(name: str) -> None:
    gpu = load_gpu(name)
    assert 200 <= gpu.tdp_w <= 1000
    assert 40e9 <= gpu.memory_bytes <= 200e9
    assert 0.5e12 <= gpu.memory_bytes_per_s <= 10e12
    for dtype, peaks in gpu.peak_flops.items():
        assert peaks["sparse"] == pytest.approx(2 * peaks["dense"], rel=1e-3)
        assert gpu.sources[f"{dtype} dense"]
        assert gpu.sources[f"{dtype} sparse"]
    assert all(gpu.sources[key] for key in ("tdp_w", "memory_bytes", "memory_bytes_per_s"))


def test_the_papers_gpu() -> None:
    gpu = load_gpu("rtx-a6000")
    assert (gpu.tdp_w, gpu.peak("bfloat16", "sparse")) == (300, 309.7e12)
    assert gpu.peak("bfloat16") == 154.8e12
    with pytest.raises(InputError, match="no peak is known for int3"):
        gpu.peak("int3")


def test_unknown_gpu_names_the_nearest() -> None:
    with pytest.raises(InputError, match='did you mean "h100-sxm"'):
        load_gpu("H100")


@pytest.mark.parametrize(
    ("name", "billions"),
    [  # parameters as their makers state them
        ("llama-3.1-8b", 8.03),
        ("llama-3.2-1b", 1.24),
        ("qwen1.5-32b", 32.5),
        ("olmo-1b", 1.18),
        ("olmo-7b", 6.89),
        ("olmoe-1b-7b", 6.92),
    ],
)
def test_shapes_add_up_to_the_size_of_the_model(name: str, billions: float) -> None:
    assert load_shape(name).parameters / 1e9 == pytest.approx(billions, rel=0.005)


def test_all_models_asked_for_ship() -> None:
    assert len(model_names()) == 7


def test_a_step_reads_more_experts_the_more_tokens_it_has() -> None:
    moe = load_shape("olmoe-1b-7b")
    assert moe.parameters_read(1) == pytest.approx(moe.active_parameters + moe.head_parameters)
    norms = sum(layer.other for layer in moe.layers) + moe.other
    everything = moe.parameters - moe.head_parameters - norms
    assert moe.parameters_read(1000) == pytest.approx(everything)
    dense = load_shape("llama-3.1-8b")
    assert dense.parameters_read(1) == dense.parameters_read(1000)


def test_kv_cache_of_llama() -> None:
    assert load_shape("llama-3.1-8b").kv_bytes_per_token("bfloat16") == 2 * 32 * 8 * 128 * 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model_type": "llama"}', "\xff", "[" * 100_000])
def test_configs_that_are_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"config\.json|its config lacks"):
        load_shape(str(path))


def test_own_config_by_file_or_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(load_config("llama-3.2-1b")))
    assert len(load_shape(str(tmp_path)).layers) == 16
    assert load_shape(str(tmp_path / "config.json")).layers[0].score_width == 32 * 64
