"""The first object of a JSON file, from as many bytes as it takes, to tell the file's form by."""

import io
import json
import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from joulecast.traces.reading.formats import recognise
from joulecast.traces.reading.nested import key_paths
from joulecast.traces.reading.rewriting.events import without_odd_numbers
from joulecast.traces.reading.rewriting.faults import Fault

LONGEST_BYTES = 1 << 24
_STEP_BYTES = 1 << 12
_OF_TOKENS = "-+." + string.ascii_letters + string.digits
"""What an escape, a word or a number may end with where a text is cut."""


@dataclass(frozen=True)
class Sample:
    """The first object of a file, or of the array that it is.

    Attributes:
        value: The object, as far as it was looked at.
        is_whole: Whether that is all of it.
        is_line: Whether it is the only one on its line.
        in_array: Whether the file is an array.
    """

    value: Mapping[str, Any]
    is_whole: bool
    is_line: bool
    in_array: bool


def sample_of(head: bytes) -> Sample | None:
    """The first object at the head of a file; None if there is none."""
    text = head.decode("utf-8", "replace")
    begin = _next(text, 0)
    in_array = text[begin : begin + 1] == "["
    if in_array:
        begin = _next(text, begin + 1)
    if text[begin : begin + 1] != "{":
        return None
    try:
        value, end = json.JSONDecoder().raw_decode(text, begin)
    except (ValueError, RecursionError):
        whole = text[:-12] + text[-12:].rstrip(_OF_TOKENS)
        return _begun(whole.rstrip("\\").encode(), in_array)
    after = text[end:].lstrip(" \t")[:1]
    is_line = after != "{" and not any(line_end in text[begin:end] for line_end in "\r\n")
    return Sample(value, True, is_line, in_array)


def _next(text: str, position: int) -> int:
    """Where the next character stands that is no blank."""
    while text[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    return position


def _begun(head: bytes, in_array: bool) -> Sample | None:
    """An object that goes on beyond the head; None if it is no JSON."""
    import ijson

    builder = ijson.ObjectBuilder()
    try:
        stream = io.BytesIO(b"".join(without_odd_numbers(iter([head]))))
        for event, value in ijson.basic_parse(stream, buf_size=_STEP_BYTES):
            builder.event(event, value)
    except ijson.JSONError as error:
        if "EOF" not in str(error) and "ncomplete JSON" not in str(error):
            return None
    except (ArithmeticError, ValueError, Fault):
        return None
    value = getattr(builder, "value", None)
    if in_array:
        value = value[0] if value else {}
    if not isinstance(value, dict):
        return None
    return Sample(value, False, b"\n" not in head.strip(), in_array)


def has_lengths(record: Mapping[str, Any], wanted: Collection[str]) -> bool:
    """Whether an object is a row: it has the columns of a known format, or one that is wanted."""
    names = {*record, *(".".join(path) for path in key_paths(record))}
    return not names.isdisjoint(wanted) or recognise(names) is not None
