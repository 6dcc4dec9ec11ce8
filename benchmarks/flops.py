"""Time that the profiler takes for the FLOPs of a whole grid, imports and model building apart."""

import time

from joulecast.estimator.flops import meta_forward, profile
from joulecast.traces.grid import POWER_OF_TWO_GRID


def main() -> None:
    """Print seconds for Llama-3.1-8B after everything is imported, and per forward pass."""
    profile("llama-3.2-1b")  # imports
    start = time.perf_counter()
    cells = profile("llama-3.1-8b").grid(POWER_OF_TWO_GRID)
    whole = time.perf_counter() - start
    start = time.perf_counter()
    with meta_forward("llama-3.1-8b") as forward:
        built = time.perf_counter() - start
        start = time.perf_counter()
        forward.run(1, 0)
        one_pass = time.perf_counter() - start
    print(f"{len(cells)} cells in {whole:.2f} s; the bound is 2 s")
    print(f"of that, building the model {built:.2f} s; one pass without profiler {one_pass:.2f} s")
    print(f"a pass per cell would take {len(cells) * one_pass / whole:.0f} x as long at the least")


if __name__ == "__main__":
    main()
