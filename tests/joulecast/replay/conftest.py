"""A vLLM that schedules step by step, slowly and on its own, on a GPU in fake time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from joulecast.cli import replay as cli_replay
from joulecast.estimator.steps.schedulers import continuous_batching
from joulecast.measurements.engines import EngineSteps
from joulecast.measurements.models import load_shape
from joulecast.measurements.replay_session import ReplaySession
from joulecast.measurements.table.table import load_table
from tests.estimator.slow_scheduler import SlowScheduler
from tests.measurements.fakes import FakeEngine, FakeTime, working_gpu

TABLE = load_table("h100-sxm/llama-3.1-8b/vllm")
SETTINGS = TABLE.metadata["engine_settings"]
STEP_SECONDS = 0.01


@dataclass
class SlowVllm(FakeEngine):
    """Feeds what the slow scheduler says; a step takes `STEP_SECONDS`.

    `asked` is what it was given to serve together, one entry per part.
    """

    steps: EngineSteps = field(default_factory=EngineSteps)
    asked: list[list[tuple[int, int]]] = field(default_factory=list)
    most: int | None = None
    limits_set: list[int | None] = field(default_factory=list)

    def limit_running(self, most: int | None) -> None:
        self.most = most
        self.limits_set.append(most)

    def prepare_requests(self, lengths: Sequence[tuple[int, int]]) -> Callable[[], int]:
        self.asked.append(list(lengths))
        shape = load_shape("llama-3.1-8b")
        rules = continuous_batching(SETTINGS, shape, "a test")
        rules = replace(rules, most_requests=self.most or rules.most_requests)

        def run() -> int:
            scheduler = SlowScheduler(rules, lengths)
            rows = scheduler.run()
            self.sleep(STEP_SECONDS * len(rows))
            self.steps.steps += len(rows)
            self.steps.tokens += int(sum(row[0] + row[1] for row in rows))
            return sum(o for _, o in lengths)

        return run

    def record_steps(self) -> EngineSteps:
        self.steps = EngineSteps()
        return self.steps


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict:
    """A GPU and a vLLM; tests may change them before they call."""
    fake_time = FakeTime()
    gpu, work = working_gpu(fake_time, working_w=640.0, idle_w=120.0)
    engine = SlowVllm(sleep=work, name="vllm", version="0.22.0", limits=dict(SETTINGS))
    stage = {"gpu": gpu, "engine": engine, "work": work, "starts": 0}

    def start(name: str, request: object) -> object:
        stage["starts"] += 1
        stage["request"] = request
        return stage["engine"]

    monkeypatch.setattr(cli_replay, "choose_gpus", lambda named, environment: (0,))
    monkeypatch.setattr(cli_replay, "open_gpus", lambda indices: [stage["gpu"]])
    monkeypatch.setattr(cli_replay, "load_engine", start)
    session = partial(ReplaySession, clock=fake_time.clock, sleep=fake_time.sleep)
    monkeypatch.setattr(cli_replay, "ReplaySession", session)
    return stage
