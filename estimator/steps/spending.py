"""What serving a workload costs, whichever law says so."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Spending:
    """What a service costs.

    Attributes:
        energy_j: All of it [J].
        seconds: Time on the GPU [s].
        parts_j: Term -> its part [J].
        least_parts_j: The same at the chip's peaks [J].
        host_sd: Relative sd from the pace of the host; None where it does not matter.
    """

    energy_j: float
    seconds: float
    parts_j: Mapping[str, float]
    least_parts_j: Mapping[str, float]
    host_sd: float | None
