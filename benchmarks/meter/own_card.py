"""Forecasts of metered minutes for a card that other minutes on it tell of; docs/accuracy.md.

Every online replay of a card that has two or more is forecast as `joulecast validate` does, then
for the card that each single other replay of the same model tells, that all others tell, and that
replays of another model on it tell. None of what is forecast tells of itself.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from joulecast.estimator.online.online import Server
from joulecast.estimator.online.validate import (
    OnlineValidation,
    model_for,
    served_for,
    validate_online,
)
from joulecast.estimator.online.wish import server_of
from joulecast.estimator.own_card.replays import CardReplay, card_replays, on_card
from joulecast.estimator.unit_prices.model import Scaling, Served
from joulecast.estimator.unit_prices.sources import deployment_of
from joulecast.estimator.validate import find_replays, shipped_tables_for
from joulecast.measurements.replay import SHIPPED_ONLINE

Tellers = Callable[[CardReplay], list[list[CardReplay]]]
"""The sets of replays that are to tell of the card of one."""


@dataclass(frozen=True)
class Forecasts:
    """Some forecasts beside the meter.

    Attributes:
        errors: How far each lies above the meter [%].
        within: How many intervals hold it.
        widths: How far each interval reaches above its estimate [%].
    """

    errors: list[float]
    within: int
    widths: list[float]

    @classmethod
    def of(cls, validations: Sequence[OnlineValidation]) -> "Forecasts":
        """From estimates held against meters."""
        return cls(
            [each.error_percent for each in validations],
            sum(each.is_within for each in validations),
            [each.estimate.interval_percent or 0.0 for each in validations],
        )

    @property
    def cells(self) -> str:
        """As cells of a table."""
        sizes = [abs(error) for error in self.errors]
        worst = max(self.errors, key=abs)
        return (
            f"{len(sizes)} | {statistics.median(sizes):.1f} % | {worst:+.1f} % | "
            f"± {statistics.median(self.widths):.1f} % | {self.within} of {len(sizes)}"
        )


def main() -> None:
    """Print it all."""
    replays = [card_replays(path)[0] for path in find_replays(SHIPPED_ONLINE)]
    by_card: dict[str, list[CardReplay]] = defaultdict(list)
    for replay in replays:
        by_card[replay.card].append(replay)
    print("| card | replays of | told by | forecasts | median | worst | interval | inside |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    several = [some for some in by_card.values() if len(some) > 1]
    for some in [*several, [replay for card in several for replay in card]]:
        card = some[0].card[4:12] if len({each.card for each in some}) == 1 else "all of these"
        print_rows(card, some, by_card)


def print_rows(
    card: str, replays: Sequence[CardReplay], by_card: dict[str, list[CardReplay]]
) -> None:
    """Print what is forecast of some replays, a row for each way to tell their card."""

    def others(replay: CardReplay, is_same_model: bool) -> list[CardReplay]:
        return [
            other
            for other in by_card[replay.card]
            if other is not replay and (model_of(other) == model_of(replay)) == is_same_model
        ]

    ways: dict[str, Tellers] = {
        "nothing": lambda _: [[]],
        "one other": lambda replay: [[other] for other in others(replay, True)],
        "all others": lambda replay: [some] if len(some := others(replay, True)) > 1 else [],
        "one of another model": lambda replay: [[other] for other in others(replay, False)],
        "nothing, by the price list": lambda _: [[]],
        "one other, by the price list": lambda replay: [
            [other] for other in others(replay, True)
        ],
    }
    models = sorted({model_of(replay) for replay in replays})
    for way, tellers in ways.items():
        is_listed = "price list" in way
        forecasts = [
            forecast(replay, told, is_listed) for replay in replays for told in tellers(replay)
        ]
        if forecasts:
            print(f"| {card} | {', '.join(models)} | {way} | {Forecasts.of(forecasts).cells} |")


def model_of(replay: CardReplay) -> str:
    """What served it."""
    return str(replay.replay.facts["model"])


def forecast(replay: CardReplay, told: Sequence[CardReplay], is_listed: bool) -> OnlineValidation:
    """The estimate of a replay for the card that others tell of."""
    served = listed(replay) if is_listed else shipped(replay)
    model = on_card(model_for(served, replay.replay), served, told)
    server: Server = server_of(served, model)
    return validate_online(replay.name, replay.replay, (), server)


def shipped(replay: CardReplay) -> Served:
    """What `joulecast validate` takes."""
    return served_for(replay.replay, tables_of(model_of(replay), replay))


def listed(replay: CardReplay) -> Served:
    """Prices per unit of work, whatever tables there are."""
    return Scaling(deployment_of(replay.replay.facts, model_of(replay)))


_TABLES: dict[str, list] = {}


def tables_of(model: str, replay: CardReplay) -> list:
    """Shipped tables of a replay's model."""
    if model not in _TABLES:
        _TABLES[model] = shipped_tables_for(replay.replay)
    return _TABLES[model]


if __name__ == "__main__":
    main()
