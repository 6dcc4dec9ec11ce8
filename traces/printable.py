"""Texts from files and addresses, as a terminal may show them."""

import re

STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Letters that do something to a terminal instead of standing there."""


def printable(text: str) -> str:
    r"""A text that neither steers a terminal nor turns its letters around.

    Control characters (C0, DEL, C1), line separators, overrides of the direction of writing and
    lone surrogates are written as Python would escape them, such as ``\x1b``; all other letters
    stay what they are.
    """
    return STEERING.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def printable_json(text: str) -> str:
    """A JSON text with its line ends, of the same data, in which nothing does."""
    return STEERING.sub(lambda match: match[0] if match[0] == "\n" else _escape(match[0]), text)


def _escape(letter: str) -> str:
    return f"\\u{ord(letter):04x}"
