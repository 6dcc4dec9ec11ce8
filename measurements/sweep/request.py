"""Which runs a `joulecast measure` asks for, and what they are reckoned to take."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from joulecast.measurements.engines import (
    MAX_BATCH_SIZE,
    DoesNotFitError,
    EngineVariant,
    request_bytes,
)
from joulecast.measurements.engines.decoding import GREEDY, Decoding, Speculation
from joulecast.measurements.hardware import Gpu, load_gpu
from joulecast.measurements.identity import is_of_variant, kind_of, other_decoding
from joulecast.measurements.models import load_shape, model_names
from joulecast.measurements.sweep.cost import (
    CostModel,
    cost_from_runs,
    rough_capacity,
    rough_cost,
    with_decoding,
)
from joulecast.measurements.sweep.folder import read_unfinished
from joulecast.measurements.sweep.plans import Capacity, in_order, make_plan, plan_cells
from joulecast.measurements.sweep.run_spec import RunSpec
from joulecast.measurements.sweep.studies import STUDIES
from joulecast.measurements.sweep.sweep import missing_runs
from joulecast.measurements.table.interpolation import CellKey, fill_batch_sizes
from joulecast.measurements.table.metadata import MODEL_CONFIG
from joulecast.measurements.table.runs import Run
from joulecast.measurements.table.table import EnergyTable, load_table, table_names
from joulecast.measurements.table.traffic_window import PLAN
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID

DTYPE = "bfloat16"
"""Number format that --dry-run reckons with."""

_LONG_SHARE = 0.2
"""Of the time budget: a study's run that takes more comes after all others, whose time it takes."""


@dataclass(frozen=True)
class SweepRequest:
    """What was asked for.

    Attributes:
        model: A shipped model, or where a config is.
        engine: Name of the engine.
        plan_name: Which plan.
        runs: Valid runs wanted of every batch.
        seed: Of the order.
        time_budget: Minutes, None for no bound.
        longest: Longest request that the model takes [tokens].
        variant: How the engine is to serve the model, as `resolve_variant` has it.
        runs_made: Runs made before.
        capacities: B(I, O) as it was found before, so that all cards of a table agree.
        gpu: Short name of the GPU that made them.
    """

    model: str
    engine: str
    plan_name: str
    runs: int
    seed: int
    time_budget: float | None
    longest: int
    variant: EngineVariant
    runs_made: Sequence[Run] = ()
    capacities: Mapping[CellKey, int] = field(default_factory=dict)
    gpu: str = "h100-sxm"

    def after(self, folder: Path, maker: str) -> "SweepRequest":
        """The same, going on with a folder.

        Args:
            folder: Where a sweep ended early.
            maker: Program and version that will go on, as `measured_by` has it.

        Raises:
            InputError: It cannot be gone on with, or is of another model or engine.
        """
        earlier, runs_made = read_unfinished(folder)
        if earlier.get("plan") == PLAN:
            raise InputError(
                f"{folder}: is a table of traffic, not of runs; give another folder, or --plan "
                "traffic"
            )
        self.require_begun(folder, earlier, maker)
        sizes = {(i, o): size for i, o, size, _ in earlier.get("capacity", {}).get("found", [])}
        sizes |= {run.cell: run.batch_size for run in runs_made if run.at_capacity}
        return replace(self, runs_made=runs_made, capacities=sizes, gpu=earlier["gpu"])

    def require_begun(self, folder: Path, earlier: Mapping[str, Any], maker: str) -> None:
        """Refuse to go on with a folder of something else, before an engine starts.

        Args:
            folder: Where measuring ended early.
            earlier: Its table.json.
            maker: Program and version that will go on, as `measured_by` has it.

        Raises:
            InputError: It is of another model, engine, variant or program.
        """
        name = model_name(self.model)
        if (earlier["model"], earlier["engine"]) != (name, self.engine):
            raise InputError(
                f"{folder}: is of {earlier['model']} on {earlier['engine']}, not of {name} on "
                f"{self.engine}; give another folder"
            )
        if earlier["measured_by"] != maker:
            raise InputError(
                f"{folder}: was measured by {earlier['measured_by']}, this is {maker}; one table "
                "cannot mix them, give another folder"
            )
        _require_same_variant(folder, earlier, self.variant)

    def plan(
        self, capacity: Capacity, cost: CostModel
    ) -> tuple[list[RunSpec], list[tuple[int, int, str]]]:
        """The runs in their order, those made before included, and the cells left out, and why."""
        cells = plan_cells(self.plan_name, PAPER_GRID)
        sizes, left_out = _where_it_fits(
            lambda i, o: self.capacities.get((i, o)) or capacity(i, o), cells, self.longest
        )
        plan = make_plan(self.plan_name, PAPER_GRID, sizes, cost, self.runs)
        plan = in_order(plan, self.seed, by_priority=self.time_budget is not None)
        if self.time_budget is not None and self.plan_name in STUDIES:
            most_s = _LONG_SHARE * 60 * self.time_budget
            plan.sort(key=lambda spec: cost.run_seconds(spec) > most_s)
        return plan, left_out

    def rough_plan(
        self, gpu: str | None
    ) -> tuple[list[RunSpec], int, list[tuple[int, int, str]], CostModel]:
        """What is to do, without a GPU.

        Returns:
            The runs that fit into the time, how many do not, the cells left out, and the cost.
        """
        sheet = load_gpu(gpu or self.gpu)
        cost = cost_model(sheet, self.model, self.engine, DTYPE, self.variant)
        capacity = rough_largest_batch(sheet, self.model, self.engine, self.variant)
        plan, left_out = self.plan(capacity, cost)
        missing = missing_runs(plan, self.runs_made)
        fitting = _fitting(missing, cost, self.time_budget)
        return fitting, len(missing) - len(fitting), left_out, cost


def model_name(model: str) -> str:
    """Short name of a shipped model, else that of the file or folder that its config is in."""
    if model in model_names():
        return model
    path = Path(model).resolve()
    if path.name == MODEL_CONFIG:
        return path.parent.name
    return path.name if path.is_dir() else path.stem


def longest_request(model: str, plan_name: str) -> int:
    """Longest request of a plan that a model has positions for [tokens]."""
    longest = max(i + o for i, o in plan_cells(plan_name, PAPER_GRID))
    return min(longest, load_shape(model).positions or longest)


def cost_model(
    sheet: Gpu, model: str, engine: str, dtype: str, variant: EngineVariant
) -> CostModel:
    """From a shipped table of this GPU, model and variant, or roughly.

    Where the GPU has tables of another engine alone, one of the engine on another GPU goes before
    those: plain PyTorch waits for its host, on any card.

    Args:
        sheet: Of the GPU.
        model: A shipped model, or where a config is.
        engine: Whose table to prefer.
        dtype: Number format of activations and KV cache.
        variant: How the model is served; of compiling and budgets the pace depends less.
    """
    tables = _shipped_tables(sheet, model, engine, variant)
    if tables and all(table.engine != engine for table in tables):
        tables = [*_elsewhere(model, engine), *tables]
    for table in tables:
        kind = kind_of(table.metadata)
        if is_of_variant(table.metadata, variant):
            return cost_from_runs(table.runs, table.name)
        is_alike = (kind["gpu_count"], kind["quantization"]) == (
            variant.gpus,
            variant.quantization,
        )
        if is_alike and other_decoding(table.metadata) is None:
            return with_decoding(cost_from_runs(table.runs, table.name), model, variant)
    return with_decoding(rough_cost(load_shape(model), sheet, dtype, variant), model, variant)


def _shipped_tables(
    sheet: Gpu, model: str, engine: str, variant: EngineVariant
) -> list[EnergyTable]:
    """Shipped tables of runs of a GPU and a model: of the variant, then of the engine, first."""
    prefix = f"{sheet.name}/{model}/"
    tables = [load_table(name) for name in table_names() if name.startswith(prefix)]
    tables = [table for table in tables if not table.is_of_traffic]

    def distance(table: EnergyTable) -> tuple[bool, bool, bool]:
        is_of_engine = table.engine == engine
        is_of_it = is_of_engine and is_of_variant(table.metadata, variant)
        return not is_of_engine, not is_of_it, table.name != prefix + engine

    return sorted(tables, key=distance)


def _elsewhere(model: str, engine: str) -> list[EnergyTable]:
    """Tables of a model's runs with an engine, on any GPU; those by hand are of no use here."""
    tables = [load_table(name) for name in table_names() if name.split("/")[1] == model]
    return [
        table
        for table in tables
        if table.engine == engine
        and not table.is_of_traffic
        and table.metadata["measured_by"] != "hand"
    ]


def rough_largest_batch(sheet: Gpu, model: str, engine: str, variant: EngineVariant) -> Capacity:
    """How large batches get: from a shipped table of the variant, else by a rough rule."""
    most = min(MAX_BATCH_SIZE, variant.max_num_seqs or MAX_BATCH_SIZE)
    most = max(1, most // variant.decoding.beam_width)
    for table in _shipped_tables(sheet, model, engine, variant):
        is_of_it = table.engine == engine and is_of_variant(table.metadata, variant)
        if is_of_it and table.metadata["engine_settings"].get("max_num_seqs", most) >= most:
            with suppress(InputError):  # a table of few cells does not tell of the others
                sizes = table.largest_batches
                return lambda i, o: min(most, int(fill_batch_sizes(sizes, [(i, o)])[i, o]))
    shape = load_shape(model)

    def capacity(i: int, o: int) -> int:
        each = request_bytes(engine, shape, DTYPE, i, o) * variant.decoding.beam_width
        return min(most, rough_capacity(shape, sheet, DTYPE, variant, (i, o), each))

    return capacity


def _require_same_variant(folder: Path, earlier: Mapping[str, Any], variant: EngineVariant) -> None:
    """Refuse a folder that was measured with other options, before an engine starts."""
    # Tables from before these options are of neither.
    before = {"decoding": asdict(GREEDY), "speculation": None} | earlier.get("variant", {})
    for name, asked in asdict(variant).items():
        if name not in before or before[name] == asked:
            continue
        if name == "compiled":
            was = f"{'with' if before[name] else 'without'} --compile"
        elif name == "gpus":
            was = f"on {before[name]} GPUs, not on {asked}"
        elif name == "decoding":
            was = f"with --decoding {Decoding(**before[name]).text}"
        elif name == "speculation" and before[name] is not None:
            was = f"with --speculate {Speculation(**before[name]).text}"
        elif name == "speculation":
            was = "without --speculate"
        else:
            option = "--" + name.replace("_", "-")
            was = f"without {option}" if before[name] is None else f"with {option} {before[name]}"
        raise InputError(
            f"{folder}: was measured {was}, and one table cannot mix them; give another folder"
        )


def _where_it_fits(
    capacity: Capacity, cells: Sequence[CellKey], longest: int
) -> tuple[Capacity, list[tuple[int, int, str]]]:
    """B(I, O), 0 where the model has too few positions or the engine too little memory, and why."""
    sizes: dict[CellKey, int] = {}
    left_out: list[tuple[int, int, str]] = []
    outputs = sorted({o for _, o in cells})
    middle = (len(outputs) - 1) / 2
    # The outermost outputs first: where they agree, an engine that searches knows those between.
    for i, o in sorted(cells, key=lambda cell: (cell[0], -abs(outputs.index(cell[1]) - middle))):
        sizes[i, o] = 0
        if i + o > longest:
            left_out.append((i, o, f"the model has positions for {longest} tokens"))
            continue
        try:
            sizes[i, o] = capacity(i, o)
        except DoesNotFitError as error:
            left_out.append((i, o, str(error)))
    if len(left_out) == len(sizes):
        raise InputError("no cell of the grid fits; measure a smaller model, or on more GPUs")
    return lambda i, o: sizes[i, o], left_out


def _fitting(plan: list[RunSpec], cost: CostModel, minutes: float | None) -> list[RunSpec]:
    """The runs that fit into a time budget, each in its turn if there is time for it."""
    left_s = math.inf if minutes is None else 60 * minutes
    fitting = []
    for spec in plan:
        if (seconds := cost.run_seconds(spec)) <= left_s:
            fitting.append(spec)
            left_s -= seconds
    return fitting
