"""The rule of a verdict, at its edges."""

import pytest

from joulecast.estimator.paper.claims.claim import Published
from joulecast.estimator.paper.claims.verdict import Measured, Verdict, gap_between, rule

AGREES, DIFFERS, UNKNOWN = Verdict.AGREES, Verdict.DIFFERS, Verdict.UNKNOWN


def published(value: float | None, relation="equals", unit="%") -> Published:
    return Published(value, unit, relation, None, "")


def measured(low: float, high: float | None = None, error: float = 1.0, runs: int = 1) -> Measured:
    return Measured(low, low if high is None else high, error, runs)


def test_what_was_not_measured_cannot_be_told() -> None:
    ruling = rule(published(-25), None)
    assert (ruling.verdict, ruling.gap, ruling.reason) == (UNKNOWN, None, "not measured")
    assert rule(published(None), measured(3)).verdict is UNKNOWN


@pytest.mark.parametrize(
    ("value", "ours", "verdict"),
    [
        (-25, measured(-26), AGREES),
        (-25, measured(-20), AGREES),  # 5 points off, to the point
        (-25, measured(-19.9), DIFFERS),
        (-25, measured(-15, error=12), AGREES),  # farther off, but not beyond the error
        (-25, measured(-15, error=9), DIFFERS),
        (54, measured(135, error=12), DIFFERS),
        (-40, measured(-43, -28), AGREES),  # within a range
        (29, measured(11, 23), DIFFERS),
        (-25, measured(2), DIFFERS),  # a small change, but far from the paper's
    ],
)
def test_a_number(value: float, ours: Measured, verdict: Verdict) -> None:
    assert rule(published(value), ours).verdict is verdict


@pytest.mark.parametrize(
    ("value", "ours"),
    [
        (-25, -21.0),
        (3, 7.0),
        (-8, -4.0),
        (2, 1.0),
    ],
)
def test_less_than_five_percent_needs_three_runs(value: float, ours: float) -> None:
    is_small = min(abs(value), abs(ours)) < 5
    for runs in (1, 2):
        ruling = rule(published(value), measured(ours, error=0.5, runs=runs))
        assert ruling.verdict is (UNKNOWN if is_small else AGREES)
        assert ("three runs" in ruling.reason) == is_small
    assert rule(published(value), measured(ours, error=0.5, runs=3)).verdict is AGREES


def test_three_runs_that_scatter_tell_nothing() -> None:
    ruling = rule(published(-4), measured(-3, error=3.5, runs=3))
    assert ruling.verdict is UNKNOWN
    assert "error" in ruling.reason


def test_the_other_sign_differs_however_near() -> None:
    ruling = rule(published(-2), measured(2, error=0.5, runs=3))
    assert (ruling.verdict, ruling.gap) == (DIFFERS, 4)


@pytest.mark.parametrize(
    ("relation", "ours", "verdict", "gap"),
    [
        ("at most", measured(-15, error=7), AGREES, 0),
        ("at most", measured(12), DIFFERS, 12),
        ("at most", measured(-60, -3), UNKNOWN, 0),  # the nearest is within 5 points of the bound
        ("at most", measured(-60, -3, runs=3), AGREES, 0),
        ("at most", measured(2, runs=3, error=0.5), DIFFERS, 2),
        ("at most", measured(2, runs=3, error=3), UNKNOWN, 2),
        ("at least", measured(94), AGREES, 0),
        ("at least", measured(-16), DIFFERS, -16),
    ],
)
def test_a_bound(relation: str, ours: Measured, verdict: Verdict, gap: float) -> None:
    ruling = rule(published(0, relation), ours)
    assert (ruling.verdict, ruling.gap) == (verdict, gap)


@pytest.mark.parametrize(
    ("value", "ours", "verdict"),
    [
        (1, measured(1.12, error=0.05), AGREES),
        (1, measured(1.3, error=0.05), DIFFERS),
        (0, measured(0.2, error=0.1), AGREES),
        (0, measured(0.2, error=0.3), UNKNOWN),
        (0, measured(0.9, error=0.3), DIFFERS),
    ],
)
def test_a_power_of_length(value: float, ours: Measured, verdict: Verdict) -> None:
    assert rule(published(value, unit="power of length"), ours).verdict is verdict


def test_a_gap_is_ours_less_the_papers_and_nothing_within_a_range() -> None:
    assert gap_between(29.3, "equals", measured(10.9, 22.7)) == pytest.approx(-6.6)
    assert gap_between(29.3, "equals", measured(35, 40)) == pytest.approx(5.7)
    assert gap_between(29.3, "equals", measured(20, 40)) == 0
    assert gap_between(0, "equals", measured(0)) == 0


def test_a_range_is_as_sure_as_its_nearest_end() -> None:
    ours = Measured(-2.5, 66.0, 9.0, 1, high_error=30.0)
    assert rule(published(-29), ours).verdict is DIFFERS
    assert rule(published(90), ours).verdict is AGREES
    assert rule(published(100), ours).verdict is DIFFERS
