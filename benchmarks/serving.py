"""What serving over time takes, against how many requests there are.

    python benchmarks/serving.py [REQUESTS]
    python benchmarks/serving.py 44_000_000 --replicas 120
    python benchmarks/serving.py 44_000_000 --replicas 120 --csv week.csv
    python benchmarks/serving.py 1_000 --beside

Requests have the lengths of Azure's conversations and come at random, so that a replica is busy for
most of the time. Times are of processors, as others may use the machine, and ratios within one run:
per request against the fewest requests, compiled against plain, one replica against a fleet. What
is compiled first is kept.

With --replicas they come over a week, as those of Azure 2024 did, and are served by so many, with
the time by the clock and the largest memory of the process. With --csv they are read from a file,
which is written first where there is none, and what is told is of the whole command `joulecast
estimate`, in a process of its own: reading, serving and everything else. With --beside, the same
requests go to sched-sim (pip install sched-sim), which follows a server of the same model step by
step, too.
"""

import argparse
import importlib.util
import json
import math
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import duckdb
import numpy as np

from joulecast.estimator.online.fewest import waits
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

WEEK_S = 7 * 86_400.0
SLICE_S = 3600.0
_PIECE = 1 << 17
_LOOPS = 10_000_000


def requests_of(count: int, rate: float) -> TimedRequests:
    """So many requests at random moments, made in pieces, in as little memory as they need."""
    generator = np.random.default_rng(7)
    trace = load_embedded("azure-2023-conv")
    arrival_s, lengths = np.empty(count), np.empty((count, 2), dtype=np.int32)
    for begin in range(0, count, _PIECE):
        piece = slice(begin, min(count, begin + _PIECE))
        size = piece.stop - begin
        lengths[piece] = sample_lengths(trace, size, generator)
        arrival_s[piece] = generator.exponential(1 / rate, size)
    np.cumsum(arrival_s, out=arrival_s)
    arrival_s -= arrival_s[0]
    return TimedRequests(arrival_s, lengths)


def timed(work: Callable[[], object]) -> float:
    """How long processors take for some work [s]."""
    began = time.process_time()
    work()
    return time.process_time() - began


def plain_loop() -> None:
    """What other times can be held against, on a machine that others use, too."""
    total = 0
    for k in range(_LOOPS):
        total += k & 3


def fleet_of(replicas: int, slice_s: float = 60.0) -> Fleet:
    """So many replicas, whose code is compiled."""
    table = load_table(TABLE)
    model = StepModel.of(table)
    server = server_of(table, model)
    fleet = Fleet(
        server.scheduler, server.times, model.gauge, replicas, "round-robin", None, slice_s
    )
    replica.fewest_to_compile = lambda: 1
    replace(fleet, replicas=1).serve(requests_of(10, RATE))  # compiles, or loads what was compiled
    return fleet


def ratios(most: int) -> None:
    """Print what requests take of one replica, and of several."""
    fleet = fleet_of(1)
    print(f"{_LOOPS:,} turns of a plain Python loop: {timed(plain_loop):.2f} s")
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
    for replicas in (8, 100):
        in_turn = replace(fleet, replicas=replicas)
        by_load = replace(in_turn, router="least-loaded")
        asked = requests_of(most, replicas * RATE)
        print(
            f"{replicas} replicas, shared out by load over in turn: "
            f"{timed(partial(by_load.serve, asked)) / timed(partial(in_turn.serve, asked)):.1f}"
        )


def week(count: int, replicas: int) -> None:
    """Print what a week of requests takes of a fleet."""
    fleet = fleet_of(replicas, SLICE_S)
    print(f"{_LOOPS:,} turns of a plain Python loop: {timed(plain_loop):.2f} s")
    requests = requests_of(count, count / WEEK_S)
    began, worked = time.perf_counter(), time.process_time()
    run = fleet.serve(requests)
    latencies = waits(requests, run)
    clock_s, processor_s = time.perf_counter() - began, time.process_time() - worked
    ttft = latencies["ttft"]
    print(
        f"{count:,} requests over {requests.span_s / 86_400:.2f} days on {replicas} replicas, each "
        f"busy {run.busy_s / run.end_s / replicas:.0%} of the time: {clock_s:.1f} s by the clock, "
        f"{processor_s:.1f} s of processors"
    )
    print(f"{run.steps:,} steps; time to first token {ttft and ttft.p50:.4f} s (p50)")


def write_week(path: Path, count: int) -> None:
    """Write a week of requests as Azure's file of 2024 has them, in the order of their times."""
    requests = requests_of(count, count / WEEK_S)
    inputs, outputs = (np.ascontiguousarray(side) for side in requests.lengths.T)
    columns = {"arrival_s": requests.arrival_s, "inputs": inputs, "outputs": outputs}
    moment = "TIMESTAMP '2024-05-10' + to_microseconds(CAST(1e6 * arrival_s AS BIGINT))"
    with duckdb.connect() as database:
        database.register("requests", columns)
        database.execute(
            f"COPY (SELECT strftime({moment}, '%Y-%m-%d %H:%M:%S.%f+00:00') AS \"TIMESTAMP\", "
            'inputs AS "ContextTokens", outputs AS "GeneratedTokens" FROM requests) '
            f"TO '{path}' (HEADER)"
        )


def week_of_file(path: Path, count: int, replicas: int) -> None:
    """Print what the whole estimate of a file of requests takes, in a process of its own."""
    if not path.exists():
        # Of its own, too: a child begins with the largest memory of the process that starts it.
        writer = multiprocessing.Process(target=write_week, args=(path, count))
        writer.start()
        writer.join()
    command = [sys.executable, "-m", "joulecast", "estimate", str(path), "--table", TABLE]
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "estimate.json"
        began = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--replicas", str(replicas), "--format", "json", "--output", str(answer)]
        )
        _, status, usage = os.wait4(process.pid, 0)
        clock_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(process.returncode)
        estimate = json.loads(answer.read_text())
    serving = estimate["serving"]
    print(
        f"{estimate['requests']['estimated']:,} requests of {path.name} "
        f"({path.stat().st_size / 1e6:,.0f} MB) on {replicas} replicas, each busy "
        f"{serving['busy_share']:.0%} of the time: {clock_s:.1f} s by the clock, "
        f"{usage.ru_utime + usage.ru_stime:.1f} s of processors, reading included"
    )
    print(
        f"{serving['steps']:,} steps; time to first token {serving['ttft_s']['p50']:.4f} s (p50); "
        f"{estimate['energy_j']:.6e} J"
    )
    print(f"peak memory: {usage.ru_maxrss * 1024 / 1e9:.2f} GB")


def beside(count: int) -> None:
    """Print what the same requests take of sched-sim, which follows one step after another."""
    if importlib.util.find_spec("sched_sim") is None:
        print("sched-sim is not installed: nothing to compare with (pip install sched-sim)")
        return
    from sched_sim.core.event_engine import Simulator
    from sched_sim.core.request import Request
    from sched_sim.hardware.presets import get_hardware_profile
    from sched_sim.schedulers.factory import create_scheduler

    fleet = fleet_of(1)
    limits = fleet.scheduler.token_budget, fleet.scheduler.most_requests
    for rate in (0.75, 4.0):
        requests = requests_of(count, rate)
        moments, lengths = requests.arrival_s.tolist(), requests.lengths.tolist()
        hardware = get_hardware_profile("a100")  # its preset with a model of 8 billion weights
        scheduler = create_scheduler(
            "chunked", hardware, token_budget=limits[0], max_batch_size=limits[1]
        )
        simulator = Simulator(hardware, scheduler)
        simulator.submit_workload(
            [
                Request(request_id=str(k), arrived_at=moment, prompt_tokens=i, output_tokens=o)
                for k, (moment, (i, o)) in enumerate(zip(moments, lengths, strict=True))
            ]
        )
        theirs_s = timed(simulator.run)
        steps = len(simulator.iteration_records)
        print(f"{count:,} requests, {rate:g} a second:")
        print(f"  sched-sim            {1e6 * theirs_s / count:8.1f} us each, {steps:,} steps")
        for name, fewest in (("compiled", 1.0), ("plain Python", math.inf)):
            replica.fewest_to_compile = lambda fewest=fewest: fewest
            run = fleet.serve(requests)
            ours_s = min(timed(lambda asked=requests: fleet.serve(asked)) for _ in range(3))
            print(
                f"  joulecast, {name:12} {1e6 * ours_s / count:6.1f} us each, {run.steps:,} steps, "
                f"{theirs_s / ours_s:.0f} times as fast"
            )


def main() -> None:
    """Print what is asked for, and the largest memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("requests", nargs="?", type=int, default=1_000_000)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--replicas", type=int, help="serve them over a week by so many")
    what.add_argument("--beside", action="store_true", help="compare with sched-sim")
    parser.add_argument("--csv", type=Path, help="of --replicas: read them from such a file")
    asked = parser.parse_args()
    if asked.csv is not None:
        if asked.replicas is None:
            parser.error("--csv goes with --replicas")
        week_of_file(asked.csv, asked.requests, asked.replicas)
        return
    if asked.replicas is not None:
        week(asked.requests, asked.replicas)
    elif asked.beside:
        beside(asked.requests)
    else:
        ratios(asked.requests)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"peak memory: {peak_gb:.2f} GB")


if __name__ == "__main__":
    main()
