"""Requests served as they come, under the meter, on a server in fake time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from joulecast.measurements.replay import Replay
from joulecast.measurements.replay_session import ReplayRequests, ReplaySession
from joulecast.measurements.steplog.logger import WindowLogger
from joulecast.traces.errors import InputError
from tests.measurements.fakes import FakeTime
from tests.measurements.traffic.fake_server import (
    IDLE_W,
    PRICES,
    SECONDS,
    FakeServer,
    PricedGpu,
    TickReader,
)

ARRIVALS = [0.0, 0.01, 2.0, 9.5]
LENGTHS = [(100, 40), (3000, 2), (512, 64), (10, 20)]


@pytest.fixture
def session() -> ReplaySession:
    gpu = PricedGpu(FakeTime())
    server, reader = FakeServer(gpu=gpu), TickReader(gpu)
    logger = WindowLogger(server, [0], lambda _: None, lambda _: reader)  # type: ignore[arg-type,return-value]
    clock, sleep = gpu.fake_time.clock, gpu.fake_time.sleep
    with logger:
        yield ReplaySession(server, [gpu], lambda _: None, clock, sleep, logger)


def test_requests_are_served_when_they_come(session: ReplaySession) -> None:
    result = session.run(ReplayRequests(LENGTHS, arrivals=ARRIVALS), 1)
    (run,) = result.runs
    assert run.reason is None
    served = result.served
    assert served is not None
    step_s = SECONDS[0]
    for (arrival_s, first_s, last_s), asked_s, (i, o) in zip(
        served, ARRIVALS, LENGTHS, strict=True
    ):
        assert arrival_s == pytest.approx(asked_s, abs=0.01)  # the window begins a little before
        prompt_s = i * SECONDS[1] + i * i / 2 * SECONDS[3]
        assert step_s + prompt_s <= first_s - arrival_s + 1e-4 < 2 * step_s + 0.11 + prompt_s
        assert last_s - first_s >= (o - 1) * step_s
    assert run.seconds == pytest.approx(served[-1][2], abs=0.15)


def test_a_quiet_server_costs_its_idle_power_and_the_work(session: ReplaySession) -> None:
    result = session.run(ReplayRequests(LENGTHS, arrivals=ARRIVALS), 1)
    (run,), steps = result.runs, result.logs[0].steps
    assert steps is not None
    work = np.array(
        [
            len(steps.steps),
            sum(i + o - 1 for i, o in LENGTHS),
            sum(step.context for step in steps.steps),
            sum(step.pairs for step in steps.steps),
            sum(o for _, o in LENGTHS),
            len(LENGTHS),
        ]
    )
    busy_s = float(work @ SECONDS)
    expected_j = float(work @ np.array(list(PRICES.values()))) + IDLE_W * (run.seconds - busy_s)
    assert run.energy_j == pytest.approx(expected_j, rel=0.01)


def test_times_of_requests_come_back_from_a_file(session: ReplaySession, tmp_path: Path) -> None:
    result = session.run(ReplayRequests(LENGTHS, arrivals=ARRIVALS), 1)
    facts = {
        **Replay.load(next(iter(sorted(_shipped())))).facts,
        "trace_begin_s": 0.0,
        "trace_seconds": 10.0,
        "speed": 1.0,
        "rate": None,
    }
    facts["engine_settings"] = session.engine.settings() | {"prefix_caching": False}
    replay = Replay(facts, LENGTHS, None, result.runs, result.engine_steps, result.served)
    replay.save(tmp_path / "online.json")
    assert Replay.load(tmp_path / "online.json") == replay
    for spoilt, said in (
        (result.served[:-1], "the times of each of its requests"),
        (list(reversed(result.served)), "do not come in their order"),
        ([*result.served[:-1], (9.5, 99.0, 99.5)], "its window lasted"),
        ([*result.served[:-1], (9.5, 9.4, 9.6)], "three times that ascend"),
    ):
        replace(replay, served=spoilt).save(tmp_path / "spoilt.json")
        with pytest.raises(InputError, match=said):
            Replay.load(tmp_path / "spoilt.json")


def test_times_are_those_of_the_only_valid_run(session: ReplaySession, tmp_path: Path) -> None:
    result = session.run(ReplayRequests(LENGTHS, arrivals=ARRIVALS), 1)
    facts = Replay.load(_shipped()[0]).facts
    (run,) = result.runs
    compiled = replace(run, reason="kernels: compiled fused_moe_kernel")
    replay = Replay(facts, LENGTHS, None, [run, compiled], None, result.served)
    replay.save(tmp_path / "again.json")
    assert Replay.load(tmp_path / "again.json").valid_runs == [run]
    replace(replay, runs=[run, run]).save(tmp_path / "twice.json")
    with pytest.raises(InputError, match="more than one valid run"):
        Replay.load(tmp_path / "twice.json")


def _shipped() -> list[Path]:
    from joulecast.measurements.replay import SHIPPED

    return list((SHIPPED / "h100-sxm" / "llama-3.1-8b").glob("*.json"))
