"""What tells a simulation in time of prompts, launches and uneven requests: logs.

    python benchmarks/logged_prompts.py

Windows of made-up traffic and offline replays of dense models in the campaign's folder, none of
them served online. Of each: how long products last at full clock, in units of the price list's
pace; what a layer takes to be launched; how much longer reading the caches of uneven requests
takes; and, of several GPUs, launched steps over the longer of launching and computing, and over the
root of the sum of both squared. Then what a layer of a recorded graph that feeds prompts takes to
be launched (`PIECES_S`): in batches of one deployment each; in the traffic, after a pause and
between decoding steps. Last, for shares of what was saved below the power limit
(`StepTimes.recovery`), how far prompts come out off. The constants of `unit_prices/in_time.py` and
`LAUNCH_S` are from here, of the logs of one and two GPUs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from joulecast.estimator.online.own_pace import table_times
from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.in_time.equal_steps import (
    busy_seconds,
    gpu_seconds,
    host_seconds,
    recover,
)
from joulecast.estimator.steps.in_time.state import CREDIT, TIMERS, StepTimes
from joulecast.estimator.unit_prices.in_time import (
    FULL_CLOCK,
    MOST_CREDIT_S,
    RECOVERY,
    UNEVEN,
    step_times,
)
from joulecast.estimator.unit_prices.shipped import load_unit_prices
from joulecast.estimator.unit_prices.sources import deployment_of, shipped_tables
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.identity import differences
from joulecast.measurements.steplog.files import read_log
from joulecast.measurements.steplog.log import StepLog
from joulecast.measurements.steplog.ticks import Ticks

CAMPAIGN = Path(__file__).parents[1] / "measurements" / "campaign-2026-11-26"
LOGS = (
    "h100-sxm/gemma-2-9b/vllm-traffic/traffic-1",
    "h100-sxm/llama-3.1-8b/logs/traffic",
    "h100-sxm/llama-3.1-8b-fifth/vllm-traffic/traffic-1",
    "h100-sxm/llama-3.2-3b/logs/traffic",
    "h100-sxm/olmo-7b/logs/traffic",
    "h100-sxm/olmo-7b/logs/azure-2023-conv",
    "h100-sxm/qwen1.5-32b/logs/traffic",
    "h100-sxm/qwen1.5-32b/logs/azure-2023-conv",
    "h100-sxm/qwen1.5-32b-tp2-second/vllm-tp2-traffic/traffic-1",
    "h200-sxm/llama-3.1-8b/logs/traffic",
    "h200-sxm/llama-3.1-8b-second/logs/traffic",
    "h200-sxm/qwen2.5-7b/vllm-traffic/traffic-1",
    "h200-sxm/qwen1.5-32b/logs/traffic",
    "h200-sxm/qwen1.5-32b-tp2/vllm-tp2-traffic/traffic-1",
    "h200-sxm/llama-3.1-8b-tp4/vllm-tp4-traffic/traffic-1",
    "h200-sxm/qwen1.5-32b-tp4/vllm-tp4-traffic/traffic-1",
)
BATCHES = (
    "h200-sxm/llama-3.1-8b-sweeps/vllm-sweeps",
    "h200-sxm/llama-3.2-3b/vllm-quick",
    "h200-sxm/qwen2.5-1.5b/vllm-quick",
    "h200-sxm/qwen2.5-14b/vllm-quick",
    "h200-sxm/qwen2.5-7b-second/vllm-quick",
    "h200-sxm/qwen3-8b/vllm-quick",
    "h200-sxm/llama-3.1-8b-batches*/vllm-batches",
    "h200-sxm/olmo-1b-batches/vllm-batches",
    "h200-sxm/olmo-7b-batches/vllm-batches",
)
"""Patterns of folders. Of larger models, reading the weights takes as long as launching."""
MOST_TOKENS = 200
"""Of a step of batches that waits for its launch."""
FEWEST = 4
"""So many steps, or more, of a log tell something."""
FULL_MHZ = 1900.0
ALONE_S = 0.65e-3
"""What launching a layer takes at least; a step that its parts make shorter waits for that."""
PIECES_ALONE_S = 0.28e-3
"""The same of a graph that is launched in pieces."""
POWER_S = 0.4
"""Over so long a card's power is taken, before a step."""

Chosen = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Logged:
    """A log, and what the law has for its steps: arrays of shape (steps,)."""

    name: str
    log: StepLog
    law: StepTimes
    graph_tokens: int
    layers: int
    power_w: FloatArray
    sm_mhz: FloatArray

    @classmethod
    def read(cls, name: str) -> "Logged":
        """Of the campaign."""
        log = StepLog.read(CAMPAIGN / f"{name}.steps.csv.gz")
        facts, begin = log.facts, log.gpu_begin
        scheduler = ContinuousBatching.from_settings(facts["engine_settings"], name)
        deployment = deployment_of(facts, facts["model"])
        own_tables = [
            table
            for table in shipped_tables(facts["gpu"], facts["engine"])
            if not table.is_of_traffic and not differences(table.metadata, facts)
        ]
        prices = load_unit_prices(facts["gpu"], facts["engine"])
        budget, graph = scheduler.token_budget, scheduler.graph_tokens
        ticks = Ticks.read(CAMPAIGN / f"{name}.ticks.csv.gz").by_gpu.values()
        states = read_log(CAMPAIGN / f"{name}.states.csv.gz", "states").columns
        order = np.argsort(states["at"], kind="stable")
        place = np.searchsorted(states["at"][order], begin).clip(max=len(order) - 1)
        joules = sum(
            np.interp(begin, tick.seconds, tick.joules)
            - np.interp(begin - POWER_S, tick.seconds, tick.joules)
            for tick in ticks
        )
        return cls(
            name=name,
            log=log,
            law=table_times(own_tables[0], scheduler)
            if own_tables
            else step_times(prices, deployment, budget, graph),
            graph_tokens=graph,
            layers=len(deployment.shape.layers),
            power_w=np.asarray(joules) / POWER_S / len(ticks),
            sm_mhz=states["sm_mhz"][order][place].astype(float),
        )

    @cached_property
    def is_launched(self) -> Chosen:
        """Whether each is launched kernel by kernel."""
        return np.asarray(self.log.tokens > self.graph_tokens)

    @cached_property
    def is_decoding(self) -> Chosen:
        """Whether each feeds no prompt."""
        return np.asarray(self.log.prompt_tokens == 0)

    @cached_property
    def follows(self) -> Chosen:
        """Whether the GPU had no pause before a step."""
        return _follows(self.log)

    @cached_property
    def products_s(self) -> FloatArray:
        """By the list's pace."""
        by_tokens = np.asarray(self.law.products)[self.log.tokens]
        by_tokens = by_tokens / np.where(self.is_launched, FULL_CLOCK, 1.0)
        return np.asarray(by_tokens + self.law.head * self.log.sampled)

    @cached_property
    def caches_s(self) -> FloatArray:
        """Reading caches as if requests were equal."""
        return np.asarray(
            sum(
                context * np.minimum(self.log.context, _most(window, self.log.decoding))
                for context, window in zip(self.law.context, self.law.window, strict=True)
            )
        )

    @cached_property
    def parts_s(self) -> FloatArray:
        """By the list's pace of products, as if requests were equal."""
        log, law = self.log, self.law
        parts = np.maximum(self.products_s, np.asarray(law.reading)[log.tokens]) + self.caches_s
        parts += np.asarray(law.other)[log.tokens] + law.output * log.sampled
        for pair, window in zip(law.pair, law.window, strict=True):
            parts += pair * np.minimum(log.pairs, _most(window, log.prompt_tokens))
        return np.asarray(parts)

    @cached_property
    def simulated(self) -> FloatArray:
        """Parts, what the power limit asks for, and launch, by a simulation [s], (steps, 3)."""
        law = StepTimes(*(np.asarray(part).tolist() for part in self.law))
        log = self.log
        columns = log.decoding, log.prompt_tokens, log.context, log.pairs, log.sampled
        work = zip(*(column.tolist() for column in columns), strict=True)
        return np.array(
            [
                (*gpu_seconds(law, n, fed, *amounts, 0, 0), host_seconds(law, n, fed, amounts[2]))
                for n, fed, *amounts in work
            ]
        )

    @cached_property
    def limit_s(self) -> FloatArray:
        """What the power limit asks for."""
        return np.asarray(self.simulated[:, 1])

    @cached_property
    def after_two(self) -> Chosen:
        """Launched steps that follow two which only decode, all without a pause."""
        before = _before(self.is_decoding) == 1
        return np.asarray(
            self.is_launched & ~self.is_decoding & self.follows & before & (_before(before) == 1)
        )

    def full_clock(self) -> FloatArray:
        """Time of products over the list's, of prompts between decoding steps at full clock.

        Launching such a step begins with the one before it; so the two are taken together.
        """
        seconds, tokens = self.log.gpu_seconds, self.log.tokens
        decode_s = _before(_before(seconds))
        products_s = seconds + _before(seconds) - decode_s - (self.parts_s - self.products_s)
        law_s = np.maximum(self.parts_s, self.limit_s)
        usual = (decode_s < 1.5 * _before(law_s)) & (
            seconds + _before(seconds) < 1.5 * (law_s + _before(law_s))
        )
        chosen = self.after_two & usual & (tokens > 1000) & (tokens < 8200)
        chosen &= self.sm_mhz >= FULL_MHZ
        return np.asarray((products_s / self.products_s)[chosen])

    def launches_s(self) -> FloatArray:
        """A layer's, of steps that wait for their launch, from the beginning of the one before."""
        chosen = self.after_two & (self.log.tokens <= 900)
        chosen &= self.parts_s - (1 - FULL_CLOCK) * self.products_s < ALONE_S * self.layers
        seconds = self.log.output_at - _before(self.log.gpu_begin)
        return np.asarray(seconds[chosen] / self.layers)

    @cached_property
    def is_pieced(self) -> Chosen:
        """Graphs that feed prompts and wait for their launch in pieces."""
        is_short = self.parts_s < PIECES_ALONE_S * self.layers
        return ~self.is_launched & ~self.is_decoding & is_short

    def pieces_after_pause_s(self) -> FloatArray:
        """A layer's, of graphs that feed prompts after a pause, from when they were scheduled."""
        seconds = self.log.output_at - self.log.schedule_end
        return np.asarray(seconds[self.is_pieced & ~self.follows] / self.layers)

    def pieces_between_s(self) -> FloatArray:
        """The same from the decoding step before to the one after, less one more of these."""
        after = _after(self.is_decoding & self.follows)
        chosen = self.is_pieced & self.follows & (_before(self.is_decoding) == 1)
        chosen &= (after == 1) & (_after(after) == 1)
        seconds = _after(self.log.output_at) - _before(self.log.gpu_begin)
        seconds -= _after(_after(self.log.gpu_seconds))
        return np.asarray(seconds[chosen] / self.layers)

    def overlap(self) -> FloatArray:
        """Launched steps over the longer of launching and computing, and over both, (steps, 2)."""
        host_s = self.simulated[:, 2] - _before(self.log.gpu_seconds)
        parts_s = self.parts_s - (1 - FULL_CLOCK) * self.products_s
        longer_s, both_s = np.maximum(parts_s, host_s), np.hypot(parts_s, host_s)
        chosen = self.after_two & (self.log.tokens < 8200) & (self.log.gpu_seconds < 2 * longer_s)
        seconds = self.log.gpu_seconds[chosen]
        return np.column_stack([seconds / longer_s[chosen], seconds / both_s[chosen]])

    def columns(self) -> Mapping[str, FloatArray]:
        """What each step tells that tells something."""
        return {
            "clock": self.full_clock(),
            "launch [ms]": 1e3 * self.launches_s(),
            "pieces after a pause [ms]": 1e3 * self.pieces_after_pause_s(),
            "pieces between decoding [ms]": 1e3 * self.pieces_between_s(),
        }

    def uneven(self) -> float:
        """What reading caches takes more, in units of the law, of up to `UNEVEN_CACHES`."""
        seconds, requests = self.log.gpu_seconds, self.log.decoding
        chosen = self.is_decoding & self.follows & (_before(self.is_decoding) == 1)
        chosen &= (_before(_before(self.is_decoding)) == 1) & (requests < 65)
        chosen &= self.power_w < 0.915 * self.log.facts["power_limit_w"] / _gpus(self.log)
        law_s = np.maximum(self.parts_s, self.limit_s)
        chosen &= (seconds > 0.7 * law_s) & (seconds < 1.3 * law_s)
        seconds, requests = seconds[chosen], requests[chosen]
        share = (np.asarray(self.law.uneven)[requests.astype(int)] - 1) / UNEVEN
        size = np.digitize(requests, [2, 3, 5, 9, 17, 33])
        weight = np.bincount(size, minlength=7)[size] ** -0.5 / seconds
        terms = np.column_stack([np.ones(len(seconds)), share * self.caches_s[chosen]])
        off_s = seconds - self.parts_s[chosen]
        solved = np.linalg.lstsq(terms * weight[:, None], off_s * weight, rcond=None)[0]
        return float(solved[1])

    def forecast_s(self, recovery: float, most_credit_s: float) -> FloatArray:
        """The steps as a simulation in time has them, shape (steps,)."""
        law = self.law._replace(recovery=recovery, most_credit_s=most_credit_s)
        forecast, times = np.zeros(len(self.log)), np.zeros(TIMERS)
        end = begun = launched = 0.0
        for k, (parts, limit, launch) in enumerate(self.simulated.tolist()):
            launched = max(launched, begun if self.follows[k] else end) + launch
            credit_s = times[CREDIT] if launch > 0 else 0.0
            lasts = max(busy_seconds(law, launch, parts, launched - end), limit - credit_s)
            recover(law, times, lasts, limit)
            begun, end, forecast[k] = end, end + lasts, lasts
        return forecast

    def prompts(self) -> Iterator[tuple[str, slice]]:
        """Launched steps without a pause, with a decoding one on each side."""
        law_s, seconds = np.maximum(self.parts_s, self.limit_s), self.log.gpu_seconds
        fed = np.flatnonzero(~self.is_decoding)
        for group in np.split(fed, np.flatnonzero(np.diff(fed) > 3) + 1):
            steps = slice(max(0, group[0] - 1), min(len(seconds), group[-1] + 2))
            launched = int(self.is_launched[steps].sum())
            is_usual = seconds[steps].sum() < 2 * law_s[steps].sum() + 0.05
            tokens = self.log.tokens[steps]
            if launched == 0 or not is_usual or not self.follows[group].all():
                continue
            if launched > 1 or tokens.max() >= 1000:
                limit_w = self.log.facts["power_limit_w"] / _gpus(self.log)
                is_near = self.power_w[steps.stop - 1] >= 0.915 * limit_w
                yield f"{'one' if launched == 1 else 'many'}{' near' if is_near else ''}", steps


def _before(values: npt.NDArray[np.generic]) -> FloatArray:
    """Of the step before each; NaN for the first."""
    return np.concatenate([[np.nan], np.asarray(values, dtype=float)[:-1]])


def _after(values: npt.NDArray[np.generic]) -> FloatArray:
    """Of the step after each; NaN for the last."""
    return np.concatenate([np.asarray(values, dtype=float)[1:], [np.nan]])


def _follows(log: StepLog) -> Chosen:
    return np.abs(log.gpu_begin - _before(log.output_at)) < 2e-4


def _most(window: float, requests: npt.NDArray[np.int64]) -> FloatArray:
    return np.full(len(requests), np.inf) if np.isinf(window) else window * requests


def _gpus(log: StepLog) -> int:
    return int(log.facts["gpu_count"])


def pieces_of_batches_s(pattern: str) -> FloatArray:
    """A layer's, of small graphs that feed prompts, in the logs of such folders."""
    seconds = []
    for path in sorted(CAMPAIGN.glob(f"{pattern}/logs/*.steps.csv.gz")):
        log = StepLog.read(path)
        layers = len(deployment_of(log.facts, log.facts["model"]).shape.layers)
        chosen = (log.prompt_tokens > 0) & (log.tokens <= MOST_TOKENS)
        begin = np.where(_follows(log), _before(log.output_at), log.schedule_end)
        seconds.append((log.output_at - begin)[chosen] / layers)
    return np.concatenate(seconds)


def errors(
    logs: Mapping[str, Logged], recovery: float, most_credit_s: float
) -> Mapping[str, list[float]]:
    """How far prompts of each kind come out off, log by log [%]."""
    told: dict[str, list[float]] = {}
    for logged in logs.values():
        forecast_s = logged.forecast_s(recovery, most_credit_s)
        sums: dict[str, list[tuple[float, float]]] = {}
        for kind, steps in logged.prompts():
            pair = float(forecast_s[steps].sum()), float(logged.log.gpu_seconds[steps].sum())
            sums.setdefault(kind, []).append(pair)
        for kind, pairs in sums.items():
            if len(pairs) >= FEWEST:
                forecast, timed = np.sum(pairs, axis=0)
                told.setdefault(kind, []).append(100 * (forecast / timed - 1))
    return told


def main() -> None:
    """Print each log, medians, and errors by shares of what was saved."""
    logs = {name: Logged.read(name) for name in LOGS}
    columns: dict[str, list[float]] = {}
    for name, logged in logs.items():
        texts = [f"{name:<58s}"]
        for what, values in logged.columns().items():
            is_told = len(values) >= FEWEST
            if is_told:
                columns.setdefault(what, []).append(float(np.median(values)))
            texts.append(f"{columns[what][-1]:6.3f}" if is_told else "     .")
        columns.setdefault("uneven", []).append(logged.uneven())
        shared = np.median(logged.overlap(), axis=0) if _gpus(logged.log) > 1 else ()
        print(*texts, f"{columns['uneven'][-1]:6.2f}", *(f"{ratio:6.3f}" for ratio in shared))
    for pattern in BATCHES:
        seconds = pieces_of_batches_s(pattern)
        columns.setdefault("pieces of batches [ms]", []).append(1e3 * float(np.median(seconds)))
        print(f"{pattern:<58s} {1e3 * np.median(seconds):6.3f}, of {len(seconds)} steps")
    for what, column in columns.items():
        low, middle, high = np.quantile(column, [0, 0.5, 1])
        print(f"{what}: median {middle:.3f}, {low:.3f} to {high:.3f}, of {len(column)} logs")
    shares = [(recovery, MOST_CREDIT_S) for recovery in (0.05, 0.1, 0.2, 0.5, 1.0)]
    for recovery, most_credit_s in [*shares, (RECOVERY, 0.05), (RECOVERY, 0.3)]:
        told = errors(logs, recovery, most_credit_s)
        texts = [f"{kind} {np.median(off):+.1f} %" for kind, off in sorted(told.items())]
        print(f"recovery {recovery}, up to {most_credit_s} s: {', '.join(texts)}")


if __name__ == "__main__":
    main()
