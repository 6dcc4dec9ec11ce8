"""The vLLM engine against a stand-in that keeps what it was asked."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from joulecast.measurements.engines import (
    ContinuousEngine,
    EngineError,
    EngineRequest,
    EngineSteps,
    EngineVariant,
    SteppedEngine,
    load_engine,
)
from joulecast.measurements.engines.random_weights import draw_weights
from joulecast.measurements.models import load_config
from joulecast.traces.errors import InputError
from tests.measurements.engines.vllm_stand_in import BUDGET, StandIn, install

torch = pytest.importorskip("torch")
REQUEST = EngineRequest("llama-3.1-8b", load_config("llama-3.1-8b"), None, EngineVariant(), 8704)


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    return install(monkeypatch)


def test_what_vllm_is_asked_for(vllm: SimpleNamespace) -> None:
    engine = load_engine("vllm", REQUEST)
    options = StandIn.asked["options"]
    assert options["skip_tokenizer_init"]
    assert options["enable_prefix_caching"] is False
    assert options["load_format"] == "dummy"
    assert options["trust_remote_code"] is False
    assert options["max_model_len"] == 8704
    assert options["enforce_eager"] is False
    assert (options["max_num_seqs"], options["tensor_parallel_size"]) == (1024, 1)
    assert not {"quantization", "max_num_batched_tokens"} & set(options)
    assert len(StandIn.asked["models"]) == 1
    assert (Path(options["model"]) / "config.json").is_file()
    assert engine.dtype == "bfloat16"
    assert engine.settings()["kv_cache_tokens"] == 451_872
    run = engine.prepare(100, 8, 5)
    assert run() == 40
    assert [len(prompt["prompt_token_ids"]) for prompt in StandIn.asked["prompts"]] == [100] * 5
    sampling = StandIn.asked["sampling"][4]
    assert (sampling.min_tokens, sampling.max_tokens, sampling.ignore_eos) == (8, 8, True)


@pytest.mark.parametrize(
    ("cell", "largest"),
    [((32, 8), 1024), ((512, 8), 855), ((512, 512), 441), ((8192, 512), 51), ((1024, 8), 434)],
)
def test_largest_batches_are_whole_blocks(cell, largest: int, vllm: SimpleNamespace) -> None:
    assert load_engine("vllm", REQUEST).capacity(*cell) == largest


def test_a_request_that_never_fits(vllm: SimpleNamespace) -> None:
    with pytest.raises(EngineError, match="does not fit"):
        load_engine("vllm", REQUEST).capacity(10**6, 1)


def test_weights_are_drawn(vllm: SimpleNamespace) -> None:
    """On each GPU by the name of a method, and alike, since norms and routers must not differ."""
    load_engine("vllm", replace(REQUEST, variant=EngineVariant(gpus=2)))
    first, second = StandIn.asked["models"]
    for model in (first, second):
        assert float(model["up"].weight.detach().std()) == pytest.approx(0.02, rel=0.1)
        assert float(model["up"].bias.detach().abs().max()) == 0
        assert bool((model["input_layernorm"].weight == 1).all())
    assert torch.equal(first["up"].weight, second["up"].weight)


def test_a_variant_is_asked_for_and_said(vllm: SimpleNamespace) -> None:
    variant = EngineVariant(2, False, "fp8", 16, 4096)
    engine = load_engine("vllm", replace(REQUEST, variant=variant))
    options, settings = StandIn.asked["options"], engine.settings()
    for asked, setting, value in (
        ("tensor_parallel_size", "tensor_parallel_size", 2),
        ("enforce_eager", "eager", True),
        ("quantization", "quantization", "fp8"),
        ("max_num_seqs", "max_num_seqs", 16),
        ("max_num_batched_tokens", "max_num_batched_tokens", 4096),
    ):
        assert (options[asked], settings[setting]) == (value, value)
    assert engine.dtype == "bfloat16"
    assert engine.capacity(32, 8) == 16
    plain = load_engine("vllm", REQUEST).settings()
    assert (plain["quantization"], plain["eager"]) == (None, False)
    assert (plain["max_num_seqs"], plain["max_num_batched_tokens"]) == (1024, BUDGET)


@pytest.mark.parametrize(
    ("engine", "variant", "said"),
    [
        ("pytorch", EngineVariant(gpus=2), "runs on one GPU"),
        ("pytorch", EngineVariant(quantization="fp8"), "has no --quantization; leave it out"),
        ("pytorch", EngineVariant(max_num_seqs=8), "has no --max-num-seqs; leave it out"),
        ("pytorch", EngineVariant(max_num_batched_tokens=8), "has no --max-num-batched-tokens"),
        ("vllm", EngineVariant(max_num_batched_tokens=512), "512 is less than .* 1024 requests"),
    ],
)
def test_variants_that_an_engine_lacks_are_refused_before_it_starts(
    engine: str, variant: EngineVariant, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("vllm", "transformers"):
        monkeypatch.setitem(sys.modules, package, None)  # importing it would be another error
    with pytest.raises(EngineError, match=said):
        load_engine(engine, replace(REQUEST, variant=variant))


def test_weights_of_eight_bits_times_their_scale_are_as_others() -> None:
    """As vLLM's online quantization leaves them: transposed, with a scale for each column."""

    def parameter(values: Any) -> Any:
        return torch.nn.Parameter(values, requires_grad=False)

    layer = torch.nn.Module()
    layer.weight = parameter(torch.zeros(96, 512, dtype=torch.bfloat16).to(torch.float8_e4m3fn).t())
    layer.weight_scale = parameter(torch.zeros(96, 1))
    model = torch.nn.ModuleDict({"proj": layer, "embed": torch.nn.Embedding(64, 64)})
    draw_weights(model)
    assert layer.weight.dtype == torch.float8_e4m3fn
    assert layer.weight.stride() == (1, 512)
    values = layer.weight.float() * layer.weight_scale.t()
    assert float(values.std()) == pytest.approx(0.02, rel=0.02)
    assert float(values.mean()) == pytest.approx(0, abs=5e-4)
    assert torch.isfinite(values).all()
    assert float(values.abs().max()) <= 448 * 0.02 / 90 * 1.0001
    assert len(layer.weight.float().unique()) > 100
    assert float(model["embed"].weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    layer.weight = parameter(torch.zeros(4, 4, dtype=torch.int32))
    with pytest.raises(ValueError, match=r"proj\.weight is packed as torch.int32"):
        draw_weights(model)


def crash(*_: object, **__: object) -> None:
    raise RuntimeError("CUDA out of memory.\nTried to allocate 20 GiB")


def test_crashes_are_one_line(vllm: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = load_engine("vllm", REQUEST)
    monkeypatch.setattr(StandIn, "generate", crash)
    with pytest.raises(EngineError, match=r"^vLLM crashed: CUDA out of memory. Tried to"):
        engine.prepare(1, 1, 1)()
    monkeypatch.setattr(StandIn, "__init__", crash)
    with pytest.raises(EngineError, match="vLLM does not start"):
        load_engine("vllm", REQUEST)


def test_steps_are_counted_from_zero_each_time(vllm: SimpleNamespace) -> None:
    engine = load_engine("vllm", REQUEST)
    assert isinstance(engine, ContinuousEngine)
    scheduler = engine._llm.llm_engine.engine_core.engine_core.scheduler
    first = engine.record_steps()
    for _ in range(3):
        assert scheduler.schedule().total_num_scheduled_tokens == 70
    second = engine.record_steps()
    scheduler.schedule()
    assert first == EngineSteps(steps=3, tokens=210, preempted=6)
    assert second == EngineSteps(steps=1, tokens=70, preempted=2)
    assert engine.settings()["max_cudagraph_capture_size"] == 512
    elsewhere = load_engine("vllm", REQUEST)
    elsewhere._llm.llm_engine.engine_core = None
    with pytest.raises(EngineError, match="keeps its scheduler elsewhere"):
        elsewhere.record_steps()


def test_without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(EngineError, match=r"joulecast\[vllm\]"):
        load_engine("vllm", REQUEST)
    with pytest.raises(InputError, match='did you mean "vllm"'):
        load_engine("vlm", REQUEST)


@pytest.mark.parametrize("first", ["count", "log"])
def test_steps_are_logged_and_counted_independently(first: str, vllm: SimpleNamespace) -> None:
    engine = load_engine("vllm", REQUEST)
    assert isinstance(engine, SteppedEngine)
    if first == "count":
        engine.record_steps()
    engine.start_step_log()
    counted = engine.record_steps()
    llm_engine = engine._llm.llm_engine
    scheduler = llm_engine.engine_core.engine_core.scheduler
    scheduler.update_from_output(scheduler.schedule(), None)
    llm_engine.step()
    log = engine.stop_step_log()
    (step,) = log.steps
    assert (step.prompt_tokens, step.pairs, step.sampled, step.preempted) == (70, 2450.0, 1, 2)
    assert (step.running, step.waiting) == (7, 5)
    assert step.schedule_begin < step.schedule_end < step.output_at < step.returned
    assert log.requests["c"].produced == log.requests["c"].output_tokens == 1
    scheduler.schedule()
    assert (counted.steps, counted.tokens, counted.preempted) == (2, 140, 4)
    assert len(log.steps) == 1


def test_a_scheduler_that_is_elsewhere_is_a_line(vllm: SimpleNamespace) -> None:
    engine = load_engine("vllm", REQUEST)
    with pytest.raises(EngineError, match="was stopped without having been started"):
        engine.stop_step_log()
    engine._llm.llm_engine.engine_core = SimpleNamespace()
    with pytest.raises(EngineError, match=r"vLLM 0\.22\.0 keeps its scheduler elsewhere, and its"):
        engine.start_step_log()


def test_requests_in_flight_are_limited_between_runs(vllm: SimpleNamespace) -> None:
    engine = load_engine("vllm", replace(REQUEST, variant=EngineVariant(max_num_seqs=64)))
    scheduler = engine._llm.llm_engine.engine_core.engine_core.scheduler
    engine.limit_running(8)
    assert scheduler.max_num_running_reqs == 8
    assert engine.settings()["max_num_seqs"] == 64  # what CUDA graphs and buffers are sized for
    engine.limit_running(None)
    assert scheduler.max_num_running_reqs == 64
    with pytest.raises(EngineError, match="started for 64 requests at once, and 65 are to be in"):
        engine.limit_running(65)
    del scheduler.max_num_running_reqs
    with pytest.raises(EngineError, match=r"elsewhere, and requests in flight cannot be limited"):
        engine.limit_running(8)
