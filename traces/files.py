"""Writing files so that nobody ever finds half of one."""

import contextlib
import os
import tempfile
from pathlib import Path

from traces.errors import InputError


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing: into a neighbour first, then renamed into place.

    Raises:
        InputError: The folder is missing, read-only or full.
    """
    if path.exists() and not path.is_file():
        _write_through(path, text)
        return
    temporary = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise _cannot_write(path, error) from error


def _write_through(path: Path, text: str) -> None:
    """Devices and pipes (/dev/stdout) cannot be renamed onto."""
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> InputError:
    reason = error.strerror or str(error)
    return InputError(f"{path}: cannot be written ({reason}); give another file")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
