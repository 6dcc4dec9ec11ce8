"""The sweep: make the runs of a plan, one metered window each, and keep every one of them."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from joulecast.measurements.conditions import card_facts
from joulecast.measurements.engines import Batch, BatchTooLargeError, Engine, crashes_named
from joulecast.measurements.gpu.devices import GpuDevice, MeterError, card_name
from joulecast.measurements.gpu.gates import MIN_WINDOW_S
from joulecast.measurements.gpu.meter import IDLE_SECONDS, Meter
from joulecast.measurements.gpu.window import Window, meter_window, warm_up
from joulecast.measurements.sweep.cost import CostModel
from joulecast.measurements.sweep.folder import SweepFolder
from joulecast.measurements.sweep.run_spec import RunSpec
from joulecast.measurements.table.runs import Run

MAX_FAILED_IN_A_ROW = 8
_LONG_S = 2.0
_SHRINK = 0.98


class Observer(Protocol):
    """Who wants to know how a sweep goes."""

    def started(self, spec: RunSpec, done: int, total: int, seconds_left: float) -> None:
        """A run begins."""

    def finished(self, spec: RunSpec, run: Run) -> None:
        """A run is on disk."""

    def note(self, text: str) -> None:
        """Anything else worth a line."""


class WindowRecorder(Protocol):
    """Reads something else around each window."""

    def start(self) -> None:
        """Before a window."""

    def stop(self) -> None:
        """After it."""

    def record(self, run: Run, window: Window) -> None:
        """Keep what was seen beside a run that is on disk, and its window."""


@dataclass(frozen=True)
class SweepSettings:
    """How windows are made.

    Attributes:
        min_window_s: Batches repeat until a window is this long [s].
        idle_seconds: Length of the idle window [s].
        time_budget_s: Most time for the whole sweep, warm-up included [s]; None for no bound.
    """

    min_window_s: float = MIN_WINDOW_S
    idle_seconds: float = IDLE_SECONDS
    time_budget_s: float | None = None


@dataclass
class Sweep:
    """Everything that a sweep holds in its hands.

    Attributes:
        engine: The loaded engine.
        gpus: The GPUs that it runs on.
        folder: Where runs go.
        cost: Predicts how long runs take.
        observer: Told of progress.
        settings: How windows are made.
        recorders: Read something else around each window.
        clock: Monotonic time [s].
        sleep: Waits [s].
    """

    engine: Engine
    gpus: Sequence[GpuDevice]
    folder: SweepFolder
    cost: CostModel
    observer: Observer
    settings: SweepSettings = field(default_factory=SweepSettings)
    recorders: Sequence[WindowRecorder] = ()
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self._meter = Meter(self.gpus, self.clock, self.sleep)
        self._began = self.clock()
        self._pace = 1.0

    def run(self, plan: Sequence[RunSpec]) -> int:
        """Make the runs of a plan that are not on disk yet, in the given order.

        Returns:
            How many were left for want of time.

        Raises:
            EngineError: The engine crashed, or ran out of memory with a batch that had fitted;
                what was measured is on disk.
            MeterError: A counter cannot be believed any more, or run after run fails a gate;
                likewise.
        """
        todo = missing_runs(plan, self.folder.runs)
        if not todo:
            return 0
        idle_power_w = self._prepare_card(todo)
        done = left = failed_in_a_row = 0
        failed: Counter[tuple[int, int, int]] = Counter()
        while todo:
            spec, left_s = todo[0], sum(map(self._predicted_s, todo))
            del todo[0]
            if not self._has_time_for(self._predicted_s(spec)):
                left += 1  # a shorter one may still fit
                continue
            total = done + 1 + len(todo) + left
            self.observer.started(spec, done, total, left_s * self._pace)
            began = self.clock()
            try:
                run = self._measure(spec, idle_power_w)
            except BatchTooLargeError as error:
                todo = self._with_less(spec, todo, error)
                continue
            self.observer.finished(spec, run)
            pace = (self.clock() - began) / self._predicted_s(spec)
            self._pace = 0.8 * self._pace + 0.2 * pace
            done += 1
            failed_in_a_row = 0 if run.valid else failed_in_a_row + 1
            if failed_in_a_row == MAX_FAILED_IN_A_ROW:
                raise MeterError(
                    f"{failed_in_a_row} runs in a row failed a gate, the last one: {run.reason}"
                )
            if not run.valid:
                # What made it fail, such as a card gone cold, has often passed at once, or by the
                # end, such as one too hot.
                failed[spec.batch] += 1
                if failed[spec.batch] == 1:
                    todo.insert(0, spec)
                elif failed[spec.batch] == 2:
                    todo.append(spec)
        if left:
            self.observer.note(f"time is up: {left} runs are left; go on with --resume")
        return left

    def _with_less(
        self, spec: RunSpec, todo: list[RunSpec], error: BatchTooLargeError
    ) -> list[RunSpec]:
        """What is to do after a batch that was thought to fit ran out of memory after all.

        Where it was to be B(I, O), and no run has made it that yet, a slightly smaller one takes
        its place, at once.
        """
        was_made = any(run.valid and run.batch == spec.batch for run in self.folder.runs)
        size = min(spec.batch_size - 1, int(_SHRINK * spec.batch_size))
        if was_made or not spec.at_capacity or size < 1:
            raise error
        self.observer.note(f"{error}; B({spec.input_tokens}, {spec.output_tokens}) is now {size}")
        self.folder.shrink(spec.cell, size, spec.batch_size)
        return [
            replace(planned, batch_size=size)
            if planned.at_capacity and planned.cell == spec.cell
            else planned
            for planned in [spec, *todo]
        ]

    def _predicted_s(self, spec: RunSpec) -> float:
        return self.cost.run_seconds(spec, self.settings.min_window_s)

    def _prepare_card(self, todo: Sequence[RunSpec]) -> float:
        """Idle power with the model loaded [W], and a warm engine."""
        card = card_name(self.gpus)
        cards: dict[str, Any] = self.folder.metadata.setdefault("cards", {})
        if card not in cards:
            self.observer.note("idle power, with the model loaded")
            idle = self._meter.measure_idle(self.settings.idle_seconds)
            cards[card] = card_facts(self.gpus, idle)
            if self.folder.metadata.get("idle_power_w") is None:
                self.folder.metadata["idle_power_w"] = round(idle.mean_power_w, 2)
            self.folder.save(status="measuring")
        warm_up_batch = self._prepare(self._warm_up_batch(todo))
        batches = warm_up(warm_up_batch, self.gpus, self.clock)
        self.observer.note(f"warm after {batches} batches")
        return float(cards[card]["idle_power_w"])

    def _warm_up_batch(self, todo: Sequence[RunSpec]) -> RunSpec:
        """A batch of about a second; where those that are left take longer, less of one."""
        spec = min(todo, key=lambda spec: abs(self.cost.batch_seconds(spec) - 1.0))
        while self.cost.batch_seconds(spec) > _LONG_S and spec.output_tokens > 1:
            spec = replace(spec, output_tokens=spec.output_tokens // 2)
        while self.cost.batch_seconds(spec) > _LONG_S and spec.batch_size > 1:
            spec = replace(spec, batch_size=spec.batch_size // 2)
        return spec

    def _has_time_for(self, predicted_s: float) -> bool:
        if self.settings.time_budget_s is None:
            return True
        spent_s = self.clock() - self._began
        return spent_s + predicted_s * self._pace <= self.settings.time_budget_s

    def _measure(self, spec: RunSpec, idle_power_w: float) -> Run:
        batch = self._prepare(spec)
        batches = produced = 0

        def fill() -> None:
            nonlocal batches, produced
            batches, produced = self._fill_window(batch)

        for recorder in self.recorders:
            recorder.start()
        window = meter_window(self._meter, self.gpus, fill)
        for recorder in self.recorders:
            recorder.stop()
        reading = window.reading
        asked = batches * spec.batch_size * spec.output_tokens
        faults = window.faults(idle_power_w, asked, produced, self.settings.min_window_s)
        run = Run(
            input_tokens=spec.input_tokens,
            output_tokens=spec.output_tokens,
            batch_size=spec.batch_size,
            at_capacity=spec.at_capacity,
            batches=batches,
            energy_j=round(reading.energy_j, 3),
            seconds=round(reading.seconds, 4),
            tick_error_j=round(reading.tick_error_j, 2),
            mean_power_w=round(reading.mean_power_w, 2),
            temperature_start_c=window.temperature_start_c,
            temperature_end_c=window.temperature_end_c,
            run=1
            + max((run.run for run in self.folder.runs if run.batch == spec.batch), default=0),
            gpu=card_name(self.gpus),
            started_at=window.started_at,
            valid=not faults,
            reason="; ".join(faults) or None,
        )
        self.folder.append(run, reading.energy_by_gpu_j)
        for recorder in self.recorders:
            recorder.record(run, window)
        return run

    def _prepare(self, spec: RunSpec) -> Batch:
        with crashes_named(self.engine):
            batch = self.engine.prepare(spec.input_tokens, spec.output_tokens, spec.batch_size)

        def run() -> int:
            with crashes_named(self.engine):
                return batch()

        return run

    def _fill_window(self, batch: Batch) -> tuple[int, int]:
        """Repeat a batch until the window is long enough: batches made, tokens produced."""
        batches = produced = 0
        began = self.clock()
        while batches == 0 or self.clock() - began < self.settings.min_window_s:
            produced += batch()
            batches += 1
        return batches, produced


def missing_runs(plan: Sequence[RunSpec], runs: Sequence[Run]) -> list[RunSpec]:
    """The runs of a plan that are lacking: what each batch has too few valid ones of.

    A batch without any keeps its first run, which comes as early as it was meant to.
    """
    valid = Counter(run.batch for run in runs if run.valid)
    return [spec for spec in plan if spec.run > valid[spec.batch]]


def cells_without_valid_run(plan: Sequence[RunSpec], runs: Sequence[Run]) -> list[tuple[int, int]]:
    """Cells of the plan, at capacity, that have runs but no valid one."""
    tried = {run.cell for run in runs if run.at_capacity}
    valid = {run.cell for run in runs if run.at_capacity and run.valid}
    planned = {spec.cell for spec in plan if spec.at_capacity}
    return sorted((tried & planned) - valid)
