"""What serving over time takes, against how many requests there are.

    python benchmarks/serving.py [REQUESTS]

Requests have the lengths of Azure's conversations and come at random, so that a replica is busy for
most of the time. Times are ratios within one run: per request against the fewest requests, compiled
against plain, one replica against a fleet. The first line compiles, which is done once and kept.
"""

import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from joulecast.estimator.online.fleet import Fleet
from joulecast.estimator.online.wish import server_of
from joulecast.estimator.steps.in_time import replica
from joulecast.estimator.stepwise import StepModel
from joulecast.measurements.table.table import load_table
from joulecast.traces.public.catalog import load_embedded
from joulecast.traces.requests import TimedRequests
from joulecast.traces.sampling import sample_lengths

TABLE = "h100-sxm/llama-3.1-8b/vllm"
RATE = 8.0
"""Requests a second and replica: nearly all that a replica can do."""


def requests_of(count: int, rate: float) -> TimedRequests:
    """So many requests at random moments."""
    generator = np.random.default_rng(7)
    lengths = sample_lengths(load_embedded("azure-2023-conv"), count, generator)
    return TimedRequests.at_rate(lengths, rate, generator)


def timed(work: Callable[[], object]) -> float:
    """How long some work takes [s]."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(most: int) -> None:
    """Print the ratios."""
    table = load_table(TABLE)
    model = StepModel.of(table)
    server = server_of(table, model)
    fleet = Fleet(server.scheduler, server.times, model.gauge, 1, "round-robin", None, 60.0)
    replica.fewest_to_compile = lambda: 1
    fleet.serve(requests_of(10, RATE))  # compiles, or loads what was compiled
    first = None
    for count in (most // 100, most // 10, most):
        requests = requests_of(count, RATE)
        seconds = timed(lambda asked=requests: fleet.serve(asked))
        first = first or seconds / count
        print(
            f"{count:>10,} requests on one replica: {seconds:6.2f} s, "
            f"{1e6 * seconds / count:5.2f} us each, {seconds / count / first:.2f} of the first"
        )
    few = requests_of(most // 100, RATE)
    compiled = timed(lambda: fleet.serve(few))
    replica.fewest_to_compile = lambda: math.inf
    print(f"plain Python over compiled: {timed(lambda: fleet.serve(few)) / compiled:.0f}")
    replica.fewest_to_compile = lambda: 1
    one = timed(lambda: fleet.serve(requests_of(most, RATE)))
    eight = replace(fleet, replicas=8)
    print(
        f"eight replicas over one, as many requests each: "
        f"{timed(lambda: eight.serve(requests_of(8 * most, 8 * RATE))) / one / 8:.2f}"
    )
    by_load = replace(eight, router="least-loaded")
    asked = requests_of(most, 8 * RATE)
    print(
        f"shared out by load over in turn: "
        f"{timed(lambda: by_load.serve(asked)) / timed(lambda: eight.serve(asked)):.1f}"
    )
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory: {peak_gb:.2f} GB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
