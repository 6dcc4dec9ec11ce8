"""Static batches of a given size on the real PyTorch engine, with a tiny model on the CPU."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from joulecast.estimator.steps.batching import batched
from joulecast.estimator.steps.static_batching import StaticBatching
from joulecast.measurements.batching import Batching
from joulecast.measurements.engines import EngineError
from joulecast.measurements.replay_session import ReplayRequests, ReplaySession
from joulecast.traces.grid import PAPER_GRID
from tests.measurements.fakes import FakeTime, working_gpu

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from joulecast.measurements.engines.pytorch import PytorchEngine  # noqa: E402
from tests.measurements.tiny_model import cpu_engine  # noqa: E402

pytestmark = pytest.mark.slow  # importing torch and transformers alone takes seconds

LENGTHS = [(5, 3), (20, 2), (7, 6), (30, 1), (4, 4)]


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReplaySession:
    """The real engine, whose batches take a second of fake time each."""
    fake_time = FakeTime()
    gpu, work = working_gpu(fake_time, working_w=640.0, idle_w=120.0)
    engine = cpu_engine(tmp_path / "tiny")
    own = engine.prepare

    def prepare(i: int, o: int, batch_size: int) -> Callable[[], int]:
        batch = own(i, o, batch_size)

        def run() -> int:
            work(1.0)
            return batch()

        return run

    monkeypatch.setattr(engine, "prepare", prepare)
    return ReplaySession(engine, [gpu], lambda text: None, fake_time.clock, fake_time.sleep)


def test_batches_are_padded_and_take_the_steps_that_are_forecast(session: ReplaySession) -> None:
    batching = Batching(static=2, is_padded=True)
    requests = ReplayRequests.so(LENGTHS, batching)
    assert requests.batches == [(2, 20, 3), (2, 30, 6), (1, 4, 4)]
    assert requests.output_tokens == 2 * 3 + 2 * 6 + 4
    engine = session.engine
    assert isinstance(engine, PytorchEngine)
    engine.start_step_log()
    result = session.run(requests, 1)
    logged = engine.stop_step_log().steps
    (run,) = result.runs
    assert run.reason is None  # as many tokens came out as were asked for, padding included
    assert run.rounds == 2  # three batches of a second in five seconds
    table = StaticBatching(PAPER_GRID, {})
    steps = batched(table, batching).schedule(np.array(LENGTHS))
    rows = [(step.decoding, step.prompt_tokens, step.context) for step in logged]
    once = list(
        zip(steps.decoding, steps.prompt_tokens, steps.context, strict=True)
    )  # warm-up runs the first batch alone
    assert rows[-len(once) :] == rows[-2 * len(once) : -len(once)] == once


def test_plain_pytorch_keeps_none_in_flight(session: ReplaySession) -> None:
    with pytest.raises(EngineError, match="keeps no fixed number of requests in flight"):
        session.run(ReplayRequests.so(LENGTHS, Batching(in_flight=2)), 1)
    with pytest.raises(EngineError, match="B\\(I, O\\), or --static"):
        session.run(ReplayRequests(LENGTHS), 1)
