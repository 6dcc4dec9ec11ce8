"""What a bug report should say of a machine: software, GPUs, cached traces, what is out of order.

Each part is looked at by itself. One that fails, however it does, becomes a line of the problems.
docs/files.md describes the document.
"""

import contextlib
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import joulecast
from joulecast.measurements.gpu.survey import survey_gpus
from joulecast.traces.errors import InputError
from joulecast.traces.files import exists
from joulecast.traces.printable import printable
from joulecast.traces.public.catalog import (
    CACHE_VARIABLE,
    CATALOG_VARIABLE,
    WORKLOAD_NAME,
    CatalogEntry,
    cache_folder,
    catalog,
    embedded_names,
    traces_folder,
)
from joulecast.traces.workload import Workload
from joulecast.version import VERSION

Document = dict[str, Any]

PACKAGE = "joulecast"
CORE = "core"

_NOT_INSTALLED = (
    "joulecast has no metadata, so it runs from a clone that was not installed, and what it "
    "requires was not looked at; install it with: pip install ."
)
_LOGIN = re.compile(r"\b([a-z][a-z0-9+.-]+:/{1,2})\S*@", re.IGNORECASE)
_QUERY = re.compile(r"\b([a-z][a-z0-9+.-]+:/{1,2}[^\s?]*)\?[^\s:;)]*", re.IGNORECASE)


def diagnose() -> Document:
    """Look at everything; nothing that is broken ends it, and nothing secret is in it."""
    problems: list[str] = []

    def attempt(part: str, look: Callable[[], Any], fallback: Any = None) -> Any:
        try:
            return look()
        except Exception as error:  # noqa: BLE001 - whatever is broken is what the report is about
            # An error of ours is a sentence; others do not make sense without their kind.
            kind = "" if type(error) is InputError else f"{type(error).__name__}: "
            problems.append(f"{part}: {kind}{' '.join(str(error).split())}")
            return fallback

    version = attempt("metadata", _metadata_version, "")
    if version is None:
        problems.append(_NOT_INSTALLED)
    entries = attempt("catalogue", catalog)
    # Not every system tells these.
    usable_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    document: Document = {
        "software": {
            "joulecast": VERSION,
            "metadata": version or None,
            "folder": str(Path(joulecast.__file__).parent.parent),
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
        },
        "machine": {
            "system": attempt("system", platform.platform, "unknown"),
            "machine": platform.machine(),
            "processor": attempt("processor", _processor),
            "cores": os.cpu_count(),
            "usable_cores": usable_cores,
            "memory_bytes": pages and pages * os.sysconf("SC_PAGE_SIZE"),
        },
        "requirements": attempt("requirements", requirements, []) if version else [],
        "gpus": attempt("GPUs", survey_gpus),
        "cache": attempt("cache", lambda: _cache(entries)),
        "tables": attempt("tables", _table_names, []),
        "traces": attempt("traces", embedded_names, []),
    }
    document["problems"] = [*problems, *_problems_within(document)]
    cleaned: Document = _without_secrets(document)
    return cleaned


def requirements() -> list[Document]:
    """What joulecast and its extras require on this machine, and what is there of it.

    An extra that asks for another of joulecast's own does not repeat what that one asks for.

    Raises:
        PackageNotFoundError: joulecast has no metadata.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    rows = []
    extras = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    for line in metadata.requires(PACKAGE) or []:
        name, specifier, installed, state, groups = line, "", None, "unreadable", [CORE]
        with contextlib.suppress(InvalidRequirement):
            requirement = Requirement(line)
            name, specifier = requirement.name, str(requirement.specifier)
            installed, state = _installed(name, requirement.specifier)
            marker = requirement.marker
            if marker is not None and not marker.evaluate({"extra": ""}):
                groups = [extra for extra in extras if marker.evaluate({"extra": extra})]
        rows += [
            {
                "needed_by": group,
                "package": name,
                "specifier": specifier,
                "installed": installed,
                "state": state,
            }
            for group in groups
            if name != PACKAGE
        ]
    return rows


def _installed(package: str, specifier: Any) -> tuple[str | None, str]:
    """The version that is there, and whether it will do."""
    from packaging.version import Version

    version = None
    try:
        version = metadata.version(package)
        will_do = specifier.contains(Version(version), prereleases=True)
    except metadata.PackageNotFoundError:
        return None, "missing"
    except (KeyError, OSError, TypeError, ValueError):
        return version, "unreadable"
    return version, "ok" if will_do else "other version"


def _metadata_version() -> str | None:
    """Version in the installed metadata of joulecast; None in a clone that was not installed."""
    try:
        # Broken metadata have no version, whatever the annotation says.
        version: str | None = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return None
    if version is None:
        raise InputError("the installed ones have no version")
    return version


def _processor() -> str | None:
    from joulecast.measurements.host import host_cpu

    return host_cpu() or platform.processor() or None


def _table_names() -> list[str]:
    from joulecast.measurements.table.table import table_names

    return table_names()


def _cache(entries: Mapping[str, CatalogEntry] | None) -> Document:
    """What lies in the cache, and what the environment says of where."""
    folder, problem, paths = traces_folder(), None, list[Path]()
    try:
        paths = sorted(path for path in folder.iterdir() if path.is_dir())
    except FileNotFoundError:
        pass  # nothing was ever fetched
    except OSError as error:
        problem = f"{folder}: cannot be listed ({error.strerror})"
    return {
        "folder": str(cache_folder()),
        "variables": {name: os.environ.get(name) for name in (CACHE_VARIABLE, CATALOG_VARIABLE)},
        "traces": [_cached_trace(path, entries) for path in paths],
        "problem": problem,
    }


def _cached_trace(folder: Path, entries: Mapping[str, CatalogEntry] | None) -> Document:
    entry = (entries or {}).get(folder.name)
    trace: Document = {
        "name": folder.name,
        "bytes": None,
        "is_known": None if entries is None else entry is not None,
        "requests": None,
        "problem": None,
    }
    try:
        trace["bytes"] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if not exists(folder / WORKLOAD_NAME):
            trace["problem"] = "has no workload; its download broke off, or was not made into one"
            return trace
        trace["requests"] = Workload.load(folder / WORKLOAD_NAME).total.requests
        if entry is not None and entry.bytes is not None and exists(entry.file):
            size = entry.file.stat().st_size
            if size != entry.bytes:
                trace["problem"] = (
                    f"{entry.file_name} has {size:,} bytes, the catalogue knows {entry.bytes:,}"
                )
    except OSError as error:
        trace["problem"] = f"cannot be looked at ({error.strerror})"
    except InputError as error:
        trace["problem"] = str(error)
    return trace


def _problems_within(document: Document) -> Iterator[str]:
    """What the parts that could be looked at have to complain of."""
    software = document["software"]
    if software["metadata"] not in (None, software["joulecast"]):
        yield (
            f"the code is of joulecast {software['joulecast']}, the installed metadata, and the "
            f"requirements that they name, of {software['metadata']}; install it again"
        )
    for package in document["requirements"]:
        if package["needed_by"] == CORE and package["state"] != "ok":
            version = f" ({package['installed']})" if package["installed"] else ""
            yield f"{package['package']}{package['specifier']}: {package['state']}{version}"
    for card in (document["gpus"] or {"cards": ()})["cards"]:
        yield from (f"GPU {card['index']}: {problem}" for problem in card["problems"])
    cache = document["cache"] or {"problem": None, "traces": ()}
    if cache["problem"] is not None:
        yield cache["problem"]
    for trace in cache["traces"]:
        if trace["problem"] is not None:
            yield f"cached {trace['name']}: {trace['problem']}"


def _without_secrets(value: Any) -> Any:
    """A document with every text in it free of secrets."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {key: _without_secrets(part) for key, part in value.items()}
    return [_without_secrets(part) for part in value] if isinstance(value, (list, tuple)) else value


def without_secrets(text: str) -> str:
    """A text whose addresses have neither user and password nor a query, and no name of the home.

    A path made of an address has one slash after the colon. Nothing in it can steer a terminal.
    """
    text = printable(_QUERY.sub(r"\1", _LOGIN.sub(r"\1", text)))
    home = str(Path.home())
    return text if len(home) < 2 else re.sub(rf"{re.escape(home)}(?=[/\\\s:;,)]|$)", "~", text)
