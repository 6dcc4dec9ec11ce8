"""Logs of metered windows: the engine's steps, and what another process reads of the GPUs.

What cannot be logged is said in a line, and in the logs; the window itself is the meter's, and as
valid as ever.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from joulecast.measurements.engines import Engine, EngineError, EngineSteps, SteppedEngine
from joulecast.measurements.engines.step_log import LoggedRequest, RawStepLog
from joulecast.measurements.gpu.devices import MeterError
from joulecast.measurements.host import HostUse, HostWatch
from joulecast.measurements.steplog.columns import LOG_COLUMNS
from joulecast.measurements.steplog.files import log_path, write_log
from joulecast.measurements.steplog.heat import heat_note
from joulecast.measurements.steplog.log import count_problem
from joulecast.measurements.steplog.reader import CounterReader, CounterRows
from joulecast.measurements.steplog.ticks import Ticks
from joulecast.traces.errors import InputError
from joulecast.traces.files import exists


@dataclass(frozen=True)
class WindowLog:
    """What was logged of one window.

    Attributes:
        begin_s: When the window began [s, monotonic clock].
        end_s: When it ended [s, monotonic clock].
        steps: What the engine logged; None if it could not.
        counters: What was read of the counters; None if nobody could.
        engine_steps: What the engine's scheduler counted in the window; None if it does not say.
        host_use: What this process got of the host.
        step_problem: Why `steps` is not complete; None if it is.
        tick_problem: Why the ticks are not complete; None if they are.
    """

    begin_s: float
    end_s: float
    steps: RawStepLog | None
    counters: CounterRows | None
    engine_steps: EngineSteps | None
    host_use: HostUse
    step_problem: str | None
    tick_problem: str | None

    @property
    def problem(self) -> str | None:
        """All that is not complete, in words; None if nothing is."""
        return "; ".join(filter(None, (self.step_problem, self.tick_problem))) or None

    def save(
        self,
        folder: Path,
        name: str,
        about: Mapping[str, Any],
        request_rows: Sequence[Sequence[Any]] | None = None,
    ) -> list[Path]:
        """Write NAME.steps.csv.gz and the others, each whole or not at all.

        Args:
            folder: Of the files.
            name: Of the window.
            about: What the meter read, on what it ran: facts of every file.
            request_rows: Rows of `REQUEST_COLUMNS`; the engine's own requests if not given.

        Returns:
            What was written: only logs that there is something of.

        Raises:
            InputError: The folder is missing, read-only or full.
        """
        facts = {
            "window_begin": self.begin_s,
            "window_end": self.end_s,
            **about,
            "host_use": asdict(self.host_use),
            "engine_steps": None if self.engine_steps is None else asdict(self.engine_steps),
            "steps_complete": self.step_problem is None,
            "ticks_complete": self.tick_problem is None,
            "problem": self.problem,
        }
        rows: dict[str, Sequence[Sequence[Any]]] = {}
        if self.steps is not None:
            rows["steps"] = self.steps.steps
            rows["requests"] = request_rows or [
                request_row(request) for request in self.steps.requests.values()
            ]
        if self.counters is not None:
            rows["ticks"], rows["states"] = self.counters.ticks, self.counters.states
        meanings = {"steps": {} if self.steps is None else self.steps.meanings}
        for log, log_rows in rows.items():
            write_log(log_path(folder, name, log), log, facts, log_rows, meanings.get(log))
        return [log_path(folder, name, log) for log in rows]


def request_row(request: LoggedRequest) -> list[Any]:
    """A row of `REQUEST_COLUMNS` of a request that was asked with all others, from the start."""
    return [
        "",
        None,
        None,
        request.input_tokens,
        request.output_tokens,
        request.scheduled,
        request.first_token,
        request.finish,
        request.produced,
        request.preempted,
        0,
    ]


def require_no_logs(folder: Path, name: str) -> None:
    """Refuse to overwrite the logs of a window.

    Raises:
        InputError: One of its files is there.
    """
    for log in LOG_COLUMNS:
        path = log_path(folder, name, log)
        if exists(path):
            raise InputError(f"{path}: is there already; a measurement is not overwritten")


@dataclass
class WindowLogger:
    """Logs windows while its context lasts, one after another.

    Attributes:
        engine: The loaded engine.
        gpus: NVML indices of the GPUs that it runs on.
        note: Told, in a line, of what cannot be logged.
        make_reader: Makes the process that reads the counters.
    """

    engine: Engine
    gpus: Sequence[int]
    note: Callable[[str], None]
    make_reader: Callable[[Sequence[int]], CounterReader] = CounterReader
    _reader: CounterReader | None = field(default=None, init=False)
    _reader_problem: str | None = field(default=None, init=False)
    _step_problem: str | None = field(default=None, init=False)
    _is_logging: bool = field(default=False, init=False)
    _raw: RawStepLog | None = field(default=None, init=False)
    _host: HostWatch = field(default_factory=HostWatch, init=False)

    def __enter__(self) -> Self:
        """Have the counters read from now on."""
        self._start_reader()
        return self

    def __exit__(self, *_: object) -> None:
        """Have them read no more."""
        if self._reader is not None:
            self._reader.__exit__()
            self._reader = None

    def _start_reader(self) -> None:
        self._reader_problem = None
        try:
            self._reader = self.make_reader(self.gpus).__enter__()
        except MeterError as error:
            self._reader, self._reader_problem = None, str(error)

    def start(self) -> None:
        """Before a window, when the engine has nothing to do."""
        if self._reader is not None and self._reader.problem is not None:
            self._reader.__exit__()
            self._start_reader()
        self._step_problem, self._is_logging, self._raw = None, False, None
        try:
            if not isinstance(self.engine, SteppedEngine):
                raise EngineError(f"the steps of {self.engine.name} cannot be logged")
            self.engine.start_step_log()
            self._is_logging = True
        except EngineError as error:
            self._step_problem = str(error)
        self._host.start()

    def stop(self) -> None:
        """After it, as soon as the meter has read it."""
        self._host.stop()
        if self._is_logging and isinstance(self.engine, SteppedEngine):
            self._raw = self.engine.stop_step_log()
        self._is_logging = False

    def collect(
        self, begin_s: float, end_s: float, engine_steps: EngineSteps | None = None
    ) -> WindowLog:
        """What was logged between `start` and `stop`; notes what could not be.

        Args:
            begin_s: When the meter began the window [s, monotonic clock].
            end_s: When it ended it [s, monotonic clock].
            engine_steps: What the engine's scheduler counted; None if it does not say.
        """
        counters = None if self._reader is None else self._reader.collect(begin_s, end_s)
        log = WindowLog(
            begin_s,
            end_s,
            self._raw,
            counters,
            engine_steps,
            self._host.use,
            self._step_problem or _step_problem(self._raw, engine_steps),
            self._reader_problem or _tick_problem(counters, self.gpus, begin_s, end_s),
        )
        if log.problem is not None:
            self.note(f"the log is not complete: {log.problem}")
        if counters is not None and (heat := heat_note(counters.states, begin_s, end_s)):
            self.note(heat)
        return log


def _step_problem(raw: RawStepLog | None, engine_steps: EngineSteps | None) -> str | None:
    """How the log differs from what the engine counted, and from what was asked of it."""
    if raw is None:
        return "no steps were logged"
    logged = EngineSteps(
        len(raw.steps),
        sum(step.decoding + step.prompt_tokens for step in raw.steps),
        sum(step.preempted for step in raw.steps),
    )
    if problem := count_problem(logged, engine_steps):
        return problem
    short = sum(request.produced != request.output_tokens for request in raw.requests.values())
    if short:
        return f"{short:,} of its {len(raw.requests):,} requests got other outputs than asked for"
    return None


def _tick_problem(
    counters: CounterRows | None, gpus: Sequence[int], begin_s: float, end_s: float
) -> str | None:
    """Why the ticks do not tell the energy of the whole window."""
    if counters is None:
        return "no ticks were logged"
    if counters.problem is not None:
        return counters.problem
    ticks = Ticks.of_rows(counters.ticks, {"window_begin": begin_s, "window_end": end_s})
    if lacking := sorted(set(gpus) - set(ticks.by_gpu)):
        return f"the energy counter of GPU {lacking[0]} has no ticks"
    return ticks.problem(begin_s, end_s)
