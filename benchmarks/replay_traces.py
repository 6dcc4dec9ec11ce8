"""The made-up traces among the shipped replays: python benchmarks/replay_traces.py FOLDER [AZURE].

Each has lengths that the public traces hardly have. The seed makes them the same every time. AZURE,
a folder with the Azure 2023 traces, adds those of their requests whose outputs are short: static
batches last as long as their longest output, and the rest would take an hour.
"""

import sys
from pathlib import Path

import numpy as np

from joulecast.traces.files import write_text

SEED = 20_261_125
Array = np.ndarray


def lognormal(
    generator: np.random.Generator, count: int, median: float, sigma: float, low: int, high: int
) -> Array:
    """Lengths around a median, within bounds [tokens]."""
    return np.clip(np.rint(median * np.exp(sigma * generator.standard_normal(count))), low, high)


def long_inputs(generator: np.random.Generator) -> tuple[Array, Array]:
    """Documents and short answers, a tenth of them beyond the grid."""
    inputs = lognormal(generator, 2000, 5000, 0.4, 1500, 14000)
    return inputs, lognormal(generator, 2000, 60, 0.8, 8, 300)


def long_outputs(generator: np.random.Generator) -> tuple[Array, Array]:
    """Questions and essays, four in ten beyond the grid."""
    inputs = lognormal(generator, 2000, 120, 0.8, 16, 1000)
    return inputs, lognormal(generator, 2000, 450, 0.6, 64, 2000)


def mixed_extremes(generator: np.random.Generator) -> tuple[Array, Array]:
    """Equal parts of short and long inputs with short and long outputs, and nothing in between."""
    corners = generator.permutation(np.repeat(np.arange(4), 500))
    inputs = np.where(
        corners % 2 == 0,
        generator.integers(16, 65, 2000),
        generator.integers(4000, 8001, 2000),
    )
    outputs = np.where(
        corners < 2, generator.integers(4, 17, 2000), generator.integers(200, 601, 2000)
    )
    return inputs, outputs


def short_replies(generator: np.random.Generator) -> tuple[Array, Array]:
    """A line in, a few words out: the engine's own overhead weighs most here."""
    return lognormal(generator, 8000, 40, 0.5, 8, 120), generator.integers(4, 25, 8000)


def summaries(generator: np.random.Generator) -> tuple[Array, Array]:
    """News articles, as the paper's CNN-DailyMail task has them, and their summaries."""
    inputs = np.clip(generator.normal(838.5, 400.7, 2000).round(), 64, 2386)
    return inputs, generator.integers(40, 65, 2000)


def agents(generator: np.random.Generator) -> tuple[Array, Array]:
    """Histories that grow from step to step, and answers of all lengths."""
    inputs = lognormal(generator, 2000, 3500, 0.5, 800, 12000)
    return inputs, lognormal(generator, 2000, 150, 0.9, 8, 800)


AZURE = {"azure-2023-code": 32, "azure-2023-conv": 128}
"""Trace -> longest output kept [tokens]."""

TRACES = {
    "long-inputs": long_inputs,
    "long-outputs": long_outputs,
    "mixed-extremes": mixed_extremes,
    "short-replies": short_replies,
    "summaries": summaries,
    "agents": agents,
}


def main() -> None:
    """Write each as a CSV file."""
    folder = Path(sys.argv[1])
    for k, (name, make) in enumerate(TRACES.items()):
        inputs, outputs = make(np.random.default_rng([SEED, k]))
        rows = "".join(f"{i:.0f},{o:.0f}\n" for i, o in zip(inputs, outputs, strict=True))
        write_text(folder / f"{name}.csv", f"input_tokens,output_tokens\n{rows}")
    for name, longest in AZURE.items() if len(sys.argv) > 2 else ():
        head, *lines = (Path(sys.argv[2]) / f"{name}.csv").read_text().splitlines()
        kept = [line for line in lines if int(line.rsplit(",", 1)[1]) <= longest]
        write_text(folder / f"{name}-short-outputs.csv", "\n".join([head, *kept, ""]))


if __name__ == "__main__":
    main()
