"""What the paper claims: figures, claims and what of ours stands beside each, as data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from joulecast.traces.errors import unknown_name

Relation = Literal["equals", "at most", "at least"]
Unit = Literal["%", "% of energy", "power of length"]


@dataclass(frozen=True)
class Published:
    """What a claim says, as a number.

    Attributes:
        value: The number, in `unit`; of "at most" and "at least" the bound. Changes have a sign: a
            saving of 30 % is -30. None where there is no one number.
        unit: "%" of a change, "% of energy" of a share, or "power of length": x in energy ~
            length^x.
        relation: Whether the paper has this number, or a bound that follows from its words.
        gpu: The card, in words; None where it names none, or several.
        text: How the paper puts it, in a few words of ours.
    """

    value: float | None
    unit: Unit
    relation: Relation
    gpu: str | None
    text: str


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        name: Short name.
        figure: Key of the `Figure` that it belongs to.
        statement: What it says, in our words.
        published: The number.
        measure: What of our tables stands beside it, as `measures.measured` takes it; None where
            nothing can.
        replays: What of replays does, as `replayed.replayed_evidence` takes it, with what it is
            "about"; it goes before tables. None where none can.
        about: What the comparison is of, where it is not quite of the same.
        cause: The likely cause of a difference.
        needs: What telling it would take.
    """

    name: str
    figure: str
    statement: str
    published: Published
    measure: Mapping[str, Any] | None
    replays: Mapping[str, Any] | None
    about: str
    cause: str
    needs: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Claim":
        """A claim of claims.json."""
        return cls(
            name=row["name"],
            figure=row["figure"],
            statement=row["statement"],
            published=Published(**{"relation": "equals", "gpu": None, **row["published"]}),
            measure=row.get("measure"),
            replays=row.get("replays"),
            about=row.get("about", ""),
            cause=row.get("cause", ""),
            needs=row.get("needs", ""),
        )


@dataclass(frozen=True)
class PaperFigure:
    """A figure, section or table of the paper that makes claims.

    Attributes:
        name: Short name, as the command takes it.
        place: Where it stands in the paper.
        title: What it is of.
        claims: Its claims.
    """

    name: str
    place: str
    title: str
    claims: Sequence[Claim]


@cache
def paper_figures() -> Mapping[str, PaperFigure]:
    """Every figure whose claims are held against ours, by its short name."""
    document = _document()
    claims = [Claim.of(row) for row in document["claims"]]
    return {
        row["name"]: PaperFigure(
            row["name"],
            row["place"],
            row["title"],
            [claim for claim in claims if claim.figure == row["name"]],
        )
        for row in document["figures"]
    }


def figures_named(names: Sequence[str]) -> list[PaperFigure]:
    """Some figures, in the order of the paper's claims; all of them if none is named.

    Raises:
        InputError: There is none of such a name.
    """
    figures = paper_figures()
    for name in names:
        if name not in figures:
            raise unknown_name("figure", name, list(figures))
    return [figure for name, figure in figures.items() if not names or name in names]


@cache
def repeatability(engine: str) -> float:
    """Relative sd of one window among equal ones on one card, under an engine."""
    sds: Mapping[str, float] = _document()["repeatability"]["relative_sd"]
    return sds[engine]


@cache
def card_spread() -> float:
    """How far two cards of a kind may lie apart in what the same work takes, relative."""
    spread: float = _document()["card_spread"]["relative"]
    return spread


@cache
def _document() -> dict[str, Any]:
    folder = files("joulecast.estimator.paper.claims")
    document: dict[str, Any] = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
    return document
