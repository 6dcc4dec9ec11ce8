"""`joulecast replay`: run requests drawn from traces under the meter."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

import click
import numpy as np

from joulecast.cli.completion import complete_tables, complete_traces
from joulecast.cli.options import (
    ENGINE_OPTIONS,
    GPU_OPTION,
    TRACE_OPTIONS,
    command,
    reading,
    with_options,
)
from joulecast.estimator.steps.prices import scheduler_of
from joulecast.estimator.steps.static_batching import StaticBatching
from joulecast.estimator.steps.work import LengthArray
from joulecast.measurements.engines import EngineRequest, load_engine
from joulecast.measurements.gpu.devices import choose_gpus, open_gpus
from joulecast.measurements.hardware import find_gpu
from joulecast.measurements.models import load_config
from joulecast.measurements.replay import Replay, StaticBatch, replay_requests
from joulecast.measurements.sweep.host import host_cpu
from joulecast.measurements.sweep.request import model_name
from joulecast.measurements.table.table import load_table
from joulecast.traces.errors import InputError
from joulecast.traces.files import exists
from joulecast.traces.load import load_trace
from joulecast.traces.sampling import sample_lengths
from joulecast.version import VERSION

_MOST_READ = 200_000


@dataclass(frozen=True)
class _Draw:
    """Requests to run.

    Attributes:
        lengths: (i, o) per request [tokens].
        facts: Where they come from.
        batches: The static batches to run them in, if any.
        output: Replay file to write.
    """

    lengths: Sequence[tuple[int, int]]
    facts: Mapping[str, Any]
    batches: Sequence[StaticBatch] | None
    output: Path


@command()
@click.argument(
    "traces", nargs=-1, required=True, metavar="TRACE...", shell_complete=complete_traces
)
@with_options(ENGINE_OPTIONS)
@click.option(
    "--requests",
    "counts",
    type=click.IntRange(1, _MOST_READ),
    multiple=True,
    default=(1000,),
    help="How many requests to draw; once, or once per trace.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of the draw.")
@click.option("--runs", type=click.IntRange(1, 99), default=1, help="How often to run them.")
@click.option(
    "--table",
    "table_name",
    metavar="TABLE",
    shell_complete=complete_tables,
    help="Where static batches take B(I, O) from (pytorch).",
)
@GPU_OPTION
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Replay file to write; of several traces, the folder of their replay files.",
)
@with_options(TRACE_OPTIONS)
def replay(
    traces: Sequence[str],
    engine: str,
    model: str,
    weights: Path | None,
    counts: Sequence[int],
    seed: int,
    runs: int,
    table_name: str | None,
    gpu_indices: tuple[int, ...],
    output: Path,
    **options: Any,
) -> None:
    """Run requests drawn from each TRACE on the GPU, under the meter.

    They have the trace's own lengths and are all asked at once, in random order. Of several traces,
    one is run after the other, and the engine starts once.
    """
    outputs = _outputs(traces, output)
    if (table_name is None) == (engine == "pytorch"):
        raise click.UsageError("--table is for --engine pytorch, which needs it for its batches")
    if len(counts) not in {1, len(traces)}:
        raise click.UsageError(
            f"--requests is given {len(counts)} times for {len(traces)} traces; give it once, or "
            "once per trace"
        )
    config = load_config(model)
    most = int(config.get("max_position_embeddings") or 2**31)
    each = [counts[0]] * len(traces) if len(counts) == 1 else counts
    draws = []
    for trace, count, path in zip(traces, each, outputs, strict=True):
        drawn, facts = _draw(trace, count, seed, most, options)
        batches = None if table_name is None else _static_batches(table_name, drawn)
        draws.append(_Draw([(i, o) for i, o in drawn.tolist()], facts, batches, path))
    gpus = open_gpus(choose_gpus(gpu_indices, os.environ))
    sheet = find_gpu(gpus[0].product)
    click.echo(f"{gpus[0].product}: starting {engine} with {model}", err=True)
    longest = max(i + o for draw in draws for i, o in draw.lengths)
    loaded = load_engine(engine, EngineRequest(model, config, weights, None, longest, len(gpus)))
    idle_power_w, invalid = None, []
    if len(traces) > 1:
        _make_folder(output)
    for draw in draws:
        made, steps = replay_requests(
            loaded,
            gpus,
            draw.lengths,
            draw.batches,
            runs,
            lambda text: click.echo(text, err=True),
            idle_power_w,
        )
        idle_power_w = made[0].idle_power_w
        Replay(
            {
                **draw.facts,
                "gpu": sheet.name,
                "gpu_product": gpus[0].product,
                "gpu_count": len(gpus),
                "power_limit_w": sum(gpu.power_limit_w() for gpu in gpus),
                "model": model_name(model),
                "engine": loaded.name,
                "engine_version": loaded.version,
                "engine_settings": loaded.settings(),
                "dtype": loaded.dtype,
                "weights": loaded.weights,
                "batches_from": table_name,
                "measured_on": datetime.now(UTC).date().isoformat(),
                "measured_by": f"joulecast {VERSION}",
                "host_cpu": host_cpu(),
            },
            draw.lengths,
            draw.batches,
            made,
            steps,
        ).save(draw.output)
        valid = [run for run in made if run.reason is None]
        click.echo(f"{draw.output}: {len(draw.lengths):,} requests, {len(valid)} valid runs")
        if len(valid) < runs:
            reason = next(run.reason for run in made if run.reason is not None)
            failed = runs - len(valid)
            invalid.append(f"{draw.output}: {failed} of {runs} runs are invalid: {reason}")
    if invalid:
        raise InputError("; ".join(invalid))


def _outputs(traces: Sequence[str], output: Path) -> list[Path]:
    """The replay file of each trace; none is there yet."""
    if not output.absolute().parent.is_dir():
        raise InputError(f"{output}: its folder is not there; make it first")
    if len(traces) == 1:
        if output.is_dir():
            raise InputError(f"{output}: is a folder; name the file to write")
        paths = [output]
    else:
        if exists(output) and not output.is_dir():
            raise InputError(f"{output}: is a file; replays of several traces go into a folder")
        paths = [output / f"{PurePath(trace).stem}.json" for trace in traces]
    if twice := [path for path in paths if paths.count(path) > 1]:
        raise InputError(f"{twice[0]}: two traces of that name; give one of them another")
    for path in paths:
        if exists(path):
            raise InputError(f"{path}: is there already; a measurement is not overwritten")
    return paths


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error.strerror})") from error


def _draw(
    trace: str, count: int, seed: int, most: int, options: dict[str, Any]
) -> tuple[LengthArray, dict[str, Any]]:
    """So many of a trace's requests, in random order, and what to say of the draw."""
    with reading(options, trace) as keywords:
        loaded = load_trace(trace, most_lengths=_MOST_READ, **keywords)
    workload, lengths = loaded.workload, loaded.lengths
    generator = np.random.default_rng(seed)
    how = "requests of the trace"
    if lengths is None:
        how = "lengths drawn from the trace's sums"
        there = workload.total.requests
        lengths = sample_lengths(workload, min(there, _MOST_READ), generator)
    fits = lengths.sum(axis=1) <= most
    served = np.maximum(lengths[fits], 1)
    if len(served) < count:
        raise InputError(
            f"{trace}: has {len(served):,} requests that the model takes, fewer than --requests "
            f"{count:,}"
        )
    drawn = served[generator.choice(len(served), count, replace=False)]
    return drawn, {
        "trace": trace,
        "sources": [dict(source) for source in workload.sources],
        "drawn": how,
        "seed": seed,
        "too_long": int((~fits).sum()),
    }


def _static_batches(table_name: str, lengths: LengthArray) -> list[StaticBatch]:
    table = load_table(table_name)
    scheduler = scheduler_of(table)
    if not isinstance(scheduler, StaticBatching):
        raise InputError(f"{table_name}: is of {table.engine}, which has no static batches")
    return [(n, i, o) for n, i, o in scheduler.batches(lengths).astype(int).tolist()]
