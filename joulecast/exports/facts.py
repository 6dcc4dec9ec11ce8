"""What every export tells of an estimate: what served, for how long, and with what energy."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from joulecast.estimator.basis import Basis
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.footprint.carbon import CarbonIntensity
from joulecast.estimator.footprint.facility import Boundary, Facility
from joulecast.estimator.unit_prices.model import Served
from joulecast.measurements.engines.decoding import GREEDY
from joulecast.measurements.gpu.meter import JOULES_PER_KWH
from joulecast.measurements.hardware import Gpu
from joulecast.measurements.models import load_shape, model_names
from joulecast.measurements.shapes.shape import ModelShape
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError
from joulecast.traces.files import shown_address
from joulecast.version import VERSION
from joulecast.views.numbers import left_out_texts
from joulecast.views.online.serving import limits_facts, serving_text

LEVEL = "95 %"
"""Of every interval."""


@dataclass(frozen=True)
class Facts:
    """What an export is made of.

    Attributes:
        estimate: The estimate.
        basis: What it stands on.
        shape: Sizes of the model.
        model: What the model is called, without the folder of a config.
        gpu: Data sheet of the GPU.
        engine_version: Of the engine that was measured; None where none of this deployment was.
        made: When the forecast was made.
        identifier: Of this forecast.
    """

    estimate: Estimate
    basis: Basis
    shape: ModelShape
    model: str
    gpu: Gpu
    engine_version: str | None
    made: datetime = field(default_factory=lambda: datetime.now(UTC))
    identifier: uuid.UUID = field(default_factory=uuid.uuid4)

    @classmethod
    def of(cls, estimate: Estimate, served: Served) -> "Facts":
        """Of an estimate, and what it was made of.

        Raises:
            InputError: It does not tell what it stands on.
        """
        if isinstance(served, EnergyTable):
            basis = estimate.basis or Basis.of(served)  # which binned does not tell
            config, gpu = served.config, served.gpu
            engine_version = str(served.metadata["engine_version"])
        elif estimate.basis is not None:
            deployment, basis, engine_version = served.deployment, estimate.basis, None
            config, gpu = deployment.model, deployment.gpu
        else:
            raise InputError(f"{estimate.trace}: its estimate has no basis, so nothing is exported")
        return cls(
            estimate, basis, load_shape(config), model_name(basis.model), gpu, engine_version
        )

    @property
    def facility(self) -> Facility:
        """Where the GPUs stand; one of which nothing is told if that was not asked for."""
        return self.estimate.facility or Facility()

    @property
    def carbon(self) -> CarbonIntensity | None:
        """Carbon intensity of the electricity."""
        return self.facility.carbon

    @property
    def boundary(self) -> Boundary:
        """What the widest energy is of."""
        return self.facility.boundary

    @property
    def servers(self) -> int:
        """Replicas of the model."""
        serving = self.estimate.serving
        return 1 if serving is None else serving.replicas

    @property
    def gpus(self) -> int:
        """GPUs of all replicas."""
        return self.basis.gpus * self.servers

    @property
    def seconds(self) -> float | None:
        """How long the servers were there [s]; None where the method does not tell."""
        serving = self.estimate.serving
        return self.estimate.seconds if serving is None else serving.span_s

    @property
    def requests(self) -> int:
        """Requests that the energy is of."""
        return self.estimate.requests["estimated"]

    @property
    def trace(self) -> str:
        """What the user called the trace, without what an address may hold that is secret."""
        return shown_address(self.estimate.trace)

    @property
    def source_text(self) -> str:
        """That this is a forecast, and how it was made."""
        return (
            f"Forecast by joulecast {VERSION}, not measured: method {self.estimate.method_text}, "
            f"basis {self.basis.kind}"
        )

    @property
    def serving_text(self) -> str:
        """How the requests were served, and whether the energy has idle power in between."""
        if self.estimate.serving is None:
            return f"served {serving_text(self.estimate)}, no idle power in between"
        return f"served {serving_text(self.estimate)}; idle power in between is included"

    @property
    def what_if_text(self) -> str:
        """What the requests or the engine were taken to be; empty where both are as they were."""
        reading = self.estimate.reading
        lines = [line for _, line in limits_facts(self.estimate)]
        if reading is not None and reading.where is not None:
            lines.append(f"only requests of the trace with {reading.where}")
        return "; ".join(f"what if: {line}" for line in lines)

    @property
    def variant_text(self) -> str:
        """How the engine serves besides; empty where it does as by default."""
        basis = self.basis
        texts = ["eager, nothing compiled"] if basis.is_eager else []
        texts += [] if basis.decoding == GREEDY.text else [f"decoding {basis.decoding}"]
        texts += [] if basis.speculation is None else [f"speculation {basis.speculation}"]
        return ", ".join(texts)

    @property
    def circumstances_text(self) -> str:
        """How the requests were served, by what variant of the engine, and under which what-ifs."""
        texts = self.serving_text, self.variant_text, self.what_if_text
        return "; ".join(filter(None, texts))

    @property
    def requests_text(self) -> str:
        """Which requests of the trace the energy is of."""
        few, many = self.requests, self.estimate.requests["total"]
        if few == many:
            return "the request" if few == 1 else f"all {few:,} requests"
        left_out = ", ".join(left_out_texts(self.estimate.requests))
        return f"{few:,} of {many:,} requests (left out: {left_out})"

    @property
    def boundary_text(self) -> str:
        """What the widest energy is of, in words."""
        facility = self.facility
        overhead = facility.server_overhead
        rest = "the rest of the server is left out"
        if overhead is not None:
            rest = f"{overhead.text} for the rest of the server ({overhead.source})"
        building = "no building" if facility.pue is None else f"PUE {facility.pue:g}"
        return f"energy of the {self.boundary}: {rest}, {building}"

    @property
    def interval_text(self) -> str:
        """The interval of the widest energy, or that there is none."""
        ends = self.interval_kwh
        if ends is None:
            return "no interval: the method does not support one"
        return f"{LEVEL} interval {ends[0]:.6g} to {ends[1]:.6g} kWh"

    @property
    def energy_kwh(self) -> float:
        """The widest energy that is told: of the facility, the IT or the GPUs [kWh]."""
        return self.facility.energy_kwh(self.estimate.energy_j)

    @property
    def interval_kwh(self) -> tuple[float, float] | None:
        """Its 95 % interval [kWh]; None where the method does not support one."""
        ends_j = self.estimate.interval_j
        if ends_j is None:
            return None
        low, high = (self.facility.energy_kwh(end_j) for end_j in ends_j)
        return low, high

    @property
    def it_energy_kwh(self) -> float:
        """Energy of the servers, of their GPUs alone if no overhead was given [kWh]."""
        return self.facility.it_energy_j(self.estimate.energy_j) / JOULES_PER_KWH

    @property
    def carbon_g(self) -> float | None:
        """Emissions of the widest energy [g of the intensity's gas]."""
        return self.facility.carbon_g(self.estimate.energy_j)

    @property
    def carbon_interval_g(self) -> tuple[float, float] | None:
        """Their 95 % interval, of the energy alone [g]."""
        ends_kwh, carbon = self.interval_kwh, self.carbon
        if ends_kwh is None or carbon is None:
            return None
        return ends_kwh[0] * carbon.g_per_kwh, ends_kwh[1] * carbon.g_per_kwh

    @property
    def carbon_text(self) -> str:
        """What the carbon intensity is of, in words; empty without one."""
        carbon = self.carbon
        if carbon is None:
            return ""
        text = f"{carbon.g_per_kwh:,.7g} g{carbon.gas}/kWh"
        if carbon.region is None:
            return f"{text}, as given"
        bound = ", a lower bound" if carbon.unknown_share else ""
        return f"{text}, {carbon.name} {carbon.year}, {carbon.scope}{bound} ({carbon.source})"


def model_name(model: str) -> str:
    """What a model is called: a shipped name, or that of the folder or file of its config."""
    if model in model_names():
        return model
    path = Path(model)
    return path.parent.resolve().name if path.name == "config.json" else path.name
