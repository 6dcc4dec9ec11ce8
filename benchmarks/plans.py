"""What a plan of fifty options takes, against one option alone.

    python benchmarks/plans.py [TRACE]

TRACE is by default the shipped Azure conversations of 2023. Options share the reading of the trace,
and as many are tried at a time as there are cores; some need a search for the number of replicas,
and some are too slow even for a request alone.
"""

import sys
import time

from joulecast.estimator.planning.plan import plan
from joulecast.estimator.planning.specs import DEFAULT_SPECS, choices_of

SLO = "ttft_p99=2s,tpot_p99=20ms"
FIFTY = (
    *DEFAULT_SPECS,
    "gpu=h100-sxm,h200-sxm,gpus=1,2,dtype=bfloat16,fp8,max-num-seqs=64..256",
    "gpu=b200-sxm,h100-nvl,h100-pcie,l4,rtx-6000-ada",
)


def main(trace: str) -> None:
    """Print the times and their ratio."""
    plan(trace, ["gpu=h100-sxm"], slo=SLO)  # compiles, or loads what was compiled
    began = time.perf_counter()
    plan(trace, ["gpu=h100-sxm"], slo=SLO)
    one = time.perf_counter() - began
    began, worked = time.perf_counter(), time.process_time()
    made = plan(trace, FIFTY, slo=SLO)
    seconds, worked = time.perf_counter() - began, time.process_time() - worked
    print(
        f"{len(choices_of(FIFTY))} options: {seconds:.1f} s ({worked:.1f} s of processors), "
        f"{seconds / one:.0f} times as long as one; {len(made.options)} serve it in time"
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "azure-2023-conv")
