"""Reads energy counters in a process of its own: every tick, and once a second the GPU's state.

    python -m joulecast.measurements.steplog.poller TICKS STATES PARENT GPU...

writes a line per tick and per state into two files, with the columns of `columns.py`, until it gets
SIGTERM or its parent is gone. Times are of the monotonic clock, which the processes of a machine
share. An NVML call takes about 4 ms; here, nobody waits for it.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

POLL_SECONDS = 0.002
"""Pause between two looks at the counters."""

STATE_SECONDS = 1.0
"""From one state of a GPU to the next."""


class Counter(Protocol):
    """What is read of a GPU."""

    def energy_mj(self) -> int:
        """Its energy counter [mJ]."""

    def state(self) -> Sequence[int | None]:
        """Temperature [deg C], SM clock [MHz], memory clock [MHz], throttle bits.

        Returns:
            These four; None for what it does not tell.
        """


@dataclass(frozen=True)
class NvmlCounter:
    """An NVIDIA GPU through NVML."""

    nvml: Any
    handle: Any

    def energy_mj(self) -> int:
        """Its energy counter [mJ]."""
        return int(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle))

    def state(self) -> list[int | None]:
        """Temperature [deg C], SM clock [MHz], memory clock [MHz], throttle bits."""
        nvml = self.nvml
        questions: tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...] = (
            (nvml.nvmlDeviceGetTemperature, (nvml.NVML_TEMPERATURE_GPU,)),
            (nvml.nvmlDeviceGetClockInfo, (nvml.NVML_CLOCK_SM,)),
            (nvml.nvmlDeviceGetClockInfo, (nvml.NVML_CLOCK_MEM,)),
            (nvml.nvmlDeviceGetCurrentClocksEventReasons, ()),
        )
        answers: list[int | None] = []
        for ask, words in questions:
            try:
                answers.append(int(ask(self.handle, *words)))
            except nvml.NVMLError:
                answers.append(None)
        return answers


@dataclass
class _Shown:
    """What a counter showed last, and when the call that read it began [s]."""

    energy_mj: int
    asked_at: float
    next_state: float = 0.0


@dataclass
class Poller:
    """Looks at counters again and again, and tells what changed.

    Attributes:
        counters: Index of a GPU -> its counter.
        tell_tick: Takes a line for each tick, in the columns of `TICK_COLUMNS`.
        tell_state: Takes a line for each state, in the columns of `STATE_COLUMNS`.
        clock: Monotonic time [s].
    """

    counters: Mapping[int, Counter]
    tell_tick: Callable[[str], object]
    tell_state: Callable[[str], object]
    clock: Callable[[], float] = time.monotonic
    _shown: dict[int, _Shown] = field(default_factory=dict)

    def look(self) -> None:
        """One look at every counter."""
        for gpu, counter in self.counters.items():
            begin = self.clock()
            energy_mj = counter.energy_mj()
            end = self.clock()
            shown = self._shown.setdefault(gpu, _Shown(energy_mj, begin))
            if energy_mj != shown.energy_mj:
                times = f"{shown.asked_at:.6f},{begin:.6f},{end:.6f}"
                self.tell_tick(f"{gpu},{times},{energy_mj}\n")
                shown.energy_mj = energy_mj
                # Just after a tick, since the next one is then far off.
                if end >= shown.next_state:
                    shown.next_state = end + STATE_SECONDS
                    self._tell_state(gpu, end, counter.state())
            shown.asked_at = begin

    def _tell_state(self, gpu: int, at: float, values: Sequence[int | None]) -> None:
        texts = ("" if value is None else str(value) for value in values)
        self.tell_state(",".join([str(gpu), f"{at:.6f}", *texts]) + "\n")

    def run(
        self,
        is_over: Callable[[], bool],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Look until it is over."""
        while not is_over():
            self.look()
            sleep(POLL_SECONDS)


def poll_nvml(ticks: Path, states: Path, parent: int, gpus: Sequence[int]) -> None:
    """Poll NVIDIA GPUs until SIGTERM, or until the parent is gone.

    Args:
        ticks: File for ticks.
        states: File for states.
        parent: Process that wants them.
        gpus: NVML indices.
    """
    import pynvml as nvml

    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    # Ctrl-C goes to all processes of a terminal; the parent says when it is over.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nvml.nvmlInit()
    counters = {gpu: NvmlCounter(nvml, nvml.nvmlDeviceGetHandleByIndex(gpu)) for gpu in gpus}
    with ticks.open("w", buffering=1) as tick_file, states.open("w", buffering=1) as state_file:
        poller = Poller(counters, tick_file.write, state_file.write)
        poller.run(lambda: stopped or os.getppid() != parent)


if __name__ == "__main__":
    try:
        poll_nvml(
            Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), [int(k) for k in sys.argv[4:]]
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent tells it in a line
        sys.exit(f"{type(error).__name__}: {error}")
