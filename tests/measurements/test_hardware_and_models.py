import json
from pathlib import Path

import pytest

from joulecast.measurements.hardware import gpu_names, load_gpu
from joulecast.measurements.models import load_config, load_shape, model_names
from joulecast.traces.errors import InputError


def test_the_gpus_asked_for_ship() -> None:
    names = {"a100-pcie-80gb", "h100-sxm", "h200-sxm", "rtx-6000-ada", "rtx-a6000", "mi300x"}
    assert names <= {*gpu_names()}
    assert len(gpu_names()) >= 25


@pytest.mark.parametrize("name", gpu_names())
def test_every_figure_is_possible_and_has_a_source(name: str) -> None:
    gpu = load_gpu(name)
    assert 60 <= gpu.tdp_w <= 1400
    assert 16e9 <= gpu.memory_bytes <= 300e9
    assert 0.2e12 <= gpu.memory_bytes_per_s <= 10e12
    for dtype, peaks in gpu.peak_flops.items():
        if "sparse" in peaks:
            assert peaks["sparse"] == pytest.approx(2 * peaks["dense"], rel=0.005)
        assert all(gpu.sources[f"{dtype} {peak}"] for peak in peaks)
        if dtype == "float8":
            half = gpu.peak("bfloat16")
            assert peaks["dense"] == pytest.approx(2 * half, rel=0.03)
    assert all(gpu.sources[key] for key in ("tdp_w", "memory_bytes", "memory_bytes_per_s"))
    if gpu.idle_power_w is not None:
        assert 0 < gpu.idle_power_w < 0.5 * gpu.tdp_w
        assert gpu.sources["idle_power_w"]


def test_a_peak_that_no_data_sheet_has() -> None:
    with pytest.raises(InputError, match="has no sparse peak for bfloat16"):
        load_gpu("l40s").peak("bfloat16", "sparse")
    assert list(load_gpu("l40s").peaks("bfloat16")) == ["dense"]


def test_pytorch_plans_its_attention_on_hopper_and_blackwell_of_data_centres() -> None:
    plans = {name for name in gpu_names() if load_gpu(name).plans_attention}
    assert plans == {
        "h100-sxm", "h100-pcie", "h100-nvl", "h200-sxm", "h200-nvl", "b200-sxm", "gb200",
    }  # fmt: skip
    assert all("capability" in load_gpu(name).sources["plans_attention"] for name in plans)
    assert "plans_attention" not in load_gpu("l4").sources


MINE = {
    "product": "My GPU",
    "tdp_w": 400,
    "memory_bytes": 48e9,
    "memory_bytes_per_s": {"value": 1e12, "source": "its box"},
    "peak_flops": {"bfloat16": {"dense": 2e14}},
}


def test_a_data_sheet_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(MINE))
    gpu = load_gpu(str(path))
    assert (gpu.name, gpu.product, gpu.tdp_w) == ("mine.json", "My GPU", 400)
    assert gpu.peak("bfloat16") == 2e14
    assert gpu.sources["memory_bytes_per_s"] == "its box"
    assert gpu.sources["tdp_w"] == "not told"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tdp_w": -1}, '"tdp_w" is -1, and not a number above 0'),
        ({"tdp_w": True}, '"tdp_w" is True'),
        ({"tdp_w": "400 W"}, "is '400 W'"),
        ({"tdp_w": 1e400}, "Infinity is not JSON"),
        ({"tdp_w": None}, "is None"),
        ({"peak_flops": {}}, 'must have a "dense" peak'),
        ({"peak_flops": {"bfloat16": {"sparse": 1e14}}}, 'must have a "dense" peak'),
        ({"peak_flops": {"bfloat16": {"dense": 1e14}, "int3": {"dense": 1e14}}}, "float8 alone"),
        ({"peak_flops": [1]}, "must be like"),
        ({"tdp_w": 10**400}, "is no data sheet"),
        ({"memory_bytes_per_s": 864}, "and not from 1e+10 to 1e+14"),
        ({"memory_bytes": 48}, "and not from 1e+09"),
        ({"tdp_w": 1e30}, "and not from 10 to 5000"),
        ({"idle_power_w": 500}, "is not below"),
        ({"plans_attention": 1}, "and not true or false"),
    ],
)
def test_a_data_sheet_that_cannot_be(tmp_path: Path, change: dict, said: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(MINE | change))
    with pytest.raises(InputError) as raised:
        load_gpu(str(path))
    assert said in str(raised.value)
    assert "mine.json" in str(raised.value)


def test_a_data_sheet_that_is_none(tmp_path: Path) -> None:
    for text in ("[]", "3", "{}", "nonsense"):
        path = tmp_path / "mine.json"
        path.write_text(text)
        with pytest.raises(InputError, match=r"mine\.json"):
            load_gpu(str(path))
    with pytest.raises(InputError, match=r"none\.json"):
        load_gpu("none.json")


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


PUBLISHED = {  # billions of parameters, as their files hold or their makers state them
    "llama-2-7b": 6.738, "llama-3.1-70b": 70.554, "mistral-7b": 7.248, "mixtral-8x7b": 46.703,
    "qwen2.5-0.5b": 0.494, "qwen2.5-7b": 7.616, "qwen2.5-72b": 72.706, "qwen3-8b": 8.191,
    "qwen3-30b-a3b": 30.532, "gemma-2-9b": 9.242, "gemma-3-27b": 27.009, "phi-4": 14.660,
    "deepseek-v2-lite": 15.706, "deepseek-v3": 671.026, "gpt-oss-20b": 20.915,
    "gpt-oss-120b": 116.829, "olmo-2-7b": 7.299, "falcon-7b": 6.922, "gpt2": 0.124,
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_models_that_people_serve_ship(name: str) -> None:
    assert load_shape(name).parameters / 1e9 == pytest.approx(PUBLISHED[name], rel=0.005)


def test_every_shipped_model_has_a_shape() -> None:
    assert len(model_names()) >= 60
    for name in model_names():
        assert load_shape(name).active_parameters > 0


def test_gemma_3_as_published_leaves_its_defaults_out(tmp_path: Path) -> None:
    config = dict(load_config("gemma-3-4b"))
    left_out = ("num_attention_heads", "num_key_value_heads", "vocab_size", "head_dim")
    text = {key: value for key, value in config["text_config"].items() if key not in left_out}
    (tmp_path / "config.json").write_text(json.dumps(config | {"text_config": text}))
    assert load_shape(str(tmp_path)).parameters == load_shape("gemma-3-4b").parameters


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
