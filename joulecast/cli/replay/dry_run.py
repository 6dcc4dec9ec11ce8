"""`joulecast replay --dry-run`: what the replays will take, by the forecast."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from joulecast.cli.completion import complete_gpus
from joulecast.cli.options import Option
from joulecast.cli.replay.batching import BatchingWish
from joulecast.measurements.engines import EngineRequest
from joulecast.measurements.gpu.meter import JOULES_PER_KWH
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.sweep.cost import OVERHEAD_SECONDS
from joulecast.measurements.sweep.request import rough_largest_batch
from joulecast.views.report import print_line

_GPU = "h100-sxm"

DRY_RUN_OPTIONS: list[Option] = [
    click.option("--dry-run", is_flag=True, help="Print what the replays will take; needs no GPU."),
    click.option(
        "--gpu-type",
        metavar="NAME",
        shell_complete=complete_gpus,
        help=f"The GPU that --dry-run reckons with, {_GPU} if not given.",
    ),
]


def require_dry_run_words(
    dry_run: bool, is_online: bool, output: Path | None, options: Mapping[str, Any]
) -> None:
    """Refuse options that do not go together.

    Raises:
        UsageError: Which they are is said.
    """
    if options["gpu_type"] is not None and not dry_run:
        raise click.UsageError("--gpu-type is for --dry-run; a replay asks the GPU what it is")
    if dry_run and is_online:
        raise click.UsageError(
            "--dry-run is not for --arrivals, which takes its --seconds; joulecast estimate "
            "forecasts what they cost"
        )
    if output is None and not dry_run:
        raise click.UsageError("give the file or folder to write: -o OUTPUT")


def print_dry_run(
    engine: str,
    request: EngineRequest,
    gpu: str | None,
    runs: int,
    replays: Sequence[tuple[str, Sequence[tuple[int, int]], BatchingWish]],
) -> None:
    """A line per replay, and the sum.

    Args:
        engine: That would be started.
        request: With which model, and how it serves.
        gpu: Short name of the GPU; None for the default one.
        runs: Windows of each replay.
        replays: Name, lengths and batching of each.
    """
    from joulecast.estimator.replayed import deployment_for, forecast_replay

    served = deployment_for(engine, request.model, gpu, request.variant)
    sheet = load_gpu(gpu or _GPU)
    capacity = rough_largest_batch(sheet, request.model, engine, request.variant)
    seconds = energy_j = 0.0
    for name, lengths, wish in replays:
        batching = wish.batching(lengths, capacity)
        window = forecast_replay(served, np.array(lengths, dtype=np.int64), batching)
        seconds += runs * (window.seconds + OVERHEAD_SECONDS)
        energy_j += runs * window.energy_j
        again = f", run {window.rounds} times" if window.rounds > 1 else ""
        print_line(
            f"{name}: {window.requests:,} requests{again}; {runs} {_windows(runs)} of "
            f"{window.seconds:.1f} s and {window.energy_j / JOULES_PER_KWH:.4f} kWh"
        )
    print_line(
        f"{len(replays) * runs} {_windows(len(replays) * runs)} of {engine} with {request.model}, "
        f"about {seconds / 60:.1f} minutes and {energy_j / JOULES_PER_KWH:.2f} kWh (from "
        f"{served.name}); engine start and warm-up come on top"
    )


def _windows(count: int) -> str:
    return "window" if count == 1 else "windows"
