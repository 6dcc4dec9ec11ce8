"""The PyTorch engine itself, with a tiny model on the CPU, and a memory that ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from joulecast.measurements.engines import EngineError, EngineVariant, load_engine, request_bytes
from joulecast.measurements.models import load_shape

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from joulecast.measurements.engines.pytorch import PytorchEngine  # noqa: E402
from tests.measurements.limited_memory import LimitedMemory  # noqa: E402
from tests.measurements.tiny_model import CONFIG, cpu_engine, request  # noqa: E402

LIMIT = 20_000_000

pytestmark = pytest.mark.slow  # importing torch and transformers alone takes seconds


def runs(engine: PytorchEngine, i: int, o: int, batch_size: int, compiled: bool) -> bool:
    """Whether a whole batch, all layers and all steps, runs in the memory there is."""
    try:
        if compiled:  # without the compiler, which the CPU would need a C++ toolchain for
            cache = engine._static_cache(i, o)
            engine._generate(engine._prompts(batch_size, i), o, cache, compiled=False)
        else:
            assert engine.prepare(i, o, batch_size)() == batch_size * o
    except (EngineError, torch.OutOfMemoryError):
        return False
    return True


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("cell", [(128, 8), (128, 1), (64, 16), (16, 64)])
def test_the_largest_batch_runs_whole_and_the_next_does_not(
    cell: tuple[int, int], compiled: bool, tmp_path: Path
) -> None:
    memory = LimitedMemory(LIMIT)
    with memory:
        engine = cpu_engine(tmp_path / "tiny", memory, compiled)
        largest = engine.capacity(*cell)
        assert memory.failures > 0
        assert 1 < largest < 1024
        assert runs(engine, *cell, largest, compiled)
        assert not runs(engine, *cell, largest + 1, compiled)
    record = engine.capacity_record()
    assert record["found"] == [[*cell, largest, largest + 1]]
    assert 0 < record["tries"] < 25
    assert record["gpu_seconds"] >= 0  # rounded: it is short


def test_cells_bound_each_other_and_the_cap_holds(tmp_path: Path) -> None:
    memory = LimitedMemory(LIMIT)
    with memory:
        engine = cpu_engine(tmp_path / "tiny", memory)
        sizes = {(i, o): engine.capacity(i, o) for i in (1, 64, 256) for o in (1, 96)}
    assert sizes[1, 1] == 1024
    for (i, o), size in sizes.items():
        assert all(size >= other for (j, p), other in sizes.items() if j >= i and p >= o)


def test_running_out_of_memory_leaves_no_tensor_behind(tmp_path: Path) -> None:
    memory = LimitedMemory(LIMIT)
    with memory:
        engine = cpu_engine(tmp_path / "tiny", memory)
        engine.capacity(512, 8)
        memory.release()
        before = memory.used_bytes
        batch = engine.prepare(512, 8, 500)
        with pytest.raises(EngineError, match=r"ran out of memory with 500 requests of 512 \+ 8"):
            batch()
        del batch
        engine.capacity(256, 8)
        memory.release()
        assert memory.used_bytes == before
        assert engine.prepare(32, 8, 4)() == 32


def test_a_model_that_does_not_fit_at_all(tmp_path: Path) -> None:
    memory = LimitedMemory(LIMIT)
    with memory:
        engine = cpu_engine(tmp_path / "tiny", memory)
        memory.limit_bytes = memory.used_bytes + 100_000
        with pytest.raises(EngineError, match=r"not one request of 512 \+ 8 tokens fits"):
            engine.capacity(512, 8)


def test_lengths_are_exact_whatever_the_model_says(tmp_path: Path) -> None:
    """This model says "end" at every step: its output is all zeros, and 0 ends a sequence."""
    engine = cpu_engine(tmp_path / "tiny")
    with torch.no_grad():
        engine._model.lm_head.weight.zero_()
    batch = engine.prepare(20, 9, 3)
    assert [batch(), batch()] == [27, 27]
    tokens = engine._generate(engine._prompts(3, 20), 9, None)
    assert tokens.shape == (3, 29)
    assert bool((tokens[:, 20:] == 0).all())


def test_a_static_cache_gives_the_same_tokens(tmp_path: Path) -> None:
    engine = cpu_engine(tmp_path / "tiny", compiled=True)
    engine._model.float()  # in bfloat16, two tokens are too often equally likely
    prompts = engine._prompts(4, 30)
    cache = engine._static_cache(30, 12)
    grown = engine._generate(prompts, 12, None)
    fixed = engine._generate(prompts, 12, cache, compiled=False)
    assert torch.equal(grown, fixed)
    cache.reset()
    assert torch.equal(engine._generate(prompts, 12, cache, compiled=False), fixed)


def test_what_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole batches are; tries are not, and neither is anything unless it was asked for."""
    asked: list[tuple[bool, Any]] = []

    def generate(prompts: Any, generation_config: Any, past_key_values: Any, **_: Any) -> Any:
        asked.append((generation_config.disable_compile, past_key_values))
        rows, tokens = prompts.shape
        return torch.zeros(rows, tokens + generation_config.max_new_tokens)

    plain, compiled = cpu_engine(tmp_path / "a"), cpu_engine(tmp_path / "b", compiled=True)
    for engine in (plain, compiled):
        monkeypatch.setattr(engine._model, "generate", generate)
    assert plain.prepare(16, 8, 2)() == 16
    assert asked == [(True, None)]
    asked.clear()
    batch = compiled.prepare(16, 8, 2)
    assert len(asked) == 1  # compiled before the window begins
    assert batch() == 16
    (early, cache), (late, same) = asked
    assert (early, late) == (False, False)
    assert cache is same
    assert cache.get_max_length() == 23
    asked.clear()
    compiled._fits(16, 8, 2)
    assert [disabled for disabled, _ in asked] == [True]


def test_nothing_is_left_to_compile_in_a_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch.compile itself traces the decode step once per shape, before the window begins."""
    from torch._dynamo.utils import counters

    engine = cpu_engine(tmp_path / "tiny", compiled=True)
    own = engine._transformers.CompileConfig

    def on_every_device(**how: Any) -> Any:
        config = own(**how | {"mode": None, "backend": "eager"})  # needs no C++ toolchain
        config._compile_all_devices = True
        return config

    monkeypatch.setattr(engine._transformers, "CompileConfig", on_every_device)
    counters.clear()
    for k, shape in enumerate([(16, 24, 2), (40, 6, 3)], start=1):
        batch = engine.prepare(*shape)
        assert counters["stats"]["unique_graphs"] == k
        assert [batch(), batch()] == [shape[1] * shape[2]] * 2
        assert counters["stats"]["unique_graphs"] == k


def test_what_it_says_of_itself(tmp_path: Path) -> None:
    engine = cpu_engine(tmp_path / "tiny")
    settings = engine.settings()
    assert engine.version == f"transformers {transformers.__version__}"
    assert settings["torch"] == torch.__version__
    assert (settings["attention"], settings["kv_cache"]) == ("sdpa", "dynamic")
    assert settings["compiled"] is False
    assert engine._model.dtype == torch.bfloat16
    assert engine._model.config._attn_implementation == "sdpa"
    assert engine.weights == "drawn from N(0, 0.02), norms 1"
    up = engine._model.model.layers[2].mlp.up_proj.weight.detach().float()
    assert float(up.std()) == pytest.approx(0.02, rel=0.02)
    fixed = cpu_engine(tmp_path / "tiny", compiled=True).settings()
    assert (fixed["compiled"], fixed["kv_cache"]) == (True, "static")
    assert fixed["compile_mode"] == "default"
    assert "compile_mode" not in settings


def test_given_weights(tmp_path: Path) -> None:
    """Sampling settings and end tokens that lie beside the weights change nothing."""
    own = cpu_engine(tmp_path / "tiny")
    folder = tmp_path / "given"
    own._model.generation_config = transformers.GenerationConfig(
        do_sample=True, temperature=0.5, eos_token_id=list(range(101)), max_length=7
    )
    own._model.save_pretrained(folder)
    loaded = cpu_engine(tmp_path / "tiny", weights=folder)
    assert loaded.weights == "given: given"
    ours = own._model.model.embed_tokens.weight
    assert torch.equal(loaded._model.model.embed_tokens.weight, ours)
    assert loaded.prepare(16, 11, 2)() == 22
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(EngineError, match="cannot load the model"):
        cpu_engine(tmp_path / "tiny", weights=folder)


def test_other_errors_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = cpu_engine(tmp_path / "tiny")

    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("device-side assert\ntriggered")

    monkeypatch.setattr(engine._model, "generate", crash)
    with pytest.raises(EngineError, match=r"^PyTorch crashed with 1 requests .* assert triggered$"):
        engine.prepare(4, 4, 1)()
    with pytest.raises(EngineError, match="PyTorch crashed: device-side"):
        engine.capacity(4, 4)
    monkeypatch.undo()
    assert len(engine._model.model.layers) == CONFIG["num_hidden_layers"]
    assert engine.prepare(4, 4, 1)() == 4


def test_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(tmp_path / "tiny")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match="sees no CUDA GPU"):
        load_engine("pytorch", asked)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(EngineError, match="runs on one GPU"):
        load_engine("pytorch", request(tmp_path / "tiny", variant=EngineVariant(gpus=2)))
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(EngineError, match=r"joulecast\[measure\]"):
        load_engine("pytorch", asked)


def test_memory_of_a_request_by_hand() -> None:
    """Llama-3.1-8B: 128 KiB of cache a token; 3 x 14336 + 4 x 4096 values of 2 bytes besides."""
    shape = load_shape("llama-3.1-8b")
    prefill = 8192 * (131_072 + 2 * (43_008 + 16_384))
    assert request_bytes("pytorch", shape, "bfloat16", 8192, 8) == prefill
    decoding = 543 * 131_072 * (1 + 1 / 64)
    assert request_bytes("pytorch", shape, "bfloat16", 32, 512) == decoding
    assert request_bytes("vllm", shape, "bfloat16", 32, 512) == 544 * 131_072


def test_a_large_vocabulary_counts(tmp_path: Path) -> None:
    """What a step made of its tokens is still held during the next one."""
    memory = LimitedMemory(LIMIT)
    large = {**CONFIG, "vocab_size": 4_000, "tie_word_embeddings": True}
    with memory:
        engine = cpu_engine(tmp_path / "tiny", memory, config=large)
        largest = engine.capacity(8, 8)
        assert runs(engine, 8, 8, largest, False)
        assert not runs(engine, 8, 8, round(1.03 * largest), False)


def test_models_whose_cache_is_another_are_refused(tmp_path: Path) -> None:
    """A sliding window forgets, so the search would take it for more than it is."""
    sliding = {**CONFIG, "model_type": "mistral", "architectures": ["MistralForCausalLM"]}
    with pytest.raises(EngineError, match="do not all cache the whole context alike"):
        cpu_engine(tmp_path / "tiny", config={**sliding, "sliding_window": 64})
    assert cpu_engine(tmp_path / "tiny", config={**sliding, "sliding_window": None})


def test_cache_sizes_come_from_the_model(tmp_path: Path) -> None:
    """Qwen3's heads are 128 wide unless its config says otherwise, whatever hidden / heads is."""
    memory = LimitedMemory(LIMIT)
    config = {k: v for k, v in CONFIG.items() if k != "head_dim"}
    config |= {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}
    with memory:
        engine = cpu_engine(tmp_path / "tiny", memory, config=config)
        largest = engine.capacity(16, 40)
        assert runs(engine, 16, 40, largest, False)
        assert not runs(engine, 16, 40, largest + 1, False)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    own = cpu_engine(tmp_path / "tiny")
    own._model.save_pretrained(tmp_path / "given")
    other = {**CONFIG, "num_hidden_layers": 4}
    with pytest.raises(EngineError, match="of another model than"):
        load_engine(
            "pytorch", request(tmp_path / "other", config=other, weights=tmp_path / "given")
        )
    # Four layers that say they are three's: the last has no weights.
    (tmp_path / "given/config.json").write_text(json.dumps(other))
    with pytest.raises(EngineError, match=r"the weights lack model\.layers\.3"):
        cpu_engine(tmp_path / "other", config=other, weights=tmp_path / "given")
