"""Metering a window of traffic on a loaded engine, with the logs that tell prices from it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from joulecast.measurements.conditions import card_facts, conditions
from joulecast.measurements.engines import EngineError, StreamingEngine, count_steps, crashes_named
from joulecast.measurements.gpu.devices import GpuDevice, card_name
from joulecast.measurements.gpu.meter import Meter
from joulecast.measurements.gpu.window import Window, meter_window, warm_up
from joulecast.measurements.replay import ReplayRun
from joulecast.measurements.steplog.logger import WindowLog, WindowLogger
from joulecast.measurements.steplog.ticks import Ticks
from joulecast.measurements.table.traffic_window import TrafficWindow
from joulecast.measurements.traffic.folder import TrafficFolder
from joulecast.measurements.traffic.gates import TrafficObservation, failed_traffic_gates
from joulecast.measurements.traffic.pace import Pace, measured_pace
from joulecast.measurements.traffic.service import TrafficService
from joulecast.measurements.traffic.stretches import SEED, Stretch, TrafficMaker

_WARM_UP = [(512, 32)] * 32

MakeLogger = Callable[[StreamingEngine, Sequence[int], Callable[[str], None]], WindowLogger]


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
        make_logger: Logs steps and ticks.
    """

    engine: StreamingEngine
    gpus: Sequence[GpuDevice]
    folder: TrafficFolder
    rough: Pace
    longest: int
    note: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    make_logger: MakeLogger = WindowLogger

    def run(self) -> TrafficWindow:
        """Meter a window; it is in the folder when this returns, valid or not.

        Where kernels were compiled within it, another follows, and both are in the folder.

        Returns:
            The last window.

        Raises:
            EngineError: The engine crashed, or does not let its steps be logged.
            MeterError: A counter cannot be believed.
            InputError: The logs cannot be written.
        """
        meter = Meter(self.gpus, self.clock, self.sleep)
        idle_power_w = self._prepare_card(meter)
        window, compiled = self._run(meter, idle_power_w)
        return self._run(meter, idle_power_w)[0] if compiled else window

    def _run(self, meter: Meter, idle_power_w: float) -> tuple[TrafficWindow, Sequence[str]]:
        """A window, and the kernels that were compiled within it."""
        with crashes_named(self.engine):
            stretches = self._stretches()
            lengths = [(r.input_tokens, r.output_tokens) for s in stretches for r in s.requests]
            stream = self.engine.prepare_stream(lengths)
        service = TrafficService(stream, stretches, self.clock, self.sleep)
        counts = ", ".join(f"{len(stretch.requests)} {stretch.name}" for stretch in stretches)
        self.note(f"traffic: {counts}")
        with self.make_logger(self.engine, [gpu.index for gpu in self.gpus], self.note) as logger:
            engine_steps = count_steps(self.engine, self.note)
            logger.start()
            window, produced = self._meter(meter, service)
            logger.stop()
            reading = window.reading
            log = logger.collect(reading.begin_s, reading.end_s, engine_steps)
        if log.steps is None:
            raise EngineError(f"{log.step_problem}; prices cannot be told without them")
        asked = sum(request.output_tokens for request in service.requests)
        faults = window.faults(idle_power_w, asked, produced)
        faults += failed_traffic_gates(_observed(log, window, service))
        run = ReplayRun.of(window, card_name(self.gpus), idle_power_w, faults)
        return self._save(log, run, service), window.compiled_kernels

    def _prepare_card(self, meter: Meter) -> float:
        """Idle power with the model loaded [W], and a warm engine."""
        card = card_name(self.gpus)
        cards: dict[str, Any] = self.folder.metadata.setdefault("cards", {})
        if card not in cards:
            self.note("idle power, with the model loaded")
            cards[card] = card_facts(self.gpus, meter.measure_idle())
            if self.folder.metadata.get("idle_power_w") is None:
                self.folder.metadata["idle_power_w"] = cards[card]["idle_power_w"]
            self.folder.save()
        with crashes_named(self.engine):
            batches = warm_up(self.engine.prepare_requests(_WARM_UP), self.gpus, self.clock)
        self.note(f"warm after {batches} batches")
        return float(cards[card]["idle_power_w"])

    def _stretches(self) -> list[Stretch]:
        settings = self.engine.settings()
        pace = measured_pace(self.engine, self.rough, self.clock)
        self.note(
            f"pace: {1e3 * pace.step_seconds:.2f} ms a step, {1e6 * pace.token_seconds:.1f} us a "
            "token"
        )
        maker = TrafficMaker(
            pace, self.longest, settings["kv_cache_tokens"], settings["max_num_seqs"]
        )
        return maker.stretches()

    def _meter(self, meter: Meter, service: TrafficService) -> tuple[Window, int]:
        """Serve the traffic under the meter; what was seen, and the tokens that came out."""
        produced = 0

        def serve() -> None:
            nonlocal produced
            with crashes_named(self.engine):
                produced = service.run()

        return meter_window(meter, self.gpus, serve), produced

    def _save(self, log: WindowLog, run: ReplayRun, service: TrafficService) -> TrafficWindow:
        """Write the logs, with what the meter read and what it was of."""
        metadata = self.folder.metadata
        model, maker = metadata["model"], metadata["measured_by"]
        about = {
            **run.facts(),
            "requests": len(service.requests),
            "requests_cut": service.cut,
            "segments": [
                {"name": name, "begin": begin, "drained": drained}
                for name, begin, drained in service.spans
            ],
            "seed": SEED,
            **conditions(self.gpus, self.engine, model, maker),
        }
        name = self.folder.next_name()
        rows = [request.row(log.steps) for request in service.requests]
        log.save(self.folder.path, name, about, rows)
        return self.folder.add(name)


def _observed(log: WindowLog, window: Window, service: TrafficService) -> TrafficObservation:
    ticks_j = None
    if log.counters is not None and log.tick_problem is None:
        ticks = Ticks.of_rows(log.counters.ticks, {})
        ticks_j = ticks.energy_between(log.begin_s, log.end_s)
    return TrafficObservation(
        log.step_problem, log.tick_problem, window.reading.energy_j, ticks_j, service.cut
    )
