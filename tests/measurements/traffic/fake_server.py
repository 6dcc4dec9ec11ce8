"""A server and its GPU in fake time, whose every joule and second has a known price."""

import bisect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from joulecast.estimator.steps.work import TERMS
from joulecast.measurements.engines import EngineSteps
from joulecast.measurements.engines.step_log import LoggedRequest, LoggedStep, RawStepLog
from joulecast.measurements.steplog.reader import CounterRows
from tests.measurements.fakes import FakeEngine, FakeTime

GRAPHS = [1, 2, 4, *range(8, 256, 8), *range(256, 513, 16)]
"""Sizes of recorded graphs [tokens]; a step computes for all of the next larger one."""
PRICES = dict(zip(TERMS, (3.0, 0.016, 3e-5, 7e-7, 0.004, 0.1), strict=True))
"""Joules of each kind of work, beside the idle power."""

SECONDS = np.array([0.006, 3e-5, 5e-8, 1e-9, 1e-6, 0.0])
IDLE_W = 130.0
TICK_SECONDS = 0.1
LATE_SECONDS = 0.02
"""What a tick shows was used up to so long before, as on an H100."""

BUDGET = 16_384


@dataclass
class PricedGpu:
    """A card whose energy is known at every moment, and whose counter shows it in ticks."""

    fake_time: FakeTime
    times: list[float] = field(default_factory=lambda: [0.0])
    spent: list[float] = field(default_factory=lambda: [0.0])
    uuid: str = "GPU-priced"
    product: str = "NVIDIA H100 80GB HBM3"
    index: int = 0
    frozen_from: float = float("inf")

    def work(self, seconds: float, energy_j: float) -> None:
        """Spend so much over the next seconds; the price of a step holds its time."""
        now = self.fake_time.now
        spent = self.true_j(now)
        self.times += [now, now + seconds]
        self.spent += [spent, spent + energy_j]
        self.fake_time.sleep(seconds)

    def true_j(self, moment: float) -> float:
        last = bisect.bisect_right(self.times, moment) - 1
        if last + 1 < len(self.times):
            share = (moment - self.times[last]) / (self.times[last + 1] - self.times[last])
            return self.spent[last] + share * (self.spent[last + 1] - self.spent[last])
        return self.spent[last] + IDLE_W * (moment - self.times[last])

    def shown_j(self, moment: float) -> float:
        moment = min(moment, self.frozen_from)
        return self.true_j(int(moment / TICK_SECONDS + 1e-9) * TICK_SECONDS - LATE_SECONDS)

    def energy_j(self) -> float:
        return self.shown_j(self.fake_time.clock())

    def power_limit_w(self) -> float:
        return 700.0

    def temperature_c(self) -> float:
        return 50.0

    def throttle_reasons(self) -> frozenset[str]:
        return frozenset()

    def foreign_processes(self) -> list[int]:
        return []

    def details(self) -> dict[str, Any]:
        return {"driver": "fake", "clocks": {}}


@dataclass
class TickReader:
    """What another process would have read of the card, told once the window is over."""

    gpu: PricedGpu
    dies_at: float = float("inf")
    problem: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def collect(self, begin: float, end: float) -> CounterRows:
        if end > self.dies_at:
            self.problem = "the process that reads the energy counters ended with status -9"
        first, last = int(begin / TICK_SECONDS) - 12, int(end / TICK_SECONDS) + 12
        moments = [k * TICK_SECONDS for k in range(first, last) if k * TICK_SECONDS < self.dies_at]
        rows, shown = [], None
        for moment in moments:
            energy_mj = round(1000 * self.gpu.shown_j(moment + 1e-6))
            if energy_mj != shown:
                rows.append(["0", f"{moment - 2e-3:.6f}", f"{moment:.6f}", f"{moment + 1e-3:.6f}"])
                rows[-1].append(str(energy_mj))
            shown = energy_mj
        return CounterRows(rows, [], self.problem)


@dataclass
class Served:
    """A request in the server."""

    name: str
    input_tokens: int
    output_tokens: int
    logged: LoggedRequest | None = None
    produced: int = 0


@dataclass
class FakeServer(FakeEngine):
    """Feeds waiting prompts whole, as many as the budget takes, beside all that decode."""

    gpu: PricedGpu = field(default_factory=lambda: PricedGpu(FakeTime()))
    name: str = "vllm"
    version: str = "0.22.0"
    limits: dict[str, Any] = field(
        default_factory=lambda: {
            "kv_cache_tokens": 450_000,
            "kv_block_tokens": 16,
            "max_num_seqs": 1024,
            "max_num_batched_tokens": BUDGET,
            "chunked_prefill": True,
            "async_scheduling": True,
            "max_cudagraph_capture_size": 512,
        }
    )
    waiting: list[Served] = field(default_factory=list)
    running: list[Served] = field(default_factory=list)
    counted: EngineSteps | None = None
    steps: list[LoggedStep] | None = None
    requests: dict[str, LoggedRequest] = field(default_factory=dict)
    uncounted_steps: int = 0
    crashes_at: float = float("inf")

    def prepare(self, input_tokens: int, output_tokens: int, batch_size: int) -> Any:
        return self.prepare_requests([(input_tokens, output_tokens)] * batch_size)

    def prepare_requests(self, lengths: Sequence[tuple[int, int]]) -> Any:
        def run() -> int:
            stream = self.prepare_stream(lengths)
            for number in range(len(lengths)):
                stream.add(number)
            produced = 0
            while stream.is_busy:
                produced += sum(stream.step().values())
            return produced

        return run

    def prepare_stream(self, lengths: Sequence[tuple[int, int]]) -> "FakeStream":
        return FakeStream(self, list(lengths))

    def record_steps(self) -> EngineSteps:
        self.counted = EngineSteps(steps=self.uncounted_steps)
        return self.counted

    def start_step_log(self) -> None:
        self.steps, self.requests = [], {}

    def stop_step_log(self) -> RawStepLog:
        steps, self.steps = self.steps or [], None
        return RawStepLog(steps, self.requests, {})

    def step(self) -> list[Served]:
        """One step; the requests that end in it."""
        clock = self.gpu.fake_time.clock
        begin = clock()
        if begin > self.crashes_at:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        decoding, fed, budget = list(self.running), [], BUDGET - len(self.running)
        while self.waiting and self.waiting[0].input_tokens <= budget:
            fed.append(self.waiting.pop(0))
            budget -= fed[-1].input_tokens
        prompt = sum(request.input_tokens for request in fed)
        context = sum(request.input_tokens + request.produced for request in decoding)
        pairs = sum(request.input_tokens**2 / 2 for request in fed)
        sampled = len(decoding) + len(fed)
        tokens = len(decoding) + prompt
        graph = next((size for size in GRAPHS if size >= tokens), tokens)
        work = np.array([1, tokens, context, pairs, sampled, len(fed)], dtype=float)
        energy_j = float(work @ np.array(list(PRICES.values()))) + PRICES["tokens"] * (
            graph - tokens
        )
        end = clock()
        self.gpu.work(float(work @ SECONDS), energy_j)
        output_at = clock()
        self.running += fed
        if self.counted is not None:
            self.counted.steps += 1
            self.counted.tokens += len(decoding) + prompt
        for request in self.running:
            request.produced += 1
        if self.steps is not None:
            self._log(begin, end, output_at, work, fed)
        over = [request for request in self.running if request.produced == request.output_tokens]
        self.running = [request for request in self.running if request not in over]
        return over

    def _log(
        self, begin: float, end: float, output_at: float, work: Any, fed: list[Served]
    ) -> None:
        decoding = len(self.running) - len(fed)
        prompt, context = int(work[1]) - decoding, int(work[2])
        counts = prompt, context, float(work[3]), int(work[4]), len(fed), len(fed)
        times = begin, end, output_at, self.gpu.fake_time.clock()
        queue = len(self.running), len(self.waiting), 0
        self.steps.append(LoggedStep(*times, decoding, *counts, *queue))  # type: ignore[union-attr]
        for request in fed:
            lengths = request.input_tokens, request.output_tokens
            self.requests[request.name] = LoggedRequest(*lengths, begin, output_at)
        for request in self.running:
            logged = self.requests[request.name]
            logged.produced, logged.finish = request.produced, output_at


@dataclass
class FakeStream:
    """As vLLM's, of the fake server."""

    server: FakeServer
    lengths: list[tuple[int, int]]
    numbers: dict[str, int] = field(default_factory=dict)
    _names: Any = field(default_factory=itertools.count)

    @property
    def is_busy(self) -> bool:
        return bool(self.server.waiting or self.server.running)

    def add(self, number: int) -> str:
        name = f"{number}-{next(self._names)}"
        self.numbers[name] = number
        self.server.waiting.append(Served(name, *self.lengths[number]))
        return name

    def step(self) -> Mapping[int, int]:
        return {self.numbers[over.name]: over.produced for over in self.server.step()}

    def abort(self) -> None:
        self.server.waiting.clear()
        self.server.running.clear()
