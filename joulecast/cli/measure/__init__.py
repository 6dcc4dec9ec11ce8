"""`joulecast measure`: fill a table on the GPU at hand."""

import contextlib
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from joulecast.cli.completion import complete_gpus
from joulecast.cli.measure.decoding import DECODING_OPTIONS, decoding_variants, folder_of
from joulecast.cli.measure.observer import Observer, batch_text
from joulecast.cli.measure.traffic import TrafficOrder, measure_traffic
from joulecast.cli.options import (
    ENGINE_OPTIONS,
    VARIANT_OPTIONS,
    FiniteRange,
    command,
    say,
    with_options,
)
from joulecast.measurements.conditions import data_sheet
from joulecast.measurements.engines import Engine, EngineVariant, retune
from joulecast.measurements.engines.decoding import GREEDY
from joulecast.measurements.gpu.devices import choose_gpus, open_gpus
from joulecast.measurements.gpu.gates import MAX_RELATIVE_SD
from joulecast.measurements.gpu.meter import JOULES_PER_KWH
from joulecast.measurements.models import load_config
from joulecast.measurements.sweep.acceptance_recorder import AcceptanceRecorder
from joulecast.measurements.sweep.cost import CostModel
from joulecast.measurements.sweep.cross_check import CodeCarbonRecorder
from joulecast.measurements.sweep.folder import SweepFolder, require_new
from joulecast.measurements.sweep.host_recorder import HostRecorder
from joulecast.measurements.sweep.phases import write_table_phases
from joulecast.measurements.sweep.plans import PLANS
from joulecast.measurements.sweep.request import (
    SweepRequest,
    cost_model,
    longest_request,
)
from joulecast.measurements.sweep.run_logs import RunLogs, require_no_run_logs
from joulecast.measurements.sweep.run_spec import RunSpec
from joulecast.measurements.sweep.studies import STUDIES
from joulecast.measurements.sweep.sweep import (
    Sweep,
    SweepSettings,
    cells_without_valid_run,
    missing_runs,
)
from joulecast.measurements.table.runs import Run
from joulecast.measurements.table.traffic_window import PLAN as TRAFFIC
from joulecast.measuring import MEASURED_BY, keep_config, start_engine, table_metadata
from joulecast.traces.errors import InputError
from joulecast.views.report import print_line


@command()
@with_options(ENGINE_OPTIONS)
@click.option(
    "--plan",
    "plan_name",
    type=click.Choice([*PLANS, TRAFFIC]),
    default="full",
    help="Which batches to run: all cells (paper), also smaller batches (full), twelve cells over "
    "the whole grid (spread), or a minute and a half for the step model (quick). Or the paper's "
    "controlled experiments: one length varied at a time (sweeps), one batch size after the other "
    "(batches; decoding: only 1, 8, 64 and 128). Or a minute of made-up traffic, logged step by "
    "step (traffic).",
)
@click.option("--runs", type=click.IntRange(1, 99), default=3, help="Repeats of every run.")
@click.option("--seed", type=int, default=0, help="Seed of the order of the runs.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the table.",
)
@click.option("--resume", is_flag=True, help="Go on with the folder's missing runs.")
@click.option(
    "--time-budget",
    type=FiniteRange(min=0, min_open=True),
    metavar="MINUTES",
    help="Make only runs that fit into this time, the most informative ones first.",
)
@with_options(VARIANT_OPTIONS)
@with_options(DECODING_OPTIONS)
@click.option(
    "--cross-check", type=click.Choice(["codecarbon"]), help="A second meter beside ours."
)
@click.option(
    "--log",
    "is_logged",
    is_flag=True,
    help="Keep in the folder what every engine step fed, and every tick of the energy counter.",
)
@click.option("--dry-run", is_flag=True, help="Print what the plan will take; needs no GPU.")
@click.option(
    "--gpu-type",
    metavar="NAME",
    shell_complete=complete_gpus,
    help="The GPU that --dry-run reckons with, such as h100-sxm.",
)
def measure(
    engine: str,
    model: str,
    weights: Path | None,
    plan_name: str,
    runs: int,
    seed: int,
    output: Path | None,
    resume: bool,
    time_budget: float | None,
    cross_check: str | None,
    is_logged: bool,
    dry_run: bool,
    gpu_type: str | None,
    **options: Any,
) -> None:
    """Measure E_batch(I, O) and B(I, O) on the GPU at hand.

    They go into a folder that --table takes.
    """
    _check_words(gpu_type, output, resume, dry_run)
    config, variants = load_config(model), decoding_variants(engine, model, options)
    longest = longest_request(model, plan_name)
    plain = SweepRequest(
        model, engine, plan_name, runs, seed, time_budget, longest, next(iter(variants.values()))
    )
    if plan_name == TRAFFIC:
        _check_traffic_words(time_budget, cross_check, variants)
        order = TrafficOrder(plain, config, weights, options["gpu_indices"], output, resume)
        measure_traffic(order, dry_run, gpu_type)
        return
    orders: list[BatchOrder] = []
    for name, variant in variants.items():
        folder = None if output is None else folder_of(output, name, variants)
        # Of several tables, the last ones may not have been begun.
        is_begun = resume and (len(variants) == 1 or (folder is not None and folder.exists()))
        request = _after_earlier(replace(plain, variant=variant), folder, is_begun)
        own = (request, config, weights, options["gpu_indices"], folder, is_begun)
        orders.append(BatchOrder(*own, name, cross_check, is_logged))
    if dry_run or output is None:
        for order in orders:
            if len(orders) > 1:
                print_line(f"{order.name}:")
            _print_dry_run(*order.request.rough_plan(gpu_type))
        return
    loaded: Engine | None = None
    for order in orders:
        loaded = _measure_table(order, loaded)


@dataclass(frozen=True)
class BatchOrder(TrafficOrder):
    """A table of batches that was asked for.

    Attributes:
        name: What it is called among those that are measured with one engine.
        cross_check: A second meter beside ours.
        is_logged: Whether engine steps and ticks are kept.
    """

    name: str
    cross_check: str | None
    is_logged: bool


def _measure_table(order: BatchOrder, loaded: Engine | None) -> Engine:
    """Measure one table, with the engine that is loaded if one is; that engine."""
    request, output, resume = order.request, order.output, order.resume
    if output is None:
        raise RuntimeError("a table is measured into a folder")
    with contextlib.ExitStack() as to_close:
        recorders = _recorders(order)
        for recorder in recorders:
            to_close.callback(recorder.close)
            if resume:
                # What cannot be gone on with is better found before the engine starts than after.
                recorder.open(output)
        observer = Observer(sys.stderr.isatty())
        gpus = open_gpus(choose_gpus(order.gpu_indices, os.environ))
        sheet = data_sheet(gpus, request.variant)
        if loaded is None:
            loaded = start_engine(request, order.config, order.weights, gpus, observer.note)
        else:
            observer.note(f"going on with {order.name}")
            retune(loaded, request.variant)
        cost = cost_model(sheet, request.model, request.engine, loaded.dtype, request.variant)
        plan, left_out = request.plan(loaded.capacity, cost)
        _say_left_out(left_out)
        observer.note(_capacity_text(loaded.capacity_record()))
        metadata = table_metadata(gpus, loaded, request, left_out)
        folder = _open_folder(output, resume, metadata, order.config)
        to_close.callback(_finish, folder, plan)
        for recorder in recorders:
            if not resume:
                recorder.open(output)
            if isinstance(recorder, AcceptanceRecorder):
                recorder.watch(loaded)
        budget = request.time_budget
        settings = SweepSettings(time_budget_s=None if budget is None else 60 * budget)
        sweep = Sweep(loaded, gpus, folder, cost, observer, settings, recorders)
        if order.is_logged:
            sweep.recorders = [*recorders, to_close.enter_context(RunLogs(sweep))]
        left = _run(sweep, plan, observer, output)
    if order.is_logged and request.plan_name in STUDIES:
        write_table_phases(output, say)
    _summarise(output, plan, folder.runs, left)
    return loaded


def _after_earlier(request: SweepRequest, output: Path | None, resume: bool) -> SweepRequest:
    """The request, after what a folder to go on with holds; a new folder must be empty."""
    if output is None:
        return request
    if resume:
        return request.after(output, MEASURED_BY)
    require_new(output)
    require_no_run_logs(output)
    return request


def _check_traffic_words(
    time_budget: float | None, cross_check: str | None, variants: Mapping[str, EngineVariant]
) -> None:
    """Refuse options that traffic has no use for."""
    if any(v.decoding != GREEDY or v.speculation is not None for v in variants.values()):
        raise click.UsageError(
            "--plan traffic decodes greedily, without a draft; measure --decoding and --speculate "
            "by --plan batches"
        )
    if time_budget is not None or cross_check is not None:
        option = "--time-budget" if time_budget is not None else "--cross-check"
        raise click.UsageError(f"{option} is for plans of runs; traffic is one window of a minute")


def _check_words(gpu_type: str | None, output: Path | None, resume: bool, dry_run: bool) -> None:
    """Refuse options that do not go together."""
    if gpu_type is not None and not dry_run:
        raise click.UsageError("--gpu-type is for --dry-run; a sweep asks the GPU what it is")
    if output is None and (resume or not dry_run):
        raise click.UsageError("give the folder to measure into: -o FOLDER")


def _run(sweep: Sweep, plan: Sequence[RunSpec], observer: Observer, output: Path) -> int:
    """Make the runs of a plan; how many were left for want of time."""
    try:
        with observer:
            return sweep.run(plan)
    except KeyboardInterrupt:
        raise InputError(f"stopped; go on with: joulecast measure --resume -o {output}") from None
    except InputError as error:
        raise InputError(f"{error}; what was measured is in {output}, --resume goes on") from error


def _finish(folder: SweepFolder, plan: Sequence[RunSpec]) -> None:
    folder.close()
    # A full disk has been reported by then, and tables that say "measuring" can be read.
    with contextlib.suppress(InputError):
        folder.save(status="measuring" if missing_runs(plan, folder.runs) else "done")


def _recorders(
    order: BatchOrder,
) -> list[HostRecorder | CodeCarbonRecorder | AcceptanceRecorder]:
    return [
        HostRecorder(),
        *([CodeCarbonRecorder()] if order.cross_check else []),
        *([AcceptanceRecorder()] if order.request.variant.speculation else []),
    ]


def _open_folder(
    output: Path, resume: bool, metadata: dict[str, Any], config: dict[str, Any]
) -> SweepFolder:
    folder = (SweepFolder.resume if resume else SweepFolder.create)(output, metadata)
    keep_config(output, metadata["model"], config)
    return folder


def _capacity_text(record: Mapping[str, Any]) -> str:
    """How the largest batches were found, and what that took."""
    text = f"largest batches: {record['how']}"
    if "tries" in record:
        text += f"; {record['tries']} tries in {record['gpu_seconds']:.0f} s of GPU time"
    return text


def _wide_spreads(runs: Sequence[Run]) -> list[str]:
    """The batches whose valid runs fail the gate on their spread."""
    energies: dict[tuple[int, int, int], list[float]] = {}
    for run in runs:
        if run.valid:
            energies.setdefault(run.batch, []).append(run.batch_energy_j)
    relative_sd = {
        batch: statistics.stdev(values) / statistics.fmean(values)
        for batch, values in energies.items()
        if len(values) > 1
    }
    return [
        f"spread: I={i} O={o} B={b}: {len(energies[i, o, b])} runs with a relative sd of "
        f"{100 * sd:.1f} %, over {100 * MAX_RELATIVE_SD:g} %; they count, with that spread"
        for (i, o, b), sd in relative_sd.items()
        if sd > MAX_RELATIVE_SD
    ]


def _say_left_out(left_out: Sequence[tuple[int, int, str]]) -> None:
    """Which cells no batch fits, a line for each reason."""
    for reason in dict.fromkeys(reason for _, _, reason in left_out):
        lost = [(i, o) for i, o, why in left_out if why == reason]
        say(f"left out: {lost}: {reason}")


def _print_dry_run(
    plan: Sequence[RunSpec],
    too_long: int,
    left_out: Sequence[tuple[int, int, str]],
    cost: CostModel,
) -> None:
    _say_left_out(left_out)
    for spec in plan:
        click.echo(
            f"I={spec.input_tokens:<5d} O={spec.output_tokens:<4d} B={spec.batch_size:<5d}"
            f"run {spec.run}  {cost.window_seconds(spec):6.1f} s"
            + ("  largest batch" if spec.at_capacity else "")
        )
    seconds, energy_j = sum(map(cost.run_seconds, plan)), cost.plan_energy_j(plan)
    more = f"; {too_long:,} more of the plan do not fit into the time" if too_long else ""
    print_line(
        f"{len(plan)} runs, about {seconds / 60:.1f} minutes and "
        f"{energy_j / JOULES_PER_KWH:.2f} kWh (from {cost.source}); engine start and warm-up come "
        f"on top{more}"
    )


def _summarise(output: Path, plan: list[RunSpec], runs: list[Run], left: int) -> None:
    for run in runs:
        if not run.valid:
            say(f"invalid: {batch_text(run)} run {run.run}: {run.reason}")
    for text in _wide_spreads(runs):
        say(text)
    valid = sum(run.valid for run in runs)
    print_line(f"{output}: {len(runs)} runs, {valid} of them valid; {left} of the plan are left")
    if lost := cells_without_valid_run(plan, runs):
        raise InputError(f"{len(lost)} cells have no valid run: {lost}; --resume tries them again")
