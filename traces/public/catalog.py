"""Public traces by name: what ships as a workload, what can be fetched, and what is cached."""

import json
import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from joulecast.traces.errors import InputError, unknown_name
from joulecast.traces.files import exists, read_json
from joulecast.traces.workload import Workload

CACHE_VARIABLE = "JOULECAST_CACHE"
CATALOG_VARIABLE = "JOULECAST_CATALOG"
"""A file in the format of catalog.json whose traces are added; one of a known name replaces it."""

_SUFFIX = ".json"
WORKLOAD_NAME = "workload.json"
"""Name of the cached workload, in the folder of its trace."""

_TEXTS = ("name", "title", "url", "format", "licence", "citation")
_COUNTS = ("rows", "bytes")


@dataclass(frozen=True)
class CatalogEntry:
    """A public trace.

    Attributes:
        name: Short name.
        title: What it is.
        url: Where its file lies.
        format: Its format, as `traces.reading.formats` calls it.
        licence: Its licence.
        citation: What to cite.
        rows: Rows, None if not known.
        bytes: Length of the file, None if not known.
        sha256: Checksum of the file, None if not known.
        stand_in: Name of a workload that may take its place, None if there is none.
        hub: `repo` and `file` on the Hugging Face hub, None if it is not there.
    """

    name: str
    title: str
    url: str
    format: str
    licence: str
    citation: str
    rows: int | None = None
    bytes: int | None = None
    sha256: str | None = None
    stand_in: str | None = None
    hub: Mapping[str, str] | None = None

    @property
    def folder(self) -> Path:
        """Where its file and its workload are cached."""
        return traces_folder() / self.name

    @property
    def file(self) -> Path:
        """The cached file."""
        return self.folder / self.file_name

    @property
    def file_name(self) -> str:
        """Last part of the address."""
        return urllib.parse.urlsplit(self.url).path.rpartition("/")[2]

    @property
    def hub_file(self) -> Path:
        """The cached file, where it came from the hub."""
        return self.folder / "hub.parquet"

    @property
    def workload_file(self) -> Path:
        """The cached workload."""
        return self.folder / WORKLOAD_NAME


def cache_folder() -> Path:
    """The folder that `JOULECAST_CACHE` names, else joulecast's own in the user's cache."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("joulecast", appauthor=False)


def traces_folder() -> Path:
    """Where public traces are cached, a folder each."""
    return cache_folder() / "traces"


def catalog() -> dict[str, CatalogEntry]:
    """Name -> public trace.

    Raises:
        InputError: The file that `JOULECAST_CATALOG` names is not in the format of catalog.json.
    """
    entries = dict(_shipped())
    if named := os.environ.get(CATALOG_VARIABLE):
        entries |= _entries(read_json(Path(named), f"mend what {CATALOG_VARIABLE} names"), named)
    return entries


def find_entry(name: str) -> CatalogEntry:
    """The public trace of a name.

    Raises:
        InputError: No such name; the nearest is suggested.
    """
    entries = catalog()
    if name not in entries:
        raise unknown_name("trace", name, entries)
    return entries[name]


def embedded_names() -> list[str]:
    """Names of the traces whose workloads ship."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in _folder().glob(f"*{_SUFFIX}"))


def is_embedded(name: str) -> bool:
    """Whether a workload of that name ships."""
    return name in embedded_names()


def load_embedded(name: str) -> Workload:
    """A shipped workload.

    Raises:
        InputError: No such name; the nearest is suggested.
    """
    if not is_embedded(name):
        raise unknown_name("trace", name, embedded_names())
    return Workload.load(_folder() / f"{name}{_SUFFIX}")


def load_cached(name: str) -> Workload | None:
    """The workload of a public trace that was fetched; None if the name is none of the catalogue's.

    Raises:
        InputError: It is in the catalogue but was not fetched.
    """
    entries = catalog()
    if name not in entries:
        return None
    entry = entries[name]
    if not exists(entry.workload_file):
        instead = f", or take its stand-in: {entry.stand_in}" if entry.stand_in else ""
        raise InputError(f"{name}: was not fetched yet; run: joulecast trace fetch {name}{instead}")
    try:
        return Workload.load(entry.workload_file)
    except InputError as error:
        raise InputError(f"{error}; to mend it, run: joulecast trace fetch {name}") from error


@cache
def _shipped() -> dict[str, CatalogEntry]:
    path = files("joulecast.traces.public") / "catalog.json"
    return _entries(json.loads(path.read_text(encoding="utf-8")), "catalog.json")


def _entries(document: Any, where: str) -> dict[str, CatalogEntry]:
    try:
        entries = [CatalogEntry(**row) for row in document["traces"]]
        for entry in entries:
            if any(not isinstance(getattr(entry, key), str) for key in _TEXTS):
                raise TypeError(f"{entry.name}: {', '.join(_TEXTS)} are texts")
            if any(type(getattr(entry, key)) not in (int, type(None)) for key in _COUNTS):
                raise TypeError(f"{entry.name}: {', '.join(_COUNTS)} are numbers or null")
            if entry.hub is not None and set(entry.hub) != {"repo", "file"}:
                raise TypeError(f"{entry.name}: hub has a repo and a file, or is null")
            if not entry.name.replace("-", "").replace(".", "").isalnum():
                raise ValueError(f"{entry.name!r} is no name")
            if entry.url.partition("://")[0] not in ("http", "https") or (
                entry.file_name in ("", ".", "..", WORKLOAD_NAME)
            ):
                raise ValueError(f"{entry.name}: {entry.url!r} is no http address of a file")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: is not a catalogue of traces ({error})") from error
    return {entry.name: entry for entry in entries}


def _folder() -> Path:
    return Path(str(files("joulecast.traces") / "workloads"))
