"""Workbooks of Excel: their first sheet that has a header, as CSV."""

import csv
import datetime
import itertools
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from joulecast.traces.reading.foreign import ZIP
from joulecast.traces.reading.rewriting.faults import Fault
from joulecast.traces.reading.rewriting.text import Peek

_HEADER_ROWS = 100
_EXACT = 2.0**53
_ADVICE = "save it as xlsx or CSV"


def is_workbook(peek: Peek) -> bool:
    """Whether a file is a workbook.

    Raises:
        Fault: It is another kind of zip archive.
    """
    if not peek.look.head.startswith(ZIP):
        return False
    import zipfile

    if peek.look.compression != "none":
        raise Fault(f"is a zip archive within {peek.look.compression}; give what is in it")
    try:
        with zipfile.ZipFile(peek.look.path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError) as error:
        raise Fault(
            "is a zip archive or an Excel file that breaks off; get the file again"
        ) from error
    if "xl/workbook.xml" in names:
        return True
    if "xl/workbook.bin" in names:
        raise Fault(f"is a binary Excel file; {_ADVICE}")
    if {"mimetype", "content.xml"} <= names:
        raise Fault(f"is an OpenDocument file; {_ADVICE}")
    if any(name.endswith(".npy") for name in names):
        raise Fault("is an archive of NumPy arrays; write its requests as CSV or Parquet")
    raise Fault("is a zip archive; unpack it with unzip; give what was in it")


def write_sheet(peek: Peek, target: Path) -> None:
    """Write the first sheet with a header as CSV, each of its rows on the line of its number.

    Raises:
        Fault: There is no such sheet, the file is damaged, or what reads it is not installed.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise Fault(
            "is an Excel file, which needs openpyxl; install it with: "
            "pip install 'joulecast[xlsx]', or save it as CSV"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and other parts that are not looked at
        try:
            with peek.look.path.open("rb") as file:  # by its path, the name would have to end so
                workbook = openpyxl.load_workbook(file, read_only=True, data_only=True)
                has_header = any(_write(sheet, target) for sheet in workbook.worksheets)
        except (OSError, MemoryError):
            raise
        except Exception as error:
            raise Fault(
                f"is an Excel file that is damaged ({error}); get the file again, or save it as CSV"
            ) from error
    if not has_header:
        raise Fault("is an Excel file without a header on any sheet; name its columns in a row")


def _write(sheet: Any, target: Path) -> bool:
    """Whether a sheet has a header; if so, it is written."""
    sheet.reset_dimensions()  # some programs write wrong ones
    rows: Iterator[Sequence[Any]] = sheet.iter_rows(values_only=True)
    head = list(itertools.islice(rows, _HEADER_ROWS))
    header = next((k for k, row in enumerate(head) if _is_header(row)), None)
    if header is None:
        return False
    width = max(k for k, cell in enumerate(head[header], start=1) if cell is not None)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        file.write("\n" * header)
        for row in itertools.chain(head[header:], rows):
            cells = [_text(cell) for cell in row]
            while len(cells) > width and not cells[-1]:
                cells.pop()
            if any(cells):
                writer.writerow(cells + [""] * (width - len(cells)))
            else:
                file.write("\n")
    return True


def _is_header(row: Sequence[Any]) -> bool:
    """Whether a row names columns: two cells of text at least, and nothing else."""
    cells = [cell for cell in row if cell is not None]
    return len(cells) > 1 and all(isinstance(cell, str) for cell in cells)


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _EXACT:
        return str(int(cell))
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(" ")
    return " ".join(str(cell).split("\n")).replace("\r", " ")
