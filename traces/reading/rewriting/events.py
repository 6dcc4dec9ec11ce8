"""JSON of any size, as the events of a streaming parser and back as text."""

import re
import string
from collections.abc import Iterator
from json.encoder import encode_basestring
from typing import Any

from joulecast.traces.reading.rewriting.faults import Fault
from joulecast.traces.reading.rewriting.text import Blocks, Peek, utf8_blocks

Event = tuple[str, str, Any]
"""Where it is, with dots between the keys; what it is; and the value, if it has one."""

_MOST_CHARACTERS = 1 << 24
_LETTERS = b"-" + string.ascii_letters.encode()
_MANY_DIGITS = re.compile(rb"[0-9]{2000}")
_ODD = re.compile(rb'\\.|"|-?\b(?:Infinity|NaN)\b|[0-9]{2000}', re.DOTALL)


def events_of(peek: Peek) -> Iterator[Event]:
    """What stands in a file of JSON values one after another, or in one array.

    Python programs write NaN and Infinity, which are no JSON; they come as null.

    Raises:
        Fault: It breaks off, or is not JSON somewhere.
    """
    import ijson

    stream = Blocks(without_odd_numbers(utf8_blocks(peek)))
    try:
        events = ijson.parse(stream, multiple_values=True)
        yield from _elements(events) if peek.first == b"[" else events
    except ijson.JSONError as error:
        said = re.split(r"\n", str(error))[0].strip("b'\" ")
        if "EOF" in said or "ncomplete JSON" in said:
            raise Fault("is JSON that breaks off; get the file again") from error
        raise Fault(f"is not whole JSON ({said}); get the file again, or mend it") from error
    except (ArithmeticError, ValueError) as error:
        raise Fault("has a number that no program can read; mend it") from error


def _elements(events: Iterator[Event]) -> Iterator[Event]:
    """The elements of one array, each as if it stood alone."""
    next(events)
    for prefix, event, value in events:
        if not prefix:
            break
        yield prefix[5:], event, value  # after "item."
    if next(events, None):
        raise Fault("goes on after the end of its JSON array; mend it")


def text_of(events: Iterator[Event], event: str, value: Any) -> str:
    """The value that begins with an event, as JSON on one line; the rest of it is taken.

    Raises:
        Fault: It is larger than any request.
    """
    parts: list[str] = []
    depth = size = 0
    comma = False
    while True:
        is_end = event in ("end_map", "end_array")
        text = ", " if comma and not is_end else ""
        comma = True
        if event == "map_key":
            text += encode_basestring(value) + ": "
            comma = False
        elif is_end:
            text = "}" if event == "end_map" else "]"
            depth -= 1
        elif event in ("start_map", "start_array"):
            text += "{" if event == "start_map" else "["
            depth += 1
            comma = False
        else:
            text += _scalar(event, value)
        parts.append(text)
        size += len(text)
        if size > _MOST_CHARACTERS:
            raise Fault("has a JSON object that is longer than 16 MiB; is this a trace?")
        if depth == 0:
            return "".join(parts)
        _, event, value = next(events)


def _scalar(event: str, value: Any) -> str:
    if event == "string":
        return encode_basestring(value)
    if event == "null":
        return "null"
    if event == "boolean":
        return "true" if value else "false"
    return str(value)


def rows_in(
    events: Iterator[Event], array: str, beside: frozenset[str] = frozenset()
) -> Iterator[str]:
    """The elements of an array that every object has, as JSON.

    Args:
        events: What stands in the file.
        array: Where it is; "item" stands for an array's elements on the way.
        beside: Keys of which an object may have one instead.

    Raises:
        Fault: An object lacks the array, which is then no file of that form.
    """
    item, key = f"{array}.item", array.split(".", maxsplit=1)[0]
    has_array, objects = False, 0
    for prefix, event, value in events:
        if prefix == item:
            yield text_of(events, event, value)
        elif prefix == "":
            if event == "start_map":
                has_array = False
                objects += 1
            elif event == "map_key":
                has_array |= value in beside
            elif event != "end_map" or not has_array:
                raise Fault(f'has no "{key}" in object {objects}, as its first has; mend it')
        elif prefix == key and event == "start_array":
            has_array = True


def without_odd_numbers(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same with null for NaN and infinities, which the parser does not take.

    Raises:
        Fault: A number has thousands of digits, at which the parser would break down.
    """
    held, is_string = b"", False
    for block in blocks:
        text = held + block
        text, held = _split_at_word(text)
        if b"NaN" in text or b"Infinity" in text or _MANY_DIGITS.search(text):
            text, is_string = _mended(text, is_string)
        else:
            quotes = text.replace(rb"\\", b"").replace(rb"\"", b"").count(b'"')
            is_string ^= quotes % 2 == 1
        yield text
    yield _mended(held, is_string)[0]


def _split_at_word(text: bytes) -> tuple[bytes, bytes]:
    """A text, and what at its end may go on: part of a word, or a backslash that escapes."""
    words = len(text[:-9]) + len(text[-9:].rstrip(_LETTERS))
    backslashes = words - len(text[:words].rstrip(b"\\"))
    begin = words - backslashes % 2
    return text[:begin], text[begin:]


def _mended(text: bytes, is_string: bool) -> tuple[bytes, bool]:
    def mend(match: re.Match[bytes]) -> bytes:
        nonlocal is_string
        token = match[0]
        if token == b'"':
            is_string = not is_string
        elif not is_string and not token.startswith(b"\\"):
            if token[:1].isdigit():
                raise Fault("has a number of thousands of digits; mend it")
            return b"null"
        return token

    return _ODD.sub(mend, text), is_string
