"""What lies in the cache, and whether it can be used: every folder is looked at by itself."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from joulecast.traces.errors import InputError
from joulecast.traces.files import exists
from joulecast.traces.public.catalog import (
    CACHE_VARIABLE,
    CATALOG_VARIABLE,
    WORKLOAD_NAME,
    CatalogEntry,
    cache_folder,
    traces_folder,
)
from joulecast.traces.workload import Workload


@dataclass(frozen=True)
class CachedTrace:
    """A public trace in the cache.

    Attributes:
        name: Its name.
        bytes: Size of all its files [B], None if they cannot be looked at.
        is_known: Whether the catalogue has it, None if the catalogue cannot be read.
        requests: How many its workload has, None if that does not load.
        problem: What is wrong with it, None if nothing is.
    """

    name: str
    bytes: int | None
    is_known: bool | None
    requests: int | None
    problem: str | None


@dataclass(frozen=True)
class Cache:
    """What is cached, and what the environment says of where.

    Attributes:
        folder: Where.
        variables: JOULECAST_CACHE and JOULECAST_CATALOG, None where not set.
        traces: The public traces in it.
        problem: Why it cannot be listed, None if it can.
    """

    folder: str
    variables: Mapping[str, str | None]
    traces: tuple[CachedTrace, ...]
    problem: str | None


def look_at_cache(entries: Mapping[str, CatalogEntry] | None) -> Cache:
    """The cache, with every public trace in it.

    Args:
        entries: The catalogue, None if it cannot be read.
    """
    variables = {name: os.environ.get(name) for name in (CACHE_VARIABLE, CATALOG_VARIABLE)}
    folder, problem = traces_folder(), None
    found: list[Path] = []
    try:
        # Where nothing was ever fetched there is no folder.
        found = sorted(path for path in folder.iterdir() if path.is_dir())
    except FileNotFoundError:
        pass
    except OSError as error:
        problem = f"{folder}: cannot be listed ({error.strerror})"
    looked_at = tuple(_look_at_trace(path, entries) for path in found)
    return Cache(str(cache_folder()), variables, looked_at, problem)


def _look_at_trace(folder: Path, entries: Mapping[str, CatalogEntry] | None) -> CachedTrace:
    name = folder.name
    is_known = None if entries is None else name in entries
    entry = None if entries is None else entries.get(name)
    try:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        requests, problem = _load(folder / WORKLOAD_NAME)
        if problem is None and entry is not None:
            problem = _file_problem(entry)
    except OSError as error:
        return CachedTrace(name, None, is_known, None, f"cannot be looked at ({error.strerror})")
    return CachedTrace(name, size, is_known, requests, problem)


def _load(path: Path) -> tuple[int | None, str | None]:
    """How many requests a workload has, or why that is not known."""
    if not exists(path):
        return None, "has no workload; its download broke off, or was not made into one"
    try:
        return Workload.load(path).total.requests, None
    except InputError as error:
        return None, str(error)


def _file_problem(entry: CatalogEntry) -> str | None:
    """How the cached file is not the one of the catalogue, as far as its length tells."""
    if entry.bytes is None or not exists(entry.file):
        return None
    size = entry.file.stat().st_size
    if size == entry.bytes:
        return None
    return f"{entry.file_name} has {size:,} bytes, the catalogue knows {entry.bytes:,}"
