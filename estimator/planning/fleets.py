"""Fleets that a plan may take, and what none could be made of."""

from dataclasses import dataclass, field
from typing import Any, Literal

from joulecast.estimator.basis import Basis
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.over_time.serving import Objective
from joulecast.estimator.planning.embodied import embodied_carbon
from joulecast.estimator.planning.terms import Terms
from joulecast.measurements.engines.decoding import GREEDY

Goal = Literal["gpus", "energy", "cost"]
"""What a plan has as little of as can be."""

Lack = Literal["too slow", "too many GPUs", "not estimated", "not all requests"]


@dataclass(frozen=True)
class NotPlanned:
    """What was asked for and does not serve the trace in time.

    Attributes:
        spec: The deployment, as `--on` takes it.
        lack: "too slow" for the bounds, "too many GPUs" are needed for them, "not estimated" at
            all, or "not all requests" fit.
        reason: Why, in a line.
    """

    spec: str
    lack: Lack
    reason: str

    def to_dict(self) -> dict[str, str]:
        """As plain JSON values."""
        return {"spec": self.spec, "lack": self.lack, "reason": self.reason}


@dataclass(frozen=True)
class FleetOption:
    """A fleet that serves the trace in time, and what that takes.

    Attributes:
        spec: The deployment, as `--on` takes it.
        estimate: Of the trace, by the fewest replicas that serve it in time.
        terms: Prices and carbon.
        is_of_several: Whether the plan has several models, so that a name has to tell which.
    """

    spec: str
    estimate: Estimate
    terms: Terms = field(default_factory=Terms)
    is_of_several: bool = False

    @property
    def basis(self) -> Basis:
        """What serves, and what its estimate stands on."""
        basis = self.estimate.basis
        assert basis is not None  # noqa: S101 - every step model has one
        return basis

    @property
    def name(self) -> str:
        """GPUs that share the model, number format, and what else is not as by default.

        Behind the model, where the plan has several.
        """
        basis = self.basis
        cards = basis.gpu if basis.gpus == 1 else f"{basis.gpus} x {basis.gpu}"
        cards = f"{basis.model} on {cards}" if self.is_of_several else cards
        words = [cards, basis.dtype]
        words += [] if basis.engine == "vllm" else [basis.engine]
        words += ["eager"] if basis.is_eager else []
        words += [] if basis.decoding == GREEDY.text else [basis.decoding]
        words += [] if basis.speculation is None else [f"speculating {basis.speculation}"]
        words += [
            f"{name.replace('_', '-')} {limit:,}" for name, limit in self.estimate.limits.items()
        ]
        return ", ".join(words)

    @property
    def replicas(self) -> int:
        """Servers."""
        serving = self.estimate.serving
        return 1 if serving is None else serving.replicas

    @property
    def gpus(self) -> int:
        """Cards of all servers."""
        return self.replicas * self.basis.gpus

    @property
    def energy_j(self) -> float:
        """Energy of all cards, from the first arrival to the last token [J]."""
        return self.estimate.energy_j

    @property
    def interval_j(self) -> tuple[float, float]:
        """95 % interval of it [J]."""
        return self.estimate.interval_j or (self.energy_j, self.energy_j)

    @property
    def span_s(self) -> float:
        """From the first arrival to the last token, or how long a batch job takes [s]."""
        serving = self.estimate.serving
        return self.estimate.seconds or 0.0 if serving is None else serving.span_s

    @property
    def gpu_hours(self) -> float:
        """Cards, times how long they are there [h]."""
        return self.gpus * self.span_s / 3600

    @property
    def cost(self) -> float | None:
        """Rent and electricity, in the currency of the prices; None where a price is missing."""
        return self._cost_of(self.energy_j)

    @property
    def cost_interval(self) -> tuple[float, float] | None:
        """The same at either end of the energy's interval; None of rent alone, which has none."""
        low, high = map(self._cost_of, self.interval_j)
        return None if low is None or high is None or low == high else (low, high)

    @property
    def carbon_g(self) -> float | None:
        """What the electricity emits [g of the intensity's gas]; None if that was not asked for."""
        facility = self.estimate.facility
        return None if facility is None else facility.carbon_g(self.energy_j)

    @property
    def carbon_interval_g(self) -> tuple[float, float] | None:
        """The same at either end of the interval of the energy."""
        facility = self.estimate.facility
        if facility is None:
            return None
        low, high = map(facility.carbon_g, self.interval_j)
        return None if low is None or high is None else (low, high)

    @property
    def embodied_g(self) -> float | None:
        """The part of what making the cards emitted [gCO2e]; None likewise, or if not known."""
        return self.terms.embodied_g(self.basis.gpu, self.gpu_hours)

    def _cost_of(self, energy_j: float) -> float | None:
        """What the hours of the cards and an energy [J] cost."""
        facility = self.estimate.facility
        electricity = None if facility is None else facility.cost(energy_j)
        return self.terms.cost(self.basis.gpu, self.gpu_hours, electricity)

    def headroom_percent(self, objectives: tuple[Objective, ...]) -> float | None:
        """How far the nearest bound is away [%]; None without bounds."""
        serving = self.estimate.serving
        if serving is None or not objectives:
            return None
        return min(100 * (1 - each.share_of(serving.latencies)) for each in objectives)

    def measure(self, goal: Goal) -> tuple[float, float] | None:
        """What a goal compares fleets by, from its low end to its high end; None if not known."""
        if goal == "gpus":
            return self.gpus, self.gpus
        if goal == "energy":
            return self.interval_j
        cost = self.cost
        return self.cost_interval or (None if cost is None else (cost, cost))

    def place(self, goal: Goal) -> tuple[float, float, float, str]:
        """What to sort fleets by."""
        energy_j, gpus = self.energy_j, self.gpus
        if goal == "gpus":
            return gpus, energy_j, 0, self.spec
        if goal == "energy":
            return energy_j, gpus, 0, self.spec
        cost = self.cost
        return float("inf") if cost is None else cost, energy_j, gpus, self.spec

    def might_change_places(self, other: "FleetOption", goal: Goal) -> bool:
        """Whether the intervals leave it open which of two comes first.

        The fewest GPUs are told apart by their number, and where that is the same, by energy.
        """
        ends, others = self.measure(goal), other.measure(goal)
        if ends is None or others is None:
            return False
        if goal == "gpus":
            return ends == others and self.might_change_places(other, "energy")
        return ends[0] <= others[1] and others[0] <= ends[1]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        estimate, terms = self.estimate, self.terms
        serving = estimate.serving
        document: dict[str, Any] = {
            "spec": self.spec,
            "name": self.name,
            **self.basis.to_dict(),
            "limits": dict(estimate.limits),
            "replicas": self.replicas,
            "gpus_in_all": self.gpus,
            "energy_j": self.energy_j,
            "interval_j": list(self.interval_j),
            "joules_per_request": estimate.joules_per_request,
            "joules_per_output_token": estimate.joules_per_output_token,
            "mean_power_w": estimate.mean_power_w,
            "span_s": self.span_s,
            "gpu_hours": self.gpu_hours,
            "requests": dict(estimate.requests),
            "busy_share": None if serving is None else serving.busy_share,
        }
        for latency, quantiles in ({} if serving is None else serving.latencies).items():
            document[f"{latency}_s"] = quantiles and quantiles.to_dict()
        if serving is not None:
            document["latency_intervals_s"] = serving.latency_intervals_s()
        facility = estimate.facility
        if facility is not None:
            document |= facility.to_dict(self.energy_j, self.interval_j)
        if terms.has_prices:
            interval = self.cost_interval
            document |= {
                "gpu_cost": terms.rent(self.basis.gpu, self.gpu_hours),
                "electricity_cost": facility and facility.cost(self.energy_j),
                "cost": self.cost,
                "cost_interval": None if interval is None else list(interval),
            }
        if terms.lifetime_years is not None:
            figure = embodied_carbon().get(self.basis.gpu)
            document["embodied_g"] = self.embodied_g
            document["embodied"] = None if figure is None else figure.to_dict()
        return document
