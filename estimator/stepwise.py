"""The step model's estimate: true lengths, served as the engine would serve them.

A scheduler says which requests an engine feeds in which step: the requests themselves where they
are known and not too many, else requests drawn with the workload's lengths, scaled. A law says what
the steps cost: a table's (`table_law.py`), or that of prices per unit of work (`unit_prices`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from joulecast.estimator.attribution.attribution import Attribution, IdlePower
from joulecast.estimator.attribution.cells import (
    CellEstimate,
    cell_edges,
    coverage_of,
    effective_cells,
)
from joulecast.estimator.attribution.division import PHASES, Division
from joulecast.estimator.basis import Basis
from joulecast.estimator.estimate import Estimate, source_of
from joulecast.estimator.ideal import Ideal, Roofline
from joulecast.estimator.kinds.cards import Kind
from joulecast.estimator.positions import (
    Served,
    left_out_text,
    no_longer_than,
    request_counts,
    within_positions,
)
from joulecast.estimator.steps.cached import CachedPrompts
from joulecast.estimator.steps.intervals import interval_j, sampling_sd
from joulecast.estimator.steps.metered_batches import MeteredBatch, batches_of_steps
from joulecast.estimator.steps.progress import Progress, part_of
from joulecast.estimator.steps.schedulers import Scheduler, scheduler_of
from joulecast.estimator.steps.serving import Service, Services, serve
from joulecast.estimator.steps.spending import Spending
from joulecast.estimator.steps.work import CachedSums, LengthArray, StepCounts, Steps
from joulecast.estimator.table_law import TableLaw
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.hardware import Gpu
from joulecast.measurements.models import load_shape
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError
from joulecast.traces.requests import TokenArray
from joulecast.traces.sampling import cached_by_share
from joulecast.traces.workload import Workload


class Law(Protocol):
    """What steps cost."""

    @property
    def freedom(self) -> int:
        """Degrees of freedom of what the interval rests on."""

    @property
    def idle_power_w(self) -> float:
        """Power of all GPUs of a server that waits [W]; 0 if it is not known."""

    @property
    def idle_sd_w(self) -> float:
        """Sd of that, from card to card [W]."""

    @property
    def cards(self) -> float:
        """Cards that its prices are of; inf for so many that they are those of the kind."""

    def gauge(self, steps: Steps) -> FloatArray:
        """What it wants to know of steps, in quantities that add up over them, shape (n,)."""

    def spending(self, service: Service) -> Spending:
        """What a service costs, gauged so."""

    def relative_sds(
        self, service: Service, spending: Spending, cells: float, servers: int = 1
    ) -> dict[str, float]:
        """What makes a metered run of requests of so many cells differ: cause -> relative sd.

        The cards of several servers that share the requests average out.
        """

    def drawn_j(self, service: Service) -> float:
        """Energy of one draw of the requests [J]."""

    def alone_j(self, counts: StepCounts) -> float:
        """Energy of requests but for what they share [J], to share the whole by."""

    def divided_j(self, steps: Steps) -> FloatArray:
        """What steps take for each of `PHASES` [J], shape (3,); taking requests in is apart."""

    def own_j(self, requests: Steps) -> Division:
        """What each row takes for its tokens alone [J]."""


def estimate_stepwise(
    workload: Workload,
    table: EnergyTable,
    trace: str,
    lengths: LengthArray | None = None,
    host: EnergyTable | None = None,
    progress: Progress | None = None,
    cached: TokenArray | None = None,
) -> Estimate:
    """Estimate a workload from a table with the step model, with an interval.

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
        cached: Tokens of each prompt that were in a cache of prefixes, beside `lengths`, shape
            (n,); None for what the workload says, or for none.

    Returns:
        Energies [J] with a 95 % interval, time on the GPU [s], and the parts of the energy [J].

    Raises:
        InputError: No request to estimate, a table that no step model can be fitted to, or a
            request that the engine's memory does not hold.
    """
    return StepModel.of(table, host).estimate(workload, trace, lengths, progress, cached)


@dataclass(frozen=True)
class StepModel:
    """What serves, and what its steps cost, ready to estimate any workload.

    Attributes:
        name: What to call it: a table, or a deployment in words.
        basis: What its estimates stand on.
        config: What `load_shape` takes for the model.
        gpu: Data sheet of the GPU.
        compute_dtype: Number format of the linear layers' arithmetic.
        length_ranges: Shortest and longest input, then output, that was measured [tokens].
        scheduler: Which requests the engine feeds in which step.
        law: What the steps cost.
        roofline: Least energy of the steps.
        batches: Of the table that it is fitted to; none without such a table, or of traffic.
    """

    name: str
    basis: Basis
    config: str
    gpu: Gpu
    compute_dtype: str
    length_ranges: Sequence[tuple[int, int]]
    scheduler: Scheduler
    law: Law
    roofline: Roofline
    batches: Sequence[MeteredBatch] = field(default=(), repr=False, compare=False)

    @property
    def longest_request(self) -> int | None:
        """Input and output of the longest request that the model has positions for [tokens]."""
        return load_shape(self.config).positions

    @classmethod
    def of(
        cls, table: EnergyTable, host: EnergyTable | None = None, kind: Kind | None = None
    ) -> "StepModel":
        """Fit the model to a table; arguments and errors as for `TableLaw.of`."""
        batches = batches_of_steps(table)
        law = TableLaw.of(table, host, batches, kind)
        return cls(
            name=table.name,
            basis=Basis.of(table, law.notes, law.idle_cards),
            config=table.config,
            gpu=table.gpu,
            compute_dtype=table.compute_dtype,
            length_ranges=table.length_ranges,
            scheduler=scheduler_of(table),
            law=law,
            roofline=law.roofline,
            batches=batches,
        )

    def estimate(
        self,
        workload: Workload,
        trace: str,
        lengths: LengthArray | None = None,
        progress: Progress | None = None,
        cached: TokenArray | None = None,
    ) -> Estimate:
        """Estimate a workload; arguments and errors as for `estimate_stepwise`.

        Where prompt tokens are cached, the same requests are also served as if none were.
        """
        if lengths is not None and cached is None and workload.cached is not None:
            cached = cached_by_share(workload, lengths)
        elif lengths is not None and cached is not None:
            of_lengths = Workload.of_lengths(workload.grid, lengths, cached)
            workload = replace(workload, cached=of_lengths.cached)
        told, is_read = workload.cached_tokens, self.scheduler.has_prefix_cache
        if not is_read:
            made = self._estimate(workload.without_cached(), trace, lengths, progress)
        else:
            half = part_of(progress, 0.0, 0.5) if told else progress
            made = self._estimate(workload, trace, lengths, half, cached)
        if told is None:
            return made
        uncached_j = made.energy_j
        if told and is_read:
            half = part_of(progress, 0.5, 1.0)
            uncached_j = self._energy_j(workload.without_cached(), lengths, half)
        tokens = self._served(workload, lengths, cached).workload.cached_tokens or 0
        inputs = made.estimated_tokens["input"]
        return replace(made, cached=CachedPrompts(tokens, inputs, uncached_j, is_read))

    def _served(
        self, workload: Workload, lengths: LengthArray | None, cached: TokenArray | None = None
    ) -> Served:
        """The requests that the model has positions for and the memory holds."""
        served = within_positions(workload, lengths, self.config, cached)
        return no_longer_than(*served[:2], self.scheduler.longest_request, served.cached)

    def _energy_j(
        self, workload: Workload, lengths: LengthArray | None, progress: Progress | None
    ) -> float:
        """What requests take of which nothing is cached [J]."""
        workload, lengths, _ = self._served(workload, lengths)
        services = serve(workload, lengths, self.scheduler, self.gauge, progress)
        return self.law.spending(gauged_by_law(services.mean)).energy_j

    def _estimate(
        self,
        everything: Workload,
        trace: str,
        lengths: LengthArray | None,
        progress: Progress | None,
        cached: TokenArray | None = None,
    ) -> Estimate:
        """The estimate but for what would be without a cache of prefixes."""
        in_positions = within_positions(everything, lengths, self.config).workload
        workload, lengths, cached = self._served(everything, lengths, cached)
        total = workload.total
        counts = request_counts(everything, in_positions, total.requests, workload)
        if total.requests == 0:
            raise InputError(
                f"{trace}: has no request to estimate: {left_out_text(counts, self.config)}"
            )
        services = serve(workload, lengths, self.scheduler, self.gauge, progress, cached)
        spending = self.law.spending(gauged_by_law(services.mean))
        cells = self.cells(workload, spending.energy_j)
        sds = self._relative_sds(services, spending, cells, workload.is_reconstructed)
        return Estimate(
            trace=trace,
            source=source_of(workload),
            table=self.name,
            method="stepwise",
            requests=counts,
            invalid=dict(workload.invalid),
            estimated_tokens={"input": total.input_tokens, "output": total.output_tokens},
            beyond_grid_token_share=0.0,
            energy_j=spending.energy_j,
            interval_j=interval_j(spending.energy_j, sds, self.law.freedom),
            ideal_j={
                **self._peak_ideals_j(Served(workload, lengths, cached)),
                "roofline": float(services.mean.gauged[0]),
            },
            coverage=coverage_of(cells),
            dense_peak_flops_per_s=self.gpu.peak(self.compute_dtype),
            cells=tuple(cells),
            seconds=spending.seconds,
            parts_j=spending.parts_j,
            least_parts_j=spending.least_parts_j,
            relative_sds=sds,
            basis=self.basis,
            own_card=spending.own_card,
            attribution=self.attribution(
                services.mean, spending, sds, self._tokens(Served(workload, lengths, cached))
            ),
        )

    def attribution(
        self,
        service: Service,
        spending: Spending,
        sds: Mapping[str, float],
        tokens: Mapping[str, float],
        idle_j: float = 0.0,
    ) -> Attribution:
        """What input, cached and output tokens take, and waiting.

        Args:
            service: Of the requests.
            spending: What it costs.
            sds: What that may be off by: cause -> relative sd.
            tokens: How many of each of `PHASES` there are [tokens].
            idle_j: What waiting takes [J].
        """
        law = self.law
        positions = [self.longest_request, self.scheduler.longest_request]
        return Attribution.of(
            service.gauged[1 : 1 + len(PHASES)],
            spending,
            interval_j(1.0, sds, law.freedom),
            tokens,
            own_j=law.own_j,
            idle_j=idle_j,
            idle=IdlePower.of(law.idle_power_w, law.idle_sd_w, law.freedom),
            longest=min((most for most in positions if most is not None), default=None),
            is_continuous=self.scheduler.has_prefix_cache,
        )

    def _tokens(self, served: Served) -> dict[str, float]:
        """How many of each of `PHASES` are served [tokens]."""
        total = served.workload.total
        if served.lengths is None:
            cached = CachedSums.of_cells(served.workload).tokens
        else:
            cached = CachedSums.of_lengths(served.lengths, served.cached).tokens
        computed = total.input_tokens - cached
        return {"input": computed, "cached": cached, "output": float(total.output_tokens)}

    def _peak_ideals_j(self, served: Served) -> dict[Ideal, float]:
        """Peak -> energy if the chip did nothing but the arithmetic that must be done [J]."""
        model, workload = self.roofline.flops, served.workload
        if served.lengths is None:
            cached = CachedSums.of_cells(workload)
        else:
            cached = CachedSums.of_lengths(served.lengths, served.cached)
        flops: float = model.of_sums(workload.total)
        if cached.tokens:
            flops -= model.saved(cached.tokens, cached.times_input)
        peaks = self.gpu.peaks(self.compute_dtype).items()
        return {peak: self.gpu.tdp_w / rate * flops for peak, rate in peaks}

    def gauge(self, steps: Steps) -> FloatArray:
        """The roofline [J], what each of `PHASES` takes [J], then what the law asks for."""
        roofline_j = [self.roofline.steps_energy(steps)]
        return np.concatenate([roofline_j, self.law.divided_j(steps), self.law.gauge(steps)])

    def _relative_sds(
        self,
        services: Services,
        spending: Spending,
        cells: Sequence[CellEstimate],
        is_reconstructed: bool,
    ) -> dict[str, float]:
        """What the interval is made of: cause -> relative sd."""
        draws_j = [self.law.drawn_j(gauged_by_law(draw)) for draw in services.draws]
        shorter = services.shorter
        shorter_j = None if shorter is None else self.law.drawn_j(gauged_by_law(shorter))
        cell_count = effective_cells(cells, spending.energy_j)
        sds = self.law.relative_sds(gauged_by_law(services.mean), spending, cell_count)
        host_sd = sds.pop("host", None)
        sds["sampling"] = sampling_sd(draws_j, shorter_j)
        if host_sd is not None:
            sds["host"] = host_sd
        if is_reconstructed:
            sds["reconstruction"] = self.scheduler.reconstruction_sd
        return sds

    def cells(self, workload: Workload, energy_j: float) -> list[CellEstimate]:
        """The cells' parts of the energy, and whether they lie among the lengths that were metered.

        A fit meets no run exactly, so nothing counts as measured. Steps are shared in proportion.
        """
        alone_j = {
            place: self.law.alone_j(
                StepCounts.of_sums(sums, CachedSums.of_cells(workload.of_cells([place])))
            )
            for place, sums in workload.cells.items()
        }
        whole_j = sum(alone_j.values())
        cells = []
        for place, sums in sorted(workload.cells.items()):
            edges = cell_edges(workload.grid, place)
            is_within = all(
                edge is not None and low <= edge <= high
                for edge, (low, high) in zip(edges, self.length_ranges, strict=True)
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


def gauged_by_law(service: Service) -> Service:
    """A service with what the law asked for alone."""
    return Service(service.counts, service.gauged[1 + len(PHASES) :])
