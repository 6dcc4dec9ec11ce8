"""Decoding strategies and speculation of the PyTorch engine, with tiny models on the CPU."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from joulecast.measurements.engines import EngineError, EngineVariant, retune
from joulecast.measurements.engines.decoding import Decoding, Speculation
from joulecast.measurements.sweep.acceptance_recorder import AcceptanceRecorder
from joulecast.measurements.sweep.run_spec import RunSpec
from tests.measurements.fakes import Busy, FakeEngine, FakeGpu, make_sweep

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.measurements.limited_memory import LimitedMemory  # noqa: E402
from tests.measurements.tiny_model import CONFIG, cpu_engine, request  # noqa: E402

pytestmark = pytest.mark.slow  # importing torch and transformers alone takes seconds

LOOKAHEAD = 4


def variant(decoding: str = "greedy", speculation: Speculation | None = None) -> EngineVariant:
    return EngineVariant(decoding=Decoding.of(decoding), speculation=speculation)


def speculating(tmp_path: Path, acceptance: float, memory: Any = None, **draft: Any) -> Any:
    """A model with a draft that has its very weights, unless changed.

    Numbers are of 32 bits, unless memory counts: of 16, two tokens are too often equally likely.
    """
    request(tmp_path / "draft", config=CONFIG | draft)
    speculation = Speculation(str(tmp_path / "draft"), LOOKAHEAD, acceptance)
    engine = cpu_engine(tmp_path / "tiny", memory, variant=variant(speculation=speculation))
    if memory is None:
        engine._model.float()
        engine._speculative.draft.float()
    return engine


def passes_of(model: Any) -> list[tuple[int, int]]:
    """Shapes of what a model is fed from now on."""
    shapes: list[tuple[int, int]] = []
    model.register_forward_pre_hook(lambda _, args: shapes.append(tuple(args[0].shape)))
    return shapes


@pytest.mark.parametrize("decoding", ["sampling", "temperature:0.8", "top-p:0.9", "beam:4"])
@pytest.mark.parametrize("cell", [(20, 9, 3), (5, 1, 2), (16, 2, 1)])
def test_every_strategy_gives_exact_lengths(
    decoding: str, cell: tuple[int, int, int], tmp_path: Path
) -> None:
    """Of a model that says "end" at every step, too."""
    engine = cpu_engine(tmp_path / "tiny", variant=variant(decoding))
    i, o, size = cell
    for _ in range(2):
        batch = engine.prepare(i, o, size)
        assert [batch(), batch()] == [o * size] * 2
        with torch.no_grad():
            engine._model.lm_head.weight.zero_()
    assert engine.settings()["decoding_strategy"] == decoding
    assert engine.settings()["decoding"] == f"static batches, {decoding}"


def test_tokens_are_drawn_and_one_engine_does_all(tmp_path: Path) -> None:
    engine = cpu_engine(tmp_path / "tiny", variant=variant())
    prompts = engine._prompts(4, 12)
    greedy = engine._generate(prompts, 20, None)
    assert torch.equal(greedy, engine._generate(prompts, 20, None))
    retune(engine, variant("temperature:0.8"))
    drawn = engine._generate(prompts, 20, None)
    assert not torch.equal(drawn, engine._generate(prompts, 20, None))
    retune(engine, variant("top-p:0.9"))
    assert not torch.equal(engine._generate(prompts, 20, None), engine._generate(prompts, 20, None))
    retune(engine, variant())
    assert torch.equal(greedy, engine._generate(prompts, 20, None))


def test_beams_are_fed_as_requests_are_and_find_the_likeliest_pair(tmp_path: Path) -> None:
    """Of all 101 x 101 pairs of tokens, which are few enough to try them all."""
    engine = cpu_engine(tmp_path / "tiny", variant=variant("beam:64"))
    engine._model.float()
    prompts = engine._prompts(3, 12)
    fed: list[int] = []
    hook = engine._model.register_forward_pre_hook(
        lambda _, __, words: fed.append(len(words["input_ids"])), with_kwargs=True
    )
    found = engine._generate(prompts, 2, None)
    hook.remove()
    assert fed == [3 * 64] * 2
    for prompt, best in zip(prompts, found[:, 12:].tolist(), strict=True):
        with torch.no_grad():
            every = torch.cat([prompt.expand(101, 12), torch.arange(101)[:, None]], dim=1)
            scores = engine._model(every).logits.log_softmax(-1)
        pairs = scores[0, 11][:, None] + scores[:, 12]
        assert best == list(divmod(int(pairs.argmax()), 101))
    with pytest.raises(EngineError, match="the steps of beam search are no steps"):
        engine.start_step_log()


def test_beams_leave_room_for_fewer_requests(tmp_path: Path) -> None:
    memory = LimitedMemory(20_000_000)
    with memory:
        engine = cpu_engine(tmp_path / "tiny", memory, variant=variant("beam:4"))
        beams = engine.capacity(64, 16)
        assert engine.prepare(64, 16, beams)() == 16 * beams
        with pytest.raises(EngineError, match="ran out of memory"):
            engine.prepare(64, 16, round(1.1 * beams) + 1)()
        retune(engine, variant())
        assert 3 * beams < engine.capacity(64, 16) < 6 * beams


@pytest.mark.parametrize("output_tokens", [1, 2, 6, 13])
@pytest.mark.parametrize("acceptance", [0.0, 1.0])
def test_passes_are_as_many_as_the_formula_says(
    acceptance: float, output_tokens: int, tmp_path: Path
) -> None:
    """After the prefill, whose token is the first, a step gives 1 or K + 1 tokens."""
    engine = speculating(tmp_path, acceptance, num_hidden_layers=1)
    own = passes_of(engine._model)
    drafts = passes_of(engine._speculative.draft)
    assert engine.prepare(20, output_tokens, 3)() == 3 * output_tokens
    steps = -(-(output_tokens - 1) // (1 if acceptance == 0 else LOOKAHEAD + 1))
    assert own == [(3, 20)] + [(3, LOOKAHEAD + 1)] * steps
    assert drafts == [(3, 20)] + [(3, 2), *[(3, 1)] * (LOOKAHEAD - 1)] * steps


def test_half_of_the_tokens_accepted_give_as_many_a_step_as_they_should(tmp_path: Path) -> None:
    engine = speculating(tmp_path, 0.5, num_hidden_layers=1)
    own = passes_of(engine._model)
    batch = engine.prepare(4, 400, 1)
    count = engine.record_acceptance()
    assert batch() == 400
    expected = Speculation("", LOOKAHEAD, 0.5).tokens_per_step
    assert 399 / (len(own) - 1) == pytest.approx(expected, rel=0.15)
    assert count.acceptance == pytest.approx(0.5, abs=0.08)
    assert (count.verified, count.proposed) == (len(own) - 1, LOOKAHEAD * (len(own) - 1))
    assert abs(count.accepted + count.verified - 399) <= LOOKAHEAD


@pytest.mark.parametrize("acceptance", [0.0, 0.5, 1.0])
def test_a_draft_that_is_right_changes_no_token(acceptance: float, tmp_path: Path) -> None:
    """However many tokens each request of a batch is ahead of the others."""
    engine = speculating(tmp_path, acceptance)
    prompts = engine._prompts(5, 17)
    speculated = engine._generate(prompts, 30, None)
    engine._speculative = None
    assert torch.equal(speculated, engine._generate(prompts, 30, None))


def test_a_draft_that_is_wrong_changes_no_token_if_none_is_accepted(tmp_path: Path) -> None:
    engine = speculating(tmp_path, 0.0, num_hidden_layers=1)
    prompts = engine._prompts(3, 17)
    speculated = engine._generate(prompts, 12, None)
    retune(engine, variant(speculation=Speculation(str(tmp_path / "draft"), LOOKAHEAD, 1.0)))
    assert not torch.equal(speculated, engine._generate(prompts, 12, None))
    assert engine.settings()["speculation"].endswith(",4,1")
    with pytest.raises(EngineError, match="the steps of speculation are no steps"):
        engine.start_step_log()
    engine._speculative = None
    assert torch.equal(speculated, engine._generate(prompts, 12, None))
    with pytest.raises(EngineError, match="has no draft"):
        engine.record_acceptance()


def test_the_largest_batch_with_a_draft_runs_whole(tmp_path: Path) -> None:
    memory = LimitedMemory(30_000_000)
    with memory:
        engine = speculating(tmp_path, 0.5, memory, num_hidden_layers=2)
        largest = engine.capacity(64, 16)
        assert memory.failures > 0
        assert engine.prepare(64, 16, largest)() == 16 * largest
        with pytest.raises(EngineError, match="ran out of memory"):
            engine.prepare(64, 16, round(1.05 * largest) + 1)()


def test_a_sweep_keeps_what_was_accepted(tmp_path: Path) -> None:
    engine = speculating(tmp_path, 1.0)
    busy, prepare = Busy(), engine.prepare
    engine.prepare = lambda *cell: busy.watch(prepare(*cell))
    gpu = FakeGpu(clock=time.monotonic, power_w=busy.power_w, tick_seconds=0.01)
    sweep = make_sweep(tmp_path / "t", engine, [gpu], min_window_s=0.3, idle_seconds=0.1)
    recorder = AcceptanceRecorder()
    recorder.open(tmp_path / "t")
    recorder.watch(engine)
    sweep.recorders = [recorder]
    sweep.run([RunSpec(16, 11, 2, True, 1)])
    recorder.close()
    sweep.folder.close()
    header, line = (tmp_path / "t/speculation.csv").read_text().splitlines()
    assert header.endswith("verified_steps,proposed_tokens,accepted_tokens,cut_short,acceptance")
    (run,) = sweep.folder.runs
    steps = 2 * 2 * run.batches  # two requests, ten tokens after the first in steps of five
    assert line == f"16,11,2,1,{steps},{4 * steps},{4 * steps},0,1.0"
    settings = json.loads((tmp_path / "t/table.json").read_text())["engine_settings"]
    assert settings["speculation"].endswith(",4,1")
    with pytest.raises(EngineError, match="does not count what it accepts"):
        AcceptanceRecorder().watch(FakeEngine())
