"""Which requests of a trace a replay runs: drawn from all of it, or those of a stretch of time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from joulecast.cli.trace_options import reading
from joulecast.estimator.steps.work import LengthArray
from joulecast.traces.errors import InputError
from joulecast.traces.load import LoadedTrace, load_trace
from joulecast.traces.requests import TimedRequests
from joulecast.traces.sampling import sample_lengths

MOST_READ = 200_000


@dataclass(frozen=True)
class Moments:
    """Which stretch of a trace is served, and how fast.

    Attributes:
        begin_s: From so long after its first request on [s].
        seconds: For so long, as it is served [s].
        speed: So many times as fast as they came.
        rate: So many a second, at random moments; None for the trace's own.
    """

    begin_s: float
    seconds: float
    speed: float
    rate: float | None


def draw(
    trace: str, count: int, seed: int, longest: int, options: Mapping[str, Any]
) -> tuple[LengthArray, dict[str, Any]]:
    """So many of a trace's requests, in random order, and what to say of the draw."""
    with reading(options, trace) as keywords:
        loaded = load_trace(trace, most_lengths=MOST_READ, **keywords)
    generator = np.random.default_rng(seed)
    lengths, how = _lengths(loaded, generator)
    fits = lengths.sum(axis=1) <= longest
    served = np.maximum(lengths[fits], 1)
    if len(served) < count:
        raise InputError(
            f"{trace}: has {len(served):,} requests that the model takes, fewer than "
            f"{count:,}; give --requests {len(served)}"
        )
    drawn = served[generator.choice(len(served), count, replace=False)]
    return drawn, _facts(trace, loaded, how, seed, int((~fits).sum()))


def draw_moments(
    trace: str, moments: Moments, seed: int, longest: int, options: Mapping[str, Any]
) -> tuple[TimedRequests, dict[str, Any]]:
    """The requests of a stretch of a trace, as they come, and what to say of them.

    Raises:
        InputError: Their times are not known, or none comes in that stretch.
    """
    with reading(options, trace) as keywords:
        loaded = load_trace(trace, most_lengths=MOST_READ, with_arrivals=True, **keywords)
    how, timed = "requests of the trace at their own times", loaded.timed
    if moments.rate is not None:
        generator = np.random.default_rng(seed)
        lengths, how = _lengths(loaded, generator)
        how += ", in random order at random times"
        timed = TimedRequests.at_rate(generator.permutation(lengths), moments.rate, generator)
    if timed is None:
        raise InputError(f"{trace}: has no arrival times; give --rate, requests a second")
    timed = timed.between(moments.begin_s, moments.begin_s + moments.seconds * moments.speed)
    fits = timed.lengths.sum(axis=1) <= longest
    if not fits.any():
        raise InputError(
            f"{trace}: no request that the model takes comes in the {moments.seconds:g} s from "
            f"{moments.begin_s:g} s on; give another --begin, or a longer --seconds"
        )
    served = TimedRequests(timed.arrival_s[fits], np.maximum(timed.lengths[fits], 1))
    return served.faster(moments.speed), {
        **_facts(trace, loaded, how, seed, int((~fits).sum())),
        "trace_begin_s": moments.begin_s,
        "trace_seconds": moments.seconds * moments.speed,
        "speed": moments.speed,
        "rate": moments.rate,
    }


def _lengths(loaded: LoadedTrace, generator: np.random.Generator) -> tuple[LengthArray, str]:
    """Lengths of a trace's requests, or some that are distributed alike; and which they are."""
    if loaded.lengths is not None:
        return loaded.lengths, "requests of the trace"
    requests = min(loaded.workload.total.requests, MOST_READ)
    return (
        sample_lengths(loaded.workload, requests, generator),
        "lengths drawn from the trace's sums",
    )


def _facts(trace: str, loaded: LoadedTrace, how: str, seed: int, too_long: int) -> dict[str, Any]:
    return {
        "trace": trace,
        "sources": [dict(source) for source in loaded.workload.sources],
        "drawn": how,
        "seed": seed,
        "too_long": too_long,
    }
