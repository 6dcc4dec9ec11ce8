"""Prices told by a minute of traffic: energy regressed on the work and idle time of its pieces.

    E = e_step S + e_token T + e_context K + e_pair P + e_output O + e_request R + P_idle t_idle

A piece lasts from one tick of the energy counter to the fifth after it. What was done in it is told
by the log of the engine's steps, each spread evenly over the time that it had the GPU; the rest of
the time the GPU was idle. All is non-negative, and fitted by least squares of errors over the root
of a piece's energy, as errors of ticks and of mixtures grow with it. docs/traffic.md says what this
reaches.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from joulecast.estimator.steps.continuous_batching import ContinuousBatching, graph_padding
from joulecast.estimator.steps.intervals import Spread
from joulecast.estimator.steps.prices import Prices
from joulecast.estimator.steps.work import TERMS
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.models import load_shape
from joulecast.measurements.shapes.shape import ModelShape
from joulecast.measurements.steplog.log import StepLog
from joulecast.measurements.table.table import EnergyTable
from joulecast.measurements.table.traffic_window import TrafficWindow
from joulecast.traces.errors import InputError

PIECE_TICKS = 5
"""Ticks of the counter in a piece: 0.5 s. From 0.5 to 2 s hardly matters (docs/traffic.md)."""

COUNTER_DELAY_S = 0.02
"""A tick shows what was used up to so long before [s]; chosen from 0 to 0.1 s on the first traffic
measured (2026-11-23), and the best again in most of the windows measured later."""

_LEAST_J = 10.0
_MARGIN_S = 1.0
_SHORTEST_S = 1e-5
_FEWEST_STRETCHES = 2
_FEWEST_PIECES = 3 * (len(TERMS) + 1)


@dataclass(frozen=True)
class Pieces:
    """A window in pieces, shape (pieces,) and (pieces, 6).

    Attributes:
        work: Work done in each, in the order of `TERMS`.
        idle_seconds: Time without any [s].
        seconds: Length [s].
        energy_j: Energy of all GPUs [J].
        stretch: Number of the stretch of traffic in which it lies; -1 for none.
    """

    work: FloatArray
    idle_seconds: FloatArray
    seconds: FloatArray
    energy_j: FloatArray
    stretch: npt.NDArray[np.int64]

    @classmethod
    def of(cls, window: TrafficWindow, shape: ModelShape) -> "Pieces":
        """Cut a window of a model's traffic, with the second after it."""
        seconds = next(iter(window.ticks.by_gpu.values())).seconds
        # What ran before the window is in no log; after it, nothing runs.
        begin, end = window.begin_s, window.end_s + _MARGIN_S
        times = seconds[(seconds >= begin) & (seconds <= end)][::PIECE_TICKS]
        settings = ContinuousBatching.from_settings(window.facts["engine_settings"], "traffic")
        work, idle_seconds = _until(
            window.steps, times - COUNTER_DELAY_S, shape, settings.graph_tokens
        )
        middles = (times[1:] + times[:-1]) / 2
        stretch = np.full(len(middles), -1)
        for number, (_, first, last) in enumerate(window.spans):
            stretch[(middles >= first) & (middles <= last + COUNTER_DELAY_S)] = number
        return cls(
            work=np.diff(work, axis=0),
            idle_seconds=np.diff(idle_seconds),
            seconds=np.diff(times),
            energy_j=window.ticks.energies(times),
            stretch=stretch,
        )

    @classmethod
    def together(cls, windows: Sequence[TrafficWindow], shape: ModelShape) -> "Pieces":
        """Those of several windows; the same stretch has the same number in all."""
        parts = [cls.of(window, shape) for window in windows]
        names = [column.name for column in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def only(self, chosen: npt.NDArray[np.bool_]) -> "Pieces":
        """Some of them."""
        return Pieces(*(getattr(self, column.name)[chosen] for column in fields(self)))

    @property
    def terms(self) -> FloatArray:
        """What energy is regressed on: work and idle time, shape (pieces, 7)."""
        return np.column_stack([self.work, self.idle_seconds])


@dataclass(frozen=True)
class TrafficPrices:
    """What traffic tells.

    Attributes:
        prices: Of work.
        idle_power_w: Of all GPUs with a loaded model and nothing to do [W].
        spread: How far equal work lies apart, as far as one window tells.
        stretch_errors: Stretch -> how far the prices of all others put its energy above the
            metered, relative.
    """

    prices: Prices
    idle_power_w: float
    spread: Spread
    stretch_errors: dict[str, float]


def fit_traffic(table: EnergyTable) -> TrafficPrices:
    """Fit prices to the valid windows of a table of traffic.

    Raises:
        InputError: There are none, or they are too short to tell prices.
    """
    table.require_traffic()
    windows = table.valid_windows
    pieces = Pieces.together(windows, load_shape(table.config))
    if len(pieces.energy_j) < _FEWEST_PIECES:
        raise InputError(
            f"{table.name}: its traffic lasts {pieces.seconds.sum():.0f} s, too short to tell "
            "prices; measure --plan traffic again"
        )
    fitted = _energy_fit(pieces)
    names = [span[0] for span in windows[0].spans]
    errors, weights = {}, []
    for number, stretch in enumerate(names):
        inside = pieces.stretch == number
        if not inside.any() or inside.all():
            continue
        part = pieces.only(inside)
        metered_j = float(part.energy_j.sum())
        others = _energy_fit(pieces.only(~inside))
        errors[stretch] = float((part.terms @ others).sum()) / metered_j - 1
        weights.append(metered_j)
    if len(errors) < _FEWEST_STRETCHES:
        raise InputError(
            f"{table.name}: its traffic has {len(errors)} stretches that tell apart, and needs "
            f"{_FEWEST_STRETCHES}; measure --plan traffic again"
        )
    # Variances of sums go by the square of what is summed: a burst of a second tells little of a
    # trace, though its own few joules be far off.
    squares = np.square(list(errors.values()))
    residual_sd = math.sqrt(float(np.average(squares, weights=np.square(weights))))
    prices = Prices(
        energy_j=fitted[:-1],
        seconds=_fit(pieces.work, pieces.seconds - pieces.idle_seconds, 1e-3),
        covariance=_covariance(pieces, fitted),
        residual_sd=residual_sd,
        freedom=len(errors) - 1,
    )
    cards = len({window.card for window in windows})
    spread = Spread(repeat_sd=0.0, inverse_runs=1.0, card_sd=0.0, cards=cards)
    return TrafficPrices(prices, float(fitted[-1]), spread, errors)


def _energy_fit(pieces: Pieces) -> FloatArray:
    return _fit(pieces.terms, pieces.energy_j, _LEAST_J)


def _fit(terms: FloatArray, values: FloatArray, least: float) -> FloatArray:
    """Non-negative prices of the terms, errors over the root of the value, shape (terms,)."""
    from scipy.optimize import nnls

    weights = 1 / np.sqrt(np.maximum(values, least))
    scale = np.abs(terms).max(axis=0)
    scale[scale == 0] = 1.0
    prices, _ = nnls(terms / scale * weights[:, None], values * weights)
    return np.asarray(prices / scale)


def _covariance(pieces: Pieces, fitted: FloatArray) -> FloatArray:
    """Of the prices of work, since there are only so many pieces [J^2], shape (6, 6)."""
    weights = 1 / np.sqrt(np.maximum(pieces.energy_j, _LEAST_J))
    relative = pieces.terms * weights[:, None]
    residuals = relative @ fitted - pieces.energy_j * weights
    freedom = len(residuals) - int((fitted > 0).sum())
    variance = float(residuals @ residuals) / max(1, freedom)
    # No price is higher than what makes one term alone exceed the energy of some piece.
    highest = 1 / np.maximum((relative / np.sqrt(pieces.energy_j)[:, None]).max(axis=0), 1e-30)
    scaled = relative * highest
    information = scaled.T @ scaled / max(variance, 1e-12) + np.eye(len(fitted))
    covariance = np.linalg.inv(information) * np.outer(highest, highest)
    return np.asarray(covariance[: len(TERMS), : len(TERMS)])


def _until(
    log: StepLog, times: FloatArray, shape: ModelShape, graph_tokens: int
) -> tuple[FloatArray, FloatArray]:
    """Work done and time idle from some moment up to each time: shapes (times, 6), (times,)."""
    fed = log.tokens.astype(float)
    tokens = fed + graph_padding(fed, graph_tokens)
    work = np.column_stack(
        [
            shape.share_read(tokens),
            tokens,
            log.context,
            log.pairs,
            log.sampled,
            log.prompts_completed,
        ]
    ).astype(float)
    end = np.fmax.accumulate(log.output_at)
    begin = np.minimum(log.gpu_begin, end - _SHORTEST_S)
    lasted = end - begin
    done = np.vstack([np.zeros(work.shape[1]), np.cumsum(work, axis=0)])
    busy_before = np.concatenate([[0.0], np.cumsum(lasted)])
    before = np.searchsorted(end, times)
    current = np.minimum(before, len(log) - 1)
    share = np.clip((times - begin[current]) / lasted[current], 0.0, 1.0)
    share = np.where(before < len(log), share, 0.0)
    work_until = done[before] + share[:, None] * work[current]
    busy = busy_before[before] + share * lasted[current]
    return work_until, times - busy
