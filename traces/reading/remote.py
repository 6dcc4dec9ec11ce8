"""Traces behind an address: copied here once, in pieces, since reading them takes several looks."""

import base64
import http.client
import shutil
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO, Any, cast

from joulecast.traces.errors import InputError
from joulecast.traces.files import shown_address, split_login, without_secrets_of

_PIECE_BYTES = 1 << 20
_SECONDS = 60


def fetch_remote(source: str, folder: Path) -> list[tuple[Path, str]]:
    """Copy what an address names into a folder.

    Args:
        source: An http, https or s3 address; the last part of one on s3 may be a pattern.
        folder: Where to put the files.

    Returns:
        Path and display name of each file, in order of their names.

    Raises:
        InputError: Nothing there, no access, or the copy broke off.
    """
    scheme = source.partition("://")[0].lower()
    if scheme in ("http", "https"):
        return [(_fetch_http(source, folder / "remote-0"), shown_address(source))]
    if scheme == "s3":
        return _fetch_s3(source, folder)
    raise InputError(f"{shown_address(source)}: cannot be read; addresses are http, https or s3")


def _fetch_http(address: str, path: Path) -> Path:
    source = shown_address(address)
    try:
        bare, login = split_login(address)
        quoted = urllib.parse.quote(bare, safe="/:?&=%#@+,;~!$'()*[]")
        request = urllib.request.Request(quoted)  # noqa: S310 - http(s)
        if login is not None:
            token = base64.b64encode(urllib.parse.unquote_to_bytes(login)).decode("ascii")
            request.add_unredirected_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            copied = _copy(answer, path)
            promised = answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        error.close()
        raise InputError(f"{source}: the server answers {error.code} {error.reason}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = without_secrets_of(address, str(getattr(error, "reason", None) or error))
        raise InputError(f"{source}: cannot be fetched ({reason})") from error
    if promised is not None and promised.isdigit() and copied != int(promised):
        raise InputError(
            f"{source}: the connection broke off after {copied:,} of {int(promised):,} bytes; try "
            "again"
        )
    return path


def _fetch_s3(source: str, folder: Path) -> list[tuple[Path, str]]:
    """Through pyarrow's own client; credentials and region come from the usual AWS settings."""
    try:
        import pyarrow as pa
        from pyarrow import fs
    except ImportError as error:
        raise InputError(
            f"{shown_address(source)}: s3 needs {error.name}; install it with: pip install "
            "'joulecast[s3]'"
        ) from error
    address, _, options = source.partition("?")
    parent, _, last = address.rpartition("/")
    try:
        system, base = fs.FileSystem.from_uri(f"{parent}?{options}" if options else parent)
        selector = fs.FileSelector(base)
        keys = sorted(
            info.path
            for info in system.get_file_info(selector)
            if info.is_file and _matches(info.base_name, last)
        )
        if not keys:
            raise InputError(f"{shown_address(source)}: no such file, or none matches")
        files = []
        for k, key in enumerate(keys):
            with system.open_input_stream(key) as stream:
                _copy(stream, folder / f"remote-{k}")
            files.append((folder / f"remote-{k}", f"s3://{key}"))
    except (OSError, pa.ArrowException) as error:
        said = without_secrets_of(source, str(error).splitlines()[0][:200])
        raise InputError(f"{shown_address(source)}: cannot be fetched ({said})") from error
    return files


def _matches(name: str, pattern: str) -> bool:
    from fnmatch import fnmatchcase

    return name == pattern or fnmatchcase(name, pattern)


def _copy(stream: Any, path: Path) -> int:
    """Copy a stream into a file; the bytes copied."""
    with path.open("wb") as file:
        shutil.copyfileobj(cast("IO[bytes]", stream), file, _PIECE_BYTES)
        return file.tell()
