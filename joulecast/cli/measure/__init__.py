"""`joulecast measure`: fill a table on the GPU at hand."""

import contextlib
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from joulecast.cli.completion import complete_gpus
from joulecast.cli.measure.traffic import TrafficOrder, measure_traffic
from joulecast.cli.options import (
    ENGINE_OPTIONS,
    VARIANT_OPTIONS,
    FiniteRange,
    command,
    engine_variant,
    say,
    with_options,
)
from joulecast.measurements.conditions import data_sheet
from joulecast.measurements.gpu.devices import choose_gpus, open_gpus
from joulecast.measurements.gpu.gates import MAX_RELATIVE_SD
from joulecast.measurements.gpu.meter import JOULES_PER_KWH
from joulecast.measurements.models import load_config
from joulecast.measurements.sweep.cost import CostModel
from joulecast.measurements.sweep.cross_check import CodeCarbonRecorder
from joulecast.measurements.sweep.folder import SweepFolder, require_new
from joulecast.measurements.sweep.host_recorder import HostRecorder
from joulecast.measurements.sweep.plans import PLANS
from joulecast.measurements.sweep.request import (
    SweepRequest,
    cost_model,
    longest_request,
)
from joulecast.measurements.sweep.run_logs import RunLogs, require_no_run_logs
from joulecast.measurements.sweep.run_spec import RunSpec
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
from joulecast.traces.printable import printable
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
    "(batches). Or a minute of made-up traffic, logged step by step (traffic).",
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
    config, variant = load_config(model), engine_variant(engine, model, options)
    longest = longest_request(model, plan_name)
    request = SweepRequest(model, engine, plan_name, runs, seed, time_budget, longest, variant)
    if plan_name == TRAFFIC:
        _check_traffic_words(time_budget, cross_check)
        order = TrafficOrder(request, config, weights, options["gpu_indices"], output, resume)
        measure_traffic(order, dry_run, gpu_type)
        return
    request = _after_earlier(request, output, resume)
    if dry_run or output is None:
        _print_dry_run(*request.rough_plan(gpu_type))
        return
    with contextlib.ExitStack() as to_close:
        recorders = _recorders(cross_check)
        for recorder in recorders:
            to_close.callback(recorder.close)
            if resume:
                # What cannot be gone on with is better found before the engine starts than after.
                recorder.open(output)
        observer = Observer(sys.stderr.isatty())
        gpus = open_gpus(choose_gpus(options["gpu_indices"], os.environ))
        sheet = data_sheet(gpus, variant)
        loaded = start_engine(request, config, weights, gpus, observer.note)
        cost = cost_model(sheet, model, engine, loaded.dtype, variant)
        plan, left_out = request.plan(loaded.capacity, cost)
        _say_left_out(left_out)
        observer.note(_capacity_text(loaded.capacity_record()))
        metadata = table_metadata(gpus, loaded, request, left_out)
        folder = _open_folder(output, resume, metadata, config)
        to_close.callback(_finish, folder, plan)
        for recorder in recorders if not resume else ():
            recorder.open(output)
        settings = SweepSettings(time_budget_s=None if time_budget is None else 60 * time_budget)
        sweep = Sweep(loaded, gpus, folder, cost, observer, settings, recorders)
        if is_logged:
            sweep.recorders = [*recorders, to_close.enter_context(RunLogs(sweep))]
        left = _run(sweep, plan, observer, output)
    _summarise(output, plan, folder.runs, left)


def _after_earlier(request: SweepRequest, output: Path | None, resume: bool) -> SweepRequest:
    """The request, after what a folder to go on with holds; a new folder must be empty."""
    if output is None:
        return request
    if resume:
        return request.after(output, MEASURED_BY)
    require_new(output)
    require_no_run_logs(output)
    return request


def _check_traffic_words(time_budget: float | None, cross_check: str | None) -> None:
    """Refuse options that traffic has no use for."""
    if time_budget is not None or cross_check is not None:
        option = "--time-budget" if time_budget is not None else "--cross-check"
        raise click.UsageError(f"{option} is for plans of runs; traffic is one window of a minute")


def _check_words(gpu_type: str | None, output: Path | None, resume: bool, dry_run: bool) -> None:
    """Refuse options that do not go together."""
    if gpu_type is not None and not dry_run:
        raise click.UsageError("--gpu-type is for --dry-run; a sweep asks the GPU what it is")
    if output is None and (resume or not dry_run):
        raise click.UsageError("give the folder to measure into: -o FOLDER")


def _run(sweep: Sweep, plan: Sequence[RunSpec], observer: "Observer", output: Path) -> int:
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


def _recorders(cross_check: str | None) -> list[HostRecorder | CodeCarbonRecorder]:
    return [HostRecorder(), *([CodeCarbonRecorder()] if cross_check else [])]


def _open_folder(
    output: Path, resume: bool, metadata: dict[str, Any], config: dict[str, Any]
) -> SweepFolder:
    folder = (SweepFolder.resume if resume else SweepFolder.create)(output, metadata)
    keep_config(output, metadata["model"], config)
    return folder


class Observer:
    """Shows progress: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, on_terminal: bool) -> None:
        self._progress = None
        if on_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[watts]}"),
                TextColumn("{task.fields[left]}"),
                console=Console(stderr=True),
            )
            self._task = self._progress.add_task("measuring", total=None, watts="", left="")
        self._done = self._total = 0
        self._left = ""

    def __enter__(self) -> Self:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def started(self, spec: RunSpec, done: int, total: int, seconds_left: float) -> None:
        """A run begins."""
        self._done, self._total = done, total
        self._left = f"{seconds_left / 60:.0f} min left"
        if self._progress:
            self._progress.update(
                self._task,
                completed=done,
                total=total,
                description=_batch_text(spec),
                left=self._left,
            )

    def finished(self, spec: RunSpec, run: Run) -> None:
        """A run is on disk."""
        if self._progress:
            self._progress.update(
                self._task, completed=self._done + 1, watts=f"{run.power_w:.0f} W"
            )
        mark = "" if run.valid else f"  INVALID: {run.reason}"
        line = (
            f"{self._done + 1}/{self._total}  {_batch_text(spec)} run {run.run}: "
            f"{run.batch_energy_j:.1f} J per batch, "
            f"{run.power_w:.0f} W, {run.seconds:.1f} s, {run.temperature_end_c:.0f} deg C, "
            f"{self._left}{mark}"
        )
        self.note(line)

    def note(self, text: str) -> None:
        """Anything worth a line."""
        if self._progress and self._progress.live.is_started:
            self._progress.console.print(printable(text), highlight=False, markup=False)
        else:
            say(text)


def _batch_text(run: RunSpec | Run) -> str:
    return f"I={run.input_tokens} O={run.output_tokens} B={run.batch_size}"


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
    plan: Sequence[RunSpec], left_out: Sequence[tuple[int, int, str]], cost: CostModel
) -> None:
    _say_left_out(left_out)
    for spec in plan:
        click.echo(
            f"I={spec.input_tokens:<5d} O={spec.output_tokens:<4d} B={spec.batch_size:<5d}"
            f"run {spec.run}  {cost.window_seconds(spec):6.1f} s"
            + ("  largest batch" if spec.at_capacity else "")
        )
    seconds, energy_j = sum(map(cost.run_seconds, plan)), cost.plan_energy_j(plan)
    print_line(
        f"{len(plan)} runs, about {seconds / 60:.1f} minutes and "
        f"{energy_j / JOULES_PER_KWH:.2f} kWh (from {cost.source}); engine start and warm-up come "
        "on top"
    )


def _summarise(output: Path, plan: list[RunSpec], runs: list[Run], left: int) -> None:
    for run in runs:
        if not run.valid:
            say(f"invalid: {_batch_text(run)} run {run.run}: {run.reason}")
    for text in _wide_spreads(runs):
        say(text)
    valid = sum(run.valid for run in runs)
    print_line(f"{output}: {len(runs)} runs, {valid} of them valid; {left} of the plan are left")
    if lost := cells_without_valid_run(plan, runs):
        raise InputError(f"{len(lost)} cells have no valid run: {lost}; --resume tries them again")
