"""What `joulecast prices` shows of a rate card."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table

from joulecast.estimator.attribution.attribution import TokenShare
from joulecast.estimator.footprint.facility import Facility
from joulecast.estimator.rates.card import SECONDS_AN_HOUR, Load, RateCard
from joulecast.views.estimate import basis_text
from joulecast.views.footprint import facility_notes, facility_text
from joulecast.views.numbers import grams, joules, money, percent, plain_digits
from joulecast.views.online.serving import KEEPING_UP_TEXT, last_token_notes
from joulecast.views.parts import add_row, facts_table, grid_table, notes_text
from joulecast.views.report import Report
from joulecast.views.steps import TOKEN_KINDS

_FORMULA = (
    "A load's energy is (input - cached) x input rate + cached x cached rate + output x output "
    "rate + waiting. What a step takes for all that it feeds is divided equally among the tokens, "
    "so that outputs cost the less the more requests share a step. Intervals are 95 %, of the "
    "energy of the load at work; how it is divided is a definition, and has none. Waiting is known "
    "as well as its watts."
)
_COMPUTED = "This engine keeps no prefixes: cached tokens are computed, and cost what others do."


def rate_card_report(card: RateCard) -> Report:
    """`joulecast prices --model MODEL`."""
    kinds = [kind for kind in TOKEN_KINDS if kind != "cached" or card.mean_tokens["cached"]]
    first = card.loads[0]
    facts = [
        ("rates of", card.served),
        ("basis", basis_text(first.estimate)),
        ("scope", card.scope),
        ("requests", card.workload),
        ("on average", _means_text(card)),
        ("at most", f"{plain_digits(card.capacity_per_s)} requests a second, all at once"),
        ("waiting", _idle_text(card)),
    ]
    views = [
        facts_table(facts),
        _rates_view(card, kinds, ("energy of 1,000 tokens", "a request"), joules),
    ]
    facility = card.facility
    notes = [_FORMULA, *_load_notes(card)]
    if facility is not None:
        facts.append(("facility", facility_text(facility)))
        views = [facts_table(facts), views[1], *_facility_views(card, kinds, facility)]
        notes += facility_notes(facility)
    document = card.to_dict()
    common = {key: value for key, value in document.items() if key not in ("loads", "tables")}
    rows = [_with_ends({**common, **load}) for load in document["loads"]]
    return Report(document, rows, Group(*views, notes_text(notes)))


def _load_notes(card: RateCard) -> list[str]:
    """Remarks on the loads."""
    first = card.loads[0]
    notes = last_token_notes(first.estimate) if first.attribution.is_continuous else [_COMPUTED]
    for load in card.loads:
        needed = None if load.estimate.serving is None else load.estimate.serving.replicas_needed
        if needed is not None:
            notes.append(
                f"{load.name}: a replica does not keep up with it, and requests wait longer and "
                f"longer; {needed} would keep up, {KEEPING_UP_TEXT}."
            )
    return notes


def _with_ends(row: dict[str, Any]) -> dict[str, Any]:
    """The same with the ends of intervals in columns of their own."""
    told: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            told[key] = _with_ends(value)
        elif isinstance(value, list):
            told |= {f"{key}.low": value[0], f"{key}.high": value[1]}
        else:
            told[key] = value
    return told


def _means_text(card: RateCard) -> str:
    """How long a request is on average."""
    means = {kind: f"{mean:,.0f}" for kind, mean in card.mean_tokens.items()}
    cached = f" ({means['cached']} cached)" if card.mean_tokens["cached"] else ""
    return f"{means['input']}{cached} + {means['output']} tokens"


def _idle_text(card: RateCard) -> str:
    """What a replica takes that waits."""
    idle = card.idle
    if idle is None:
        return "not known: the table does not say what its GPUs draw with nothing to do"
    low, high = idle.interval_w
    hour_j = SECONDS_AN_HOUR * idle.power_w
    facility = card.facility
    parts = [f"{idle.power_w:.0f} W ({low:.0f} to {high:.0f} W) = {joules(hour_j)} an hour"]
    if facility is not None:
        carbon_g, cost = facility.carbon_g(hour_j), facility.cost(hour_j)
        parts += [] if carbon_g is None else [grams(carbon_g)]
        currency = None if facility.price is None else facility.price.currency
        parts += [] if cost is None else [money(cost, currency)]
    return ", ".join(parts)


def _rates_view(
    card: RateCard, kinds: Sequence[str], titles: tuple[str, str], shown: Callable[[float], str]
) -> Table:
    """Rates by load, each with its interval.

    Args:
        card: The rates.
        kinds: Of tokens, those that there are.
        titles: What is shown, and for how many requests waiting is.
        shown: A GPU energy of 1,000 tokens or of waiting for one request [J], as it is shown.
    """
    view = grid_table(titles[0])
    view.add_column("load")
    view.add_column("requests\na second", justify="right")
    view.add_column("busy", justify="right")
    for kind in kinds:
        view.add_column(TOKEN_KINDS[kind], justify="right")
    view.add_column(f"waiting,\n{titles[1]}", justify="right")
    for load in card.loads:
        rate, serving = load.requests_per_s, load.estimate.serving
        idle_j = load.attribution.idle_j / load.estimate.requests["estimated"]
        add_row(
            view,
            load.name,
            "" if rate is None else f"{rate:.3g}",
            percent(1.0 if serving is None else serving.busy_share),
            *(_rate_lines(load, kind, shown) for kind in kinds),
            shown(idle_j),
        )
    return view


def _rate_lines(load: Load, kind: str, shown: Callable[[float], str]) -> list[str]:
    """A rate, and its interval below it."""
    share: TokenShare = load.attribution.shares[kind]
    each, ends = share.j_per_token, share.interval_j_per_token
    if each is None or ends is None:
        return ["-"]
    low, high = (shown(1000 * end) for end in ends)
    return [shown(1000 * each), f"{low} to", high]


def _facility_views(card: RateCard, kinds: Sequence[str], facility: Facility) -> list[Table]:
    """The same as the facility's energy, its carbon and its bill, of 1,000,000 tokens."""
    currency = None if facility.price is None else facility.price.currency
    shown: dict[str, Callable[[float], str]] = {}
    if facility.boundary != "GPU":
        shown[f"energy of the {facility.boundary}"] = lambda energy_j: joules(
            facility.energy_j(energy_j)
        )
    if facility.carbon is not None:
        shown["carbon"] = lambda energy_j: grams(facility.carbon_g(energy_j) or 0.0)
    if facility.price is not None:
        shown["cost of electricity"] = lambda energy_j: money(
            facility.cost(energy_j) or 0.0, currency
        )
    return [
        _rates_view(card, kinds, (f"{what} of 1,000,000 tokens", "1,000 requests"), _of_1000(text))
        for what, text in shown.items()
    ]


def _of_1000(shown: Callable[[float], str]) -> Callable[[float], str]:
    """The same of a thousand times as much."""
    return lambda energy_j: shown(1000 * energy_j)
