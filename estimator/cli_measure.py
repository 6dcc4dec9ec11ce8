"""`joulecast measure`: fill a table on the GPU at hand."""

import itertools
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from estimator.cli_options import FiniteRange
from estimator.version import VERSION
from measurements.cost import CostModel, cost_from_runs, rough_capacity, rough_cost
from measurements.cross_check import CodeCarbonCheck
from measurements.engines import ENGINES, Engine, EngineRequest, load_engine
from measurements.gpu_devices import NvmlGpu, choose_gpus, open_gpus
from measurements.hardware import Gpu, find_gpu, load_gpu
from measurements.meter import JOULES_PER_KWH
from measurements.models import load_config, load_shape
from measurements.plans import PLANS, Capacity, RunSpec, in_order, make_plan
from measurements.runs import Run
from measurements.sweep import Sweep, SweepSettings, cells_without_valid_run, missing_runs
from measurements.sweep_folder import SweepFolder, read_metadata, require_new
from measurements.table import load_table, table_names
from traces.errors import InputError
from traces.grid import PAPER_GRID, Grid

DTYPE = "bfloat16"


@click.command()
@click.option("--engine", required=True, type=click.Choice(sorted(ENGINES)), help="Serving engine.")
@click.option(
    "--model", required=True, help="A shipped model, or a folder or file with a config.json."
)
@click.option(
    "--weights",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the model's weights; random ones are drawn if not given.",
)
@click.option("--plan", "plan_name", type=click.Choice(PLANS), default="full", help="Which runs.")
@click.option("--runs", type=click.IntRange(1, 99), default=3, help="Repeats of every run.")
@click.option("--seed", type=int, default=0, help="Seed of the order of the runs.")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder.")
@click.option("--resume", is_flag=True, help="Go on with the folder's missing runs.")
@click.option(
    "--time-budget", type=FiniteRange(min=0), metavar="MINUTES", help="Measure what fits."
)
@click.option(
    "--gpu",
    "gpu_indices",
    type=click.IntRange(0),
    multiple=True,
    help="Index of the GPU, as nvidia-smi numbers it.",
)
@click.option("--eager", is_flag=True, help="Leave CUDA graphs and compilation off.")
@click.option(
    "--cross-check", type=click.Choice(["codecarbon"]), help="A second meter beside ours."
)
@click.option("--dry-run", is_flag=True, help="Print what the plan will take; needs no GPU.")
@click.option(
    "--gpu-type", metavar="NAME", help="The GPU that --dry-run reckons with, such as h100-sxm."
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
    gpu_indices: tuple[int, ...],
    eager: bool,
    cross_check: str | None,
    dry_run: bool,
    gpu_type: str | None,
) -> None:
    """Measure E_batch(I, O) and B(I, O) on the GPU at hand, into a folder that --table takes."""
    config = load_config(model)
    grid = PAPER_GRID
    if dry_run:
        sheet = load_gpu(gpu_type or "h100-sxm")
        cost = _cost(sheet, model, engine, DTYPE)
        capacity = _dry_capacity(sheet, model, engine)
        there = load_table(str(output)).runs if resume and output is not None else ()
        plan = make_plan(plan_name, grid, _capacity(there, capacity), cost, runs)
        plan = in_order(plan, seed, by_priority=time_budget is not None)
        _print_dry_run(_fitting(missing_runs(plan, there), cost, time_budget), cost)
        return
    if output is None:
        raise click.UsageError("give the folder to measure into: -o FOLDER")
    if resume:
        read_metadata(output)
    else:
        require_new(output)
    gpus = open_gpus(choose_gpus(gpu_indices, os.environ))
    sheet = find_gpu(gpus[0].product)
    observer = Observer(sys.stderr.isatty())
    observer.note(f"{gpus[0].product}: starting {engine} with {model}")
    longest = grid.input_edges[-1], grid.output_edges[-1]
    request = EngineRequest(model, config, weights, eager, longest, len(gpus))
    loaded = load_engine(engine, request)
    metadata = _metadata(gpus, sheet, loaded, model, grid)
    folder = (SweepFolder.resume if resume else SweepFolder.create)(output, metadata)
    cost = _cost(sheet, model, engine, loaded.dtype)
    plan = make_plan(plan_name, grid, _capacity(folder.runs, loaded.capacity), cost, runs)
    sweep = Sweep(
        loaded,
        gpus,
        folder,
        cost,
        observer,
        SweepSettings(time_budget_s=None if time_budget is None else 60 * time_budget),
        CodeCarbonCheck(output) if cross_check else None,
    )
    try:
        with observer:
            left = sweep.run(in_order(plan, seed, by_priority=time_budget is not None))
    except KeyboardInterrupt:
        raise InputError(f"stopped; go on with: joulecast measure --resume -o {output}") from None
    except InputError as error:
        raise InputError(f"{error}; what was measured is in {output}, --resume goes on") from error
    finally:
        done = not missing_runs(plan, folder.runs)
        folder.save(status="done" if done else "measuring")
        folder.close()
    _summarise(output, plan, folder.runs, left)


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
            f"{self._done + 1}/{self._total}  {_batch_text(spec)} run {spec.run}: "
            f"{run.batch_energy_j:.1f} J per batch, "
            f"{run.power_w:.0f} W, {run.seconds:.1f} s, {run.temperature_end_c:.0f} deg C, "
            f"{self._left}{mark}"
        )
        self.note(line)

    def note(self, text: str) -> None:
        """Anything worth a line."""
        if self._progress and self._progress.live.is_started:
            self._progress.console.print(text, highlight=False)
        else:
            click.echo(text, err=True)


def _batch_text(run: RunSpec | Run) -> str:
    return f"I={run.input_tokens} O={run.output_tokens} B={run.batch_size}"


def _metadata(
    gpus: list[NvmlGpu], sheet: Gpu, engine: Engine, model: str, grid: Grid
) -> dict[str, Any]:
    return {
        "joulecast_table": 1,
        "gpu": sheet.name,
        "gpu_product": gpus[0].product,
        "gpu_count": len(gpus),
        "power_limit_w": sum(gpu.power_limit_w() for gpu in gpus),
        "idle_power_w": None,
        "model": model,
        "engine": engine.name,
        "engine_version": engine.version,
        "engine_settings": engine.settings(),
        "dtype": engine.dtype,
        "weights": engine.weights,
        "measured_on": datetime.now(UTC).date().isoformat(),
        "measured_by": f"joulecast {VERSION}",
        "meter": "NVML total energy counter, read at the ends of a window that begins at a tick",
        "grid": grid.to_dict(),
        "measured_cells": 0,
        "complete": False,
        "cards": {},
    }


def _capacity(runs: Sequence[Run], otherwise: Capacity) -> Capacity:
    """B(I, O): as measured where it was, so that all cards of a table agree; else as computed."""
    known = {run.cell: run.batch_size for run in runs if run.at_capacity}
    return lambda i, o: known.get((i, o)) or otherwise(i, o)


def _cost(sheet: Gpu, model: str, engine: str, dtype: str) -> CostModel:
    """From a shipped table of this GPU and model, of this engine if there is one, or roughly."""
    same = f"{sheet.name}/{model}/"
    names = [same + engine, *(name for name in table_names() if name.startswith(same))]
    for name in names:
        if name in table_names():
            return cost_from_runs(load_table(name).runs, name)
    return rough_cost(load_shape(model), sheet, dtype)


def _dry_capacity(sheet: Gpu, model: str, engine: str) -> Capacity:
    """How large batches get: from a shipped table, else by a rough rule."""
    name = f"{sheet.name}/{model}/{engine}"
    if name in table_names():
        cells = load_table(name).cells
        return lambda i, o: int(cells[i, o].batch_size)
    shape = load_shape(model)
    return lambda i, o: rough_capacity(shape, sheet, DTYPE, i, o)


def _fitting(plan: list[RunSpec], cost: CostModel, minutes: float | None) -> list[RunSpec]:
    """The runs, from the first on, that fit into a time budget."""
    if minutes is None:
        return plan
    ends_s = itertools.accumulate(cost.run_seconds(spec) for spec in plan)
    return plan[: sum(end_s <= 60 * minutes for end_s in ends_s)]


def _print_dry_run(plan: list[RunSpec], cost: CostModel) -> None:
    for spec in plan:
        click.echo(
            f"I={spec.input_tokens:<5d} O={spec.output_tokens:<4d} B={spec.batch_size:<5d}"
            f"run {spec.run}  {cost.window_seconds(spec):6.1f} s"
            + ("  largest batch" if spec.at_capacity else "")
        )
    seconds, energy_j = sum(map(cost.run_seconds, plan)), cost.plan_energy_j(plan)
    click.echo(
        f"{len(plan)} runs, about {seconds / 60:.1f} minutes and "
        f"{energy_j / JOULES_PER_KWH:.2f} kWh (from {cost.source}); engine start and warm-up come "
        "on top"
    )


def _summarise(output: Path, plan: list[RunSpec], runs: list[Run], left: int) -> None:
    for run in runs:
        if not run.valid:
            click.echo(
                f"invalid: {_batch_text(run)} run {run.run}: {run.reason}",
                err=True,
            )
    valid = sum(run.valid for run in runs)
    click.echo(f"{output}: {len(runs)} runs, {valid} of them valid; {left} of the plan are left")
    if lost := cells_without_valid_run(plan, runs):
        raise InputError(f"{len(lost)} cells have no valid run: {lost}; --resume tries them again")
