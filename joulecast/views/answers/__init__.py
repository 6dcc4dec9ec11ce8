"""Answers in a sentence, whose numbers know where in the JSON document they stand."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Shown:
    """A number in a sentence.

    Attributes:
        key: Where it is in the result's JSON document, such as "interval_j.0".
        text: What the sentence shows of it.
    """

    key: str
    text: str


Sentence = Sequence[str | Shown]
"""Words and numbers, one after the other."""


def plain(sentence: Sentence) -> str:
    """A sentence as a text."""
    return "".join(part.text if isinstance(part, Shown) else part for part in sentence)
