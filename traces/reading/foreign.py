"""What is no trace, told by its first bytes, and what to do with it; and what lies in a folder."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple


class Foreign(NamedTuple):
    """A kind of file that holds no rows that can be read.

    Attributes:
        magic: Bytes by which it is told.
        offset: Where they stand.
        what: What it is.
        advice: What makes a trace of it; {name} stands for the file's own.
    """

    magic: bytes
    offset: int
    what: str
    advice: str


_USE = "or use gzip or zstd, which are read as they are"
_EXPORT = "write its requests as CSV, JSON lines or Parquet"

FOREIGN = (
    Foreign(b"BZh91AY&SY", 0, "is packed with bzip2", f"unpack it with bunzip2 -k, {_USE}"),
    Foreign(b"\xfd7zXZ\0", 0, "is packed with xz", f"unpack it with xz -dk, {_USE}"),
    Foreign(b"\x04\x22\x4d\x18", 0, "is packed with lz4", f"unpack it with lz4 -d, {_USE}"),
    Foreign(
        b"7z\xbc\xaf\x27\x1c", 0, "is a 7z archive", "unpack it with 7z x; give what was in it"
    ),
    Foreign(b"Rar!\x1a\x07", 0, "is a RAR archive", "unpack it with unrar x; give what was in it"),
    Foreign(b"ustar", 257, "is a tar archive", "unpack it with tar xf; give what was in it"),
    Foreign(
        b"SQLite format 3\0",
        0,
        "is an SQLite database",
        "bin a table of it: joulecast trace bin --connect sqlite://{name} --table-name TABLE",
    ),
    Foreign(
        b"DUCK",
        8,
        "is a DuckDB database",
        "bin a table of it: joulecast trace bin --connect duckdb://{name} --table-name TABLE",
    ),
    Foreign(
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, "is an old Excel file", "save it as xlsx or CSV"
    ),
    Foreign(b"ARROW1\0\0", 0, "is an Arrow or Feather file", "write it as Parquet"),
    Foreign(b"\x93NUMPY", 0, "is a NumPy array", _EXPORT),
    Foreign(b"\x89HDF\r\n\x1a\n", 0, "is an HDF5 file", _EXPORT),
    Foreign(b"Obj\x01", 0, "is an Avro file", _EXPORT),
    Foreign(b"ORC\x1b", 0, "is an ORC file", _EXPORT),
    Foreign(b"%PDF-", 0, "is a PDF document", _EXPORT),
    *(
        Foreign(bytes((0x80, protocol)), 0, "is a Python pickle", f"{_EXPORT}; pickles run code")
        for protocol in range(2, 6)
    ),
)
"""Where several fit, the first counts."""

ZIP = b"PK\x03\x04", b"PK\x05\x06"
"""How zip archives begin, among them the files of Excel."""

_PAGE = b"<!doctype html", b"<html"


def foreign(head: bytes) -> tuple[str, str] | None:
    """What a file is that begins so, and the advice; None if it may be a trace."""
    for magic, offset, what, advice in FOREIGN:
        if head.startswith(magic, offset):
            return what, advice
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:14].lower().startswith(_PAGE):
        return "is a web page", "get the file that the page shows or leads to"
    return None


_ENDINGS = (".jsonl", ".ndjson", ".csv", ".parquet", ".json", ".tsv", ".txt", ".log", ".xlsx")
_PACKED = (".gz", ".zst")
_LOOKED_AT = 10_000


def pattern_within(folder: Path) -> str | None:
    """The glob that finds the files in a folder that look most like a trace; None if none does."""
    endings: Counter[tuple[bool, str]] = Counter()
    for path, _ in zip(sorted(_paths(folder)), range(_LOOKED_AT), strict=False):
        suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
        data_suffixes = [suffix for suffix in suffixes if suffix in _ENDINGS]
        if data_suffixes and (suffixes[-1] == data_suffixes[-1] or suffixes[-1] in _PACKED):
            written = path.suffixes[-1 if suffixes[-1] == data_suffixes[-1] else -2 :]
            endings[path.parent != folder, "".join(written)] += 1
    if not endings:
        return None
    below, ending = min(endings, key=lambda kind: (kind[0], -endings[kind]))
    return f"{str(folder).rstrip('/')}/{'**/' if below else ''}*{ending}"


def _paths(folder: Path) -> list[Path]:
    """Files directly in a folder, and those in folders below."""
    try:
        paths = [path for _, path in zip(range(_LOOKED_AT), folder.rglob("*"), strict=False)]
        return [path for path in paths if path.is_file() and not path.name.startswith(".")]
    except OSError:
        return []
