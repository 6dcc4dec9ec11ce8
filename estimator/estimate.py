"""What an estimate says, whichever method made it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from measurements.interpolation import Coverage
from measurements.meter import JOULES_PER_KWH
from traces.workload import Workload


@dataclass(frozen=True)
class Estimate:
    """Energy of a workload on one GPU, model and engine.

    Attributes:
        trace: What the user called the trace.
        table: Name of the energy table.
        source: "trace", or "reconstructed" where only published figures of it are known.
        method: "binned", "binned, whole batches" or "stepwise".
        requests: "total", "estimated", "beyond_grid", "failed", "invalid" -> how many.
        invalid: What was wrong with the invalid rows -> how many.
        estimated_tokens: "input", "output" -> true lengths of the estimated requests [tokens].
        beyond_grid_token_share: Tokens of requests beyond the grid over all tokens.
        energy_j: GPU energy of the estimated requests [J].
        interval_j: 95 % interval [J]; None where the method does not support one.
        ideal_j: "dense", "sparse", "roofline" -> energy of that ideal [J].
        coverage: "measured", "interpolated", "extrapolated" -> share of energy_j.
        seconds: Time on the GPU [s]; this and what follows is None where the method has none.
        parts_j: Term of the step model -> its part of energy_j [J].
        least_parts_j: The same, if each kind of work alone ran at the chip's peaks [J].
        relative_sds: What the interval is made of -> relative sd.
    """

    trace: str
    source: str
    table: str
    method: str
    requests: Mapping[str, int]
    invalid: Mapping[str, int]
    estimated_tokens: Mapping[str, int]
    beyond_grid_token_share: float
    energy_j: float
    interval_j: tuple[float, float] | None
    ideal_j: Mapping[str, float]
    coverage: Mapping[Coverage, float]
    seconds: float | None = None
    parts_j: Mapping[str, float] | None = None
    least_parts_j: Mapping[str, float] | None = None
    relative_sds: Mapping[str, float] | None = None

    @property
    def energy_kwh(self) -> float:
        """GPU energy [kWh]."""
        return self.energy_j / JOULES_PER_KWH

    @property
    def joules_per_request(self) -> float:
        """Energy per estimated request [J]."""
        return self.energy_j / self.requests["estimated"]

    @property
    def joules_per_output_token(self) -> float:
        """Energy per output token asked for, lengths not rounded up [J]."""
        return self.energy_j / self.estimated_tokens["output"]

    @property
    def excess_percent(self) -> dict[str, float]:
        """How far the energy lies above each ideal [%]."""
        return {name: excess_percent(self.energy_j, ideal) for name, ideal in self.ideal_j.items()}

    def to_dict(self) -> dict[str, Any]:
        """The estimate as plain JSON values."""
        return {
            "trace": self.trace,
            "source": self.source,
            "table": self.table,
            "method": self.method,
            "requests": dict(self.requests),
            "invalid_rows": dict(self.invalid),
            "beyond_grid_token_share": self.beyond_grid_token_share,
            "energy_j": self.energy_j,
            "energy_kwh": self.energy_kwh,
            "interval_j": None if self.interval_j is None else list(self.interval_j),
            "joules_per_request": self.joules_per_request,
            "joules_per_output_token": self.joules_per_output_token,
            "ideal_j": dict(self.ideal_j),
            "excess_percent": self.excess_percent,
            "coverage": dict(self.coverage),
            "seconds": self.seconds,
            "parts_j": self.parts_j and dict(self.parts_j),
            "least_parts_j": self.least_parts_j and dict(self.least_parts_j),
            "relative_sds": self.relative_sds and dict(self.relative_sds),
        }


def excess_percent(real_j: float, ideal_j: float) -> float:
    """How far an energy lies above an ideal: 100 (E / E_ideal - 1) [%]."""
    return 100 * (real_j / ideal_j - 1)


def source_of(workload: Workload) -> str:
    """`Estimate.source` of a workload."""
    return "reconstructed" if workload.is_reconstructed else "trace"


def request_counts(workload: Workload, estimated: int) -> dict[str, int]:
    """`Estimate.requests` of a workload of which so many requests are estimated."""
    total, failed = workload.total.requests, workload.failed.requests
    invalid = sum(workload.invalid.values())
    return {
        "total": total + failed + invalid,
        "estimated": estimated,
        "beyond_grid": total - estimated,
        "failed": failed,
        "invalid": invalid,
    }
