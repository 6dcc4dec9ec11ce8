"""What replays tell of a card: a normal law, worked out by hand and by drawing cards."""

import math

import numpy as np
import pytest

from joulecast.estimator.own_card.deviation import Prices, Told, deviation_over

KIND = Prices(("list",), math.inf)
ONE, OTHER = Prices(("one",), 1.0), Prices(("other",), 1.0)


def test_nothing_told_is_any_card_of_the_kind() -> None:
    assert deviation_over(KIND, []) == (0.0, 1.0)
    assert deviation_over(ONE, []) == (0.0, math.sqrt(2))


def test_one_replay_is_shrunk_by_what_else_its_estimate_misses() -> None:
    # By hand: 1 / (1 + 0.75^2) = 0.64 of what is told, and 0.6 of the sd is left.
    assert deviation_over(KIND, [Told(-2.0, 0.75, KIND)]) == pytest.approx((-1.28, 0.6))


def test_a_replay_that_tells_nothing_changes_nothing() -> None:
    deviation, sd = deviation_over(KIND, [Told(3.0, 1e4, KIND)])
    assert deviation == pytest.approx(0.0, abs=1e-6)
    assert sd == pytest.approx(1.0)
    sharp = [Told(1.0, 0.2, KIND)]
    assert deviation_over(KIND, [*sharp, Told(3.0, 1e4, KIND)]) == pytest.approx(
        deviation_over(KIND, sharp)
    )


def test_prices_of_one_card_are_known_up_to_that_card() -> None:
    sharp = 1e-6
    assert deviation_over(ONE, [Told(1.5, sharp, ONE)]) == pytest.approx((1.5, 0.0), abs=1e-3)
    assert deviation_over(OTHER, [Told(1.5, sharp, ONE)]) == pytest.approx((0.75, math.sqrt(1.5)))


@pytest.mark.parametrize("cards", [1, 4])
def test_drawn_cards_lie_where_they_are_told_to(cards: int) -> None:
    generator = np.random.default_rng(5)
    prices, other = Prices(("a",), cards), Prices(("b",), 2 * cards)
    sds, count = [0.5, 1.2, 0.8], 4_000
    misses, told_sd = [], 0.0
    for _ in range(count):
        card = generator.standard_normal()
        own = generator.standard_normal(cards).mean()
        others = generator.standard_normal(2 * cards).mean()
        told = [
            Told(card - mean + sd * generator.standard_normal(), sd, over)
            for sd, over, mean in zip(
                sds, (prices, other, other), (own, others, others), strict=True
            )
        ]
        deviation, told_sd = deviation_over(prices, told)
        misses.append(deviation - (card - own))
    assert np.mean(misses) == pytest.approx(0.0, abs=0.05)
    assert np.std(misses) == pytest.approx(told_sd, rel=0.05)


def test_prices_that_are_known_better_share_what_is_not_known_of_them() -> None:
    """The same table, known once by more cards: the doubt shrinks, and never to nothing."""
    tables = ("h200-sxm/llama-3.1-8b/vllm",)
    told = [Told(0.8, 0.3, Prices(tables, 1.0)), Told(0.7, 0.3, Prices(tables, 1.0))]
    deviation, sd = deviation_over(Prices(tables, 2.8), told)
    alike, sd_alike = deviation_over(Prices(tables, 1.0), told)
    assert 0 < deviation < alike
    assert 0.3 / math.sqrt(2) < sd
    assert sd_alike < sd < math.sqrt(1 + 1 / 2.8)
