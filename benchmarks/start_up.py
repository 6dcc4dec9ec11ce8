"""How long the first answer takes: whole commands, imports included, beside a bare interpreter."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 7
TABLE = "h100-sxm/llama-3.1-8b/vllm"
JOULECAST = str(Path(sys.executable).parent / "joulecast")
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import numpy, scipy.interpolate": [sys.executable, "-c", "import numpy, scipy.interpolate"],
    "joulecast estimate azure-2023-conv": [
        JOULECAST, "estimate", "azure-2023-conv", "--table", TABLE,
    ],
    "... --model qwen3-8b --gpu l40s": [
        JOULECAST, "estimate", "azure-2023-conv", "--model", "qwen3-8b", "--gpu", "l40s",
    ],
    "... --method binned": [
        JOULECAST, "estimate", "azure-2023-conv", "--table", TABLE, "--method", "binned",
    ],
    "joulecast table4": [JOULECAST, "table4"],
    "joulecast flops llama-3.1-8b": [JOULECAST, "flops", "llama-3.1-8b"],
}  # fmt: skip


def wall_seconds(command: list[str]) -> float:
    """Wall time of one run [s]."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print the median of several runs of each command, taken in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, command in COMMANDS.items():
            seconds[name].append(wall_seconds(command))
    bare = statistics.median(seconds["python -c pass"])
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"{name:36s} {median:6.2f} s   {median / bare:6.1f} x a bare interpreter")


if __name__ == "__main__":
    main()
