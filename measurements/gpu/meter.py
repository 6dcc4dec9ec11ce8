"""Energy of a window of time, from counters that move in ticks.

A counter shows only what it held at its last tick. So a window begins at a tick, which the meter
waits for, and needs no correction there. It ends when the work ends, in between two ticks: the part
of the cut tick that was work is taken at the mean power of the whole ticks before it, held between
what the counter showed at the end and at the tick after. Nothing is polled while the work runs,
since an NVML call takes about 4 ms and slows engines that are bound by Python.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from joulecast.measurements.gpu.devices import GpuDevice, MeterError

JOULES_PER_KWH = 3.6e6

FREEZE_SECONDS = 2.0
"""A counter that does not move for so long is frozen; those of an H100 tick every 0.1 s."""

IDLE_SECONDS = 10.0
"""Length of the window in which idle power is measured."""

_POLL_SECONDS = 0.001


@dataclass(frozen=True)
class Reading:
    """What a window cost.

    Attributes:
        energy_j: Energy of all GPUs [J].
        seconds: Length of the window [s].
        tick_error_j: Bound on the error that ticks and polling leave [J].
        energy_by_gpu_j: Card -> its share of energy_j [J].
        begin_s: When the window began, by the meter's clock [s].
        end_s: When it ended, by the same clock [s].
    """

    energy_j: float
    seconds: float
    tick_error_j: float
    energy_by_gpu_j: Mapping[str, float]
    begin_s: float
    end_s: float

    @property
    def mean_power_w(self) -> float:
        """Mean power of all GPUs [W]."""
        return self.energy_j / self.seconds


@dataclass(frozen=True)
class _Tick:
    """A counter just after it moved.

    Attributes:
        seconds: When it was seen [s].
        energy_j: What it showed [J].
        late_seconds: How much earlier it may have moved [s].
    """

    seconds: float
    energy_j: float
    late_seconds: float


class Meter:
    """Meters windows of work on one or more GPUs."""

    def __init__(
        self,
        gpus: Sequence[GpuDevice],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gpus = list(gpus)
        self._clock = clock
        self._sleep = sleep
        self._begin: list[_Tick] = []
        self._tick_seconds: list[float] = []
        self._end_seconds = 0.0
        self._shown: list[float] = []

    def start(self) -> None:
        """Wait for two ticks of every counter; the second begins the window.

        Raises:
            MeterError: A counter does not move, moves back, or cannot be read.
        """
        before = self._next_ticks()
        self._begin = self._next_ticks()
        self._tick_seconds = [
            tick.seconds - last.seconds for last, tick in zip(before, self._begin, strict=True)
        ]

    def end(self) -> None:
        """End the window now.

        Raises:
            MeterError: A counter cannot be read, or the window was not started.
        """
        if not self._begin:
            raise MeterError("the meter was stopped without having been started")
        self._end_seconds = self._clock()
        self._shown = [gpu.energy_j() for gpu in self._gpus]

    def reading(self) -> Reading:
        """What the window cost, once it ended; takes until the next tick.

        Call it right after `end`: a tick that passes unseen in between would take the work of
        the cut tick before it along.

        Raises:
            MeterError: As `start`.
        """
        after = self._next_ticks(self._shown)
        begin, self._begin = self._begin, []
        start_seconds = max(tick.seconds for tick in begin)
        if self._end_seconds <= start_seconds:
            raise MeterError("the window has no length; the clock stands still")
        energies, errors = [], []
        windows = zip(begin, self._shown, after, self._tick_seconds, strict=True)
        for first, low_j, last, tick_seconds in windows:
            energy_j, error_j = self._between(first, low_j, last, tick_seconds)
            energies.append(energy_j)
            # With several GPUs, the others began up to a tick before the last one.
            early_seconds = start_seconds - first.seconds
            errors.append(error_j + early_seconds * energy_j / (self._end_seconds - first.seconds))
        return Reading(
            energy_j=sum(energies),
            seconds=self._end_seconds - start_seconds,
            tick_error_j=sum(errors),
            energy_by_gpu_j=dict(zip((gpu.uuid for gpu in self._gpus), energies, strict=True)),
            begin_s=start_seconds,
            end_s=self._end_seconds,
        )

    def measure_idle(self, seconds: float = IDLE_SECONDS) -> Reading:
        """What the GPUs take while nobody asks anything of them, over a window of `seconds`."""
        self.start()
        self._sleep(seconds)
        self.end()
        return self.reading()

    def _between(
        self, first: _Tick, low_j: float, last: _Tick, tick_seconds: float
    ) -> tuple[float, float]:
        """Energy from a tick to the end of the window, and its bound of error [J].

        Args:
            first: The tick that began the window.
            low_j: What the counter showed when the window ended [J].
            last: The tick after that.
            tick_seconds: Time from tick to tick [s].
        """
        if not first.energy_j <= low_j <= last.energy_j:
            raise MeterError(
                f"an energy counter went back, from {max(first.energy_j, low_j):.1f} to "
                f"{min(low_j, last.energy_j):.1f} J; it was reset, or the driver was reloaded"
            )
        cut_tick_j = last.energy_j - low_j
        whole_seconds = last.seconds - tick_seconds - first.seconds
        if whole_seconds <= 0:  # the window ended within its first tick
            power_w = cut_tick_j / (last.seconds - first.seconds)
            whole_seconds = 0.0
        else:
            power_w = (low_j - first.energy_j) / whole_seconds
        missing_j = power_w * (self._end_seconds - first.seconds - whole_seconds)
        missing_j = min(max(missing_j, 0.0), cut_tick_j)
        error_j = max(missing_j, cut_tick_j - missing_j) + power_w * first.late_seconds
        return low_j - first.energy_j + missing_j, error_j

    def _next_ticks(self, since: Sequence[float] | None = None) -> list[_Tick]:
        """The next tick of every counter, after it showed `since` [J]; after now if not given."""
        began = self._clock()
        shown = [gpu.energy_j() for gpu in self._gpus] if since is None else since
        asked_before = [began] * len(shown)
        ticks: dict[int, _Tick] = {}
        while True:
            for k, gpu in enumerate(self._gpus):
                asked = self._clock()
                energy_j = gpu.energy_j()
                seen = self._clock()
                if energy_j < shown[k]:
                    raise MeterError(
                        f"the energy counter of {gpu.uuid} went back, from {shown[k]:.1f} to "
                        f"{energy_j:.1f} J; it was reset, or the driver was reloaded"
                    )
                if k not in ticks and energy_j > shown[k]:
                    # Of when a call looks at the counter, only its beginning and end are known.
                    ticks[k] = _Tick(seen, energy_j, seen - asked_before[k])
                asked_before[k] = asked
            if len(ticks) == len(shown):
                return [ticks[k] for k in range(len(shown))]
            if seen - began > FREEZE_SECONDS:
                raise MeterError(
                    f"an energy counter did not move for {FREEZE_SECONDS:g} s; it is frozen, and "
                    "nothing that it shows can be believed"
                )
            self._sleep(_POLL_SECONDS)
