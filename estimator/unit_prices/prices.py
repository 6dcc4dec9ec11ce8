"""Energy of an engine's steps: idle power all the time, and a price for each unit of work.

    E = P_idle t + sum over kinds of work of price x amount

The prices are of what is drawn beside idle power, so they carry to cards that idle at other watts,
and to engines that keep a card waiting. `pace.py` says how t comes about.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from joulecast.estimator.steps.host_pace import HOST_SPREAD
from joulecast.estimator.steps.work import Steps
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.pace import Pace
from joulecast.estimator.unit_prices.work import TERMS, StepWork, pieces
from joulecast.measurements.arrays import FloatArray


@dataclass(frozen=True)
class Spent:
    """What some steps take.

    Attributes:
        work: Amounts of each kind of work, in the order of `TERMS`, shape (13,).
        seconds: Time [s].
        slow_seconds: Time on a host that is slower than usual by two standard deviations [s].
    """

    work: FloatArray
    seconds: float
    slow_seconds: float

    def array(self) -> FloatArray:
        """Seconds, those on a slow host, then the work; shape (15,)."""
        return np.concatenate([[self.seconds, self.slow_seconds], self.work])

    @classmethod
    def of_array(cls, values: FloatArray) -> "Spent":
        """From what `array` gives."""
        return cls(values[2:], float(values[0]), float(values[1]))


@dataclass(frozen=True)
class UnitPrices:
    """What a GPU takes for each unit of physical work under an engine.

    Attributes:
        gpu: Short name of the GPU.
        engine: Of the engine.
        energy_j: Prices in the order of `TERMS`, beside idle power [J each], shape (13,).
        covariance: Of these [J^2], shape (13, 13).
        pace: How long the work takes.
        idle_power_w: A loaded card that waits [W].
        idle_sd_w: How far cards of the kind lie apart in that [W].
        errors: Kind of estimate -> relative sd of the errors of what was held out.
        lengths: Longest input and output among what they were fitted to [tokens].
        provenance: What they were fitted to, when, with which version.
    """

    gpu: str
    engine: str
    energy_j: FloatArray
    covariance: FloatArray
    pace: Pace
    idle_power_w: float
    idle_sd_w: float
    errors: Mapping[str, float]
    lengths: tuple[int, int]
    provenance: Mapping[str, Any]

    def work_j(self, work: FloatArray) -> float:
        """Energy of so much work beside idle power [J]; work of shape (13,)."""
        return float(self.energy_j @ work)

    def work_sd_j(self, work: FloatArray) -> float:
        """Sd of that, since the prices rest on so much [J]."""
        return math.sqrt(max(0.0, float(work @ self.covariance @ work)))

    def step_seconds(
        self, work: StepWork, deployment: Deployment, host_factor: float = 1.0
    ) -> FloatArray:
        """How long steps last [s], shape (steps,)."""
        gpus = deployment.gpus
        return self.pace.step_seconds(
            work,
            self.energy_j @ work.amounts,
            gpus * (deployment.power_limit_w - self.idle_power_w),
            gpus,
            deployment.launches_every_step,
            host_factor,
        )

    def spent(self, steps: Steps, deployment: Deployment) -> Spent:
        """What steps take of a deployment."""
        total, seconds, slow = np.zeros(len(TERMS)), 0.0, 0.0
        for piece in pieces(steps):
            work = deployment.work_of(piece)
            total += work.total if piece.repeats is None else work.amounts @ piece.repeats
            alone = self.step_seconds(work, deployment)  # each with a host of its own
            followed = piece.total(alone if piece.seconds is None else piece.seconds)
            seconds += followed
            slow_host = math.exp(2 * HOST_SPREAD)
            slow += followed + piece.total(self.step_seconds(work, deployment, slow_host) - alone)
        return Spent(total, seconds, slow)

    def energy_of(self, spent: Spent, gpus: int) -> float:
        """Energy of what was spent [J]."""
        return gpus * self.idle_power_w * spent.seconds + self.work_j(spent.work)

    def parts_j(self, spent: Spent, gpus: int) -> dict[str, float]:
        """Kind of work, and idle power -> its part of the energy [J]; without those of nothing."""
        parts = dict(zip(TERMS, (self.energy_j * spent.work).tolist(), strict=True))
        parts = {term: energy_j for term, energy_j in parts.items() if energy_j > 0}
        return {**parts, "idle": gpus * self.idle_power_w * spent.seconds}

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "joulecast_prices": 1,
            "gpu": self.gpu,
            "engine": self.engine,
            "energy_j": dict(zip(TERMS, self.energy_j.tolist(), strict=True)),
            "covariance": self.covariance.tolist(),
            "seconds": dict(self.pace.to_dict()),
            "idle_power_w": self.idle_power_w,
            "idle_sd_w": self.idle_sd_w,
            "errors": dict(self.errors),
            "lengths": list(self.lengths),
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "UnitPrices":
        """From what `to_dict` gives."""
        return cls(
            gpu=document["gpu"],
            engine=document["engine"],
            energy_j=np.array([document["energy_j"][term] for term in TERMS]),
            covariance=np.array(document["covariance"]),
            pace=Pace(**document["seconds"]),
            idle_power_w=document["idle_power_w"],
            idle_sd_w=document["idle_sd_w"],
            errors=document["errors"],
            lengths=(document["lengths"][0], document["lengths"][1]),
            provenance=document["provenance"],
        )
