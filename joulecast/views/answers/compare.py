"""A comparison's answer in sentences, and savings in words."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from joulecast.views.answers import Sentence, Shown
from joulecast.views.answers.estimate import energy_parts

if TYPE_CHECKING:
    from joulecast.estimator.compare import ComparedTable, Comparison

SavingForm = Literal["less", "more", "times"]
_MOST_NAMED = 3


def saving_form(saving_percent: float) -> SavingForm:
    """How a saving is best said: less than the other, more, or so many times as much."""
    if saving_percent <= -100:
        return "times"
    return "more" if saving_percent < 0 else "less"


def saving_number(saving_percent: float, form: SavingForm) -> str:
    """A saving in such a form, its unit included."""
    if form == "times":
        return f"{1 - saving_percent / 100:,.1f} times"
    shown = saving_percent if form == "less" else -saving_percent
    return f"{shown:,.1f} %"


def saving_text(saving_percent: float) -> str:
    """A saving in words: 61.7 % less, 10.1 % more, 2.6 times as much."""
    form = saving_form(saving_percent)
    words = "as much" if form == "times" else form
    return f"{saving_number(saving_percent, form)} {words}"


def saving_ends(compared: "ComparedTable") -> tuple[tuple[str, str], tuple[str, str]] | None:
    """The ends of a saving's interval, the lower one first as it is shown.

    Returns:
        For each the key in the document behind the table's place, and a text without its unit for
        the first of them; None where there is no interval.
    """
    ends, saving = compared.saving_interval_percent, compared.saving_percent
    if ends is None or saving is None:
        return None
    form = saving_form(saving)
    shown = [(f"saving_interval_percent.{k}", saving_number(ends[k], form)) for k in (0, 1)]
    first, second = shown if form == "less" else shown[::-1]
    return (first[0], first[1].removesuffix(" %").removesuffix(" times")), second


def compare_answer(comparison: "Comparison") -> list[Sentence]:
    """Which table takes the least and how much that saves, and whether it is certain."""
    best = comparison.best
    at = f"tables.{_place(comparison, best)}."
    if len(comparison.alike) == 1:
        return [[f"{best.estimate.table} takes about ", *energy_parts(best.estimate, at), "."]]
    answer = [
        f"{best.estimate.table} takes the least GPU energy, about ",
        *energy_parts(best.estimate, at),
        *_lead_parts(comparison, best),
        ".",
    ]
    return [answer, *_doubts(comparison, best)]


def _lead_parts(comparison: "Comparison", best: "ComparedTable") -> Iterator[str | Shown]:
    """What the best saves over the first; if it is the first, what the next takes more."""
    if best is not comparison.tables[0]:
        yield ": "
        yield from _saving_parts(comparison, best)
        yield f" than {comparison.tables[0].estimate.table}"
    else:
        following = comparison.alike[1]
        yield f"; {following.estimate.table} takes "
        yield from _saving_parts(comparison, following)
    compared = best if best is not comparison.tables[0] else comparison.alike[1]
    ends = saving_ends(compared)
    if ends is not None:
        at = f"tables.{_place(comparison, compared)}."
        (low_key, low), (high_key, high) = ends
        yield from (" (95 %: ", Shown(at + low_key, low), " to ", Shown(at + high_key, high), ")")


def _saving_parts(comparison: "Comparison", compared: "ComparedTable") -> Iterator[str | Shown]:
    saving = compared.saving_percent or 0.0
    form = saving_form(saving)
    place = _place(comparison, compared)
    yield Shown(f"tables.{place}.saving_percent", saving_number(saving, form))
    yield " as much" if form == "times" else f" {form}"


def _doubts(comparison: "Comparison", best: "ComparedTable") -> Iterator[Sentence]:
    """Who else might take the least, as far as the intervals tell."""
    if best.estimate.interval_j is None:
        yield ["How certain that is cannot be told: the binned method has no intervals."]
        return
    rivals = [compared.estimate.table for compared in comparison.rivals]
    if not rivals:
        return
    named = rivals[:_MOST_NAMED]
    if more := len(rivals) - len(named):
        named.append(f"{more} more")
    yield [f"Which takes the least is not certain: intervals overlap ({'; '.join(named)})."]


def _place(comparison: "Comparison", compared: "ComparedTable") -> int:
    """Where a table is among those of a comparison, even if it is there twice."""
    return next(k for k, table in enumerate(comparison.tables) if table is compared)
