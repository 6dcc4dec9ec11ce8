"""What configs of the architectures that people serve say of their models' sizes."""

import json
from pathlib import Path
from typing import Any

import pytest

from joulecast.measurements.models import load_shape
from joulecast.measurements.shapes.architectures import ARCHITECTURES, shape_of
from joulecast.measurements.shapes.shape import Layer, ModelShape
from joulecast.traces.errors import InputError


def config(
    model_type: str,
    hidden: int,
    layers: int,
    heads: tuple[int, int],
    vocabulary: int,
    intermediate: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A config as a hub has it, of what is told of it here."""
    return {
        "model_type": model_type,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "vocab_size": vocabulary,
        "intermediate_size": intermediate,
        **more,
    }


LATENT = {
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
}
OSS = {"num_experts_per_tok": 4, "head_dim": 64, "attention_bias": True, "sliding_window": 128}
MODELS = {
    "mistral-7b": config("mistral", 4096, 32, (32, 8), 32_000, 14_336),
    "mixtral-8x7b": config(
        "mixtral", 4096, 32, (32, 8), 32_000, 14_336, num_local_experts=8, num_experts_per_tok=2
    ),
    "qwen2-7b": config("qwen2", 3584, 28, (28, 4), 152_064, 18_944),
    "qwen1.5-moe-a2.7b": config(
        "qwen2_moe",
        2048,
        24,
        (16, 16),
        151_936,
        5632,
        moe_intermediate_size=1408,
        shared_expert_intermediate_size=5632,
        num_experts=60,
        num_experts_per_tok=4,
    ),
    "qwen3-8b": config("qwen3", 4096, 36, (32, 8), 151_936, 12_288, head_dim=128),
    "qwen3-30b-a3b": config(
        "qwen3_moe",
        2048,
        48,
        (32, 4),
        151_936,
        6144,
        head_dim=128,
        moe_intermediate_size=768,
        num_experts=128,
        num_experts_per_tok=8,
    ),
    "gemma-2-9b": config("gemma2", 3584, 42, (16, 8), 256_000, 14_336, sliding_window=4096),
    "gemma-3-1b": config("gemma3_text", 1152, 26, (4, 1), 262_144, 6912, sliding_window=512),
    "phi-3-mini": config("phi3", 3072, 32, (32, 32), 32_064, 8192, sliding_window=2047),
    "olmo-2-7b": config("olmo2", 4096, 32, (32, 32), 100_352, 11_008),
    "granite-3.1-8b": config(
        "granite", 4096, 40, (32, 8), 49_155, 12_800, tie_word_embeddings=True
    ),
    "glm-4-9b-0414": config(
        "glm4", 4096, 40, (32, 2), 151_552, 13_696, head_dim=128, attention_bias=True
    ),
    "gpt-oss-20b": config("gpt_oss", 2880, 24, (64, 8), 201_088, 2880, num_local_experts=32, **OSS),
    "gpt-oss-120b": config(
        "gpt_oss", 2880, 36, (64, 8), 201_088, 2880, num_local_experts=128, **OSS
    ),
    "deepseek-v2-lite": config(
        "deepseek_v2",
        2048,
        27,
        (16, 16),
        102_400,
        10_944,
        moe_intermediate_size=1408,
        n_routed_experts=64,
        n_shared_experts=2,
        num_experts_per_tok=6,
        first_k_dense_replace=1,
        q_lora_rank=None,
        **LATENT,
    ),
    "deepseek-v3": config(
        "deepseek_v3",
        7168,
        61,
        (128, 128),
        129_280,
        18_432,
        moe_intermediate_size=2048,
        n_routed_experts=256,
        n_shared_experts=1,
        num_experts_per_tok=8,
        first_k_dense_replace=3,
        q_lora_rank=1536,
        **LATENT,
    ),
    "gpt2": {
        "model_type": "gpt2",
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "n_positions": 1024,
        "vocab_size": 50_257,
    },
    "falcon-7b": {
        "model_type": "falcon",
        "hidden_size": 4544,
        "num_hidden_layers": 32,
        "num_attention_heads": 71,
        "vocab_size": 65_024,
        "multi_query": True,
        "parallel_attn": True,
    },
}
PUBLISHED = {  # billions of parameters, as makers or the files of their weights state them
    "mistral-7b": 7.24,
    "mixtral-8x7b": 46.7,
    "qwen2-7b": 7.62,
    "qwen1.5-moe-a2.7b": 14.3,
    "qwen3-8b": 8.19,
    "qwen3-30b-a3b": 30.5,
    "gemma-2-9b": 9.24,
    "gemma-3-1b": 1.00,
    "phi-3-mini": 3.82,
    "olmo-2-7b": 7.30,
    "granite-3.1-8b": 8.17,
    "glm-4-9b-0414": 9.40,
    "gpt-oss-20b": 20.9,
    "gpt-oss-120b": 116.8,
    "deepseek-v2-lite": 15.7,
    "deepseek-v3": 671.0,
    "gpt2": 0.1244,
    "falcon-7b": 6.92,
}
ACTIVE = {  # billions that one token passes; what of embeddings counts differs from maker to maker
    "mixtral-8x7b": 12.9,
    "qwen3-30b-a3b": 3.3,
    "gpt-oss-20b": 3.6,
    "gpt-oss-120b": 5.1,
    "deepseek-v3": 37.0,
}


def shape(name: str, **changes: Any) -> ModelShape:
    return shape_of(name, {**MODELS[name], **changes})


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_add_up_to_what_is_published(name: str) -> None:
    assert shape(name).parameters / 1e9 == pytest.approx(PUBLISHED[name], rel=0.005)


@pytest.mark.parametrize("name", ACTIVE)
def test_a_token_passes_what_is_published(name: str) -> None:
    model, billions = shape(name), 1e9 * ACTIVE[name]
    assert model.active_parameters <= 1.02 * billions
    assert billions <= 1.02 * (model.active_parameters + 2 * model.head_parameters)


def test_a_latent_is_all_that_the_cache_keeps() -> None:
    model = shape("deepseek-v3")
    assert model.kv_bytes_per_token("bfloat16") == 61 * (512 + 64) * 2
    assert model.layers[0].score_width == 128 * 192
    assert model.layers[0].value_width == 128 * 128
    assert (model.layers[2].experts, model.layers[3].experts) == (0, 256)
    assert model.key_value_heads == 1


@pytest.mark.parametrize(
    ("name", "changes", "windows"),
    [
        ("mistral-7b", {}, [None] * 4),
        ("mistral-7b", {"sliding_window": 4096}, [4096] * 4),
        ("qwen2-7b", {"sliding_window": 4096}, [None] * 4),
        (
            "qwen2-7b",
            {"sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 3},
            [None, None, None, 4096],
        ),
        ("gemma-2-9b", {}, [4096, None, 4096, None]),
        ("gemma-3-1b", {"sliding_window_pattern": 3}, [512, 512, None, 512]),
        ("gpt-oss-20b", {}, [128, None, 128, None]),
        (
            "gpt-oss-20b",
            {"num_hidden_layers": 2, "layer_types": ["full_attention", "sliding_attention"]},
            [None, 128],
        ),
        ("phi-3-mini", {}, [2047] * 4),
    ],
)
def test_windows(name: str, changes: dict[str, Any], windows: list[int | None]) -> None:
    assert [layer.window for layer in shape(name, **changes).layers[:4]] == windows


def test_gemma_3_looks_at_everything_in_every_sixth_layer() -> None:
    windows = [layer.window for layer in shape("gemma-3-1b").layers]
    assert [number for number, window in enumerate(windows) if window is None] == [5, 11, 17, 23]


def test_heads_of_a_size_of_their_own() -> None:
    wide, narrow = shape("qwen3-8b", head_dim=256), shape("qwen3-8b")
    assert wide.kv_bytes_per_token("bfloat16") == 2 * narrow.kv_bytes_per_token("bfloat16")
    assert wide.pair_width == 2 * narrow.pair_width


def test_a_tied_head_is_kept_once_and_read_all_the_same() -> None:
    tied = shape("qwen3-8b", tie_word_embeddings=True)
    plain = shape("qwen3-8b")
    assert plain.parameters - tied.parameters == 151_936 * 4096
    assert plain.weight_bytes("bfloat16") - tied.weight_bytes("bfloat16") == 151_936 * 4096 * 2
    assert plain.parameters_read(1) == tied.parameters_read(1)


def test_the_text_model_of_one_that_sees(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    whole = {"model_type": "gemma3", "vision_config": {}, "text_config": MODELS["gemma-3-1b"]}
    path.write_text(json.dumps(whole))
    assert load_shape(str(path)).parameters == shape("gemma-3-1b").parameters


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "rwkv"}, 'has model_type "rwkv", which is none of deepseek_v2, '),
        ({"hidden_size": None}, "lacks 'hidden_size'"),
        ({"hidden_size": 0}, 'has "hidden_size" is 0, which is no size'),
        ({"num_attention_heads": "many"}, "which is no size"),
        ({"num_hidden_layers": 2**30}, "which no model has"),
        ({"layer_types": ["full_attention"]}, '"layer_types" is not one for each layer'),
        ({"num_experts_per_tok": None}, "lacks 'num_experts_per_tok'"),
        ({"num_experts_per_tok": 33}, "and there are 32 experts"),
    ],
)
def test_configs_that_cannot_be(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**MODELS["gpt-oss-20b"], **changes}))
    with pytest.raises(InputError) as refused:
        load_shape(str(path))
    assert str(refused.value).startswith(f"{path}: its config ")
    assert message in str(refused.value)


def test_experts_touched_are_never_more_than_there_are() -> None:
    layer = next(layer for layer in shape("gpt-oss-20b").layers)
    assert isinstance(layer, Layer)
    assert layer.experts_touched(1) == pytest.approx(4)
    assert layer.experts_touched(10_000) == pytest.approx(32)
    assert shape("mistral-7b").layers[0].experts_touched(5) == 0


VARIANTS = [
    *((name, {}) for name in ARCHITECTURES if name != "deepseek_v2"),
    ("deepseek_v2", {"first_k_dense_replace": 1, "n_shared_experts": 2, "num_experts_per_tok": 6}),
    ("deepseek_v3", {"q_lora_rank": None}),
    ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 8}),
    ("falcon", {"parallel_attn": False, "multi_query": False, "bias": True}),
    ("granite", {"tie_word_embeddings": True}),
    ("llama", {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 4}),
    ("qwen2_moe", {"decoder_sparse_step": 2, "mlp_only_layers": [1]}),
    ("qwen3_moe", {"head_dim": 128}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model_type", "changes"), VARIANTS)
@pytest.mark.parametrize("is_short", [False, True])
def test_transformers_counts_as_many(
    model_type: str, changes: dict[str, Any], is_short: bool
) -> None:
    """Of models of four layers; also where the config leaves out what its defaults are."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    layers = {"n_layer" if model_type == "gpt2" else "num_hidden_layers": 4}
    settings = transformers.CONFIG_MAPPING[model_type](**layers, **changes)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(settings)
    model.tie_weights()
    counted = sum(weights.numel() for weights in {id(p): p for p in model.parameters()}.values())
    text = json.loads(settings.to_json_string(use_diff=is_short)) | {"model_type": model_type}
    assert shape_of(model_type, text | changes).parameters == counted
