"""The forms of files that are written anew, one entry each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from joulecast.traces.reading.rewriting.benchmarks import (
    guidellm_rows,
    is_guidellm,
    is_run,
    require_requests,
    run_rows,
)
from joulecast.traces.reading.rewriting.events import Event, events_of, rows_in
from joulecast.traces.reading.rewriting.faults import Fault
from joulecast.traces.reading.rewriting.samples import LONGEST_BYTES, Sample, sample_of
from joulecast.traces.reading.rewriting.sheets import is_workbook, write_sheet
from joulecast.traces.reading.rewriting.spans import (
    is_otlp,
    is_usage_page,
    span_rows,
    usage_rows,
)
from joulecast.traces.reading.rewriting.text import (
    Peek,
    has_mixed_line_ends,
    utf8_blocks,
    with_equal_line_ends,
)
from joulecast.traces.reading.rewriting.wrappers import array_of_rows, values

Write = Callable[[Peek, Path], None]
"""Writes a file anew, as rows; raises a `Fault` where it cannot."""

Rows = Callable[[Iterator[Event]], Iterator[str]]
Wanted = frozenset[str]
"""Columns that the user named."""


@dataclass(frozen=True)
class Form:
    """A form of files of which no rows can be read as they are.

    Attributes:
        name: What it is called, in provenance too.
        keeps_lines: Whether what is written has a line for each line that was there.
        is_read_elsewhere: Whether other engines read it as it is.
    """

    name: str
    keeps_lines: bool = False
    is_read_elsewhere: bool = False


WORKBOOK = Form("xlsx", keeps_lines=True)
UTF16 = Form("UTF-16 text", keeps_lines=True)
MARKED = Form("JSON with a byte order mark", keeps_lines=True)
MIXED = Form("CSV with mixed line ends", keeps_lines=True, is_read_elsewhere=True)
OVER_LINES = Form("JSON objects over several lines")
WITHIN_OBJECT = Form("JSON rows within an object")

OBJECTS: tuple[tuple[Form, Callable[[Mapping[str, Any]], bool], Rows], ...] = (
    (Form("benchmark with arrays of lengths"), is_run, run_rows),
    (Form("guidellm report"), is_guidellm, guidellm_rows),
    (Form("OTLP spans"), is_otlp, span_rows),
    (Form("OpenAI usage pages"), is_usage_page, usage_rows),
)
"""Forms of JSON that are told by their first object, and how rows are made of it; of several that
fit, the first counts."""

FORMS = (
    WORKBOOK,
    *(form for form, _, _ in OBJECTS),
    WITHIN_OBJECT,
    OVER_LINES,
    UTF16,
    MARKED,
    MIXED,
)


def find_form(peek: Peek, wanted: Wanted) -> tuple[Form, Write] | None:
    """The form of a file and what writes it anew; None if its rows can be read as they are.

    Args:
        peek: The first look at it.
        wanted: Columns that the user named.

    Raises:
        Fault: It is of a form that has no requests, or breaks off.
    """
    if is_workbook(peek):
        return WORKBOOK, write_sheet
    is_json = peek.first in (b"{", b"[")
    if is_json and (found := _json_form(peek, wanted)):
        form, rows = found
        return form, partial(_write_rows, rows)
    if peek.encoding != "utf-8":
        return UTF16, _write_text
    if peek.bom and is_json:
        return MARKED, _write_text
    if peek.first and not is_json and b"\0" not in peek.head and has_mixed_line_ends(peek):
        return MIXED, _write_text
    return None


def _json_form(peek: Peek, wanted: Wanted) -> tuple[Form, Rows] | None:
    sample = sample_of(peek.head)
    found = _form_of(sample, wanted)
    if found is None and sample is not None and not sample.is_whole:
        if not peek.look.is_whole:
            sample = sample_of(peek.longer_head(LONGEST_BYTES))
            found = _form_of(sample, wanted)
        elif not sample.is_line and not sample.in_array:
            raise Fault("is JSON that breaks off; get the file again")
    return found


def _form_of(sample: Sample | None, wanted: Wanted) -> tuple[Form, Rows] | None:
    if sample is None:
        return None
    for form, fits, rows in OBJECTS:
        if fits(sample.value):
            return form, rows
    require_requests(sample.value)
    if (key := array_of_rows(sample.value, wanted)) is not None:
        return WITHIN_OBJECT, partial(rows_in, array=key)
    if sample.is_whole and not sample.is_line and not sample.in_array:
        return OVER_LINES, values
    return None


def _write_rows(rows: Rows, peek: Peek, target: Path) -> None:
    """JSON, each row on a line."""
    count = 0
    with target.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
        for count, row in enumerate(rows(events_of(peek)), start=1):  # noqa: B007
            file.write(row)
            file.write("\n")
    if count == 0:
        raise Fault("has no requests in it; is this a trace?")


def _write_text(peek: Peek, target: Path) -> None:
    """The same text in UTF-8."""
    blocks = utf8_blocks(peek)
    with target.open("wb") as file:
        file.writelines(blocks if peek.first in (b"{", b"[") else with_equal_line_ends(blocks))
