"""The energy table: what one GPU spent on one model with one engine, as measured."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from joulecast.measurements.gpu.gates import MAX_POWER_OVER_LIMIT
from joulecast.measurements.hardware import Gpu, gpus_in_words, load_gpu
from joulecast.measurements.shapes.shape import COMPUTE_DTYPE
from joulecast.measurements.table.interpolation import (
    MIN_CELLS,
    BatchKey,
    CellEnergy,
    CellKey,
    fill,
    fill_batch_sizes,
)
from joulecast.measurements.table.metadata import check_metadata, config_of
from joulecast.measurements.table.runs import Run, read_runs
from joulecast.measurements.table.traffic_window import (
    PLAN,
    TrafficWindow,
    check_windows,
    windows_in,
)
from joulecast.traces.errors import InputError, unknown_name
from joulecast.traces.files import read_json, shown_address
from joulecast.traces.grid import Grid


@dataclass(frozen=True)
class EnergyTable:
    """E_batch(I, O) and B(I, O) of one GPU, model and engine.

    Attributes:
        name: Path below the shipped tables, or of the folder.
        metadata: table.json: what was measured, on what, when, how.
        grid: The cells.
        runs: Every run, valid or not.
        config: What `load_config` and `load_flops` take for the model.
        windows: Every window of traffic, valid or not; a table of `--plan traffic` has these in the
            place of runs.
    """

    name: str
    metadata: Mapping[str, Any]
    grid: Grid
    runs: tuple[Run, ...]
    config: str
    windows: tuple[TrafficWindow, ...] = ()

    @property
    def gpu(self) -> Gpu:
        """Data sheet of the GPU."""
        return load_gpu(self.metadata["gpu"])

    @property
    def model(self) -> str:
        """Short name of the model."""
        return str(self.metadata["model"])

    @property
    def engine(self) -> str:
        """Name of the serving engine."""
        return str(self.metadata["engine"])

    @property
    def gpu_count(self) -> int:
        """GPUs that share the model; energies and powers are of all of them together."""
        return int(self.metadata.get("gpu_count", 1))

    @property
    def gpus_in_words(self) -> str:
        """The maker's name of the GPU, and how many there are."""
        return gpus_in_words(str(self.metadata["gpu_product"]), self.gpu_count)

    @property
    def tdp_w(self) -> float:
        """Rated power of all GPUs together [W]."""
        return self.gpu_count * self.gpu.tdp_w

    @property
    def dtype(self) -> str:
        """Number format of activations and KV cache, and of weights that are not quantized."""
        return str(self.metadata["dtype"])

    @property
    def quantization(self) -> str | None:
        """How the linear layers' weights are quantized, as the engine calls it; None if not."""
        name = self.metadata["engine_settings"].get("quantization")
        return None if name is None else str(name)

    @property
    def compute_dtype(self) -> str:
        """Number format of the linear layers' arithmetic, whose peak is FLOPS_HW."""
        return COMPUTE_DTYPE.get(self.quantization, self.dtype)

    @property
    def is_of_traffic(self) -> bool:
        """Whether it has windows of traffic in the place of runs."""
        return bool(self.metadata.get("plan") == PLAN)

    @property
    def is_at_capacity_alone(self) -> bool:
        """Whether all its valid runs are of largest batches; they do not tell a step's cost."""
        return not self.is_of_traffic and all(run.at_capacity for run in self.runs if run.valid)

    @property
    def valid_windows(self) -> list[TrafficWindow]:
        """The windows of traffic that passed every gate."""
        return [window for window in self.windows if window.is_valid]

    def require_traffic(self) -> None:
        """Refuse a table of traffic that has no valid window.

        Raises:
            InputError: It has none.
        """
        if not self.valid_windows:
            reasons = sorted({str(window.facts["reason"]) for window in self.windows})
            raise InputError(
                f"{self.name}: has no valid window of traffic ({'; '.join(reasons)}); measure it "
                "again"
            )

    @property
    def valid_cards(self) -> set[str | None]:
        """The cards of its valid runs and windows; None for a run that does not say."""
        cards: set[str | None] = {run.gpu for run in self.runs if run.valid}
        return cards | {window.card for window in self.valid_windows}

    @cached_property
    def length_ranges(self) -> list[tuple[int, int]]:
        """Shortest and longest input, then output, that was measured [tokens]; none if nothing."""
        if self.windows:
            longest = [window.longest for window in self.valid_windows]
            return [(1, max(lengths)) for lengths in zip(*longest, strict=True)]
        return [(min(lengths), max(lengths)) for lengths in zip(*self.measured, strict=True)]

    @property
    def is_complete(self) -> bool:
        """Whether every cell of the grid was measured."""
        return len(self.measured) == math.prod(self.grid.shape)

    @cached_property
    def capacity_runs(self) -> Mapping[CellKey, list[Run]]:
        """Valid runs at the largest batch, per cell."""
        runs: dict[CellKey, list[Run]] = {}
        for run in self.runs:
            if run.at_capacity and run.valid:
                runs.setdefault(run.cell, []).append(run)
        return runs

    @cached_property
    def measured(self) -> Mapping[CellKey, CellEnergy]:
        """The measured cells, each by the mean over its valid runs at capacity."""
        return {
            cell: CellEnergy(
                statistics.fmean(run.batch_energy_j for run in runs),
                runs[0].batch_size,
                "measured",
            )
            for cell, runs in self.capacity_runs.items()
        }

    @cached_property
    def searched(self) -> Mapping[CellKey, int]:
        """B(I, O) of the cells for which a search found it; empty where the engine tells it."""
        rows = self.metadata.get("capacity", {}).get("found", [])
        return {(i, o): largest for i, o, largest, _ in rows if largest}

    @cached_property
    def largest_batches(self) -> Mapping[CellKey, float]:
        """B(I, O) of every cell, as it was measured or searched for, or filled in from these.

        Raises:
            InputError: Too few are known.
        """
        measured = {cell: energy.batch_size for cell, energy in self.measured.items()}
        sizes = {**self.searched, **measured}
        if len(sizes) < MIN_CELLS:
            return {cell: energy.batch_size for cell, energy in self.cells.items()}
        return fill_batch_sizes(sizes, list(self.grid.cells()))

    @cached_property
    def cells(self) -> Mapping[CellKey, CellEnergy]:
        """Every cell of the grid, measured or filled in from the measured ones.

        Raises:
            InputError: Too few cells are measured to fill in the others.
        """
        if self.is_of_traffic:
            raise InputError(
                f"{self.name}: is of traffic, which tells prices and no cell's E_batch; use "
                "--method stepwise"
            )
        try:
            filled = fill(self.grid, self.measured, None, self._smaller_j(), self.searched)
        except ValueError as error:
            advice = "measure more, or use --method stepwise"
            raise InputError(f"{self.name}: has {error}; {advice}") from error
        return {**self.measured, **filled}

    @property
    def measured_days(self) -> str:
        """The day of measuring; where it took more, the first and the last."""
        first = self.metadata["measured_on"]
        days = [run.started_at[: len(first)] for run in self.runs if run.started_at]
        last = max(days, default=first)
        return f"{first} to {last}" if last > first else first

    @cached_property
    def available_cells(self) -> Mapping[CellKey, CellEnergy]:
        """Every cell of the grid; where too few are measured to fill in the others, these alone.

        Raises:
            InputError: None are, or the table is of traffic.
        """
        try:
            return self.cells
        except InputError:
            if not self.measured:
                raise
            return self.measured

    def _smaller_j(self) -> dict[BatchKey, float]:
        """Mean energy of each batch below capacity [J]."""
        runs: dict[BatchKey, list[float]] = {}
        for run in self.runs:
            if run.valid and not run.at_capacity:
                runs.setdefault(run.batch, []).append(run.batch_energy_j)
        return {batch: statistics.fmean(energies_j) for batch, energies_j in runs.items()}

    @property
    def amount_text(self) -> str:
        """How much was measured, in a few words."""
        if self.is_of_traffic:
            return f"{sum(window.seconds for window in self.valid_windows):.0f} s of traffic"
        return f"{len(self.measured)} of {math.prod(self.grid.shape)} cells measured"

    @property
    def measured_facts(self) -> list[tuple[str, str]]:
        """The same as facts with their names."""
        if self.is_of_traffic:
            valid = f"{len(self.valid_windows)} valid of {len(self.windows)}"
            return [("measured", self.amount_text), ("windows", valid)]
        cells = f"{len(self.measured)} of {math.prod(self.grid.shape)}"
        runs = f"{sum(run.valid for run in self.runs)} valid of {len(self.runs)}"
        return [("cells measured", cells), ("runs", runs)]

    def _repr_html_(self) -> str:
        """What a notebook shows: what was measured, on what, when."""
        from joulecast.traces.html import html_table

        facts = ("model", "dtype", "engine", "engine_version")
        rows = [("table", self.name), ("gpu product", self.gpus_in_words)]
        rows += [(name.replace("_", " "), str(self.metadata[name])) for name in facts]
        rows += [("measured on", self.measured_days), *self.measured_facts]
        return html_table(("", ""), rows)

    def batch_energy_sd_j(self, cell: CellKey) -> float | None:
        """Standard deviation of E_batch over a cell's runs [J]; None for fewer than two."""
        runs = self.capacity_runs.get(cell, [])
        return statistics.stdev(run.batch_energy_j for run in runs) if len(runs) > 1 else None


def table_names() -> list[str]:
    """Names of the tables that ship."""
    folder = _folder()
    return sorted(
        path.parent.relative_to(folder).as_posix() for path in folder.glob("*/*/*/table.json")
    )


def most_gpus(gpu: str) -> int:
    """Most GPUs of a kind that share a model in a table that ships; 0 if none is of it."""
    paths = (_folder() / gpu).glob("*/*/table.json")
    return max(
        (read_json(path, "install it again").get("gpu_count", 1) for path in paths), default=0
    )


def table_folder(name: str) -> Path:
    """Where the files of a table lie: a shipped one's, else the folder of that name."""
    return _folder() / name if name in table_names() else Path(name)


def load_table(name: str | Path) -> EnergyTable:
    """Load and check a table.

    Args:
        name: A shipped name such as "h100-sxm/llama-3.1-8b/vllm", or a folder with table.json and
            runs.csv.

    Returns:
        The table; cells that it lacks are only filled in when they are asked for.

    Raises:
        InputError: No such table, or something in it cannot be true; file and line are named.
    """
    name = str(name)
    folder = table_folder(name)
    if not folder.is_dir():
        raise unknown_name("table", shown_address(name), table_names())
    metadata = read_json(folder / "table.json", "is this a table?")
    grid = check_metadata(metadata, folder / "table.json")
    config = config_of(metadata["model"], folder)
    if metadata.get("plan") == PLAN:
        windows = windows_in(folder)
        check_windows(metadata, windows, folder)
        return EnergyTable(name, metadata, grid, (), config, tuple(windows))
    runs = read_runs(folder / "runs.csv")
    table = EnergyTable(name, metadata, grid, tuple(runs), config)
    _check_cells(table, folder / "runs.csv")
    return table


def _folder() -> Path:
    return Path(str(files("joulecast.measurements") / "tables"))


def check_runs(metadata: Mapping[str, Any], runs: Sequence[Run], folder: Path) -> None:
    """Hold the runs of a folder against its table.json, which `check_metadata` has seen.

    Raises:
        InputError: They do not fit each other or the grid.
    """
    grid = Grid.from_dict(metadata["grid"])
    table = EnergyTable(str(folder), metadata, grid, tuple(runs), metadata["model"])
    _check_cells(table, folder / "runs.csv")


def _check_cells(table: EnergyTable, path: Path) -> None:
    """What runs.csv says about the grid as a whole."""
    on_grid = set(table.grid.cells())
    for cell, runs in table.capacity_runs.items():
        if cell not in on_grid:
            raise InputError(f"{path}: cell {cell} is at capacity but not on the table's grid")
        sizes = sorted({run.batch_size for run in runs})
        if len(sizes) > 1:
            raise InputError(
                f"{path}: cell {cell} has the largest batches {sizes}; B(I, O) is one number"
            )
    for run in table.runs:
        if run.valid:
            _check_power(table, run, f"{path}: a valid run of {run.cell}")
        largest = table.measured.get(run.cell)
        if largest is not None and run.batch_size > largest.batch_size:
            raise InputError(
                f"{path}: cell {run.cell} was run with batches of {run.batch_size}, more than its "
                f"largest batch of {largest.batch_size:g}"
            )
        searched = table.searched.get(run.cell)
        if largest is not None and searched not in {None, largest.batch_size}:
            raise InputError(
                f"{path}: cell {run.cell} has runs at capacity with batches of "
                f"{largest.batch_size:g}, but the capacity of table.json has {searched}; B(I, O) "
                "is one number"
            )
    measured, promised = len(table.capacity_runs), table.metadata["measured_cells"]
    # While a table is being measured, its runs may be ahead of table.json, never behind.
    measuring = table.metadata.get("status") == "measuring"
    if measured < promised or (measured > promised and not measuring):
        raise InputError(
            f"{path}: has {measured} cells at capacity, table.json says {promised}; "
            "was a cell lost?"
        )
    if not measuring and table.metadata["complete"] != (measured == len(on_grid)):
        raise InputError(
            f"{path}: has {measured} of {len(on_grid)} cells, but table.json says complete: "
            f"{json.dumps(table.metadata['complete'])}"
        )


def _check_power(table: EnergyTable, run: Run, where: str) -> None:
    limit_w, idle_w = table.metadata["power_limit_w"], table.metadata["idle_power_w"]
    if run.power_w > MAX_POWER_OVER_LIMIT * limit_w:
        raise InputError(
            f"{where} drew {run.power_w:.0f} W, over {MAX_POWER_OVER_LIMIT:g} x the power limit of "
            f"{limit_w:g} W"
        )
    if idle_w is not None and run.power_w <= idle_w:
        raise InputError(
            f"{where} drew {run.power_w:.0f} W, no more than the idle power of {idle_w:g} W"
        )
