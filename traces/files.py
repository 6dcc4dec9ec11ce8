"""Files: whole or not at all when written, believed only when read through."""

import contextlib
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from joulecast.traces.errors import InputError


def exists(path: str | Path) -> bool:
    """Whether there is a file or folder; a name that no file can have is none."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


_ADDRESS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*:/{1,2}|(?:https?|ftp|s3|gs|hdfs)//)"
    r"(?:(?P<login>[^/]*|[^/:@]*:(?!\d*/)[^@]*)@)?(?P<host>[^/?#@]*)(?P<path>[^?#]*)"
)
"""An address, or what was meant to be one. A password may hold anything, but a number and a slash
behind a colon are a port."""


def shown_address(source: str) -> str:
    """An address without what may be secret: a password, the signature of a signed one.

    Names of files are as they were.
    """
    parts = _ADDRESS.match(source)
    return source if parts is None else parts["scheme"] + parts["host"] + parts["path"]


def without_secrets_of(address: str, text: str) -> str:
    """A text, such as another's error, without what an address holds that may be secret."""
    _, login = split_login(address)
    query = re.split(r"[?#]", address.rpartition("@")[2], maxsplit=1)[1:]
    values = re.split(r"[&=]", query[0]) if query else []
    secrets = [login or "", *(login or "").split(":"), *re.split(r"[:/]", login or ""), *values]
    for secret in sorted({secret for secret in secrets if len(secret) > 2}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def split_login(address: str) -> tuple[str, str | None]:
    """An address without its user and password, and those as they stand there."""
    parts = _ADDRESS.match(address)
    if parts is None or parts["login"] is None:
        return address, None
    return parts["scheme"] + address[parts.start("host") :], parts["login"]


def parse_json(text: str, parse_float: Callable[[str], float] = float) -> Any:
    """JSON without NaN, infinities and bottomless nesting.

    Raises:
        ValueError: It is not that.
    """

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse, parse_float=parse_float)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(path: Path, advice: str) -> Any:
    """A JSON file, its numbers finite.

    Raises:
        InputError: It cannot be read or is not whole; the message ends with the advice.
    """
    try:
        return parse_json(path.read_text(encoding="utf-8-sig"), _finite)
    except OSError as error:
        raise InputError(
            f"{shown_address(str(path))}: cannot be read ({error.strerror}); {advice}"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: is not whole JSON ({error}); {advice}") from error


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is beyond all numbers")
    return number


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or nothing.

    Raises:
        InputError: The folder is missing, read-only or full.
    """
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or nothing.

    Raises:
        InputError: The folder is missing, read-only or full.
    """
    with whole_file(path) as file:
        file.write(content)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write piece by piece: into a neighbour first, renamed into place once all is there.

    Raises:
        InputError: The folder is missing, read-only or full.
    """
    temporary = None
    try:
        if exists(path) and not path.is_file():
            with path.open("wb") as file:
                yield file  # devices and pipes cannot be renamed onto
            return
        path = path.resolve()  # a link stays one
        if exists(path) and not os.access(path, os.W_OK):
            raise PermissionError(13, "is read-only")
        handle, name = tempfile.mkstemp(prefix=".joulecast-", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
        mode = path.stat().st_mode & 0o777 if exists(path) else 0o666 & ~_umask()
        temporary.chmod(mode)
        temporary.replace(path)
        temporary = None
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be written ({reason}); give another file") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def database_file(address: str) -> Path | None:
    """The file behind the address of a database that is one; None for a server."""
    scheme, _, rest = address.partition("://")
    path = rest.partition("?")[0]
    return Path(path) if scheme in ("duckdb", "sqlite") and path not in ("", ":memory:") else None
