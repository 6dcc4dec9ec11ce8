"""Forecasts of metered minutes for a card that other minutes on it tell of; docs/accuracy.md.

Every online replay of a card that has two or more is forecast as `joulecast validate` does, then
for the card that each single other replay of the same model tells, that all others tell, and that
replays of another model on it tell. None of what is forecast tells of itself.
"""

import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from joulecast.estimator.online.online import Server
from joulecast.estimator.online.validate import (
    OnlineValidation,
    model_for,
    served_for,
    validate_online,
)
from joulecast.estimator.online.wish import server_of
from joulecast.estimator.own_card.deviation import Told
from joulecast.estimator.own_card.replays import CardReplay, card_replays, on_card, told_by
from joulecast.estimator.unit_prices.model import Scaling, Served
from joulecast.estimator.unit_prices.sources import deployment_of
from joulecast.estimator.validate import find_replays, shipped_tables_for
from joulecast.measurements.replay import SHIPPED_ONLINE

REPLAYS = {
    f"{path.parent.name}/{path.stem}": card_replays(path)[0]
    for path in find_replays(SHIPPED_ONLINE)
}
"""Name -> replay."""

TOLD_MODEL = "llama-3.1-8b"
"""Of which there are replays of the same traffic on several cards."""

SUFFIX = re.compile("-(second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth)$")
"""Of the name of a replay of traffic that there is another of."""

AIM_PERCENT = 4.0
"""How far off an energy is to be at worst [%]."""

Ways = dict[str, Callable[[str], list[tuple[str, ...]]]]
"""What tells of the card -> the sets of replays that tell of that of one."""


def main() -> None:
    """Print it all."""
    by_card: dict[str, list[str]] = defaultdict(list)
    for name, replay in REPLAYS.items():
        by_card[replay.card].append(name)
    titles = "card", "forecast by", "told by", "forecasts", "median", "worst", "within 4 %"
    print(f"| {' | '.join([*titles, 'interval', 'inside'])} |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    several = {title(card): names for card, names in by_card.items() if len(names) > 1}
    for card, names in several.items():
        for is_listed in (False, True):
            print_rows(card, names, WAYS, is_listed)
    everything = [name for names in several.values() for name in names]
    for is_listed in (False, True):
        print_rows("all", everything, WAYS, is_listed)
    print_by_teller(several)


def others(name: str, is_same_model: bool = True) -> list[str]:
    """Further replays on the card of one."""
    return [
        other
        for other, replay in REPLAYS.items()
        if other != name
        and replay.card == REPLAYS[name].card
        and (model_of(other) == model_of(name)) == is_same_model
    ]


def all_others(name: str) -> list[tuple[str, ...]]:
    """All of them together, if they are several."""
    names = others(name)
    return [tuple(names)] if len(names) > 1 else []


WAYS: Ways = {
    "nothing": lambda _: [()],
    "one other": lambda name: [(other,) for other in others(name)],
    "all others": all_others,
    "one of another model": lambda name: [(other,) for other in others(name, is_same_model=False)],
}


def print_rows(card: str, names: Sequence[str], ways: Ways, is_listed: bool) -> None:
    """Print what is forecast of some replays, a row for each way to tell their card."""
    by = "price list" if is_listed else "own table"
    for way, tellers in ways.items():
        forecasts = [forecast(name, told, is_listed) for name in names for told in tellers(name)]
        if forecasts:
            print(f"| {card} | {by} | {way} | {summary(forecasts)} |", flush=True)


def title(card: str) -> str:
    """The first of the cards that are one server, and how many they are."""
    first, *more = card.split("+")
    return first[:12] + (f" and {len(more)} more" if more else "")


def print_by_teller(by_card: dict[str, list[str]]) -> None:
    """Print how well single replays tell of a card, those of the same traffic together."""
    by_teller: dict[str, list[str]] = defaultdict(list)
    for names in by_card.values():
        for name in names:
            if model_of(name) == TOLD_MODEL and len(others(name)) > 4:
                by_teller[SUFFIX.sub("", name.partition("/")[2])].append(name)
    print("| told by | sd | forecasts | median | worst | within 4 % | interval | inside |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for teller, names in by_teller.items():
        forecasts = [forecast(other, (name,), False) for name in names for other in others(name)]
        sds = [told(name, False).sd for name in names]
        print(f"| {teller} | {statistics.fmean(sds):.2f} | {summary(forecasts)} |", flush=True)


def summary(forecasts: Sequence[OnlineValidation]) -> str:
    """Errors and intervals as cells of a table."""
    errors = [each.error_percent for each in forecasts]
    widths = [each.estimate.interval_percent or 0.0 for each in forecasts]
    within, count = sum(each.is_within for each in forecasts), len(forecasts)
    sizes = [abs(error) for error in errors]
    near = sum(size <= AIM_PERCENT for size in sizes)
    return (
        f"{count} | {statistics.median(sizes):.1f} % | {max(errors, key=abs):+.1f} % | {near} | "
        f"± {statistics.median(widths):.1f} % | {within} of {count}"
    )


def model_of(name: str) -> str:
    """What served a replay."""
    return str(REPLAYS[name].replay.facts["model"])


@cache
def forecast(name: str, tellers: tuple[str, ...], is_listed: bool) -> OnlineValidation:
    """The estimate of a replay for the card that others tell of."""
    usual = server(name, is_listed)

    def tell(replay: CardReplay, _: Served) -> Told:
        return told(next(other for other in tellers if REPLAYS[other] is replay), is_listed)

    replays = [REPLAYS[teller] for teller in tellers]
    model = on_card(usual.model, served(name, is_listed), replays, tell)
    return validate_online(name, REPLAYS[name].replay, (), replace(usual, model=model))


@cache
def server(name: str, is_listed: bool) -> Server:
    """What serves a replay, on any card of the kind."""
    serves = served(name, is_listed)
    return server_of(serves, model_for(serves, REPLAYS[name].replay))


@cache
def told(name: str, is_listed: bool) -> Told:
    """What a replay tells."""
    return told_by(REPLAYS[name], served(name, is_listed))


@cache
def served(name: str, is_listed: bool) -> Served:
    """A table as `joulecast validate` takes it, or prices per unit of work."""
    replay = REPLAYS[name].replay
    if is_listed:
        return Scaling(deployment_of(replay.facts, model_of(name)))
    return served_for(replay, shipped_tables_for(replay))


if __name__ == "__main__":
    main()
