"""Metering a window of traffic on a loaded engine, with the logs that tell prices from it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from joulecast.measurements.engines import EngineError, StreamingEngine
from joulecast.measurements.gpu.devices import GpuDevice
from joulecast.measurements.gpu.meter import Meter
from joulecast.measurements.gpu.window import Window, meter_window, utc_now, warm_up
from joulecast.measurements.sweep.host import host_cpu
from joulecast.measurements.traffic.folder import TrafficFolder
from joulecast.measurements.traffic.gates import TrafficObservation, failed_traffic_gates
from joulecast.measurements.traffic.pace import Pace, measured_pace
from joulecast.measurements.traffic.service import TrafficService
from joulecast.measurements.traffic.stretches import SEED, Stretch, TrafficMaker
from joulecast.measurements.traffic.window import TrafficWindow

_WARM_UP = [(512, 32)] * 32


@dataclass
class TrafficSession:
    """A loaded engine on metered GPUs, and the folder that a window of traffic goes into.

    Attributes:
        engine: The loaded engine.
        gpus: The GPUs that it runs on.
        folder: Where logs go.
        rough: About how fast the model is.
        longest: Longest request that the model takes [tokens].
        note: Told of progress.
        clock: Monotonic time [s].
        sleep: Waits [s].
    """

    engine: StreamingEngine
    gpus: Sequence[GpuDevice]
    folder: TrafficFolder
    rough: Pace
    longest: int
    note: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def run(self) -> TrafficWindow:
        """Meter one window; it is in the folder when this returns, valid or not.

        Raises:
            EngineError: The engine crashed, or does not let its steps be logged.
            MeterError: A counter cannot be believed.
        """
        meter = Meter(self.gpus, self.clock, self.sleep)
        idle_power_w = self._idle_power_w(meter)
        stretches = self._stretches()
        lengths = [(r.input_tokens, r.output_tokens) for s in stretches for r in s.requests]
        service = TrafficService(
            self.engine.prepare_stream(lengths), stretches, self.clock, self.sleep
        )
        ...
