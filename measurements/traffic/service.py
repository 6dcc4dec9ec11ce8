"""Serving requests that come over time: handed over when they come, an engine's step at a time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from joulecast.measurements.engines import RequestStream
from joulecast.measurements.engines.step_log import RawStepLog
from joulecast.measurements.traffic.stretches import PAUSE_SECONDS, Stretch

MOST_SECONDS = 110.0
"""After so long, requests that are not done are cut off."""

_WAIT_SECONDS = 0.002


@dataclass
class ServedRequest:
    """What became of a request.

    Attributes:
        stretch: Name of its stretch.
        input_tokens: Prompt [tokens].
        output_tokens: Asked for [tokens].
        name: What the engine's log of steps calls it; None if it was never handed over.
        arrival: When it came [s, monotonic clock]; None if it never did.
        added: When it was handed to the engine, between two steps [s, monotonic clock].
        finish: When the engine gave its last token [s, monotonic clock]; None if it was cut off.
        produced: Tokens that came out.
    """

    stretch: str
    input_tokens: int
    output_tokens: int
    name: str | None = None
    arrival: float | None = None
    added: float | None = None
    finish: float | None = None
    produced: int = 0

    def row(self, steps: RawStepLog | None) -> list[Any]:
        """A row of `REQUEST_COLUMNS`, with what the log of steps saw of it."""
        logged = None if steps is None else steps.requests.get(self.name or "")
        return [
            self.stretch,
            self.arrival,
            self.added,
            self.input_tokens,
            self.output_tokens,
            None if logged is None else logged.scheduled,
            None if logged is None else logged.first_token,
            self.finish,
            0 if logged is None else logged.produced,
            0 if logged is None else logged.preempted,
            int(self.finish is None),
        ]


@dataclass
class TrafficService:
    """Stretches served one after another, each a pause after the one before has drained.

    Attributes:
        stream: An engine that was made ready for the requests, in their order.
        stretches: What to serve.
        clock: Monotonic time [s].
        sleep: Waits [s].
        most_seconds: Cut off what is not done after so long [s].
        pause_seconds: Between two stretches, before the first and after the last [s].
        requests: What became of each, in their order.
        spans: Stretch, when it began and when it had drained [s, monotonic clock].
    """

    stream: RequestStream
    stretches: Sequence[Stretch]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    most_seconds: float = MOST_SECONDS
    pause_seconds: float = PAUSE_SECONDS
    requests: list[ServedRequest] = field(init=False)
    spans: list[tuple[str, float, float]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.requests = [
            ServedRequest(stretch.name, request.input_tokens, request.output_tokens)
            for stretch in self.stretches
            for request in stretch.requests
        ]

    @property
    def cut(self) -> int:
        """Requests that were not served to their end."""
        return sum(request.finish is None for request in self.requests)

    def run(self) -> int:
        """Serve all of it; the tokens that came out."""
        end = self.clock() + self.most_seconds
        self.sleep(self.pause_seconds)
        first = 0
        for stretch in self.stretches:
            began = self.clock()
            arrivals = [began + request.offset_seconds for request in stretch.requests]
            is_done = self._serve(first, arrivals, end)
            self.spans.append((stretch.name, began, self.clock()))
            if not is_done:
                self.stream.abort()
                break
            first += len(arrivals)
            self.sleep(self.pause_seconds)
        return sum(request.produced for request in self.requests)

    def _serve(self, first: int, arrivals: Sequence[float], end: float) -> bool:
        """Serve the requests of a stretch, whose numbers begin at `first`; whether all are done."""
        added = 0
        while added < len(arrivals) or self.stream.is_busy:
            now = self.clock()
            if now > end:
                return False
            while added < len(arrivals) and arrivals[added] <= now:
                request = self.requests[first + added]
                request.name = self.stream.add(first + added)
                request.arrival, request.added = arrivals[added], self.clock()
                added += 1
            if self.stream.is_busy:
                self._step()
            else:
                wait = arrivals[added] - self.clock()
                self.sleep(max(0.0, min(_WAIT_SECONDS, wait)))
        return True

    def _step(self) -> None:
        finished = self.stream.step()
        if finished:
            now = self.clock()
            for number, produced in finished.items():
                self.requests[number].finish = now
                self.requests[number].produced = produced
