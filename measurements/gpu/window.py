"""One metered window: some work, what it cost, and what else was seen while it ran."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from joulecast.measurements.gpu.compilations import compiled_kernels
from joulecast.measurements.gpu.devices import GpuDevice
from joulecast.measurements.gpu.gates import MIN_WINDOW_S, Observation, failed_gates
from joulecast.measurements.gpu.meter import Meter, Reading

MAX_WARM_UP_BATCHES = 20
MAX_WARM_UP_S = 90.0
"""After so long no further batch warms up: slow models would take minutes, and drift has a gate."""

_STEADY = 0.02
_STEADY_C = 1.0


@dataclass(frozen=True)
class Window:
    """What was seen around a piece of work.

    Attributes:
        reading: What it cost.
        temperature_start_c: Before [deg C].
        temperature_end_c: After [deg C].
        throttling: Reasons seen at the end of the work.
        foreign_processes: Others on the GPUs.
        power_limit_w: Of all GPUs together [W].
        started_at: ISO 8601 time.
        compiled_kernels: Names of those that were compiled within it.
    """

    reading: Reading
    temperature_start_c: float
    temperature_end_c: float
    throttling: frozenset[str]
    foreign_processes: tuple[int, ...]
    power_limit_w: float
    started_at: str
    compiled_kernels: tuple[str, ...] = ()

    def faults(
        self,
        idle_power_w: float,
        tokens_asked: int,
        tokens_produced: int,
        min_window_s: float = MIN_WINDOW_S,
    ) -> list[str]:
        """The validity gates that it fails, each with what was seen."""
        return failed_gates(
            Observation(
                seconds=self.reading.seconds,
                min_window_s=min_window_s,
                power_w=self.reading.mean_power_w,
                idle_power_w=idle_power_w,
                power_limit_w=self.power_limit_w,
                temperature_start_c=self.temperature_start_c,
                temperature_end_c=self.temperature_end_c,
                throttling=self.throttling,
                foreign_processes=self.foreign_processes,
                tokens_asked=tokens_asked,
                tokens_produced=tokens_produced,
                compiled_kernels=self.compiled_kernels,
            )
        )


def meter_window(meter: Meter, gpus: Sequence[GpuDevice], work: Callable[[], None]) -> Window:
    """Run some work under the meter.

    Raises:
        MeterError: A counter cannot be believed.
        EngineError: The work's own.
    """
    started_at = utc_now()
    temperature_start_c = max(gpu.temperature_c() for gpu in gpus)
    compiled_before = len(compiled_kernels())
    meter.start()
    work()
    # Within the window, since the reasons are gone when the GPU idles; one call takes 4 ms.
    throttling = frozenset[str]().union(*(gpu.throttle_reasons() for gpu in gpus))
    meter.end()
    return Window(
        reading=meter.reading(),
        temperature_start_c=temperature_start_c,
        temperature_end_c=max(gpu.temperature_c() for gpu in gpus),
        throttling=throttling,
        foreign_processes=tuple(pid for gpu in gpus for pid in gpu.foreign_processes()),
        power_limit_w=sum(gpu.power_limit_w() for gpu in gpus),
        started_at=started_at,
        compiled_kernels=tuple(compiled_kernels()[compiled_before:]),
    )


def warm_up(
    batch: Callable[[], int],
    gpus: Sequence[GpuDevice],
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Run a batch until neither its time nor the temperature moves, or long enough; how often."""
    start_s = clock()
    before, before_c = float("inf"), float("-inf")
    for k in range(MAX_WARM_UP_BATCHES):
        began = clock()
        batch()
        took = clock() - began
        temperature_c = max(gpu.temperature_c() for gpu in gpus)
        if k > 1 and abs(took / before - 1) < _STEADY and temperature_c - before_c < _STEADY_C:
            break
        if clock() - start_s >= MAX_WARM_UP_S:
            break
        before, before_c = took, temperature_c
    return k + 1


def utc_now() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
