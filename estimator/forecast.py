"""The estimate of a trace, and of several tables side by side, as programs ask for it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Unpack

from joulecast.estimator.compare import Comparison, EstimationMethod, compare_tables
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.footprint.carbon import CarbonIntensity
from joulecast.estimator.footprint.facility import Facility, Price
from joulecast.estimator.method import METHODS, Method
from joulecast.estimator.steps.progress import Progress
from joulecast.measurements.table.table import EnergyTable, load_table
from joulecast.traces.errors import InputError
from joulecast.traces.grid import Grid
from joulecast.traces.load import LoadedTrace, load_trace, trace_name
from joulecast.traces.reading.options import ReadingKeywords
from joulecast.traces.workload import Workload


def estimate(
    trace: str | Path | Workload,
    table: str | Path | EnergyTable,
    method: Method = "stepwise",
    *,
    whole_batches: bool = False,
    host: str | Path | EnergyTable | None = None,
    pue: float | None = None,
    carbon: float | str | CarbonIntensity | None = None,
    price: float | str | Price | None = None,
    **reading: Unpack[ReadingKeywords],
) -> Estimate:
    """Estimate the energy of a trace.

    Args:
        trace: A trace file, a glob, an address, a saved workload or a catalogue name, as
            `load_workload` takes them, or a `Workload`.
        table: A shipped table's name, a folder, or an `EnergyTable`.
        method: "stepwise" for the step model, which has an interval; "binned" for the paper's
            formula (Fernandez et al. 2025, section 4.1).
        whole_batches: Round batches up per cell (binned).
        host: A table measured on the serving host, for the pace of its processor (stepwise).
        pue: Facility energy over GPU energy, 1 or more.
        carbon: Carbon intensity [gCO2e/kWh], or a region such as "FR" or "US-CA".
        price: Price of a kilowatt hour, as a number or with a currency: "0.18 EUR".
        **reading: How to read, as the attributes of `ReadingOptions` say.

    Returns:
        Energies [J] beside their ideals; by the step model with an interval.

    Raises:
        InputError: Something given cannot be used; one line says what, where, and what to do.
    """
    facility = Facility.of(pue, carbon, price)
    table = _table(table)
    grid, most = reading_of(method, table)
    loaded = load_trace(trace, grid, most, **reading)
    make = estimation_method(method, loaded, whole_batches, None if host is None else _table(host))
    return make(loaded.workload, table, trace_name(trace)).at(facility)


def compare(
    trace: str | Path | Workload,
    tables: Sequence[str | Path | EnergyTable],
    method: Method = "stepwise",
    *,
    whole_batches: bool = False,
    pue: float | None = None,
    carbon: float | str | CarbonIntensity | None = None,
    price: float | str | Price | None = None,
    **reading: Unpack[ReadingKeywords],
) -> Comparison:
    """Estimate a trace from several tables: engines, GPUs or batch limits side by side.

    Args:
        trace: As in `estimate`, as is everything but `tables`.
        tables: One or more, of one model and on one grid; the first is the baseline of savings.
        method: "stepwise" or "binned".
        whole_batches: Round batches up per cell (binned).
        pue: Facility energy over GPU energy, 1 or more.
        carbon: Carbon intensity [gCO2e/kWh], or a region.
        price: Price of a kilowatt hour.
        **reading: How to read, as the attributes of `ReadingOptions` say.

    Returns:
        An estimate per table, in the order given, and what each saves over the first.

    Raises:
        InputError: Something given cannot be used, or tables that cannot be compared.
    """
    facility = Facility.of(pue, carbon, price)
    if isinstance(tables, str) or not tables:
        raise InputError("compare takes a list of one or more tables")
    loaded_tables = [_table(table) for table in tables]
    grid, most = reading_of(method, loaded_tables[0])
    loaded = load_trace(trace, grid, most, **reading)
    make = estimation_method(method, loaded, whole_batches)
    return compare_tables(make, loaded.workload, loaded_tables, trace_name(trace)).at(facility)


class Reading(NamedTuple):
    """How a method wants a trace read.

    Attributes:
        grid: The cells; None for the workload's own, or the finest.
        most_lengths: Up to how many requests it wants the lengths one by one.
    """

    grid: Grid | None
    most_lengths: int


def reading_of(method: Method, table: EnergyTable) -> Reading:
    """How a method wants a trace read, to estimate it from a table.

    Raises:
        InputError: There is no such method, or none of this table.
    """
    if method not in METHODS:
        raise InputError(f'method "{method}" is none of: {", ".join(METHODS)}')
    if method == "binned":
        return Reading(table.grid, 0)
    # The schedulers that come with these take a tenth of a second, which binning needs not.
    from joulecast.estimator.steps.metered_batches import require_step_model
    from joulecast.estimator.steps.serving import MOST_SIMULATED

    require_step_model(table)
    return Reading(None, MOST_SIMULATED)


def estimation_method(
    method: Method,
    loaded: LoadedTrace,
    whole_batches: bool = False,
    host: EnergyTable | None = None,
    progress: Progress | None = None,
) -> EstimationMethod:
    """What makes an estimate of a loaded trace from a table.

    Args:
        method: Which.
        loaded: The trace.
        whole_batches: Round batches up per cell (binned).
        host: A table measured on the serving host (stepwise).
        progress: Told what share of a long simulation is done, 0 to 1.

    Raises:
        InputError: An argument that the method does not take.
    """
    if method == "binned":
        from joulecast.estimator.binned import estimate_binned

        if host is not None:
            raise InputError("the pace of a host is for the method stepwise")
        return partial(estimate_binned, whole_batches=whole_batches)
    from joulecast.estimator.stepwise import estimate_stepwise

    if whole_batches:
        raise InputError("whole batches are for the method binned")
    return partial(estimate_stepwise, lengths=loaded.lengths, host=host, progress=progress)


def _table(table: str | Path | EnergyTable) -> EnergyTable:
    return table if isinstance(table, EnergyTable) else load_table(table)
