"""The step model's estimate: true lengths, served as the engine would serve them.

    E = e_step S + e_token T + e_context K + e_pair P + e_output O + e_request R

T, K, P, O and R are sums over the requests. S, and what padding or recomputing adds to the others,
come from the engine's scheduler: the requests themselves where they are known and not too many,
else requests drawn with the workload's lengths, scaled. What the GPU spends waiting for its host to
launch steps is kept apart: it is taken off the table's runs before they are priced, and added for
the host that serves.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from joulecast.estimator.estimate import (
    CellEstimate,
    Estimate,
    cell_edges,
    coverage_of,
    left_out_text,
    request_counts,
    source_of,
)
from joulecast.estimator.ideal import PEAKS, Roofline
from joulecast.estimator.positions import within_positions
from joulecast.estimator.steps.hosts import Hosts, hosts_of
from joulecast.estimator.steps.intervals import Spread, interval_j, relative_sds, sampling_sd
from joulecast.estimator.steps.metered_batches import metered_batches
from joulecast.estimator.steps.prices import Prices, fit_prices
from joulecast.estimator.steps.progress import Progress
from joulecast.estimator.steps.schedulers import Scheduler, scheduler_of
from joulecast.estimator.steps.serving import Service, Services, serve
from joulecast.estimator.steps.traffic import fit_traffic
from joulecast.estimator.steps.work import LengthArray, StepCounts, Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError
from joulecast.traces.workload import Workload


def estimate_stepwise(
    workload: Workload,
    table: EnergyTable,
    trace: str,
    lengths: LengthArray | None = None,
    host: EnergyTable | None = None,
    progress: Progress | None = None,
) -> Estimate:
    """Estimate a workload with the step model, with an interval.

    E = e_step S + e_token T + e_context K + e_pair P + e_output O + e_request R
    (docs/stepwise.md)

    Args:
        workload: The requests, on any grid.
        table: Runs to fit the model to, and settings of the scheduler.
        trace: What to call the workload.
        lengths: (i, o) per request in the order in which they are asked [tokens], shape (n, 2);
            drawn from the workload if they are not known.
        host: A table measured on the host that will serve, `--plan quick` will do: it tells how
            long that host takes to launch a step. None if it is not known.
        progress: Told what share of a long simulation is done, 0 to 1.

    Returns:
        Energies [J] with a 95 % interval, time on the GPU [s], and the parts of the energy [J].

    Raises:
        InputError: No request to estimate, a table that no step model can be fitted to, or a
            request that the engine's memory does not hold.
    """
    return StepModel.of(table, host).estimate(workload, trace, lengths, progress)


@dataclass(frozen=True)
class _Spending:
    """What a service costs.

    Attributes:
        energy_j: All of it [J].
        seconds: Time on the GPU [s].
        parts_j: Term, and "waiting" where the host may make the GPU wait -> its part [J].
        least_parts_j: The same at the chip's peaks [J].
        host_sd: Relative sd from the pace of the host; None where it does not matter.
    """

    energy_j: float
    seconds: float
    parts_j: Mapping[str, float]
    least_parts_j: Mapping[str, float]
    host_sd: float | None


@dataclass(frozen=True)
class StepModel:
    """What a table tells of serving, ready to estimate any workload.

    Attributes:
        table: What it was fitted to.
        scheduler: Which requests the engine feeds in which step.
        prices: Of each kind of work.
        spread: How far equal work lies apart.
        hosts: How long hosts take to launch a step; None if they launch none one by one.
        roofline: Least energy of the steps.
    """

    table: EnergyTable
    scheduler: Scheduler
    prices: Prices
    spread: Spread
    hosts: Hosts | None
    roofline: Roofline

    @classmethod
    def of(cls, table: EnergyTable, host: EnergyTable | None = None) -> "StepModel":
        """Fit the model to a table; arguments and errors as for `estimate_stepwise`."""
        roofline = Roofline.of(table)
        if table.is_of_traffic:
            return cls._of_traffic(table, host, roofline)
        batches = metered_batches(table)
        hosts = hosts_of(table, batches, host)
        return cls(
            table=table,
            scheduler=scheduler_of(table),
            prices=fit_prices(batches if hosts is None else hosts.without_waiting(batches)),
            spread=Spread.of(batches),
            hosts=hosts,
            roofline=roofline,
        )

    @classmethod
    def _of_traffic(
        cls, table: EnergyTable, host: EnergyTable | None, roofline: Roofline
    ) -> "StepModel":
        if host is not None:
            raise InputError(
                f"{table.name}: is of traffic, whose prices hold the pace of its own host; leave "
                "--host out"
            )
        traffic = fit_traffic(table)
        return cls(table, scheduler_of(table), traffic.prices, traffic.spread, None, roofline)

    def estimate(
        self,
        workload: Workload,
        trace: str,
        lengths: LengthArray | None = None,
        progress: Progress | None = None,
    ) -> Estimate:
        """Estimate a workload; arguments and errors as for `estimate_stepwise`."""
        everything = workload
        workload, lengths = within_positions(everything, lengths, self.table)
        total = workload.total
        counts = request_counts(everything, workload, total.requests)
        if total.requests == 0:
            raise InputError(f"{trace}: has no request to estimate: {left_out_text(counts)}")
        services = serve(workload, lengths, self.scheduler, self._gauge, progress)
        spending = self._spending(services.mean)
        sds = self._relative_sds(services, spending, workload.is_reconstructed)
        cells = self._cells(workload, spending.energy_j)
        gpu, dtype = self.table.gpu, self.table.compute_dtype
        flops = self.roofline.flops.of_sums(total)
        return Estimate(
            trace=trace,
            source=source_of(workload),
            table=self.table.name,
            method="stepwise",
            requests=counts,
            invalid=dict(workload.invalid),
            estimated_tokens={"input": total.input_tokens, "output": total.output_tokens},
            beyond_grid_token_share=0.0,
            energy_j=spending.energy_j,
            interval_j=interval_j(spending.energy_j, sds, self.prices.freedom),
            ideal_j={
                **{peak: gpu.tdp_w / gpu.peak(dtype, peak) * flops for peak in PEAKS},
                "roofline": float(services.mean.gauged[0]),
            },
            coverage=coverage_of(cells),
            dense_peak_flops_per_s=gpu.peak(dtype),
            cells=tuple(cells),
            seconds=spending.seconds,
            parts_j=spending.parts_j,
            least_parts_j=spending.least_parts_j,
            relative_sds=sds,
        )

    def _gauge(self, steps: Steps) -> FloatArray:
        """The roofline [J], then how long the GPU waits for the serving and a slow host [s]."""
        waiting = np.zeros(0) if self.hosts is None else self.hosts.waiting_seconds(steps)
        return np.concatenate([[self.roofline.steps_energy(steps)], waiting])

    def _spending(self, service: Service) -> _Spending:
        """What the work costs, and the waiting for the serving host."""
        counts = service.counts
        energy_j, seconds = self.prices.total_j(counts), self.prices.total_seconds(counts)
        parts_j = dict(self.prices.parts_j(counts))
        least_parts_j = dict(self.roofline.parts_energy(counts))
        host_sd = None
        if self.hosts is not None:
            pace = self.hosts.pace
            serving_s, slow_s = service.gauged[1:].tolist()
            parts_j["waiting"] = pace.waiting_power_w * serving_s
            least_parts_j["waiting"] = 0.0
            energy_j += parts_j["waiting"]
            seconds = float(pace.gpu_seconds @ counts.array()) + serving_s
            host_sd = pace.waiting_power_w * (slow_s - serving_s) / 2 / energy_j
        # No card draws more than its limit for long; a table of few runs tells times less well.
        seconds = max(seconds, energy_j / self.table.metadata["power_limit_w"])
        return _Spending(energy_j, seconds, parts_j, least_parts_j, host_sd)

    def _relative_sds(
        self, services: Services, spending: _Spending, is_reconstructed: bool
    ) -> dict[str, float]:
        """What the interval is made of: cause -> relative sd."""
        draws_j = [self.prices.total_j(draw.counts) for draw in services.draws]
        shorter = services.shorter
        shorter_j = None if shorter is None else self.prices.total_j(shorter.counts)
        sds = relative_sds(self.prices, self.spread, services.mean.counts)
        sds["sampling"] = sampling_sd(draws_j, shorter_j)
        if spending.host_sd is not None:
            sds["host"] = spending.host_sd
        if is_reconstructed:
            sds["reconstruction"] = self.scheduler.reconstruction_sd
        return sds

    def _cells(self, workload: Workload, energy_j: float) -> list[CellEstimate]:
        """The cells' parts of the energy, and whether they lie among the lengths that were metered.

        A fit meets no run exactly, so nothing counts as measured. Steps are shared in proportion.
        """
        ranges = self.table.length_ranges
        alone_j = {
            place: self.prices.total_j(StepCounts.of_sums(sums))
            for place, sums in workload.cells.items()
        }
        whole_j = sum(alone_j.values())
        cells = []
        for place, sums in sorted(workload.cells.items()):
            edges = cell_edges(workload.grid, place)
            is_within = all(
                edge is not None and low <= edge <= high
                for edge, (low, high) in zip(edges, ranges, strict=True)
            )
            cells.append(
                CellEstimate(
                    *edges,
                    sums.requests,
                    energy_j * alone_j[place] / whole_j,
                    "interpolated" if is_within else "extrapolated",
                )
            )
        return cells
