"""How sure latencies are, by how far those of metered servers were off.

So many times as long, or as short, as simulated, of 95 % of the 100 minutes of requests on H200s
under vLLM that ship (docs/online.md). Chosen after a look at them, dense models of 5 billion
parameters and more on one GPU apart, whose steps take longer than a host needs to launch them; of
the others, 17 minutes, all lie inside. Later minutes will tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from joulecast.estimator.basis import Basis
from joulecast.measurements.models import load_shape

_LARGE = 5e9
_METERED = "h200-sxm"


@dataclass(frozen=True)
class LatencySpread:
    """Of some servers.

    Attributes:
        factors: "ttft", "tpot" or "e2e" -> "p50", "p90", "p99" or "mean" -> how many times as
            long, or as short, one may be, above 1.
        stands_on: What that was metered on, in words.
    """

    factors: Mapping[str, Mapping[str, float]]
    stands_on: str

    @classmethod
    def of(cls, basis: Basis, config: str) -> "LatencySpread":
        """Of a deployment; `config` as `load_shape` takes it."""
        shape = load_shape(config)
        is_large = not shape.is_mixture and shape.parameters >= _LARGE and basis.gpus == 1
        factors, servers = _LARGE_DENSE if is_large else _OTHERS
        where = "" if basis.gpu == _METERED else "; no other kind of GPU was metered so"
        return cls(factors, f"{servers} on H200s{where}")

    def interval_s(self, latency: str, quantile: str, seconds: float) -> tuple[float, float]:
        """A 95 % interval [s] of one that is simulated to be so long [s]."""
        factor = self.factors[latency][quantile]
        return seconds / factor, seconds * factor


_LARGE_DENSE = (
    {
        "ttft": {"p50": 1.09, "p90": 1.15, "p99": 1.28, "mean": 1.11},
        "tpot": {"p50": 1.05, "p90": 1.43, "p99": 1.17, "mean": 1.06},
        "e2e": {"p50": 1.08, "p90": 1.07, "p99": 1.06, "mean": 1.05},
    },
    "83 metered minutes of dense models of 7 billion parameters and more",
)
_OTHERS = (
    {
        "ttft": {"p50": 1.52, "p90": 1.46, "p99": 2.05, "mean": 1.33},
        "tpot": {"p50": 1.16, "p90": 1.33, "p99": 1.58, "mean": 1.17},
        "e2e": {"p50": 1.25, "p90": 1.14, "p99": 1.21, "mean": 1.15},
    },
    "17 metered minutes of smaller models, a mixture, and of two and four GPUs",
)
