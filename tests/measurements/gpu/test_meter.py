import math
import random

import pytest

from joulecast.measurements.gpu.devices import MeterError
from joulecast.measurements.gpu.meter import Meter
from joulecast.measurements.gpu.window import warm_up
from tests.measurements.fakes import FakeGpu, FakeTime, gone, working_gpu

FAKE_STEP_S = 0.001
"""In such steps a `FakeGpu` sums its power up."""


def meter_of(*gpus: FakeGpu, fake_time: FakeTime) -> Meter:
    for gpu in gpus:
        gpu.clock = fake_time.clock
    return Meter(gpus, fake_time.clock, fake_time.sleep)


@pytest.mark.parametrize("seed", range(20))
def test_a_window_of_any_length_is_metered_within_its_bound(seed: int) -> None:
    """Work at 650 W, with a decode phase at 500 W before its end, between stretches of idling."""
    rng = random.Random(seed)
    fake_time = FakeTime(now=100 + rng.random())
    seconds = rng.uniform(5, 8)
    phases = {"start": math.inf, "end": math.inf}

    def power_w(now: float) -> float:
        if not phases["start"] <= now < phases["end"]:
            return 120.0
        return 650.0 if now < phases["start"] + 3 else 500.0

    gpu = FakeGpu(power_w=power_w)
    meter = meter_of(gpu, fake_time=fake_time)
    meter.start()
    phases["start"], phases["end"] = fake_time.now, fake_time.now + seconds
    fake_time.sleep(seconds)
    meter.end()
    reading = meter.reading()
    true_j = 650 * 3 + 500 * (seconds - 3)
    assert reading.seconds == pytest.approx(seconds, abs=0.001)
    assert abs(reading.energy_j - true_j) <= reading.tick_error_j + 1
    assert reading.energy_j == pytest.approx(true_j, rel=0.006)
    assert reading.tick_error_j < 0.1 * 650
    assert reading.mean_power_w == reading.energy_j / reading.seconds


def test_constant_power_is_met_to_a_tenth_of_a_percent() -> None:
    fake_time = FakeTime()
    reading = meter_of(FakeGpu(), fake_time=fake_time).measure_idle(10.037)
    assert reading.mean_power_w == pytest.approx(400, rel=1e-3)


@pytest.mark.parametrize("seed", range(40))
def test_slow_calls_lose_no_tick(seed: int) -> None:
    """A call takes 4 ms, as NVML does in a virtual machine; ticks pass between any two of them."""
    rng = random.Random(seed)
    fake_time = FakeTime(now=100 + rng.random(), call_seconds=0.004)
    phases = {"start": math.inf, "end": math.inf}
    gpu = FakeGpu(power_w=lambda now: 600.0 if phases["start"] <= now < phases["end"] else 100.0)
    meter = meter_of(gpu, fake_time=fake_time)
    meter.start()
    seconds = rng.uniform(5, 5.2)
    phases["start"], phases["end"] = fake_time.now, fake_time.now + seconds
    fake_time.sleep(seconds)
    meter.end()
    reading = meter.reading()
    assert reading.energy_j == pytest.approx(600 * seconds, rel=0.005)
    assert abs(reading.energy_j - 600 * seconds) <= reading.tick_error_j + 600 * FAKE_STEP_S


@pytest.mark.parametrize("call_seconds", [1e-5, 0.004])
@pytest.mark.parametrize("end", [0.001, 0.01, 0.05, 0.09])
@pytest.mark.parametrize("last_w", [20.0, 120.0, 600.0, 650.0])
def test_the_cut_tick_counts_for_no_less_than_nothing_and_no_more_than_all_of_it(
    call_seconds: float, end: float, last_w: float
) -> None:
    """Work that falls off or ends just after a tick: its mean power says more than the counter."""
    fake_time = FakeTime(now=100.03, call_seconds=call_seconds)
    shown: list[float] = []
    gpu = FakeGpu(power_w=lambda now: 600.0 if now < 106 else last_w)
    gpu.fault = lambda now, energy_j: shown.append(energy_j) or energy_j
    meter = meter_of(gpu, fake_time=fake_time)
    meter.start()
    begin_j = shown[-1]
    shown.clear()
    fake_time.now = 106 + end
    meter.end()
    reading = meter.reading()
    assert shown[0] - begin_j <= reading.energy_j <= shown[-1] - begin_j


@pytest.mark.parametrize("phase", range(40))
def test_the_bound_holds_where_all_that_is_unknown_errs_to_one_side(phase: int) -> None:
    """The tick that begins the window was seen late, and the card rests before the work ends."""
    fake_time = FakeTime(now=100 + phase / 400, call_seconds=0.004)
    gpu = FakeGpu(power_w=lambda now: 0.0 if 106 <= now < 106.09 else 600.0)
    meter = meter_of(gpu, fake_time=fake_time)
    meter.start()
    start = fake_time.now
    fake_time.now = 106.09 - fake_time.call_seconds
    meter.end()
    reading = meter.reading()
    assert reading.seconds == pytest.approx(106.09 - start)
    surplus_j = reading.energy_j - 600 * (106 - start)
    assert 0 <= surplus_j <= reading.tick_error_j + 600 * FAKE_STEP_S


def test_nothing_is_polled_in_the_window() -> None:
    fake_time = FakeTime()
    gpu = FakeGpu()
    meter = meter_of(gpu, fake_time=fake_time)
    meter.start()
    calls = []
    gpu.fault = lambda now, energy_j: calls.append(now) or energy_j
    fake_time.sleep(5)
    assert calls == []
    end = fake_time.now
    meter.end()
    meter.reading()
    assert min(calls) >= end


def test_several_gpus_are_summed_and_kept_apart() -> None:
    fake_time = FakeTime()
    slow = FakeGpu(uuid="a", power_w=lambda _: 300.0)
    fast = FakeGpu(uuid="b", power_w=lambda _: 500.0, tick_seconds=0.07)
    reading = meter_of(slow, fast, fake_time=fake_time).measure_idle(6)
    assert set(reading.energy_by_gpu_j) == {"a", "b"}
    assert reading.energy_j == sum(reading.energy_by_gpu_j.values())
    assert reading.mean_power_w == pytest.approx(800, rel=0.02)
    assert abs(reading.energy_j - 800 * reading.seconds) <= reading.tick_error_j


def frozen(now: float, energy_j: float) -> float:
    return 1000.0


def reset(now: float, energy_j: float) -> float:
    return energy_j if now < 103 else energy_j - 3000


def zeroed(now: float, energy_j: float) -> float:
    return energy_j if now < 103 else 0.0


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (frozen, "frozen"),
        (reset, "went back"),
        (zeroed, "went back|frozen"),
        (gone(103), "GPU is lost"),
        (gone(0), "cannot be read"),
    ],
)
def test_counters_that_lie_are_refused(fault, message: str) -> None:
    fake_time = FakeTime()
    with pytest.raises(MeterError, match=message):
        meter_of(FakeGpu(fault=fault), fake_time=fake_time).measure_idle(6)


def test_a_counter_that_freezes_during_the_window_is_refused() -> None:
    fake_time = FakeTime()
    last: list[float] = []

    def freezes(now: float, energy_j: float) -> float:
        if now < 103:
            last[:] = [energy_j]
        return last[0]

    with pytest.raises(MeterError, match="frozen"):
        meter_of(FakeGpu(fault=freezes), fake_time=fake_time).measure_idle(6)


def test_end_without_start() -> None:
    with pytest.raises(MeterError, match="without having been started"):
        Meter([FakeGpu()]).end()


@pytest.mark.parametrize(("batch_s", "batches"), [(11.0, 9), (0.5, 20)])
def test_warming_up_ends_though_a_card_goes_on_getting_warmer(
    monkeypatch: pytest.MonkeyPatch, batch_s: float, batches: int
) -> None:
    """After a minute and a half, or after twenty batches: slow models would take minutes."""
    fake_time = FakeTime()
    gpu, work = working_gpu(fake_time, working_w=600.0, idle_w=100.0)
    temperatures = (40.0 + 2 * k for k in range(100))
    monkeypatch.setattr(gpu, "temperature_c", lambda: next(temperatures))

    def batch() -> int:
        work(batch_s)
        return 1

    assert warm_up(batch, [gpu], fake_time.clock) == batches
