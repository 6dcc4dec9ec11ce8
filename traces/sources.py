"""Finding out what a trace file is before it is read: kind, compression, columns.

Everything is recognised by content, never by the file's name.
"""

import csv
import glob
import gzip
import io
import json
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from traces.errors import InputError

Kind = Literal["csv", "json lines", "json array", "parquet"]
Compression = Literal["none", "gzip", "zstd"]
OnInvalid = Literal["error", "skip"]

STANDARD_INPUT = "-"
_HEAD_BYTES = 1 << 16
_LINE_BYTES = 1 << 24
_DELIMITERS = ",;\t|"
_FOREIGN = {b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"7z\xbc\xaf": "7z"}


@dataclass(frozen=True)
class TraceFile:
    """One file of a trace, as its own first bytes describe it.

    Attributes:
        path: Where its bytes are.
        name: What to call it in messages.
        kind: How it is laid out.
        compression: What it is packed with.
        columns: Column names in file order.
        delimiter: Between the fields of a CSV file.
    """

    path: Path
    name: str
    kind: Kind
    compression: Compression
    columns: tuple[str, ...]
    delimiter: str = ","


def find_files(source: str) -> list[tuple[Path, str]]:
    """Paths and display names behind a file name or a glob, in sorted order.

    Raises:
        InputError: Nothing there, or a folder.
    """
    if "://" in source:
        raise InputError(
            f"{source}: addresses are not read directly; download the file and give its path"
        )
    if Path(source).exists():
        paths = [source]
    elif glob.has_magic(source):
        paths = sorted(path for path in glob.glob(source, recursive=True) if Path(path).is_file())
        if not paths:
            raise InputError(f"{source}: no file matches this pattern")
    else:
        raise InputError(f"{source}: no such file; give a trace file, a glob, - or a known name")
    for path in paths:
        if Path(path).is_dir():
            raise InputError(
                f"{path}: is a folder; give a pattern such as {path.rstrip('/')}/*.csv"
            )
    return [(Path(path), path) for path in paths]


def spool(stream: IO[bytes], folder: str) -> tuple[Path, str]:
    """Lay a stream down as a file, since reading it takes two looks."""
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        shutil.copyfileobj(stream, file, 1 << 20)
    return Path(file.name), "<standard input>"


def spool_standard_input(folder: str) -> tuple[Path, str]:
    """Standard input as a file in `folder`."""
    return spool(sys.stdin.buffer, folder)


def describe(path: Path, name: str) -> TraceFile:
    """Recognise one file by its content and check that what packs it is whole.

    Raises:
        InputError: Unreadable, empty, truncated, binary, or without named columns.
    """
    try:
        if path.is_file():
            head = _read_head(path)
        else:
            raise InputError(f"{name}: is not a regular file; use - to read standard input")
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from error
    if not head:
        raise InputError(f"{name}: is empty")
    for magic, packer in _FOREIGN.items():
        if head.startswith(magic):
            raise InputError(f"{name}: is packed with {packer}; unpack it, or use gzip or zstd")
    if head.startswith(b"PAR1"):
        return TraceFile(path, name, "parquet", "none", _parquet_columns(path, name))
    compression: Compression = "none"
    if head.startswith(b"\x1f\x8b"):
        compression = "gzip"
    elif head.startswith(b"\x28\xb5\x2f\xfd"):
        compression = "zstd"
    if compression != "none":
        verify(path, name, compression)
    return _describe_text(path, name, compression)


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
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{name}: the {compression} data is truncated or corrupt ({error}); get the file again"
        ) from error


def open_bytes(path: Path, compression: Compression) -> IO[bytes]:
    """The unpacked bytes of a file."""
    if compression == "gzip":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if compression == "zstd":
        import pyarrow as pa

        return cast("IO[bytes]", pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))
    return path.open("rb")


def open_lines(path: Path, compression: Compression) -> Iterator[str]:
    """Physical lines of a text file with their ends, undecodable bytes replaced."""
    with open_bytes(path, compression) as stream:
        yield from io.TextIOWrapper(
            io.BufferedReader(cast("io.RawIOBase", stream)),
            encoding="utf-8-sig",
            errors="replace",
            newline="",
        )


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _parquet_columns(path: Path, name: str) -> tuple[str, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return tuple(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{name}: is not a whole Parquet file ({error}); get the file again"
        ) from error


def _describe_text(path: Path, name: str, compression: Compression) -> TraceFile:
    with open_bytes(path, compression) as stream:
        head = stream.read(_HEAD_BYTES)
    if not head.removeprefix(b"\xef\xbb\xbf").strip():
        raise InputError(f"{name}: is empty")
    if b"\0" in head:
        raise InputError(
            f"{name}: is binary; a trace is UTF-8 CSV or JSON lines (plain, gzip, zstd), or Parquet"
        )
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if first == b"{":
        keys = _json_keys(path, name, compression)
        return TraceFile(path, name, "json lines", compression, keys)
    if first == b"[":
        return TraceFile(
            path, name, "json array", compression, _array_keys(path, name, compression)
        )
    columns, delimiter = _csv_header(path, name, compression)
    return TraceFile(path, name, "csv", compression, columns, delimiter)


def _first_line(path: Path, name: str, compression: Compression) -> str:
    with open_bytes(path, compression) as stream:
        buffered = io.BufferedReader(cast("io.RawIOBase", stream))
        while line := buffered.readline(_LINE_BYTES):
            if line.removeprefix(b"\xef\xbb\xbf").strip():
                break
    if len(line) == _LINE_BYTES:
        raise InputError(f"{name}: its first line is longer than 16 MiB; is this a trace?")
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}: is not UTF-8 text; a trace is CSV or JSON lines (plain, gzip, zstd), or "
            "Parquet"
        ) from error


def _json_keys(path: Path, name: str, compression: Compression) -> tuple[str, ...]:
    try:
        record = json.loads(_first_line(path, name, compression))
    except ValueError as error:
        raise InputError(
            f"{name}: its first line is not one JSON object; write one request per line"
        ) from error
    return tuple(record)


def _array_keys(path: Path, name: str, compression: Compression) -> tuple[str, ...]:
    """Keys of the first object in a JSON array, decoded from as much as it takes."""
    decoder = json.JSONDecoder()
    text = ""
    with open_bytes(path, compression) as stream:
        while len(text) < _LINE_BYTES and (block := stream.read(_HEAD_BYTES)):
            text += block.decode("utf-8", errors="replace")
            body = text.lstrip("\ufeff \t\r\n")[1:].lstrip()
            try:
                record, _ = decoder.raw_decode(body)
            except ValueError:
                continue
            if isinstance(record, dict):
                return tuple(record)
            break
    raise InputError(f"{name}: is not a JSON array of objects; write one request per line")


def _csv_header(path: Path, name: str, compression: Compression) -> tuple[tuple[str, ...], str]:
    line = _first_line(path, name, compression).rstrip("\r\n")
    delimiter = max(_DELIMITERS, key=lambda candidate: len(_split(line, candidate)))
    fields: Sequence[str] = _split(line, delimiter)
    return tuple(field.strip() for field in fields), delimiter


def _split(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])
