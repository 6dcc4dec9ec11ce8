"""Length statistics of a trace: the columns of the paper's Tables 1 to 3."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from joulecast.traces.cell_sums import CellSums
from joulecast.traces.distribution import length_counts
from joulecast.traces.frame import frame_of
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.reading.arrivals import ArrivalReading
from joulecast.traces.reading.rows.reading import TraceReading
from joulecast.traces.slices import Slices
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    import pandas as pd

    from joulecast.traces.binning.file_trace import FileTrace


@dataclass(frozen=True)
class LengthStatistics:
    """Statistics of one kind of length over the requests that did not fail.

    Attributes:
        mean: Mean [tokens].
        sd: Standard deviation of the sample, n - 1 [tokens].
        median: [low, high] between which the median lies; equal if it is known exactly [tokens].
        percentile_99: Likewise for the 99th percentile; high is None beyond the grid [tokens].
        maximum: Longest [tokens]; None if only sums are known.
    """

    mean: float
    sd: float
    median: tuple[float, float | None]
    percentile_99: tuple[float, float | None]
    maximum: int | None


@dataclass(frozen=True)
class Rates:
    """How many requests come in a second.

    Attributes:
        mean: Over the whole span [1/s].
        busiest: In the busiest stretch [1/s].
        stretch_s: How long such a stretch is: about a minute, less in short traces [s].
    """

    mean: float
    busiest: float
    stretch_s: float


@dataclass(frozen=True)
class TraceSummary:
    """What a trace looks like.

    Attributes:
        requests: Requests that did not fail.
        failed: Requests with no output.
        invalid: What was wrong with rows left out -> how many.
        beyond_grid: Requests that the paper's grid leaves out (the workload's own, if coarser).
        beyond_grid_token_share: Their share of all tokens, inputs and outputs together.
        input: Input lengths.
        output: Output lengths.
        span_s: Time from the first arrival to the last [s], where the trace has arrival times; from
            a workload, of the slices from the first with a request to the last.
        is_reconstructed: Whether the requests were made up to have published figures.
        slice_s: Width of the slices of time that a workload counts in [s]; None from a file, or
            where no times are known.
        rates: Requests a second, where times are known and differ.
        untimed: Requests whose arrival time is not known.
        arrivals: What was read as arrival times; None if there is no column of them.
        reading: What was read of the log; None from a workload.
        groups: Name of a group -> its workload, where the trace is read by groups.
        cached: Prompt tokens that were in a cache of prefixes, and their share of all input tokens;
            None where that is not known.
    """

    requests: int
    failed: int
    invalid: Mapping[str, int]
    beyond_grid: int
    beyond_grid_token_share: float
    input: LengthStatistics | None
    output: LengthStatistics | None
    span_s: float | None
    is_reconstructed: bool = False
    slice_s: float | None = None
    rates: Rates | None = None
    untimed: int = 0
    arrivals: ArrivalReading | None = None
    reading: TraceReading | None = None
    groups: Mapping[str, Workload] = field(default_factory=dict)
    cached: tuple[int, float] | None = None

    @property
    def group_rows(self) -> list[dict[str, Any]]:
        """What each group has, the one with most tokens first."""
        rows = [
            {
                "name": name,
                "requests": group.total.requests,
                "failed": group.failed.requests,
                "input_tokens": group.total.input_tokens,
                "output_tokens": group.total.output_tokens,
            }
            for name, group in self.groups.items()
        ]
        return sorted(
            rows, key=lambda row: (-row["input_tokens"] - row["output_tokens"], row["name"])
        )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from joulecast.traces.html import html_table

        rows = [
            [name, *statistics_texts(statistics)]
            for name, statistics in (("input", self.input), ("output", self.output))
            if statistics is not None
        ]
        head = [f"{self.requests:,} requests, lengths [tokens]", "mean", "sd", "median"]
        return html_table([*head, "99th percentile", "longest"], rows)

    @property
    def _cached_dict(self) -> dict[str, Any] | None:
        return self.cached and dict(zip(("tokens", "share_of_input"), self.cached, strict=True))

    def to_frame(self) -> "pd.DataFrame":
        """A table of pandas with a row each for input and output lengths [tokens].

        Raises:
            InputError: There is no pandas.
        """
        rows = [
            {
                "length": name,
                "requests": self.requests,
                "mean_tokens": statistics.mean,
                "sd_tokens": statistics.sd,
                "median_low_tokens": statistics.median[0],
                "median_high_tokens": statistics.median[1],
                "percentile_99_low_tokens": statistics.percentile_99[0],
                "percentile_99_high_tokens": statistics.percentile_99[1],
                "maximum_tokens": statistics.maximum,
            }
            for name, statistics in (("input", self.input), ("output", self.output))
            if statistics is not None
        ]
        return frame_of(rows)

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain JSON values."""
        return {
            "source": "reconstructed" if self.is_reconstructed else "trace",
            "requests": self.requests,
            "failed": self.failed,
            "invalid": dict(self.invalid),
            "beyond_grid": self.beyond_grid,
            "beyond_grid_token_share": self.beyond_grid_token_share,
            "span_s": self.span_s,
            "slice_s": self.slice_s,
            "requests_per_s": None if self.rates is None else asdict(self.rates),
            "without_time": self.untimed,
            "arrivals": None if self.arrivals is None else self.arrivals.to_dict(),
            "reading": None if self.reading is None else self.reading.to_dict(),
            **({"groups": self.group_rows} if self.groups else {}),
            **({} if self.cached is None else {"cached": self._cached_dict}),
            **{
                name: statistics
                and {
                    "mean": statistics.mean,
                    "sd": statistics.sd,
                    "median": list(statistics.median),
                    "percentile_99": list(statistics.percentile_99),
                    "maximum": statistics.maximum,
                }
                for name, statistics in (
                    ("input_tokens", self.input),
                    ("output_tokens", self.output),
                )
            },
        }


def summarise_workload(workload: Workload) -> TraceSummary:
    """What the sums of a workload still tell: means and deviations exactly, quantiles as bounds."""
    total, grid, requests = workload.total, workload.grid, workload.requests
    slices = workload.arrivals
    summary = _summary(
        workload,
        _from_sums(
            (total.requests, total.input_tokens, total.input_tokens_squared),
            _bins(grid.input_edges, requests.sum(axis=1)),
        ),
        _from_sums(
            (total.requests, total.output_tokens, total.output_tokens_squared),
            _bins(grid.output_edges, requests.sum(axis=0)),
        ),
        None if slices is None else slices.span_s,
    )
    return replace(summary, slice_s=None if slices is None else slices.width_s)


def summarise_trace(
    trace: "FileTrace", workload: Workload, groups: Mapping[str, Workload] | None = None
) -> TraceSummary:
    """Exact statistics of a trace; memory grows with its distinct lengths, not with its rows.

    Args:
        trace: To be asked.
        workload: Of it.
        groups: Of its groups, if it is read by groups.
    """
    arrivals = trace.arrivals_in_order()
    span_s = None if arrivals is None else arrivals.span_s
    inputs, outputs = length_counts(trace)
    summary = _summary(workload, _from_counts(inputs), _from_counts(outputs), span_s)
    reading = trace.reading(workload)
    return replace(summary, arrivals=arrivals, reading=reading, groups=groups or {})


def _summary(
    workload: Workload,
    inputs: LengthStatistics | None,
    outputs: LengthStatistics | None,
    span_s: float | None,
) -> TraceSummary:
    if workload.grid.refines(PAPER_GRID):
        workload = workload.on_grid(PAPER_GRID)
    beyond, total = workload.beyond, workload.total
    cached = workload.cached_tokens
    return TraceSummary(
        requests=total.requests,
        failed=workload.failed.requests,
        invalid=workload.invalid,
        beyond_grid=beyond.requests,
        beyond_grid_token_share=_share(_tokens(beyond), _tokens(total)),
        input=inputs,
        output=outputs,
        span_s=span_s,
        is_reconstructed=workload.is_reconstructed,
        rates=_rates(workload.arrivals, span_s),
        untimed=workload.untimed,
        cached=None if cached is None else (cached, _share(cached, total.input_tokens)),
    )


def _rates(slices: Slices | None, span_s: float | None) -> Rates | None:
    if slices is None or not span_s:
        return None
    return Rates(slices.requests / span_s, *slices.busiest())


def statistics_texts(statistics: LengthStatistics) -> list[str]:
    """Mean, sd, median, 99th percentile and longest, as texts."""

    def quantile(bounds: tuple[float, float | None]) -> str:
        low, high = bounds
        if high is None:
            return f"over {low - 1:,.0f}"
        return f"{low:,.4g}" if low == high else f"{low:,.0f} to {high:,.0f}"

    return [
        f"{statistics.mean:,.2f}",
        f"{statistics.sd:,.2f}",
        quantile(statistics.median),
        quantile(statistics.percentile_99),
        "not kept" if statistics.maximum is None else f"{statistics.maximum:,}",
    ]


def _tokens(sums: CellSums) -> int:
    return sums.input_tokens + sums.output_tokens


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _from_counts(counts: Mapping[int, int]) -> LengthStatistics | None:
    """Statistics of the lengths that occur so many times each."""
    if not counts:
        return None
    lengths = np.array(sorted(counts))
    ends = np.cumsum([counts[length] for length in lengths.tolist()])
    n = int(ends[-1])
    first = sum(length * k for length, k in counts.items())
    second = sum(length * length * k for length, k in counts.items())

    def quantile(share: float) -> float:
        """Linear interpolation between order statistics, as numpy's default."""
        position = share * (n - 1)
        below, above = math.floor(position), math.ceil(position)
        low, high = lengths[np.searchsorted(ends, [below, above], side="right")].tolist()
        return float(low + (high - low) * (position - below))

    median, percentile_99 = quantile(0.5), quantile(0.99)
    return LengthStatistics(
        mean=first / n,
        sd=_sd(n, first, second),
        median=(median, median),
        percentile_99=(percentile_99, percentile_99),
        maximum=int(lengths[-1]),
    )


def _from_sums(
    sums: tuple[int, int, int], bins: list[tuple[float, float | None, float]]
) -> LengthStatistics | None:
    """Statistics from n, the sum and the sum of squares; each quantile is only known to a bin."""
    n, first, second = sums
    if n == 0:
        return None

    reached = np.cumsum([count for _, _, count in bins])

    def bounds(share: float) -> tuple[float, float | None]:
        """Ends of the bins of the two order statistics that the quantile lies between."""
        position = share * (n - 1)
        below, above = np.searchsorted(
            reached, [math.floor(position), math.ceil(position)], side="right"
        ).tolist()
        return bins[below][0], bins[above][1]

    return LengthStatistics(
        mean=first / n,
        sd=_sd(n, first, second),
        median=bounds(0.5),
        percentile_99=bounds(0.99),
        maximum=None,
    )


def _sd(n: int, first: int, second: int) -> float:
    return math.sqrt((n * second - first * first) / (n * (n - 1))) if n > 1 else 0.0


def _bins(edges: tuple[int, ...], counts: Any) -> list[tuple[float, float | None, float]]:
    """(lowest, highest, requests) of each bin; the overflow bin has no highest."""
    lows = [0, *(edge + 1 for edge in edges)]
    return list(zip(lows, [*edges, None], counts.tolist(), strict=True))
