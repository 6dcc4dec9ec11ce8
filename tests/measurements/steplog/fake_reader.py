"""Counters that another process would read, in fake time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from joulecast.measurements.gpu.meter import FREEZE_SECONDS
from joulecast.measurements.steplog.poller import Poller
from joulecast.measurements.steplog.reader import CounterRows
from tests.measurements.fakes import FakeGpu, FakeTime


@dataclass(frozen=True)
class FakeCounter:
    """The counter of a fake GPU, in the whole millijoules of NVML."""

    gpu: FakeGpu

    def energy_mj(self) -> int:
        return round(1000 * self.gpu.energy_j())

    def state(self) -> list[int | None]:
        return [50, 1980, None, 4]


@dataclass
class FakeReader:
    """The real poller, which looks while `work` lets time pass; it may die."""

    gpu: FakeGpu
    fake_time: FakeTime
    dies_at: float = float("inf")
    problem: str | None = None
    ticks: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.poller = Poller(
            {self.gpu.index: FakeCounter(self.gpu)},
            self.ticks.append,
            self.states.append,
            self.fake_time.clock,
        )

    def __enter__(self) -> Self:
        self.let_pass(1.0)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def let_pass(self, seconds: float) -> None:
        end = self.fake_time.now + seconds
        while self.fake_time.now < end:
            if self.fake_time.now > self.dies_at:
                self.problem = "the process that reads the energy counters ended with status -9"
            if self.problem is None:
                self.poller.look()
            self.fake_time.sleep(min(0.01, max(0.0, end - self.fake_time.now)))

    def while_working(self, work: Callable[[float], None]) -> Callable[[float], None]:
        """Work that lasts as long, while the poller looks."""

        def work_in_slices(seconds: float) -> None:
            work(0.0)
            self.let_pass(seconds)

        return work_in_slices

    def collect(self, begin: float, end: float) -> CounterRows:
        self.let_pass(0.3 if self.problem is None else FREEZE_SECONDS)
        return CounterRows(
            [line.strip().split(",") for line in self.ticks],
            [line.strip().split(",") for line in self.states],
            self.problem,
        )
