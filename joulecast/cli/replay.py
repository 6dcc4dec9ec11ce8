"""`joulecast replay`: run requests drawn from traces under the meter."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

import click
import numpy as np

from joulecast.cli.completion import complete_tables, complete_traces
from joulecast.cli.options import (
    ENGINE_OPTIONS,
    TRACE_OPTIONS,
    VARIANT_OPTIONS,
    command,
    engine_variant,
    reading,
    say,
    with_options,
)
from joulecast.estimator.steps.schedulers import scheduler_of
from joulecast.estimator.steps.static_batching import StaticBatching
from joulecast.estimator.steps.work import LengthArray
from joulecast.measurements.conditions import conditions, data_sheet
from joulecast.measurements.engines import EngineRequest, EngineVariant, load_engine
from joulecast.measurements.gpu.devices import choose_gpus, open_gpus
from joulecast.measurements.hardware import gpus_in_words
from joulecast.measurements.host import host_cpu
from joulecast.measurements.identity import is_of_variant
from joulecast.measurements.models import load_config, load_shape
from joulecast.measurements.replay import Replay, StaticBatch
from joulecast.measurements.replay_session import ReplayRequests, ReplaySession
from joulecast.measurements.steplog.logger import WindowLogger, require_no_logs
from joulecast.measurements.sweep.request import model_name
from joulecast.measurements.table.table import load_table
from joulecast.traces.errors import InputError
from joulecast.traces.files import exists
from joulecast.traces.load import load_trace
from joulecast.traces.sampling import sample_lengths
from joulecast.version import VERSION
from joulecast.views.report import print_line

_MOST_READ = 200_000


@dataclass(frozen=True)
class _Draw:
    """Requests to run.

    Attributes:
        requests: Their lengths, and the static batches to run them in, if any.
        facts: Where they come from.
        output: Replay file to write.
    """

    requests: ReplayRequests
    facts: Mapping[str, Any]
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
@with_options(VARIANT_OPTIONS)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Replay file to write; of several traces, the folder of their replay files.",
)
@click.option(
    "--log",
    "is_logged",
    is_flag=True,
    help="Keep beside each replay what every engine step fed, and every tick of the energy "
    "counter.",
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
    output: Path,
    is_logged: bool,
    **options: Any,
) -> None:
    """Run requests drawn from each TRACE on the GPU, under the meter.

    They have the trace's own lengths and are all asked at once, in random order. Of several traces,
    one is run after the other, and the engine starts once.
    """
    outputs = _outputs(traces, output)
    if is_logged:
        _require_no_logs(outputs, runs)
    if (table_name is None) == (engine == "pytorch"):
        raise click.UsageError("--table is for --engine pytorch, which needs it for its batches")
    if len(counts) not in {1, len(traces)}:
        raise click.UsageError(
            f"--requests is given {len(counts)} times for {len(traces)} traces; give it once, or "
            "once per trace"
        )
    each = [counts[0]] * len(traces) if len(counts) == 1 else counts
    config, variant = load_config(model), engine_variant(engine, model, options)
    name, longest = model_name(model), load_shape(model).positions or 2**31
    draws = []
    for trace, count, path in zip(traces, each, outputs, strict=True):
        lengths, facts = _draw(trace, count, seed, longest, options)
        batches = (
            None if table_name is None else _static_batches(table_name, lengths, name, variant)
        )
        pairs = [(i, o) for i, o in lengths.tolist()]
        facts = {**facts, "batches_from": table_name, "host_cpu": host_cpu()}
        draws.append(_Draw(ReplayRequests(pairs, batches), facts, path))
    gpus = open_gpus(choose_gpus(options["gpu_indices"], os.environ))
    data_sheet(gpus, variant)  # without a data sheet, no engine is started
    say(f"{gpus_in_words(gpus[0].product, len(gpus))}: starting {engine} with {model}")
    needed = max(i + o for draw in draws for i, o in draw.requests.lengths)
    request = EngineRequest(model, config, weights, variant, needed)
    session = ReplaySession(load_engine(engine, request), gpus, say)
    if len(traces) > 1:
        _make_folder(output)
    with contextlib.ExitStack() as to_close:
        if is_logged:
            logger = WindowLogger(session.engine, [gpu.index for gpu in gpus], say)
            session.logger = to_close.enter_context(logger)
        faults = [_run(session, draw, name, runs) for draw in draws]
    if any(faults):
        raise InputError("; ".join(filter(None, faults)))


def _run(session: ReplaySession, draw: _Draw, model: str, repeats: int) -> str | None:
    """Run a draw and keep it; what its invalid runs failed, None if there are none."""
    result = session.run(draw.requests, repeats)
    facts = {
        **draw.facts,
        **conditions(session.gpus, session.engine, model, f"joulecast {VERSION}"),
    }
    runs, requests = result.runs, draw.requests
    Replay(facts, requests.lengths, requests.batches, runs, result.engine_steps).save(draw.output)
    for number, (run, log) in enumerate(zip(runs, result.logs, strict=False), start=1):
        about = {"replay": draw.output.name, "run": number, **asdict(run), **facts}
        log.save(draw.output.parent, _log_name(draw.output, number), about)
    reasons = [run.reason for run in runs if run.reason is not None]
    valid = len(runs) - len(reasons)
    print_line(f"{draw.output}: {len(requests.lengths):,} requests, {valid} valid runs")
    if not reasons:
        return None
    return f"{draw.output}: {len(reasons)} of {repeats} runs are invalid: {reasons[0]}"


def _log_name(output: Path, number: int) -> str:
    """What the logs of a run are called: NAME as the replay file, NAME-2 those of its second."""
    name = output.name.removesuffix(".json")
    return name if number == 1 else f"{name}-{number}"


def _require_no_logs(outputs: Sequence[Path], runs: int) -> None:
    """Refuse to write over logs, be they there or another replay's."""
    names = [(path.parent, _log_name(path, k)) for path in outputs for k in range(1, runs + 1)]
    if twice := [name for folder, name in names if names.count((folder, name)) > 1]:
        raise InputError(f"{twice[0]}: two runs have logs of that name; give a trace another")
    for folder, name in names:
        require_no_logs(folder, name)


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
    trace: str, count: int, seed: int, longest: int, options: dict[str, Any]
) -> tuple[LengthArray, dict[str, Any]]:
    """So many of a trace's requests, in random order, and what to say of the draw."""
    with reading(options, trace) as keywords:
        loaded = load_trace(trace, most_lengths=_MOST_READ, **keywords)
    workload, lengths = loaded.workload, loaded.lengths
    generator = np.random.default_rng(seed)
    how = "requests of the trace"
    if lengths is None:
        how = "lengths drawn from the trace's sums"
        requests = min(workload.total.requests, _MOST_READ)
        lengths = sample_lengths(workload, requests, generator)
    fits = lengths.sum(axis=1) <= longest
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


def _static_batches(
    table_name: str, lengths: LengthArray, model: str, variant: EngineVariant
) -> list[StaticBatch]:
    table = load_table(table_name)
    scheduler = scheduler_of(table)
    if not isinstance(scheduler, StaticBatching):
        raise InputError(f"{table_name}: is of {table.engine}, which has no static batches")
    if table.model != model or not is_of_variant(table.metadata, variant):
        raise InputError(
            f"{table_name}: is of {table.model} served otherwise than --model and --compile say, "
            "and its largest batches are others; give a table of the same"
        )
    return [(n, i, o) for n, i, o in scheduler.batches(lengths).astype(int).tolist()]
