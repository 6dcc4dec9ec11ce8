"""What prefill and decoding took, by how requests were served."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from joulecast.estimator.paper.claims.claim import repeatability
from joulecast.estimator.paper.claims.deployments import Way, runs_with_plans
from joulecast.measurements.table.interpolation import BatchKey
from joulecast.measurements.table.phases import PhaseSplit
from joulecast.measurements.table.studies import study_phases
from joulecast.measurements.table.table import EnergyTable

Phase = Literal["prefill", "decode"]

_NORMAL_95 = 1.96


@dataclass(frozen=True)
class SplitRun:
    """A run whose phases are known.

    Attributes:
        split: They.
        card: What it ran on.
        has_new_shapes: Whether PyTorch made plans for new shapes in it.
    """

    split: PhaseSplit
    card: str | None
    has_new_shapes: bool


@dataclass(frozen=True)
class PhasePoint:
    """Both phases of one batch.

    Attributes:
        input_tokens: Input length of every request [tokens].
        output_tokens: Output length of every request [tokens].
        batch_size: Requests in the batch.
        prefill_j: Energy of a batch's steps that feed prompts [J].
        decode_j: Of its other steps [J].
        prefill_error: Half the width of its 95 % interval, relative.
        decode_error: Likewise.
        sums_over_meter: The parts together over what the meter read, of each run.
        cards: The card of each run.
        has_new_shapes: Whether PyTorch made plans for new shapes in one of them.
    """

    input_tokens: int
    output_tokens: int
    batch_size: int
    prefill_j: float
    decode_j: float
    prefill_error: float
    decode_error: float
    sums_over_meter: Sequence[float]
    cards: Sequence[str | None]
    has_new_shapes: bool = False

    @classmethod
    def of(cls, runs: Sequence["SplitRun"], engine: str) -> "PhasePoint":
        """The runs of one batch together."""
        splits = [run.split for run in runs]
        prefill_j = statistics.fmean(split.prefill_j / split.batches for split in splits)
        decode_j = statistics.fmean(split.decode_j / split.batches for split in splits)
        errors = {
            phase: statistics.fmean(
                getattr(split, f"{phase}_error_j") / getattr(split, f"{phase}_j")
                for split in splits
            )
            for phase in ("prefill", "decode")
        }
        root = math.sqrt(len(splits))
        either = repeatability(engine)
        return cls(
            *splits[0].batch,
            prefill_j,
            decode_j,
            _NORMAL_95 * math.hypot(errors["prefill"], either) / root,
            _NORMAL_95 * math.hypot(errors["decode"], either) / root,
            [split.sum_over_meter for split in splits],
            [run.card for run in runs],
            any(run.has_new_shapes for run in runs),
        )

    @property
    def runs(self) -> int:
        """Runs that it is of."""
        return len(self.sums_over_meter)

    @property
    def card(self) -> str:
        """The card that it was measured on, or all of them."""
        return " and ".join(sorted({str(card) for card in self.cards}))

    @property
    def decode_share_percent(self) -> tuple[float, float]:
        """Decoding's share of both, and half the width of its 95 % interval [%]."""
        share = self.decode_j / (self.prefill_j + self.decode_j)
        error = share * (1 - share) * math.hypot(self.prefill_error, self.decode_error)
        return 100 * share, 100 * error


class Phases:
    """The phases of some tables, by how requests were served.

    Args:
        tables: They; those of which phases were not derived, and invalid runs, are left out.
    """

    def __init__(self, tables: Iterable[EnergyTable]) -> None:
        self._runs: dict[Way, list[SplitRun]] = {}
        for table in tables:
            splits = {(*split.batch, split.run): split for split in study_phases(table.name)}
            runs = [
                SplitRun(splits[run.key], run.gpu, has_new_shapes)
                for run, has_new_shapes in (runs_with_plans(table) if splits else ())
                if run.valid and run.key in splits
            ]
            if runs:
                of_way = self._runs.setdefault(Way.of(table), [])
                of_way += [run for run in runs if run not in of_way]

    def ways(self) -> list[Way]:
        """The ways of serving of which phases are known."""
        return list(self._runs)

    def of(self, way: Way) -> dict[BatchKey, PhasePoint]:
        """The phases of its batches, from runs without plans for new shapes where there are any."""
        return {batch: point for (batch, _), point in self._points(way, by_card=False).items()}

    def _points(self, way: Way, by_card: bool) -> dict[tuple[BatchKey, str], PhasePoint]:
        """The same, or those of each card apart."""
        runs: dict[tuple[BatchKey, str], list[SplitRun]] = {}
        for run in self._runs.get(way, ()):
            card = str(run.card) if by_card else ""
            runs.setdefault((run.split.batch, card), []).append(run)
        return {
            key: PhasePoint.of([run for run in of if not run.has_new_shapes] or of, way.engine)
            for key, of in sorted(runs.items())
        }

    def series(self, way: Way, measure: Mapping[str, Any]) -> list[PhasePoint]:
        """The points of a range of lengths, at one batch size and one other length, or any.

        Those of each card apart, of cards that measured two lengths or more.
        """
        along = measure["along"]
        other = "output" if along == "input" else "input"
        points = [
            point
            for point in self._points(way, by_card=True).values()
            if point.batch_size == measure["batch"]
            and measure["other"] in (None, getattr(point, f"{other}_tokens"))
            and measure["from"] <= getattr(point, f"{along}_tokens") <= measure["to"]
        ]
        settled = _along(along, [point for point in points if not point.has_new_shapes])
        return settled or _along(along, points)

    @staticmethod
    def exponent(points: Sequence[PhasePoint], phase: Phase, along: str) -> tuple[float, float]:
        """The x of energy ~ length^x, and its error.

        By least squares in logarithms, each point by its error and beside those of its own card:
        hosts launch short prompts at paces of their own. They are as far apart as the errors let
        expect, or else the error of x is as much larger.

        Args:
            points: Of two lengths or more on one card.
            phase: Whose energy.
            along: "input" or "output".

        Returns:
            x, and half the width of its 95 % interval.
        """
        lengths = np.log([getattr(point, f"{along}_tokens") for point in points])
        energies = np.log([getattr(point, f"{phase}_j") for point in points])
        weights = np.array([getattr(point, f"{phase}_error") for point in points]) ** -2
        cards, of_card = np.unique([point.card for point in points], return_inverse=True)
        totals = np.bincount(of_card, weights)
        lengths -= (np.bincount(of_card, weights * lengths) / totals)[of_card]
        energies -= (np.bincount(of_card, weights * energies) / totals)[of_card]
        slope = float(weights @ (lengths * energies) / (weights @ lengths**2))
        residuals = _NORMAL_95**2 * weights @ (energies - slope * lengths) ** 2
        excess = float(residuals) / max(1, len(points) - len(cards) - 1)
        return slope, math.sqrt(max(1.0, excess) / float(weights @ lengths**2))


def _along(along: str, points: Sequence[PhasePoint]) -> list[PhasePoint]:
    """Those of cards that measured two lengths or more."""
    lengths: dict[str, set[int]] = {}
    for point in points:
        lengths.setdefault(point.card, set()).add(getattr(point, f"{along}_tokens"))
    return [point for point in points if len(lengths[point.card]) > 1]
