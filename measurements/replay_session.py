"""Running requests under the meter, one replay after another: all at once, or as they come."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from joulecast.measurements.batching import Batching, StaticBatch
from joulecast.measurements.engines import (
    Batch,
    ContinuousEngine,
    Engine,
    EngineError,
    EngineSteps,
    LimitableEngine,
    StreamingEngine,
    count_steps,
    crashes_named,
)
from joulecast.measurements.gpu.devices import GpuDevice, card_name
from joulecast.measurements.gpu.gates import MIN_WINDOW_S
from joulecast.measurements.gpu.meter import Meter
from joulecast.measurements.gpu.window import Window, meter_window, warm_up
from joulecast.measurements.replay import ReplayRun, ServedAt
from joulecast.measurements.steplog.logger import WindowLog, WindowLogger
from joulecast.measurements.traffic.service import ServedRequest, TrafficService
from joulecast.measurements.traffic.stretches import Stretch, TimedRequest

_WARM_UP_REQUESTS = 32

_MOST_AGAIN = 2
"""Windows that are made again, as kernels were compiled within them; then the gate has its say."""

_MOST_SERVING = 5.0, 60.0
"""A replay is cut off after so many times the time in which its requests come, and so many seconds:
far beyond what a server can do, its queue only grows."""


@dataclass(frozen=True)
class ReplayRequests:
    """What is asked of an engine.

    Attributes:
        lengths: (i, o) per request [tokens].
        batches: The static batches to run them in, one after another; None for an engine that
            schedules by itself.
        arrivals: When each comes, ascending from the start of the window [s]; None if all are there
            from the start.
        batching: How those that are there are handed over.
    """

    lengths: Sequence[tuple[int, int]]
    batches: Sequence[StaticBatch] | None = None
    arrivals: Sequence[float] | None = None
    batching: Batching = Batching()  # noqa: RUF009 - it cannot be changed

    @classmethod
    def so(cls, lengths: Sequence[tuple[int, int]], batching: Batching) -> "ReplayRequests":
        """Requests that are all there, handed over so."""
        return cls(lengths, batching.batches(lengths), batching=batching)

    @property
    def parts(self) -> Sequence[Sequence[tuple[int, int]]]:
        """What an engine that schedules by itself is given together, one part after another."""
        return self.batching.parts(self.lengths)

    @property
    def output_tokens(self) -> int:
        """Tokens that come out, those that only fill a batch up included."""
        if self.batches is None or self.batching.static is not None:
            return sum(o for part in self.parts for _, o in part)
        return sum(n * o for n, _, o in self.batches)

    @property
    def longest(self) -> int:
        """Input and output of the longest request, as it is served [tokens]."""
        return max(i + o for part in self.parts for i, o in part)

    def first(self) -> "ReplayRequests":
        """A few of them, to warm up with."""
        if self.batching.static is not None:
            return ReplayRequests.so(self.lengths[: self.batching.static], self.batching)
        if self.batches is not None:
            return ReplayRequests(self.lengths, self.batches[:1])
        return ReplayRequests(self.lengths[:_WARM_UP_REQUESTS], batching=self.batching)


@dataclass(frozen=True)
class ReplayResult:
    """What some requests took, run one or more times.

    Attributes:
        runs: The runs, valid or not; last those that were run again, as kernels were compiled
            within them.
        engine_steps: What the engine's scheduler did for all requests once, on average; None if it
            does not say.
        logs: What was logged of each run that was not run again; empty if nobody asked for it.
        requests: What became of each request, where they came over time.
    """

    runs: Sequence[ReplayRun]
    engine_steps: EngineSteps | None
    logs: Sequence[WindowLog]
    requests: Sequence[ServedRequest] | None = None

    @property
    def served(self) -> list[ServedAt] | None:
        """When each request came, gave its first token and its last [s from the window's start].

        None where all were there at once, or their steps could not be logged.
        """
        if self.requests is None or not self.logs or self.logs[0].steps is None:
            return None
        logged, begin_s = self.logs[0].steps.requests, self.logs[0].begin_s
        times = [
            (request.arrival, logged[request.name].first_token, request.finish)
            for request in self.requests
            if request.name is not None and request.name in logged
        ]
        if len(times) < len(self.requests) or any(None in each for each in times):
            return None
        return [
            (round(a - begin_s, 4), round(t - begin_s, 4), round(f - begin_s, 4))
            for a, t, f in times
            if a is not None and t is not None and f is not None
        ]


@dataclass
class ReplaySession:
    """A loaded engine on metered GPUs; idle power is measured once, by the first replay.

    Attributes:
        engine: The loaded engine.
        gpus: The GPUs that it runs on.
        note: Told of progress.
        clock: Monotonic time [s].
        sleep: Waits [s].
        logger: Logs every run; None for no logs.
    """

    engine: Engine
    gpus: Sequence[GpuDevice]
    note: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    logger: WindowLogger | None = None

    def __post_init__(self) -> None:
        self._meter = Meter(self.gpus, self.clock, self.sleep)
        self._idle_power_w: float | None = None

    def run(self, requests: ReplayRequests, repeats: int) -> ReplayResult:
        """Run requests under the meter.

        Args:
            requests: All there from the start, or with their arrivals.
            repeats: How many windows of them; those with arrivals are run once. Within a window,
                those that are all there are run again until it is as long as its gate asks.

        Raises:
            EngineError: The engine crashed or ran out of memory.
            MeterError: A counter cannot be believed.
        """
        self._limit(requests.batching.in_flight)
        try:
            return self._run(requests, repeats)
        finally:
            self._limit(None)  # for who has the engine next

    def _run(self, requests: ReplayRequests, repeats: int) -> ReplayResult:
        """As `run`, as many at once as the engine now takes."""
        is_cold = self._idle_power_w is None
        if self._idle_power_w is None:
            self.note("idle power, with the model loaded")
            self._idle_power_w = self._meter.measure_idle().mean_power_w
        work, service = self._work(requests)
        self._warm_up(self._prepare(requests.first()), is_cold)
        least_s = MIN_WINDOW_S if service is None else 0.0
        steps = count_steps(self.engine, self.note)
        runs: list[ReplayRun] = []
        again: list[ReplayRun] = []
        logs, counts = [], []
        while len(runs) < repeats:
            before = None if steps is None else replace(steps)
            window, run = self._measure(work, requests.output_tokens, self._idle_power_w, least_s)
            is_to_be_made_again = bool(window.compiled_kernels) and len(again) < _MOST_AGAIN
            ending = "; it is made again" if is_to_be_made_again else ""
            self.note(f"run {len(runs) + 1} of {repeats}: {_run_text(run)}{ending}")
            if is_to_be_made_again:
                again.append(run)
                work, service = self._work(requests)
                continue
            runs.append(run)
            counts.append(_difference(before, steps))
            if self.logger is not None:
                reading = window.reading
                logs.append(self.logger.collect(reading.begin_s, reading.end_s, counts[-1]))
        counted = _per_round(counts, sum(run.rounds for run in runs))
        served = None if service is None else service.requests
        return ReplayResult([*runs, *again], counted, logs, served)

    def _work(self, requests: ReplayRequests) -> tuple[Batch, TrafficService | None]:
        """Requests ready to run once, and what serves them where they come over time."""
        if requests.arrivals is None:
            return self._prepare(requests), None
        service = self._service(requests)
        return service.run, service

    def _service(self, requests: ReplayRequests) -> TrafficService:
        """Requests that come over time, ready to be served."""
        if not isinstance(self.engine, StreamingEngine):
            raise EngineError(f"{self.engine.name} takes no requests while it runs others")
        arrivals = requests.arrivals or ()
        timed = [
            TimedRequest(at, i, o) for at, (i, o) in zip(arrivals, requests.lengths, strict=True)
        ]
        with crashes_named(self.engine):
            stream = self.engine.prepare_stream(requests.lengths)
        times, least_s = _MOST_SERVING
        most_seconds = times * max(arrivals, default=0.0) + least_s
        return TrafficService(
            stream,
            [Stretch("", timed)],
            self.clock,
            self.sleep,
            most_seconds=most_seconds,
            pause_seconds=0.0,
        )

    def _limit(self, in_flight: int | None) -> None:
        """Have the engine run so many requests at once at most; None for as many as it takes.

        Raises:
            EngineError: It does not let itself be limited.
        """
        if isinstance(self.engine, LimitableEngine):
            self.engine.limit_running(in_flight)
        elif in_flight is not None:
            raise EngineError(
                f"{self.engine.name} keeps no fixed number of requests in flight; give --static"
            )

    def _prepare(self, requests: ReplayRequests) -> Batch:
        if isinstance(self.engine, ContinuousEngine):
            parts = [self.engine.prepare_requests(part) for part in requests.parts]
        elif requests.batches is not None:
            parts = [self.engine.prepare(i, o, n) for n, i, o in requests.batches]
        else:
            raise EngineError(
                f"{self.engine.name} runs static batches; give the table that has B(I, O), or "
                "--static"
            )
        return lambda: sum(part() for part in parts)

    def _warm_up(self, few: Batch, is_cold: bool) -> None:
        if is_cold:
            self.note(f"warm after {warm_up(few, self.gpus, self.clock)} small batches")
        else:
            few()

    def _measure(
        self, work: Batch, tokens_asked: int, idle_power_w: float, least_s: float
    ) -> tuple[Window, ReplayRun]:
        """One window of the work, done again until it is so long [s]."""
        produced = rounds = 0

        def run_all() -> None:
            nonlocal produced, rounds
            began = self.clock()
            with crashes_named(self.engine):
                while not rounds or self.clock() - began < least_s:
                    produced += work()
                    rounds += 1

        if self.logger is not None:
            self.logger.start()
        window = meter_window(self._meter, self.gpus, run_all)
        if self.logger is not None:
            self.logger.stop()
        faults = window.faults(idle_power_w, rounds * tokens_asked, produced)
        return window, ReplayRun.of(window, card_name(self.gpus), idle_power_w, faults, rounds)


def _run_text(run: ReplayRun) -> str:
    text = f"{run.energy_j:.1f} J, {run.seconds:.1f} s, {run.energy_j / run.seconds:.0f} W"
    text += f", the requests {run.rounds} times" if run.rounds > 1 else ""
    return text if run.reason is None else f"{text}  INVALID: {run.reason}"


def _difference(before: EngineSteps | None, after: EngineSteps | None) -> EngineSteps | None:
    """What was counted between two moments; None if nothing counts."""
    if before is None or after is None:
        return None
    return EngineSteps(
        after.steps - before.steps,
        after.tokens - before.tokens,
        after.preempted - before.preempted,
    )


def _per_round(counts: Sequence[EngineSteps | None], rounds: int) -> EngineSteps | None:
    """The mean over all times the requests were run of what was counted; None if nothing counts."""
    steps = [each for each in counts if each is not None]
    if not steps:
        return None
    return EngineSteps(
        *(
            round(sum(getattr(each, name) for each in steps) / rounds)
            for name in ("steps", "tokens", "preempted")
        )
    )
