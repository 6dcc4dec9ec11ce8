"""`joulecast replay`: run requests drawn from traces under the meter."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from joulecast.cli.replay.batching import BATCHING_OPTIONS, BatchingWish, wished_batchings
from joulecast.cli.replay.draws import MOST_READ, Moments, draw, draw_moments
from joulecast.cli.replay.dry_run import DRY_RUN_OPTIONS, print_dry_run, require_dry_run_words
from joulecast.cli.replay.files import log_name, make_folder, replay_files, require_no_logs_of
from joulecast.cli.trace_options import TRACE_OPTIONS
from joulecast.estimator.steps.schedulers import scheduler_of
from joulecast.estimator.steps.static_batching import StaticBatching
from joulecast.measurements.batching import StaticBatch
from joulecast.measurements.batching import longest as longest_of
from joulecast.measurements.conditions import conditions, data_sheet
from joulecast.measurements.engines import (
    BatchTooLargeError,
    DoesNotFitError,
    EngineRequest,
    EngineVariant,
    load_engine,
)
from joulecast.measurements.gpu.devices import choose_gpus, open_gpus
from joulecast.measurements.hardware import gpus_in_words
from joulecast.measurements.host import host_cpu
from joulecast.measurements.identity import is_of_variant
from joulecast.measurements.models import load_config, load_shape
from joulecast.measurements.replay import Replay
from joulecast.measurements.replay_session import ReplayRequests, ReplaySession
from joulecast.measurements.steplog.logger import WindowLogger
from joulecast.measurements.sweep.request import model_name
from joulecast.measurements.table.table import load_table
from joulecast.traces.errors import InputError
from joulecast.version import VERSION
from joulecast.views.report import print_line


@dataclass(frozen=True)
class _Draw:
    """Requests to run.

    Attributes:
        requests: Their lengths, and the static batches of a table to run them in, if any.
        facts: Where they come from.
        wish: How they are to be handed over.
        output: Replay file to write.
    """

    requests: ReplayRequests
    facts: Mapping[str, Any]
    wish: BatchingWish
    output: Path

    def ready(self, capacity: Callable[[int, int], int]) -> "_Draw":
        """With its batches, now that B(I, O) is known; errors as for `BatchingWish.batching`."""
        batching = self.wish.batching(self.requests.lengths, capacity)
        if not batching.is_limited:
            return self
        requests = ReplayRequests.so(self.requests.lengths, batching)
        return replace(self, requests=requests, facts={**self.facts, **batching.facts()})


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
    type=click.Path(path_type=Path),
    help="Replay file to write; of several traces or ways to hand them over, the folder of their "
    "replay files.",
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
@with_options(BATCHING_OPTIONS)
@with_options(DRY_RUN_OPTIONS)
@with_options(TRACE_OPTIONS)
def replay(
    traces: Sequence[str],
    engine: str,
    model: str,
    weights: Path | None,
    seed: int,
    table_name: str | None,
    output: Path | None,
    is_logged: bool,
    is_online: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Run requests drawn from each TRACE on the GPU, under the meter.

    They have the trace's own lengths and are all asked at once, in random order; with --arrivals,
    they are asked when they came. Of several traces, one is run after the other, and the engine
    starts once; so it does with several --in-flight and --static.
    """
    _require_options_of(is_online, options)
    require_dry_run_words(dry_run, is_online, output, options)
    variant = engine_variant(engine, model, options)
    wishes = wished_batchings(engine, variant, is_online, options)
    _require_table(engine, table_name, options["static"])
    names, runs = _names(traces, options["speeds"], wishes), options["runs"] or 1
    is_dry = dry_run or output is None
    outputs = list(map(Path, names)) if output is None or is_dry else replay_files(names, output)
    if (is_logged or is_online) and not is_dry:
        require_no_logs_of(outputs, runs)
    longest = load_shape(model).positions or 2**31
    drawing = _arriving if is_online else _at_once
    drawn = [
        (asked, facts, wish)
        for asked, facts in drawing(traces, seed, longest, options)
        for wish in wishes
    ]
    draws = []
    for (asked, facts, wish), path in zip(drawn, outputs, strict=True):
        wish.require_enough(len(asked.lengths))
        batches = (
            None
            if table_name is None
            else _static_batches(table_name, asked, model_name(model), variant)
        )
        also = {"batches_from": table_name, "host_cpu": host_cpu()}
        draws.append(_Draw(replace(asked, batches=batches), {**facts, **also}, wish, path))
    request = EngineRequest(
        model, load_config(model), weights, variant, _longest_served(draws, longest)
    )
    if dry_run or output is None:
        plans = [(draw.output.name, draw.requests.lengths, draw.wish) for draw in draws]
        print_dry_run(engine, request, options["gpu_type"], runs, plans)
        return
    if len(draws) > 1:
        make_folder(output)
    _replay(engine, request, draws, runs, is_logged or is_online, options["gpu_indices"])


def _replay(
    engine: str,
    request: EngineRequest,
    draws: Sequence[_Draw],
    runs: int,
    is_logged: bool,
    gpu_indices: Sequence[int],
) -> None:
    """Run every draw with one engine, and keep each."""
    gpus = open_gpus(choose_gpus(gpu_indices, os.environ))
    data_sheet(gpus, request.variant)  # without a data sheet, no engine is started
    say(f"{gpus_in_words(gpus[0].product, len(gpus))}: starting {engine} with {request.model}")
    session = ReplaySession(load_engine(engine, request), gpus, say)
    with contextlib.ExitStack() as to_close:
        if is_logged:
            logger = WindowLogger(session.engine, [gpu.index for gpu in gpus], say)
            session.logger = to_close.enter_context(logger)
        faults = [_run_if_it_fits(session, draw, model_name(request.model), runs) for draw in draws]
    if any(faults):
        raise InputError("; ".join(filter(None, faults)))


def _run_if_it_fits(session: ReplaySession, draw: _Draw, model: str, runs: int) -> str | None:
    """As `_run`; a batch that does not fit leaves the others their turn."""
    try:
        return _run(session, draw.ready(session.engine.capacity), model, runs)
    except (BatchTooLargeError, DoesNotFitError) as error:
        return f"{draw.output}: not made: {error}"


def _names(
    traces: Sequence[str], speeds: Sequence[float], wishes: Sequence[BatchingWish]
) -> list[str]:
    """What each replay is called: its trace, how fast, and how it is handed over."""
    names = [PurePath(trace).stem for trace in traces]
    if len(speeds) > 1:
        names = [f"{stem}-{speed:g}x" for stem, speed in zip(names, speeds, strict=False)]
    return ["-".join(filter(None, (name, wish.name))) for name in names for wish in wishes]


def _require_table(engine: str, table_name: str | None, static: Sequence[int | str]) -> None:
    """Refuse static batches of no size, or of two."""
    if table_name is not None and static:
        raise click.UsageError("--static says how large batches are; leave --table out")
    if static and engine == "pytorch":
        return
    if table_name is None and engine == "pytorch":
        raise click.UsageError(
            "pytorch serves static batches: give --static N, or --table, whose largest they are"
        )
    if table_name is not None and engine != "pytorch":
        raise click.UsageError(f"--table is for --engine pytorch; for {engine} leave it out")


def _longest_served(draws: Sequence[_Draw], positions: int) -> int:
    """Input and output of the longest request, padding included [tokens].

    Raises:
        InputError: Padded, one is longer than the model has positions for.
    """
    needed = max(i + o for draw in draws for i, o in draw.requests.lengths)
    padded = [sum(longest_of(draw.requests.lengths)) for draw in draws if draw.wish.is_padded]
    if padded and max(padded) > positions:
        raise InputError(
            f"padded to the longest input and output, a request may have {max(padded):,} tokens, "
            f"and the model has {positions:,} positions; draw others, or leave --pad out"
        )
    return max([needed, *padded])


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
        about = {"replay": draw.output.name, "run": number, **run.facts(), **facts}
        rows = (
            None
            if result.requests is None
            else [request.row(log.steps) for request in result.requests]
        )
        log.save(draw.output.parent, log_name(draw.output, number), about, rows)
    # After the runs that were asked for come those that were made again: they count for nothing.
    reasons = [run.reason for run in runs[:repeats] if run.reason is not None]
    valid, again = repeats - len(reasons), len(runs) - repeats
    more = f"; {again} more with kernels compiled within, made again" if again else ""
    print_line(f"{draw.output}: {len(requests.lengths):,} requests, {valid} valid runs{more}")
    if not reasons:
        return None
    return f"{draw.output}: {len(reasons)} of {repeats} runs are invalid: {reasons[0]}"


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
