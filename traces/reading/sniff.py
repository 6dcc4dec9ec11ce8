"""Finding out what a trace file is before it is read: kind, compression, columns.

Everything is recognised by content, never by the file's name.
"""

import contextlib
import csv
import glob
import gzip
import io
import itertools
import json
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, cast

from joulecast.traces.errors import InputError
from joulecast.traces.files import exists, parse_json, shown_address
from joulecast.traces.reading.foreign import foreign, pattern_within
from joulecast.traces.reading.nested import KeyPath, key_paths

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    import duckdb

Kind = Literal["csv", "json lines", "json array", "parquet", "table in memory"]
IN_MEMORY: Kind = "table in memory"
Compression = Literal["none", "gzip", "zstd"]

STANDARD_INPUT = "-"
_HEAD_BYTES = 1 << 16
_LINE_CHARACTERS = 1 << 24
_HEAD_CHARACTERS = 1 << 20
_HEAD_OBJECTS = 100
_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Look:
    """What a first look at a file tells.

    Attributes:
        path: Where its bytes are.
        name: What to call it in messages.
        compression: What it is packed with.
        head: Its first bytes, unpacked.
        is_whole: Whether that is all of it.
    """

    path: Path
    name: str
    compression: Compression
    head: bytes
    is_whole: bool


@dataclass(frozen=True)
class TraceFile:
    """One file of a trace, as its own first bytes describe it.

    Attributes:
        path: Where its bytes are; of a table in memory, its view in DuckDB.
        name: What to call it in messages.
        kind: How it is laid out.
        compression: What it is packed with.
        columns: Column names in file order.
        delimiter: Between the fields of a CSV file.
        blank_lines: Above the header of a CSV file.
        types: Of the columns of a Parquet file, or a table in memory.
        nested: Where values lie within the objects of JSON rows, or structs of Parquet files and
            tables.
        form: What it was before its rows were written anew, if they were.
        has_lines: Whether its lines are those of the file that the user gave.
    """

    path: Path
    name: str
    kind: Kind
    compression: Compression
    columns: tuple[str, ...]
    delimiter: str = ","
    blank_lines: int = 0
    types: tuple[str, ...] = ()
    nested: tuple[KeyPath, ...] = ()
    form: str | None = None
    has_lines: bool = True

    @property
    def is_json(self) -> bool:
        """Whether its rows are JSON objects."""
        return self.kind in ("json lines", "json array")

    @property
    def names(self) -> tuple[str, ...]:
        """What its columns may be called: by their names, or by the keys of nested ones."""
        nested = dict.fromkeys(".".join(path) for path in self.nested)
        return self.columns + tuple(name for name in nested if name not in self.columns)

    def place(self, line: int) -> str:
        """What to call a line in messages; where rows were written anew, each has one."""
        return f"{self.name}:{line}" if self.has_lines else f"{self.name}: row {line}"

    def path_to(self, name: str) -> KeyPath:
        """Where a column of that name lies; one really called so wins, then the least nested."""
        paths = [] if name in self.columns else [p for p in self.nested if ".".join(p) == name]
        is_row_value = not self.is_json or name in self.columns
        return min(paths, key=len, default=(name,) if is_row_value else tuple(name.split(".")))

    def place_of(self, row: int, line: int | None) -> str:
        """Where a row (1 is the first) is, for messages: its line, if it has one."""
        return f"{self.name}: row {row}" if line is None else self.place(line)


def find_files(source: str) -> list[tuple[Path, str]]:
    """Paths and display names behind a file name or a glob, in sorted order.

    Raises:
        InputError: Nothing there, or a folder.
    """
    if not source.strip():
        raise InputError("the name of the trace is empty; give a file, a glob, - or a known name")
    if exists(source):
        paths = [source]
    elif glob.has_magic(source):
        paths = sorted(path for path in glob.glob(source, recursive=True) if Path(path).is_file())
        if not paths:
            raise InputError(f"{shown_address(source)}: no file matches this pattern")
    else:
        raise InputError(
            f"{shown_address(source)}: no such file; give a trace file, a glob, - or a known name"
        )
    for path in paths:
        if Path(path).is_dir():
            pattern = pattern_within(Path(path))
            advice = "give a file" if pattern is None else f"give a pattern such as {pattern}"
            raise InputError(f"{path}: is a folder; {advice}")
        if not path.isprintable():
            shown = path.encode("utf-8", "backslashreplace").decode()
            raise InputError(f"{shown!r}: cannot be read under this name; rename the file")
    return [(Path(path), path) for path in paths]


def spool_standard_input(folder: str) -> tuple[Path, str]:
    """Standard input as a file in `folder`, since reading it takes two looks.

    Raises:
        InputError: It is closed, or the disk is full.
    """
    if sys.stdin is None:
        raise InputError("standard input is closed; pipe a trace into it, or give a file")
    try:
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
    except OSError as error:
        raise InputError(f"standard input cannot be kept in {folder} ({error.strerror})") from error
    return Path(file.name), "<standard input>"


def look_at(path: Path, name: str) -> Look:
    """Look at the head of a file, and check that what packs it is whole.

    Args:
        path: Where it is.
        name: What to call it in messages.

    Raises:
        InputError: Unreadable, empty, truncated, or no trace by its first bytes.
    """
    try:
        if not path.is_file():
            raise InputError(f"{name}: is not a regular file; use - to read standard input")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from error
    if not head:
        raise InputError(f"{name}: is empty")
    compression: Compression = "none"
    if head.startswith(b"\x1f\x8b"):
        compression = "gzip"
    elif head.startswith(b"\x28\xb5\x2f\xfd"):
        compression = "zstd"
    if compression != "none":
        verify(path, name, compression)
        with open_bytes(path, compression) as stream:
            head = stream.read(_HEAD_BYTES)
    if told := foreign(head):
        what, advice = told
        within = f" within {compression}" if compression != "none" else ""
        raise InputError(f"{name}: {what}{within}; {advice.replace('{name}', name)}")
    return Look(path, name, compression, head, is_whole=len(head) < _HEAD_BYTES)


def describe(look: Look, database: "duckdb.DuckDBPyConnection | None" = None) -> TraceFile:
    """Recognise one file by its content.

    Args:
        look: The first look at it.
        database: A DuckDB to look into Parquet files with, if one is at hand.

    Raises:
        InputError: Empty, binary, or without named columns.
    """
    if look.compression == "none" and look.head.startswith(b"PAR1") and b"\0" in look.head:
        return _describe_parquet(look.path, look.name, database)
    return _describe_text(look)


def verify(path: Path, name: str, compression: Compression) -> None:
    """Unpack a whole file once to see that it is all there.

    DuckDB 2.0 takes a cut zstd file for a shorter one and does not look at gzip checksums.

    Raises:
        InputError: The file is truncated or corrupt.
    """
    try:
        with open_bytes(path, compression) as stream:
            while stream.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error, zstd.ZstdError) as error:
        raise InputError(
            f"{name}: the {compression} data is truncated or corrupt ({error}); get the file again"
        ) from error


def open_bytes(path: Path, compression: Compression) -> IO[bytes]:
    """The unpacked bytes of a file."""
    if compression == "gzip":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if compression == "zstd":
        return cast("IO[bytes]", zstd.open(path, "rb"))
    return path.open("rb")


def open_lines(path: Path, compression: Compression, longest: int = -1) -> Iterator[str]:
    """Physical lines of a text file with their ends, undecodable bytes replaced.

    Lines over `longest` characters come in pieces of that many; -1 for no bound.
    """
    with open_bytes(path, compression) as stream:
        text = io.TextIOWrapper(
            io.BufferedReader(cast("io.RawIOBase", stream)),
            encoding="utf-8-sig",
            errors="replace",
            newline="",
        )
        while line := text.readline(longest):
            yield line


def _describe_parquet(
    path: Path, name: str, database: "duckdb.DuckDBPyConnection | None"
) -> TraceFile:
    import duckdb

    from joulecast.traces.reading.parquet import parquet_schema

    try:
        columns, types, nested = parquet_schema(path, database or duckdb.connect())
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        raise InputError(
            f"{name}: is not a whole Parquet file ({said}); get the file again"
        ) from error
    return TraceFile(path, name, "parquet", "none", columns, types=types, nested=nested)


def _describe_text(look: Look) -> TraceFile:
    path, name, compression, head = look.path, look.name, look.compression, look.head
    text = head.removeprefix(_BOM)
    if not text.strip():
        raise InputError(f"{name}: is empty")
    if b"\0" in head:
        raise InputError(
            f"{name}: is binary; a trace is UTF-8 CSV or JSON lines (plain, gzip, zstd), or Parquet"
        )
    first = text.lstrip()[:1]
    if first == b"{":
        keys, nested = _json_keys(path, name, compression)
        return TraceFile(path, name, "json lines", compression, keys, nested=nested)
    if first == b"[":
        keys, nested = _array_keys(path, name, compression)
        _require_end(path, name, compression)
        return TraceFile(path, name, "json array", compression, keys, nested=nested)
    return _describe_csv(path, name, compression)


def _require_end(path: Path, name: str, compression: Compression) -> None:
    """A JSON array that breaks off after a comma is a shorter one to DuckDB."""
    end = b""
    with open_bytes(path, compression) as stream:
        if compression == "none":
            stream.seek(max(0, path.stat().st_size - _HEAD_BYTES))
        while block := stream.read(_HEAD_BYTES):
            end = (end + block)[-_HEAD_BYTES:]
    if not end.rstrip().endswith(b"]"):
        raise InputError(f"{name}: is a JSON array that breaks off; get the file again")


def _first_lines(path: Path, name: str, compression: Compression) -> Iterator[str]:
    """The lines of a file, for as long as they are looked at; none may be very long."""
    for n, line in enumerate(open_lines(path, compression, _LINE_CHARACTERS), start=1):
        if len(line) == _LINE_CHARACTERS:
            raise InputError(f"{name}:{n}: is longer than 16 MiB; is this a trace?")
        yield line


_Keys = tuple[tuple[str, ...], tuple[KeyPath, ...]]
"""Columns of the rows themselves, and where values lie within their objects."""


def _json_keys(path: Path, name: str, compression: Compression) -> _Keys:
    """Keys of the first hundred objects together; the first line alone may lack some."""
    records = []
    for line in itertools.islice(_first_lines(path, name, compression), _HEAD_OBJECTS):
        with contextlib.suppress(ValueError):
            records.append(parse_json(line))
    if not any(isinstance(record, dict) for record in records):
        raise InputError(f"{name}: its first lines are no JSON objects; write one request per line")
    return _keys_of(records)


def _array_keys(path: Path, name: str, compression: Compression) -> _Keys:
    """Keys of the first objects in a JSON array together, decoded from as much as it takes."""
    decoder = json.JSONDecoder()
    text, size = "", 0
    records: list[object] = []
    with open_bytes(path, compression) as stream:
        while len(records) < _HEAD_OBJECTS and (block := stream.read(_HEAD_BYTES)):
            text += block.decode("utf-8", errors="replace")
            text = text if size else text.lstrip("\ufeff \t\r\n")[1:]
            size += len(block)
            try:
                while len(records) < _HEAD_OBJECTS:
                    text = text.lstrip(" \t\r\n,")
                    record, end = decoder.raw_decode(text)
                    records.append(record)
                    text = text[end:]
            except ValueError:  # that was all of it, or the next object goes on in the next block
                if size >= (_HEAD_CHARACTERS if records else _LINE_CHARACTERS):
                    break
            except RecursionError:
                break
    if not records or not isinstance(records[0], dict):
        raise InputError(f"{name}: is not a JSON array of objects; write one request per line")
    return _keys_of(records)


def _keys_of(records: Iterable[object]) -> _Keys:
    columns: dict[str, None] = {}
    nested: dict[KeyPath, None] = {}
    for record in records:
        if isinstance(record, dict):
            columns |= dict.fromkeys(record)
            nested |= dict.fromkeys(key_paths(record))
    return tuple(columns), tuple(nested)


def _describe_csv(path: Path, name: str, compression: Compression) -> TraceFile:
    """The header of a CSV file, after blank lines that some programs leave above it."""
    blank, line = 0, ""
    for line in _first_lines(path, name, compression):
        if line.strip():
            break
        blank += 1
    if "\ufffd" in line or not line:
        raise InputError(
            f"{name}:{blank + 1}: is not UTF-8 text; a trace is CSV or JSON lines (plain, gzip, "
            "zstd), or Parquet"
        )
    line = line.rstrip("\r\n")
    if "\r" in line or line.count('"') % 2:
        raise InputError(f"{name}:{blank + 1}: the header is not one line; mend its line ends")
    delimiter = max(_DELIMITERS, key=lambda candidate: len(_split(line, candidate)))
    columns = tuple(field.strip() for field in _split(line, delimiter))
    return TraceFile(path, name, "csv", compression, columns, delimiter, blank)


def _split(line: str, delimiter: str) -> list[str]:
    csv.field_size_limit(_LINE_CHARACTERS)
    return next(csv.reader([line], delimiter=delimiter), [])
