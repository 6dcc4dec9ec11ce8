"""Holds forecasts of eager steps, drawn tokens and speculation against windows on H200s.

python benchmarks/decoding_options.py                prints the tables of docs/decoding.md
python benchmarks/decoding_options.py --plot FILE    draws its picture

and what `estimator/variants/*.json` have from the same windows. It needs a checkout: the windows
lie in `measurements/campaign-2026-11-26`.
"""

import argparse
import csv
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from joulecast import measurements
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.model import Scaling
from joulecast.estimator.unit_prices.sources import deployment_of
from joulecast.estimator.variants.break_even import (
    break_even_acceptance,
    equal_requests,
    speculation_saving,
)
from joulecast.estimator.variants.model import Sampled, Speculated
from joulecast.estimator.variants.speculative_law import RoundHost
from joulecast.measurements.engines.decoding import Decoding, Speculation
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.table.table import EnergyTable, load_table

WINDOWS = Path(measurements.__file__).parent / "campaign-2026-11-26" / "h200-sxm"
EAGER = "llama-3.1-8b-batches/vllm-eager-batches"
GREEDY = "llama-3.1-8b-decoding/vllm/greedy"
DRAWN = {
    "temperature:0.8": "llama-3.1-8b-decoding/vllm/temperature-0.8",
    "top-p:0.9": "llama-3.1-8b-decoding/vllm/top-p-0.9",
}
GREEDY_AGAIN = "llama-3.1-8b-decoding-second/vllm/greedy"
TOP_P_AGAIN = "llama-3.1-8b-decoding-second/vllm/top-p-0.9"
"""On a card of their own, three runs each, measured after all numbers had been chosen."""
DRAFT = "llama-3.2-1b"
ACCEPTANCES = "0", "0.5", "0.7", "0.9", "1"
SIZES = 1, 8, 64, 128
_COMPILED = {("top-p:0.9", 8, 1), ("top-p:0.9", 128, 2)}
"""Runs in which kernels were compiled, at half the power of their repeats: they tell nothing."""

FIRST_CARDS = (
    "GPU-0c083e1e-8c73-2a6c-7952-6c7036da3ef7",
    "GPU-28972cc4-1bd4-9d4d-92d8-2d8da5b2d91d",
)
"""Two of one host, whose windows `estimator/variants` has its numbers from. Those of another card
came later, and are in no number."""

_MOST_S = 1.0


@dataclass(frozen=True)
class Window:
    """A forecast held against what was metered, of one batch.

    Attributes:
        batch_size: Requests of it.
        metered_j: Mean over its windows [J].
        metered_s: Likewise [s].
        forecast_j: The forecast [J].
        forecast_s: Likewise [s].
        interval_j: Ends of its 95 % interval [J].
    """

    batch_size: int
    metered_j: float
    metered_s: float
    forecast_j: float
    forecast_s: float
    interval_j: tuple[float, float]

    @property
    def energy(self) -> float:
        """How far the forecast lies above the meter, relative."""
        return self.forecast_j / self.metered_j - 1

    @property
    def seconds(self) -> float:
        """How far it lies above the clock, relative."""
        return self.forecast_s / self.metered_s - 1

    @property
    def is_inside(self) -> bool:
        """Whether the metered energy lies within the interval."""
        return self.interval_j[0] <= self.metered_j <= self.interval_j[1]

    @property
    def text(self) -> str:
        """Batch, energy and time, in percent."""
        outside = "" if self.is_inside else " (outside)"
        return f"{self.batch_size:,}: {100 * self.energy:+.1f}, {100 * self.seconds:+.1f}{outside}"


def metered(
    table: EnergyTable, strategy: str = "", is_later: bool | None = None
) -> dict[int, list[tuple[float, float]]]:
    """Batch size -> energy [J] and time [s] of a batch, in each valid window.

    Args:
        table: Of one option.
        strategy: How tokens were drawn, if they were.
        is_later: Whether to take those of the later card, or of the first ones; None for all.
    """
    windows: dict[int, list[tuple[float, float]]] = {}
    for run in table.runs:
        if is_later is not None and is_later is (run.gpu in FIRST_CARDS):
            continue
        if run.valid and (strategy, run.batch_size, run.run) not in _COMPILED:
            told = run.batch_energy_j, run.seconds / run.batches
            windows.setdefault(run.batch_size, []).append(told)
    return dict(sorted(windows.items()))


def held(
    serves: Scaling, table: EnergyTable, strategy: str = "", is_later: bool | None = None
) -> list[Window]:
    """Forecasts of the batches of a table's windows, all of requests of 512 and 64 tokens."""
    windows = []
    for batch_size, told in metered(table, strategy, is_later).items():
        estimate = equal_requests(serves, batch_size)
        energy_j, seconds = np.mean(told, axis=0).tolist()
        ends_j, forecast_s = estimate.interval_j or (0.0, 0.0), estimate.seconds or 0.0
        windows.append(Window(batch_size, energy_j, seconds, estimate.energy_j, forecast_s, ends_j))
    return windows


def h200() -> Deployment:
    """What was measured, as it serves greedily."""
    return Deployment.of("llama-3.1-8b", load_gpu("h200-sxm"))


def eager_windows() -> list[Window]:
    """Of ten batches of eager steps."""
    table = load_table(WINDOWS / EAGER)
    return held(Scaling(deployment_of(table.metadata, table.config)), table)


def drawn_windows(strategy: str, is_later: bool = False) -> list[Window]:
    """Of batches whose tokens were drawn."""
    table = load_table(WINDOWS / DRAWN[strategy])
    return held(Sampled(h200(), decoding=Decoding.of(strategy)), table, strategy, is_later)


def windows_again(strategy: str, folder: str) -> list[Window]:
    """The same on the last card, greedy ones too."""
    serves = Sampled(h200(), decoding=Decoding.of(strategy)) if strategy else Scaling(h200())
    return held(serves, load_table(WINDOWS / folder))


def speculated(acceptance: float, host: RoundHost | None = None) -> Speculated:
    """What was measured, with its draft."""
    return Speculated(h200(), speculation=Speculation(DRAFT, 4, acceptance), host=host)


def speculated_table(acceptance: str) -> EnergyTable:
    """Windows of speculation."""
    return load_table(WINDOWS / f"llama-3.1-8b-speculation/vllm/acceptance-{acceptance}")


def speculated_windows(acceptance: str, is_later: bool | None = None) -> list[Window]:
    """Of batches with a draft."""
    return held(speculated(float(acceptance)), speculated_table(acceptance), "", is_later)


@dataclass(frozen=True)
class Drawing:
    """What drawing took over greedy decoding, a step, as windows tell it.

    Attributes:
        batch_size: Tokens that a step samples.
        percent: Of the energy [%].
        percent_sd: Standard error of that, where both were repeated [%].
        seconds: A step took longer [s].
        work_j: It drew more beside idle power [J].
    """

    batch_size: int
    percent: float
    percent_sd: float | None
    seconds: float
    work_j: float


def drawing(strategy: str) -> list[Drawing]:
    """Over greedy windows on the first card."""
    drawn = load_table(WINDOWS / DRAWN[strategy])
    return _over_greedy(drawn, metered(drawn, strategy, is_later=False), GREEDY)


def top_p_again() -> list[Drawing]:
    """Over greedy windows on the last card."""
    drawn = load_table(WINDOWS / TOP_P_AGAIN)
    return _over_greedy(drawn, metered(drawn), GREEDY_AGAIN)


def _over_greedy(
    drawn: EnergyTable, of_drawn: Mapping[int, list[tuple[float, float]]], greedy: str
) -> list[Drawing]:
    """What some windows of a table took over greedy ones; each request samples 64 times."""
    idle_w = float(drawn.metadata["idle_power_w"])
    of_greedy = metered(load_table(WINDOWS / greedy))
    found = []
    for batch_size, windows in of_drawn.items():
        ours, theirs = np.array(windows), np.array(of_greedy[batch_size])
        more_j, more_s = (ours.mean(axis=0) - theirs.mean(axis=0)).tolist()
        greedy_j, squares = theirs[:, 0].mean(), None
        if len(ours) > 1:
            squares = sum(each[:, 0].var(ddof=1) / len(each) for each in (ours, theirs))
        found.append(
            Drawing(
                batch_size,
                100 * more_j / greedy_j,
                None if squares is None else 100 * math.sqrt(squares) / greedy_j,
                more_s / 64,
                (more_j - idle_w * more_s) / 64,
            )
        )
    return found


def host_seconds(is_later: bool = False, most_requests: int = 64) -> list[float]:
    """What a host needs for a round, so that the time of each window is as metered [s].

    The acceptance is that of the window. Larger batches keep the GPU busy and tell less.
    """
    from scipy.optimize import brentq

    found = []
    for acceptance in ACCEPTANCES:
        told = speculated_table(acceptance)
        counts = WINDOWS / f"llama-3.1-8b-speculation/vllm/acceptance-{acceptance}/speculation.csv"
        with counts.open(encoding="utf-8", newline="") as file:
            met = {int(row["batch_size"]): float(row["acceptance"]) for row in csv.DictReader(file)}
        for batch_size, windows in metered(told, "", is_later).items():
            if batch_size > most_requests:
                continue

            lacks = partial(_lacking_s, met[batch_size], batch_size, windows[0][1])
            found.append(float(brentq(lacks, 0.0, _MOST_S, xtol=1e-5)))
    return found


def _lacking_s(acceptance: float, batch_size: int, clock_s: float, host_s: float) -> float:
    """How much longer than metered a batch would take with such a host [s]."""
    serves = speculated(acceptance, RoundHost(host_s, 0.0))
    return (equal_requests(serves, batch_size).seconds or 0.0) - clock_s


def host_of_rounds(is_later: bool = False) -> tuple[float, float]:
    """Geometric mean of these [s], and the sd of their logarithm."""
    logs = [math.log(seconds) for seconds in host_seconds(is_later)]
    return math.exp(statistics.fmean(logs)), statistics.stdev(logs)


def row(cells: Sequence[object]) -> str:
    """A row of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def held_rows() -> Iterator[str]:
    """Each option's forecasts."""
    yield row(["option", "windows", "inside", "batch: energy, time [%]"])
    yield row(["---"] * 4)
    options = {"`--eager`": eager_windows()}
    options |= {f"`--decoding {strategy}`": drawn_windows(strategy) for strategy in DRAWN}
    options |= {
        f"`--speculate {DRAFT},4,{a}`": speculated_windows(a, is_later=False) for a in ACCEPTANCES
    }
    later = {"`--decoding top-p:0.9`": drawn_windows("top-p:0.9", is_later=True)}
    later |= {
        f"`--speculate {DRAFT},4,{a}`": speculated_windows(a, is_later=True) for a in ACCEPTANCES
    }
    options |= {f"{name}, later": windows for name, windows in later.items()}
    options["greedy, last"] = windows_again("", GREEDY_AGAIN)
    options["`--decoding top-p:0.9`, last"] = windows_again("top-p:0.9", TOP_P_AGAIN)
    options = {name: windows for name, windows in options.items() if windows}
    for name, windows in options.items():
        inside = sum(window.is_inside for window in windows)
        yield row([name, len(windows), inside, "; ".join(window.text for window in windows)])


def drawing_rows() -> Iterator[str]:
    """What drawing took."""
    yield row(
        ["strategy", "batch", "energy over greedy", "time a step", "beside idle power a step"]
    )
    yield row(["---"] * 5)
    told = {strategy: drawing(strategy) for strategy in DRAWN}
    told["top-p:0.9, last"] = top_p_again()
    for strategy, of_batches in told.items():
        for each in of_batches:
            sd = "" if each.percent_sd is None else f" ± {each.percent_sd:.2f}"
            yield row(
                [
                    strategy,
                    each.batch_size,
                    f"{each.percent:+.2f}{sd} %",
                    f"+{1e6 * each.seconds:,.0f} µs",
                    f"{1e3 * each.work_j:+,.0f} mJ",
                ]
            )


def saving_rows() -> Iterator[str]:
    """What speculation saves, metered and forecast, and from which acceptance on it does."""
    greedy = {size: np.mean(told, axis=0)[0] for size, told in _greedy_windows().items()}
    titles = ["batch", *(f"accepting {a}: metered, forecast" for a in ACCEPTANCES)]
    yield row([*titles, "pays from", "with a host that takes no time"])
    yield row(["---"] * (len(titles) + 2))
    windows = {a: {each.batch_size: each for each in speculated_windows(a)} for a in ACCEPTANCES}
    for size in SIZES:
        cells = [str(size)]
        for acceptance in ACCEPTANCES:
            forecast = speculation_saving(speculated(float(acceptance)), size)
            window = windows[acceptance].get(size)
            told = "-" if window is None else f"{100 * (1 - window.metered_j / greedy[size]):+.0f}"
            cells.append(f"{told}, {100 * forecast:+.0f} %")
        for host in (None, RoundHost(0.0, 0.0)):
            pays = break_even_acceptance(speculated(0.5, host), size)
            cells.append("never" if pays is None else f"{pays:.2f}")
        yield row(cells)


def _greedy_windows() -> dict[int, list[tuple[float, float]]]:
    return metered(load_table(WINDOWS / GREEDY))


def tables() -> list[str]:
    """All lines of the three tables."""
    return [*held_rows(), "", *drawing_rows(), "", *saving_rows()]


_ACCEPTED = np.linspace(0, 1, 21)
_COLOURS = {1: "#0072b2", 8: "#d55e00", 64: "#009e73", 128: "#cc79a7"}


def plot(path: Path) -> None:
    """Draw the energy of speculation over that of greedy decoding, by acceptance and batch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    greedy = {size: np.mean(told, axis=0)[0] for size, told in _greedy_windows().items()}
    figure = Figure(figsize=(7.6, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for size, colour in _COLOURS.items():
        for host, style in ((None, "-"), (RoundHost(0.0, 0.0), ":")):
            over = [1 - speculation_saving(speculated(float(a), host), size) for a in _ACCEPTED]
            label = f"{size}" if host is None else None
            axes.plot(_ACCEPTED, over, style, color=colour, label=label)
        for acceptance in ACCEPTANCES:
            for batch_size, windows in metered(speculated_table(acceptance)).items():
                if batch_size == size:
                    over_j = np.mean(windows, axis=0)[0] / greedy[size]
                    axes.plot(float(acceptance), over_j, "o", color=colour)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_yscale("log", base=2)
    axes.set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    axes.set_xlabel("acceptance of a proposed token")
    axes.set_ylabel("energy over decoding without a draft")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(title="requests at once")
    axes.set_title(
        "Llama-3.1-8B, four tokens ahead by Llama-3.2-1B, on an H200\n"
        "line: forecast; points: metered; dotted: if the host took no time",
        fontsize=10,
    )
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", type=Path, help="draw the picture of docs/decoding.md")
    if picture := parser.parse_args().plot:
        plot(picture)
    else:
        print("\n".join(tables()))
        seconds, log_sd = host_of_rounds()
        print(f"\nA round takes the host {1e3 * seconds:.1f} ms; sd of the logarithm {log_sd:.3f}")
