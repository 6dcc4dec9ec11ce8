"""The one exception that all three packages raise for something the user gave."""

import difflib
from collections.abc import Iterable

from joulecast.traces.printable import printable


class InputError(ValueError):
    """Input that cannot be used. The message is one line: what is wrong, where, and what to do.

    It may quote headers, values and names of files: what could steer a terminal is escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


def unknown_name(kind: str, name: str, names: Iterable[str]) -> InputError:
    """An `InputError` for a name that is none of a kind, with the nearest that is one."""
    names = sorted(names)
    lowered = {candidate.lower(): candidate for candidate in names}
    nearest = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    if nearest:
        return InputError(f'unknown {kind} "{name}"; did you mean "{lowered[nearest[0]]}"?')
    return InputError(f'unknown {kind} "{name}"; known are: {", ".join(names) or "none"}')
