"""What is said of how requests were served: over time, or all at once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from joulecast.estimator.method import Router
from joulecast.estimator.over_time.durations import moment
from joulecast.estimator.over_time.intervals import LatencySpread
from joulecast.estimator.over_time.pieces import Pieces, percentiles_of, total_of
from joulecast.estimator.over_time.timeline import Timeline
from joulecast.measurements.arrays import FloatArray
from joulecast.traces.errors import InputError
from joulecast.traces.frame import frame_of
from joulecast.traces.requests import StoredTokens

if TYPE_CHECKING:
    import pandas as pd

_PIECE = 1 << 18
"""Requests at a time, where each takes memory beside its results."""

KEEPING_UP_SHARE = 0.9
"""Busy share of replicas that are said to keep up: requests that come at random bunch."""

LATENCIES = {"ttft": "time to first token", "tpot": "time per output token", "e2e": "end to end"}
"""Short names of what users wait for, as `--slo` and the JSON have them."""


@dataclass(frozen=True)
class Quantiles:
    """How something is distributed over requests; all [s].

    Attributes:
        p50: Median.
        p90: Nine of ten are below.
        p99: 99 of 100 are.
        mean: Mean.
    """

    p50: float
    p90: float
    p99: float
    mean: float

    @classmethod
    def of(cls, pieces: Pieces) -> "Quantiles | None":
        """Of values of 0 or more [s], some after others; None of none."""
        count = sum(map(len, pieces()))
        if not count:
            return None
        p50, p90, p99 = percentiles_of(pieces, count, [50, 90, 99])
        return cls(p50, p90, p99, total_of(pieces, count) / count)

    def to_dict(self) -> dict[str, float]:
        """As plain JSON values."""
        return {"p50": self.p50, "p90": self.p90, "p99": self.p99, "mean": self.mean}


def latencies_of(
    arrival_s: FloatArray, first_s: FloatArray, last_s: FloatArray, outputs: StoredTokens
) -> dict[str, Quantiles | None]:
    """How long requests waited [s], some at a time: of many, each time takes memory.

    Args:
        arrival_s: When each came, shape (n,) [s].
        first_s: When it had its first token [s].
        last_s: When it had its last [s].
        outputs: Its output [tokens].
    """
    parts = [slice(begin, begin + _PIECE) for begin in range(0, len(outputs), _PIECE)]
    return {
        "ttft": Quantiles.of(lambda: (first_s[part] - arrival_s[part] for part in parts)),
        "tpot": Quantiles.of(
            lambda: (token_seconds(first_s[part], last_s[part], outputs[part]) for part in parts)
        ),
        "e2e": Quantiles.of(lambda: (last_s[part] - arrival_s[part] for part in parts)),
    }


def token_seconds(first_s: FloatArray, last_s: FloatArray, outputs: StoredTokens) -> FloatArray:
    """Time per output token after the first, of the requests that have more than one [s]."""
    is_long = outputs > 1
    return np.asarray((last_s - first_s)[is_long] / (outputs[is_long] - 1))


@dataclass(frozen=True)
class Objective:
    """A bound on how long requests wait.

    Attributes:
        latency: A key of `LATENCIES`.
        quantile: "p50", "p90", "p99" or "mean".
        seconds: At most [s].
    """

    latency: str
    quantile: str
    seconds: float

    @property
    def text(self) -> str:
        """As `--slo` takes it."""
        is_short = self.seconds < 1
        amount = f"{1000 * self.seconds:g}ms" if is_short else f"{self.seconds:g}s"
        return f"{self.latency}_{self.quantile}={amount}"

    def is_met(self, latencies: Mapping[str, Quantiles | None]) -> bool:
        """Whether requests that waited so long meet it; those of one token have no tpot."""
        return self.share_of(latencies) <= 1

    def share_of(self, latencies: Mapping[str, Quantiles | None]) -> float:
        """How long requests waited over how long they may; 0 where none did."""
        quantiles = latencies[self.latency]
        return 0.0 if quantiles is None else quantiles.to_dict()[self.quantile] / self.seconds

    def missed_text(self, latencies: Mapping[str, Quantiles | None]) -> str:
        """How long those take that miss it, and how long they may, in few words."""
        bound = f"{1000 * self.seconds:g} ms" if self.seconds < 1 else f"{self.seconds:g} s"
        taken = moment(self.seconds * self.share_of(latencies))
        return f"{self.latency}_{self.quantile} {taken} of {bound}"


def objectives_of(text: str) -> tuple[Objective, ...]:
    """From "ttft_p99=2s,tpot_p99=50ms".

    Raises:
        InputError: It is no such list.
    """
    objectives: list[Objective] = []
    for part in text.split(","):
        match = re.fullmatch(
            r"\s*(ttft|tpot|e2e)_(p50|p90|p99|mean)\s*=\s*(\d+(?:\.\d*)?|\.\d+)\s*(ms|s)\s*", part
        )
        if match is None or float(match[3]) == 0:
            raise InputError(
                f'"{part.strip()}": give a list such as ttft_p99=2s,tpot_p99=50ms, each of ttft, '
                "tpot, e2e with p50, p90, p99 or mean, and a time above 0 in s or ms"
            )
        if any((each.latency, each.quantile) == (match[1], match[2]) for each in objectives):
            raise InputError(f'"{text}": bounds {match[1]}_{match[2]} twice; give it once')
        seconds = float(match[3]) / (1000 if match[4] == "ms" else 1)
        objectives.append(Objective(match[1], match[2], seconds))
    return tuple(objectives)


@dataclass(frozen=True)
class Serving:
    """How requests were served as they came.

    Attributes:
        span_s: From the first arrival to the last token [s].
        arrivals_s: From the first arrival to the last [s].
        replicas: Servers, each with the whole model.
        router: How requests were shared out.
        objectives: What `replicas` was chosen by; none where it was given.
        busy_share: Share of the time of all replicas in which a step ran.
        work_j: Energy of that time [J].
        idle_j: Energy of the rest [J].
        offline_j: Energy of the same requests, were all there from the start [J].
        mean_running: Requests that run, over time and all replicas.
        mean_waiting: Requests that wait to be let in, likewise.
        steps: Engine steps of all replicas.
        preempted: How often a request had to give its cache back.
        requests_per_s: Arrivals a second, on average.
        latencies: A key of `LATENCIES` -> how long requests waited [s]; None where none did, such
            as for a second token.
        spread: How sure these are.
        scale_to_zero_s: After so long with nothing to do a replica draws nothing [s]; None: never.
        replicas_needed: So many would keep up, busy no more than `KEEPING_UP_SHARE`, where these
            do not; None where they do.
        timeline: The same over time.
        untimed: Requests of which it is not known when they came, which are not served.
        reading: What was read as arrival times, in words; None if nothing was read.
        how: Where the arrivals are from, and how fast they were taken, in words.
    """

    span_s: float
    arrivals_s: float
    replicas: int
    router: Router
    objectives: Sequence[Objective]
    busy_share: float
    work_j: float
    idle_j: float
    offline_j: float
    mean_running: float
    mean_waiting: float
    steps: int
    preempted: int
    requests_per_s: float | None
    latencies: Mapping[str, Quantiles | None]
    spread: LatencySpread
    scale_to_zero_s: float | None
    replicas_needed: int | None
    timeline: Timeline
    untimed: int
    reading: str | None
    how: str

    def latency_frame(self) -> "pd.DataFrame":
        """A table of pandas with a row for each of `LATENCIES`, all in seconds.

        Raises:
            InputError: There is no pandas.
        """
        names = Quantiles.__dataclass_fields__
        rows = [
            {
                "latency": latency,
                **{f"{name}_s": values and getattr(values, name) for name in names},
            }
            for latency, values in self.latencies.items()
        ]
        return frame_of(rows)

    def latency_intervals_s(self) -> dict[str, dict[str, list[float]] | None]:
        """A key of `LATENCIES` -> "p50" and so on -> lower and upper end of a 95 % interval [s]."""
        return {
            name: None
            if values is None
            else {
                quantile: list(self.spread.interval_s(name, quantile, seconds))
                for quantile, seconds in values.to_dict().items()
            }
            for name, values in self.latencies.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        latencies = {
            f"{name}_s": values and values.to_dict() for name, values in self.latencies.items()
        }
        return {
            "mode": "online",
            "arrivals": self.how,
            "span_s": self.span_s,
            "arrivals_s": self.arrivals_s,
            "replicas": self.replicas,
            "router": self.router,
            "slo": [objective.text for objective in self.objectives],
            "busy_share": self.busy_share,
            "work_j": self.work_j,
            "idle_j": self.idle_j,
            "offline_j": self.offline_j,
            "mean_running": self.mean_running,
            "mean_waiting": self.mean_waiting,
            "steps": self.steps,
            "preempted": self.preempted,
            "requests_per_s": self.requests_per_s,
            **latencies,
            "latency_intervals_s": self.latency_intervals_s(),
            "latency_intervals_of": self.spread.stands_on,
            "scale_to_zero_s": self.scale_to_zero_s,
            "replicas_needed": self.replicas_needed,
            "untimed": self.untimed,
            "arrivals_read": self.reading,
            "timeline": self.timeline.to_dict(),
        }
