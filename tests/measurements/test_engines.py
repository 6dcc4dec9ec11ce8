"""The vLLM engine against a stand-in that keeps what it was asked."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from joulecast.measurements.engines import (
    ContinuousEngine,
    EngineError,
    EngineRequest,
    EngineSteps,
    SteppedEngine,
    load_engine,
)
from joulecast.measurements.engines.random_weights import draw_weights
from joulecast.measurements.models import load_config
from joulecast.traces.errors import InputError

torch = pytest.importorskip("torch")
REQUEST = EngineRequest("llama-3.1-8b", load_config("llama-3.1-8b"), None, None, 8704)


class StandIn:
    """Looks like vllm.LLM with 28,243 blocks of 16 tokens."""

    asked: ClassVar[dict[str, Any]] = {}

    def __init__(self, **options: Any) -> None:
        StandIn.asked = {"options": options}
        self.llm_engine = SimpleNamespace(
            vllm_config=SimpleNamespace(
                cache_config=SimpleNamespace(
                    num_gpu_blocks=28_243,
                    block_size=16,
                    gpu_memory_utilization=0.92,
                    enable_prefix_caching=False,
                ),
                scheduler_config=SimpleNamespace(
                    max_num_seqs=1024,
                    max_num_batched_tokens=16_384,
                    enable_chunked_prefill=True,
                    async_scheduling=True,
                ),
                model_config=SimpleNamespace(
                    dtype="torch.bfloat16", max_model_len=8704, enforce_eager=False
                ),
                parallel_config=SimpleNamespace(tensor_parallel_size=1),
                compilation_config=SimpleNamespace(max_cudagraph_capture_size=512),
            ),
            engine_core=SimpleNamespace(
                engine_core=SimpleNamespace(
                    scheduler=SimpleNamespace(
                        schedule=self.schedule,
                        update_from_output=lambda plan, output: None,
                        running=[0] * 7,
                        waiting=[0] * 5,
                    )
                )
            ),
            step=list,
        )

    def schedule(self) -> SimpleNamespace:
        new = SimpleNamespace(
            req_id="c",
            prompt_token_ids=[1] * 70,
            num_computed_tokens=0,
            sampling_params=SimpleNamespace(max_tokens=1),
        )
        return SimpleNamespace(
            num_scheduled_tokens={"c": 70},
            total_num_scheduled_tokens=70,
            preempted_req_ids={"a", "b"},
            scheduled_new_reqs=[new],
        )

    def apply_model(self, change: Any) -> None:
        StandIn.asked["redrawn"] = change

    def generate(self, prompts: list[Any], sampling: Any, use_tqdm: bool) -> list[Any]:
        StandIn.asked |= {"prompts": prompts, "sampling": sampling}
        assert len(prompts) == len(sampling)
        return [
            SimpleNamespace(outputs=[SimpleNamespace(token_ids=[0] * each.max_tokens)])
            for each in sampling
        ]


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    module = SimpleNamespace(
        LLM=StandIn,
        SamplingParams=SimpleNamespace,
        __version__="0.22.0",
    )
    monkeypatch.setitem(sys.modules, "vllm", module)
    return module


def test_what_vllm_is_asked_for(vllm: SimpleNamespace) -> None:
    engine = load_engine("vllm", REQUEST)
    options = StandIn.asked["options"]
    assert options["skip_tokenizer_init"]
    assert options["enable_prefix_caching"] is False
    assert options["load_format"] == "dummy"
    assert options["trust_remote_code"] is False
    assert options["max_model_len"] == 8704
    assert "redrawn" in StandIn.asked
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
    load_engine("vllm", REQUEST)
    model = torch.nn.ModuleDict(
        {"up": torch.nn.Linear(64, 64), "input_layernorm": torch.nn.LayerNorm(64, bias=False)}
    )
    assert StandIn.asked["redrawn"] is draw_weights
    draw_weights(model, "cpu")
    assert float(model["up"].weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert float(model["up"].bias.detach().abs().max()) == 0
    assert bool((model["input_layernorm"].weight == 1).all())


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
