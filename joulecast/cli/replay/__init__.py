"""`joulecast replay`: run requests drawn from traces under the meter."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import click
import numpy as np

from joulecast.cli.completion import complete_tables, complete_traces
from joulecast.cli.options import (
    ENGINE_OPTIONS,
    VARIANT_OPTIONS,
    FiniteRange,
    command,
    engine_variant,
    say,
    with_options,
)
from joulecast.cli.replay.draws import MOST_READ, Moments, draw, draw_moments
from joulecast.cli.trace_options import TRACE_OPTIONS
from joulecast.estimator.steps.schedulers import scheduler_of
from joulecast.estimator.steps.static_batching import StaticBatching
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
from joulecast.version import VERSION
from joulecast.views.report import print_line


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


_Requests = tuple[ReplayRequests, Mapping[str, Any]]
"""What is asked, and what to say of it."""

_DRAWN = 1000
_SECONDS = 60.0


@command()
@click.argument(
    "traces", nargs=-1, required=True, metavar="TRACE...", shell_complete=complete_traces
)
@with_options(ENGINE_OPTIONS)
@click.option(
    "--requests",
    "counts",
    type=click.IntRange(1, MOST_READ),
    multiple=True,
    help="How many requests to draw, 1,000 if not given; once, or once per trace.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of the draw.")
@click.option(
    "--runs", type=click.IntRange(1, 99), help="How often to run them, once if not given."
)
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
@click.option(
    "--arrivals",
    "is_online",
    is_flag=True,
    help="Serve the requests as they come over time, not all at once; keeps logs.",
)
@click.option(
    "--seconds",
    type=FiniteRange(0, 3600, min_open=True),
    help="With --arrivals: for so long, 60 s if not given.",
)
@click.option(
    "--begin",
    "begins",
    type=FiniteRange(0),
    multiple=True,
    help="With --arrivals: from so many seconds of the trace on, its start if not given; once, or "
    "once per trace.",
)
@click.option(
    "--speed",
    "speeds",
    type=FiniteRange(0, 1000, min_open=True),
    multiple=True,
    help="With --arrivals: so many times as fast as the trace, 1 if not given; once, or once per "
    "trace.",
)
@click.option(
    "--rate",
    type=FiniteRange(0, 10_000, min_open=True),
    help="With --arrivals: so many requests a second, at random (Poisson), in place of the "
    "trace's own times.",
)
@with_options(TRACE_OPTIONS)
def replay(
    traces: Sequence[str],
    engine: str,
    model: str,
    weights: Path | None,
    seed: int,
    table_name: str | None,
    output: Path,
    is_logged: bool,
    is_online: bool,
    **options: Any,
) -> None:
    """Run requests drawn from each TRACE on the GPU, under the meter.

    They have the trace's own lengths and are all asked at once, in random order; with --arrivals,
    they are asked when they came. Of several traces, one is run after the other, and the engine
    starts once.
    """
    _require_options_of(is_online, options)
    names = [PurePath(trace).stem for trace in traces]
    if len(options["speeds"]) > 1:
        names = [
            f"{stem}-{speed:g}x" for stem, speed in zip(names, options["speeds"], strict=False)
        ]
    outputs, runs = _outputs(names, output), options["runs"] or 1
    is_logged = is_logged or is_online
    if is_logged:
        _require_no_logs(outputs, runs)
    if (table_name is None) == (engine == "pytorch"):
        raise click.UsageError("--table is for --engine pytorch, which needs it for its batches")
    config, variant = load_config(model), engine_variant(engine, model, options)
    name, longest = model_name(model), load_shape(model).positions or 2**31
    requests = (
        _arriving(traces, seed, longest, options)
        if is_online
        else _at_once(traces, seed, longest, options)
    )
    draws = []
    for (asked, facts), path in zip(requests, outputs, strict=True):
        batches = None if table_name is None else _static_batches(table_name, asked, name, variant)
        drawn = replace(asked, batches=batches)
        also = {"batches_from": table_name, "host_cpu": host_cpu()}
        draws.append(_Draw(drawn, {**facts, **also}, path))
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


_OF_ARRIVALS = {"seconds": "--seconds", "begins": "--begin", "speeds": "--speed", "rate": "--rate"}
_OF_ALL_AT_ONCE = {"counts": "--requests", "runs": "--runs"}


def _require_options_of(is_online: bool, options: Mapping[str, Any]) -> None:
    """Refuse options that mean nothing in this kind of replay."""
    others, why = (
        (_OF_ALL_AT_ONCE, "is not for --arrivals, which takes the requests of a stretch of time")
        if is_online
        else (_OF_ARRIVALS, "is for --arrivals")
    )
    for key, option in others.items():
        if options[key]:
            raise click.UsageError(f"{option} {why}")


def _once_per_trace(
    option: str, values: Sequence[Any], default: Any, traces: Sequence[str]
) -> Sequence[Any]:
    """The value of an option for each trace."""
    if len(values) not in {0, 1, len(traces)}:
        raise click.UsageError(
            f"{option} is given {len(values)} times for {len(traces)} traces; give it once, or "
            "once per trace"
        )
    return values if len(values) > 1 else [*values, default][:1] * len(traces)


def _at_once(
    traces: Sequence[str], seed: int, longest: int, options: Mapping[str, Any]
) -> Sequence[_Requests]:
    """Requests drawn from each trace, and what to say of them."""
    counts = _once_per_trace("--requests", options["counts"], _DRAWN, traces)
    draws = []
    for trace, count in zip(traces, counts, strict=True):
        lengths, facts = draw(trace, count, seed, longest, options)
        draws.append((ReplayRequests([(i, o) for i, o in lengths.tolist()]), facts))
    return draws


def _arriving(
    traces: Sequence[str], seed: int, longest: int, options: Mapping[str, Any]
) -> Sequence[_Requests]:
    """Requests of a stretch of each trace, as they come, and what to say of them."""
    begins = _once_per_trace("--begin", options["begins"], 0.0, traces)
    speeds = _once_per_trace("--speed", options["speeds"], 1.0, traces)
    draws = []
    for trace, begin_s, speed in zip(traces, begins, speeds, strict=True):
        moments = Moments(begin_s, options["seconds"] or _SECONDS, speed, options["rate"])
        timed, facts = draw_moments(trace, moments, seed, longest, options)
        pairs = [(i, o) for i, o in timed.lengths.tolist()]
        draws.append((ReplayRequests(pairs, arrivals=timed.arrival_s.tolist()), facts))
    return draws


def _run(session: ReplaySession, draw: _Draw, model: str, repeats: int) -> str | None:
    """Run a draw and keep it; what its invalid runs failed, None if there are none."""
    result = session.run(draw.requests, repeats)
    facts = {
        **draw.facts,
        **conditions(session.gpus, session.engine, model, f"joulecast {VERSION}"),
    }
    runs, requests = result.runs, draw.requests
    served, steps = result.served, result.engine_steps
    Replay(facts, requests.lengths, requests.batches, runs, steps, served).save(draw.output)
    for number, (run, log) in enumerate(zip(runs, result.logs, strict=False), start=1):
        about = {"replay": draw.output.name, "run": number, **asdict(run), **facts}
        rows = (
            None
            if result.requests is None
            else [request.row(log.steps) for request in result.requests]
        )
        log.save(draw.output.parent, _log_name(draw.output, number), about, rows)
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


def _outputs(names: Sequence[str], output: Path) -> list[Path]:
    """The replay file of each trace, by their names; none is there yet."""
    if not output.absolute().parent.is_dir():
        raise InputError(f"{output}: its folder is not there; make it first")
    if len(names) == 1:
        if output.is_dir():
            raise InputError(f"{output}: is a folder; name the file to write")
        paths = [output]
    else:
        if exists(output) and not output.is_dir():
            raise InputError(f"{output}: is a file; replays of several traces go into a folder")
        paths = [output / f"{name}.json" for name in names]
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


def _static_batches(
    table_name: str, requests: ReplayRequests, model: str, variant: EngineVariant
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
    batches = scheduler.batches(np.array(requests.lengths))
    return [(n, i, o) for n, i, o in batches.astype(int).tolist()]
