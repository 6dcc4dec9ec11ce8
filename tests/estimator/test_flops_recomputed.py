"""The stored FLOPs against the DeepSpeed profiler and torch's own counter."""

import json
from pathlib import Path

import pytest

from joulecast.estimator.flops import load_flops, meta_forward, profile, stored_models
from joulecast.measurements.models import load_config, load_shape
from joulecast.traces.errors import InputError
from tests.conftest import RunCli
from tests.measurements.shapes.test_architectures import MODELS

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow  # importing torch, transformers and deepspeed alone takes seconds


@pytest.mark.parametrize("model", stored_models())
def test_stored_equals_recomputed(model: str) -> None:
    assert profile(model) == load_flops(model)


@pytest.mark.parametrize("model", stored_models())
def test_torch_counts_the_same_multiplications(model: str) -> None:
    """Torch counts matrix products and attention; DeepSpeed adds element-wise operations."""
    from torch.utils.flop_counter import FlopCounterMode

    law, shape = load_flops(model), load_shape(model)
    activations = sum(layer.intermediate_width for layer in shape.layers)
    # The profiler counts OLMo's LayerNorms, 4 FLOPs an element, and skips RMS norms.
    norms = (2 * len(shape.layers) + 1) * shape.hidden_size * 4 if "olmo-" in model else 0
    routing = sum(layer.experts for layer in shape.layers)
    with meta_forward(model) as forward:
        for new_tokens, cached_tokens in ((512, 0), (1, 512), (64, 100)):
            with FlopCounterMode(display=False) as counter:
                forward.run(new_tokens, cached_tokens)
            extra = new_tokens * (activations + norms + routing)
            counted = law.forward(new_tokens, cached_tokens) - counter.get_total_flops()
            assert counted == extra, (new_tokens, cached_tokens)


def test_a_profile_leaves_nothing_behind(tmp_path: Path) -> None:
    config = load_config("llama-3.2-1b") | {"num_hidden_layers": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    first = profile(str(tmp_path))
    assert profile(str(tmp_path)) == first


def test_a_failing_forward_does_not_double_later_counts() -> None:
    from joulecast.estimator.flops import MetaForward, _deepspeed_counter

    def broken(new_tokens: int, cached_tokens: int) -> None:
        raise RuntimeError("no")

    with meta_forward("llama-3.2-1b") as forward:
        with pytest.raises(RuntimeError):
            _deepspeed_counter(MetaForward(forward.model, broken))(1, 0)
        counted = _deepspeed_counter(forward)(5, 7)
    assert counted == load_flops("llama-3.2-1b").forward(5, 7)


def test_own_config(tmp_path: Path, run_cli: RunCli) -> None:
    config = load_config("llama-3.2-1b") | {"num_hidden_layers": 2, "attention_bias": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    words = ("flops", tmp_path, "--input", 10, "--output", 1, "--format", "json")
    document = json.loads(run_cli(*words, "--recompute").stdout)
    full = load_flops("llama-3.2-1b")
    per_layer = (full.forward(10, 0) - full.per_pass) // 16
    assert document["flops"] == 2 * per_layer + full.per_pass


@pytest.mark.parametrize(
    "change", [{"model_type": "nonsense"}, {"num_attention_heads": "many"}, {"vocab_size": -5}]
)
def test_configs_that_cannot_be(change: dict, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(load_config("llama-3.2-1b") | change))
    with pytest.raises(InputError, match=r"which is none of|which is no size"):
        profile(str(tmp_path))


@pytest.mark.parametrize("name", MODELS)
def test_sizes_tell_what_the_profiler_counts(name: str, tmp_path: Path) -> None:
    """All but activation functions, routing, and what an eager attention adds; of four layers."""
    config = {key: value for key, value in MODELS[name].items() if value is not None}
    config["n_layer" if name == "gpt2" else "num_hidden_layers"] = 4
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    if "kv_lora_rank" in config:
        with pytest.raises(InputError, match="unfolds the latents of all cached tokens"):
            profile(str(path))
        return
    sizes, counted = load_flops(str(path)), profile(str(path))
    assert counted.per_pass == sizes.per_pass
    assert 0 <= counted.per_token / sizes.per_token - 1 < 0.001
    assert 0 <= counted.per_pair / sizes.per_pair - 1 < 0.005
    shape = load_shape(str(path))
    extra = sum(layer.intermediate_width + layer.experts for layer in shape.layers)
    if name not in {"gemma-2-9b", "gemma-3-1b", "gpt-oss-20b", "gpt-oss-120b", "falcon-7b", "gpt2"}:
        assert counted.per_token - sizes.per_token == extra
