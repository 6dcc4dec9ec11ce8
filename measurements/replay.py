"""A metered run of real requests: what an estimate can be held against."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from joulecast.measurements.engines import ContinuousEngine, Engine, EngineError, EngineSteps
from joulecast.measurements.gpu.devices import GpuDevice
from joulecast.measurements.gpu.gates import MAX_POWER_OVER_LIMIT
from joulecast.measurements.gpu.meter import Meter
from joulecast.measurements.gpu.window import meter_window, warm_up
from joulecast.traces.errors import InputError
from joulecast.traces.files import read_json, write_text

SHIPPED = Path(__file__).parent / "replays"
"""The folder of the replays that ship."""

IDLE_SECONDS = 10.0
_MARK = "joulecast replay"
_VERSION = 1
_WARM_UP_REQUESTS = 32
_LONGEST = 2**31
_TEXTS = (
    "trace", "gpu", "gpu_product", "model", "engine", "engine_version", "dtype", "measured_on",
    "measured_by",
)  # fmt: skip

StaticBatch = tuple[int, int, int]
"""Requests, and the input and output length that all of them are padded to [tokens]."""


@dataclass(frozen=True)
class ReplayRun:
    """One metered run of all requests.

    Attributes:
        energy_j: GPU energy [J].
        seconds: Time [s].
        tick_error_j: Bound on the error from the meter's ticks [J].
        temperature_start_c: GPU temperature before [deg C].
        temperature_end_c: After [deg C].
        card: UUID of the GPU; of all, joined by +, where there are several.
        idle_power_w: Power of that card with the model loaded and nothing to do [W].
        started_at: ISO 8601 time.
        reason: The validity gates that it failed; None if it is valid.
    """

    energy_j: float
    seconds: float
    tick_error_j: float
    temperature_start_c: float
    temperature_end_c: float
    card: str
    idle_power_w: float
    started_at: str
    reason: str | None


@dataclass(frozen=True)
class Replay:
    """Requests that were run under the meter.

    Attributes:
        facts: What was run, on what, with which versions and settings.
        lengths: (i, o) per request, in the order in which they were asked [tokens].
        batches: The static batches that they were run in; None if the engine schedules by itself.
        runs: One or more metered runs.
        engine_steps: What the engine's own scheduler did in the first; None if it does not say.
    """

    facts: Mapping[str, Any]
    lengths: Sequence[tuple[int, int]]
    batches: Sequence[StaticBatch] | None
    runs: Sequence[ReplayRun]
    engine_steps: EngineSteps | None

    @property
    def valid_runs(self) -> list[ReplayRun]:
        """The runs that passed every gate."""
        return [run for run in self.runs if run.reason is None]

    def save(self, path: Path) -> None:
        """Write a readable file: a line per key, run and request, whole or not at all."""
        steps = None if self.engine_steps is None else asdict(self.engine_steps)
        document = {
            "format": _MARK,
            "version": _VERSION,
            **self.facts,
            "engine_steps": steps,
            "batches": self.batches,
        }
        head = "".join(
            f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},\n"
            for key, value in document.items()
        )
        runs = ",\n    ".join(json.dumps(asdict(run)) for run in self.runs)
        lengths = ", ".join(json.dumps(list(pair)) for pair in self.lengths)
        write_text(path, f'{{\n{head}  "runs": [\n    {runs}\n  ],\n  "lengths": [{lengths}]\n}}\n')

    @classmethod
    def load(cls, path: Path) -> "Replay":
        """Read a replay file, believing nothing.

        Raises:
            InputError: It is none, or something in it cannot be true.
        """
        document = read_json(path, "get the file again")
        try:
            return cls._from_dict(document)
        except (KeyError, TypeError, ValueError) as error:
            fault = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{path}: is not a valid replay: {fault}") from error

    @classmethod
    def _from_dict(cls, document: Any) -> "Replay":
        if not isinstance(document, dict) or document.get("format") != _MARK:
            raise ValueError(f'it needs "format": "{_MARK}"')
        if document["version"] != _VERSION:
            raise ValueError(f"version {document['version']} is not {_VERSION}")
        for key in _TEXTS:
            if not isinstance(document[key], str):
                raise TypeError(f'"{key}" is no text')
        if not isinstance(document["engine_settings"], dict):
            raise TypeError('"engine_settings" is no object')
        own = {"format", "version", "lengths", "batches", "runs", "engine_steps"}
        steps = document["engine_steps"]
        batches = document["batches"]
        replay = cls(
            {key: value for key, value in document.items() if key not in own},
            [_counts(pair, 2) for pair in document["lengths"]],
            None if batches is None else [_counts(batch, 3) for batch in batches],
            [_run(run) for run in document["runs"]],
            None if steps is None else _engine_steps(steps),
        )
        if replay.facts["engine"] == "pytorch" and batches is None:
            raise ValueError("its static batches are missing")
        if not replay.lengths or not replay.runs:
            raise ValueError("it has no requests or no runs")
        limit_w = document.get("power_limit_w")
        if isinstance(limit_w, int | float) and any(
            run.energy_j > MAX_POWER_OVER_LIMIT * limit_w * run.seconds for run in replay.valid_runs
        ):
            raise ValueError(f"a valid run drew more than the limit of {limit_w} W allows")
        if batches is not None and sum(batch[0] for batch in batches) != len(replay.lengths):
            raise ValueError("its batches do not hold its requests")
        return replay


def replay_requests(
    engine: Engine,
    gpus: Sequence[GpuDevice],
    lengths: Sequence[tuple[int, int]],
    batches: Sequence[StaticBatch] | None,
    runs: int,
    note: Callable[[str], None],
    idle_power_w: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[list[ReplayRun], EngineSteps | None]:
    """Run requests under the meter, all of them there from the start.

    Args:
        engine: Loaded.
        gpus: That it runs on.
        lengths: (i, o) per request [tokens].
        batches: The static batches to run them in, one after another; None for an engine that
            schedules by itself.
        runs: How often.
        note: Told of progress.
        idle_power_w: Of these GPUs with the engine loaded [W], if an earlier replay of this engine
            measured it and warmed them; None to do both.
        clock: Monotonic time [s].
        sleep: Waits [s].

    Returns:
        The runs, valid or not, and what the engine's scheduler did in the first.

    Raises:
        EngineError: The engine crashed or ran out of memory.
        MeterError: A counter cannot be believed.
    """
    meter = Meter(gpus, clock, sleep)
    is_warm = idle_power_w is not None
    if idle_power_w is None:
        note("idle power, with the model loaded")
        idle_power_w = meter.measure_idle(IDLE_SECONDS).mean_power_w
    if batches is None:
        if not isinstance(engine, ContinuousEngine):
            raise EngineError(f"{engine.name} runs static batches; give the table that has B(I, O)")
        work = engine.prepare_requests(lengths)
        small = engine.prepare_requests(lengths[:_WARM_UP_REQUESTS])
    else:
        work = _one_after_another(engine, batches)
        small = _one_after_another(engine, batches[:1])
    if is_warm:
        small()
    else:
        note(f"warm after {warm_up(small, gpus, clock)} small batches")
    counted = _count_steps(engine, note)
    asked = sum(o for _, o in lengths)
    if batches is not None:
        asked = sum(n * o for n, _, o in batches)
    card = "+".join(gpu.uuid for gpu in gpus)
    made: list[ReplayRun] = []
    for number in range(1, runs + 1):
        produced = 0

        def run_all() -> None:
            nonlocal produced
            produced = work()

        window = meter_window(meter, gpus, run_all)
        faults = window.faults(idle_power_w, asked, produced)
        reading = window.reading
        made.append(
            ReplayRun(
                energy_j=round(reading.energy_j, 3),
                seconds=round(reading.seconds, 4),
                tick_error_j=round(reading.tick_error_j, 2),
                temperature_start_c=window.temperature_start_c,
                temperature_end_c=window.temperature_end_c,
                card=card,
                idle_power_w=round(idle_power_w, 2),
                started_at=window.started_at,
                reason="; ".join(faults) or None,
            )
        )
        note(
            f"run {number} of {runs}: {reading.energy_j:.1f} J, {reading.seconds:.1f} s, "
            f"{reading.mean_power_w:.0f} W" + (f"  INVALID: {made[-1].reason}" if faults else "")
        )
    if counted is not None:
        counted.steps, counted.tokens, counted.preempted = (
            round(value / runs) for value in (counted.steps, counted.tokens, counted.preempted)
        )
    return made, counted


def _count_steps(engine: Engine, note: Callable[[str], None]) -> EngineSteps | None:
    """Count the engine's steps from now on, where it has a scheduler that can be watched."""
    if not isinstance(engine, ContinuousEngine):
        return None
    try:
        return engine.record_steps()
    except EngineError as error:
        note(str(error))
        return None


def _one_after_another(engine: Engine, batches: Sequence[StaticBatch]) -> Callable[[], int]:
    prepared = [engine.prepare(i, o, n) for n, i, o in batches]
    return lambda: sum(batch() for batch in prepared)


def _counts(value: Any, length: int) -> Any:
    if not isinstance(value, list) or len(value) != length:
        raise ValueError(f"{value!r} is not {length} numbers")
    if any(type(one) is not int or not 1 <= one < _LONGEST for one in value):
        raise ValueError(f"{value!r} are no counts of 1 or more")
    return tuple(value)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _engine_steps(value: Any) -> EngineSteps:
    names = {"steps", "tokens", "preempted"}
    if not isinstance(value, dict) or set(value) != names:
        raise ValueError(f'"engine_steps" has {", ".join(sorted(names))}, and nothing else')
    return EngineSteps(**{key: _count(number) for key, number in value.items()})


def _run(value: Any) -> ReplayRun:
    names = {field.name for field in fields(ReplayRun)}
    if not isinstance(value, dict) or set(value) != names:
        raise ValueError(f"a run has {', '.join(sorted(names))}, and nothing else")
    run = ReplayRun(**value)
    numbers = run.energy_j, run.seconds, run.idle_power_w
    if any(type(one) not in (int, float) or not 0 < one < 1e12 for one in numbers):
        raise ValueError("energy_j, seconds and idle_power_w of a run are numbers above 0")
    others = run.tick_error_j, run.temperature_start_c, run.temperature_end_c
    texts = run.card, run.started_at, run.reason or ""
    if any(type(one) not in (int, float) for one in others) or not all(
        isinstance(text, str) for text in texts
    ):
        raise TypeError("a value of a run is of the wrong type")
    if run.tick_error_j < 0 or run.reason == "":
        raise ValueError("tick_error_j of a run is 0 or more, and its reason a text or null")
    return run
