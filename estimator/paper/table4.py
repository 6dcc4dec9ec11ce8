"""The paper's Table 4, regenerated: how far PyTorch and vLLM lie above the ideal, by trace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from joulecast.estimator.binned import estimate_binned
from joulecast.estimator.compare import saving_percent
from joulecast.estimator.estimate import Estimate, Source, excess_percent, source_of
from joulecast.estimator.ideal import PEAKS
from joulecast.estimator.method import METHODS, Method
from joulecast.estimator.paper.forecast import forecast_binned
from joulecast.estimator.paper.published import (
    ENGINES,
    Engine,
    Excesses,
    embedded_rows,
    is_of_the_paper,
    published_over,
    published_rows,
)
from joulecast.estimator.steps.progress import Progress, part_of
from joulecast.estimator.stepwise import StepModel
from joulecast.estimator.unit_prices.model import Scaling, Served, deployment_like
from joulecast.measurements.hardware import Peak
from joulecast.measurements.table.table import EnergyTable, load_table, table_names
from joulecast.traces.errors import InputError
from joulecast.traces.workload import Workload

DEFAULT_TABLES = ("h100-sxm/llama-3.1-8b/pytorch", "h100-sxm/llama-3.1-8b/vllm")

RowSource = Source | Literal["published only"]
Place = Literal["below", "inside", "above"]
"""Of a published figure beside the interval of a forecast."""

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
        """Our figures by a method, over the ideal of a peak; None without an estimate, or peak."""
        if method not in self.estimates:
            return None
        pytorch, vllm = (self.estimates[method][engine] for engine in ENGINES)
        if peak not in vllm.ideal_j:
            return None
        return Excesses(
            excess_percent(pytorch.energy_j, pytorch.ideal_j[peak]),
            excess_percent(vllm.energy_j, vllm.ideal_j[peak]),
            saving_percent(vllm.energy_j, pytorch.energy_j),
        )

    def interval_percent(
        self, engine: Engine, peak: Peak, method: Method = "stepwise"
    ) -> tuple[float, float] | None:
        """The ends of a method's interval over the ideal of a peak [%]; None where it has none."""
        estimate = self.estimates.get(method, {}).get(engine)
        if estimate is None or estimate.interval_j is None or peak not in estimate.ideal_j:
            return None
        low_j, high_j = estimate.interval_j
        ideal_j = estimate.ideal_j[peak]
        return excess_percent(low_j, ideal_j), excess_percent(high_j, ideal_j)

    def published_place(self, engine: Engine, peak: Peak) -> Place | None:
        """Where the paper's figure lies, if its ideal took that peak, beside the forecast of it.

        None without a figure, or without an interval around the paper's method.
        """
        ends = self.interval_percent(engine, peak, "binned")
        if self.published is None or ends is None:
            return None
        figure = self.published.percent(engine)
        return "below" if figure < ends[0] else "above" if figure > ends[1] else "inside"

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
            **{
                f"{method}_interval_percent": {
                    engine: list(ends)
                    for engine in ENGINES
                    if (ends := self.interval_percent(engine, peak, method)) is not None
                }
                for method in METHODS
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
        return {peak: estimates["vllm"].ideal_j.get(peak) if estimates else None for peak in PEAKS}


def _percents(excesses: Excesses | None) -> dict[Engine, float | None]:
    return {engine: None if excesses is None else excesses.percent(engine) for engine in ENGINES}


@dataclass(frozen=True)
class Table4:
    """The whole table.

    Attributes:
        rows: One per dataset.
        gpu: Short name of the GPU that both engines serve on.
        model: Short name of the model.
        dense_peak_flops_per_s: What that GPU can do [FLOP/s].
        tables: Engine -> table name; of one that was not measured, the deployment in words.
        is_of_the_paper: Whether GPU and model are the paper's own, so that its figures can be held
            against these.
    """

    rows: Sequence[Table4Row]
    gpu: str
    model: str
    dense_peak_flops_per_s: float
    tables: Mapping[Engine, str]
    is_of_the_paper: bool = False

    def published_places(self, peak: Peak) -> dict[str, dict[Engine, Place]]:
        """Dataset -> engine -> where the published figure lies, if its ideal took that peak.

        Empty unless GPU and model are the paper's own.
        """
        rows = self.rows if self.is_of_the_paper else ()
        places = {
            row.dataset: {
                engine: place
                for engine in ENGINES
                if (place := row.published_place(engine, peak)) is not None
            }
            for row in rows
        }
        return {dataset: of_row for dataset, of_row in places.items() if of_row}

    def to_dict(self, peak: Peak = "dense") -> dict[str, Any]:
        """The table as plain JSON values, those that name no peak over the ideal of this one."""
        return {
            "rows": [row.to_dict(peak) for row in self.rows],
            "methods": list(METHODS),
            "gpu": self.gpu,
            "model": self.model,
            "peak": peak,
            "tables": dict(self.tables),
            "published_places": {peak: self.published_places(peak) for peak in PEAKS},
            "dense_peak_flops_per_s": self.dense_peak_flops_per_s,
        }


def served_on(gpu: str | None, model: str | None) -> dict[Engine, Served]:
    """What Table 4 is made of on a GPU, by engine: a whole table that ships, or a forecast.

    Args:
        gpu: Short name, or a data sheet; None for the GPU of the shipped tables.
        model: A shipped model, or a config.json; None for the paper's.

    Raises:
        InputError: No such GPU or model.
    """
    served: dict[Engine, Served] = {}
    for engine in ENGINES:
        deployment = deployment_like(None, model, gpu, engine)
        name = f"{deployment.gpu.name}/{deployment.model}/{engine}"
        is_measured = name in table_names() and load_table(name).metadata["complete"]
        served[engine] = load_table(name) if is_measured else Scaling(deployment)
    return served


def peaks_of(served: Mapping[Engine, Served], asked: Peak | None) -> Sequence[Peak]:
    """The peaks of the data sheet that ideals can stand on: the one asked for, or all.

    Raises:
        InputError: The data sheet does not have the one that was asked for.
    """
    vllm = served["vllm"]
    own = vllm if isinstance(vllm, EnergyTable) else vllm.deployment
    if asked is not None:
        own.gpu.peak(own.compute_dtype, asked)
        return [asked]
    return [peak for peak in PEAKS if peak in own.gpu.peaks(own.compute_dtype)]


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
    tables: Mapping[Engine, Served],
    progress: Progress | None = None,
) -> Table4:
    """Estimate every workload under both engines and set it beside the paper's figures.

    Args:
        workloads: Key of a published or embedded row, or any other name -> what the requests are
            called, and the requests.
        tables: "pytorch" and "vllm" -> table, or what forecasts it; of one GPU and model.
        progress: Told what share of it is done, 0 to 1.

    Returns:
        Embedded rows, published rows (with figures of ours where a workload is given), others.
    """
    paper = published_rows()
    names = {**embedded_rows(), **{key: dataset for key, (dataset, _) in paper.items()}}
    names |= {key: key for key in workloads if key not in names}
    models = {engine: _model_of(served) for engine, served in tables.items()}
    rows = []
    for place, (key, dataset) in enumerate(names.items()):
        published = paper[key][1] if key in paper else None
        if key in workloads:
            part = part_of(progress, place / len(names), (place + 1) / len(names))
            rows.append(_row(dataset, *workloads[key], tables, models, published, part))
        elif published is not None:
            rows.append(Table4Row(dataset, "published only", published=published))
    vllm = tables["vllm"]
    own = vllm if isinstance(vllm, EnergyTable) else vllm.deployment
    model = own.model if isinstance(own, EnergyTable) else own.shape.name
    return Table4(
        rows=rows,
        gpu=own.gpu.name,
        model=model,
        dense_peak_flops_per_s=own.gpu.peak(own.compute_dtype, "dense"),
        tables={engine: served.name for engine, served in tables.items()},
        is_of_the_paper=is_of_the_paper(own.gpu.name, model),
    )


Fitted = StepModel | Scaling | str
"""A table's step model, what makes one for every workload, or why there is none."""


def _model_of(served: Served) -> Fitted:
    if isinstance(served, Scaling):
        return served
    try:
        return StepModel.of(served)
    except InputError as error:
        return str(error)


def _row(
    dataset: str,
    trace: str,
    workload: Workload,
    tables: Mapping[Engine, Served],
    models: Mapping[Engine, Fitted],
    published: Excesses | None,
    progress: Progress | None,
) -> Table4Row:
    estimates: dict[Method, Mapping[Engine, Estimate]] = {
        "binned": {engine: _binned(workload, served, trace) for engine, served in tables.items()}
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


def _binned(workload: Workload, served: Served, trace: str) -> Estimate:
    """The paper's estimate, from a table or with its batches forecast."""
    if isinstance(served, EnergyTable):
        return estimate_binned(workload, served, trace)
    return forecast_binned(workload, served.step_model(workload), trace)


def _stepwise(
    workload: Workload,
    models: Mapping[Engine, Fitted],
    trace: str,
    progress: Progress | None,
) -> Mapping[Engine, Estimate] | str:
    """Estimates by the step model, or why there are none."""
    estimates: dict[Engine, Estimate] = {}
    for place, (engine, fitted) in enumerate(models.items()):
        if isinstance(fitted, str):
            return fitted
        part = part_of(progress, place / len(models), (place + 1) / len(models))
        try:
            model = fitted.step_model(workload) if isinstance(fitted, Scaling) else fitted
            estimates[engine] = model.estimate(workload, trace, progress=part)
        except InputError as error:
            return str(error)
    return estimates
