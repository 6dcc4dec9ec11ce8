"""Whether a measurement bears a claim out: one rule, from numbers alone."""

from dataclasses import dataclass
from enum import Enum

from joulecast.estimator.paper.claims.claim import Published, Relation, Unit

SMALL_PERCENT = 5.0
"""A difference below this is told by three runs and more alone [% or points]."""
RUNS_FOR_SMALL = 3
TOLERANCE: dict[Unit, float] = {
    "%": SMALL_PERCENT,
    "% of energy": SMALL_PERCENT,
    "power of length": 0.25,
}
"""How near to the paper's number counts as agreeing, whatever the error of ours: other cards and
versions cannot be expected nearer."""


class Verdict(Enum):
    """What can be said of a claim."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNKNOWN = "cannot be told here"


@dataclass(frozen=True)
class Measured:
    """What was measured here of what a claim is about.

    Attributes:
        low: The number, in the unit of the claim; of a range over what the paper does not say, its
            low end.
        high: Its high end; the same as `low` of a single number.
        error: Half the width of its 95 % interval; of a range, that of its low end.
        runs: The fewest valid runs that one of the two sides of a comparison rests on.
        high_error: Half the width of the 95 % interval of the high end of a range; None if it is
            none.
        has_new_shapes: Whether PyTorch made plans for new shapes in windows that it rests on.
    """

    low: float
    high: float
    error: float
    runs: int
    high_error: float | None = None
    has_new_shapes: bool = False

    def nearest(self, value: float) -> tuple[float, float]:
        """The end that lies nearest to a value, and its error."""
        if abs(self.high - value) < abs(self.low - value):
            return self.high, self.error if self.high_error is None else self.high_error
        return self.low, self.error


@dataclass(frozen=True)
class Ruling:
    """A verdict and what it rests on.

    Attributes:
        verdict: What can be said.
        gap: How far the measured number lies above the paper's (below, if negative); 0 within a
            range or on the right side of a bound. None if nothing was measured.
        reason: Why it cannot be told; "" if it can.
    """

    verdict: Verdict
    gap: float | None
    reason: str = ""


def gap_between(value: float, relation: Relation, measured: Measured) -> float:
    """How far the measured number or range lies from what the paper says; 0 if it does not."""
    if relation == "at most":
        return max(0.0, measured.high - value)
    if relation == "at least":
        return min(0.0, measured.low - value)
    return min(0.0, measured.high - value) or max(0.0, measured.low - value)


def rule(published: Published, measured: Measured | None) -> Ruling:
    """Hold a measurement against a claim.

    Beyond the tolerance, or beyond the error of ours if that is larger, the two differ. Nearer than
    that, a claim that rests on a difference below 5 % takes three runs; one whose error is as large
    as what is to be seen cannot be told; one of the other sign differs; all others agree. Windows
    that hold PyTorch's plans for new shapes, which it makes once, tell nothing of the work.
    """
    if measured is None or published.value is None:
        return Ruling(Verdict.UNKNOWN, None, "not measured")
    value, relation = published.value, published.relation
    tolerance = TOLERANCE[published.unit]
    gap = gap_between(value, relation, measured)
    if measured.has_new_shapes:
        return Ruling(Verdict.UNKNOWN, gap, "its windows of PyTorch hold plans for new shapes")
    end, error = measured.nearest(value)
    if abs(gap) > max(tolerance, error):
        return Ruling(Verdict.DIFFERS, gap)
    if published.unit == "power of length":
        is_known = error <= tolerance
        reason = "" if is_known else "its error is larger than what is to be told apart"
        return Ruling(Verdict.AGREES if is_known else Verdict.UNKNOWN, gap, reason)
    if reason := _unseen(_size_it_rests_on(value, relation, measured), error, measured.runs):
        return Ruling(Verdict.UNKNOWN, gap, reason)
    is_beyond = value * end < 0 if relation == "equals" else True
    return Ruling(Verdict.DIFFERS if gap and is_beyond else Verdict.AGREES, gap)


def _unseen(size: float, error: float, runs: int) -> str:
    """Why a difference of a size cannot be seen; "" if it can."""
    if size < SMALL_PERCENT and runs < RUNS_FOR_SMALL:
        return "needs three runs: it rests on less than 5 %"
    return "its error is as large as what is to be seen" if size <= error else ""


def _size_it_rests_on(value: float, relation: Relation, measured: Measured) -> float:
    """The difference that has to be seen: the change itself, or how far off a bound it is."""
    if relation == "at most":
        return abs(measured.high - value)
    if relation == "at least":
        return abs(measured.low - value)
    if measured.low <= value <= measured.high:
        return min(abs(value), max(abs(measured.low), abs(measured.high)))
    return min(abs(value), abs(measured.nearest(value)[0]))
