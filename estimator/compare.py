"""Real against ideal, table against table."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from joulecast.estimator.estimate import Estimate
from joulecast.estimator.footprint.facility import Facility
from joulecast.estimator.method import Method
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError
from joulecast.traces.frame import frame_of
from joulecast.traces.html import html_of
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    import pandas as pd

EstimationMethod = Callable[[Workload, Any, str], Estimate]
"""Workload, a table or a `Scaling`, and what to call the workload -> an estimate."""


def saving_percent(energy_j: float, baseline_j: float) -> float:
    """What an energy saves over a baseline: 100 (1 - E / E_baseline) [%]."""
    return 100 * (1 - energy_j / baseline_j)


def saving_from_excess(excess: float, baseline_excess: float) -> float:
    """The same from two excesses over one ideal: 100 (1 - (100 + x) / (100 + x_baseline)) [%]."""
    return saving_percent(100 + excess, 100 + baseline_excess)


@dataclass(frozen=True)
class ComparedTable:
    """One table's estimate beside the first one's.

    Attributes:
        estimate: The estimate from this table.
        saving_percent: What it saves over the first table [%]; None where the two are not of the
            same requests, since one of the models has positions for more.
        saving_interval_percent: 95 % interval of that, taking the two estimates' errors as
            independent; None for the first table, and where the method has no interval [%].
    """

    estimate: Estimate
    saving_percent: float | None
    saving_interval_percent: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain JSON values."""
        return {
            **self.estimate.to_dict(),
            "saving_percent": self.saving_percent,
            "saving_interval_percent": self.saving_interval_percent
            and list(self.saving_interval_percent),
        }

    def total_row(self) -> dict[str, Any]:
        """The comparison in a row, nothing of it nested; None is what it does not tell."""
        low, high = self.saving_interval_percent or (None, None)
        return {
            **self.estimate.total_row(),
            "saving_percent": self.saving_percent,
            "saving_low_percent": low,
            "saving_high_percent": high,
        }


@dataclass(frozen=True)
class Comparison:
    """One trace, estimated from several tables.

    Attributes:
        trace: What the user called the trace.
        method: "binned" or "stepwise".
        tables: The estimates, in the order in which the tables were given.
    """

    trace: str
    method: Method
    tables: tuple[ComparedTable, ...]

    @property
    def ranked(self) -> list[ComparedTable]:
        """The tables by energy, the least first."""
        return sorted(self.tables, key=lambda compared: compared.estimate.energy_j)

    @property
    def alike(self) -> list[ComparedTable]:
        """Those of the requests that the first is of, the least energy first."""
        tokens = self.tables[0].estimate.estimated_tokens
        return [each for each in self.ranked if each.estimate.estimated_tokens == tokens]

    @property
    def best(self) -> ComparedTable:
        """Which takes the least for these requests."""
        return self.alike[0]

    @property
    def rivals(self) -> list[ComparedTable]:
        """Who else might, as far as the intervals tell, since the best may save nothing on it."""
        best, *others = self.alike
        return [
            other
            for other in others
            if (ends := _saving_interval(best.estimate, other.estimate)) is not None
            and ends[0] <= 0
        ]

    def at(self, facility: Facility | None) -> "Comparison":
        """The same energies, with the footprint that they have in a facility."""
        tables = (
            replace(compared, estimate=compared.estimate.at(facility)) for compared in self.tables
        )
        return replace(self, tables=tuple(tables))

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain JSON values."""
        tables = [compared.to_dict() for compared in self.tables]
        method = self.tables[0].estimate.method_text
        return {"trace": self.trace, "method": method, "tables": tables}

    def to_frame(self) -> "pd.DataFrame":
        """A table of pandas with a row per table, in the order given; see `Estimate.to_frame`.

        Raises:
            InputError: There is no pandas.
        """
        return frame_of([compared.total_row() for compared in self.tables])

    def _repr_html_(self) -> str | None:
        """What a notebook shows."""
        return html_of(self)


def compare_tables(
    method: EstimationMethod,
    workload: Workload,
    tables: Sequence[Any],
    trace: str,
    across_models: bool = False,
) -> Comparison:
    """Estimate one workload from several tables, or by several scalings.

    Args:
        method: Such as `estimate_binned`.
        workload: Requests on the tables' grid, or on one that refines it.
        tables: One or more, as `method` takes them; the first is the baseline of the savings.
        trace: What to call the workload.
        across_models: Whether they may be of several models, or on several grids.

    Returns:
        An estimate per table [J], in the order given, and what each saves over the first [%].

    Raises:
        InputError: Tables of different models, or on different grids, which would not estimate
            the same requests.
    """
    if not across_models:
        _require_comparable(tables)
    estimates = [method(workload, table, trace) for table in tables]
    compared = [
        ComparedTable(
            estimate,
            _saving(estimate, estimates[0]),
            None if estimate is estimates[0] else _saving_interval(estimate, estimates[0]),
        )
        for estimate in estimates
    ]
    return Comparison(trace, estimates[0].method, tuple(compared))


def _saving(estimate: Estimate, baseline: Estimate) -> float | None:
    """What an estimate saves over another of the same requests [%]; None if they are others."""
    if estimate.estimated_tokens != baseline.estimated_tokens:
        return None
    return saving_percent(estimate.energy_j, baseline.energy_j)


def _saving_interval(estimate: Estimate, baseline: Estimate) -> tuple[float, float] | None:
    """The interval of a saving, from how far the two intervals reach [%]; none saves all."""
    if estimate.interval_percent is None or baseline.interval_percent is None:
        return None
    if _saving(estimate, baseline) is None:
        return None
    lows, highs = zip(*map(_ends, (estimate, baseline)), strict=True)
    ratio = estimate.energy_j / baseline.energy_j
    most = ratio * math.exp(math.hypot(highs[0], lows[1]))
    least = ratio * math.exp(-math.hypot(lows[0], highs[1]))
    return 100 * (1 - most), 100 * (1 - least)


def _ends(estimate: Estimate) -> tuple[float, float]:
    """How far an interval reaches down and up, as logarithms."""
    low_j, high_j = estimate.interval_j or (estimate.energy_j, estimate.energy_j)
    return math.log(estimate.energy_j / low_j), math.log(high_j / estimate.energy_j)


def _require_comparable(tables: Sequence[EnergyTable]) -> None:
    """Refuse tables of which a saving would say nothing.

    Raises:
        InputError: Tables of different models, or on different grids, which would not estimate
            the same requests.
    """
    measured = [table for table in tables if isinstance(table, EnergyTable)]
    for table in measured[1:]:
        first = measured[0]
        if table.model != first.model:
            raise InputError(
                f"{first.name} is of {first.model}, {table.name} of {table.model}; a saving is "
                "between ways to run one model, unless --on says otherwise"
            )
        if table.grid != first.grid:
            raise InputError(
                f"{table.name} is measured on another grid than {first.name}; their totals would "
                "not cover the same requests"
            )
