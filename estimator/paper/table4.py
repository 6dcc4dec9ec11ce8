"""The paper's Table 4, regenerated: how far PyTorch and vLLM lie above the ideal, by trace."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from joulecast.estimator.binned import estimate_binned
from joulecast.estimator.compare import saving_from_excess, saving_percent
from joulecast.estimator.estimate import Estimate, excess_percent, source_of
from joulecast.estimator.stepwise import estimate_stepwise
from joulecast.measurements.hardware import Peak, load_gpu
from joulecast.measurements.table.table import EnergyTable, table_names
from joulecast.traces.errors import InputError, unknown_name
from joulecast.traces.workload import Workload

ENGINES = ("pytorch", "vllm")
DEFAULT_TABLES = ("h100-sxm/llama-3.1-8b/pytorch", "h100-sxm/llama-3.1-8b/vllm")
PUBLISHED_ONLY = "published only"


@dataclass(frozen=True)
class Excesses:
    """One row's three figures.

    Attributes:
        pytorch_excess_percent: PyTorch above the ideal [%].
        vllm_excess_percent: vLLM above the ideal [%].
        saving_percent: What vLLM saves over PyTorch [%].
    """

    pytorch_excess_percent: float
    vllm_excess_percent: float
    saving_percent: float

    @classmethod
    def of(cls, pytorch_excess: float, vllm_excess: float) -> "Excesses":
        """Both excesses over one ideal, and the saving that follows [%]."""
        saving = saving_from_excess(vllm_excess, pytorch_excess)
        return cls(pytorch_excess, vllm_excess, saving)

    def to_dict(self) -> dict[str, float]:
        """As plain JSON values [%]."""
        return dict(vars(self))


@dataclass(frozen=True)
class Table4Row:
    """One dataset.

    Attributes:
        dataset: Its name.
        source: "trace", "reconstructed", or "published only" where nothing is at hand.
        trace: What the requests are; None if published only.
        estimates: Engine -> binned estimate; empty if published only.
        measured: Our three figures; None if published only.
        stepwise: Engine -> estimate by the step model; empty where a table supports none.
        measured_stepwise: The three figures of these; None without them.
        published: The paper's; None for datasets that it does not have.
        implied_flops_per_s: Engine -> rate that its energy implies at rated power [FLOP/s].
        peak: Which peak the ideal takes.
    """

    dataset: str
    source: str
    trace: str | None
    estimates: Mapping[str, Estimate]
    measured: Excesses | None
    stepwise: Mapping[str, Estimate]
    measured_stepwise: Excesses | None
    published: Excesses | None
    implied_flops_per_s: Mapping[str, float]
    peak: Peak

    def to_dict(self) -> dict[str, Any]:
        """The row as plain JSON values."""
        ours: dict[str, float | None] = dict.fromkeys(
            ("pytorch_excess_percent", "vllm_excess_percent", "saving_percent")
        )
        if self.measured is not None:
            ours.update(self.measured.to_dict())
        return {
            "dataset": self.dataset,
            "source": self.source,
            "trace": self.trace,
            **ours,
            "stepwise": self.measured_stepwise and self.measured_stepwise.to_dict(),
            "stepwise_interval_percent": {
                engine: [excess_percent(end, e.ideal_j[self.peak]) for end in e.interval_j or ()]
                for engine, e in self.stepwise.items()
            },
            "published": self.published and self.published.to_dict(),
            "requests": dict(self.estimates["vllm"].requests) if self.estimates else None,
            "invalid_rows": dict(self.estimates["vllm"].invalid) if self.estimates else None,
            "coverage": {engine: dict(e.coverage) for engine, e in self.estimates.items()},
            "implied_flops_per_s": dict(self.implied_flops_per_s),
        }


@dataclass(frozen=True)
class Table4:
    """The whole table.

    Attributes:
        rows: One per dataset.
        gpu: Short name of the GPU that both tables were measured on.
        model: Short name of the model.
        peak: Which peak the ideal takes.
        dense_peak_flops_per_s: What that GPU can do [FLOP/s].
        tables: Engine -> table name.
    """

    rows: Sequence[Table4Row]
    gpu: str
    model: str
    peak: Peak
    dense_peak_flops_per_s: float
    tables: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The table as plain JSON values."""
        return {
            "rows": [row.to_dict() for row in self.rows],
            "methods": ["binned", "stepwise"],
            "gpu": self.gpu,
            "model": self.model,
            "peak": self.peak,
            "tables": dict(self.tables),
            "dense_peak_flops_per_s": self.dense_peak_flops_per_s,
        }


def published_rows() -> dict[str, tuple[str, Excesses]]:
    """Key -> dataset and the paper's figures for it."""
    return {
        row["key"]: (
            row["dataset"],
            Excesses.of(row["pytorch_excess_percent"], row["vllm_excess_percent"]),
        )
        for row in _published()["rows"]
    }


def embedded_rows() -> dict[str, str]:
    """Key -> dataset, for the traces that ship."""
    return {row["key"]: row["dataset"] for row in _published()["embedded"]}


def published_implied_flops_per_s() -> dict[str, dict[str, float]]:
    """Rate that the paper's figures imply on its own GPU, by key and engine [FLOP/s]."""
    paper = _published()
    peak = load_gpu(paper["gpu"]).peak(paper["dtype"], paper["peak"])
    return {
        row["key"]: {
            engine: peak / (1 + row[f"{engine}_excess_percent"] / 100) for engine in ENGINES
        }
        for row in paper["rows"]
    }


def published_dense_peak_flops_per_s() -> float:
    """What the paper's GPU can do without sparse weights [FLOP/s]."""
    paper = _published()
    return load_gpu(paper["gpu"]).peak(paper["dtype"], "dense")


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


def pick_tables(tables: Sequence[EnergyTable]) -> dict[str, EnergyTable]:
    """One table per engine of Table 4.

    Raises:
        InputError: An engine is missing or doubled, or the tables do not belong together.
    """
    picked: dict[str, EnergyTable] = {}
    for table in tables:
        if table.engine not in ENGINES:
            raise InputError(f"{table.name}: its engine is {table.engine}, not pytorch or vllm")
        if table.engine in picked:
            raise InputError(f"{picked[table.engine].name} and {table.name}: both {table.engine}")
        picked[table.engine] = table
    for engine in ENGINES:
        if engine not in picked:
            raise InputError(f"table4 needs a {engine} table beside {tables[0].name}; add --table")
    pytorch, vllm = (picked[engine] for engine in ENGINES)
    for what in ("gpu", "model", "dtype", "grid"):
        ours, theirs = pytorch.metadata[what], vllm.metadata[what]
        if ours != theirs:
            raise InputError(
                f"{pytorch.name} and {vllm.name}: differ in their {what} and do not compare"
            )
    return picked


def build_table4(
    workloads: Mapping[str, tuple[str, Workload]],
    tables: Mapping[str, EnergyTable],
    peak: Peak = "dense",
) -> Table4:
    """Estimate every workload from both tables and set it beside the paper's figures.

    Args:
        workloads: Key of a published or embedded row, or any other name -> what the requests are
            called, and the requests.
        tables: "pytorch" and "vllm" -> table, of one GPU and model.
        peak: Peak of the ideal.

    Returns:
        Embedded rows, published rows (with figures of ours where a workload is given), others.
    """
    published = published_rows()
    names = {**embedded_rows(), **{key: dataset for key, (dataset, _) in published.items()}}
    names |= {key: key for key in workloads if key not in names}
    rows = []
    for key, dataset in names.items():
        paper = published[key][1] if key in published else None
        if key in workloads:
            rows.append(_row(dataset, *workloads[key], tables, peak, paper))
        elif paper is not None:
            rows.append(
                Table4Row(dataset, PUBLISHED_ONLY, None, {}, None, {}, None, paper, {}, peak)
            )
    vllm = tables["vllm"]
    return Table4(
        rows=rows,
        gpu=vllm.gpu.name,
        model=vllm.model,
        peak=peak,
        dense_peak_flops_per_s=vllm.gpu.peak(vllm.dtype, "dense"),
        tables={engine: table.name for engine, table in tables.items()},
    )


def _row(
    dataset: str,
    trace: str,
    workload: Workload,
    tables: Mapping[str, EnergyTable],
    peak: Peak,
    paper: Excesses | None,
) -> Table4Row:
    estimates = {engine: estimate_binned(workload, tables[engine], trace) for engine in ENGINES}
    stepwise = _stepwise(workload, tables, trace)
    return Table4Row(
        dataset=dataset,
        source=source_of(workload),
        trace=trace,
        estimates=estimates,
        measured=_excesses(estimates, peak),
        stepwise=stepwise,
        measured_stepwise=_excesses(stepwise, peak) if stepwise else None,
        published=paper,
        implied_flops_per_s={engine: estimates[engine].implied_flops_per_s for engine in ENGINES},
        peak=peak,
    )


def _stepwise(
    workload: Workload, tables: Mapping[str, EnergyTable], trace: str
) -> dict[str, Estimate]:
    """Estimates by the step model; none if a table does not support one."""
    try:
        return {engine: estimate_stepwise(workload, tables[engine], trace) for engine in ENGINES}
    except InputError:
        return {}


def _excesses(estimates: Mapping[str, Estimate], peak: Peak) -> Excesses:
    pytorch, vllm = (estimates[engine] for engine in ENGINES)
    return Excesses(
        excess_percent(pytorch.energy_j, pytorch.ideal_j[peak]),
        excess_percent(vllm.energy_j, vllm.ideal_j[peak]),
        saving_percent(vllm.energy_j, pytorch.energy_j),
    )


@cache
def _published() -> dict[str, Any]:
    text = (files("joulecast.estimator.paper") / "published.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document
