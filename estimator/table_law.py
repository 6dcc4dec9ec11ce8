"""What a table tells of steps' cost.

    E = e_step S + e_token T + e_context K + e_pair P + e_output O + e_request R

What the GPU spends waiting for its host to launch steps is kept apart: it is taken off the table's
runs before they are priced, and added for the host that serves.
"""

from dataclasses import dataclass

import numpy as np

from joulecast.estimator.ideal import Roofline
from joulecast.estimator.steps.hosts import Hosts, hosts_of
from joulecast.estimator.steps.intervals import Spread, relative_sds
from joulecast.estimator.steps.metered_batches import metered_batches, require_price_of_step
from joulecast.estimator.steps.prices import Prices, fit_prices
from joulecast.estimator.steps.serving import Service
from joulecast.estimator.steps.spending import Spending
from joulecast.estimator.steps.traffic import fit_traffic
from joulecast.estimator.steps.work import StepCounts, Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError


@dataclass(frozen=True)
class TableLaw:
    """Prices of one table.

    Attributes:
        prices: Of each kind of work.
        spread: How far equal work lies apart.
        hosts: How long hosts take to launch a step; None if they launch none one by one.
        roofline: Least energy of the steps.
        power_limit_w: Of all GPUs [W].
    """

    prices: Prices
    spread: Spread
    hosts: Hosts | None
    roofline: Roofline
    power_limit_w: float

    @classmethod
    def of(cls, table: EnergyTable, host: EnergyTable | None = None) -> "TableLaw":
        """Fit the law to a table; arguments and errors as for `estimate_stepwise`."""
        roofline, limit_w = Roofline.of(table), float(table.metadata["power_limit_w"])
        if table.is_of_traffic:
            if host is not None:
                raise InputError(
                    f"{table.name}: is of traffic, whose prices hold the pace of its own host; "
                    "leave --host out"
                )
            traffic = fit_traffic(table)
            return cls(traffic.prices, traffic.spread, None, roofline, limit_w)
        require_price_of_step(table)
        batches = metered_batches(table)
        hosts = hosts_of(table, batches, host)
        prices = fit_prices(batches if hosts is None else hosts.without_waiting(batches))
        return cls(prices, Spread.of(batches), hosts, roofline, limit_w)

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the fit."""
        return self.prices.freedom

    def gauge(self, steps: Steps) -> FloatArray:
        """How long the GPU waits for the serving and for a slow host [s], shape (2,) or (0,)."""
        return np.zeros(0) if self.hosts is None else self.hosts.waiting_seconds(steps)

    def spending(self, service: Service) -> Spending:
        """What the work costs, and the waiting for the serving host."""
        counts = service.counts
        energy_j, seconds = self.prices.total_j(counts), self.prices.total_seconds(counts)
        parts_j = dict(self.prices.parts_j(counts))
        least_parts_j = dict(self.roofline.parts_energy(counts))
        host_sd = None
        if self.hosts is not None:
            pace = self.hosts.pace
            serving_s, slow_s = service.gauged.tolist()
            parts_j["waiting"] = pace.waiting_power_w * serving_s
            least_parts_j["waiting"] = 0.0
            energy_j += parts_j["waiting"]
            seconds = float(pace.gpu_seconds @ counts.array()) + serving_s
            host_sd = pace.waiting_power_w * (slow_s - serving_s) / 2 / energy_j
        # No card draws more than its limit for long; a table of few runs tells times less well.
        seconds = max(seconds, energy_j / self.power_limit_w)
        return Spending(energy_j, seconds, parts_j, least_parts_j, host_sd)

    def relative_sds(self, service: Service, spending: Spending) -> dict[str, float]:
        """What makes a metered run differ from its price: cause -> relative sd."""
        sds = relative_sds(self.prices, self.spread, service.counts)
        return sds if spending.host_sd is None else {**sds, "host": spending.host_sd}

    def drawn_j(self, service: Service) -> float:
        """Energy of one draw of the requests [J]."""
        return self.prices.total_j(service.counts)

    def alone_j(self, counts: StepCounts) -> float:
        """Energy of requests but for what they share [J], to share the whole by."""
        return self.prices.total_j(counts)
