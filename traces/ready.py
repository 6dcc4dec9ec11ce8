"""Workloads among what is given as a trace: those that are one, and names and files of such."""

import re
from pathlib import Path

from joulecast.traces.errors import InputError, unknown_name
from joulecast.traces.files import exists
from joulecast.traces.inputs.inputs import Parts, TraceInput, parts_of, trace_name
from joulecast.traces.public.catalog import (
    catalog,
    embedded_names,
    is_embedded,
    load_cached,
    load_embedded,
)
from joulecast.traces.reading.options import NO_COLUMN, ReadingOptions
from joulecast.traces.reading.sniff import STANDARD_INPUT
from joulecast.traces.workload import Workload


def ready_and_sources(
    trace: TraceInput, options: ReadingOptions
) -> tuple[dict[str, Workload], Parts]:
    """The workloads that are given, or that names and files are, and what is to be read.

    Raises:
        InputError: It is no trace; or a workload cannot be read as the options say.
    """
    ready: dict[str, Workload] = {}
    sources = Parts()
    for part in parts_of(trace):
        saved = _saved_workload(part) if isinstance(part, str) else part
        if isinstance(saved, Workload):
            name = trace_name(part)
            name = name if name not in ready else f"{name} ({len(ready) + 1})"
            if options.arrival_column == NO_COLUMN:
                saved = saved.without_arrivals()
            if options.cached_column == NO_COLUMN:
                saved = saved.without_cached()
            ready[name] = saved
        else:
            sources.append(part)
    if ready:
        _require_no_rows(next(iter(ready)), options, is_alone=not sources)
    return ready, sources


def _require_no_rows(name: str, options: ReadingOptions, is_alone: bool) -> None:
    """Refuse what can only be told of rows, which a workload has not.

    Raises:
        InputError: The option is named.
    """
    if is_alone and options.names_columns:
        raise InputError(
            f"{name}: is a workload and has no columns to name; leave that out, or give the file "
            "of requests"
        )
    asked = {
        "where (--where)": options.where,
        "group_by (--group-by)": options.group_by,
        "prefix_cache (--prefix-cache)": options.prefix_cache,
    }
    if is_alone:
        asked |= {
            "count_column (--count-column)": options.count_column,
            "id_column (--id-column)": options.id_column,
            "on_invalid (--on-invalid)": "skip" if options.on_invalid == "skip" else None,
            "memory_limit (--memory-limit)": options.memory_limit,
        }
    told = [option for option, value in asked.items() if value is not None]
    if told:
        raise InputError(
            f"{name}: is a workload, in which requests are not told apart and no row is read; take "
            f"it without {' and '.join(told)}"
        )


def _saved_workload(name: str) -> Workload | None:
    """The workload that a name stands for; None if it is that of a file of requests."""
    if is_embedded(name):
        return load_embedded(name)
    if _is_saved_workload(name):
        return Workload.load(Path(name))
    if name == STANDARD_INPUT or exists(name) or not re.fullmatch(r"[\w.-]+", name):
        return None
    workload = load_cached(name)
    if workload is None and "." not in name:
        raise unknown_name("trace or file", name, {*embedded_names(), *catalog()})
    return workload


def _is_saved_workload(trace: str) -> bool:
    """Whether a file says that it is one, wherever in its head it says so."""
    path = Path(trace)
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(1 << 16).decode("utf-8-sig", errors="replace")
    except (OSError, ValueError):
        return False
    mark = re.search(r'"format"\s*:\s*"joulecast workload"', head)
    return head.lstrip().startswith("{") and mark is not None
