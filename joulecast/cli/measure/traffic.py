"""`joulecast measure --plan traffic`: prices from a minute of made-up traffic."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from joulecast.cli.options import say
from joulecast.measurements.conditions import data_sheet
from joulecast.measurements.engines import StreamingEngine, request_bytes
from joulecast.measurements.gpu.devices import choose_gpus, open_gpus
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.models import load_shape
from joulecast.measurements.sweep.cost import rough_cache_tokens, rough_capacity
from joulecast.measurements.sweep.folder import require_new
from joulecast.measurements.sweep.request import DTYPE, SweepRequest
from joulecast.measurements.table.traffic_window import TrafficWindow
from joulecast.measurements.traffic.folder import TrafficFolder, read_begun
from joulecast.measurements.traffic.pace import rough_pace
from joulecast.measurements.traffic.session import TrafficSession
from joulecast.measurements.traffic.stretches import Stretch, TrafficMaker
from joulecast.measuring import MEASURED_BY, keep_config, start_engine, table_metadata
from joulecast.traces.errors import InputError
from joulecast.views.report import print_line

_ROUGH_RUNNING = 1024


@dataclass(frozen=True)
class TrafficOrder:
    """What was asked for.

    Attributes:
        request: Model, engine and variant.
        config: Of the model.
        weights: Folder with the model's weights; None for random ones.
        gpu_indices: GPUs, as nvidia-smi numbers them.
        output: Folder of the table; None if nothing is to be measured.
        resume: Go on with it.
    """

    request: SweepRequest
    config: dict[str, Any]
    weights: Path | None
    gpu_indices: tuple[int, ...]
    output: Path | None
    resume: bool


def measure_traffic(order: TrafficOrder, dry_run: bool, gpu_type: str | None) -> None:
    """Meter a window of traffic, or tell what it would be.

    Raises:
        InputError: The window failed a gate, or any of the errors of measuring.
        UsageError: The engine takes no requests over time.
    """
    request, output = order.request, order.output
    if request.engine != "vllm":
        raise click.UsageError(
            f"--plan traffic is for engines that take requests over time (vllm); {request.engine} "
            "runs static batches, for which there is --plan quick"
        )
    begun = None
    if output is not None and order.resume:
        begun, windows = read_begun(output)
        request.require_begun(output, begun, MEASURED_BY)
        if any(window.is_valid for window in windows):
            print_line(f"{output}: has a valid window already; nothing is left to measure")
            return
    elif output is not None:
        require_new(output)
    if dry_run or output is None:
        _print_dry_run(request, gpu_type or (begun or {}).get("gpu", "h100-sxm"))
        return
    _report(output, _measure(order, output))


def _measure(order: TrafficOrder, output: Path) -> TrafficWindow:
    request = order.request
    gpus = open_gpus(choose_gpus(order.gpu_indices, os.environ))
    sheet = data_sheet(gpus, request.variant)
    engine = start_engine(request, order.config, order.weights, gpus, say)
    if not isinstance(engine, StreamingEngine):
        raise InputError(f"{engine.name} takes no requests over time; use --plan quick")
    metadata = table_metadata(gpus, engine, request, [])
    folder = (TrafficFolder.resume if order.resume else TrafficFolder.create)(output, metadata)
    keep_config(output, metadata["model"], order.config)
    shape = load_shape(request.model)
    rough = rough_pace(shape, sheet, engine.dtype, request.variant)
    session = TrafficSession(engine, gpus, folder, rough, request.longest, say)
    try:
        return session.run()
    except KeyboardInterrupt:
        advice = f"begin again with: joulecast measure --resume -o {output}"
        raise InputError(f"stopped; {advice}") from None


def _report(output: Path, window: TrafficWindow) -> None:
    power_w = window.energy_j / window.seconds
    print_line(
        f"{output}: {window.facts['requests']:,} requests, {window.seconds:.1f} s, "
        f"{window.energy_j:,.0f} J, {power_w:.0f} W"
    )
    if not window.is_valid:
        raise InputError(
            f"{window.path}: is not valid: {window.facts['reason']}; --resume measures another"
        )


def _print_dry_run(request: SweepRequest, gpu: str) -> None:
    """The stretches, as many requests as a rough rule of the model's pace makes them."""
    shape, sheet = load_shape(request.model), load_gpu(gpu)
    pace = rough_pace(shape, sheet, DTYPE, request.variant)
    running = request.variant.max_num_seqs or _ROUGH_RUNNING
    longest = request.longest - 1, 1
    longest_bytes = request_bytes(request.engine, shape, DTYPE, *longest)
    rough_capacity(shape, sheet, DTYPE, request.variant, longest, longest_bytes)  # or it refuses
    cache_tokens = rough_cache_tokens(shape, sheet, DTYPE, request.variant)
    maker = TrafficMaker(pace, request.longest, cache_tokens, running)
    stretches = maker.stretches()
    for stretch in stretches:
        click.echo(f"{stretch.name:<22s}{_requests_text(stretch)}")
    seconds = maker.rough_seconds(stretches)
    print_line(
        f"{len(stretches)} stretches of traffic, about {seconds:.0f} s with the pauses between "
        "them (from a rough rule); engine start and warm-up come on top"
    )


def _requests_text(stretch: Stretch) -> str:
    input_tokens = sum(request.input_tokens for request in stretch.requests)
    output_tokens = sum(request.output_tokens for request in stretch.requests)
    return (
        f"{len(stretch.requests):>5,d} requests  {input_tokens:>9,d} input  "
        f"{output_tokens:>8,d} output tokens"
    )
