"""What a bug report should say of a machine: software, GPUs, cached traces, what is out of order.

Each part is looked at by itself. One that fails, however it does, becomes a line of the problems.
"""

import os
import platform
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import joulecast
from joulecast.doctor.cached_traces import Cache, look_at_cache
from joulecast.doctor.installed import CORE, RequiredPackage, metadata_version, required_packages
from joulecast.measurements.gpu.survey import GpuSurvey, survey_gpus
from joulecast.traces.errors import InputError
from joulecast.traces.public.catalog import catalog, embedded_names
from joulecast.version import VERSION

Fact = TypeVar("Fact")
Fallback = TypeVar("Fallback")

_NOT_INSTALLED = (
    "joulecast has no metadata, so it runs from a clone that was not installed, and what it "
    "requires was not looked at; install it with: pip install ."
)
_USER = re.compile(r"\b([a-z][a-z0-9+.-]+:/{1,2})\S*@", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # what could steer a terminal
_QUERY = re.compile(r"\b([a-z][a-z0-9+.-]+:/{1,2}[^\s?]*)\?[^\s:;)]*", re.IGNORECASE)


@dataclass(frozen=True)
class Software:
    """joulecast and the Python that runs it.

    Attributes:
        joulecast: Version of the code.
        metadata: Version that its installed metadata give, None if there are none.
        folder: Where the code lies.
        python: Version of Python.
        implementation: Such as "CPython".
    """

    joulecast: str
    metadata: str | None
    folder: str
    python: str
    implementation: str


@dataclass(frozen=True)
class Machine:
    """The host; None is what it does not tell.

    Attributes:
        system: Operating system and its version.
        machine: Instruction set, such as "x86_64".
        processor: Name of the processor.
        cores: Logical cores.
        usable_cores: Those of them that this process may use.
        memory_bytes: Main memory [B].
    """

    system: str
    machine: str
    processor: str | None
    cores: int | None
    usable_cores: int | None
    memory_bytes: int | None


@dataclass(frozen=True)
class Diagnosis:
    """All of it.

    Attributes:
        software: joulecast and Python.
        machine: The host.
        requirements: Packages that joulecast names.
        gpus: The GPUs, None if they could not be asked.
        cache: What is cached, None if nobody can tell.
        tables: Energy tables that ship.
        traces: Traces that ship.
        problems: What is out of order, a sentence each.
    """

    software: Software
    machine: Machine
    requirements: tuple[RequiredPackage, ...]
    gpus: GpuSurvey | None
    cache: Cache | None
    tables: tuple[str, ...]
    traces: tuple[str, ...]
    problems: tuple[str, ...]


def diagnose() -> Diagnosis:
    """Look at everything; nothing that is broken ends it."""
    problems: list[str] = []

    def attempt(what: str, look: Callable[[], Fact], fallback: Fallback) -> Fact | Fallback:
        try:
            return look()
        except Exception as error:  # noqa: BLE001 - whatever is broken is what the report is about
            problems.append(f"{what}: {_one_line(error)}")
            return fallback

    version = attempt("metadata", metadata_version, "")
    if version is None:
        problems.append(_NOT_INSTALLED)
    entries = attempt("catalogue", catalog, None)
    diagnosis = Diagnosis(
        software=Software(
            joulecast=VERSION,
            metadata=version or None,
            folder=str(Path(joulecast.__file__).parent.parent),
            python=platform.python_version(),
            implementation=platform.python_implementation(),
        ),
        machine=Machine(
            system=attempt("system", platform.platform, "unknown"),
            machine=platform.machine(),
            processor=attempt("processor", _processor, None),
            cores=os.cpu_count(),
            usable_cores=attempt("cores", _usable_cores, None),
            memory_bytes=attempt("memory", _memory_bytes, None),
        ),
        requirements=tuple(attempt("requirements", required_packages, []) if version else []),
        gpus=attempt("GPUs", survey_gpus, None),
        cache=attempt("cache", lambda: look_at_cache(entries), None),
        tables=tuple(attempt("tables", _table_names, [])),
        traces=tuple(attempt("traces", embedded_names, [])),
        problems=(),
    )
    return replace(diagnosis, problems=(*problems, *_problems_within(diagnosis)))


def without_secrets(text: str) -> str:
    """A text whose addresses have neither user and password nor a query, and no name of the home.

    A path made of an address has one slash after the colon.
    """
    text = _CONTROL.sub("?", _QUERY.sub(r"\1", _USER.sub(r"\1", text)))
    home = str(Path.home())
    return text if len(home) < 2 else re.sub(rf"{re.escape(home)}(?=[/\\\s:;,)]|$)", "~", text)


def _problems_within(diagnosis: Diagnosis) -> Iterator[str]:
    """What the parts that could be looked at have to complain of."""
    software = diagnosis.software
    if software.metadata not in (None, software.joulecast):
        yield (
            f"the code is of joulecast {software.joulecast}, the installed metadata, and the "
            f"requirements that they name, of {software.metadata}; install it again"
        )
    for package in diagnosis.requirements:
        if package.needed_by == CORE and package.state != "ok":
            there = "" if package.installed is None else f" ({package.installed})"
            yield f"{package.package}{package.specifier}: {package.state}{there}"
    for card in () if diagnosis.gpus is None else diagnosis.gpus.cards:
        yield from (f"GPU {card.index}: {problem}" for problem in card.problems)
    if diagnosis.cache is None:
        return
    if diagnosis.cache.problem is not None:
        yield diagnosis.cache.problem
    for trace in diagnosis.cache.traces:
        if trace.problem is not None:
            yield f"cached {trace.name}: {trace.problem}"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    # An error of ours is a sentence; others do not make sense without their kind.
    return text if type(error) is InputError else f"{type(error).__name__}: {text}"


def _processor() -> str | None:
    from joulecast.measurements.sweep.host import host_cpu

    return host_cpu() or platform.processor() or None


def _usable_cores() -> int | None:
    asked = getattr(os, "sched_getaffinity", None)  # not on every system
    return None if asked is None else len(asked(0))


def _memory_bytes() -> int | None:
    """Main memory of the host [B], which a container may not have all of."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PAGE_SIZE" not in names or "SC_PHYS_PAGES" not in names:
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _table_names() -> list[str]:
    from joulecast.measurements.table.table import table_names

    return table_names()
