"""Times on the GPU by hand, and energies between moments of counters that misbehave."""

from pathlib import Path

import numpy as np
import pytest

from joulecast.measurements.steplog.files import write_log
from joulecast.measurements.steplog.log import StepLog
from joulecast.measurements.steplog.poller import POLL_SECONDS, Poller
from joulecast.measurements.steplog.ticks import Ticks
from joulecast.traces.errors import InputError
from tests.measurements.fakes import FakeGpu, FakeTime, Fault
from tests.measurements.steplog.fake_reader import FakeCounter
from tests.measurements.steplog.test_files import FACTS, STEPS


def test_a_step_has_the_gpu_once_it_is_scheduled_and_the_one_before_is_done(
    tmp_path: Path,
) -> None:
    late = (11.0, 11.1, 11.4, 11.41, 1, 0, 9, 0.0, 1, 0, 0, 1, 0, 0)
    write_log(tmp_path / "x", "steps", FACTS, [*STEPS, late])
    log = StepLog.read(tmp_path / "x")
    # The second waits for the first, the third for the second, the last for its scheduler.
    np.testing.assert_allclose(log.gpu_begin, [10.1, 10.3, 10.45, 11.1])
    np.testing.assert_allclose(log.gpu_seconds, [0.2, 0.15, np.nan, 0.3])
    assert log.tokens.tolist() == [30, 2, 2, 1]
    assert log.sums() == {
        "steps": 4, "tokens": 35, "context": 75, "pairs": 450.0, "sampled": 7,
        "prompts_fed": 2, "prompts_completed": 2,
    }  # fmt: skip
    assert vars(log.counts()) == {"steps": 4, "tokens": 35, "preempted": 1}


def polled(
    tmp_path: Path, seconds: float, *gpus: FakeGpu, fake_time: FakeTime
) -> tuple[Ticks, list[str]]:
    """What the poller sees of some GPUs, through a file."""
    ticks: list[str] = []
    states: list[str] = []
    counters = {gpu.index: FakeCounter(gpu) for gpu in gpus}
    poller = Poller(counters, ticks.append, states.append, fake_time.clock)
    end = fake_time.now + seconds
    poller.run(lambda: fake_time.now > end, fake_time.sleep)
    rows = [line.strip().split(",") for line in ticks]
    write_log(tmp_path / "t", "ticks", FACTS, rows)
    return Ticks.read(tmp_path / "t"), states


def test_the_poller_sees_every_tick_and_between_which_calls_it_came(tmp_path: Path) -> None:
    """Calls take 4 ms, as on an H100; the counter ticks every 0.1 s on the dot."""
    fake_time = FakeTime(call_seconds=0.0013)
    gpu = FakeGpu(clock=fake_time.clock, power_w=lambda now: 300 + 200 * np.sin(now))
    ticks, states = polled(tmp_path, 10.0, gpu, fake_time=fake_time)
    of_gpu = ticks.by_gpu[0]
    assert len(of_gpu.seconds) == pytest.approx(100, abs=1)
    true = np.round(of_gpu.seconds / 0.1) * 0.1
    assert np.abs(of_gpu.seconds - true).max() < 0.008
    assert (of_gpu.late_seconds > 0).all()
    assert of_gpu.late_seconds.max() <= POLL_SECONDS + 5.01 * fake_time.call_seconds
    truth = 300 * 8 - 200 * (np.cos(109) - np.cos(101))
    assert ticks.energy_between(101, 109) == pytest.approx(truth, rel=0.003)
    parts = ticks.energies(np.linspace(101, 109, 17))
    assert parts.shape == (16,)
    assert parts.sum() == pytest.approx(ticks.energy_between(101, 109))
    assert len(states) == pytest.approx(10, abs=1)
    assert states[0].split(",")[2:] == ["50", "1980", "", "4\n"]


def test_several_gpus_are_summed_and_told_apart(tmp_path: Path) -> None:
    fake_time = FakeTime()
    gpus = [
        FakeGpu(clock=fake_time.clock, power_w=lambda _: 300.0, index=1),
        FakeGpu(clock=fake_time.clock, power_w=lambda _: 100.0, index=3, tick_seconds=0.05),
    ]
    ticks, states = polled(tmp_path, 5.0, *gpus, fake_time=fake_time)
    assert sorted(ticks.by_gpu) == [1, 3]
    assert ticks.energy_between(101, 104) == pytest.approx(1200, rel=0.003)
    assert {line[0] for line in states} == {"1", "3"}


def frozen_between(begin: float, end: float = float("inf")) -> Fault:
    """A counter that catches up afterwards: no joule is lost, but nobody knows when it came."""
    shown: list[float] = []

    def fault(now: float, energy_j: float) -> float:
        if not begin < now < end or not shown:
            shown[:] = [energy_j]
        return shown[0]

    return fault


def test_ticks_that_freeze_in_mid_traffic(tmp_path: Path) -> None:
    fake_time = FakeTime()
    gpu = FakeGpu(clock=fake_time.clock, fault=frozen_between(103, 106))
    ticks, _ = polled(tmp_path, 10.0, gpu, fake_time=fake_time)
    assert ticks.problem(100.5, 102.5) is None
    assert ticks.problem(106.5, 109) is None
    said = ticks.problem(101, 109)
    assert said is not None
    assert "GPU 0 is frozen or incomplete: no tick came for 3." in said
    assert "from 1.9 s after the beginning on" in said
    with pytest.raises(InputError, match="t: the energy counter of GPU 0 is frozen"):
        ticks.energy_between(101, 109)


def test_a_window_that_the_ticks_do_not_cover(tmp_path: Path) -> None:
    fake_time = FakeTime()
    gpu = FakeGpu(clock=fake_time.clock, fault=frozen_between(105))
    ticks, _ = polled(tmp_path, 10.0, gpu, fake_time=fake_time)
    for begin, end, said in (
        (99.0, 104.0, "is incomplete: its first tick is 1.1 s after the beginning"),
        (101.0, 106.0, "is incomplete: its last tick is 1.1 s before the end"),
        (101.0, 109.0, "is frozen or incomplete: no tick came for 4.1 s"),
    ):
        assert said in (ticks.problem(begin, end) or "")


def test_a_counter_that_goes_back_is_told(tmp_path: Path) -> None:
    fake_time = FakeTime()
    reset = FakeGpu(clock=fake_time.clock, fault=lambda now, j: j if now < 105 else j - 2000)
    with pytest.raises(InputError, match="and a counter only rises"):
        polled(tmp_path, 10.0, reset, fake_time=fake_time)
    rows = [["0", "1.0", "1.1", "1.2", "5000"], ["0", "1.3", "1.4", "1.5", "100"]]
    assert "went back" in (Ticks.of_rows(rows, FACTS).problem(1.2, 1.3) or "")
