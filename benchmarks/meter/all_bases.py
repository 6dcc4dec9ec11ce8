"""Forecast against meter on every basis that an estimate may stand on, in one picture.

    python benchmarks/meter/all_bases.py                prints each replay
    python benchmarks/meter/all_bases.py --plot FILE    draws it, too

Measured and online are what `joulecast validate` prints. Model scaled: each model's tables, replays
and traffic are left out, on both GPUs, and its replays are forecast from the prices of the others,
as `estimate --model` would without it. GPU scaled: the H200's replays from the H100's prices,
carried over by the two data sheets. It takes minutes, and a checkout.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from joulecast.estimator.estimate import Estimate
from joulecast.estimator.online.validate import validate_online
from joulecast.estimator.paper.claims.replayed import Handing
from joulecast.estimator.steps.batching import batched
from joulecast.estimator.unit_prices.carry import CarriedPrices, carry
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.fit import Metered, fit_unit_prices
from joulecast.estimator.unit_prices.model import Scaling
from joulecast.estimator.unit_prices.prices import UnitPrices
from joulecast.estimator.unit_prices.shipped import BEST_KNOWN, load_unit_prices
from joulecast.estimator.unit_prices.sources import (
    deployment_of,
    idle_powers_w,
    raw_traffic,
    shipped_measurements,
    shipped_replays,
    shipped_tables,
)
from joulecast.estimator.validate import (
    find_replays,
    fitting_once,
    shipped_tables_for,
    validate,
)
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.replay import SHIPPED, SHIPPED_ONLINE, Replay
from joulecast.measurements.table.studies import study_replays
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.workload import Workload

CARRIED_TO = "h200-sxm"

COLOURS = {
    "measured": "#0072b2",
    "in batches": "#e69f00",
    "model scaled": "#009e73",
    "GPU scaled": "#cc79a7",
    "online": "#d55e00",
}
_AXIS = "forecast over metered energy [%], with its 95 % interval; X: the meter is outside"
MEANINGS = {
    "measured": "a table of the very model, GPU and engine",
    "in batches": "the same, of so many in flight or in batches",
    "model scaled": "other models on that GPU, its own left out",
    "GPU scaled": "H200 from H100, by data sheets",
    "online": "requests as they came, idle power included",
}


@dataclass(frozen=True)
class Forecast:
    """A forecast of one replay, over what the meter said.

    Attributes:
        name: Of the replay.
        energy: Forecast over metered.
        low: Lower end of its 95 % interval, likewise.
        high: Upper end.
    """

    name: str
    energy: float
    low: float
    high: float

    @classmethod
    def of(cls, name: str, estimate: Estimate, metered_j: float) -> "Forecast":
        """An estimate over what was metered."""
        low_j, high_j = estimate.interval_j or (np.nan, np.nan)
        return cls(name, estimate.energy_j / metered_j, low_j / metered_j, high_j / metered_j)

    @property
    def error_percent(self) -> float:
        """How far it lies above the meter [%]."""
        return 100 * (self.energy - 1)

    @property
    def holds_meter(self) -> bool:
        """Whether the metered energy lies inside its interval."""
        return self.low <= 1 <= self.high


@dataclass(frozen=True)
class ScaledByOthers(Scaling):
    """A deployment that is forecast by prices of our choice.

    Attributes:
        chosen: These.
    """

    chosen: CarriedPrices | None = None

    def carried_prices(self) -> CarriedPrices:
        """The chosen prices."""
        assert self.chosen is not None
        return self.chosen


@cache
def shipped_tables_of(gpu: str) -> list[EnergyTable]:
    """Tables of vLLM on a GPU."""
    return shipped_tables(gpu, "vllm")


@cache
def everything_metered_on(gpu: str) -> list[Metered]:
    """All that the price list of a GPU is fitted to."""
    tables = shipped_tables_of(gpu)
    batches = [*shipped_measurements(tables), *raw_traffic(gpu, tables)]
    return [*batches, *shipped_replays(gpu, "vllm")]


@cache
def prices_of_others(gpu: str, model: str) -> UnitPrices:
    """The price list of a GPU as it would be if a model had never been measured anywhere."""
    prior = None
    if gpu != BEST_KNOWN:
        best = prices_of_others(BEST_KNOWN, model)
        prior = carry(best, load_gpu(BEST_KNOWN), load_gpu(gpu)).prices
    tables = [table for table in shipped_tables_of(gpu) if table.model != model]
    return fit_unit_prices(
        [each for each in everything_metered_on(gpu) if each.deployment.model != model],
        idle_powers_w(shipped_tables_of(gpu)),
        load_unit_prices(gpu, "vllm").errors,
        {
            "tables": [table.name for table in tables],
            "models": sorted({table.model for table in tables}),
            "gpu": gpu,
        },
        prior,
    )


def model_scaled(deployment: Deployment) -> CarriedPrices:
    """Prices of the other models on its GPU."""
    return CarriedPrices(prices_of_others(deployment.gpu.name, deployment.model))


def gpu_scaled(deployment: Deployment) -> CarriedPrices:
    """Prices of the H100, carried to another GPU."""
    best = load_unit_prices(BEST_KNOWN, "vllm")
    return carry(best, load_gpu(BEST_KNOWN), deployment.gpu)


def metered_replays(folder: Path) -> Iterator[tuple[str, Replay]]:
    """The replays of a folder, with their names."""
    for path in find_replays(folder):
        yield path.relative_to(folder).with_suffix("").as_posix(), Replay.load(path)


def measured_forecasts() -> list[Forecast]:
    """From tables, as `joulecast validate` makes them."""
    fit = fitting_once()
    forecasts = []
    for name, replay in metered_replays(SHIPPED):
        tables = shipped_tables_for(replay)
        held = validate(name, replay, tables, tables, fit)
        forecasts.append(Forecast.of(name, held.checked["stepwise"].estimate, held.metered_j))
    return forecasts


def studied_forecasts() -> list[Forecast]:
    """The same of studies: requests in flight and in batches, on a card that is in no table."""
    fit = fitting_once()
    forecasts = []
    for replay in study_replays():
        if replay.facts["engine"] == "vllm":
            handing = Handing.of(replay)
            name = f"{handing.trace}, {handing.number} {handing.text}"
            held = validate(name, replay, shipped_tables_for(replay), (), fit)
            forecasts.append(Forecast.of(name, held.checked["stepwise"].estimate, held.metered_j))
    return forecasts


def scaled_forecasts(
    prices: Callable[[Deployment], CarriedPrices], is_wanted: Callable[[Deployment], bool]
) -> list[Forecast]:
    """From prices per unit of work.

    Args:
        prices: Of a deployment.
        is_wanted: Whether to forecast the replays of one.
    """
    forecasts = []
    for name, replay in metered_replays(SHIPPED):
        deployment = deployment_of(replay.facts, replay.facts["model"])
        if deployment.engine != "vllm" or not is_wanted(deployment):
            continue
        lengths = np.array(replay.lengths, dtype=np.int64)
        workload = Workload.of_lengths(PAPER_GRID, lengths)
        scaling = ScaledByOthers(deployment, chosen=prices(deployment))
        model = scaling.step_model(workload)
        model = replace(model, scheduler=batched(model.scheduler, replay.batching))
        metered_j = float(np.mean([run.round_j for run in replay.valid_runs]))
        forecasts.append(Forecast.of(name, model.estimate(workload, name, lengths), metered_j))
    return forecasts


def online_forecasts() -> list[Forecast]:
    """Of requests that came over time, as `joulecast validate` makes them."""
    held = [
        validate_online(name, replay, shipped_tables_for(replay))
        for name, replay in metered_replays(SHIPPED_ONLINE)
    ]
    return [Forecast.of(each.name, each.estimate, each.metered_j) for each in held]


def is_measured_twice(deployment: Deployment) -> bool:
    """Whether something is left of its kind when its model is left out.

    8-bit weights and eager steps were metered of one model alone.
    """
    return deployment.quantization is None and not deployment.is_eager


def all_forecasts() -> dict[str, list[Forecast]]:
    """Basis -> forecasts of all replays that ship and can be forecast so."""
    return {
        "measured": measured_forecasts(),
        "in batches": studied_forecasts(),
        "model scaled": scaled_forecasts(model_scaled, is_measured_twice),
        "GPU scaled": scaled_forecasts(gpu_scaled, lambda each: each.gpu.name == CARRIED_TO),
        "online": online_forecasts(),
    }


def summary(forecasts: Sequence[Forecast]) -> tuple[str, str]:
    """Errors, and how many intervals hold."""
    sizes = [abs(forecast.error_percent) for forecast in forecasts]
    held = sum(forecast.holds_meter for forecast in forecasts)
    half = float(np.median([(each.high - each.low) / 2 / each.energy for each in forecasts]))
    return (
        f"off by {np.median(sizes):.1f} % (median), {max(sizes):.1f} % (worst)",
        f"{held} of {len(forecasts)} inside; ± {100 * half:.0f} % (median)",
    )


def tables_of_text(by_basis: dict[str, list[Forecast]]) -> Iterator[str]:
    """What is in the picture, in lines."""
    for basis, forecasts in by_basis.items():
        yield f"{basis}: {MEANINGS[basis]}; {'; '.join(summary(forecasts))}"
        for each in forecasts:
            mark = "" if each.holds_meter else "  outside"
            ends = f"{100 * each.low - 100:+.1f} to {100 * each.high - 100:+.1f}"
            yield f"    {each.name:<50s} {each.error_percent:+5.1f} %  ({ends}){mark}"


def plot(by_basis: dict[str, list[Forecast]], path: Path) -> None:
    """Draw a thin line per replay, in a band per basis, the lowest forecast of each first."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = sum(map(len, by_basis.values()))
    gap = 5
    figure = Figure(figsize=(9.2, 0.6 + 0.043 * (rows + gap * len(by_basis))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    write = partial(axes.text, transform=axes.get_yaxis_transform(), ha="right", va="center")
    top = 0
    for basis, forecasts in by_basis.items():
        colour = COLOURS[basis]
        ordered = sorted(forecasts, key=lambda each: each.energy)
        for place, each in enumerate(ordered, start=top):
            axes.plot([100 * each.low, 100 * each.high], [place] * 2, color=colour, alpha=0.45)
            mark, size = ("o", 3.2) if each.holds_meter else ("X", 6.5)
            edge = None if each.holds_meter else "black"
            axes.plot(
                100 * each.energy, place, mark, color=colour, markersize=size,
                markeredgecolor=edge, markeredgewidth=0.8, zorder=3,
            )  # fmt: skip
            if each.name.startswith("pytorch/"):
                axes.text(100 * each.high + 0.5, place, "PyTorch", fontsize=7, va="center")
        middle = top + (len(ordered) - 1) / 2
        write(-0.015, middle - 6.6, basis, fontsize=11, weight="bold")
        lines = (MEANINGS[basis], f"{len(ordered)} replays", *summary(ordered))
        write(-0.015, middle + 2.0, "\n".join(lines), fontsize=8.5, linespacing=1.25)
        top += len(ordered) + gap
        if top < rows + gap * (len(by_basis) - 1):
            axes.axhline(top - gap / 2 - 0.5, color="#cccccc", linewidth=0.8)
    axes.axvline(100, color="black", linewidth=1)
    axes.set_ylim(top - gap + 1.5, -2.5)
    axes.set_yticks([])
    axes.set_xlim(64, 137)
    axes.set_xlabel(_AXIS)
    axes.grid(axis="x", linewidth=0.4, alpha=0.5)
    axes.tick_params(axis="x", top=True, labeltop=True)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Print it all, and draw it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", type=Path, help="draw the picture of README.md")
    picture = parser.parse_args().plot
    by_basis = all_forecasts()
    print("\n".join(tables_of_text(by_basis)))
    if picture:
        plot(by_basis, picture)


if __name__ == "__main__":
    main()
