"""How far prices per unit of work lie off where every step is known: requests served as they came.

    python benchmarks/logged_steps.py

Of each online replay that ships, by the log of its steps in the campaign's folder: energy from the
shipped prices, the metered time and the card's own idle power; time at work, where a step that is
launched kernel by kernel lasts at least what the host needs by the list, and where only the host's
own time line does (`seconds_at_work`), with launches as a simulation in time takes them. Nothing of
these replays is in the prices. docs/prices.md has what it printed.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from joulecast.estimator.unit_prices.in_time import THREAD_SHARE
from joulecast.estimator.unit_prices.shipped import load_unit_prices
from joulecast.estimator.unit_prices.sources import deployment_of, steps_of_log
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.replay import SHIPPED_ONLINE, Replay
from joulecast.measurements.steplog.log import StepLog

ONLINE = Path(__file__).parents[1] / "measurements" / "campaign-2026-11-26" / "h200-sxm"
GRAPH_LAUNCH_S = 0.0015
"""What the host takes for a step of a recorded graph."""


def seconds_at_work(
    gpu_s: FloatArray,
    launch_s: FloatArray,
    waited_s: FloatArray,
    is_pieced: npt.NDArray[np.bool_],
) -> float:
    """Time in which the GPU is busy or waits for the launch of a step [s].

    The host launches a step while the GPU runs the one before, as soon as it has launched that and
    has the output of the last but one; its thread is at a launch for `THREAD_SHARE` of it, at
    pieces for all of it. A step ends when the GPU has done it after the one before, and no sooner
    than its last kernel is launched; a graph that is launched in pieces overlaps less with that, as
    the sides of a right triangle make its third.

    Args:
        gpu_s: What each step takes on the GPU [s], shape (steps,).
        launch_s: What the host takes to launch it [s].
        waited_s: How long nothing ran before it was launched [s]; 0 where something did.
        is_pieced: Whether it is a graph that is launched in pieces.
    """
    busy = ended = ended_before = free_at = 0.0
    for gpu, launch, waited, pieced in zip(gpu_s, launch_s, waited_s, is_pieced, strict=True):
        begun = ended + waited if waited > 0 else max(ended_before, free_at)
        free_at = begun + launch * (1.0 if pieced else THREAD_SHARE)
        free = max(ended, begun)
        host = max(0.0, begun + launch - free)
        ended_before, ended = ended, free + (math.hypot(gpu, host) if pieced else max(gpu, host))
        busy += ended - free
    return float(busy)


def logged_replays() -> Iterator[tuple[str, Replay, StepLog]]:
    """Name, replay and log of each that ships; what was measured beside them is left out."""
    paths = {}
    for path in ONLINE.glob("*-online*/**/*.steps.csv.gz"):
        beside = path.with_name(path.name.removesuffix(".steps.csv.gz"))
        named = beside if beside.is_file() else beside.with_name(f"{beside.name}.json")
        paths[Replay.load(named).runs[0]] = path
    for path in sorted(SHIPPED_ONLINE.glob("*/*/*.json")):
        replay = Replay.load(path)
        yield f"{path.parent.name} {path.stem}", replay, StepLog.read(paths[replay.runs[0]])


def errors() -> Iterator[tuple[str, float, float, float]]:
    """Name, and relative errors of energy, of time with the one floor, and with the other."""
    for name, replay, log in logged_replays():
        deployment = deployment_of(replay.facts, replay.facts["model"])
        prices = load_unit_prices(deployment.gpu.name, deployment.engine)
        steps = steps_of_log(log, ~np.isnan(log.gpu_seconds), replay.facts["engine_settings"])
        work = deployment.work_of(steps)
        run, pace = replay.runs[0], prices.pace
        energy_j = (run.idle_power_w or 0.0) * run.seconds + prices.work_j(work.total)

        whole = np.zeros_like(work.is_pieced)
        bare = replace(prices, pace=replace(pace, host_layer=0.0, host_expert_layer=0.0))
        launch_s, launch_output_s = pace.launch_parts(work, deployment.launches_every_step)
        host_s = launch_s + launch_output_s * work.of("outputs")
        is_known = ~np.isnan(log.gpu_seconds)
        output_at = np.fmax.accumulate(log.output_at)
        before = np.concatenate([[log.schedule_begin[0]], output_at[:-1]])
        waited = np.where(log.schedule_begin >= before, log.schedule_end - before, 0.0)
        line_s = seconds_at_work(
            bare.step_seconds(replace(work, is_pieced=whole), deployment),
            np.where(work.is_launched | work.is_pieced, host_s, GRAPH_LAUNCH_S),
            waited[is_known],
            work.is_pieced,
        )
        alone_s = float(prices.step_seconds(work, deployment).sum())
        busy_s = float(np.nansum(log.gpu_seconds))
        yield name, energy_j / run.energy_j - 1, alone_s / busy_s - 1, line_s / busy_s - 1


def main() -> None:
    """Print each, and median and worst."""
    told = list(errors())
    for name, *off in told:
        energy, alone, line = (100 * value for value in off)
        print(
            f"{name:<40s} energy {energy:+5.1f} %; time {alone:+5.1f} %, host's line {line:+5.1f} %"
        )
    sizes = 100 * np.abs([off for _, *off in told])
    for kind, of in zip(("energy", "time", "time by the host's line"), sizes.T, strict=True):
        print(f"{kind}: median {np.median(of):.1f} %, worst {of.max():.1f} %")


if __name__ == "__main__":
    main()
