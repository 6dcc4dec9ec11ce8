"""Traces by name. Those whose binned workload ships with joulecast need no file at all."""

from importlib.resources import files
from pathlib import Path

from traces.errors import unknown_name
from traces.workload import Workload

_SUFFIX = ".json"


def _folder() -> Path:
    return Path(str(files("traces") / "workloads"))


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
