"""Decoding strategies and speculation in vLLM, against its stand-in."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from joulecast.measurements.engines import (
    EngineError,
    EngineRequest,
    EngineVariant,
    RetunableEngine,
    SpeculatingEngine,
    load_engine,
    retune,
)
from joulecast.measurements.engines.decoding import AcceptanceCount, Decoding, Speculation
from joulecast.measurements.models import load_config

pytest.importorskip("torch")

from tests.measurements.engines.vllm_stand_in import StandIn, install

MODEL = "llama-3.1-8b"
DRAFT = Speculation("llama-3.2-1b", 4, 0.5)


@pytest.fixture(autouse=True)
def vllm(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    return install(monkeypatch)


def asked(decoding: str = "greedy", speculation: Speculation | None = None) -> EngineRequest:
    variant = EngineVariant(decoding=Decoding.of(decoding), speculation=speculation)
    return EngineRequest(MODEL, load_config(MODEL), None, variant, 576)


def test_tokens_are_drawn_as_asked_and_one_engine_does_all() -> None:
    request = asked()
    engine = load_engine("vllm", request)
    assert isinstance(engine, RetunableEngine)
    for text, temperature, top_p in (
        ("greedy", 0.0, None),
        ("temperature:0.8", 0.8, None),
        ("top-p:0.9", 1.0, 0.9),
    ):
        retune(engine, replace(request.variant, decoding=Decoding.of(text)))
        assert engine.prepare(100, 8, 5)() == 40
        for sampling in StandIn.asked["sampling"]:
            assert sampling.temperature == temperature
            assert getattr(sampling, "top_p", None) == top_p
            assert (sampling.min_tokens, sampling.max_tokens, sampling.ignore_eos) == (8, 8, True)
        assert engine.settings()["decoding_strategy"] == text


@pytest.mark.parametrize("text", ["temperature:0.8", "top-p:0.9"])
def test_kernels_that_draw_are_compiled_before_a_batch(text: str) -> None:
    engine = load_engine("vllm", asked(text))
    fed: list[tuple[int, int]] = []
    own = engine._llm.generate

    def generate(
        prompts: list[dict[str, list[int]]], sampling: object, **options: object
    ) -> object:
        fed.append((len(prompts), len(prompts[0]["prompt_token_ids"])))
        return own(prompts, sampling, **options)

    engine._llm.generate = generate
    for size in (5, 5, 6):
        engine.prepare(100, 8, size)()
    # Once for each number of requests, and never within the batch itself.
    assert fed == [(5, 16), (5, 100), (5, 100), (6, 16), (6, 100)]
    fed.clear()
    retune(engine, EngineVariant())
    engine.prepare(100, 8, 7)()
    assert fed == [(7, 100)]


def test_beams_are_searched_by_vllm_with_an_empty_prefix_cache() -> None:
    engine = load_engine("vllm", asked("beam:16"))
    options = StandIn.asked["options"]
    assert (options["enable_prefix_caching"], options["max_logprobs"]) == (True, 32)
    batch = engine.prepare(100, 8, 5)
    assert [batch(), batch()] == [40, 40]
    assert engine._llm.resets == 2
    assert StandIn.asked["beam_width"] == 16
    # 1,024 sequences are 64 requests; of 4,096 + 512 tokens 28,242 blocks hold 256 shared ones and
    # 16 x 32 others each.
    assert engine.capacity(512, 64) == 64
    assert engine.capacity(4096, 512) == 28_242 // (256 + 16 * 32)
    with pytest.raises(EngineError, match="requests of one output length"):
        engine.prepare_requests([(5, 5), (5, 6)])
    with pytest.raises(EngineError, match="the steps of beam search are no steps"):
        engine.start_step_log()


def test_a_prefix_cache_that_stays_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = load_engine("vllm", asked("beam:2"))
    batch = engine.prepare(10, 2, 1)
    monkeypatch.setattr(StandIn, "reset_prefix_cache", lambda self: False)
    with pytest.raises(EngineError, match="does not empty its prefix cache"):
        batch()


def test_a_draft_is_drawn_and_what_it_gets_accepted_changes_on_the_way() -> None:
    request = asked(speculation=DRAFT)
    engine = load_engine("vllm", request)
    options = StandIn.asked["options"]
    config = options["speculative_config"]
    draft = json.loads((Path(config.pop("model")) / "config.json").read_text())
    assert draft == load_config("llama-3.2-1b")
    assert config == {
        "method": "draft_model",
        "num_speculative_tokens": 4,
        "rejection_sample_method": "synthetic",
        "synthetic_acceptance_rates": [0.5, 0.25, 0.125, 0.0625],
    }
    assert options["max_model_len"] == 576 + 5
    (worker,) = StandIn.asked["workers"]
    drawn = worker.model_runner.drafter.model["up"].weight.detach()
    assert float(drawn.std()) == pytest.approx(0.02, rel=0.1)
    rates = worker.model_runner.rejection_sampler.synthetic_conditional_rates
    assert rates.tolist() == [0.5] * 4
    for acceptance in (0.0, 1.0, 0.75):
        other = DRAFT.with_acceptance(acceptance)
        retune(engine, replace(request.variant, speculation=other))
        assert rates.tolist() == [acceptance] * 4
        assert engine.settings()["speculation"] == other.text
    assert engine.prepare(512, 64, 2)() == 128
    assert not hasattr(StandIn.asked["sampling"][0], "min_tokens")
    assert StandIn.asked["sampling"][0].ignore_eos
    # 512 + 64 - 1 tokens, and 4 that are proposed: 37 blocks.
    assert engine.capacity(512, 64) == 28_242 // 37
    with pytest.raises(EngineError, match="the steps of speculation are no steps"):
        engine.start_step_log()


def test_accepted_tokens_are_counted_by_the_scheduler() -> None:
    engine = load_engine("vllm", asked(speculation=DRAFT))
    assert isinstance(engine, SpeculatingEngine)
    scheduler = engine._llm.llm_engine.engine_core.engine_core.scheduler
    first = engine.record_acceptance()
    for accepted in (4, 1):
        counts = {"num_draft_tokens": 4, "num_accepted_tokens": accepted, "request_id": "a"}
        assert scheduler.make_spec_decoding_stats("kept", **counts) == "kept"
    second = engine.record_acceptance()
    scheduler.make_spec_decoding_stats(None, num_draft_tokens=3, num_accepted_tokens=0)
    assert first == AcceptanceCount(verified=2, proposed=8, accepted=5, cut_short=1)
    assert second == AcceptanceCount(verified=1, proposed=3, accepted=0, cut_short=1)
    with pytest.raises(EngineError, match="has no draft"):
        load_engine("vllm", asked()).record_acceptance()
    del scheduler.make_spec_decoding_stats
    engine._acceptance = None
    with pytest.raises(EngineError, match="keeps its scheduler elsewhere"):
        engine.record_acceptance()


def test_given_weights_and_a_draft_do_not_go_together(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(load_config(MODEL)))
    with pytest.raises(EngineError, match="leave --weights out, so that both are drawn"):
        load_engine("vllm", replace(asked(speculation=DRAFT), weights=tmp_path))
