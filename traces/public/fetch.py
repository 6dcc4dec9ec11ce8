"""Fetching a public trace: resumed where it broke off, checked, binned, kept."""

import contextlib
import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from joulecast.traces.errors import InputError
from joulecast.traces.files import exists, write_text
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.public.catalog import CatalogEntry
from joulecast.traces.workload import Workload

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

OnBytes = Callable[[int, int | None], None]
"""Told how many bytes came, and of how many, if that is known."""

_PIECE_BYTES = 1 << 18
_SECONDS = 30
_PARTIAL = ".part"


def fetch(
    entry: CatalogEntry,
    on_bytes: OnBytes = lambda _, __: None,
    again: bool = False,
    from_hub: bool = False,
) -> Workload:
    """Download a trace, check it and bin it; what is cached already is not fetched again.

    Args:
        entry: The trace.
        on_bytes: Told of progress.
        again: Fetch anew what is cached.
        from_hub: Get it through the `datasets` library from the Hugging Face hub.

    Returns:
        Its workload, which is cached too.

    Raises:
        InputError: It cannot be reached, or what came is not what the catalogue promises.
    """
    file = entry.hub_file if from_hub else entry.file
    try:
        entry.folder.mkdir(parents=True, exist_ok=True)
        with _locked(entry):
            if again or not exists(file):
                if from_hub:
                    _download_from_hub(entry)
                else:
                    _download(entry, on_bytes)
                entry.workload_file.unlink(missing_ok=True)
            return _workload(entry, file, from_hub)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{entry.folder}: cannot be used as a cache ({reason})") from error


def _workload(entry: CatalogEntry, file: Path, from_hub: bool) -> Workload:
    """The cached workload, made of the cached file if it is not there or damaged."""
    if exists(entry.workload_file):
        with contextlib.suppress(InputError):
            return Workload.load(entry.workload_file)
    from joulecast.traces.binning.cells import bin_trace
    from joulecast.traces.binning.file_trace import open_trace

    try:
        with open_trace(str(file)) as opened:
            binned = bin_trace(opened, POWER_OF_TWO_GRID)
    except InputError as error:
        raise InputError(
            f"{error}; if the download went wrong, run: joulecast trace fetch {entry.name} --again"
        ) from error
    workload = binned.with_provenance(
        trace=entry.name,
        licence=entry.licence,
        citation=entry.citation,
        url=entry.hub["repo"] if from_hub and entry.hub is not None else entry.url,
        sha256=_checksum(file),
    )
    write_text(entry.workload_file, workload.to_json())
    return workload


@contextlib.contextmanager
def _locked(entry: CatalogEntry) -> Iterator[None]:
    """Refuse a trace that another process is fetching: both would write the same file."""
    lock = entry.folder / ".lock"
    with lock.open("a") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(
                    f"{entry.name}: another process is fetching it; wait for that one"
                ) from error
        yield


def _download(entry: CatalogEntry, on_bytes: OnBytes) -> None:
    """Into a partial file first, which a later try goes on with; whole and checked it is kept."""
    partial = entry.file.with_name(entry.file.name + _PARTIAL)
    try:
        _copy(entry, partial, on_bytes)
    except urllib.error.HTTPError as error:
        error.close()
        raise _refusal(entry, f"the server answers {error.code} {error.reason}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise _refusal(entry, str(reason)) from error
    _version_file(partial).unlink(missing_ok=True)
    if (fault := _fault(entry, partial)) is not None:
        partial.unlink()
        raise _refusal(entry, fault)
    partial.replace(entry.file)


def _download_from_hub(entry: CatalogEntry) -> None:
    """The same rows through the `datasets` library, as Parquet."""
    if entry.hub is None:
        raise InputError(f"{entry.name}: is not on the Hugging Face hub; leave out --from-hub")
    from joulecast.traces.binning.trace import first_line
    from joulecast.traces.public.tasks import library

    datasets = library("datasets")
    # Its retries are told in the error, once.
    library("huggingface_hub").logging.set_verbosity_error()
    partial = entry.hub_file.with_name(entry.hub_file.name + _PARTIAL)
    try:
        rows = datasets.load_dataset(entry.hub["repo"], data_files=entry.hub["file"], split="train")
        rows.to_parquet(partial)
    except Exception as error:
        partial.unlink(missing_ok=True)
        where = f"{entry.hub['repo']} on the hub"
        raise _refusal(entry, first_line(error), where) from error
    partial.replace(entry.hub_file)


def _fault(entry: CatalogEntry, path: Path) -> str | None:
    """What a whole file lacks of what the catalogue promises."""
    size = path.stat().st_size
    if entry.bytes is not None and size != entry.bytes:
        return f"{size:,} bytes came, the catalogue knows {entry.bytes:,}"
    if entry.sha256 is not None and (sha256 := _checksum(path)) != entry.sha256:
        return f"its checksum is {sha256[:12]}, not {entry.sha256[:12]}"
    return None


def _version_file(partial: Path) -> Path:
    """Where it is kept which version of the file a partial one is of."""
    return partial.with_name(partial.name + ".version")


def _copy(entry: CatalogEntry, partial: Path, on_bytes: OnBytes) -> None:
    """Bytes from where a former try ended to the end that the server promises."""
    with _answer(entry, partial) as answer:
        is_rest = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        size = partial.stat().st_size if is_rest else 0
        promised = answer.headers.get("Content-Length") or ""
        whole = size + int(promised) if promised.isdigit() else None
        if whole is None and entry.bytes is None and not answer.chunked:
            raise ConnectionError(
                "the server does not say how long the file is, and the catalogue does not know "
                "either, so that nobody could tell whether it is whole"
            )
        with partial.open("ab" if is_rest else "wb") as file:
            # Only now, when no byte of another version is left.
            _keep_version(partial, answer.headers.get("ETag") or answer.headers["Last-Modified"])
            while piece := answer.read(_PIECE_BYTES):
                file.write(piece)
                size += len(piece)
                on_bytes(size, whole)
    if whole is not None and size != whole:
        raise ConnectionError(
            f"the connection broke off after {size:,} of {whole:,} bytes; fetch it again to go on"
        )


def _answer(entry: CatalogEntry, partial: Path) -> Any:
    """What the server sends: the rest of a partial file, or the whole where that cannot be."""
    size, version = partial.stat().st_size if exists(partial) else 0, _version_file(partial)
    if not size or not exists(version):
        return _request(entry, {})
    # The rest of this very version; the whole if the server has another one by now.
    wish = {"Range": f"bytes={size}-", "If-Range": version.read_text(encoding="latin-1")}
    try:
        answer = _request(entry, wish)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        return _request(entry, {})  # it was as long as the whole, or longer
    begins = str(answer.headers.get("Content-Range", "")).startswith(f"bytes {size}-")
    if answer.status == http.HTTPStatus.PARTIAL_CONTENT and not begins:
        answer.close()
        return _request(entry, {})  # another piece than was asked for
    return answer


def _request(entry: CatalogEntry, headers: Mapping[str, str]) -> Any:
    request = urllib.request.Request(entry.url, headers=dict(headers))  # noqa: S310 - http(s) only
    return urllib.request.urlopen(request, timeout=_SECONDS)  # noqa: S310 - as above


def _keep_version(partial: Path, version: str | None) -> None:
    """Note which version of the file a partial one is of, if the server tells exactly."""
    if version and not version.startswith("W/"):
        _version_file(partial).write_text(version, encoding="latin-1")
    else:
        _version_file(partial).unlink(missing_ok=True)


def _refusal(entry: CatalogEntry, reason: str, where: str | None = None) -> InputError:
    instead = f"; its stand-in {entry.stand_in} needs no network" if entry.stand_in else ""
    return InputError(
        f"{entry.name}: cannot be fetched from {where or entry.url} ({reason}){instead}"
    )


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
