"""Writing exports: all are made before the first is written, and each is whole or not there."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from joulecast.estimator.estimate import Estimate
from joulecast.estimator.footprint.facility import Facility
from joulecast.estimator.method import Method
from joulecast.estimator.unit_prices.model import Served
from joulecast.exports.boamps import boamps_report
from joulecast.exports.codecarbon import codecarbon_text
from joulecast.exports.cyclonedx import cyclonedx_bom
from joulecast.exports.facts import Facts
from joulecast.exports.sci import check_sci, sci_manifest
from joulecast.traces.files import write_text
from joulecast.views.report import json_text

ExportFormat = Literal["boamps", "codecarbon", "cyclonedx", "sci"]
ExportFiles = Sequence[tuple[ExportFormat, Path]]
"""Formats, and the file that each is written to."""


def _as_json(make: Callable[[Facts], Mapping[str, Any]]) -> Callable[[Facts], str]:
    return lambda facts: json_text(make(facts), indent=2) + "\n"


_MAKERS: Mapping[ExportFormat, Callable[[Facts], str]] = {
    "boamps": _as_json(boamps_report),
    "codecarbon": codecarbon_text,
    "cyclonedx": _as_json(cyclonedx_bom),
    "sci": _as_json(sci_manifest),
}


def check_exports(files: ExportFiles, facility: Facility | None, method: Method) -> None:
    """Refuse, before anything is computed, what a format asks for and was not given.

    Raises:
        InputError: It says what to give.
    """
    if any(name == "sci" for name, _ in files):
        check_sci(None if facility is None else facility.carbon, method != "binned")


def write_exports(files: ExportFiles, estimate: Estimate, served: Served) -> None:
    """Write an estimate in formats of others.

    Args:
        files: Each format, and its file.
        estimate: The estimate.
        served: What it was made of.

    Raises:
        InputError: What a format asks for is not known, or a file cannot be written.
    """
    facts = Facts.of(estimate, served)
    texts = [(path, _MAKERS[name](facts)) for name, path in files]
    for path, text in texts:
        write_text(path, text)
