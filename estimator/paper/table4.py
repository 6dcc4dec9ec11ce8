"""The paper's Table 4, regenerated: how far PyTorch and vLLM lie above the ideal, by trace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from joulecast.estimator.binned import estimate_binned
from joulecast.estimator.compare import saving_percent
from joulecast.estimator.estimate import Estimate, Source, excess_percent, source_of
from joulecast.estimator.ideal import PEAKS
from joulecast.estimator.method import METHODS, Method
from joulecast.estimator.paper.published import (
    ENGINES,
    Engine,
    Excesses,
    embedded_rows,
    published_over,
    published_rows,
)
from joulecast.estimator.steps.progress import Progress, part_of
from joulecast.estimator.stepwise import StepModel
from joulecast.measurements.hardware import Peak
from joulecast.measurements.table.table import EnergyTable, table_names
from joulecast.traces.errors import InputError, unknown_name
from joulecast.traces.workload import Workload

DEFAULT_TABLES = ("h100-sxm/llama-3.1-8b/pytorch", "h100-sxm/llama-3.1-8b/vllm")

RowSource = Source | Literal["published only"]

_NO_FIGURES = dict.fromkeys(("pytorch_excess_percent", "vllm_excess_percent", "saving_percent"))


@dataclass(frozen=True)
class Table4Row:
    """One dataset.

    Attributes:
        dataset: Its name.
        source: "trace", "reconstructed", or "published only" where nothing is at hand.
        trace: What the requests are; None if published only.
        estimates: Method -> engine -> estimate; a method that cannot estimate is missing.
        no_stepwise: Why "stepwise" is; None if it is not, or published only.
        published: The paper's figures, over the ideal that it takes; None for datasets that it does
            not have.
    """

    dataset: str
    source: RowSource
    trace: str | None = None
    estimates: Mapping[Method, Mapping[Engine, Estimate]] = field(default_factory=dict)
    no_stepwise: str | None = None
    published: Excesses | None = None

    def excesses(self, method: Method, peak: Peak) -> Excesses | None:
        """Our figures by a method, over the ideal of a peak; None without an estimate."""
        if method not in self.estimates:
            return None
        pytorch, vllm = (self.estimates[method][engine] for engine in ENGINES)
        return Excesses(
            excess_percent(pytorch.energy_j, pytorch.ideal_j[peak]),
            excess_percent(vllm.energy_j, vllm.ideal_j[peak]),
            saving_percent(vllm.energy_j, pytorch.energy_j),
        )

    def interval_percent(self, engine: Engine, peak: Peak) -> tuple[float, float] | None:
        """The ends of the step model's interval over the ideal of a peak [%]."""
        estimate = self.estimates.get("stepwise", {}).get(engine)
        if estimate is None or estimate.interval_j is None:
            return None
        low_j, high_j = estimate.interval_j
        ideal_j = estimate.ideal_j[peak]
        return excess_percent(low_j, ideal_j), excess_percent(high_j, ideal_j)

    def published_excesses(self, peak: Peak) -> Excesses | None:
        """The paper's figures over the ideal of a peak of its own GPU."""
        return None if self.published is None else published_over(self.published, peak)

    def to_dict(self, peak: Peak) -> dict[str, Any]:
        """The row as plain JSON values, those that name no peak over the ideal of this one."""
        binned, stepwise = (self.excesses(method, peak) for method in METHODS)
        counted = self.estimates.get("binned", {})
        return {
            "dataset": self.dataset,
            "source": self.source,
            "trace": self.trace,
            **(_NO_FIGURES if binned is None else binned.to_dict()),
            "stepwise": stepwise and stepwise.to_dict(),
            "stepwise_interval_percent": {
                engine: list(ends)
                for engine in ENGINES
                if (ends := self.interval_percent(engine, peak)) is not None
            },
            "published": self.published and self.published.to_dict(),
            "requests": dict(counted["vllm"].requests) if counted else None,
            "invalid_rows": dict(counted["vllm"].invalid) if counted else None,
            "coverage": {engine: dict(e.coverage) for engine, e in counted.items()},
            "implied_flops_per_s": {engine: e.implied_flops_per_s for engine, e in counted.items()},
            "energy_j": {method: self._energies_j(method) for method in METHODS},
            "ideal_j": {method: self._ideals_j(method) for method in METHODS},
            "excess_percent": {
                peak: {
                    **{method: _percents(self.excesses(method, peak)) for method in METHODS},
                    "published": _percents(self.published_excesses(peak)),
                }
                for peak in PEAKS
            },
        }

    def _energies_j(self, method: Method) -> dict[Engine, float | None]:
        estimates = self.estimates.get(method, {})
        return {e: estimates[e].energy_j if e in estimates else None for e in ENGINES}

    def _ideals_j(self, method: Method) -> dict[Peak, float | None]:
        """One for both engines: the lengths are the same, and so is the chip."""
        estimates = self.estimates.get(method)
        return {peak: estimates["vllm"].ideal_j[peak] if estimates else None for peak in PEAKS}


def _percents(excesses: Excesses | None) -> dict[Engine, float | None]:
    return {engine: None if excesses is None else excesses.percent(engine) for engine in ENGINES}


@dataclass(frozen=True)
class Table4:
    """The whole table.

    Attributes:
        rows: One per dataset.
        gpu: Short name of the GPU that both tables were measured on.
        model: Short name of the model.
        dense_peak_flops_per_s: What that GPU can do [FLOP/s].
        tables: Engine -> table name.
    """

    rows: Sequence[Table4Row]
    gpu: str
    model: str
    dense_peak_flops_per_s: float
    tables: Mapping[Engine, str]

    def to_dict(self, peak: Peak = "dense") -> dict[str, Any]:
        """The table as plain JSON values, those that name no peak over the ideal of this one."""
        return {
            "rows": [row.to_dict(peak) for row in self.rows],
            "methods": list(METHODS),
            "gpu": self.gpu,
            "model": self.model,
            "peak": peak,
            "tables": dict(self.tables),
            "dense_peak_flops_per_s": self.dense_peak_flops_per_s,
        }


def tables_of(gpu: str) -> list[str]:
    """The shipped tables of Table 4's model on a GPU, one per engine.

    Raises:
        InputError: There are none; the GPUs that have them are named.
    """
    names = table_names()
    gpus = {name.partition("/")[0] for name in names}
    ready = [name for name in gpus if set(_names_of(name)) <= set(names)]
    if gpu not in ready:
        raise unknown_name("GPU with tables of both engines", gpu, ready)
    return _names_of(gpu)


def _names_of(gpu: str) -> list[str]:
    return [f"{gpu}/llama-3.1-8b/{engine}" for engine in ENGINES]


def pick_tables(tables: Sequence[EnergyTable]) -> dict[Engine, EnergyTable]:
    """One table per engine of Table 4.

    Raises:
        InputError: An engine is missing or doubled, or the tables do not belong together.
    """
    by_engine: dict[str, EnergyTable] = {}
    for table in tables:
        if table.engine not in ENGINES:
            raise InputError(f"{table.name}: its engine is {table.engine}, not pytorch or vllm")
        if table.engine in by_engine:
            first = by_engine[table.engine].name
            raise InputError(f"{first} and {table.name}: both {table.engine}")
        by_engine[table.engine] = table
    for engine in ENGINES:
        if engine not in by_engine:
            raise InputError(f"table4 needs a {engine} table beside {tables[0].name}; add --table")
    picked = {engine: by_engine[engine] for engine in ENGINES}
    pytorch, vllm = picked.values()
    for what in ("gpu", "model", "dtype", "grid"):
        ours, theirs = pytorch.metadata[what], vllm.metadata[what]
        if ours != theirs:
            raise InputError(
                f"{pytorch.name} and {vllm.name}: differ in their {what} and do not compare"
            )
    return picked


def build_table4(
    workloads: Mapping[str, tuple[str, Workload]],
    tables: Mapping[Engine, EnergyTable],
    progress: Progress | None = None,
) -> Table4:
    """Estimate every workload from both tables and set it beside the paper's figures.

    Args:
        workloads: Key of a published or embedded row, or any other name -> what the requests are
            called, and the requests.
        tables: "pytorch" and "vllm" -> table, of one GPU and model.
        progress: Told what share of it is done, 0 to 1.

    Returns:
        Embedded rows, published rows (with figures of ours where a workload is given), others.
    """
    paper = published_rows()
    names = {**embedded_rows(), **{key: dataset for key, (dataset, _) in paper.items()}}
    names |= {key: key for key in workloads if key not in names}
    models = {engine: _model_of(table) for engine, table in tables.items()}
    rows = []
    for place, (key, dataset) in enumerate(names.items()):
        published = paper[key][1] if key in paper else None
        if key in workloads:
            part = part_of(progress, place / len(names), (place + 1) / len(names))
            rows.append(_row(dataset, *workloads[key], tables, models, published, part))
        elif published is not None:
            rows.append(Table4Row(dataset, "published only", published=published))
    vllm = tables["vllm"]
    return Table4(
        rows=rows,
        gpu=vllm.gpu.name,
        model=vllm.model,
        dense_peak_flops_per_s=vllm.gpu.peak(vllm.compute_dtype, "dense"),
        tables={engine: table.name for engine, table in tables.items()},
    )


def _model_of(table: EnergyTable) -> StepModel | str:
    """The step model of a table, or why there is none."""
    try:
        return StepModel.of(table)
    except InputError as error:
        return str(error)


def _row(
    dataset: str,
    trace: str,
    workload: Workload,
    tables: Mapping[Engine, EnergyTable],
    models: Mapping[Engine, StepModel | str],
    published: Excesses | None,
    progress: Progress | None,
) -> Table4Row:
    estimates: dict[Method, Mapping[Engine, Estimate]] = {
        "binned": {
            engine: estimate_binned(workload, table, trace) for engine, table in tables.items()
        }
    }
    stepwise = _stepwise(workload, models, trace, progress)
    if not isinstance(stepwise, str):
        estimates["stepwise"] = stepwise
    return Table4Row(
        dataset=dataset,
        source=source_of(workload),
        trace=trace,
        estimates=estimates,
        no_stepwise=stepwise if isinstance(stepwise, str) else None,
        published=published,
    )


def _stepwise(
    workload: Workload,
    models: Mapping[Engine, StepModel | str],
    trace: str,
    progress: Progress | None,
) -> Mapping[Engine, Estimate] | str:
    """Estimates by the step model, or why there are none."""
    estimates: dict[Engine, Estimate] = {}
    for place, (engine, model) in enumerate(models.items()):
        if isinstance(model, str):
            return model
        part = part_of(progress, place / len(models), (place + 1) / len(models))
        try:
            estimates[engine] = model.estimate(workload, trace, progress=part)
        except InputError as error:
            return str(error)
    return estimates
