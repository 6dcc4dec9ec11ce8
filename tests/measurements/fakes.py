"""A GPU counter that lives in time, engines without a GPU, and a sweep made of them."""

import bisect
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joulecast.measurements.engines import EngineVariant
from joulecast.measurements.gpu.devices import MeterError
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.models import load_shape
from joulecast.measurements.sweep.cost import rough_cost
from joulecast.measurements.sweep.folder import SweepFolder
from joulecast.measurements.sweep.plans import make_plan
from joulecast.measurements.sweep.run_spec import RunSpec
from joulecast.measurements.sweep.sweep import Sweep, SweepSettings
from joulecast.measurements.table.runs import Run
from joulecast.traces.grid import PAPER_GRID

Fault = Callable[[float, float], float]


@dataclass
class FakeTime:
    """A clock that moves only when somebody sleeps, works or asks."""

    now: float = 100.0
    call_seconds: float = 1e-5

    def clock(self) -> float:
        self.now += self.call_seconds
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class FakeGpu:
    """Draws `power_w(t)`; its counter shows what it held at the last tick.

    `fault(t, energy)` changes what is shown: frozen, reset, jumped, gone.
    """

    clock: Callable[[], float] = time.monotonic
    power_w: Callable[[float], float] = lambda _: 400.0
    tick_seconds: float = 0.1
    uuid: str = "GPU-fake"
    product: str = "NVIDIA H100 80GB HBM3"
    fault: Fault = lambda _, energy_j: energy_j
    throttling: frozenset[str] = frozenset()
    foreign: tuple[int, ...] = ()
    index: int = 0
    temperatures: list[float] = field(default_factory=lambda: [50.0])
    _known: tuple[int, float] = (0, 0.0)

    def true_energy_j(self, seconds: float) -> float:
        """Integral of the power up to a time, in steps of a hundredth of a tick."""
        step = self.tick_seconds / 100
        k, energy_j = self._known
        last = math.floor(seconds / step + 1e-9)
        if k == 0:
            k, energy_j = last, 1000.0
        if last < k:
            raise AssertionError("time went back")
        for n in range(k, last):
            energy_j += self.power_w(n * step) * step
        self._known = (last, energy_j)
        return energy_j

    def energy_j(self) -> float:
        now = self.clock()
        tick = math.floor(now / self.tick_seconds) * self.tick_seconds
        key = round(tick / self.tick_seconds)
        if key not in self.__dict__.setdefault("_ticks", {}):
            self._ticks[key] = self.true_energy_j(tick)
        return self.fault(now, self._ticks[key])

    def power_limit_w(self) -> float:
        return 700.0

    def temperature_c(self) -> float:
        return self.temperatures.pop(0) if len(self.temperatures) > 1 else self.temperatures[0]

    def throttle_reasons(self) -> frozenset[str]:
        return self.throttling

    def foreign_processes(self) -> list[int]:
        return list(self.foreign)

    def details(self) -> dict[str, Any]:
        return {"driver": "fake", "clocks": {}}


@dataclass
class Busy:
    """Power that follows real work: 400 W while a batch runs, 100 W else."""

    intervals: list[list[float]] = field(default_factory=list)

    def power_w(self, now: float) -> float:
        last = bisect.bisect(self.intervals, [now, math.inf]) - 1
        return 400.0 if last >= 0 and now < self.intervals[last][1] else 100.0

    def watch(self, run: Callable[[], int]) -> Callable[[], int]:
        def run_and_note() -> int:
            self.intervals.append([time.monotonic(), math.inf])
            produced = run()
            self.intervals[-1][1] = time.monotonic()
            return produced

        return run_and_note


def working_gpu(
    fake_time: FakeTime, working_w: float, idle_w: float
) -> tuple[FakeGpu, Callable[[float], None]]:
    """A GPU that draws more while it works, and what makes it work for so many seconds."""
    until = -1.0

    def work(seconds: float) -> None:
        nonlocal until
        until = fake_time.now + seconds
        fake_time.sleep(seconds)

    gpu = FakeGpu(clock=fake_time.clock, power_w=lambda now: working_w if now < until else idle_w)
    return gpu, work


@dataclass
class FakeEngine:
    """Takes `seconds_per_batch` for a batch and produces what it was asked."""

    sleep: Callable[[float], None] = time.sleep
    seconds_per_batch: float = 1.0
    name: str = "fake"
    version: str = "1"
    dtype: str = "bfloat16"
    weights: str = "drawn by nobody"
    limits: dict[str, Any] = field(default_factory=lambda: {"kv_cache_tokens": 450_000})
    produced_share: float = 1.0
    fails_at: Callable[[int, int, int], Exception | None] = lambda *_: None

    def settings(self) -> dict[str, Any]:
        return dict(self.limits)

    def capacity(self, input_tokens: int, output_tokens: int) -> int:
        return min(1024, self.limits["kv_cache_tokens"] // (input_tokens + output_tokens))

    def capacity_record(self) -> dict[str, Any]:
        return {"how": "made up"}

    def prepare(self, input_tokens: int, output_tokens: int, batch_size: int) -> Callable[[], int]:
        def run() -> int:
            if error := self.fails_at(input_tokens, output_tokens, batch_size):
                raise error
            self.sleep(self.seconds_per_batch)
            return int(batch_size * output_tokens * self.produced_share)

        return run


@dataclass
class Notes:
    """Remembers what a sweep says."""

    texts: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    def started(self, spec: RunSpec, done: int, total: int, seconds_left: float) -> None:
        assert 0 <= done < total
        assert seconds_left > 0

    def finished(self, spec: RunSpec, run: Run) -> None:
        self.runs.append(run)

    def note(self, text: str) -> None:
        self.texts.append(text)


def metadata_of(engine: Any, gpus: list[Any]) -> dict[str, Any]:
    return {
        "joulecast_table": 1,
        "gpu": "h100-sxm",
        "gpu_product": gpus[0].product,
        "gpu_count": len(gpus),
        "power_limit_w": 700.0 * len(gpus),
        "idle_power_w": None,
        "model": "llama-3.1-8b",
        "engine": engine.name,
        "engine_version": engine.version,
        "engine_settings": engine.settings(),
        "dtype": engine.dtype,
        "weights": engine.weights,
        "measured_on": "2026-11-22",
        "measured_by": "a test",
        "grid": PAPER_GRID.to_dict(),
        "measured_cells": 0,
        "complete": False,
        "cards": {},
    }


COST = rough_cost(load_shape("llama-3.1-8b"), load_gpu("h100-sxm"), "bfloat16", EngineVariant())


def make_sweep(
    path: Path,
    engine: Any,
    gpus: list[Any],
    fake_time: FakeTime | None = None,
    resume: bool = False,
    **settings: Any,
) -> Sweep:
    begin = SweepFolder.resume if resume else SweepFolder.create
    timing = {} if fake_time is None else {"clock": fake_time.clock, "sleep": fake_time.sleep}
    return Sweep(
        engine,
        gpus,
        begin(path, metadata_of(engine, gpus)),
        COST,
        Notes(),
        SweepSettings(**settings),
        **timing,
    )


def gone(after: float) -> Fault:
    def fault(now: float, energy_j: float) -> float:
        if now > after:
            raise MeterError("GPU 0: its energy counter cannot be read (GPU is lost)")
        return energy_j

    return fault


def capacity(i: int, o: int) -> int:
    return FakeEngine().capacity(i, o)


def plan_of(name: str, runs: int = 1) -> list[RunSpec]:
    return make_plan(name, PAPER_GRID, capacity, COST, runs)
